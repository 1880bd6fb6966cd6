import { randomBytes } from 'node:crypto'
import type { Outcome } from '../authorization/answers.ts'
import { signUpIsOpen } from '../account/sign-up.ts'
import { issueCode } from '../authorization/code.ts'
import { findDevice } from '../authorization/devices.ts'
import { lookForNeeds, type Look } from '../authorization/look.ts'
import type { Page } from '../authorization/needs.ts'
import {
  fresh,
  isOf,
  isUsed,
  openRequest,
  type OpenedRequest,
  sealRequest,
  type PendingRequest,
} from '../authorization/requests.ts'
import { accountClient, accountClientId, accountPath } from '../clients/account-client.ts'
import { findRequester, isRequester, type NoRequester } from '../clients/open-clients.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { deviceGrant } from '../protocol/grant-types.ts'
import { hasGrant } from '../protocol/request-target.ts'
import { hashSecret } from '../protocol/secrets.ts'
import { formatUserCode } from '../protocol/user-code.ts'
import { findLeftSignIn, findSignIn, type LeftSignIn, type SignIn } from '../sessions/sign-in.ts'
import { normalAddress } from '../values/addresses.ts'
import { refuseDevice } from './answer-device.ts'
import { sendAnswer } from './answer.ts'
import { showMessage, showNoClient } from './message.ts'
import type { MessageKind } from './texts/texts.ts'
import { leadTo, redirectTo, type StagePath, type Visit } from './visit.ts'

/** A request on its way, in the browser that it is bound to, and who is logged in there. */
export interface Stage {
  readonly client: Client
  readonly pending: PendingRequest
  readonly signIn: SignIn | undefined
}

/**
 * Goes on with a request that has just come from a client: answers it at once, or leads to the first page
 * that it needs. From there on it is bound to this browser.
 */
export async function proceed(visit: Visit, pending: PendingRequest): Promise<void> {
  const client = await findLivingClient(visit.ctx, pending)
  if (!isRequester(client)) return showNoClient(visit, client)
  // Also for a person who is logged in: the client wants an account to be made (OpenID Connect Prompt Create
  // 1.0 §4).
  if (firstPage(visit.ctx, pending) === '/sign-up') return leadTo(visit, '/sign-up', bound(visit, pending))
  await goOn(visit, { client, pending, signIn: await currentSignIn(visit) })
}

/** Where a request begins that cannot be answered at once. */
export function firstPage(ctx: Context, { request }: Pick<PendingRequest, 'request'>): StagePath {
  return request.prompts.includes('create') && signUpIsOpen(ctx) ? '/sign-up' : '/log-in'
}

/**
 * Answers the client, or leads to the page that comes next. `hasConsented`: the person has just allowed this
 * very request.
 */
export async function goOn(
  visit: Visit,
  stage: Stage,
  { hasConsented = false }: { readonly hasConsented?: boolean } = {},
): Promise<void> {
  await follow(visit, stage, await lookForNeeds(visit.ctx, { ...stage, hasConsented }))
}

/** Does what a request needs next. */
export async function follow(visit: Visit, stage: Stage, { need, allowed }: Look): Promise<void> {
  const { ctx } = visit
  const { client, pending, signIn } = stage
  const { request } = pending
  if (need.kind === 'error') return answerClient(visit, stage, need)
  if (need.kind !== 'code') {
    const path = pathOf(need.kind)
    return leadTo(visit, path, bound(visit, { ...pending, username: null, stays: false, problem: null }))
  }
  if (request.clientId === accountClientId) return redirectTo(visit, request.redirectUri)
  if (!signIn) throw new Error('unreachable: nobody gets a code without a log-in')
  const user = { id: signIn.user_id }
  const consentId = allowed?.id ?? null
  if (request.userCode !== null) throw new Error('unreachable: the page that shows a device lets it in')
  // Of the client as it was when the request was looked at: an epoch that was raised since ends the code.
  const { scope } = request
  const code = issueCode(ctx, { request, logIn: signIn, signIn, user, client, scope, consentId })
  return answerClient(visit, stage, { code })
}

function pathOf(page: Page['kind']): StagePath {
  if (page === 'consent') return '/consent'
  if (page === 'confirm_device') return '/device/confirm'
  return page === 'set_up' ? '/account/second-factor' : '/log-in'
}

/** Answers the client as it is now: while somebody logged in, a redirect URI may have been taken away. */
export async function answerClient(
  visit: Visit,
  { pending, signIn }: Pick<Stage, 'pending' | 'signIn'>,
  outcome: Outcome,
): Promise<void> {
  const { request } = pending
  if (request.clientId === accountClientId) {
    const againHref = accountPath
    return showMessage(visit, { kind: 'not_logged_in', status: 403, againHref, uiLocales: request.uiLocales })
  }
  const client = await findLivingClient(visit.ctx, pending)
  if (!isRequester(client)) return showNoClient(visit, client, request.uiLocales)
  if (request.userCode !== null) return refuseDevice(visit, request, signIn)
  sendAnswer(visit, client, request, outcome)
}

/**
 * The request that a page is for, where it may go on in this browser. Undefined when it may not: then the
 * person has been told why, and what to do, or has been led to where it may.
 */
export async function findStage(
  visit: Visit,
  sealed: string | undefined,
  path: StagePath,
): Promise<Stage | undefined> {
  const { ctx } = visit
  if (!sealed) return void showMessage(visit, { kind: 'no_request', status: 400 })
  const pending = await openRequest(ctx, sealed)
  if (!pending) return void showMessage(visit, { kind: 'request_invalid', status: 400 })
  const client = await findLivingClient(ctx, pending)
  const { uiLocales } = pending.request
  if (!isRequester(client)) return void showNoClient(visit, client, uiLocales)
  const about = { status: 400, client, uiLocales }
  const refuse = (kind: MessageKind, againHref: string | null = null) => {
    // The page of a form says the same, at an address that is no longer.
    if (visit.request.method === 'POST') return void leadTo(visit, path, pending)
    return void showMessage(visit, { kind, againHref, ...about })
  }
  const over = await whyOver(ctx, pending)
  if (over === 'device_answered' || over === 'device_expired')
    return void showMessage(visit, { kind: over, againHref: '/device', status: 400, uiLocales })
  if (over) return refuse(over)
  if (pending.browser === null) return void begin(visit, path, pending)
  const cookie = browserCookie(visit)
  if (cookie === undefined || pending.browser !== hashOf(cookie)) {
    // The first two tabs of a browser, at the same moment, get a cookie each, of which it keeps one.
    const kind = cookie === undefined ? 'cookies_refused' : 'other_browser'
    // Begun anew, as the client's own link would: anything done elsewhere counts for nothing.
    return refuse(kind, `${path}?request=${sealRequest(ctx, fresh(pending.request))}`)
  }
  return { client, pending, signIn: await currentSignIn(visit) }
}

/**
 * Binds a request that came in a link to this browser. That of a device may have been sent by a stranger,
 * whose device it is: it goes no further than its code in a link does.
 */
function begin(visit: Visit, path: StagePath, pending: PendingRequest): void {
  const { userCode } = pending.request
  if (userCode === null) return leadTo(visit, path, bound(visit, pending))
  redirectTo(visit, `${visit.ctx.config.issuer}/device?user_code=${formatUserCode(userCode)}`)
}

/** Why a request goes on no more; undefined where it does. */
async function whyOver(
  ctx: Context,
  { request, isExpired }: OpenedRequest,
): Promise<'request_expired' | 'request_used' | 'device_expired' | 'device_answered' | undefined> {
  if (request.userCode !== null) {
    const { state } = await findDevice(ctx, request)
    if (state === 'waiting') return undefined
    return state === 'expired' ? 'device_expired' : 'device_answered'
  }
  if (isExpired) return 'request_expired'
  return (await isUsed(ctx, request)) ? 'request_used' : undefined
}

/** Whether it is the person whom a page has asked that answers it, and no other who has logged in since. */
export function isAsked(stage: Stage): stage is Stage & { readonly signIn: SignIn } {
  const { pending, signIn } = stage
  return signIn !== undefined && pending.user?.equals(signIn.user_id) === true
}

/** Who is logged in in this browser, as far as its cookie can be believed. */
export async function currentSignIn({ ctx, pages, request }: Visit): Promise<SignIn | undefined> {
  const cookie = pages.cookies.signIn.read(request)
  return cookie === undefined ? undefined : findSignIn(ctx, cookie, { address: normalAddress(request.ip) })
}

/** Who was logged in in this browser until a backup was restored: that was not ended here. */
export async function leftSignIn({ ctx, pages, request }: Visit): Promise<LeftSignIn | undefined> {
  return findLeftSignIn(ctx, pages.cookies.signIn.read(request))
}

/** The client of a request, where it is there still, and may have people log in; or why there is none. */
export async function findLivingClient(
  ctx: Pick<Context, 'clients' | 'config'>,
  { request }: PendingRequest,
): Promise<Client | NoRequester | undefined> {
  const { clientId } = request
  if (clientId === accountClientId) return accountClient(ctx.config)
  const found = await findRequester(ctx, clientId)
  if (!isRequester(found)) return found
  if (found.disabled_at !== null || !isOf(request, found)) return undefined
  return request.userCode === null || hasGrant(found, deviceGrant) ? found : undefined
}

/** How long a browser is told apart, in seconds: no longer than browsers keep a cookie. */
const browserSeconds = 400 * 86_400

/** The request, for this browser alone. */
function bound(visit: Visit, pending: PendingRequest): PendingRequest {
  return { ...pending, browser: browserOf(visit) }
}

/**
 * What tells this browser apart: SHA-256 of its cookie, in base64url. One that has none gets it with the
 * answer, so this is asked once for each request.
 */
export function browserOf(visit: Visit): string {
  const known = browserCookie(visit)
  const cookie = known ?? randomBytes(16).toString('base64url')
  if (known === undefined) visit.pages.cookies.browser.set(visit.reply, cookie, browserSeconds)
  return hashOf(cookie)
}

/** The same of a browser that has a cookie already; undefined for any other. */
export function knownBrowserOf(visit: Visit): string | undefined {
  const known = browserCookie(visit)
  return known === undefined ? undefined : hashOf(known)
}

function browserCookie({ pages, request }: Visit): string | undefined {
  const cookie = pages.cookies.browser.read(request)
  return cookie !== undefined && /^[\w-]{22}$/.test(cookie) ? cookie : undefined
}

function hashOf(cookie: string): string {
  return hashSecret(cookie).toString('base64url')
}
