import { itemsOf } from '../values/list.ts'
import { readAskedDetails } from './authorization-details.ts'
import {
  prompts,
  responseModes,
  type AddressProblem,
  type AuthorizationRequest,
  type Prompt,
  type Recipient,
  type ResponseMode,
} from './authorization-request.ts'
import { parseRequestedClaims } from './claims.ts'
import type { Form } from './form.ts'
import { hasOpenid } from './openid-scopes.ts'
import { challengeMethod, isChallenge } from './pkce.ts'
import { isRegistered } from './redirect-uri.ts'
import {
  hasGrant,
  invalid,
  refuseKey,
  refuseTarget,
  resourceOf,
  scopeOf,
  wordsOf,
  type Refusal,
} from './request-target.ts'

/** What is known beside the parameters of a request. */
export interface RequestFacts {
  /** Columns of the client that it names, which has authenticated where it had to. */
  readonly client: {
    readonly id: string
    readonly created_at: number
    readonly auth_method: string
    readonly grant_types: string
    readonly redirect_uris: string
    readonly scope: string
    readonly authorization_details_types: string
    readonly pkce: 'required' | 'optional'
    readonly par_required: number
    readonly tls_bound: number
    readonly profile: string
  }
  /** Those that there are of the client's. */
  readonly resources: readonly {
    readonly uri: string
    readonly scope: string
    readonly authorization_details_types: string
  }[]
  /** The parameters that were sent more than once. */
  readonly repeated: readonly string[]
  /** Whether it came by `/par`. */
  readonly isPushed: boolean
  /** Whether by `/authorize-challenge`: the client asks the person itself, and is answered itself. */
  readonly isDirect: boolean
  /** The thumbprint of the DPoP proof that came with it to either, in base64url; null without one. */
  readonly proofJkt: string | null
  /** The `sub` of the `id_token_hint`; null where that is no ID token of this issuer, or there is none. */
  readonly hintedSub: string | null
  /** For the session that it will become. */
  readonly sessionId: Buffer
  /** Seconds since the epoch. */
  readonly now: number
}

export type RequestVerdict =
  | { readonly kind: 'accepted'; readonly request: AuthorizationRequest }
  /** To the person: nothing may go to the client. */
  | { readonly kind: 'shown'; readonly problem: AddressProblem }
  /** To the client. */
  | ({ readonly kind: 'refused' } & Refusal & Recipient)

/**
 * What a request may hold, in bytes of JSON: sealed, it has to fit into a URL that proxies take with their
 * usual limit of 8 KiB.
 */
const requestBytesMax = 5000

/**
 * Whether an authorization request is accepted (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.2). Pure: all of
 * its checks are in this file, and in request-target.ts those of what it is for. Parameters that are not
 * known here are no part of the verdict.
 */
export function judgeAuthorizationRequest(form: Form, facts: RequestFacts): RequestVerdict {
  const { client, resources, repeated } = facts
  const redirectUri = redirectUriOf(form, facts)
  const problem = addressProblem(redirectUri, facts)
  if (redirectUri === undefined || problem)
    return { kind: 'shown', problem: problem ?? 'redirect_uri_missing' }

  // From here on the client learns of what is wrong.
  const recipient = recipientOf(form, redirectUri, repeated)
  const { details, form: meant, refusal: detailsRefusal } = readAskedDetails(form, facts)
  const refusal =
    refuseChannel(form, facts) ??
    refuseResponse(form, recipient, facts) ??
    refuseChallenge(form, facts) ??
    detailsRefusal ??
    refuseTarget(meant, facts) ??
    refusePerson(form, facts) ??
    refuseKey(form, facts)
  if (refusal) return { kind: 'refused', ...recipient, ...refusal }

  const claims = form.get('claims')
  const request: AuthorizationRequest = {
    ...recipient,
    sessionId: facts.sessionId,
    clientId: client.id,
    clientMadeAt: client.created_at,
    isRedirectUriSent: form.has('redirect_uri'),
    nonce: form.get('nonce') ?? null,
    scope: scopeOf(meant, client, resources).join(' '),
    resource: resourceOf(meant, resources) ?? null,
    details,
    codeChallenge: form.get('code_challenge') ?? null,
    prompts: wordsOf(form, 'prompt').filter(isPrompt),
    maxAge: form.has('max_age') ? Number(form.get('max_age')) : null,
    loginHint: form.get('login_hint') ?? null,
    hintedSub: facts.hintedSub,
    acrValues: wordsOf(form, 'acr_values'),
    uiLocales: wordsOf(form, 'ui_locales'),
    claims: claims === undefined ? null : (parseRequestedClaims(claims) ?? null),
    dpopJkt: form.get('dpop_jkt') ?? facts.proofJkt,
    userCode: null,
    madeAt: facts.now,
  }
  const bytes = Buffer.byteLength(JSON.stringify({ ...request, sessionId: '' }))
  if (bytes <= requestBytesMax) return { kind: 'accepted', request }
  return { kind: 'refused', ...recipient, ...invalid('the parameters are too long, all together') }
}

/**
 * It may be left out where one is registered, and nothing asks for more than RFC 6749 does (§3.1.2.3). Empty
 * where no browser comes back.
 */
function redirectUriOf(form: Form, { client, isDirect }: RequestFacts): string | undefined {
  const registered = itemsOf(client.redirect_uris)
  if (isDirect) return form.get('redirect_uri') ?? (registered.length === 1 ? registered[0] : '')
  // OpenID Connect Core §3.1.2.1, FAPI 2.0 Security Profile §5.3.2.2
  const mustBeSent = hasOpenid(form.get('scope') ?? '') || client.profile === 'fapi2'
  return form.get('redirect_uri') ?? (registered.length === 1 && !mustBeSent ? registered[0] : undefined)
}

/** What is wrong with client or redirect URI, which anybody may have sent (RFC 6749 §4.1.2.1). */
function addressProblem(
  redirectUri: string | undefined,
  { client, repeated, isDirect }: RequestFacts,
): AddressProblem | undefined {
  if (repeated.includes('client_id') || repeated.includes('redirect_uri')) return 'address_repeated'
  if (!hasGrant(client, 'authorization_code')) return 'grant_missing'
  if (redirectUri === undefined) return 'redirect_uri_missing'
  if (isDirect && redirectUri === '') return undefined
  return isRegistered(redirectUri, itemsOf(client.redirect_uris)) ? undefined : 'redirect_uri_unregistered'
}

/** Where the answer goes, of a request in which anything else may be wrong. */
function recipientOf(form: Form, redirectUri: string, repeated: readonly string[]): Recipient {
  const once = (name: string) => (repeated.includes(name) ? undefined : form.get(name))
  // On its way to an app, a browser would leave the body behind.
  const isPost = once('response_mode') === 'form_post' && /^https?:/.test(redirectUri)
  return { redirectUri, responseMode: isPost ? 'form_post' : 'query', state: once('state') ?? null }
}

/** The ways in which parameters come (RFC 9126, RFC 9101, OpenID Connect Core §6 and §7.2.1). */
function refuseChannel(form: Form, { client, repeated, ...how }: RequestFacts): Refusal | undefined {
  const isPushed = how.isPushed || how.isDirect
  if (repeated.length > 0) return invalid('a parameter is sent more than once')
  if (form.has('request'))
    return { error: 'request_not_supported', description: 'no request object is taken' }
  if (form.has('request_uri')) {
    if (isPushed) return invalid('only a browser comes with a request_uri')
    return {
      error: 'request_uri_not_supported',
      description: 'the only request_uri that is taken is one of /par',
    }
  }
  if (form.has('registration')) {
    return { error: 'registration_not_supported', description: 'no client is registered by its requests' }
  }
  if (client.par_required === 1 && !isPushed) {
    return invalid('this client must push its requests: send the request_uri that /par has answered')
  }
  return undefined
}

function refuseResponse(
  form: Form,
  { responseMode, state }: Recipient,
  { isDirect }: RequestFacts,
): Refusal | undefined {
  const type = form.get('response_type')
  if (type === undefined) return invalid('the parameter response_type is missing')
  if (type !== 'code')
    return { error: 'unsupported_response_type', description: 'the only response_type is code' }
  // It says how a browser brings the answer.
  if (isDirect) return undefined
  const mode = form.get('response_mode') ?? 'query'
  if (!isResponseMode(mode)) return invalid(`the response_mode is one of ${responseModes.join(', ')}`)
  if (mode !== responseMode) return invalid('form_post takes a redirect_uri of https or http')
  // A form alters them on its way, so that the client would not know its own state again.
  if (mode === 'form_post' && /[\0-\x1f\x7f]/.test(state ?? ''))
    return invalid('form_post takes a state without control characters')
  return undefined
}

/**
 * RFC 7636 §4.3 and §4.4.1, RFC 9700 §2.1.1. A client that is answered itself need not prove that its browser
 * was (draft-ietf-oauth-first-party-apps §5.1).
 */
function refuseChallenge(form: Form, { client, isDirect }: RequestFacts): Refusal | undefined {
  const challenge = form.get('code_challenge')
  const method = form.get('code_challenge_method')
  if (challenge === undefined) {
    if (method !== undefined) return invalid('a code_challenge_method comes with a code_challenge')
    if (isDirect || (client.pkce === 'optional' && client.auth_method !== 'none')) return undefined
    return invalid('the parameter code_challenge is missing: this client must use PKCE (RFC 7636)')
  }
  // Left out, it is `plain` (RFC 7636 §4.3).
  if (method !== challengeMethod) return invalid(`the code_challenge_method must be ${challengeMethod}`)
  return isChallenge(challenge) ? undefined : invalid('the code_challenge is no SHA-256 in base64url')
}

/** What is asked of the person (OpenID Connect Core §3.1.2.1). */
function refusePerson(form: Form, { hintedSub, isDirect }: RequestFacts): Refusal | undefined {
  const asked = wordsOf(form, 'prompt')
  if (!asked.every(isPrompt)) return invalid(`the prompt is one of ${prompts.join(', ')}`)
  if (isDirect && asked.includes('none'))
    return invalid('the prompt none has no meaning where no browser is logged in')
  if (asked.includes('none') && asked.length > 1) return invalid('the prompt none takes no other beside it')
  if (!/^\d{1,10}$/.test(form.get('max_age') ?? '0')) return invalid('the max_age is no number of seconds')
  if (form.has('id_token_hint') && hintedSub === null)
    return invalid('the id_token_hint is no ID token of this server')
  const claims = form.get('claims')
  if (claims !== undefined && !parseRequestedClaims(claims)) {
    return invalid('the claims are not what OpenID Connect Core (section 5.5) describes')
  }
  return undefined
}

function isPrompt(text: string): text is Prompt {
  return prompts.some(prompt => prompt === text)
}

function isResponseMode(text: string): text is ResponseMode {
  return responseModes.some(mode => mode === text)
}
