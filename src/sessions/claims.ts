import type { SessionTable, UserTable } from '../../db/schema.ts'
import type { Session } from '../../db/sessions/sessions.ts'
import { findUserById } from '../../db/users/users.ts'
import type { Client, Registry } from '../clients/registry.ts'
import { knownWishes } from '../clients/wishes.ts'
import type { Context } from '../context.ts'
import { claimsFor, type RequestedClaims } from '../protocol/claims.ts'
import { claimsBytesMax, fittingClaims } from '../protocol/fitting-claims.ts'
import type { Identity } from '../protocol/id-token.ts'
import { hasOpenid } from '../protocol/openid-scopes.ts'
import { ownClaimValue, type OwnClaim } from '../protocol/own-claims.ts'
import { logsPeopleIn } from '../protocol/request-target.ts'
import {
  groupsOf,
  isForAllAlone,
  rolesWithGroups,
  type KnownGroups,
  type RoleHolder,
} from '../protocol/roles.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { parseUserClaims } from '../protocol/standard-claims.ts'
import { itemsOf } from '../values/list.ts'
import type { Granted, Grounds } from './granted.ts'
import { claimsWantedBy, type Target, type WithRegistry } from './target.ts'

/** The names of claims that an authorization request has named, for each place, as a session keeps them. */
type NamedClaims = Pick<RequestedClaims, 'userinfo' | 'idToken'>

/** What a session keeps of the claims that its request named; null for nothing. */
export function keptClaims(claims: NamedClaims | null): string | null {
  if (!claims || claims.userinfo.length + claims.idToken.length === 0) return null
  const { userinfo, idToken } = claims
  return JSON.stringify({ userinfo, idToken } satisfies NamedClaims)
}

const noNames: NamedClaims = { userinfo: [], idToken: [] }

function namedClaims({ claims }: Pick<SessionTable, 'claims'>): NamedClaims {
  // Written by `keptClaims`.
  return claims === null ? noNames : (JSON.parse(claims) as NamedClaims)
}

type Claims = Readonly<Record<string, unknown>>
type Rows = Pick<Context, 'db'> & WithRegistry

interface WithIssuer {
  readonly config: Pick<Context['config'], 'issuer'>
}

/** Of whom the tokens tell, and whom they tell it. */
export interface Telling {
  readonly client: Client
  readonly session: Pick<SessionTable, 'user_id' | 'claims'>
  readonly holder: RoleHolder
  /** The user's row, where it is known: otherwise it is read only where it has something to say. */
  readonly user?: Pick<UserTable, 'username' | 'claims'>
  /** Of the authorization request, for the first token alone. */
  readonly nonce?: string | null
  /** For an answer, which has room for all; a token has it for what fits. */
  readonly isAnswer?: boolean
}

/**
 * Adds what the access token says of the user, by the wishes of its resource; and who that is, where the
 * tokens are for a client that people log in to and have the scope `openid`. Reads nothing where there is
 * nothing more to say than the roles of the user itself.
 */
export function withClaims(
  ctx: Rows & WithIssuer,
  granted: Grounds,
  telling: Telling,
): Granted | Promise<Granted> {
  const { target } = granted
  const { roles, group_names } = telling.holder
  const isShort = roles.length <= claimsBytesMax / 4
  const isUsual = target.claims === null && group_names === '' && isForAllAlone(roles) && isShort
  if (!isUsual || isIdentified(target, telling)) return addClaims(ctx, granted, telling)
  return { ...granted, claims: usualClaims(itemsOf(roles)) }
}

function isIdentified({ scope }: Pick<Target, 'scope'>, { client }: Pick<Telling, 'client'>): boolean {
  return hasOpenid(scope) && logsPeopleIn(client)
}

async function addClaims(ctx: Rows & WithIssuer, granted: Grounds, telling: Telling): Promise<Granted> {
  const { target } = granted
  const { client, session } = telling
  const isTold = isIdentified(target, telling)
  const idTokenHasMore = isTold && client.claims_in_id_token === 1
  const names = isTold ? namedClaims(session).idToken : []
  const scopes = idTokenHasMore ? itemsOf(target.scope) : []
  const wanted = idTokenHasMore ? itemsOf(client.claims) : []
  const needsUser = names.length + scopes.length > 0
  const facts = await factsFor(ctx, telling, [...(target.claims ?? []), ...wanted], needsUser)
  const whole = claimsAt(facts, target)
  const claims = telling.isAnswer === true ? whole : fittingAt(ctx, whole, target)
  if (!isTold) return { ...granted, claims }
  const { nonce = null } = telling
  const ofUser = userClaims(facts, { scopes, names, wanted })
  const identity: Identity = { nonce, claims: fittingClaims(ofUser, `${ctx.config.issuer}/userinfo`) }
  return { ...granted, claims, identity }
}

/** The API that an access token is for finds the rest where it asks about it. */
function fittingAt({ config }: WithIssuer, claims: Claims, { details }: Pick<Target, 'details'>): Claims {
  return fittingClaims(claims, `${config.issuer}/introspect`, details)
}

type WholeSession = Pick<Session, 'user_id' | 'claims' | 'username' | 'user_claims' | 'roles' | 'group_names'>

/**
 * All that the access tokens of a session have to say of its user to this audience, as it is now: also what
 * has no room in them.
 */
export async function wholeClaims(ctx: Rows, session: WholeSession, audience: string): Promise<Claims> {
  const [resource] = await ctx.clients.registry.findResources(audience)
  const claims = claimsWantedBy(resource)
  const { username, user_claims } = session
  const user = username === null ? undefined : { username, claims: user_claims }
  const facts = await factsFor(ctx, { holder: session, session, ...(user && { user }) }, claims ?? [], false)
  return claimsAt(facts, { claims, audience })
}

/** What the access token of a machine says beside `sub`: it has no roles, and is in no group. */
export async function claimsOfMachine(
  ctx: WithRegistry & WithIssuer,
  target: Pick<Target, 'claims' | 'audience' | 'details'>,
): Promise<Claims> {
  if (target.claims === null) return {}
  const own = await ownClaimsFor(ctx.clients.registry, target.claims)
  return fittingAt(ctx, claimsAt({ holder: nobody, groups: new Map(), own, user: undefined }, target), target)
}

const nobody: RoleHolder = { roles: '', group_names: '' }

/** All that claims are made of. */
export interface ClaimFacts {
  readonly holder: RoleHolder
  readonly groups: KnownGroups
  readonly own: ReadonlyMap<string, OwnClaim>
  /** Undefined for a machine, and where no claim needs it. */
  readonly user: Pick<UserTable, 'username' | 'claims'> | undefined
}

/** Reads as little as these claims need: who is in no group asks for none. */
async function factsFor(
  { db, clients: { registry } }: Rows,
  { holder, session, user: known }: Pick<Telling, 'holder' | 'session' | 'user'>,
  wanted: readonly string[],
  needsUser: boolean,
): Promise<ClaimFacts> {
  const groups: KnownGroups = holder.group_names === '' ? new Map() : await registry.groups()
  const own = await ownClaimsFor(registry, wanted)
  const isRead = needsUser || wanted.some(name => isOfField(own.get(name)))
  // It may have been deleted just now.
  const user = known ?? (isRead && session.user_id ? await findUserById(db, session.user_id) : undefined)
  return { holder, groups, own, user }
}

async function ownClaimsFor(
  registry: Registry,
  wanted: readonly string[],
): Promise<ReadonlyMap<string, OwnClaim>> {
  return wanted.every(name => knownWishes.includes(name)) ? new Map() : registry.ownClaims()
}

function isOfField(claim: OwnClaim | undefined): boolean {
  return claim !== undefined && 'user' in claim.source
}

/** The claims of an access token: those that its resource wants, or `roles`, where there are any. */
function claimsAt(facts: ClaimFacts, { claims, audience }: Pick<Target, 'claims' | 'audience'>): Claims {
  const roles = rolesWithGroups(facts.holder, facts.groups, audience)
  return claims === null ? usualClaims(roles) : wantedClaims(facts, claims, roles)
}

/** What tokens say for a resource, or of none, that has not told what it wants. */
function usualClaims(roles: readonly string[]): Claims {
  return roles.length === 0 ? {} : { roles }
}

/** The claims of these names. Lists are lists also where they are empty. */
function wantedClaims(
  { holder, groups: known, own, user }: ClaimFacts,
  names: readonly string[],
  roles: readonly string[],
): Claims {
  const groups = groupsOf(holder, known)
  const facts = { user: user && { ...user, claims: parseUserClaims(user.claims) }, roles, groups }
  const claims: Record<string, unknown> = {}
  for (const name of names) {
    const claim = own.get(name)
    const value = name === 'roles' ? roles : name === 'groups' ? groups : claim && ownClaimValue(claim, facts)
    if (value !== undefined) claims[name] = value
  }
  return claims
}

interface AskedClaims {
  readonly scopes: readonly string[]
  readonly names: readonly string[]
  readonly wanted: readonly string[]
}

/** What a client learns of its user: of roles, those that are for all resources. */
function userClaims(facts: ClaimFacts, { scopes, names, wanted }: AskedClaims): Claims {
  const roles = rolesWithGroups(facts.holder, facts.groups, undefined)
  const ofUser = facts.user ? claimsFor({ ...facts.user, roles }, { scopes, names }) : {}
  return { ...wantedClaims(facts, wanted, roles), ...ofUser }
}

/**
 * What /userinfo says of the user of a session, by a token of this scope (OpenID Connect Core §5.3.2);
 * undefined where there is none, or none any more.
 */
export async function userinfoOf(
  ctx: Rows,
  client: Client,
  session: Pick<Session, 'user_id' | 'username' | 'user_claims' | 'claims' | 'roles' | 'group_names'>,
  scope: string,
): Promise<Claims | undefined> {
  const { user_id: userId, username, user_claims: claims } = session
  if (userId === null || username === null) return undefined
  const wanted = itemsOf(client.claims)
  const telling = { client, session, holder: session, user: { username, claims } }
  const facts = await factsFor(ctx, telling, wanted, true)
  const asked = { scopes: itemsOf(scope), names: namedClaims(session).userinfo, wanted }
  return { ...userClaims(facts, asked), sub: formatUuid(userId) }
}
