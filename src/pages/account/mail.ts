import type { FastifyInstance } from 'fastify'
import { openDraft, sealDraft } from '../../account/drafts.ts'
import { verifiedAddressOf } from '../../account/mailed.ts'
import { askForVerification, type VerificationAsked } from '../../account/verification.ts'
import type { Context } from '../../context.ts'
import type { Form } from '../../protocol/form.ts'
import type { Pages } from '../pages.ts'
import { knownBrowserOf } from '../proceed.ts'
import { countMail } from '../recovery.ts'
import type { AccountProblem } from '../texts/account-texts.ts'
import { mailView } from '../views/account/mail.ts'
import { queryOf, type Visit } from '../visit.ts'
import { changeHandler, changePage, leadToDone, showOwn, type Change, type OwnVisit } from './own-visit.ts'

const path = '/account/mail'

/** GET and POST /account/mail: the address of before counts until the new one is confirmed. */
export function mailPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, changePage(ctx, pages, show))
  const backOf = (visit: Visit, form: Form) =>
    `${path}?draft=${sealDraft(ctx, { email: form.get('email') }, knownBrowserOf(visit))}`
  app.post(path, changeHandler(ctx, pages, change, backOf))
}

async function show(visit: OwnVisit): Promise<void> {
  const draft = await openDraft(visit.ctx, queryOf(visit, 'draft'), knownBrowserOf(visit))
  showMail(visit, draft?.['email'] ?? '')
}

function showMail(visit: OwnVisit, typed: string, problem?: AccountProblem): void {
  const { ctx, owner } = visit
  const data = { present: verifiedAddressOf(owner.user) ?? null, typed, isPossible: ctx.mail !== undefined }
  const status = problem === undefined ? 200 : problem === 'mail_throttled' ? 429 : 400
  showOwn(visit, (frame, state) => mailView(frame, state, data), { problem, status })
}

const problems: Readonly<Record<Exclude<VerificationAsked, 'asked'>, AccountProblem>> = {
  wrong: 'mail_wrong',
  same: 'mail_same',
  unavailable: 'mail_unavailable',
  throttled: 'mail_throttled',
}

async function change(visit: Change): Promise<void> {
  const { ctx, owner, pages, request } = visit
  await countMail(visit)
  const typed = visit.form.get('email') ?? ''
  const asked = await askForVerification(ctx, owner, typed, pages.languageOf(request, []))
  if (asked !== 'asked') return showMail(visit, typed, problems[asked])
  leadToDone(visit, path, 'mail_asked')
}
