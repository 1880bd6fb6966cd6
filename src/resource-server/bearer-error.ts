import type { Authentication } from './authentication.ts'

/**
 * Why a request is refused: the codes of RFC 6750 §3.1, RFC 9449 §7.1 and RFC 9470 §3, and two that they
 * leave without one.
 */
export type BearerErrorCode =
  | 'invalid_request'
  | 'invalid_token'
  | 'insufficient_scope'
  /** The user has to log in once more, or with another factor. */
  | 'insufficient_user_authentication'
  /** The token is bound to a DPoP key, and the proof is missing or not good. */
  | 'invalid_dpop_proof'
  /** The request has no access token at all. */
  | 'no_token'
  /** Nothing is known against the token: the means to judge it cannot be had right now. */
  | 'temporarily_unavailable'

const statuses = {
  invalid_request: 400,
  no_token: 401,
  invalid_token: 401,
  invalid_dpop_proof: 401,
  insufficient_scope: 403,
  insufficient_user_authentication: 401,
  temporarily_unavailable: 503,
} as const

const descriptions: Readonly<Record<BearerErrorCode, string>> = {
  invalid_request: 'the access token must be sent once, in the Authorization header',
  no_token: 'an access token is needed',
  invalid_token: 'the access token is not valid here, has expired, or was revoked',
  insufficient_scope: 'the access token does not have the scope that is needed',
  insufficient_user_authentication: 'the user has to log in again, in the way that is asked for',
  invalid_dpop_proof: 'a DPoP proof is needed that is new, and made for this request and this access token',
  temporarily_unavailable: 'the access token cannot be verified right now, send the same request again',
}

export interface BearerErrorOptions extends ErrorOptions {
  /** The scope that is needed, separated by spaces. */
  readonly scope?: string | undefined
  /** How the user has to log in. */
  readonly authentication?: Authentication | undefined
  /** The URL of this API's metadata, from which a client learns where to get tokens (RFC 9728 §5.1). */
  readonly resourceMetadata?: string | undefined
  /** Replaces the usual text of the code. Public and constant, without `"` and `\\`. */
  readonly description?: string | undefined
  /** How the access token was sent, or should have been. Default: `Bearer`. */
  readonly scheme?: AuthScheme | undefined
}

/**
 * How an access token is sent: alone (RFC 6750), or with a proof that its sender has the key it is bound to
 * (RFC 9449).
 */
export type AuthScheme = 'Bearer' | 'DPoP'

/** The algorithms that proofs may be signed with. */
export const proofAlgorithms: readonly string[] = ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA']

/**
 * A resource server's refusal of a request. The message is public and the same for all reasons of a code, but
 * for DPoP proofs, whose sender has made the fault; `cause` says which reason it is, and is for the log
 * alone.
 *
 * A fault of the authorization server, or of the way to it, is 503 and never 401: a client that reads 401
 * refreshes its token, is refused again, and so on.
 */
export class BearerError extends Error {
  override readonly name = 'BearerError'
  readonly code: BearerErrorCode
  readonly status: 400 | 401 | 403 | 503
  readonly scope: string | undefined
  readonly authentication: Authentication | undefined
  readonly resourceMetadata: string | undefined
  readonly scheme: AuthScheme | undefined

  constructor(code: BearerErrorCode, options: BearerErrorOptions = {}) {
    super(options.description ?? descriptions[code], options)
    this.code = code
    this.status = statuses[code]
    this.scope = options.scope
    this.authentication = options.authentication
    this.resourceMetadata = options.resourceMetadata
    this.scheme = options.scheme
  }

  /**
   * The headers of the answer: the challenge (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3, RFC 9728 §5.1) or,
   * where it is our fault, when to come back.
   */
  headers(): Readonly<Record<string, string>> {
    const headers = { 'cache-control': 'no-store' }
    if (this.code === 'temporarily_unavailable') return { ...headers, 'retry-after': '1' }
    const algs = `algs="${proofAlgorithms.join(' ')}"`
    const { acr, maxAge } = this.authentication ?? {}
    const needed = [
      ...(this.scope === undefined ? [] : [`scope="${this.scope}"`]),
      ...(acr === undefined ? [] : [`acr_values="${acr}"`]),
      ...(maxAge === undefined ? [] : [`max_age="${maxAge}"`]),
      ...(this.resourceMetadata === undefined ? [] : [`resource_metadata="${this.resourceMetadata}"`]),
    ]
    // A client that sent no token is not told of an error, but of both ways to send one.
    if (this.code === 'no_token') {
      const challenges = [
        ['Bearer realm="api"', ...needed],
        ['DPoP realm="api"', algs, ...needed],
      ]
      return { ...headers, 'www-authenticate': challenges.flat().join(', ') }
    }
    const scheme = this.scheme ?? 'Bearer'
    const parameters = [
      `realm="api", error="${this.code}", error_description="${this.message}"`,
      ...needed,
      ...(scheme === 'DPoP' ? [algs] : []),
    ]
    return { ...headers, 'www-authenticate': `${scheme} ${parameters.join(', ')}` }
  }

  /** The same refusal, which says more. */
  with(more: BearerErrorOptions): BearerError {
    const { message: description, scope, authentication, resourceMetadata, scheme, cause } = this
    return new BearerError(this.code, {
      ...{ description, scope, authentication, resourceMetadata, scheme, cause },
      ...more,
    })
  }

  /** The body of the answer. */
  toJSON() {
    return { error: this.code, error_description: this.message }
  }
}
