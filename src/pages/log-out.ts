import type { FastifyInstance } from 'fastify'
import {
  acceptLogOut,
  isMeant,
  logOut,
  openLogOut,
  sealLogOut,
  type PendingLogOut,
} from '../authorization/log-out.ts'
import { deviceCaller } from '../clients/caller.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { formOf, parseForm, type Form } from '../protocol/form.ts'
import { isRegistered, withParameters } from '../protocol/redirect-uri.ts'
import type { LeftSignIn } from '../sessions/sign-in.ts'
import { itemsOf } from '../values/list.ts'
import { isFromOwnPages } from './cross-site.ts'
import type { Pages } from './pages.ts'
import { currentSignIn, leftSignIn } from './proceed.ts'
import { logOutView } from './views/log-out.ts'
import { showMessage, showRefusal } from './message.ts'
import { namesOf, pageAddress, pageHandler, queryOf, rawQuery, redirectTo, type Visit } from './visit.ts'

/**
 * GET and POST /log-out (OpenID Connect RP-Initiated Logout 1.0). What a client posts comes without the
 * cookie, so it goes on as a GET, which has it.
 */
export function logOutPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  // A HEAD would do what the GET does, and that ends sessions: it is none of the safe ones (RFC 9110 §9.2.1).
  app.get('/log-out', { exposeHeadRoute: false }, pageHandler(ctx, pages, arrive))
  app.post('/log-out', pageHandler(ctx, pages, receive))
}

async function arrive(visit: Visit): Promise<void> {
  const sealed = queryOf(visit, 'request')
  if (sealed !== undefined) {
    const pending = await openLogOut(visit.ctx, sealed)
    return pending ? ask(visit, pending) : showMessage(visit, { kind: 'request_invalid', status: 400 })
  }
  const pending = await accept(visit, parseForm(rawQuery(visit)))
  if (pending) await ask(visit, pending)
}

async function receive(visit: Visit): Promise<void> {
  const { ctx, request } = visit
  const form = formOf(request.body)
  const sealed = form.get('request')
  if (sealed !== undefined && isFromOwnPages(request.headers, new URL(ctx.config.issuer).origin)) {
    const asked = await openLogOut(ctx, sealed)
    return asked ? decide(visit, asked, form) : showMessage(visit, { kind: 'request_invalid', status: 400 })
  }
  const pending = await accept(visit, form)
  if (pending) leadToQuestion(visit, pending)
}

function leadToQuestion(visit: Visit, pending: PendingLogOut): void {
  redirectTo(visit, pageAddress(visit, '/log-out', sealLogOut(visit.ctx, pending)))
}

/** Undefined where it is refused: then the person has been told. */
async function accept(visit: Visit, form: Form): Promise<PendingLogOut | undefined> {
  const { ctx } = visit
  const verdict = await acceptLogOut(ctx, form)
  if (verdict.kind === 'accepted') return { request: verdict.request, signIn: null, madeAt: ctx.clock.now() }
  return void showRefusal(visit, { kind: verdict.problem, status: 400 })
}

type SignInToEnd = Pick<LeftSignIn, 'id' | 'user_id' | 'user_epoch' | 'browser' | 'username'>

/** Who is logged in; or was until a backup was restored, since the sessions from then go on. */
async function signInToEnd(visit: Visit): Promise<SignInToEnd | undefined> {
  const signIn = await currentSignIn(visit)
  return signIn ? { ...signIn, username: signIn.user.username } : leftSignIn(visit)
}

/** Asks who is logged in, unless the hint proves who is meant. */
async function ask(visit: Visit, pending: PendingLogOut): Promise<void> {
  const signIn = await signInToEnd(visit)
  const { hint, uiLocales } = pending.request
  if (!signIn || (hint && (await isMeant(visit.ctx, hint, signIn)))) return finish(visit, pending, signIn)
  const { ctx, pages, request, reply } = visit
  const client = await clientOf(visit, pending)
  const data = {
    request: sealLogOut(ctx, { ...pending, signIn: signIn.id }),
    client: client ? namesOf(client) : null,
    username: signIn.username,
  }
  void pages.show(request, reply, frame => logOutView(frame, data), { uiLocales })
}

/** The answer counts for the sign-in that the page has asked about, and for no later one. */
async function decide(visit: Visit, asked: PendingLogOut, form: Form): Promise<void> {
  const { uiLocales } = asked.request
  if (form.get('decision') !== 'log_out') {
    const client = await clientOf(visit, asked)
    return showMessage(visit, { kind: 'still_logged_in', status: 200, client, uiLocales })
  }
  const signIn = await signInToEnd(visit)
  if (signIn && asked.signIn?.equals(signIn.id) !== true) return leadToQuestion(visit, asked)
  return finish(visit, asked, signIn)
}

async function finish(
  visit: Visit,
  { request }: PendingLogOut,
  signIn: SignInToEnd | undefined,
): Promise<void> {
  const { ctx, pages, reply } = visit
  await logOut(ctx, { request, signIn, caller: deviceCaller(visit.request) })
  pages.cookies.signIn.clear(reply)
  const client = await clientOf(visit, { request })
  const { redirectUri: uri, state, uiLocales } = request
  if (uri === null || !client || !isRegistered(uri, itemsOf(client.post_logout_redirect_uris)))
    return showMessage(visit, { kind: 'logged_out', status: 200, client, uiLocales })
  redirectTo(visit, withParameters(uri, state === null ? [] : [['state', state]]))
}

async function clientOf(
  { ctx }: Visit,
  { request: { clientId } }: Pick<PendingLogOut, 'request'>,
): Promise<Client | undefined> {
  const client = clientId === null ? undefined : await ctx.clients.registry.findClient(clientId)
  return client?.disabled_at === null ? client : undefined
}
