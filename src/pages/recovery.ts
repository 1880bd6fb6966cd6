import { linkOfCode, sealWaiting, type Waiting } from '../account/mailed-codes.ts'
import { fresh, openRequest, sealRequest, type OpenedRequest } from '../authorization/requests.ts'
import { deviceCaller, type Caller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import type { Form } from '../protocol/form.ts'
import { mailSourceLimit } from '../users/guess-limits.ts'
import type { PasswordProblem } from '../users/new-passwords.ts'
import type { Pages } from './pages.ts'
import { draftOf, leadBack, type Draft } from './drafts.ts'
import { browserOf, knownBrowserOf } from './proceed.ts'
import type { RecoveryProblem } from './texts/recovery-texts.ts'
import type { MessageKind } from './texts/texts.ts'
import { askView, sentView, type AskData } from './views/recovery.ts'
import { showMessage } from './message.ts'
import { leadTo, pageHandler, redirectTo, type Visit } from './visit.ts'

/** What a person has come for, whom a mail is to help. */
type RecoveryPath = '/reset' | '/sign-up'

/**
 * Where a request has come from that has a mail sent, which is counted. Throws 429 where there were too many
 * of one source: that tells nothing of any account.
 */
export async function countMail({ ctx, request }: Visit): Promise<Caller> {
  const caller = deviceCaller(request)
  if (caller.source === undefined) return caller
  const of = ['mails of a source', caller.source] as const
  const retryAfter = await ctx.users.throttle.count([{ of, limit: mailSourceLimit }])
  if (retryAfter === 0) return caller
  throw new OAuthError('temporarily_unavailable', 'too many mails were asked for, come back later', {
    status: 429,
    retryAfter,
    cause: 'the limit of mails for this source is reached',
  })
}

/** The request during which something is asked for; undefined for none, or one that goes on no more. */
export async function requestOf(
  { ctx }: Visit,
  sealed: string | null | undefined,
): Promise<OpenedRequest | undefined> {
  if (sealed == null) return undefined
  const pending = await openRequest(ctx, sealed)
  return pending?.isExpired === false ? pending : undefined
}

/** Makes the handler of a page that is there for the requests that are `isOffered` it. */
export function offeredHandler(
  ctx: Context,
  pages: Pages,
  isOffered: (visit: Visit) => boolean,
  work: (visit: Visit) => Promise<void>,
): ReturnType<typeof pageHandler> {
  return pageHandler(ctx, pages, async visit => {
    if (!isOffered(visit)) return showMessage(visit, { kind: 'not_offered', status: 404 })
    await work(visit)
  })
}

/** Of each, what the view and the links of it are called. */
const asked = { '/reset': ['reset', 'reset'], '/sign-up': ['signUp', 'sign_up'] } as const

/** Says that a mail is on its way, and takes the code that is in it. */
export async function showSent(
  visit: Visit,
  path: RecoveryPath,
  { request: sealed, waiting }: WaitingPage,
): Promise<void> {
  const pending = await requestOf(visit, sealed)
  const [what] = asked[path]
  const { problem } = await refusedForm(visit)
  const data = { what, request: pending ? (sealed ?? null) : null, waiting, problem }
  const uiLocales = pending?.request.uiLocales ?? []
  const status = statusOf(problem)
  void visit.pages.show(visit.request, visit.reply, frame => sentView(frame, data), { status, uiLocales })
}

interface WaitingPage {
  /** The sealed authorization request; undefined for none. */
  readonly request: string | undefined
  readonly waiting: string
}

/** What an address has of a form that was refused. */
export async function refusedForm(
  visit: Visit,
): Promise<{ readonly typed: Draft; readonly problem: RecoveryProblem | null }> {
  const { problem = null, ...typed } = await draftOf(visit)
  return { typed, problem: problem as RecoveryProblem | null }
}

/** Of the page of such a form. */
export function statusOf(problem: RecoveryProblem | null): number {
  if (problem === null) return 200
  return problem === 'codes_throttled' ? 429 : 400
}

/** Goes on with the link that a code stands for, in the browser in which the mail was asked for. */
export async function enterCode(
  visit: Visit,
  path: RecoveryPath,
  { waiting, form }: { readonly waiting: string; readonly form: Form },
): Promise<void> {
  const [, kind] = asked[path]
  const request = form.get('request')
  const typed = {
    kind,
    sealed: waiting,
    browser: knownBrowserOf(visit),
    code: form.get('code') ?? '',
    caller: deviceCaller(visit.request),
  }
  const goesOn = (await requestOf(visit, request)) ? (request ?? null) : null
  const outcome = await linkOfCode(visit.ctx, typed, goesOn)
  if (typeof outcome === 'string')
    return leadBack(visit, formAddress(path, { sent: waiting, request }), { problem: outcome })
  redirectTo(visit, outcome.href)
}

/** Asks where a mail is to go: by the name that was typed before, or hinted at. */
export async function ask(
  visit: Visit,
  { uiLocales = [], ...asked }: Omit<AskData, 'problem'> & { readonly uiLocales?: readonly string[] },
): Promise<void> {
  const { typed, problem } = await refusedForm(visit)
  const data = { ...asked, typed: typed['typed'] ?? asked.typed, problem }
  const { pages, request, reply } = visit
  const status = statusOf(problem)
  void pages.show(request, reply, frame => askView(frame, data), { status, uiLocales })
}

/** The page that has a form, as a path of ours: to it one leads back that was refused. */
export function formAddress(path: string, query: Readonly<Record<string, string | undefined>>): string {
  const known = Object.entries(query).filter((one): one is [string, string] => one[1] !== undefined)
  return known.length === 0 ? path : `${path}?${new URLSearchParams(known)}`
}

/** The page on which it is said that a mail is on its way: loading it again sends nothing. */
export function leadToSent(
  visit: Visit,
  path: RecoveryPath,
  { request, waiting }: { readonly request: string | undefined; readonly waiting: Waiting },
): void {
  const sent = sealWaiting(visit.ctx, waiting, browserOf(visit))
  redirectTo(
    visit,
    `${visit.ctx.config.issuer}${path}?sent=${sent}${request === undefined ? '' : `&request=${request}`}`,
  )
}

/**
 * Goes on after a link was followed, which is no log-in: to the log-in page of the request, if that began in
 * this browser. Elsewhere nothing goes on by itself: the sender of the link may have begun it.
 */
export async function goOnAfterLink(
  visit: Visit,
  path: RecoveryPath,
  { request, username }: { readonly request: string | null; readonly username: string },
): Promise<void> {
  const { ctx } = visit
  const pending = await requestOf(visit, request)
  if (!pending) return redirectTo(visit, `${ctx.config.issuer}${path}?done=1`)
  if (pending.browser !== null && pending.browser === browserOf(visit)) {
    const progress = { browser: pending.browser, username, wantsAnother: true }
    return leadTo(visit, '/log-in', fresh(pending.request, progress))
  }
  redirectTo(visit, `${ctx.config.issuer}${path}?done=1&request=${sealRequest(ctx, fresh(pending.request))}`)
}

/** What is told of a new password that is not good enough. */
export function passwordProblemOf({ kind }: PasswordProblem): RecoveryProblem {
  return kind === 'form' ? 'password_refused' : 'password_common'
}

/**
 * Says that it is done, and offers to begin the log-in here that was begun elsewhere; or where none goes on
 * any more, as after an invitation, to log in to one's own account.
 */
export async function showDone(visit: Visit, kind: MessageKind, sealed: string | undefined): Promise<void> {
  const pending = await requestOf(visit, sealed)
  const againHref = pending ? `/log-in?request=${sealRequest(visit.ctx, pending)}` : '/account'
  showMessage(visit, { kind, status: 200, againHref, uiLocales: pending?.request.uiLocales })
}
