import type { FastifyInstance } from 'fastify'
import type { Context } from '../../context.ts'
import type { Pages } from '../pages.ts'
import { appsPage } from './apps.ts'
import { overviewPage } from './overview.ts'
import { passwordPage } from './password.ts'
import { placesPage } from './places.ts'
import { profilePage } from './profile.ts'

/** The pages on which people see to their own accounts: one line for each. */
export function accountPages(app: FastifyInstance, ctx: Context, pages: Pages): void {
  overviewPage(app, ctx, pages)
  profilePage(app, ctx, pages)
  passwordPage(app, ctx, pages)
  placesPage(app, ctx, pages)
  appsPage(app, ctx, pages)
}
