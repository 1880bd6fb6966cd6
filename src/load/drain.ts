/** Whether this server is about to end: it still serves, but no new client is to be sent to it. */
export interface Drain {
  readonly isDraining: () => boolean
  begin(): void
}

export function openDrain(): Drain {
  let isDraining = false
  return {
    isDraining: () => isDraining,
    begin: () => {
      isDraining = true
    },
  }
}
