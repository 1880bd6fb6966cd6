import { hash } from 'node:crypto'
import type { AccessTokenFacts } from './access-token.ts'
import { acrOf } from './levels.ts'
import { formatUuid, parseUuid } from './secrets.ts'

/** What an ID token says beside what the access token that comes with it says. */
export interface Identity {
  /** Of the authorization request: at the first token alone (OpenID Connect Core §12.2). */
  readonly nonce: string | null
  /** The claims of the user that the client gets in the ID token. */
  readonly claims: Readonly<Record<string, unknown>>
}

export interface IdTokenIssue {
  readonly issuer: string
  readonly clientId: string
  readonly now: number
  readonly lifetimeSeconds: number
  readonly accessToken: string
  /** The JWS algorithm that will sign it, which says how the access token is hashed. */
  readonly alg: string
}

/** The claims of an ID token (OpenID Connect Core §2, §3.1.3.6). None of the user's takes another's place. */
export function idTokenClaims(
  { nonce, claims }: Identity,
  { subject, sessionId, authTime, amr }: Pick<AccessTokenFacts, 'subject' | 'sessionId' | 'authTime' | 'amr'>,
  { issuer, clientId, now, lifetimeSeconds, accessToken, alg }: IdTokenIssue,
) {
  const methods = amr.split(' ')
  return {
    ...claims,
    iss: issuer,
    sub: subject,
    aud: clientId,
    exp: now + lifetimeSeconds,
    iat: now,
    auth_time: authTime,
    // JSON leaves out what is undefined.
    nonce: nonce ?? undefined,
    acr: acrOf(methods),
    amr: methods,
    sid: formatUuid(sessionId),
    at_hash: accessTokenHash(accessToken, alg),
  }
}

/** The left half of the hash that the algorithm itself uses: SHA-512 for Ed25519 (RFC 8032 §5.1). */
function accessTokenHash(accessToken: string, alg: string): string {
  const digest = hash(alg === 'EdDSA' || alg === 'Ed25519' ? 'sha512' : 'sha256', accessToken, 'buffer')
  return digest.subarray(0, digest.length / 2).toString('base64url')
}

/** What an ID token of ours is a hint of, when it comes back: whose it is, and of which session. */
export interface IdTokenHint {
  readonly sub: string
  readonly sessionId: Buffer
}

/** Undefined for the claims of another JWT of ours, such as a signed answer of /userinfo. */
export function hintOf(claims: Readonly<Record<string, unknown>> | undefined): IdTokenHint | undefined {
  const { sub, sid } = claims ?? {}
  const sessionId = typeof sid === 'string' ? parseUuid(sid) : undefined
  return typeof sub === 'string' && sessionId ? { sub, sessionId } : undefined
}
