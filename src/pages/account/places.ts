import type { FastifyInstance } from 'fastify'
import { endApp, endOthers, endPlace, listPlaces } from '../../account/places.ts'
import { accountClient } from '../../clients/account-client.ts'
import type { Context } from '../../context.ts'
import { newDeviceToken } from '../../factors/log-in.ts'
import { parseUuid } from '../../protocol/secrets.ts'
import { deviceTokenSeconds } from '../../users/device-token.ts'
import type { Pages } from '../pages.ts'
import type { AccountNotice } from '../texts/account-texts.ts'
import { placesView } from '../views/account/places.ts'
import { redirectTo, type Visit } from '../visit.ts'
import { changeHandler, leadToDone, ownPage, showOwn, type Change, type OwnVisit } from './own-visit.ts'

const path = '/account/places'

/** GET and POST /account/places: where somebody is logged in, and how that ends. */
export function placesPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, ownPage(ctx, pages, show))
  app.post(path, changeHandler(ctx, pages, end))
}

async function show(visit: OwnVisit): Promise<void> {
  const places = await listPlaces(visit.ctx, visit.owner)
  showOwn(visit, (frame, state) => placesView(frame, state, places))
}

async function end(change: Change): Promise<void> {
  const { ctx, owner, form } = change
  const [signIn, session] = [form.get('sign_in'), form.get('session')].map(id => id && parseUuid(id))
  const done = (isDone: boolean, notice: AccountNotice) => leadToDone(change, path, isDone ? notice : 'gone')
  if (signIn) {
    // The present one is ended by a log-out, which asks, and makes the browser forget its cookie.
    if (signIn.equals(owner.signIn.id)) return redirectTo(change, `${ctx.config.issuer}/log-out`)
    return done(await endPlace(ctx, owner, signIn), 'place_ended')
  }
  if (session) return done(await endApp(ctx, owner, session), 'app_ended')
  if (form.get('decision') !== 'end_others') return done(false, 'gone')
  const isDone = await endOthers(ctx, owner)
  if (isDone) renewDeviceToken(change, { ...owner.user, epoch: owner.user.epoch + 1 })
  return done(isDone, 'others_ended')
}

/** The one before was of the epoch that has ended. */
export function renewDeviceToken({ ctx, pages, reply }: Visit, user: OwnVisit['owner']['user']): void {
  const at = { place: 'page', client: accountClient(ctx.config) } as const
  pages.cookies.device.set(reply, newDeviceToken(ctx, at, user), deviceTokenSeconds)
}
