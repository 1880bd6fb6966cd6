import { randomUUID } from 'node:crypto'
import type { ActClaim, EarlierSession } from './act.ts'
import type { AuthorizationDetails } from './authorization-details.ts'
import { acrOf } from './levels.ts'
import { formatUuid } from './secrets.ts'
import { statusClaim } from './status-list.ts'

/** No access token lives longer, whatever the settings, in seconds. */
export const longestTokenSeconds = 86_400

/** The session, as its access tokens tell it. */
export interface AccessTokenFacts {
  readonly subject: string
  readonly sessionId: Buffer
  readonly target: {
    /** The one resource it is for (RFC 8707), or the issuer. */
    readonly audience: string
    /** Separated by spaces; may be empty. */
    readonly scope: string
    /** What exactly it allows (RFC 9396 §9.1). */
    readonly details: AuthorizationDetails
    /** Whether the token says where its status is listed. */
    readonly hasStatus: boolean
  }
  readonly authTime: number
  /** Separated by spaces; empty for a machine. */
  readonly amr: string
  /** The claims that its resource wants. */
  readonly claims: Readonly<Record<string, unknown>>
  /** Where its session's status is listed. */
  readonly statusPosition: number
  /** Of a token that was exchanged, what it says besides. */
  readonly exchange?: ExchangeClaims
}

/** The claims that only a token has which was exchanged for another (RFC 8693). */
export interface ExchangeClaims {
  /** Who acts for the subject (RFC 8693 §4.1). */
  readonly act?: ActClaim
  /** Who alone may (RFC 8693 §4.4): as the token before it says. */
  readonly may_act?: unknown
  /** The client of the session, which is not the one that the token was issued to. */
  readonly session_client_id: string
  /** The machine session of the client that it was issued to: the token ends with either session. */
  readonly client_sid: string
  /** Of all that have exchanged it before, or acted with a token of their own: it ends with each of them. */
  readonly earlier_sessions?: readonly EarlierSession[]
}

/** The other claims of an access token. */
export interface AccessTokenIssue {
  readonly issuer: string
  readonly clientId: string
  readonly now: number
  readonly lifetimeSeconds: number
  /** The key that it is bound to (RFC 7800 §3.1); undefined for a bearer token. */
  readonly cnf: object | undefined
}

/**
 * The claims of a JWT access token (RFC 9068 §2.2), with the place of its status
 * (draft-ietf-oauth-status-list §6.2). None of those that its resource wants takes another's place.
 */
export function accessTokenClaims(
  { subject, sessionId, target, authTime, amr, claims, statusPosition, exchange }: AccessTokenFacts,
  { issuer, clientId, now, lifetimeSeconds, cnf }: AccessTokenIssue,
) {
  const methods = amr === '' ? undefined : amr.split(' ')
  return {
    ...claims,
    iss: issuer,
    sub: subject,
    aud: target.audience,
    exp: now + lifetimeSeconds,
    iat: now,
    jti: randomUUID(),
    client_id: clientId,
    // JSON leaves out what is undefined.
    scope: target.scope || undefined,
    authorization_details: target.details.length > 0 ? target.details : undefined,
    sid: formatUuid(sessionId),
    auth_time: authTime,
    acr: methods && acrOf(methods),
    amr: methods,
    status: target.hasStatus ? statusClaim(issuer, statusPosition) : undefined,
    cnf,
    ...exchange,
  }
}
