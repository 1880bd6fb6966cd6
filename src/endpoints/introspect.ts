import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Session } from '../../db/sessions.ts'
import { authenticateClient } from '../clients/client-auth.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import type { IncomingRequest } from '../http/caller.ts'
import type { Claims } from '../keys/ring.ts'
import { formOf, required, type Form } from '../protocol/form.ts'
import { judgeRefresh } from '../protocol/refresh-verdict.ts'
import { formatUuid } from '../protocol/secrets.ts'
import type { Client } from '../registry.ts'
import { policyOf } from '../sessions/refresh-policy.ts'
import { findTokenSession, isAdmin, type TokenSession } from '../sessions/token-session.ts'

/** RFC 9701 §6.1: what a caller gets that has registered no other. */
export const introspectionAlg = 'RS256'

const signedType = 'application/token-introspection+jwt'

/**
 * POST /introspect (RFC 7662), answered with a signed JWT for those who ask for one (RFC 9701). Changes nothing. Not for
 * browsers, hence without CORS.
 */
export function introspectEndpoint(app: FastifyInstance, ctx: Context): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply) => {
    const isSigned = request.accepts().type(['application/json', signedType]) === signedType
    const form = formOf(request.body)
    const client = await authenticateCaller(ctx, request, form, isSigned)
    const members = await introspection(ctx, client, required(form, 'token'), request.log)
    if (!isSigned) return members
    const jwt = await ctx.keys.sign('token-introspection+jwt', introspectionAlg, {
      iss: ctx.config.issuer,
      aud: client.id,
      iat: ctx.now(),
      // Not among the claims, lest the whole be taken for an access token (RFC 9701 §5).
      token_introspection: members,
    })
    return reply.type(signedType).send(jwt)
  }
  app.post('/introspect', { config: { cors: false } }, (request, reply) =>
    ctx.pressure.admit('other', () => answer(request, reply)),
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
    // RFC 7662 §4: otherwise whoever knows a public client_id could try tokens out.
    if (client.auth_method !== 'none') return client
    throw new OAuthError('invalid_client', 'introspection is for clients that authenticate')
  } catch (error) {
    // RFC 9701 §5 demands 400 where RFC 7662 §2.3 has 401.
    if (!isSigned || !(error instanceof OAuthError) || error.status !== 401) throw error
    const { code, message, cause, facts } = error
    throw new OAuthError(code, message, { status: 400, cause, ...(facts && { facts }) })
  }
}

/** What this caller is told about the token. */
async function introspection(
  ctx: Context,
  client: Client,
  token: string,
  log: Context['log'],
): Promise<Claims> {
  const found = await findTokenSession(ctx, token)
  const reason = (await whyInactive(ctx, client, found)) ?? ''
  if (reason !== '' || found.kind === 'none') {
    log.info({ event: 'token_inactive', client_id: client.id, reason }, 'the token is not active')
    return { active: false }
  }
  return found.kind === 'access_token' ? accessTokenMembers(found) : refreshTokenMembers(ctx, found)
}

/** Why this caller is told that the token is not active, for the log; undefined if it is. */
async function whyInactive(ctx: Context, client: Client, found: TokenSession): Promise<string | undefined> {
  if (found.kind === 'none') return found.reason
  const { session } = found
  const isOwn = session.client_id === client.id || isAdmin(client)
  if (found.kind === 'refresh_token' && !isOwn) return "the refresh token is another client's"
  if (found.kind === 'access_token' && !isOwn && !introspects(client, found.claims['aud'])) {
    return `the access token is for ${String(found.claims['aud'])}, which the caller may not introspect`
  }
  if (session.revoked_at !== null) return `the session was revoked (${session.revoke_reason})`
  if (!session.isOfThisEpoch) return "the session was ended by a change of its user's or client's epoch"
  return found.kind === 'refresh_token' ? whyUseless(ctx, session, found.generation) : undefined
}

function introspects(client: Client, audience: unknown): boolean {
  return typeof audience === 'string' && client.introspects.split(' ').includes(audience)
}

/** A token that is bound to a DPoP key is of no use as a bearer token. */
function tokenTypeOf({ cnf }: Readonly<Record<string, unknown>>): 'DPoP' | 'Bearer' {
  return typeof cnf === 'object' && cnf !== null && 'jkt' in cnf ? 'DPoP' : 'Bearer'
}

/** A refresh token is active while it could be used: what it would be told is judged, and not done. */
async function whyUseless(ctx: Context, session: Session, generation: number): Promise<string | undefined> {
  const owner = await ctx.registry.findClient(session.client_id)
  if (!owner) return 'the client is unknown'
  const verdict = judgeRefresh(generation, session, ctx.now(), policyOf(ctx, owner, session))
  return ['theft', 'expired', 'exhausted'].includes(verdict.kind)
    ? `a refresh would end in ${verdict.kind}`
    : undefined
}

/**
 * RFC 7662 §2.2: what the token says (with `cnf`, RFC 9449 §6.2 and RFC 8705 §3.2), and the user's name; not where its
 * status is listed, for here it is known.
 */
function accessTokenMembers({ claims, session }: Extract<TokenSession, { kind: 'access_token' }>) {
  const { status, ...members } = claims
  return {
    active: true,
    token_type: tokenTypeOf(claims),
    ...(session.username !== null && { username: session.username }),
    ...members,
  }
}

/** Without a `token_type`: it is no token to call an API with. The two lifetimes are those of the token response. */
function refreshTokenMembers(
  { config, now }: Context,
  { session }: Extract<TokenSession, { kind: 'refresh_token' }>,
) {
  return {
    active: true,
    iss: config.issuer,
    client_id: session.client_id,
    scope: session.scope,
    ...(session.user_id && { sub: formatUuid(session.user_id) }),
    ...(session.username !== null && { username: session.username }),
    exp: session.expires_at,
    sid: formatUuid(session.id),
    auth_time: session.auth_time,
    refresh_token_timeout: session.expires_at - now(),
    authorization_expires_in: session.absolute_expires_at - now(),
  }
}
