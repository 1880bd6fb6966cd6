import { hash } from 'node:crypto'
import { errors, type JWTPayload } from 'jose'
import { isMet, type Authentication } from './authentication.ts'
import { BearerError } from './bearer-error.ts'
import { openConfirmations, type ApiRequest, type SentToken } from './confirmation.ts'
import { unavailable } from './fetching.ts'
import { openIssuerKeys, type IssuerKeys } from './key-set.ts'
import { followEvents } from './push.ts'
import { recentlyUsedMap } from './recently-used.ts'
import { resourceMetadataOf, type ResourceMetadata } from './resource-metadata.ts'
import { settingsOf, type Settings, type VerifierOptions } from './settings.ts'
import { openStatusLists, statusReferenceOf, type StatusReference } from './status.ts'

export type { Authentication } from './authentication.ts'
export { BearerError, type BearerErrorCode } from './bearer-error.ts'
export type { ApiRequest } from './confirmation.ts'
export type { AboutApi, ResourceMetadata } from './resource-metadata.ts'
export type { ClientOfApi, VerifierOptions } from './settings.ts'

/** The claims of an access token (RFC 9068 §2.2). Frozen: they may be shared by many requests. */
export interface AccessToken {
  readonly iss: string
  /** The user; of a token of `client_credentials`, the client. */
  readonly sub: string
  readonly aud: string | readonly string[]
  readonly exp: number
  readonly iat: number
  readonly jti: string
  readonly client_id: string
  /** Separated by spaces. */
  readonly scope?: string
  /** What exactly it allows (RFC 9396 §9.1); none where it was granted scopes alone. */
  readonly authorization_details?: readonly AuthorizationDetail[]
  /** The session, to which all tokens of one log-in belong. */
  readonly sid?: string
  readonly auth_time?: number
  /** How surely it is known who the user is (RFC 9470 §6.2): `pwd`, `mfa` or `phr`. */
  readonly acr?: string
  readonly amr?: readonly string[]
  readonly roles?: readonly string[]
  readonly groups?: readonly string[]
  /** Who acts for `sub` (RFC 8693 §4.1), if not `sub` itself: an API that was called with its token. */
  readonly act?: Actor
  /** Of a token that was exchanged: the client of `sid`, and the session of `client_id`. */
  readonly session_client_id?: string
  readonly client_sid?: string
  /** The sessions of who exchanged it before, or acted with a token of their own: it ends with each. */
  readonly earlier_sessions?: readonly { readonly sid: string; readonly client_id?: string }[]
  readonly [claim: string]: unknown
}

/** One of the authorization details of a token (RFC 9396 §2). Its type says what else there is in it. */
export interface AuthorizationDetail {
  readonly type: string
  readonly [member: string]: unknown
}

/** A party that acts for another. Only the one at the top counts; those before it are its history. */
export interface Actor {
  /** A client, or a user. */
  readonly sub: string
  /** Its session, where it has shown a token of its own. */
  readonly sid?: string
  /** Who has acted before it. */
  readonly act?: Actor
}

export interface Verifier {
  /**
   * The claims of an access token that is good for this API now, and may be sent alone: one that is bound to
   * a key is refused. Rejects with a `BearerError`, and nothing else.
   */
  verify(token: string): Promise<AccessToken>
  /**
   * The same, of the token in a request's `Authorization` header, which must have all of these scopes. One
   * that is bound to a key is good with a DPoP proof of that key (RFC 9449 §7) or over a connection with that
   * certificate (RFC 8705 §3). No token is ever taken from the URL.
   */
  authenticate(request: ApiRequest, scopes?: readonly string[]): Promise<AccessToken>
  /**
   * Throws a `BearerError` where a token that was verified does not have what is demanded: scopes, or a
   * log-in of its user that is strong or new enough (RFC 9470). The challenge says what the client has to ask
   * for.
   */
  authorize(accessToken: AccessToken, request: ApiRequest, demand: Demand): void
  /** What clients are told of this API, and at which URL (RFC 9728); undefined without `metadata`. */
  readonly metadata: ResourceMetadata | undefined
  /** Ends the stream of events, which keeps the process alive; without `push` there is nothing to end. */
  close(): void
}

/** What an access token must have. */
export interface Demand extends Authentication {
  readonly scopes?: readonly string[]
}

/** Far more than any token of ours has. */
const tokenLengthMax = 8192

/**
 * Verifies access tokens where they are used, without asking for each one: finds the issuer's keys, follows
 * their rotation, remembers what it has verified, and follows the status list, so that a token that was
 * revoked is refused within the delay that the issuer promises; with `push`, in a moment. Fetches nothing
 * before the first token comes, but for that stream of events.
 * Throws a `TypeError` for options that cannot work.
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const settings = settingsOf(options)
  const metadata = resourceMetadataOf(settings)
  const keys = openIssuerKeys(settings)
  const statusLists = openStatusLists(settings, keys)
  const push = settings.push ? followEvents(settings, statusLists.renew) : undefined
  const confirm = openConfirmations(settings)
  const verified = recentlyUsedMap<VerifiedToken>(settings.cacheSize)

  const judge = async (token: string): Promise<AccessToken> => {
    const name = hash('sha256', token, 'base64url')
    let known = verified.get(name)
    if (!known || !(await keys.has(known.kid))) {
      known = await verifyToken(settings, keys, token)
      verified.set(name, known)
    }
    const { claims, status } = known
    if (claims.exp + settings.clockToleranceSeconds <= settings.now() / 1000) {
      verified.delete(name)
      throw invalid('the token has expired')
    }
    if (push?.hasEnded(claims)) throw invalid('the session has ended')
    if (status) await statusLists.check(status)
    return claims
  }
  const verifySent = async (sent: SentToken, request: ApiRequest): Promise<AccessToken> => {
    try {
      const claims = await judge(sent.token)
      await confirm(claims['cnf'], sent, request)
      return claims
    } catch (error) {
      throw refusalOf(error, sent)
    }
  }
  const scopeOf = (scopes: readonly string[]) => (scopes.length === 0 ? undefined : scopes.join(' '))
  const resourceMetadata = metadata?.url
  /** A refused client learns where to ask, and what for, so that its next token is the right one. */
  const told = async (scopes: readonly string[], check: () => Promise<AccessToken>) => {
    try {
      return await check()
    } catch (error) {
      throw error instanceof BearerError ? error.with({ scope: scopeOf(scopes), resourceMetadata }) : error
    }
  }
  const authorize: Verifier['authorize'] = (claims, request, { scopes = [], ...authentication }) => {
    const { scheme } = sentToken(request.headers.authorization, request.url)
    const granted = claims.scope?.split(' ') ?? []
    if (!scopes.every(scope => granted.includes(scope)))
      throw new BearerError('insufficient_scope', { scheme, scope: scopeOf(scopes), resourceMetadata })
    const clocks = { now: settings.now() / 1000, tolerance: settings.clockToleranceSeconds }
    if (!isMet(authentication, claims, clocks))
      throw new BearerError('insufficient_user_authentication', { scheme, authentication, resourceMetadata })
  }

  return {
    verify: token => told([], () => verifySent({ scheme: 'Bearer', token }, { headers: {} })),
    authenticate: async (request, scopes = []) => {
      const claims = await told(scopes, async () =>
        verifySent(sentToken(request.headers.authorization, request.url), request),
      )
      authorize(claims, request, { scopes })
      return claims
    },
    authorize,
    metadata,
    close: () => push?.close(),
  }
}

interface VerifiedToken {
  readonly claims: AccessToken
  readonly kid: string | undefined
  readonly status: StatusReference | undefined
}

/** RFC 9068 §4, without the status. */
async function verifyToken(settings: Settings, keys: IssuerKeys, token: string): Promise<VerifiedToken> {
  if (token.length > tokenLengthMax) throw invalid('the token is too long')
  if (token.startsWith('mm_pat_')) throw invalid('it is a personal access token: ask at /introspect')
  const requiredClaims = ['exp', 'iat', 'sub', 'client_id', 'jti']
  const { audience } = settings
  try {
    const { payload, protectedHeader } = await keys.verify(token, { typ: 'at+jwt', audience, requiredClaims })
    const status = statusReferenceOf(settings, payload)
    if (!status && settings.requireStatus) throw invalid('the token does not say where its status is listed')
    return { claims: freeze(payload), kid: protectedHeader.kid, status }
  } catch (error) {
    if (error instanceof errors.JOSEError) throw new BearerError('invalid_token', { cause: error })
    throw error
  }
}

function freeze(payload: JWTPayload): AccessToken {
  const { iss, sub, aud, exp, iat, jti, client_id, scope, act, authorization_details: details } = payload
  const isText = [iss, sub, jti, client_id, scope ?? ''].every(claim => typeof claim === 'string')
  if (!isText || aud === undefined || typeof exp !== 'number' || typeof iat !== 'number') {
    throw invalid('a claim of the token is not of its type')
  }
  // Who does not know who acts takes it for the subject itself.
  if (act !== undefined && !freezeActor(act)) throw invalid('the claim act of the token names nobody')
  // An API that looks at them would take others for none.
  if (details !== undefined && !areDetails(details))
    throw invalid('the authorization_details of the token are no list of objects with a type')
  deepFreeze(details)
  for (const claim of Object.values(payload)) Object.freeze(claim)
  return Object.freeze(payload) as AccessToken
}

function areDetails(details: unknown): boolean {
  return (
    Array.isArray(details) &&
    details.every(detail => typeof (detail as { type?: unknown } | null)?.type === 'string')
  )
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  for (const member of Object.values(Object.freeze(value))) deepFreeze(member)
}

/** Freezes a chain of actors; false for what is none. */
function freezeActor(actor: unknown): boolean {
  if (typeof actor !== 'object' || actor === null) return false
  const { sub, act }: { sub?: unknown; act?: unknown } = Object.freeze(actor)
  return typeof sub === 'string' && (act === undefined || freezeActor(act))
}

/** Unexpected errors say nothing about the token; findings use the client's scheme. */
function refusalOf(error: unknown, { scheme }: SentToken): BearerError {
  if (!(error instanceof BearerError)) return unavailable('the token cannot be verified', error)
  if (error.scheme !== undefined || error.code === 'temporarily_unavailable') return error
  return new BearerError(error.code, { scheme, scope: error.scope, cause: error.cause })
}

function sentToken(authorization = '', url = ''): SentToken {
  const [, scheme, token] = /^(bearer|dpop) +([\w.~+/-]+=*) *$/i.exec(authorization) ?? []
  const query = url.includes('?') ? url.slice(url.indexOf('?')) : ''
  if (authorization !== '' && new URLSearchParams(query).has('access_token')) {
    throw new BearerError('invalid_request', { cause: new Error('there is a token in the URL too') })
  }
  if (token !== undefined) return { scheme: scheme?.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer', token }
  if (/^(bearer|dpop)\b/i.test(authorization)) throw invalid('the token has characters that none has')
  throw new BearerError('no_token')
}

const invalid = (cause: string) => new BearerError('invalid_token', { cause: new Error(cause) })
