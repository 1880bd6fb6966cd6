import type { Context } from '../context.ts'
import type { TokenRequest } from '../grants/grant.ts'
import { accessTokenClaims } from '../protocol/access-token.ts'
import type { Granted } from '../sessions/granted.ts'

/**
 * RFC 6749 §5.1, with the two lifetimes of draft-ietf-oauth-refresh-token-expiration, and our own
 * `device_token`.
 */
export async function tokenResponse(ctx: Context, { client, confirmation }: TokenRequest, granted: Granted) {
  const { target, refresh, deviceToken, expiresAt } = granted
  const now = ctx.clock.now()
  const lifetime = Math.min(target.accessTokenSeconds, expiresAt - now)
  // The session may have ended by the clock while the request was answered.
  const leftUntil = (end: number) => Math.max(0, end - now)
  const claims = accessTokenClaims(granted, {
    issuer: ctx.config.issuer,
    clientId: client.id,
    now,
    lifetimeSeconds: lifetime,
    cnf: confirmation?.cnf,
  })
  return {
    access_token: await ctx.keys.sign('at+jwt', target.alg, claims),
    token_type: confirmation?.tokenType ?? 'Bearer',
    expires_in: Math.max(0, lifetime),
    // JSON leaves out what is undefined.
    scope: target.scope || undefined,
    refresh_token: refresh?.token,
    refresh_token_timeout: refresh && leftUntil(expiresAt),
    authorization_expires_in: refresh && leftUntil(refresh.absoluteExpiresAt),
    device_token: deviceToken,
  }
}
