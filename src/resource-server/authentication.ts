import { levels, type Level } from '../protocol/levels.ts'

/** How, or how lately, a user must have logged in (RFC 9470). At least one of the two. */
export interface Authentication {
  /**
   * The weakest level that will do: `pwd` (one factor), `mfa` (two), `phr` (two, of which one cannot be
   * phished).
   */
  readonly acr?: Level
  /** How long ago the log-in may be, in seconds. */
  readonly maxAge?: number
}

/** Throws a `TypeError` for what no log-in can meet. */
export function checkAuthentication({ acr, maxAge }: Authentication): void {
  if (acr === undefined && maxAge === undefined)
    throw new TypeError('requireAuthentication needs acr or maxAge')
  if (acr !== undefined && !levels.includes(acr))
    throw new TypeError(`acr must be one of ${levels.join(', ')}`)
  if (maxAge !== undefined && !(Number.isInteger(maxAge) && maxAge >= 0))
    throw new TypeError('maxAge must be a whole number of seconds')
}

/** What a token says of the log-in (RFC 9068 §2.2.1). */
export interface ShownAuthentication {
  readonly acr?: unknown
  readonly auth_time?: unknown
}

/**
 * Whether a log-in meets a demand. A token that does not say how its user has logged in, as that of a
 * machine, meets none. `now` in seconds since the epoch; clocks may differ by `tolerance`.
 */
export function isMet(
  { acr, maxAge }: Authentication,
  shown: ShownAuthentication,
  { now, tolerance }: { readonly now: number; readonly tolerance: number },
): boolean {
  if (acr !== undefined && levels.findIndex(level => level === shown.acr) < levels.indexOf(acr)) return false
  if (maxAge === undefined) return true
  return typeof shown.auth_time === 'number' && now - shown.auth_time <= maxAge + tolerance
}
