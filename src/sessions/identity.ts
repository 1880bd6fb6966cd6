import type { SessionTable, UserTable } from '../../db/schema.ts'
import type { Session } from '../../db/sessions/sessions.ts'
import { findUserById } from '../../db/users/users.ts'
import { usualAlg } from '../clients/fapi.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { claimsFor, type RequestedClaims } from '../protocol/claims.ts'
import { hasOpenid } from '../protocol/openid-scopes.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { itemsOf } from '../values/list.ts'
import type { Granted } from './granted.ts'
import { logsPeopleIn } from './target.ts'

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

type UserRow = Pick<UserTable, 'username' | 'roles' | 'claims'>

/**
 * Adds who the user is, where the tokens are for a client that people log in to and have the scope `openid`.
 * The user's row is read only where it has something to say, unless it is known.
 */
export function withIdentity(
  ctx: Pick<Context, 'db'>,
  granted: Granted,
  client: Client,
  session: SessionOfUser,
  known?: KnownIdentity,
): Granted | Promise<Granted> {
  if (!hasOpenid(granted.target.scope) || !logsPeopleIn(client)) return granted
  return addIdentity(ctx, granted, client, session, known)
}

type SessionOfUser = Pick<SessionTable, 'user_id' | 'claims'>

interface KnownIdentity {
  readonly user: UserRow
  readonly nonce: string | null
}

async function addIdentity(
  ctx: Pick<Context, 'db'>,
  granted: Granted,
  client: Client,
  session: SessionOfUser,
  known?: KnownIdentity,
): Promise<Granted> {
  const { scope } = granted.target
  const nonce = known?.nonce ?? null
  const names = namedClaims(session).idToken
  const scopes = client.claims_in_id_token === 1 ? itemsOf(scope) : []
  if (names.length + scopes.length === 0) return { ...granted, identity: { nonce, claims: {} } }
  const user = known?.user ?? (session.user_id && (await findUserById(ctx.db, session.user_id)))
  // It may have been deleted just now.
  const claims = user ? claimsFor(user, { scopes, names }) : {}
  return { ...granted, identity: { nonce, claims } }
}

/**
 * What /userinfo says of the user of a session, by a token of this scope (OpenID Connect Core §5.3.2);
 * undefined where there is none, or none any more.
 */
export function userinfoOf(session: Session, scope: string): Readonly<Record<string, unknown>> | undefined {
  const { user_id: userId, username, roles, user_claims: claims } = session
  if (userId === null || username === null) return undefined
  const names = namedClaims(session).userinfo
  return {
    ...claimsFor({ username, roles, claims }, { scopes: itemsOf(scope), names }),
    sub: formatUuid(userId),
  }
}

/**
 * The JWS algorithm for what a client has chosen one for. One that has just been chosen signs only when every
 * client can know its key.
 */
export function clientAlg({ keys }: Pick<Context, 'keys'>, client: Client, chosen: string): string {
  return keys.algs().includes(chosen) ? chosen : usualAlg(client)
}
