import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import type { TokenRequest } from '../grants/grant.ts'
import { accessTokenClaims } from '../protocol/access-token.ts'
import { idTokenClaims, type Identity } from '../protocol/id-token.ts'
import { clientAlg } from '../clients/client-alg.ts'
import type { Granted } from '../sessions/granted.ts'

/**
 * RFC 6749 §5.1, with the two lifetimes of draft-ietf-oauth-refresh-token-expiration, the
 * `issued_token_type` of RFC 8693 §2.2.1, and our own `device_token`.
 */
export async function tokenResponse(ctx: Context, { client, confirmation }: TokenRequest, granted: Granted) {
  const { target, identity, refresh, deviceToken, issuedTokenType, expiresAt } = granted
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
  const accessToken = await ctx.keys.sign('at+jwt', target.alg, claims)
  return {
    access_token: accessToken,
    // JSON leaves out what is undefined.
    issued_token_type: issuedTokenType,
    token_type: confirmation?.tokenType ?? 'Bearer',
    expires_in: Math.max(0, lifetime),
    scope: target.scope || undefined,
    // RFC 9396 §7
    authorization_details: target.details.length > 0 ? target.details : undefined,
    id_token: identity && (await idToken(ctx, client, { granted, identity, accessToken, now })),
    refresh_token: refresh?.token,
    refresh_token_timeout: refresh && leftUntil(expiresAt),
    authorization_expires_in: refresh && leftUntil(refresh.absoluteExpiresAt),
    device_token: deviceToken,
  }
}

interface IdTokenOrder {
  readonly granted: Granted
  readonly identity: Identity
  readonly accessToken: string
  readonly now: number
}

/** The ID token that comes with an access token (OpenID Connect Core §3.1.3.3). */
async function idToken(
  ctx: Context,
  client: Client,
  { granted, identity, accessToken, now }: IdTokenOrder,
): Promise<string> {
  const alg = clientAlg(ctx, client, client.id_token_alg)
  const claims = idTokenClaims(identity, granted, {
    issuer: ctx.config.issuer,
    clientId: client.id,
    now,
    // It tells of this moment, and not of the session: how short the API's tokens are does not matter.
    lifetimeSeconds: ctx.config.accessTokenSeconds,
    accessToken,
    alg,
  })
  return ctx.keys.sign('JWT', alg, claims)
}
