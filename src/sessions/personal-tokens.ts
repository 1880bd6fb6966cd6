import { findClient, insertClient } from '../../db/clients/clients.ts'
import type { ClientTable, ResourceTable, UserTable } from '../../db/schema.ts'
import { insertPersonalToken, type PersonalToken } from '../../db/sessions/personal-tokens.ts'
import type { Session } from '../../db/sessions/sessions.ts'
import { tokensClient, tokensClientId } from '../clients/tokens-client.ts'
import type { Context } from '../context.ts'
import { endSession } from '../endings/end.ts'
import { unavailable } from '../errors.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import type { Claims } from '../keys/ring/ring.ts'
import { accessTokenClaims } from '../protocol/access-token.ts'
import { levelsOf } from '../protocol/levels.ts'
import { sealPersonalToken } from '../protocol/personal-token.ts'
import { formatUuid, hashSecret, newSessionSecret, newUuid } from '../protocol/secrets.ts'
import { record, type Recorder } from '../record/record.ts'
import { day } from '../values/duration.ts'
import { itemsOf } from '../values/list.ts'
import { withClaims } from './claims.ts'
import { grantedOf } from './granted.ts'
import { targetAt, type WithRegistry } from './target.ts'

/** How long a token lives unless its maker says, and at the most, in seconds. */
export const personalTokenSeconds = { usual: 90 * day, least: 3600, most: 365 * day } as const

/** How many a user may have that live. */
export const personalTokensMax = 50

/** Of its name, in characters. */
export const tokenNameMax = 100

/** What a token is to be. */
export interface PersonalTokenWish {
  readonly name: string
  readonly scope: readonly string[]
  /** How long it is to live. */
  readonly seconds: number
}

/** Why a token is not made. */
export type PersonalTokenProblem =
  /** It has no name, or one that is too long or not on one line. */
  | 'name'
  /** It would live too long, or too short. */
  | 'end'
  /** Its API is unknown, or takes no personal access tokens. */
  | 'resource'
  /** Its API has scopes, of which none was chosen, or does not know one that was. */
  | 'scope'
  /** It would have the scope of an administrator, and its maker has shown one factor alone. */
  | 'second_factor'
  /** Its user has one of this name. */
  | 'name_taken'
  | 'too_many'
  /** An administrator has disabled all of them. */
  | 'off'
  /** Its user was disabled, or all of the user's sessions ended, since its maker was let in. */
  | 'gone'

/** The scopes of administrators: theft of a token must not be enough for them. */
const adminScope = /^admin(?:[:.]|$)/

/** Whether somebody who has logged in with these methods may have a token of this scope. */
export function mayHave(scope: string, amr: string): boolean {
  return !adminScope.test(scope) || levelsOf(itemsOf(amr)).includes('mfa')
}

/** Whether people may make tokens for an API. */
export function takesPersonalTokens(
  resource: Pick<ResourceTable, 'personal_access_tokens'> | undefined,
): boolean {
  return resource?.personal_access_tokens === 1
}

/** Whether there can be such a token. Pure: all of the rule is here. */
export function judgePersonalToken(
  { name, scope, seconds }: PersonalTokenWish,
  resource: Pick<ResourceTable, 'scope' | 'personal_access_tokens'> | undefined,
  amr: string,
): PersonalTokenProblem | undefined {
  if (!/^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(name) || name.trim() === '' || name.length > tokenNameMax)
    return 'name'
  if (!resource || !takesPersonalTokens(resource)) return 'resource'
  const known = itemsOf(resource.scope)
  if (known.length > 0 && scope.length === 0) return 'scope'
  if (!scope.every(one => known.includes(one))) return 'scope'
  if (!scope.every(one => mayHave(one, amr))) return 'second_factor'
  const { least, most } = personalTokenSeconds
  // A part of a second is one that no column of PostgreSQL takes.
  return Number.isInteger(seconds) && seconds >= least && seconds <= most ? undefined : 'end'
}

/** What a token is made with, and who makes it. */
export interface PersonalTokenMaker {
  readonly by: Recorder
  readonly rootKeys: RootKeys
  readonly nextStatusPosition: Context['sessions']['nextStatusPosition']
}

export interface PersonalTokenStart {
  readonly wish: PersonalTokenWish
  /** As it was before it was checked who it is. */
  readonly user: UserTable
  readonly resource: ResourceTable | undefined
  /** When the user has logged in to make it, and with what (RFC 8176), separated by spaces. */
  readonly authTime: number
  readonly amr: string
  readonly address: string | null
}

export interface MadePersonalToken {
  readonly sessionId: Buffer
  /** To be shown this once: the database has its hash alone. */
  readonly text: string
}

/** Makes a token, or says why not. */
export async function makePersonalToken(
  { by, rootKeys, nextStatusPosition }: PersonalTokenMaker,
  { wish, user, resource, authTime, amr, address }: PersonalTokenStart,
): Promise<MadePersonalToken | PersonalTokenProblem> {
  const problem = judgePersonalToken(wish, resource, amr)
  if (problem !== undefined || !resource) return problem ?? 'resource'
  const client = await ensureTokensClient(by)
  if (client.disabled_at !== null) return 'off'
  const now = by.clock.now()
  const [id, secret, endsAt] = [newUuid(now), newSessionSecret(), now + wish.seconds]
  const session = {
    id,
    user_id: user.id,
    client_id: client.id,
    user_epoch: user.epoch,
    client_epoch: client.epoch,
    secret_hash: hashSecret(secret),
    scope: [...new Set(wish.scope)].join(' '),
    resource: resource.uri,
    auth_time: authTime,
    started_at: now,
    amr,
    expires_at: endsAt,
    absolute_expires_at: endsAt,
    status_position: await nextStatusPosition(endsAt),
    last_address: address,
  }
  const detail = { resource: resource.uri, scope: itemsOf(session.scope), amr, expires_at: endsAt }
  const facts = { userId: user.id, clientId: client.id, sessionId: id, detail }
  let outcome: Awaited<ReturnType<typeof insertPersonalToken>> | undefined
  await record(by, { event: 'personal_access_token_created', ...facts }, async db => {
    outcome = await insertPersonalToken(db, { session, name: wish.name, tokensMax: personalTokensMax })
    return outcome === 'added'
  })
  if (outcome !== 'added') return outcome ?? 'gone'
  const { currentId: rootKeyId, personalTokenKeyOf } = rootKeys
  return { sessionId: id, text: sealPersonalToken(personalTokenKeyOf, { rootKeyId, id, secret }) }
}

/** Ends tokens, and returns how many had not ended before. Other sessions of their user go on. */
export async function endPersonalTokens(
  by: Recorder,
  tokens: readonly PersonalToken[],
  reason: 'command' | 'ended by its user',
): Promise<number> {
  let ended = 0
  for (const token of tokens) if (await endSession(by, token, { reason })) ended++
  return ended
}

/** The client of all tokens: its row is made with the first one, and again where it was deleted. */
async function ensureTokensClient({ db, clock, log }: Recorder): Promise<ClientTable> {
  const found = await findClient(db, tokensClientId)
  if (found) return found
  const by: Recorder = { db, clock, log, actor: { kind: 'server' } }
  const created = { event: 'client_created', clientId: tokensClientId } as const
  // Another server may be first.
  await record(by, created, db => insertClient(db, tokensClient(clock.now())))
  const made = await findClient(db, tokensClientId)
  if (!made) throw unavailable('the client of personal access tokens was deleted while it was made')
  return made
}

/**
 * Uses a token: the claims of an access token that was made with it and lives as long, by what its API takes
 * and its user is now; a text is why it is of no use any more, for the log. Does NOT check whether its
 * session lives, nor who has shown it, nor note the use.
 */
export async function usePersonalToken(
  ctx: Pick<Context, 'config' | 'db' | 'rootKeys'> & WithRegistry,
  session: Session,
): Promise<Claims | string> {
  const [resource] = await ctx.clients.registry.findResources(session.resource ?? '')
  if (!resource || !takesPersonalTokens(resource)) return 'its API takes no personal access tokens any more'
  const [granted, known] = [itemsOf(session.scope), itemsOf(resource.scope)]
  const scope = granted.filter(one => known.includes(one) && mayHave(one, session.amr))
  if (granted.length > 0 && scope.length === 0) return 'its API has none of its scopes any more'
  const target = targetAt(ctx, resource, scope.join(' '))
  const client = { ...tokensClient(0), epoch: session.client_epoch }
  const grounds = grantedOf(ctx, session, target)
  const facts = await withClaims(ctx, grounds, { client, session, holder: session, isAnswer: true })
  const startedAt = session.started_at ?? session.auth_time
  const { status, ...claims } = accessTokenClaims(facts, {
    issuer: ctx.config.issuer,
    clientId: session.client_id,
    now: startedAt,
    lifetimeSeconds: session.expires_at - startedAt,
    cnf: undefined,
  })
  return { ...claims, jti: formatUuid(session.id) }
}
