import type { OAuthErrorCode } from '../errors.ts'
import type { AuthorizationDetails } from './authorization-details.ts'
import type { RequestedClaims } from './claims.ts'

/** The prompts of OpenID Connect Core §3.1.2.1 and Initiating User Registration §4. */
export const prompts = ['none', 'login', 'consent', 'select_account', 'create'] as const

export type Prompt = (typeof prompts)[number]

export const responseModes = ['query', 'form_post'] as const

export type ResponseMode = (typeof responseModes)[number]

/** An authorization request (RFC 6749 §4.1.1) that was checked as a whole. Times are in seconds. */
export interface AuthorizationRequest {
  /** The id of the session that it will become: drawn when the request was first accepted. */
  readonly sessionId: Buffer
  readonly clientId: string
  /** When the client was added: a later one with its id does not go on with what this one began. */
  readonly clientMadeAt: number
  /** Registered for the client. */
  readonly redirectUri: string
  /** Whether the request named it, so that the token request must too (RFC 6749 §4.1.3). */
  readonly isRedirectUriSent: boolean
  readonly responseMode: ResponseMode
  readonly state: string | null
  readonly nonce: string | null
  /** Separated by spaces; only what the client may ask for. */
  readonly scope: string
  /** The one resource that it names (RFC 8707); null for any of the client's. */
  readonly resource: string | null
  /** What exactly is asked for (RFC 9396); then `resource` is theirs. */
  readonly details: AuthorizationDetails
  /** S256 (RFC 7636 §4.2); null where the client may leave it out. */
  readonly codeChallenge: string | null
  readonly prompts: readonly Prompt[]
  /** How old the log-in may be, in seconds; null for any age. */
  readonly maxAge: number | null
  readonly loginHint: string | null
  /** The `sub` of the `id_token_hint`. */
  readonly hintedSub: string | null
  /** Those asked for, the most wanted first. */
  readonly acrValues: readonly string[]
  readonly uiLocales: readonly string[]
  readonly claims: RequestedClaims | null
  /** The thumbprint of the DPoP key that the code is bound to (RFC 9449 §10). */
  readonly dpopJkt: string | null
  /** What the device shows that has asked (RFC 8628 §3.2), and waits for the answer; null for all others. */
  readonly userCode: string | null
  /** When it was first accepted: a log-in of before does not count for `prompt=login`. */
  readonly madeAt: number
}

/** A request as far as it need not say anything. */
export const plainRequest = {
  clientMadeAt: 0,
  isRedirectUriSent: true,
  responseMode: 'query',
  state: null,
  nonce: null,
  scope: '',
  resource: null,
  details: [],
  codeChallenge: null,
  prompts: [],
  maxAge: null,
  loginHint: null,
  hintedSub: null,
  acrValues: [],
  uiLocales: [],
  claims: null,
  dpopJkt: null,
  userCode: null,
} as const satisfies Partial<AuthorizationRequest>

/**
 * The error codes of answers to authorization requests (RFC 6749 §4.1.2.1, RFC 8707 §2, RFC 9396 §5, RFC 9101
 * §7, OpenID Connect Core §3.1.2.6, OpenID Connect Core Unmet Authentication Requirements §2).
 */
export type AuthorizationErrorCode =
  | RefusedCode
  | 'access_denied'
  | 'login_required'
  | 'account_selection_required'
  | 'consent_required'
  | 'interaction_required'
  | 'unmet_authentication_requirements'
  | 'temporarily_unavailable'

/** Those by which the judge refuses a request. `/par` answers with them too. */
export type RefusedCode = Extract<
  OAuthErrorCode,
  | 'invalid_authorization_details'
  | 'invalid_request'
  | 'invalid_request_uri'
  | 'invalid_scope'
  | 'invalid_target'
  | 'registration_not_supported'
  | 'request_not_supported'
  | 'request_uri_not_supported'
  | 'unsupported_response_type'
>

/** What is wrong with client or redirect URI, so that the person is told, and nothing goes to the client. */
export const addressProblems = {
  address_repeated: 'client_id or redirect_uri is sent more than once',
  grant_missing: 'the client has not been given the grant type authorization_code',
  redirect_uri_missing: 'the redirect_uri is missing',
  redirect_uri_unregistered: 'the redirect_uri is not registered for this client',
} as const

export type AddressProblem = keyof typeof addressProblems

/** Where the answer to a request goes, and how. */
export type Recipient = Pick<AuthorizationRequest, 'redirectUri' | 'responseMode' | 'state'>
