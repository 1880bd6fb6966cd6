import type { FastifyInstance } from 'fastify'
import { countOwnTokens, listTokenApis } from '../../account/tokens.ts'
import type { Context } from '../../context.ts'
import { findFactors, hasSecondFactor } from '../../factors/factors.ts'
import { passkeysPossible } from '../../factors/passkeys.ts'
import { parseUserClaims } from '../../protocol/standard-claims.ts'
import type { Pages } from '../pages.ts'
import { overviewView } from '../views/account/overview.ts'
import { ownPage, showOwn, type OwnVisit } from './own-visit.ts'

/** GET /account: all that somebody can see to, at a glance. */
export function overviewPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get('/account', ownPage(ctx, pages, show))
}

async function show(visit: OwnVisit): Promise<void> {
  const { ctx, owner } = visit
  const { user } = owner
  const factors = await findFactors(ctx, user.id)
  const tokens = await countOwnTokens(ctx, owner)
  const hasTokens = tokens > 0 || (await listTokenApis(ctx)).length > 0
  const { name, email, email_verified: isVerified } = parseUserClaims(user.claims)
  const data = {
    username: user.username,
    name: typeof name === 'string' ? name : null,
    mail: typeof email === 'string' && isVerified === true ? email : null,
    hasPassword: factors.hasPassword,
    passkeys: passkeysPossible(ctx.config) ? factors.passkeys.length : null,
    hasTotp: factors.totp !== undefined,
    recoveryCodes: hasSecondFactor(factors) ? factors.recoveryCodesLeft : null,
    tokens: hasTokens ? tokens : null,
  }
  showOwn(visit, (frame, state) => overviewView(frame, state, data))
}
