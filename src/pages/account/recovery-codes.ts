import type { FastifyInstance } from 'fastify'
import type { Context } from '../../context.ts'
import { findFactors, hasSecondFactor } from '../../factors/factors.ts'
import { renewRecoveryCodes } from '../../factors/recovery-codes.ts'
import type { Pages } from '../pages.ts'
import { recoveryCodesView } from '../views/account/recovery-codes.ts'
import { showNewCodes } from './new-factor.ts'
import { changeHandler, leadToDone, ownPage, showOwn, type Change, type OwnVisit } from './own-visit.ts'

const path = '/account/recovery-codes'

/** GET and POST /account/recovery-codes: new codes are shown once, with the answer itself. */
export function recoveryCodesPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, ownPage(ctx, pages, show))
  app.post(path, changeHandler(ctx, pages, renew))
}

async function show(visit: OwnVisit): Promise<void> {
  const factors = await findFactors(visit.ctx, visit.owner.user.id)
  const left = hasSecondFactor(factors) ? factors.recoveryCodesLeft : null
  showOwn(visit, (frame, state) => recoveryCodesView(frame, state, { left }))
}

async function renew(visit: Change): Promise<void> {
  // Without a second factor they would open nothing.
  if (!hasSecondFactor(await findFactors(visit.ctx, visit.owner.user.id)))
    return leadToDone(visit, path, 'nothing_changed')
  const codes = await renewRecoveryCodes(visit.ctx, visit.owner)
  return showNewCodes(visit, { codes, nextHref: '/account' })
}
