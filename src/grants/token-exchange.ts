import { spendProof } from '../clients/confirmation.ts'
import type { Client, Resource } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import type { Claims } from '../keys/ring/ring.ts'
import {
  actOf,
  actorsMax,
  countActors,
  earlierMax,
  earlierSessions,
  mayAct,
  withActor,
  type ActClaim,
  type EarlierSession,
} from '../protocol/act.ts'
import type { AuthorizationDetails } from '../protocol/authorization-details.ts'
import type { Form } from '../protocol/form.ts'
import { isOpenidScope } from '../protocol/openid-scopes.ts'
import { isOwnRole } from '../protocol/roles.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { issuedTokenType } from '../protocol/token-types.ts'
import { byClient, recordAlone } from '../record/record.ts'
import { claimsOfMachine, withClaims } from '../sessions/claims.ts'
import { openExchanged, type PresentedToken } from '../sessions/exchanged.ts'
import { userOf, type Granted } from '../sessions/granted.ts'
import { machineSession } from '../sessions/machine-session.ts'
import { detailsWithin, resourcesOf, targetOf, type Target } from '../sessions/target.ts'
import { rolesNow } from '../users/roles.ts'
import { itemsOf } from '../values/list.ts'
import type { Grant, TokenRequest } from './grant.ts'

/**
 * RFC 8693: a client that was called with a token gets one for the API that it calls itself. The new token is
 * of the same session, so it ends with that; it is never for more nor for longer, and it says who acts.
 */
export const tokenExchangeGrant: Grant = {
  rank: 'other',
  decide: async (ctx, request) => {
    const { client, form, confirmation } = request
    if (client.auth_method === 'none')
      throw new OAuthError('unauthorized_client', 'only a confidential client may exchange tokens')
    const type = issuedTokenType(form)
    const subject = await openExchanged(ctx, request, 'subject_token')
    const actor = form.has('actor_token') ? await openExchanged(ctx, request, 'actor_token') : undefined
    const target = targetWithin(ctx, { client, resources: await resourcesOf(ctx, client) }, form, subject)
    const acting = actingOf(client, subject, actor)
    if (acting.isHidden) await refuseAdministrator(ctx, subject)
    if (confirmation?.proof) await spendProof(ctx, confirmation.proof)
    const exchange: Exchange = { subject, actor, target, ...acting }
    return { ...(await grantedOf(ctx, request, exchange)), issuedTokenType: type }
  },
}

/** Who acts for the subject, as the new token says it. */
interface Acting {
  readonly act: ActClaim | undefined
  /** Whether it does not say so: the client impersonates a user (RFC 8693 §1.1). */
  readonly isHidden: boolean
}

interface Exchange extends Acting {
  readonly subject: PresentedToken
  readonly actor: PresentedToken | undefined
  readonly target: Target
}

/**
 * What the new token is for: no scope that the subject token does not have, and none that the resource does
 * not know or the client was not given. Those of OpenID Connect are for the client of the session alone.
 */
function targetWithin(
  { config }: Pick<Context, 'config'>,
  { client, resources }: { readonly client: Client; readonly resources: readonly Resource[] },
  form: Form,
  { claims, session }: PresentedToken,
): Target {
  // Without one it would be for this server itself.
  if (resources.length === 0)
    throw new OAuthError('invalid_target', 'the client has no resource that it may exchange tokens for')
  const [named, another] = new Set(['resource', 'audience'].flatMap(name => form.get(name) ?? []))
  if (another !== undefined)
    throw new OAuthError(
      'invalid_target',
      'a token is for one resource: name one, as resource or as audience',
    )
  const asked = new Map(named === undefined ? [] : [['resource', named]])
  const askedScope = form.get('scope')
  if (askedScope !== undefined) asked.set('scope', askedScope)

  const scopes = itemsOf(String(claims['scope'] ?? '')).filter(scope => !isOpenidScope(scope))
  // A user who has allowed a client one resource has allowed it no other.
  const resource = session.client_id === client.id ? session.resource : null
  const target = targetOf({ config }, { client, resources }, asked, { scope: scopes.join(' '), resource })
  const details = detailsFor(form, { client, resources, target }, claims)
  const isForSomething = ['scope', 'authorization_details'].some(name => claims[name] !== undefined)
  if (target.scope === '' && details.length === 0 && isForSomething)
    throw new OAuthError(
      'invalid_scope',
      'nothing that the subject_token allows is something that this client may have there',
    )
  return { ...target, details }
}

/** What exactly the subject token allows goes no further than its own API. */
function detailsFor(
  form: Form,
  { client, resources, target }: { client: Client; resources: readonly Resource[]; target: Target },
  claims: PresentedToken['claims'],
): AuthorizationDetails {
  const resource = resources.find(({ uri }) => uri === target.audience)
  const said = target.audience === claims['aud'] ? claims['authorization_details'] : undefined
  // Of a token of ours.
  const granted = (said ?? []) as AuthorizationDetails
  return detailsWithin(form, { client, resource, granted })
}

/**
 * Who acts: the party of the actor token, or else the client, which says so unless it may impersonate users.
 * Throws `invalid_request`.
 */
function actingOf(client: Client, subject: PresentedToken, actor: PresentedToken | undefined): Acting {
  const { claims, session } = subject
  const party = actor
    ? { sub: String(actor.claims['sub']), sid: String(actor.claims['sid']) }
    : { sub: client.id }
  const before = actOf(claims)
  if (!mayAct(claims, party)) throw unacceptable('the subject_token names another that may act (may_act)')
  if (actor && actOf(actor.claims))
    throw unacceptable('the actor_token is one with which somebody acts for another already')
  if (party.sub === claims['sub']) {
    // Otherwise a user's own token would hide who acts.
    if (party.sub !== client.id) throw unacceptable('the actor_token is of the subject itself')
    if (!before) return { act: undefined, isHidden: false }
  }
  if (!actor && client.may_impersonate === 1 && session.user_id) {
    if (before) throw unacceptable('somebody acts already with the subject_token: send an actor_token too')
    return { act: undefined, isHidden: true }
  }
  const act = withActor(before, party)
  if (countActors(act) > actorsMax) throw tooMany()
  return { act, isHidden: false }
}

/** Administrators are not impersonated: any role of this server's own makes one, whatever it allows. */
async function refuseAdministrator({ db }: Pick<Context, 'db'>, { session }: PresentedToken): Promise<void> {
  if ((await rolesNow(db, session)).some(isOwnRole))
    throw unacceptable(
      'the subject administers this server: send an actor_token, so that the token says who acts',
    )
}

/** RFC 8693 §2.2.2: policy is told by the same code. */
const unacceptable = (description: string) => new OAuthError('invalid_request', description)

const tooMany = () => unacceptable('too many have acted with the subject_token, one for another')

/** The token, once nothing stands in its way; an impersonation is in the audit trail before. */
async function grantedOf(
  ctx: Context,
  { client, caller }: TokenRequest,
  { subject: { claims, session }, actor, target, act, isHidden }: Exchange,
): Promise<Granted> {
  const own = await machineSession(ctx, client, caller)
  if (isHidden) {
    await recordAlone(byClient(ctx, client.id, caller), {
      event: 'user_impersonated',
      userId: userOf(session),
      clientId: client.id,
      sessionId: session.id,
      detail: { resource: target.audience, scope: itemsOf(target.scope) },
    })
  }
  const ends = [session.expires_at, claims['exp'], actor?.claims['exp'] ?? Infinity].map(Number)
  const grounds = {
    target,
    subject: String(claims['sub']),
    sessionId: session.id,
    authTime: Number(claims['auth_time']),
    amr: Array.isArray(claims['amr']) ? claims['amr'].join(' ') : '',
    statusPosition: session.status_position,
    expiresAt: Math.min(...ends),
    exchange: {
      ...(act && { act }),
      ...(claims['may_act'] !== undefined && { may_act: claims['may_act'] }),
      session_client_id: session.client_id,
      client_sid: formatUuid(own.id),
      ...earlierOf({ subject: claims, actor: actor?.claims, ownSid: formatUuid(own.id) }),
    },
  }
  if (session.user_id === null) return { ...grounds, claims: await claimsOfMachine(ctx, target) }
  return withClaims(ctx, grounds, { client, session, holder: session })
}

interface Chain {
  readonly subject: Claims
  readonly actor: Claims | undefined
  readonly ownSid: string
}

/** The sessions of who had a part in either token, each once: the end of one ends this too. */
function earlierOf({ subject, actor = {}, ownSid }: Chain): {
  readonly earlier_sessions?: readonly EarlierSession[]
} {
  const named = new Map([...earlierSessions(subject), ...earlierSessions(actor)].map(one => [one.sid, one]))
  named.delete(ownSid)
  if (named.size > earlierMax) throw tooMany()
  return named.size === 0 ? {} : { earlier_sessions: [...named.values()] }
}
