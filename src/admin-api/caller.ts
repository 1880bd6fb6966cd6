import type { FastifyRequest } from 'fastify'
import { proofUrls } from '../clients/confirmation.ts'
import { adminRoles } from '../protocol/admin-roles.ts'
import { callerOf, deviceCaller } from '../clients/caller.ts'
import { isAdmin } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { findFactors, hasSecondFactor } from '../factors/factors.ts'
import { levelsOf } from '../protocol/levels.ts'
import { normalUrl } from '../protocol/normal-url.ts'
import type { Actor } from '../record/actor.ts'
import { authenticateToken, hasEnded, invalidToken, type SessionOfToken } from '../sessions/sent-token.ts'
import { rolesNow } from '../users/roles.ts'
import { itemsOf } from '../values/list.ts'

/** What an act is about, as scopes name it. */
export type Noun = 'users' | 'sessions' | 'clients' | 'keys' | 'all'

/** What an act needs: to see, or to change, one kind of things. */
export interface Need {
  readonly noun: Noun
  /** Another kind, for who may see or change that alone: the act shows it nothing else. */
  readonly orNoun?: Noun
  readonly isChange: boolean
  /** Whether people need a log-in of just now: for what changes something, unless told. */
  readonly isFresh?: boolean
}

/** Who has sent a request that may be done. */
export interface AdminCaller {
  readonly actor: Actor
  /** Whether it may do less than everything. */
  readonly isLimited: boolean
  readonly may: (need: Need) => boolean
  /** The session, and what the token says. */
  readonly sent: SessionOfToken
}

const everything: Need = { noun: 'all', isChange: true }

/** How long ago people may have logged in who change something, in seconds. */
const freshSeconds = 3600

/**
 * Who is calling, by an access token for this server itself: an administrator's client (RFC 6749 §4.4), or
 * a person with a role for it, whose token must be bound to a DPoP key. What people change needs a log-in
 * of the last hour, and a second factor of who has one. Throws `invalid_token`, `insufficient_scope` and
 * `insufficient_user_authentication` (RFC 9470 §3), before anything is looked up.
 */
async function authenticateCaller(ctx: Context, request: FastifyRequest, need: Need): Promise<AdminCaller> {
  const { method, headers } = request
  const urls = () => {
    const path = new URL(request.url, 'http://x').pathname
    return [...proofUrls(ctx.config, path), normalUrl(ctx.config.adminUrl + path) ?? '']
  }
  const sent = await authenticateToken(ctx, { method, urls, headers, form: undefined })
  if (sent.claims['aud'] !== ctx.config.issuer)
    throw invalidToken(sent.scheme, 'the token is for another audience')
  return judge(ctx, request, sent, need)
}

const callers = new WeakMap<FastifyRequest, AdminCaller>()

/** Makes the hook that lets in who may do something, before a body is read. */
export function letIn(ctx: Context, need: Need): (request: FastifyRequest) => Promise<void> {
  return async request => void callers.set(request, await authenticateCaller(ctx, request, need))
}

/** Who was let in with a request. */
export function callerLetIn(request: FastifyRequest): AdminCaller {
  const caller = callers.get(request)
  if (!caller) throw new Error('unreachable: who is not let in does not come here')
  return caller
}

/** Throws where a caller that was let in may not do something more. */
export async function demand(
  ctx: Context,
  request: FastifyRequest,
  { sent }: Pick<AdminCaller, 'sent'>,
  need: Need,
): Promise<void> {
  await judge(ctx, request, sent, need)
}

/** Whether a caller that was let in would be let in again with the same token, as its session is now. */
export async function staysIn(
  ctx: Context,
  request: FastifyRequest,
  { sent }: Pick<AdminCaller, 'sent'>,
  { session, need }: { readonly session: SessionOfToken['session']; readonly need: Need },
): Promise<boolean> {
  if (hasEnded(session, ctx.clock.now())) return false
  try {
    await judge(ctx, request, { ...sent, session }, need)
    return true
  } catch (error) {
    if (error instanceof OAuthError && error.status < 500) return false
    throw error
  }
}

async function judge(
  ctx: Context,
  request: FastifyRequest,
  sent: SessionOfToken,
  need: Need,
): Promise<AdminCaller> {
  const { actor, limits } = sent.session.user_id
    ? await personOf(ctx, request, sent, need)
    : await machineOf(ctx, request, sent)
  const granted = itemsOf(sent.scope)
  const may = (need: Need) => isWithin(granted, need) && isWithin(limits, need)
  if (!may(need)) throw lacking(sent, scopesFor(need).join(' '))
  return { actor, isLimited: !may(everything), may, sent }
}

interface Known {
  readonly actor: Actor
  readonly limits: readonly string[]
}

async function machineOf(ctx: Context, request: FastifyRequest, sent: SessionOfToken): Promise<Known> {
  const client = await ctx.clients.registry.findClient(sent.session.client_id)
  if (!client || client.disabled_at !== null)
    throw invalidToken(sent.scheme, 'the client is unknown or disabled')
  if (!isAdmin(client)) throw noAdministrator(sent)
  const actor: Actor = { kind: 'client', id: client.id, caller: callerOf(request, client) }
  return { actor, limits: ['admin:write', 'admin:read'] }
}

async function personOf(
  ctx: Context,
  request: FastifyRequest,
  sent: SessionOfToken,
  need: Need,
): Promise<Known> {
  const { session, claims } = sent
  const { user_id: id } = session
  if (!id) throw new Error('unreachable: it is the session of a person')
  const limits = (await rolesNow(ctx.db, session)).flatMap(role => adminRoles.get(role) ?? [])
  if (limits.length === 0) throw noAdministrator(sent)
  const { jkt }: Record<string, unknown> = Object(claims['cnf'])
  if (jkt === undefined)
    throw new OAuthError('invalid_token', 'the token of a person must be bound to a DPoP key (RFC 9449)', {
      sent: { scheme: 'DPoP' },
    })
  if (need.isFresh ?? need.isChange) await refuseUnlessSure(ctx, sent, id)
  return { actor: { kind: 'user', id, caller: deviceCaller(request) }, limits }
}

/** A thief of a browser that was left alone changes nothing. */
async function refuseUnlessSure(
  ctx: Context,
  { session, scheme }: SessionOfToken,
  id: Buffer,
): Promise<void> {
  const isFresh = session.auth_time > ctx.clock.now() - freshSeconds
  const isStrong =
    levelsOf(itemsOf(session.amr)).includes('mfa') || !hasSecondFactor(await findFactors(ctx, id))
  if (isFresh && isStrong) return
  throw new OAuthError(
    'insufficient_user_authentication',
    'whoever changes something logs in again after an hour, with a second factor if there is one',
    {
      sent: {
        scheme,
        authentication: { ...(!isFresh && { maxAge: freshSeconds }), ...(!isStrong && { acr: 'mfa' }) },
      },
    },
  )
}

/** Scopes that each suffice, the narrowest first. They are asked for with each request, and needs are few. */
export function scopesFor(need: Need): readonly string[] {
  const found = scopesByNeed.get(need) ?? listScopes(need)
  scopesByNeed.set(need, found)
  return found
}

const scopesByNeed = new WeakMap<Need, readonly string[]>()

function listScopes({ noun, orNoun, isChange }: Need): readonly string[] {
  const ofNoun = [noun, orNoun]
    .filter(one => one !== undefined && one !== 'all')
    .flatMap(one => [...(isChange ? [] : [`admin:${one}:read`]), `admin:${one}`])
  return [...ofNoun, ...(isChange ? [] : ['admin:read']), 'admin:write']
}

function isWithin(scopes: readonly string[], need: Need): boolean {
  return scopesFor(need).some(scope => scopes.includes(scope))
}

/** No scope would be enough. */
function noAdministrator({ scheme }: SessionOfToken): OAuthError {
  return new OAuthError(
    'insufficient_scope',
    'only an administrator may do this: a client made with --admin, or a user with a role for it',
    { sent: { scheme } },
  )
}

function lacking({ scheme }: SessionOfToken, scope: string): OAuthError {
  return new OAuthError(
    'insufficient_scope',
    `the access token does not allow this: it takes the scope ${scope}`,
    {
      sent: { scheme, scope },
    },
  )
}
