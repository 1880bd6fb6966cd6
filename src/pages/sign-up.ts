import type { FastifyInstance } from 'fastify'
import { newWaiting } from '../account/mailed-codes.ts'
import { findSignUp, mailSignUp, signUp, signUpIsOpen, type SignUpLinkProblem } from '../account/sign-up.ts'
import { deviceCaller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { formOf, type Form } from '../protocol/form.ts'
import { mailAddress } from '../protocol/mail-address.ts'
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
import { newAccountView } from './views/recovery.ts'
import { showMessage } from './message.ts'
import { queryOf, type Visit } from './visit.ts'

/**
 * GET and POST /sign-up: where a person asks for a link that makes an account, and where that leads, where
 * people may sign up by themselves. A GET changes nothing.
 */
export function signUpPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  const isOffered = signUpIsOpen(ctx)
  app.get(
    '/sign-up',
    offeredHandler(ctx, pages, () => isOffered, show),
  )
  app.post(
    '/sign-up',
    offeredHandler(ctx, pages, () => isOffered, decide),
  )
}

async function show(visit: Visit): Promise<void> {
  const link = queryOf(visit, 'link')
  const sealed = queryOf(visit, 'request')
  if (link !== undefined) return showNewAccount(visit, link)
  if (queryOf(visit, 'done') !== undefined) return showDone(visit, 'account_made', sealed)
  const waiting = queryOf(visit, 'sent')
  if (waiting !== undefined) return showSent(visit, '/sign-up', { request: sealed, waiting })
  if (sealed === undefined) return ask(visit, { what: 'signUp', request: null, typed: '' })
  const stage = await findStage(visit, sealed, '/sign-up')
  if (!stage) return
  const { loginHint, uiLocales } = stage.pending.request
  const typed = mailAddress(loginHint ?? '') ?? ''
  return ask(visit, { what: 'signUp', request: sealed, typed, uiLocales })
}

async function showNewAccount(visit: Visit, link: string): Promise<void> {
  const found = await findSignUp(visit.ctx, link)
  if (typeof found === 'string') return showProblem(visit, found)
  const { typed, problem } = await refusedForm(visit)
  const data = { link, address: found.mail, username: typed['username'] ?? found.mail, problem }
  const status = statusOf(problem)
  void visit.pages.show(visit.request, visit.reply, frame => newAccountView(frame, data), { status })
}

/** Somebody with an account may have forgotten its password. */
function showProblem(visit: Visit, kind: SignUpLinkProblem): void {
  showMessage(visit, { kind, status: 400, againHref: kind === 'mail_taken' ? '/reset' : '/sign-up' })
}

async function decide(visit: Visit): Promise<void> {
  const form = formOf(visit.request.body)
  const link = form.get('link')
  const waiting = form.get('waiting')
  if (waiting !== undefined) return enterCode(visit, '/sign-up', { waiting, form })
  return link === undefined ? askForLink(visit, form) : createAccount(visit, link, form)
}

/** The answer is the same for everybody, and nothing that depends on an account is done before it. */
async function askForLink(visit: Visit, form: Form): Promise<void> {
  const { ctx, pages, request } = visit
  const typed = (form.get('email') ?? '').trim()
  const sealed = form.get('request')
  const pending = await requestOf(visit, sealed)
  const uiLocales = pending?.request.uiLocales ?? []
  const address = mailAddress(typed)
  if (address === undefined)
    return leadBack(visit, formAddress('/sign-up', { request: sealed }), { problem: 'mail_invalid', typed })
  const caller = await countMail(visit)
  const waiting = newWaiting(ctx, 'sign_up', address)
  const locale = pages.languageOf(request, uiLocales)
  const asked = { waiting, request: pending && sealed !== undefined ? sealed : null, locale, caller }
  ctx.load.afterwards.add(() => mailSignUp(ctx, asked), caller.source)
  leadToSent(visit, '/sign-up', { request: pending && sealed, waiting })
}

async function createAccount(visit: Visit, link: string, form: Form): Promise<void> {
  const { ctx, pages, request } = visit
  const username = (form.get('username') ?? '').trim().normalize('NFC')
  const password = form.get('password')
  const again = (problem: RecoveryProblem) =>
    leadBack(visit, formAddress('/sign-up', { link }), { problem, username })
  if (password === undefined) return again('password_missing')
  const found = await findSignUp(ctx, link)
  const email = typeof found === 'string' ? undefined : found.mail
  const user = { username, claims: JSON.stringify({ email }) }
  const problem = await judgeNewPassword(password, { user, operator: ctx.config.name })
  if (problem) return again(passwordProblemOf(problem))
  const locale = pages.languageOf(request, [])
  const outcome = await signUp(ctx, link, { username, password, locale, caller: deviceCaller(request) })
  if (outcome.kind === 'created')
    return goOnAfterLink(visit, '/sign-up', { request: outcome.request, username })
  switch (outcome.problem) {
    case 'link_invalid':
    case 'link_expired':
    case 'link_used':
    case 'mail_taken':
      return showProblem(visit, outcome.problem)
    default:
      return again(outcome.problem)
  }
}
