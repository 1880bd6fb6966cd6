import { generationMax } from './refresh-token.ts'

/** A session, as far as the judge looks at it. Times are seconds since the epoch. */
export interface SessionState {
  readonly generation: number
  readonly window_generation: number
  readonly window_opened_at: number
  readonly late_history: number
  readonly expires_at: number
  readonly absolute_expires_at: number
}

export interface RefreshPolicy {
  readonly kind: 'rotate' | 'strict' | 'reuse'
  /** The length of the retry window; 0 for none. */
  readonly retrySeconds: number
  /** How many late generations of the last 8 are theft. */
  readonly lateLimit: number
  /** While much is late everywhere it is an outage, not thieves: lateness is not acted on. */
  readonly isOutage: boolean
}

export type RefreshVerdict =
  /** The current token: move the session on, if it is still at this generation. */
  | { readonly kind: 'rotate' }
  /** The client keeps this token. */
  | { readonly kind: 'reuse' }
  /** A concurrent or repeated request: the current token again, and nothing changes. */
  | { readonly kind: 'repeat' }
  /** A late retry: the current token again, and a mark in the history. */
  | { readonly kind: 'late'; readonly lateHistory: number; readonly isOverLimit: boolean }
  /**
   * This server did issue the token, so the database has gone back in time: continue from the token's
   * generation.
   */
  | { readonly kind: 'heal' }
  | { readonly kind: 'theft' }
  | { readonly kind: 'expired' }
  /** The generation is at its maximum: there is no next one. */
  | { readonly kind: 'exhausted' }

/**
 * Judges a genuine refresh token of generation `presentedGeneration`, whose session has not been revoked.
 * This is the whole rule: RFC 9700 §4.14.2 asks for rotation with detection of reuse, and honest clients
 * ask for retries.
 */
export function judgeRefresh(
  presentedGeneration: number,
  session: SessionState,
  now: number,
  policy: RefreshPolicy,
): RefreshVerdict {
  const current = session.generation
  // A session that was refreshed since the backup has an idle limit that the restored row does not know.
  const expiresAt = presentedGeneration > current ? session.absolute_expires_at : session.expires_at
  if (expiresAt <= now) return { kind: 'expired' }

  if (presentedGeneration > current) return { kind: 'heal' }
  if (presentedGeneration === current) {
    if (policy.kind === 'reuse') return { kind: 'reuse' }
    return current >= generationMax ? { kind: 'exhausted' } : { kind: 'rotate' }
  }
  if (policy.kind === 'strict') return { kind: 'theft' }

  // Clocks differ by a little and are set back by a little, so a window that opened a moment from now counts
  // as open; one that opened further in the future is closed, or it would stay open until then.
  const isInWindow = Math.abs(now - session.window_opened_at) < policy.retrySeconds
  if (isInWindow && presentedGeneration >= session.window_generation) return { kind: 'repeat' }
  if (presentedGeneration < current - 1) return { kind: 'theft' }

  // The previous generation: its answer was lost. Once is bad luck; in most generations, it is two holders
  // taking turns. A retry that was let pass is let pass again: an outage may end between two retries of one
  // request.
  if ((session.late_history & 1) === 1) return { kind: 'repeat' }
  const lateHistory = session.late_history | 1
  const isOverLimit = bitCount(lateHistory) >= policy.lateLimit
  if (isOverLimit && !policy.isOutage) return { kind: 'theft' }
  return { kind: 'late', lateHistory, isOverLimit }
}

function bitCount(bits: number): number {
  let count = 0
  for (let rest = bits; rest !== 0; rest >>= 1) count += rest & 1
  return count
}
