import { describeFault } from '../../admin/faults.ts'

/**
 * It cannot be done by this command; the message says why, and what to do. A thing that no face could do is a
 * `Refusal`.
 */
export class CommandError extends Error {
  override readonly name: string = 'CommandError'
}

/** It was typed wrongly. */
export class UsageError extends CommandError {
  override readonly name = 'UsageError'
}

/** One or more lines about an error, for stderr. */
export function describeError(error: unknown, isDebug = false): string {
  return error instanceof CommandError ? error.message : describeFault(error, isDebug)
}

/** Whether the reader of our output has seen enough (`| head`). */
export function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE'
}
