import type { ClientTable, UserTable } from '../../db/schema.ts'
import { openRegistry, type Client, type Registry } from '../clients/registry.ts'
import { OAuthError, Refusal } from '../errors.ts'
import { accessTokenClaims } from '../protocol/access-token.ts'
import { claimsBytesMax, leftOut } from '../protocol/fitting-claims.ts'
import { idTokenClaims } from '../protocol/id-token.ts'
import { logsPeopleIn } from '../protocol/request-target.ts'
import { withClaims, userinfoOf } from '../sessions/claims.ts'
import { grantedOf, type Granted, type GrantedSession } from '../sessions/granted.ts'
import { resourcesOf, targetOf, type Target } from '../sessions/target.ts'
import { itemsOf } from '../values/list.ts'
import type { Admin } from './admin.ts'
import { ruleOf, type ClaimPlace, type RuleFacts } from './claim-rules.ts'
import { existingClient } from './clients.ts'
import { existingUser } from './users.ts'

/** The log-in of which is asked what its tokens would say. */
export interface ImaginedLogIn {
  /** A name, or a `sub`. */
  readonly user: string
  readonly client: string
  readonly resource?: string | undefined
  /** Separated by spaces; without it, all of the client, and `openid` where people log in to it. */
  readonly scope?: string | undefined
}

/** One token, or the answer of /userinfo, of which only the claims are made: there is nothing to use. */
export interface ExplainedToken {
  readonly place: ClaimPlace
  /** About so long it would be, in characters. */
  readonly length: number
  readonly claims: readonly { readonly name: string; readonly value: unknown; readonly rule: string }[]
}

export interface ExplainedLogIn {
  readonly tokens: readonly ExplainedToken[]
  /** What to know of it. */
  readonly notes: readonly string[]
}

/** A header with a longer token is refused by many servers, in characters. */
const longToken = 6000

/**
 * What the tokens of a log-in would say, by the very functions that make them, and why. Nothing is stored,
 * and nothing signed. Refuses what a log-in could not get.
 */
export async function explainLogIn(admin: Admin, logIn: ImaginedLogIn): Promise<ExplainedLogIn> {
  const user = await existingUser({ db: admin.db }, logIn.user)
  const client = await existingClient({ db: admin.db }, logIn.client)
  const { registry } = openRegistry(admin.db)
  const target = await targetFor(admin, registry, client, logIn)
  const session = imaginedSession(admin, user, target)
  const { config, db, rootKeys } = admin
  const ctx = { config, db, clients: { registry } }
  const telling = { client, session, holder: user, user }
  const granted = await withClaims(ctx, grantedOf({ rootKeys }, session, target), telling)
  const claims = await payloads(admin, ctx, { user, client, granted })
  const facts: RuleFacts = {
    holder: user,
    groups: await registry.groups(),
    own: await registry.ownClaims(),
    wantedByResource: target.claims,
    wantedByClient: itemsOf(client.claims),
    scope: target.scope,
    audience: target.audience,
  }
  const tokens = claims.map(([place, payload]) => explained(place, payload, facts))
  return { tokens, notes: [...notesOf(user, client, tokens)] }
}

async function targetFor(
  { config }: Admin,
  registry: Registry,
  client: Client,
  { resource, scope }: ImaginedLogIn,
): Promise<Target> {
  const form = new Map(resource === undefined ? [] : [['resource', resource]])
  const openid = logsPeopleIn(client) ? ' openid' : ''
  const authorization = { scope: scope ?? `${client.scope}${openid}`.trim(), resource: null }
  if (scope !== undefined) form.set('scope', scope)
  try {
    const resources = await resourcesOf({ clients: { registry } }, client)
    return targetOf({ config }, { client, resources }, form, authorization)
  } catch (error) {
    if (error instanceof OAuthError && error.status < 500) throw new Refusal('invalid', error.message)
    throw error
  }
}

/** A log-in of this moment, by password. Its id is of no session. */
function imaginedSession({ clock }: Admin, user: UserTable, { accessTokenSeconds }: Target): GrantedSession {
  const now = clock.now()
  const expiresAt = now + accessTokenSeconds
  return {
    id: Buffer.alloc(16),
    user_id: user.id,
    auth_time: now,
    amr: 'pwd',
    expires_at: expiresAt,
    absolute_expires_at: expiresAt,
    status_position: 0,
    key_thumbprint: null,
    claims: null,
  }
}

interface Imagined {
  readonly user: UserTable
  readonly client: ClientTable
  readonly granted: Granted
}

async function payloads(
  { config, clock }: Admin,
  ctx: Parameters<typeof userinfoOf>[0],
  { user, client, granted }: Imagined,
): Promise<readonly (readonly [ClaimPlace, object])[]> {
  const { target, identity } = granted
  const issue = { issuer: config.issuer, clientId: client.id, now: clock.now() }
  const accessToken = accessTokenClaims(granted, {
    ...issue,
    lifetimeSeconds: target.accessTokenSeconds,
    cnf: undefined,
  })
  if (!identity) return [['access_token', accessToken]]
  const idToken = idTokenClaims(identity, granted, {
    ...issue,
    lifetimeSeconds: config.accessTokenSeconds,
    accessToken: '',
    alg: client.id_token_alg,
  })
  const session = { ...user, user_id: user.id, user_claims: user.claims, claims: null }
  const userinfo = (await userinfoOf(ctx, client, session, target.scope)) ?? {}
  return [
    ['access_token', accessToken],
    ['id_token', idToken],
    ['userinfo', userinfo],
  ]
}

function explained(place: ClaimPlace, payload: object, facts: RuleFacts): ExplainedToken {
  const text = JSON.stringify(payload)
  // Without what is undefined.
  const members: Readonly<Record<string, unknown>> = JSON.parse(text)
  const claims = Object.entries(members).map(([name, value]) => ({
    name,
    value,
    rule: ruleOf(place, name, facts),
  }))
  // In base64url, with a header and a signature.
  return { place, length: Math.ceil((Buffer.byteLength(text) * 4) / 3) + 250, claims }
}

function* notesOf(
  user: UserTable,
  client: ClientTable,
  tokens: readonly ExplainedToken[],
): Generator<string> {
  if (user.disabled_at !== null) yield `the user ${user.username} is disabled, and gets none of them`
  if (client.disabled_at !== null) yield `the client ${client.id} is disabled, and gets none of them`
  for (const { place, claims } of tokens) {
    const names = leftOut(Object.fromEntries(claims.map(({ name, value }) => [name, value])))
    if (names.length > 0) yield lackingNote(place, names)
  }
  const [accessToken] = tokens
  if (accessToken && accessToken.length > longToken)
    yield `the access token is some ${accessToken.length} characters long: many servers refuse such headers`
}

function lackingNote(place: ClaimPlace, names: readonly string[]): string {
  const [token, where] = place === 'id_token' ? ['ID token', '/userinfo'] : ['access token', '/introspect']
  return `the ${token} is without ${names.join(', ')}, which ${where} tells: it has room for ${claimsBytesMax} bytes of claims`
}

/** The document of an explained log-in. */
export function describeExplained({ tokens, notes }: ExplainedLogIn) {
  return {
    tokens: tokens.map(({ place, length, claims }) => ({
      place,
      length,
      claims: Object.fromEntries(claims.map(({ name, value }) => [name, value])),
      rules: Object.fromEntries(claims.map(({ name, rule }) => [name, rule])),
    })),
    notes,
  }
}
