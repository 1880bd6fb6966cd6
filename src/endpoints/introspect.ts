import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { IncomingRequest } from '../clients/caller.ts'
import { authenticateClient } from '../clients/client-auth.ts'
import { type Client, isAdmin } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { logOf } from '../http/request-log.ts'
import type { Claims } from '../keys/ring/ring.ts'
import { formOf, requireParameter, type Form } from '../protocol/form.ts'
import { judgeRefresh } from '../protocol/refresh-verdict.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { wholeClaims } from '../sessions/claims.ts'
import { whyExchangeEnded } from '../sessions/exchanged.ts'
import { isForked } from '../sessions/key-binding.ts'
import { usePersonalToken } from '../sessions/personal-tokens.ts'
import { policyOf } from '../sessions/refresh-policy.ts'
import { resourcesOf, targetOf, type Target } from '../sessions/target.ts'
import { countTokenUse } from '../sessions/token-uses.ts'
import { findTokenSession, isHolder, type FoundToken, type TokenSession } from '../sessions/token-session.ts'

/** RFC 9701 §6.1: what a caller gets that has registered no other. */
export const introspectionAlg = 'RS256'

const signedType = 'application/token-introspection+jwt'

/**
 * POST /introspect (RFC 7662), answered with a signed JWT for those who ask for one (RFC 9701). Changes
 * nothing. Without CORS: it is not for browsers.
 */
export function introspectEndpoint(app: FastifyInstance, ctx: Context): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const isSigned = request.accepts().type(['application/json', signedType]) === signedType
    const form = formOf(request.body)
    const client = await authenticateCaller(ctx, request, form, isSigned)
    const members = await introspection(ctx, client, requireParameter(form, 'token'), request)
    if (!isSigned) return members
    const jwt = await ctx.keys.sign('token-introspection+jwt', introspectionAlg, {
      iss: ctx.config.issuer,
      aud: client.id,
      iat: ctx.clock.now(),
      // Not among the claims, so that the whole is not taken for an access token (RFC 9701 §5).
      token_introspection: members,
    })
    return reply.type(signedType).send(jwt)
  }
  app.post('/introspect', { config: { cors: false } }, (request, reply) =>
    ctx.load.admission.admit('other', () => answer(request, reply)),
  )
}

async function authenticateCaller(
  ctx: Context,
  request: IncomingRequest,
  form: Form,
  isSigned: boolean,
): Promise<Client> {
  try {
    const client = await authenticateClient(ctx, request, form)
    // RFC 7662 §4: otherwise anybody who knows a public client_id could try tokens out.
    if (client.auth_method !== 'none') return client
    throw new OAuthError('invalid_client', 'introspection is for clients that authenticate')
  } catch (error) {
    // RFC 9701 §5 demands 400 where RFC 7662 §2.3 has 401.
    if (!isSigned || !(error instanceof OAuthError) || error.status !== 401) throw error
    const { code, message, cause, facts } = error
    throw new OAuthError(code, message, { status: 400, cause, ...(facts && { facts }) })
  }
}

/** The answer to this caller about the token. */
async function introspection(
  ctx: Context,
  client: Client,
  token: string,
  request: FastifyRequest,
): Promise<Claims> {
  const found = await findTokenSession(ctx, token)
  const members = await membersOf(ctx, client, found)
  const isActive = typeof members === 'object'
  countTokenUse(ctx, { text: token, found }, isActive ? 'introspected' : undefined)
  if (isActive) return members
  const facts = { event: 'token_inactive', client_id: client.id, reason: members }
  logOf(request).info(facts, 'the token is not active')
  return { active: false }
}

/** The members for an active token; otherwise why this caller is told that it is not, for the log. */
async function membersOf(ctx: Context, client: Client, found: TokenSession): Promise<Claims | string> {
  if (found.kind === 'none') return found.reason
  const reason = whyInactive(client, found, ctx.clock.now())
  if (reason !== undefined) return reason
  if (found.kind === 'access_token')
    return (await whyExchangeEnded(ctx, found.claims)) ?? (await accessTokenMembers(ctx, found))
  if (found.kind === 'personal_access_token') return personalTokenMembers(ctx, found)
  const told = await previewRefresh(ctx, found)
  return typeof told === 'string' ? told : refreshTokenMembers(ctx, found, told)
}

function whyInactive(client: Client, found: FoundToken, now: number): string | undefined {
  const { session } = found
  const isOwn = isHolder(client, found) || isAdmin(client)
  if (found.kind === 'refresh_token' && !isOwn) return "the refresh token is another client's"
  const audience = found.kind === 'access_token' ? found.claims['aud'] : session.resource
  if (found.kind !== 'refresh_token' && !isOwn && !introspects(client, audience))
    return `the ${found.kind.replaceAll('_', ' ')} is for ${String(audience)}, which the caller may not introspect`
  if (session.revoked_at !== null) return `the session was revoked (${session.revoke_reason})`
  if (!session.isOfThisEpoch) return "the session was ended by a change of its user's or client's epoch"
  // No token is made that outlives its session; but the limits of a client may have been lowered since.
  if (found.kind !== 'refresh_token' && session.expires_at <= now) return 'the session has expired'
  return undefined
}

function introspects(client: Client, audience: unknown): boolean {
  return typeof audience === 'string' && client.introspects.split(' ').includes(audience)
}

/** A token that is bound to a DPoP key is of no use as a bearer token. */
function tokenTypeOf({ cnf }: Readonly<Record<string, unknown>>): 'DPoP' | 'Bearer' {
  return typeof cnf === 'object' && cnf !== null && 'jkt' in cnf ? 'DPoP' : 'Bearer'
}

/**
 * A refresh token is active while it could be used. So this judges a refresh that asks for nothing by name,
 * and does not do it. Returns the target of its access token, and until when that can be had; or why not.
 */
async function previewRefresh(
  ctx: Context,
  { session, token }: FoundRefreshToken,
): Promise<RefreshPreview | string> {
  const client = await ctx.clients.registry.findClient(session.client_id)
  if (!client) return 'the client is unknown'
  if (!client.grant_types.split(' ').includes('refresh_token')) return 'its client may not refresh any more'
  if (isForked(token, session)) return 'a refresh would end in theft'
  const { kind } = judgeRefresh(token.generation, session, ctx.clock.now(), policyOf(ctx, client, session))
  if (kind === 'theft' || kind === 'expired' || kind === 'exhausted') return `a refresh would end in ${kind}`
  try {
    const resources = await resourcesOf(ctx, client)
    const { scope, details } = targetOf(ctx, { client, resources }, new Map(), session)
    // The idle limit that the row has is one of the past, then.
    return { scope, details, expiresAt: kind === 'heal' ? session.absolute_expires_at : session.expires_at }
  } catch (error) {
    if (!(error instanceof OAuthError) || error.code !== 'invalid_target') throw error
    return 'its resource was taken from the client'
  }
}

type RefreshPreview = Pick<Target, 'scope' | 'details'> & { readonly expiresAt: number }

type FoundRefreshToken = Extract<TokenSession, { kind: 'refresh_token' }>

/**
 * RFC 7662 §2.2: what the token says (with `cnf`, RFC 9449 §6.2 and RFC 8705 §3.2), and what had no room in
 * it, and the user's name; not where its status is listed, for here it is known.
 */
async function accessTokenMembers(
  ctx: Context,
  { claims, session }: Extract<TokenSession, { kind: 'access_token' }>,
): Promise<Claims> {
  const { status, _claim_names: more, _claim_sources, ...members } = claims
  return {
    active: true,
    token_type: tokenTypeOf(claims),
    ...(session.username !== null && { username: session.username }),
    ...(more !== undefined && (await wholeClaims(ctx, session, String(claims['aud'])))),
    ...members,
  }
}

/** As of an access token: so an API that asks knows both alike. */
async function personalTokenMembers(
  ctx: Context,
  { session }: Extract<TokenSession, { kind: 'personal_access_token' }>,
): Promise<Claims | string> {
  const claims = await usePersonalToken(ctx, session)
  if (typeof claims === 'string') return claims
  ctx.sessions.noteTokenUse(session)
  const { username } = session
  return { active: true, token_type: 'Bearer', ...(username !== null && { username }), ...claims }
}

/**
 * Without a `token_type`: it is no token to call an API with. Scope and authorization details are those that
 * a refresh with it gives, and the two lifetimes are those of the token response.
 */
function refreshTokenMembers(
  { config, clock }: Context,
  { session }: FoundRefreshToken,
  { scope, details, expiresAt }: RefreshPreview,
) {
  return {
    active: true,
    iss: config.issuer,
    client_id: session.client_id,
    ...(scope !== '' && { scope }),
    ...(details.length > 0 && { authorization_details: details }),
    ...(session.user_id && { sub: formatUuid(session.user_id) }),
    ...(session.username !== null && { username: session.username }),
    exp: expiresAt,
    sid: formatUuid(session.id),
    auth_time: session.auth_time,
    refresh_token_timeout: expiresAt - clock.now(),
    authorization_expires_in: session.absolute_expires_at - clock.now(),
  }
}
