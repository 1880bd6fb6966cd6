/**
 * Remembers that the database has refused to write anything for want of room, until it takes something again.
 */
export interface WriteFault {
  /** The last such error; undefined while there is none. */
  last(): unknown
  /** Notes an error if it is one of that kind. */
  note(error: unknown): void
  clear(): void
}

/** `codes` are those of the engine. */
export function openWriteFault(codes: RegExp): WriteFault {
  let last: unknown
  return {
    last: () => last,
    note: error => {
      const { code }: { code?: unknown } = Object(error)
      if (typeof code === 'string' && codes.test(code)) last = error
    },
    clear: () => {
      last = undefined
    },
  }
}
