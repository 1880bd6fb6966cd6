import type { BaseLogger } from 'pino'

/** Whose sessions have ended: one session by its `sid`, all of a user by the `sub`, all of a client by its id. */
export type Revoked =
  | { readonly event: 'session_revoked'; readonly sid: string }
  | { readonly event: 'user_revoked'; readonly sub: string }
  | { readonly event: 'client_revoked'; readonly client_id: string }

/**
 * Writes the one line that a revocation by command leaves in the log, in the words of those that the server writes:
 * from them a restored backup learns what was revoked after it was made. `at` is in seconds since the epoch.
 */
export function logRevocation(
  log: Pick<BaseLogger, 'info'>,
  revoked: Revoked,
  { reason, at }: { readonly reason: string; readonly at: number },
): void {
  log.info({ ...revoked, reason, at, by: 'command' }, revoked.event.replace('_', ' was '))
}
