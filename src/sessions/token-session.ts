import { findSession, type Session } from '../../db/sessions/sessions.ts'
import { sharedRead } from '../../db/shared-read.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import type { Claims } from '../keys/ring/ring.ts'
import {
  openRefreshToken,
  refreshTokenPrefix,
  type OpenedRefreshToken,
  type RefreshToken,
} from '../protocol/refresh-token.ts'
import { openPersonalToken, personalTokenPrefix } from '../protocol/personal-token.ts'
import { hashSecret, isSameHash, parseUuid } from '../protocol/secrets.ts'

/** A token that this server did issue, and its session, whatever the state of that. */
export type TokenSession =
  | {
      readonly kind: 'access_token'
      readonly claims: Readonly<Record<string, unknown>>
      readonly session: Session
    }
  | { readonly kind: 'refresh_token'; readonly token: RefreshToken; readonly session: Session }
  | { readonly kind: 'personal_access_token'; readonly session: Session }
  /** `reason` is for the log. */
  | { readonly kind: 'none'; readonly reason: string }

export type FoundToken = Exclude<TokenSession, { readonly kind: 'none' }>

/** Whether a token was issued to the client: one that was exchanged is not its session's client's. */
export function isHolder({ id }: Pick<Client, 'id'>, found: FoundToken): boolean {
  return (found.kind === 'access_token' ? found.claims['client_id'] : found.session.client_id) === id
}

export interface TokenOptions {
  /** Whether an access token may have expired. Its signature still proves which session it is of. */
  readonly mayHaveExpired?: boolean
}

/**
 * Finds the session of an access token that has not expired, of a refresh token of any generation, or of a
 * personal access token. The text shows which of them it is, so no hint is needed (RFC 7009 §2.1, RFC 7662
 * §2.1). One read of the database, and none for a token that is malformed or forged. Does NOT check whether
 * the session lives, nor whose it is.
 */
export function findTokenSession(
  ctx: Context,
  token: string,
  { mayHaveExpired = false }: TokenOptions = {},
): Promise<TokenSession> {
  if (token.startsWith(refreshTokenPrefix)) return ofRefreshToken(ctx, token)
  if (token.startsWith(personalTokenPrefix)) return ofPersonalToken(ctx, token)
  const { verify, recognise } = ctx.keys
  const claims = (mayHaveExpired ? recognise : verify)(token, 'at+jwt')
  if (claims) return ofClaims(ctx, claims)
  return Promise.resolve(
    none(`it is no access token of this server${mayHaveExpired ? '' : ', or has expired'}`),
  )
}

/**
 * Reads a refresh token that was presented. While this instance is behind the others, and that is all, there
 * is no finding about the token, but 503: where it is of a later version; and where it is under a root key
 * that the file lacks, but for one that is long gone or was made up.
 */
export function openPresented(
  ctx: Pick<Context, 'rootKeys' | 'keys'>,
  text: string,
): Promise<OpenedRefreshToken> {
  return openHere(ctx, 'a refresh token', () => openRefreshToken(ctx.rootKeys.macKeyOf, text))
}

/** Opens a text; 503 where this instance is behind the others. `name` is for the log. */
export async function openHere<Opened extends { readonly kind: string }>(
  ctx: Pick<Context, 'rootKeys' | 'keys'>,
  name: string,
  open: () => Opened,
): Promise<Opened> {
  const opened = await openUnlessBehind(ctx, open)
  if (opened.kind === 'later_version')
    throw unavailable(`${name} is one that only a later version of this program can read`)
  return opened
}

/** Opens a text; 503 where it is under a root key that may be new to this instance alone. */
export function openUnlessBehind<Opened extends { readonly kind: string }>(
  ctx: Pick<Context, 'rootKeys' | 'keys'>,
  open: () => Opened,
): Opened | Promise<Opened> {
  const opened = open()
  return opened.kind === 'unknown_root_key' ? openWithNewKey(ctx, open) : opened
}

async function openWithNewKey<Opened>(
  { rootKeys, keys }: Pick<Context, 'rootKeys' | 'keys'>,
  open: () => Opened,
): Promise<Opened> {
  if (rootKeys.isBehind() || !keys.isConfirmed() || !(await hasCurrentRootKey({ rootKeys, keys })))
    throw unavailable('a token names a root key that is not known here yet')
  return open() // the key may have come into the file by now
}

/**
 * Another instance may have taken a new root key up, and made this token, since the database was last heard
 * of.
 */
async function hasCurrentRootKey({ rootKeys, keys }: Pick<Context, 'rootKeys' | 'keys'>): Promise<boolean> {
  const id = await keys.readRootKeyId()
  return id !== undefined && rootKeys.has(id)
}

async function ofRefreshToken(ctx: Context, text: string): Promise<TokenSession> {
  const opened = await openPresented(ctx, text)
  if (opened.kind !== 'genuine') return none(`the refresh token is ${opened.kind.replaceAll('_', ' ')}`)
  const { token } = opened
  const session = await findOfSecret(ctx, token)
  return typeof session === 'string' ? none(session) : { kind: 'refresh_token', token, session }
}

async function ofPersonalToken(ctx: Context, text: string): Promise<TokenSession> {
  const open = () => openPersonalToken(ctx.rootKeys.personalTokenKeyOf, text)
  const opened = await openHere(ctx, 'a personal access token', open)
  if (opened.kind !== 'genuine')
    return none(`the personal access token is ${opened.kind.replaceAll('_', ' ')}`)
  const { id: sessionId, secret } = opened.token
  const session = await findOfSecret(ctx, { sessionId, secret })
  return typeof session === 'string' ? none(session) : { kind: 'personal_access_token', session }
}

/** The session of this id that has this secret; otherwise why there is none. */
async function findOfSecret(
  { db }: Context,
  { sessionId, secret }: Pick<RefreshToken, 'sessionId' | 'secret'>,
): Promise<Session | string> {
  const session = await findSession(db, sessionId)
  if (!session) return 'the session is unknown'
  if (!session.secret_hash || !isSameHash(session.secret_hash, hashSecret(secret)))
    return 'the session secret is wrong'
  return session
}

/** Why what was found is no access token, for the log. */
export function whyNoAccessToken(found: Exclude<TokenSession, { readonly kind: 'access_token' }>): string {
  return found.kind === 'none' ? found.reason : `it is a ${found.kind.replaceAll('_', ' ')}`
}

async function ofClaims(ctx: Context, claims: Claims): Promise<TokenSession> {
  const { sid } = claims
  const session = typeof sid === 'string' ? await sessionOfId(ctx.db, sid) : undefined
  return session ? { kind: 'access_token', claims, session } : none('the session is unknown')
}

const sessionOfId = sharedRead(async (db, sid: string) => {
  const id = parseUuid(sid)
  return id && findSession(db, id)
})

const none = (reason: string): TokenSession => ({ kind: 'none', reason })
