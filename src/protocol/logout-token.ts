import { newUuid, formatUuid } from './secrets.ts'

/** How long a logout token is good: it is sent at once (OpenID Connect Back-Channel Logout 1.0 §2.4). */
const lifetimeSeconds = 120

export const logoutTokenType = 'logout+jwt'

/** The session that has ended at a client, as its ID tokens have named it. */
export interface LoggedOut {
  readonly sub: string
  readonly sid: string
}

/**
 * The claims of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4), a new one for each attempt:
 * a client that remembers the `jti` of what it has taken must not refuse what is sent once more.
 */
export function logoutTokenClaims(
  { sub, sid }: LoggedOut,
  { issuer, clientId, now }: { readonly issuer: string; readonly clientId: string; readonly now: number },
) {
  return {
    iss: issuer,
    sub,
    aud: clientId,
    iat: now,
    exp: now + lifetimeSeconds,
    jti: formatUuid(newUuid(now)),
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
    sid,
  }
}
