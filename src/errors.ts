/**
 * The error codes this server answers with, each with its HTTP status (RFC 6749 §5.2, RFC 6750 §3.1, RFC 7009
 * §2.2.1, RFC 8707 §2, RFC 9396 §5, RFC 9449 §5, RFC 8628 §3.5). `/par` has some of authorization requests
 * too (RFC 6749 §4.1.2.1, RFC 9101 §7, OpenID Connect Core §3.1.2.6), and `/authorize-challenge` its own
 * (draft-ietf-oauth-first-party-apps §5.2.2.1).
 */
const statuses = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  invalid_scope: 400,
  invalid_target: 400,
  invalid_authorization_details: 400,
  invalid_token: 401,
  insufficient_scope: 403,
  insufficient_user_authentication: 401,
  invalid_dpop_proof: 400,
  use_dpop_nonce: 400,
  unauthorized_client: 400,
  unsupported_grant_type: 400,
  unsupported_token_type: 400,
  authorization_pending: 400,
  slow_down: 400,
  access_denied: 400,
  expired_token: 400,
  unsupported_response_type: 400,
  request_not_supported: 400,
  request_uri_not_supported: 400,
  invalid_request_uri: 400,
  registration_not_supported: 400,
  invalid_client_metadata: 400,
  invalid_redirect_uri: 400,
  insufficient_authorization: 400,
  invalid_session: 400,
  redirect_to_web: 400,
  unmet_authentication_requirements: 400,
  temporarily_unavailable: 503,
} as const

export type OAuthErrorCode = keyof typeof statuses

export interface OAuthErrorOptions extends ErrorOptions {
  /** Another HTTP status than the usual one of the code: 404, 405, 413, 415, 429. */
  readonly status?: number
  /** When to come back, in seconds. */
  readonly retryAfter?: number
  /** How an access token was sent, where that is what is wrong: the challenge is of that scheme. */
  readonly sent?: SentToken
  /** Further members of the answer, for who goes on from there. */
  readonly members?: Readonly<Record<string, unknown>> | undefined
  /** Further members of the log's line. Nothing secret, and nothing that a stranger has typed. */
  readonly facts?: Readonly<Record<string, unknown>>
}

/** The way in which an access token was sent to an endpoint of our own. */
export interface SentToken {
  /** Of RFC 6750 or RFC 9449 §7.1; undefined where there was no token. */
  readonly scheme: 'Bearer' | 'DPoP' | undefined
  /** The scope that it lacks. */
  readonly scope?: string
  /** What its log-in lacks (RFC 9470 §3): a level, or to be of the last so many seconds. */
  readonly authentication?: { readonly acr?: string; readonly maxAge?: number }
}

/**
 * An error the client is meant to see. `description` is public, constant and within the characters that
 * RFC 6749 §5.2 allows (no `"`, no `\`); whatever must stay private goes in `cause`, which is only logged.
 */
export class OAuthError extends Error {
  override readonly name = 'OAuthError'
  readonly code: OAuthErrorCode
  readonly status: number
  readonly retryAfter: number | undefined
  readonly sent: SentToken | undefined
  readonly members: OAuthErrorOptions['members']
  readonly facts: OAuthErrorOptions['facts']

  constructor(code: OAuthErrorCode, description: string, options: OAuthErrorOptions = {}) {
    super(description, options)
    this.code = code
    this.status = options.status ?? statuses[code]
    this.retryAfter = options.retryAfter
    this.sent = options.sent
    this.members = options.members
    this.facts = options.facts
  }

  toJSON() {
    return { error: this.code, error_description: this.message, ...this.members }
  }
}

/** Whether it was refused for being one too many, unheard: that costs a guesser nothing. */
export function isRefusedUnheard(error: unknown): boolean {
  return error instanceof OAuthError && (error.status === 429 || error.status === 503)
}

/** A fault of ours: never a 4xx, because a client that reads one throws its token away. */
export function unavailable(cause: unknown, retryAfter = 1): OAuthError {
  return new OAuthError(
    'temporarily_unavailable',
    'the server cannot answer right now, send the request again, with a new assertion or proof if it had one',
    {
      cause,
      retryAfter,
    },
  )
}

/** The answer at an address that is not ours. */
export function notFound(): OAuthError {
  return new OAuthError('invalid_request', 'there is nothing at this address', { status: 404 })
}

/** The operator has set something wrong: the message lists every problem, and says what would be right. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/**
 * Why an administrator's act cannot be done: there is no such thing, another is in its way, it is not what
 * was seen any more, it makes no sense or is too large, it is not this administrator's to do, or not now.
 * Of a request that is done once: it is under way, or was another one.
 */
export type RefusalCode =
  | 'not_found'
  | 'conflict'
  | 'changed'
  | 'invalid'
  | 'too_large'
  | 'unsupported_media_type'
  | 'forbidden'
  | 'unavailable'
  | 'under_way'
  | 'another_request'

/**
 * An act cannot be done, and has changed nothing unless the text says so. `text` says why, without a capital
 * and a full stop; `advice` is what an administrator at a shell does next.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: RefusalCode
  readonly text: string
  readonly advice: string | undefined
  /** The argument that is wrong, where it is one. */
  readonly field: string | undefined

  constructor(code: RefusalCode, text: string, advice?: string, field?: string) {
    super(text)
    this.code = code
    this.text = text
    this.advice = advice
    this.field = field
  }
}
