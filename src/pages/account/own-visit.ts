import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Owner } from '../../account/owner.ts'
import { deviceCaller } from '../../clients/caller.ts'
import type { Context } from '../../context.ts'
import { OAuthError } from '../../errors.ts'
import { formOf, type Form } from '../../protocol/form.ts'
import { parseUserClaims } from '../../protocol/standard-claims.ts'
import type { SignIn } from '../../sessions/sign-in.ts'
import { changesLimit } from '../../users/guess-limits.ts'
import { changeSeconds, requireOwner, type OwnerOptions } from '../owner.ts'
import { draftOf, leadBack, type Draft } from '../drafts.ts'
import type { Html } from '../html.ts'
import type { Frame } from '../layout.ts'
import { onceInBrowser, signInOf } from '../once.ts'
import type { Pages, ShowOptions } from '../pages.ts'
import { accountNotices, type AccountNotice, type AccountProblem } from '../texts/account-texts.ts'
import type { AccountState } from '../views/account/parts.ts'
import { pageHandler, redirectTo, type Visit } from '../visit.ts'

/** A request of a browser in which the account is logged in. */
export interface OwnVisit extends Visit {
  readonly owner: Owner
  /** What the address has of a form that was refused, or waits for a log-in; empty for none. */
  readonly draft: Draft
}

/** A request that changes something, after a log-in that is new enough for it. */
export interface Change extends OwnVisit {
  readonly form: Form
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>

/** Makes the handler of a page that its owner alone sees. */
export function ownPage(
  ctx: Context,
  pages: Pages,
  work: (visit: OwnVisit) => Promise<void>,
  options: OwnerOptions = {},
): Handler {
  return pageHandler(ctx, pages, async visit => {
    const owned = await ownVisit(visit, options)
    if (owned) await work(owned)
  })
}

/** The same for a page with what is to be typed, before which its owner shows anew who it is. */
export function changePage(ctx: Context, pages: Pages, work: (visit: OwnVisit) => Promise<void>): Handler {
  return ownPage(ctx, pages, work, { freshSeconds: changeSeconds })
}

/**
 * Makes the handler of a form that changes the account. `backOf` is the page to which a person comes back who
 * has to log in first: with what was typed, where that may stand in an address.
 */
export function changeHandler(
  ctx: Context,
  pages: Pages,
  work: (change: Change) => Promise<void>,
  backOf: (visit: Visit, form: Form) => string | undefined = () => undefined,
): Handler {
  return pageHandler(ctx, pages, async visit => {
    const form = formOf(visit.request.body)
    const back = backOf(visit, form)
    const change = async () => {
      const owned = await ownVisit(visit, {
        freshSeconds: changeSeconds,
        ...(back !== undefined && { back }),
      })
      if (!owned) return
      await countChange(owned)
      await work({ ...owned, form })
    }
    const signIn = signInOf(visit)
    await (signIn === undefined ? change() : onceInBrowser(visit, signIn, change))
  })
}

/** Throws 429 where one user asks for too many changes, whichever. */
async function countChange({ ctx, owner: { user } }: OwnVisit): Promise<void> {
  const of = ['changes of an account', user.id.toString('base64url')] as const
  const retryAfter = await ctx.users.throttle.count([{ of, limit: changesLimit }])
  if (retryAfter === 0) return
  throw new OAuthError('temporarily_unavailable', 'too many changes of one account, come back later', {
    status: 429,
    retryAfter,
    cause: 'the limit of changes for this account is reached',
  })
}

async function ownVisit(visit: Visit, options: OwnerOptions): Promise<OwnVisit | undefined> {
  const signIn = await requireOwner(visit, options)
  return signIn && ownVisitOf(visit, signIn)
}

/** The visit of who is logged in. */
export async function ownVisitOf(visit: Visit, signIn: SignIn): Promise<OwnVisit> {
  const owner = { user: signIn.user, signIn, caller: deviceCaller(visit.request) }
  return { ...visit, owner, draft: await draftOf(visit) }
}

export interface OwnShowOptions extends Pick<ShowOptions, 'script'> {
  readonly notice?: AccountNotice | undefined
}

/**
 * Shows a page of the account, in its owner's language, and with what was done just before, or why a form of
 * it was refused.
 */
export function showOwn(
  visit: OwnVisit,
  view: (frame: Frame, state: AccountState) => Html,
  { notice, ...options }: OwnShowOptions = {},
): void {
  const { pages, request, reply, owner, draft } = visit
  const { locale, zoneinfo } = parseUserClaims(owner.user.claims)
  const problem = (draft['problem'] ?? null) as AccountProblem | null
  const state = {
    notice: notice ?? takeNotice(visit),
    problem,
    zone: typeof zoneinfo === 'string' ? zoneinfo : 'UTC',
  }
  const uiLocales = typeof locale === 'string' ? [locale] : []
  const status = problem === null ? 200 : problem.endsWith('_throttled') ? 429 : 400
  void pages.show(request, reply, frame => view(frame, state), { status, uiLocales, ...options })
}

/** Leads back to the page of a form that was refused, with what was typed. */
export function refuse(visit: OwnVisit, path: string, problem: AccountProblem, typed: Draft = {}): void {
  leadBack(visit, path, { ...typed, problem })
}

/** So long a notice waits for the page that tells it, in seconds. */
const noticeSeconds = 60

/** Leads to a page that tells what was done, so that loading it again does nothing. */
export function leadToDone(visit: Visit, path: string, notice: AccountNotice): void {
  visit.pages.cookies.notice.set(visit.reply, notice, noticeSeconds)
  redirectTo(visit, `${visit.ctx.config.issuer}${path}`)
}

/** What the page before has left to be told; it is told once. */
function takeNotice({ pages, request, reply }: Visit): AccountNotice | null {
  const { notice } = pages.cookies
  const text = notice.read(request)
  if (text === undefined) return null
  notice.clear(reply)
  return accountNotices.find(known => known === text) ?? null
}
