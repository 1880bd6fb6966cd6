import type { SessionTable, UserTable } from '../../db/schema.ts'
import type { Session } from '../../db/sessions/sessions.ts'
import { findUserById } from '../../db/users/users.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { claimsFor, type RequestedClaims } from '../protocol/claims.ts'
import type { Identity } from '../protocol/id-token.ts'
import { hasOpenid } from '../protocol/openid-scopes.ts'
import {
  groupsOf,
  isForAllAlone,
  rolesWithGroups,
  type KnownGroups,
  type RoleHolder,
} from '../protocol/roles.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { itemsOf } from '../values/list.ts'
import type { Granted, Grounds } from './granted.ts'
import { logsPeopleIn, type Target } from './target.ts'

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
type Rows = Pick<Context, 'db' | 'clients'>

/** Of whom the tokens tell, and whom they tell it. */
export interface Telling {
  readonly client: Client
  readonly session: Pick<SessionTable, 'user_id' | 'claims'>
  readonly holder: RoleHolder
  /** The user's row, where it is known: otherwise it is read only where it has something to say. */
  readonly user?: UserTable
  /** Of the authorization request, for the first token alone. */
  readonly nonce?: string | null
}

/**
 * Adds what the access token says of the user, by the wishes of its resource; and who that is, where the
 * tokens are for a client that people log in to and have the scope `openid`. Reads nothing where there is
 * nothing more to say than the roles of the user itself.
 */
export function withClaims(ctx: Rows, granted: Grounds, telling: Telling): Granted | Promise<Granted> {
  const { target } = granted
  const { roles, group_names } = telling.holder
  const isUsual = target.claims === null && group_names === '' && isForAllAlone(roles)
  if (!isUsual || isIdentified(target, telling)) return addClaims(ctx, granted, telling)
  return { ...granted, claims: usualClaims(itemsOf(roles)) }
}

function isIdentified({ scope }: Pick<Target, 'scope'>, { client }: Pick<Telling, 'client'>): boolean {
  return hasOpenid(scope) && logsPeopleIn(client)
}

async function addClaims(ctx: Rows, granted: Grounds, telling: Telling): Promise<Granted> {
  const { target } = granted
  const { holder } = telling
  const groups = await groupsFor(ctx, holder)
  const roles = rolesWithGroups(holder, groups, target.audience)
  const claims =
    target.claims === null ? usualClaims(roles) : wantedClaims(target.claims, { holder, groups, roles })
  if (!isIdentified(target, telling)) return { ...granted, claims }
  return { ...granted, claims, identity: await identityOf(ctx, target, telling, groups) }
}

/** What the access token of a machine says beside `sub`: it has no roles, and is in no group. */
export function claimsOfMachine({ claims }: Pick<Target, 'claims'>): Claims {
  return claims === null ? {} : wantedClaims(claims, { holder: nobody, groups: new Map(), roles: [] })
}

const nobody: RoleHolder = { roles: '', group_names: '' }

/** What tokens say for a resource, or of none, that has not told what it wants. */
function usualClaims(roles: readonly string[]): Claims {
  return roles.length === 0 ? {} : { roles }
}

interface ClaimFacts {
  readonly holder: RoleHolder
  readonly groups: KnownGroups
  /** For the audience of the token. */
  readonly roles: readonly string[]
}

/** The claims of these names. Lists are lists also where they are empty. */
function wantedClaims(names: readonly string[], { holder, groups, roles }: ClaimFacts): Claims {
  const claims: Record<string, unknown> = {}
  for (const name of names) {
    if (name === 'roles') claims[name] = roles
    if (name === 'groups') claims[name] = groupsOf(holder, groups)
  }
  return claims
}

/** Who is in no group asks for none. */
async function groupsFor(
  { clients }: Pick<Rows, 'clients'>,
  { group_names }: RoleHolder,
): Promise<KnownGroups> {
  return group_names === '' ? new Map() : clients.registry.groups()
}

async function identityOf(
  ctx: Rows,
  { scope }: Target,
  { client, session, holder, user: known, nonce = null }: Telling,
  groups: KnownGroups,
): Promise<Identity> {
  const names = namedClaims(session).idToken
  const isTold = client.claims_in_id_token === 1
  const scopes = isTold ? itemsOf(scope) : []
  const wanted = isTold ? itemsOf(client.claims) : []
  if (names.length + scopes.length === 0) return { nonce, claims: {} }
  const roles = rolesWithGroups(holder, groups, undefined)
  const user = known ?? (session.user_id && (await findUserById(ctx.db, session.user_id)))
  // It may have been deleted just now.
  const ofUser = user ? claimsFor({ ...user, roles }, { scopes, names }) : {}
  return { nonce, claims: { ...ofUser, ...wantedClaims(wanted, { holder, groups, roles }) } }
}

/**
 * What /userinfo says of the user of a session, by a token of this scope (OpenID Connect Core §5.3.2);
 * undefined where there is none, or none any more.
 */
export async function userinfoOf(
  ctx: Pick<Rows, 'clients'>,
  client: Client,
  session: Session,
  scope: string,
): Promise<Claims | undefined> {
  const { user_id: userId, username, user_claims: claims } = session
  if (userId === null || username === null) return undefined
  const groups = await groupsFor(ctx, session)
  const roles = rolesWithGroups(session, groups, undefined)
  const names = namedClaims(session).userinfo
  return {
    ...claimsFor({ username, roles, claims }, { scopes: itemsOf(scope), names }),
    ...wantedClaims(itemsOf(client.claims), { holder: session, groups, roles }),
    sub: formatUuid(userId),
  }
}
