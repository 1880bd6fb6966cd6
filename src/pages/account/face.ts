import type { FastifyInstance } from 'fastify'
import type { Context } from '../../context.ts'
import type { Pages } from '../pages.ts'
import { appsPage } from './apps.ts'
import { authenticatorPage } from './authenticator.ts'
import { mailPage } from './mail.ts'
import { overviewPage } from './overview.ts'
import { passkeysPage } from './passkeys.ts'
import { passwordPage } from './password.ts'
import { placesPage } from './places.ts'
import { profilePage } from './profile.ts'
import { recoveryCodesPage } from './recovery-codes.ts'
import { secondFactorPage } from './second-factor.ts'
import { tokensPage } from './tokens.ts'

/** The pages on which people see to their own accounts: one line for each. */
export function accountPages(app: FastifyInstance, ctx: Context, pages: Pages): void {
  overviewPage(app, ctx, pages)
  profilePage(app, ctx, pages)
  mailPage(app, ctx, pages)
  passwordPage(app, ctx, pages)
  passkeysPage(app, ctx, pages)
  authenticatorPage(app, ctx, pages)
  recoveryCodesPage(app, ctx, pages)
  secondFactorPage(app, ctx, pages)
  placesPage(app, ctx, pages)
  appsPage(app, ctx, pages)
  tokensPage(app, ctx, pages)
}
