import type { FastifyInstance } from 'fastify'
import { removeFactor } from '../../account/removal.ts'
import type { Context } from '../../context.ts'
import { findFactors } from '../../factors/factors.ts'
import { confirmTotp, prepareTotp, prepareTotpAgain } from '../../factors/totp.ts'
import type { Pages } from '../pages.ts'
import { browserOf } from '../proceed.ts'
import type { AccountProblem } from '../texts/account-texts.ts'
import { authenticatorView, type PreparedTotp } from '../views/account/authenticator.ts'
import { afterNewFactor } from './new-factor.ts'
import { changeHandler, changePage, leadToDone, showOwn, type Change, type OwnVisit } from './own-visit.ts'

const path = '/account/authenticator'

/** GET and POST /account/authenticator: sets up the app on the phone, or removes it. */
export function authenticatorPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(
    path,
    changePage(ctx, pages, async visit => show(visit)),
  )
  app.post(path, changeHandler(ctx, pages, change))
}

async function show(visit: OwnVisit, problem?: AccountProblem, prepared?: PreparedTotp): Promise<void> {
  const { ctx, owner } = visit
  const { totp: present = null } = await findFactors(ctx, owner.user.id)
  const offered = present ? null : (prepared ?? prepareTotp(ctx, owner.user, browserOf(visit)))
  const status = problem === undefined ? 200 : 400
  showOwn(visit, (frame, state) => authenticatorView(frame, state, { present, prepared: offered }), {
    problem,
    status,
  })
}

async function change(visit: Change): Promise<void> {
  const { ctx, owner, form } = visit
  if (form.get('decision') === 'remove') {
    const outcome = await removeFactor(ctx, owner, 'totp')
    if (outcome !== 'removed' && outcome !== 'unknown') return show(visit, outcome)
    return leadToDone(visit, path, outcome === 'removed' ? 'totp_removed' : 'gone')
  }
  const tried = await tryTotp(visit)
  if (tried !== 'set') return show(visit, tried.problem, tried.prepared)
  const next = { next: '/account', isAccount: true }
  return afterNewFactor(visit, { notice: 'totp_added', amr: totpAmr, ...next })
}

/** What a code shows beside a password (RFC 8176). */
export const totpAmr = 'otp mfa'

/** What is wrong, and what the form shows again: the scanned secret is good for another try. */
export interface FailedTotp {
  readonly problem: AccountProblem
  readonly prepared: PreparedTotp | undefined
}

/** Sets the app up with what was sent: the fields `totp` and `code`. */
export async function tryTotp(visit: Change): Promise<'set' | FailedTotp> {
  const { ctx, owner, form } = visit
  const [sealed = '', code] = [form.get('totp'), form.get('code')?.replace(/\s/g, '')]
  const shown = { sealed, browser: browserOf(visit) }
  const outcome = code === undefined ? undefined : await confirmTotp(ctx, owner, { ...shown, code })
  if (outcome === 'set') return 'set'
  const prepared = await prepareTotpAgain(ctx, owner.user, shown)
  if (outcome === undefined) return { problem: prepared ? 'code_missing' : 'code_expired', prepared }
  return { problem: outcome === 'exists' ? 'totp_exists' : `code_${outcome}`, prepared }
}
