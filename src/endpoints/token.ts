import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { callerOf } from '../clients/caller.ts'
import { authenticateClient } from '../clients/client-auth.ts'
import { confirmationOf, requireProof, tokenUrls, type Confirmation } from '../clients/confirmation.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { clientCredentials } from '../grants/client-credentials.ts'
import type { Grant, Granted } from '../grants/grant.ts'
import { password } from '../grants/password.ts'
import { refreshToken } from '../grants/refresh-token.ts'
import { checkOrigin } from '../http/origins.ts'
import { dpopNonces } from '../keys/proofs/dpop-nonces.ts'
import type { Rank } from '../load/pressure.ts'
import { accessTokenClaims } from '../protocol/access-token.ts'
import { formOf, required } from '../protocol/form.ts'
import { countOne, refusalOf } from '../record/counts.ts'
import { networkOf } from '../values/addresses.ts'

export const grants: ReadonlyMap<string, Grant> = new Map([
  ['password', password],
  ['refresh_token', refreshToken],
  ['client_credentials', clientCredentials],
])

/** POST /token (RFC 6749 §3.2): the only place that issues tokens. */
export function tokenEndpoint(app: FastifyInstance, ctx: Context): void {
  const dpop = { urls: tokenUrls(ctx.config), nonces: dpopNonces(ctx.rootKeys, ctx.now) }
  const answer = async (request: FastifyRequest, reply: FastifyReply, call: Call) => {
    const form = formOf(request.body)
    const { dpop: header } = request.headers
    // First, so that a proof which only lacks a nonce has cost nothing, an assertion for instance.
    const offerNonce = () => reply.header('dpop-nonce', dpop.nonces.current())
    if (header !== undefined) offerNonce()
    const proof = header === undefined ? undefined : requireProof(ctx.now(), String(header), dpop)
    const client = await authenticateClient(ctx, request, form)
    if (client.dpop_bound === 1) offerNonce()
    call.clientId = client.id
    checkOrigin(ctx, client, request, reply)

    const grantType = required(form, 'grant_type')
    const grant = grants.get(grantType)
    if (!grant) throw new OAuthError('unsupported_grant_type', 'the grant type is not one of this server')
    call.grantType = grantType
    if (!client.grant_types.split(' ').includes(grantType)) {
      throw new OAuthError('unauthorized_client', 'the client has not been given this grant type')
    }
    const confirmation = confirmationOf(client, request.headers, proof)
    const caller = callerOf(request, client)
    return tokenResponse(ctx, client, await grant(ctx, client, form, caller, confirmation), confirmation)
  }

  app.post('/token', async (request, reply) => {
    const call: Call = { clientId: '', grantType: '' }
    const rank = rankOf(request.body)
    // Nobody who can make refreshes has ever been a stranger.
    const source = rank === 'refresh' ? undefined : networkOf(request.ip)
    try {
      const response = await ctx.pressure.admit(rank, () => answer(request, reply, call), source)
      ctx.counts.ofGrant(call.clientId, call.grantType).granted++
      return response
    } catch (error) {
      countOne(ctx.counts.ofGrant(call.clientId, call.grantType).refused, refusalOf(error))
      // Not while it is under way: whoever waits here takes nobody's place.
      if (rank === 'log_in' && isTooMany(error)) await ctx.brake()
      throw error
    }
  })
}

/** Whether it was refused unheard, which costs whoever guesses nothing. */
function isTooMany(error: unknown): boolean {
  return error instanceof OAuthError && (error.status === 429 || error.status === 503)
}

function rankOf(body: unknown): Rank {
  const grantType = body instanceof Map ? body.get('grant_type') : undefined
  return grantType === 'refresh_token' ? 'refresh' : grantType === 'password' ? 'log_in' : 'other'
}

/** What is known of a request by the time it is counted. */
interface Call {
  clientId: string
  grantType: string
}

/** RFC 6749 §5.1, with the two lifetimes of draft-ietf-oauth-refresh-token-expiration, and our own `device_token`. */
async function tokenResponse(
  ctx: Context,
  client: Client,
  granted: Granted,
  confirmation: Confirmation | undefined,
) {
  const { target, refresh, deviceToken, expiresAt } = granted
  const now = ctx.now()
  const lifetime = Math.min(target.accessTokenSeconds, expiresAt - now)
  // The session may have ended by the clock while the request was answered.
  const leftUntil = (end: number) => Math.max(0, end - now)
  const { audience, scope, hasStatus } = target
  const facts = {
    ...granted,
    clientId: client.id,
    audience,
    scope,
    statusPosition: hasStatus ? granted.statusPosition : undefined,
    cnf: confirmation?.cnf,
  }
  const claims = accessTokenClaims(ctx.config.issuer, facts, now, lifetime)
  return {
    access_token: await ctx.keys.sign('at+jwt', target.alg, claims),
    token_type: confirmation?.tokenType ?? 'Bearer',
    expires_in: Math.max(0, lifetime),
    ...(target.scope === '' ? {} : { scope: target.scope }),
    ...(refresh && {
      refresh_token: refresh.token,
      refresh_token_timeout: leftUntil(expiresAt),
      authorization_expires_in: leftUntil(refresh.absoluteExpiresAt),
    }),
    ...(deviceToken !== undefined && { device_token: deviceToken }),
  }
}
