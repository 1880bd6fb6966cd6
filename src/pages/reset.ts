import type { FastifyInstance } from 'fastify'
import { newWaiting } from '../account/mailed-codes.ts'
import { findReset, mailReset, resetPassword } from '../account/reset.ts'
import type { LinkProblem } from '../account/links.ts'
import { deviceCaller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { formOf, type Form } from '../protocol/form.ts'
import { judgeNewPassword } from '../users/new-passwords.ts'
import { leadBack } from './drafts.ts'
import type { Pages } from './pages.ts'
import { findStage } from './proceed.ts'
import {
  ask,
  countMail,
  enterCode,
  formAddress,
  goOnAfterLink,
  leadToSent,
  offeredHandler,
  passwordProblemOf,
  refusedForm,
  requestOf,
  showDone,
  showSent,
  statusOf,
} from './recovery.ts'
import type { RecoveryProblem } from './texts/recovery-texts.ts'
import { newPasswordView } from './views/recovery.ts'
import { showMessage } from './message.ts'
import { queryOf, type Visit } from './visit.ts'

/**
 * GET and POST /reset: where a person asks for a link that sets a password, and where that leads. A GET
 * changes nothing: programs that look through mails follow links too.
 */
export function resetPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  // A link that an administrator has made on the host needs no mail.
  const isOffered = (visit: Visit) =>
    ctx.mail !== undefined || linkOf(visit) !== undefined || queryOf(visit, 'done') !== undefined
  app.get('/reset', offeredHandler(ctx, pages, isOffered, show))
  app.post('/reset', offeredHandler(ctx, pages, isOffered, decide))
}

function linkOf(visit: Visit): string | undefined {
  const isSent = visit.request.method === 'POST'
  return isSent ? formOf(visit.request.body).get('link') : queryOf(visit, 'link')
}

async function show(visit: Visit): Promise<void> {
  const link = linkOf(visit)
  const sealed = queryOf(visit, 'request')
  if (link !== undefined) return showNewPassword(visit, link)
  if (queryOf(visit, 'done') !== undefined) return showDone(visit, 'password_set', sealed)
  const waiting = queryOf(visit, 'sent')
  if (waiting !== undefined) return showSent(visit, '/reset', { request: sealed, waiting })
  if (sealed === undefined) return ask(visit, { what: 'reset', request: null, typed: '' })
  const stage = await findStage(visit, sealed, '/reset')
  if (!stage) return
  const typed = stage.pending.username ?? stage.pending.request.loginHint ?? ''
  const { uiLocales } = stage.pending.request
  return ask(visit, { what: 'reset', request: sealed, typed, uiLocales })
}

async function showNewPassword(visit: Visit, link: string): Promise<void> {
  const found = await findReset(visit.ctx, link)
  if (typeof found === 'string') return refuseLink(visit, found)
  const isFirst = found.link.kind === 'invitation'
  const { problem } = await refusedForm(visit)
  const data = { link, username: found.user.username, isFirst, problem }
  const status = statusOf(problem)
  void visit.pages.show(visit.request, visit.reply, frame => newPasswordView(frame, data), { status })
}

function refuseLink(visit: Visit, kind: LinkProblem): void {
  showMessage(visit, { kind, status: 400, ...(visit.ctx.mail && { againHref: '/reset' }) })
}

async function decide(visit: Visit): Promise<void> {
  const form = formOf(visit.request.body)
  const link = form.get('link')
  const waiting = form.get('waiting')
  if (waiting !== undefined) return enterCode(visit, '/reset', { waiting, form })
  return link === undefined ? askForLink(visit, form) : setPassword(visit, link, form)
}

/** The answer is the same for everybody, and nothing that depends on an account is done before it. */
async function askForLink(visit: Visit, form: Form): Promise<void> {
  const { ctx, pages, request } = visit
  const name = (form.get('username') ?? '').trim()
  const sealed = form.get('request')
  const pending = await requestOf(visit, sealed)
  const uiLocales = pending?.request.uiLocales ?? []
  if (name === '')
    return leadBack(visit, formAddress('/reset', { request: sealed }), { problem: 'name_missing' })
  const caller = await countMail(visit)
  const waiting = newWaiting(ctx, 'reset', name)
  const locale = pages.languageOf(request, uiLocales)
  const asked = { waiting, request: pending && sealed !== undefined ? sealed : null, locale, caller }
  ctx.load.afterwards.add(() => mailReset(ctx, asked), caller.source)
  leadToSent(visit, '/reset', { request: pending && sealed, waiting })
}

async function setPassword(visit: Visit, link: string, form: Form): Promise<void> {
  const { ctx } = visit
  const password = form.get('password')
  const again = (problem: RecoveryProblem) => leadBack(visit, formAddress('/reset', { link }), { problem })
  if (password === undefined) return again('password_missing')
  const found = await findReset(ctx, link)
  const user = typeof found === 'string' ? { username: '', claims: '{}' } : found.user
  const problem = await judgeNewPassword(password, { user, operator: ctx.config.name })
  if (problem) return again(passwordProblemOf(problem))
  const outcome = await resetPassword(ctx, link, password, deviceCaller(visit.request))
  if (outcome.kind === 'refused') return refuseLink(visit, outcome.problem)
  await goOnAfterLink(visit, '/reset', { request: outcome.request, username: outcome.user.username })
}
