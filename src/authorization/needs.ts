import type { AuthorizationRequest } from '../protocol/authorization-request.ts'
import { scopesToAllow } from '../protocol/claims.ts'
import { levels, type Level } from '../protocol/levels.ts'
import { hasOpenid } from '../protocol/openid-scopes.ts'
import { itemsOf } from '../values/list.ts'

/** What is known of the person, the browser and the client by the time that a request is looked at. */
export interface NeedFacts {
  /** Who is logged in in this browser, if anybody is. */
  readonly signIn:
    | {
        readonly sub: string
        /** Seconds since the epoch. */
        readonly authTime: number
        /** The levels (`acr`) that the log-in has shown. */
        readonly levels: readonly Level[]
      }
    | undefined
  /** Whether that log-in was for this very request: then it is as new as any can be, and not asked again. */
  readonly isForThisRequest: boolean
  /** Whether the person has said that this account is the one. */
  readonly isChosen: boolean
  /** Whether the person has asked to log in as somebody else. */
  readonly wantsAnother: boolean
  /** Whether no other app can pass for the client, so that something may be given without a word. */
  readonly isClientSure: boolean
  readonly policy: 'never' | 'once' | 'always'
  /**
   * What the person has allowed the client before, for the resource of the request; undefined for nothing.
   */
  readonly allowedScope: string | undefined
  /** Whether the person has just allowed this very request. */
  readonly hasConsented: boolean
  /** The level that the client, or the installation, demands of all. */
  readonly floor: Level
  /** The levels that a log-in can show here, the weakest first. */
  readonly attainable: readonly Level[]
  /** Those of them that the person can show with the factors that it has, the weakest first. */
  readonly reachable: readonly Level[]
  /** Seconds since the epoch. */
  readonly now: number
}

/** Errors of OpenID Connect Core §3.1.2.6, and of OpenID Connect Core Unmet Authentication Requirements. */
export type NeedError =
  | 'login_required'
  | 'account_selection_required'
  | 'consent_required'
  | 'interaction_required'
  | 'unmet_authentication_requirements'

export type Page =
  /** Again: by who is logged in, and has to show it once more. */
  | { readonly kind: 'log_in'; readonly isAgain: boolean }
  /** One more factor, by who is logged in, or one more that is to be set up, so that the level is reached. */
  | { readonly kind: 'step_up' | 'set_up'; readonly level: Level }
  | { readonly kind: 'choose_account' | 'consent' | 'confirm_device' }

export type Need =
  | { readonly kind: 'code' }
  | Page
  | { readonly kind: 'error'; readonly error: NeedError; readonly description: string }

/**
 * What an authorization request still needs before it yields a code (OpenID Connect Core §3.1.2.3 and
 * §3.1.2.4). Pure: all of the rule is here.
 *
 * No request leads to more than one log-in, but where the level wants another factor, and a new log-in before
 * that is set up. If a log-in for this very request does not give it, no further one would: then it is an
 * error, and never the log-in page again.
 */
export function judgeNeeds(request: AuthorizationRequest, facts: NeedFacts): Need {
  const { signIn, isForThisRequest } = facts
  const level = neededLevel(request, facts)
  if (!level) return unmet

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
  if (!signIn.levels.includes(level)) return page(raise(level, signIn, facts))
  // It cannot be known who has the device: so it is asked each time, of all clients (RFC 8628 §5.4).
  if (request.userCode !== null)
    return facts.hasConsented ? { kind: 'code' } : page({ kind: 'confirm_device' })
  if (!isAllowed(request, facts)) return page({ kind: 'consent' })
  if (!isAttended(facts)) return request.prompts.includes('none') ? unattended : { kind: 'choose_account' }
  return { kind: 'code' }
}

const error = (name: NeedError, description: string): Need => ({ kind: 'error', error: name, description })

/** `prompt=none`: an error in the place of each page. */
const noPage: Readonly<Record<Page['kind'], Need>> = {
  log_in: error('login_required', 'the user has to log in, and prompt=none does not let a page be shown'),
  choose_account: error(
    'account_selection_required',
    'the user has to choose an account, and prompt=none does not let a page be shown',
  ),
  step_up: error(
    'login_required',
    'the user has to show one more factor, and prompt=none does not let a page be shown',
  ),
  set_up: error(
    'login_required',
    'the user has to set up one more factor, and prompt=none does not let a page be shown',
  ),
  consent: error('consent_required', 'the user has to consent, and prompt=none does not let a page be shown'),
  confirm_device: error('interaction_required', 'the user has to see which device it is'),
}

/** How new a log-in has to be for a factor to be set up, in seconds. */
export const setUpSeconds = 900

/**
 * How somebody who is logged in reaches a level. To set up a factor takes all that there are: the password
 * alone would get around them otherwise.
 */
function raise(
  level: Level,
  { levels: shown, authTime }: NonNullable<NeedFacts['signIn']>,
  { reachable, now }: NeedFacts,
): Page {
  if (reachable.includes(level)) return { kind: 'step_up', level }
  const most = reachable.at(-1)
  if (most && !shown.includes(most)) return { kind: 'step_up', level: most }
  const isNew = authTime <= now && now - authTime <= setUpSeconds
  return isNew ? { kind: 'set_up', level } : { kind: 'log_in', isAgain: true }
}

const unmet = error('unmet_authentication_requirements', 'the level that acr asks for cannot be reached')

const anotherUser = error('login_required', 'another user than the one who is meant has logged in')

const unattended = error(
  'interaction_required',
  'another app could pass for this client, so the user has to see it (RFC 8252 section 8.6)',
)

/**
 * The weakest level that is enough for request, client and installation; undefined where none that can be
 * reached is. A stronger one has what a weaker one has.
 */
export function neededLevel(
  request: Pick<AuthorizationRequest, 'claims' | 'acrValues' | 'scope'>,
  { floor, attainable }: Pick<NeedFacts, 'floor' | 'attainable'>,
): Level | undefined {
  const asked = askedLevels(request)
  return attainable.find(level => {
    const includes = levels.slice(0, levels.indexOf(level) + 1)
    return includes.includes(floor) && (!asked || includes.some(one => asked.includes(one)))
  })
}

/**
 * The levels of which one must be shown; undefined where any will do. Those of an essential claim are a
 * demand (OpenID Connect Core §5.5.1.1), and so are those of `acr_values` (RFC 9470 §5), except that an
 * OpenID request may name some that are unknown here: there they are a wish (§3.1.2.1).
 */
function askedLevels({
  claims,
  acrValues,
  scope,
}: Pick<AuthorizationRequest, 'claims' | 'acrValues' | 'scope'>): readonly string[] | undefined {
  const essential = claims?.essentialAcr ?? []
  if (essential.length > 0) return essential
  const isWish = hasOpenid(scope) && !levels.some(level => acrValues.includes(level))
  return acrValues.length === 0 || isWish ? undefined : acrValues
}

/** OpenID Connect Core §3.1.2.1 (`id_token_hint`) and §5.5.1 (the claim `sub` with a value). */
function isWhoIsMeant({ hintedSub, claims }: AuthorizationRequest, sub: string): boolean {
  return [hintedSub, claims?.sub].every(meant => meant === null || meant === undefined || meant === sub)
}

/**
 * A log-in since the request was made is one for `prompt=login` too, in whichever tab it was; one in the same
 * second may have been before it. `max_age=0` says the same as `prompt=login` (OpenID Connect Core §3.1.2.1).
 * One in the future was before the clock was set back, and may be of any age.
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

/** Whether the person knows of the request, where another app may have made it (RFC 8252 §8.6). */
function isAttended({ isClientSure, isForThisRequest, isChosen, hasConsented }: NeedFacts): boolean {
  return isClientSure || isForThisRequest || isChosen || hasConsented
}

/**
 * A client that never asks is the operator's own: not even `prompt=consent` makes it ask. An app that another
 * one can pass for has to ask each time (RFC 8252 §8.6). All have to for authorization details.
 */
function isAllowed(
  request: AuthorizationRequest,
  { policy, allowedScope, hasConsented, isClientSure }: NeedFacts,
): boolean {
  if (hasConsented) return true
  // A payment is not allowed twice because it was allowed once, nor unseen.
  if (request.details.length > 0) return false
  if (policy === 'never') return true
  if (!isClientSure) return false
  if (policy === 'always' || request.prompts.includes('consent') || allowedScope === undefined) return false
  const allowed = itemsOf(allowedScope)
  return scopesToAllow(request).every(one => allowed.includes(one))
}
