import type { FastifyInstance } from 'fastify'
import { verifiedAddressOf } from '../../account/mailed.ts'
import { sealWaiting, type CodeProblem } from '../../account/mailed-codes.ts'
import { askForVerification, confirmByCode, type VerificationAsked } from '../../account/verification.ts'
import { deviceCaller } from '../../clients/caller.ts'
import type { Context } from '../../context.ts'
import type { Form } from '../../protocol/form.ts'
import { draftPath } from '../drafts.ts'
import type { Pages } from '../pages.ts'
import { browserOf, knownBrowserOf } from '../proceed.ts'
import { countMail } from '../recovery.ts'
import type { AccountProblem } from '../texts/account-texts.ts'
import { mailSentView, mailView } from '../views/account/mail.ts'
import { queryOf, redirectTo, type Visit } from '../visit.ts'
import {
  changeHandler,
  changePage,
  leadToDone,
  refuse,
  showOwn,
  type Change,
  type OwnVisit,
} from './own-visit.ts'

const path = '/account/mail'

/** GET and POST /account/mail: the address of before counts until the new one is confirmed. */
export function mailPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, changePage(ctx, pages, show))
  const backOf = (visit: Visit, form: Form) => {
    const waiting = form.get('waiting')
    return waiting === undefined ? draftPath(visit, path, { email: form.get('email') }) : sentAddress(waiting)
  }
  app.post(path, changeHandler(ctx, pages, change, backOf))
}

async function show(visit: OwnVisit): Promise<void> {
  const waiting = queryOf(visit, 'sent')
  // Says that a mail is on its way, and takes the code that is in it.
  if (waiting !== undefined) return showOwn(visit, (frame, state) => mailSentView(frame, state, { waiting }))
  const { ctx, owner, draft } = visit
  const typed = draft['email'] ?? ''
  const data = { present: verifiedAddressOf(owner.user) ?? null, typed, isPossible: ctx.mail !== undefined }
  showOwn(visit, (frame, state) => mailView(frame, state, data))
}

function sentAddress(waiting: string): string {
  return `${path}?${new URLSearchParams({ sent: waiting })}`
}

const problems = {
  wrong: 'mail_wrong',
  same: 'mail_same',
  unavailable: 'mail_unavailable',
  throttled: 'mail_throttled',
} as const satisfies Readonly<Record<Extract<VerificationAsked, string>, AccountProblem>>

const codeProblems = {
  code_wrong: 'mailed_code_wrong',
  code_expired: 'mailed_code_expired',
  codes_throttled: 'mailed_codes_throttled',
  mail_taken: 'mail_taken',
} as const satisfies Readonly<Record<CodeProblem | 'mail_taken', AccountProblem>>

async function change(visit: Change): Promise<void> {
  const waiting = visit.form.get('waiting')
  return waiting === undefined ? ask(visit) : enterCode(visit, waiting)
}

async function ask(visit: Change): Promise<void> {
  const { ctx, owner, pages, request } = visit
  await countMail(visit)
  const typed = visit.form.get('email') ?? ''
  const asked = await askForVerification(ctx, owner, typed, pages.languageOf(request, []))
  if (typeof asked === 'string') return refuse(visit, path, problems[asked], { email: typed })
  // To load that page again sends nothing.
  redirectTo(visit, ctx.config.issuer + sentAddress(sealWaiting(ctx, asked, browserOf(visit))))
}

async function enterCode(visit: Change, waiting: string): Promise<void> {
  const { ctx, owner, form, request } = visit
  const typed = { sealed: waiting, browser: knownBrowserOf(visit), code: form.get('code') ?? '' }
  const outcome = await confirmByCode(ctx, { ...owner, caller: deviceCaller(request) }, typed)
  if (outcome.kind === 'refused') return refuse(visit, sentAddress(waiting), codeProblems[outcome.problem])
  leadToDone(visit, '/account', 'mail_changed')
}
