import type { BaseLogger } from 'pino'

/** What has been revoked. A session is named by its `sid`, a user by the `sub`. */
export type Revoked =
  | { readonly sid: string }
  | { readonly sub: string }
  | { readonly client_id: string }
  | { readonly kid: string }

/**
 * Writes the one line that each revocation leaves in the log, from which a restored backup learns what was revoked
 * after it was made. `at` is in seconds since the epoch, by the clock that the database was told.
 */
export function logRevocation(
  log: Pick<BaseLogger, 'info'>,
  revoked: Revoked,
  { reason, at }: { readonly reason: string; readonly at: number },
): void {
  log.info({ revocation: { ...revoked, reason, at } }, 'revoked')
}
