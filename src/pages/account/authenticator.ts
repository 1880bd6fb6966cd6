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
import {
  changeHandler,
  changePage,
  leadToDone,
  refuse,
  showOwn,
  type Change,
  type OwnVisit,
} from './own-visit.ts'

const path = '/account/authenticator'

/** GET and POST /account/authenticator: sets up the app on the phone, or removes it. */
export function authenticatorPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, changePage(ctx, pages, show))
  app.post(path, changeHandler(ctx, pages, change))
}

async function show(visit: OwnVisit): Promise<void> {
  const { ctx, owner } = visit
  const { totp: present = null } = await findFactors(ctx, owner.user.id)
  const prepared = present ? null : await preparedTotp(visit)
  showOwn(visit, (frame, state) => authenticatorView(frame, state, { present, prepared }))
}

/** What the app is to know: the same as before for who has mistyped its code, whose app knows it already. */
export async function preparedTotp({ draft, ...visit }: OwnVisit): Promise<PreparedTotp> {
  const { ctx, owner } = visit
  const { totp: sealed } = draft
  const browser = browserOf(visit)
  const again =
    sealed === undefined ? undefined : await prepareTotpAgain(ctx, owner.user, { sealed, browser })
  return again ?? prepareTotp(ctx, owner.user, browser)
}

async function change(visit: Change): Promise<void> {
  const { ctx, owner, form } = visit
  if (form.get('decision') === 'remove') {
    const outcome = await removeFactor(ctx, owner, 'totp')
    if (outcome !== 'removed' && outcome !== 'unknown') return refuse(visit, path, outcome)
    return leadToDone(visit, path, outcome === 'removed' ? 'totp_removed' : 'gone')
  }
  const tried = await tryTotp(visit)
  if (tried !== 'set') return refuse(visit, path, tried, { totp: form.get('totp') })
  const next = { next: '/account', isAccount: true }
  return afterNewFactor(visit, { notice: 'totp_added', amr: totpAmr, ...next })
}

/** What a code shows beside a password (RFC 8176). */
export const totpAmr = 'otp mfa'

/** Sets the app up with what was sent, the fields `totp` and `code`; or what is wrong with it. */
export async function tryTotp(visit: Change): Promise<'set' | AccountProblem> {
  const { ctx, owner, form } = visit
  const [sealed = '', code] = [form.get('totp'), form.get('code')?.replace(/\s/g, '')]
  const browser = browserOf(visit)
  if (code === undefined)
    return (await prepareTotpAgain(ctx, owner.user, { sealed, browser })) ? 'code_missing' : 'code_expired'
  const outcome = await confirmTotp(ctx, owner, { sealed, browser, code })
  if (outcome === 'set') return 'set'
  return outcome === 'exists' ? 'totp_exists' : `code_${outcome}`
}
