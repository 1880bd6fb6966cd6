import { randomUUID } from 'node:crypto'
import { formatUuid } from './secrets.ts'
import { statusClaim } from './status-list.ts'

/** No access token lives longer, whatever the settings, in seconds. */
export const longestTokenSeconds = 86_400

/** What an access token says, besides its issuer and its times. */
export interface AccessTokenFacts {
  readonly subject: string
  readonly clientId: string
  readonly sessionId: Buffer
  /** The one resource it is for (RFC 8707), or the issuer. */
  readonly audience: string
  /** Separated by spaces; may be empty. */
  readonly scope: string
  readonly authTime: number
  /** Separated by spaces; empty for a machine. */
  readonly amr: string
  /** Separated by spaces. */
  readonly roles: string
  /** Where its session's status is listed; undefined where the resource does not want to know. */
  readonly statusPosition: number | undefined
  /** The key that it is bound to (RFC 7800 §3.1); undefined for a bearer token. */
  readonly cnf: object | undefined
}

/** The claims of a JWT access token (RFC 9068 §2.2), with the place of its status (draft-ietf-oauth-status-list §6.2). */
export function accessTokenClaims(
  issuer: string,
  facts: AccessTokenFacts,
  now: number,
  lifetimeSeconds: number,
) {
  return {
    iss: issuer,
    sub: facts.subject,
    aud: facts.audience,
    exp: now + lifetimeSeconds,
    iat: now,
    jti: randomUUID(),
    client_id: facts.clientId,
    // JSON leaves out what is undefined.
    scope: facts.scope || undefined,
    sid: formatUuid(facts.sessionId),
    auth_time: facts.authTime,
    amr: facts.amr === '' ? undefined : facts.amr.split(' '),
    roles: facts.roles === '' ? undefined : facts.roles.split(' '),
    status: facts.statusPosition === undefined ? undefined : statusClaim(issuer, facts.statusPosition),
    cnf: facts.cnf,
  }
}
