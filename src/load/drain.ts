/**
 * Protects clients from a server that ends while a proxy still sends them to it. It refuses nothing: in the
 * drain /health/ready says 503 with Retry-After, all else is served, and each answer closes its connection.
 */

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
