import { Refusal } from '../errors.ts'
import { isNamed } from '../protocol/etag.ts'
import { sha256 } from '../values/sha256.ts'
import type { Admin } from './admin.ts'

/** Names the state of an object, as its document shows it (RFC 9110 §8.8.3). */
export function etagOf(document: unknown): string {
  return `"${sha256(JSON.stringify(document)).toString('base64url').slice(0, 22)}"`
}

/**
 * Refuses the act where the object is not as the administrator has seen it (RFC 9110 §13.1.1). To be called
 * with the row on which the change is conditional, so that nothing comes in between.
 */
export function heedPrecondition(
  { precondition }: Pick<Admin, 'precondition'>,
  document: () => unknown,
): void {
  if (precondition === undefined || isNamed(etagOf(document()), precondition)) return
  throw new Refusal(
    'changed',
    'somebody else has changed it since it was read, and nothing was changed now',
    'read it again, and repeat the change',
  )
}

/** The refusal of a change that somebody else was ahead of. */
export function movedOn({ precondition }: Pick<Admin, 'precondition'>, what: string): Refusal {
  return new Refusal(
    precondition === undefined ? 'conflict' : 'changed',
    `somebody else has changed ${what} meanwhile`,
    'nothing was changed, run it again',
  )
}
