import type { BaseLogger } from 'pino'

/**
 * Whose sessions have ended: one or many by their `sid`, all of a user by the `sub`, all of a client by its id. Those live
 * on whose log-in began in that `epoch` or a later one, which no clock can blur.
 */
export type Revoked =
  | { readonly event: 'session_revoked'; readonly sid: string }
  | { readonly event: 'sessions_revoked'; readonly sids: readonly string[] }
  | { readonly event: 'user_revoked'; readonly sub: string; readonly epoch: number }
  | { readonly event: 'client_revoked'; readonly client_id: string; readonly epoch: number }

export interface RevocationFacts {
  readonly reason: string
  /** Seconds since the epoch. */
  readonly at: number
  /** The client that asked for it; nobody named is the command line. */
  readonly by?: string
  /** What else is good to know. */
  readonly [name: string]: unknown
}

/** Writes the one line that a revocation leaves in the log: from them a restored backup learns what was revoked since. */
export function logRevocation(log: Pick<BaseLogger, 'info'>, revoked: Revoked, facts: RevocationFacts): void {
  log.info(
    { ...revoked, by: 'command', ...facts },
    revoked.event.replace('s_', 's were ').replace('_', ' was '),
  )
}
