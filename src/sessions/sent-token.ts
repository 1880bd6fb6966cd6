import type { IncomingHttpHeaders } from 'node:http'
import { findSessions } from '../../db/sessions/pages.ts'
import type { Session } from '../../db/sessions/sessions.ts'
import { spendProof } from '../clients/confirmation.ts'
import { profileFault } from '../clients/fapi.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError, type SentToken } from '../errors.ts'
import { readClientCert } from '../keys/proofs/certificate.ts'
import { checkProof } from '../keys/proofs/dpop.ts'
import { isExchanged } from '../protocol/act.ts'
import type { Form } from '../protocol/form.ts'
import { isSameHash } from '../protocol/secrets.ts'
import { itemsOf } from '../values/list.ts'
import { findTokenSession, whyNoAccessToken, type TokenSession } from './token-session.ts'

/** A request to an endpoint of our own that takes access tokens of users, as APIs do. */
export interface TokenBearingRequest {
  readonly method: string
  /** The URLs that it may have been sent to, as `normalUrl` spells them: a proof names one of them. */
  readonly urls: () => readonly string[]
  readonly headers: IncomingHttpHeaders
  /** The body, where it was a form (RFC 6750 §2.2). */
  readonly form: Form | undefined
}

/** A session that lives, and what its access token says. */
export interface SessionOfToken {
  readonly session: Session
  /** Separated by spaces. */
  readonly scope: string
  readonly scheme: Scheme
  readonly claims: Readonly<Record<string, unknown>>
}

type Scheme = NonNullable<SentToken['scheme']>

/**
 * Whose access token it is that a request has: of a session that lives, with this scope (RFC 6750, RFC 9068
 * §4). One that is bound to a key counts with a proof of that key (RFC 9449 §7) or over a connection with
 * that certificate (RFC 8705 §3) alone. Throws `invalid_token`, `insufficient_scope`, `invalid_dpop_proof` or
 * `invalid_request`, with the challenge that belongs to each. Does NOT look at the audience.
 */
export async function authenticateToken(
  ctx: Context,
  request: TokenBearingRequest,
  scope?: string,
): Promise<SessionOfToken> {
  const { scheme, token } = readToken(request)
  const found = await findTokenSession(ctx, token)
  if (found.kind !== 'access_token') throw invalidToken(scheme, whyNoAccessToken(found))
  const { claims, session } = found
  if (hasEnded(session, ctx.clock.now())) throw invalidToken(scheme, 'the session has ended')
  // Its client is not that of its session, which is what is looked at here.
  if (isExchanged(claims)) throw invalidToken(scheme, 'it was exchanged, so it is for an API')
  await confirm(ctx, found, { scheme, token }, request)
  const granted = String(claims['scope'] ?? '')
  if (scope !== undefined && !itemsOf(granted).includes(scope)) {
    throw new OAuthError('insufficient_scope', `the access token does not have the scope ${scope}`, {
      sent: { scheme, scope },
    })
  }
  return { session, scope: granted, scheme, claims }
}

/** A client that has shown a token of its own. */
export interface Machine extends SessionOfToken {
  readonly client: Client
}

/**
 * Which client it is that has sent an access token of its own (RFC 6749 §4.4) for this server itself. One for
 * an API is in that API's hands: it must not be worth anything here. Throws as `authenticateToken` does.
 */
export async function authenticateMachine(
  ctx: Context,
  { method, headers }: Pick<TokenBearingRequest, 'method' | 'headers'>,
  urls: TokenBearingRequest['urls'],
): Promise<Machine> {
  const sent = await authenticateToken(ctx, { method, urls, headers, form: undefined })
  const { claims, session, scheme } = sent
  if (claims['aud'] !== ctx.config.issuer || session.user_id !== null)
    throw invalidToken(scheme, 'the token is for another audience, or of a user')
  const client = await ctx.clients.registry.findClient(session.client_id)
  if (!client || client.disabled_at !== null) throw invalidToken(scheme, 'the client is unknown or disabled')
  return { ...sent, client }
}

/** The session of a token that was let in, as it is now; undefined where it is gone. */
export async function sessionNow(
  { db }: Pick<Context, 'db'>,
  { session }: Pick<SessionOfToken, 'session'>,
): Promise<Session | undefined> {
  const [found] = await findSessions(db, [session.id])
  return found
}

/** Whether no token of the session counts any more. */
export function hasEnded({ revoked_at, isOfThisEpoch, expires_at }: Session, now: number): boolean {
  return revoked_at !== null || !isOfThisEpoch || expires_at <= now
}

interface ReadToken {
  readonly scheme: Scheme
  readonly token: string
}

/** RFC 6750 §2: in the header or in the form; the query is refused before. */
function readToken({ headers: { authorization = '' }, form }: TokenBearingRequest): ReadToken {
  const inForm = form?.get('access_token')
  const [, scheme, token] = /^(bearer|dpop) +([\w.~+/-]+=*) *$/i.exec(authorization) ?? []
  if (/^(?:bearer|dpop)(?: |$)/i.test(authorization)) {
    if (inForm !== undefined)
      throw new OAuthError('invalid_request', 'the access token is sent in two ways: choose one of them')
    const sentBy: Scheme = scheme?.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer'
    if (token === undefined) throw invalidToken(sentBy, 'the token has characters that none has')
    return { scheme: sentBy, token }
  }
  if (inForm !== undefined) return { scheme: 'Bearer', token: inForm }
  throw new OAuthError('invalid_token', 'an access token is needed', { sent: { scheme: undefined } })
}

/** That the sender has the key which the token is bound to (RFC 7800 §3.1); spends the proof. */
async function confirm(
  ctx: Context,
  { claims, session }: Extract<TokenSession, { readonly kind: 'access_token' }>,
  { scheme, token }: ReadToken,
  { method, urls, headers }: TokenBearingRequest,
): Promise<void> {
  const { jkt, 'x5t#S256': certificateHash }: Record<string, unknown> = Object(claims['cnf'])
  if (jkt === undefined && scheme === 'DPoP')
    throw invalidToken('DPoP', 'the token is bound to no DPoP key, and was sent with a proof')
  if (typeof certificateHash === 'string') {
    const shown = readClientCert(headers['client-cert'])?.thumbprint
    if (!shown || !isSameHash(shown, Buffer.from(certificateHash, 'base64url')))
      throw invalidToken(scheme, 'the token is bound to another certificate than that of the connection')
  }
  if (typeof jkt !== 'string') return
  // RFC 9449 §7.2: a sender of the token alone may be a thief.
  if (scheme === 'Bearer') throw invalidToken('DPoP', 'the token is bound to a DPoP key, and was sent alone')
  const now = ctx.clock.now()
  const verdict = checkProof(String(headers['dpop'] ?? ''), {
    method,
    urls: urls(),
    now,
    accessToken: token,
  })
  if (verdict.kind !== 'valid')
    throw badProof(verdict.kind === 'invalid' ? verdict.reason : 'it has no nonce')
  if (!isSameHash(verdict.proof.thumbprint, Buffer.from(jkt, 'base64url')))
    throw badProof('its jwk is not the key that the token is bound to')
  const client = await ctx.clients.registry.findClient(session.client_id)
  const fault = client && profileFault(client, verdict.proof)
  if (fault !== undefined) throw badProof(fault)
  await spendProof(ctx, verdict.proof).catch((error: unknown) => {
    throw error instanceof OAuthError && error.code === 'invalid_dpop_proof'
      ? badProof('the jti was used before')
      : error
  })
}

/** One public text for all reasons; the log has the cause. */
export function invalidToken(scheme: Scheme, cause: string): OAuthError {
  return new OAuthError('invalid_token', 'the access token is not valid, has expired, or was revoked', {
    cause,
    sent: { scheme },
  })
}

/** At an API it is 401 (RFC 9449 §7.1). */
function badProof(reason: string): OAuthError {
  return new OAuthError('invalid_dpop_proof', `the DPoP proof is not valid: ${reason}`, {
    status: 401,
    sent: { scheme: 'DPoP' },
  })
}
