import type { AuthorizationRequest } from '../protocol/authorization-request.ts'
import { scopesToAllow } from '../protocol/claims.ts'
import { hasOpenid } from '../protocol/openid-scopes.ts'
import { itemsOf } from '../values/list.ts'

/** What is known of the person, the browser and the client by the time that a request is looked at. */
export interface NeedFacts {
  /** Who is logged in in this browser; undefined for nobody. */
  readonly signIn:
    | {
        readonly sub: string
        /** Seconds since the epoch. */
        readonly authTime: number
        /** The levels (`acr`) that the log-in has shown. */
        readonly levels: readonly string[]
      }
    | undefined
  /** Whether that log-in was for this very request: then it is as new as any can be, and not asked again. */
  readonly isForThisRequest: boolean
  /** Whether the person has said that this account is the one. */
  readonly isChosen: boolean
  /** Whether the person has asked to log in as somebody else. */
  readonly wantsAnother: boolean
  readonly policy: 'never' | 'once' | 'always'
  /**
   * What the person has allowed the client before, for the resource of the request; undefined for nothing.
   */
  readonly allowedScope: string | undefined
  /** Whether the person has just allowed this very request. */
  readonly hasConsented: boolean
  /** The levels that a log-in can show here. */
  readonly attainable: readonly string[]
  /** Seconds since the epoch. */
  readonly now: number
}

/** Errors of OpenID Connect Core §3.1.2.6, and of OpenID Connect Core Unmet Authentication Requirements. */
export type NeedError =
  'login_required' | 'account_selection_required' | 'consent_required' | 'unmet_authentication_requirements'

export type Page =
  /** Again: by who is logged in, and has to show it once more. */
  { readonly kind: 'log_in'; readonly isAgain: boolean } | { readonly kind: 'choose_account' | 'consent' }

export type Need =
  | { readonly kind: 'code' }
  | Page
  | { readonly kind: 'error'; readonly error: NeedError; readonly description: string }

/**
 * What an authorization request still needs before it yields a code (OpenID Connect Core §3.1.2.3 and
 * §3.1.2.4). Pure: all of the rule is here.
 *
 * No request leads to more than one log-in. What a log-in for this very request does not give, no further
 * one would: then it is an error, and never the log-in page again.
 */
export function judgeNeeds(request: AuthorizationRequest, facts: NeedFacts): Need {
  const { signIn, isForThisRequest } = facts
  const { demanded, met } = levelsOf(request, facts)
  if (demanded && !demanded.some(level => facts.attainable.includes(level))) return unmet

  const page = (needed: Page): Need => (request.prompts.includes('none') ? noPage[needed.kind] : needed)
  const logIn = page({ kind: 'log_in', isAgain: false })
  const logInAgain = page({ kind: 'log_in', isAgain: true })
  if (!signIn) return logIn
  if (!isForThisRequest) {
    if (facts.wantsAnother) return logIn
    if (request.prompts.includes('select_account') && !facts.isChosen) return page({ kind: 'choose_account' })
  }
  if (!isWhoIsMeant(request, signIn.sub)) return isForThisRequest ? anotherUser : logIn
  if (!isForThisRequest && !isNewEnough(request, signIn.authTime, facts.now)) return logInAgain
  if (!met) return isForThisRequest ? unmet : logInAgain
  if (!isAllowed(request, facts)) return page({ kind: 'consent' })
  return { kind: 'code' }
}

const error = (name: NeedError, description: string): Need => ({ kind: 'error', error: name, description })

/** `prompt=none`: what would be a page is an error. */
const noPage: Readonly<Record<Page['kind'], Need>> = {
  log_in: error('login_required', 'the user has to log in, and prompt=none does not let a page be shown'),
  choose_account: error(
    'account_selection_required',
    'the user has to choose an account, and prompt=none does not let a page be shown',
  ),
  consent: error('consent_required', 'the user has to consent, and prompt=none does not let a page be shown'),
}

const unmet = error('unmet_authentication_requirements', 'the level that acr asks for cannot be reached')

const anotherUser = error('login_required', 'another user than the one who is meant has logged in')

/**
 * The levels of which one must be shown; undefined where any will do. Those of an essential claim are a
 * demand (OpenID Connect Core §5.5.1.1), and so are those of `acr_values` (RFC 9470 §5), except that an
 * OpenID request may name some that nobody here knows: there they are a wish (§3.1.2.1).
 */
function levelsOf(
  { claims, acrValues, scope }: AuthorizationRequest,
  { signIn, attainable }: NeedFacts,
): { readonly demanded: readonly string[] | undefined; readonly met: boolean } {
  const essential = claims?.essentialAcr ?? []
  const wanted = essential.length > 0 ? essential : acrValues
  const isWish =
    essential.length === 0 &&
    hasOpenid(scope) &&
    !wanted.some(level => knownLevels.includes(level) || attainable.includes(level))
  if (wanted.length === 0 || isWish) return { demanded: undefined, met: true }
  return { demanded: wanted, met: wanted.some(level => signIn?.levels.includes(level) === true) }
}

/** The levels that have a meaning here, whether they can be reached or not. */
const knownLevels: readonly string[] = ['pwd', 'mfa', 'phr']

/** OpenID Connect Core §3.1.2.1 (`id_token_hint`) and §5.5.1 (the claim `sub` with a value). */
function isWhoIsMeant({ hintedSub, claims }: AuthorizationRequest, sub: string): boolean {
  return [hintedSub, claims?.sub].every(meant => meant === null || meant === undefined || meant === sub)
}

/**
 * A log-in since the request was made is one for `prompt=login` too, in whichever tab it was; one in the same
 * second may have been before it. `max_age=0` says the same as `prompt=login` (OpenID Connect Core §3.1.2.1).
 * One in the future was before the clock was set back, and nobody knows how long ago.
 */
function isNewEnough(
  { prompts, maxAge, madeAt }: AuthorizationRequest,
  authTime: number,
  now: number,
): boolean {
  const isDemanded = prompts.includes('login') || maxAge !== null
  if (isDemanded && authTime > now) return false
  if ((prompts.includes('login') || maxAge === 0) && authTime <= madeAt) return false
  return maxAge === null || maxAge === 0 || now - authTime <= maxAge
}

/** A client that never asks is the operator's own: not even `prompt=consent` makes it ask. */
function isAllowed(
  request: AuthorizationRequest,
  { policy, allowedScope, hasConsented }: NeedFacts,
): boolean {
  if (policy === 'never' || hasConsented) return true
  if (policy === 'always' || request.prompts.includes('consent') || allowedScope === undefined) return false
  const allowed = itemsOf(allowedScope)
  return scopesToAllow(request).every(one => allowed.includes(one))
}
