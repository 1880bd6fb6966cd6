import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { lookForNeeds } from '../authorization/look.ts'
import {
  fresh,
  openRequest,
  type LogInProblem,
  type PendingRequest,
  type ShownInBrowser,
} from '../authorization/requests.ts'
import { deviceCaller } from '../clients/caller.ts'
import { isRequester } from '../clients/open-clients.ts'
import type { Context } from '../context.ts'
import { isRefusedUnheard, OAuthError } from '../errors.ts'
import { findFactors, hasSecondFactor } from '../factors/factors.ts'
import { mailUnlessMore, withdrawMail } from '../factors/half-log-in.ts'
import { verifyLogIn, type LogIn } from '../factors/log-in.ts'
import { shownBy } from '../factors/shown.ts'
import { usePasskey } from '../factors/use-passkey.ts'
import type { ErrorReader } from '../http/error-reader.ts'
import { formOf, type Form } from '../protocol/form.ts'
import { enter, type Entry } from './enter.ts'
import { showChoice, showForm } from './log-in-form.ts'
import { onceInBrowser } from './once.ts'
import type { Pages } from './pages.ts'
import {
  answerClient,
  currentSignIn,
  findLivingClient,
  findStage,
  follow,
  goOn,
  type Stage,
} from './proceed.ts'
import {
  findAsked,
  hasSecondFactorIn,
  passkeyProblem,
  showSecondFactor,
  takeSecondFactor,
  type Asked,
  type Refused,
} from './second-factor.ts'
import { admit, leadTo, pageHandler, queryOf, type Visit } from './visit.ts'

/** GET and POST /log-in: where a person proves who it is, or says which account is meant. */
export function logInPage(app: FastifyInstance, ctx: Context, pages: Pages, readError: ErrorReader): void {
  app.get('/log-in', pageHandler(ctx, pages, show))

  app.post('/log-in', async (request: FastifyRequest, reply: FastifyReply) => {
    const visit = { ctx, pages, request, reply }
    try {
      await admit(visit, () => decideOnce(visit, readError))
    } catch (error) {
      const isUnheard = isRefusedUnheard(error)
      if (error instanceof OAuthError && !isUnheard) throw error
      // Not while it is under way: a request that waits here takes no other's place.
      if (isUnheard) await ctx.load.delayRefusal()
      const stage = await typedStage(visit)
      if (!stage) throw error
      const { status, retryAfter = 1 } = readError(error, request)
      reply.header('retry-after', String(retryAfter))
      await showRefused(visit, stage, { status, retryAfter })
    }
    return reply
  })
}

/** The page whose form was refused, once more. */
async function showRefused(visit: Visit, stage: Stage, refusal: Refused): Promise<void> {
  const asked = hasSecondFactorIn(formOf(visit.request.body)) ? await findAsked(visit, stage) : undefined
  if (asked) return showSecondFactor(visit, stage, asked, refusal)
  return showForm(visit, stage, { isAgain: false, refusal })
}

/**
 * The request with what was typed for it, so that a refused person does not type it all again. Undefined
 * where there was no log-in form, or no page of it can be shown. The form is no more than was sent: its
 * rights are checked when it comes back.
 */
async function typedStage(visit: Visit): Promise<Stage | undefined> {
  const { ctx, request } = visit
  const form = formOf(request.body)
  const sealed = form.get('request')
  if (sealed === undefined || form.has('decision')) return undefined
  try {
    const pending = await openRequest(ctx, sealed)
    const client = pending && (await findLivingClient(ctx, pending))
    if (!pending || !isRequester(client) || pending.isExpired) return undefined
    // Only who steps up is known without what was typed.
    const signIn = hasSecondFactorIn(form) ? await currentSignIn(visit) : undefined
    return { client, pending: { ...pending, ...typed(form) }, signIn }
  } catch {
    return undefined // the fault of before is told
  }
}

/** So much of what was typed as a name is kept for the form: it travels in a URL. */
const nameMax = 200

/** Without the password. */
function typed(form: Form): Pick<PendingRequest, 'username' | 'stays'> {
  const name = form.get('username')
  return {
    username: name !== undefined && name.length <= nameMax ? name : null,
    stays: form.get('stay') === '1',
  }
}

/** Where nothing is to be done any more, as in a second tab, it goes on by itself. */
async function show(visit: Visit): Promise<void> {
  const stage = await findStage(visit, queryOf(visit, 'request'), '/log-in')
  if (!stage) return
  const look = await lookForNeeds(visit.ctx, stage)
  const { need } = look
  if (need.kind === 'step_up' || (need.kind === 'log_in' && stage.pending.shown)) {
    const asked = await findAsked(visit, stage)
    if (asked) return showSecondFactor(visit, stage, asked)
    const pending = { ...stage.pending, shown: null, problem: 'second_step_expired' } as const
    if (need.kind === 'log_in') return showForm(visit, { ...stage, pending }, need)
  }
  if (need.kind === 'log_in') return showForm(visit, stage, need)
  if (need.kind === 'choose_account' && stage.signIn) return showChoice(visit, stage, stage.signIn)
  return follow(visit, stage, look)
}

/** A code or a passkey counts once, so the form that had it is taken once. */
async function decideOnce(visit: Visit, readError: ErrorReader): Promise<void> {
  const form = formOf(visit.request.body)
  const work = () => decide(visit, readError)
  const countsOnce = form.has('request') && (hasSecondFactorIn(form) || form.has('passkey'))
  await (countsOnce ? onceInBrowser(visit, '', work) : work())
}

async function decide(visit: Visit, readError: ErrorReader): Promise<void> {
  const form = formOf(visit.request.body)
  const stage = await findStage(visit, form.get('request'), '/log-in')
  if (!stage) return
  switch (form.get('decision')) {
    case 'deny':
      return answerClient(visit, stage, {
        error: 'access_denied',
        description: 'the user has not logged in',
      })
    case 'continue':
      // The request names the user whom the page has asked.
      return goOn(visit, stage)
  }
  await logIn(visit, stage, form, readError)
}

/** A wrong entry leads back to the form, so that loading it again sends nothing. */
async function logIn(visit: Visit, stage: Stage, form: Form, readError: ErrorReader): Promise<void> {
  const { client, pending } = stage
  const passkey = form.get('passkey')
  if (passkey !== undefined || hasSecondFactorIn(form)) {
    const asked = await findAsked(visit, stage)
    if (asked) return takeStep(visit, stage, asked, readError)
    if (passkey !== undefined) return logInByPasskey(visit, stage, form, passkey)
    return leadTo(visit, '/log-in', { ...pending, shown: null, problem: 'second_step_expired' })
  }
  const again = (problem: LogInProblem) => leadTo(visit, '/log-in', { ...pending, ...typed(form), problem })
  const [username, password] = [form.get('username')?.normalize('NFC'), form.get('password')]
  if (username === undefined || password === undefined) return again('missing_credentials')
  // No user has such a name, and PostgreSQL could not even look for one.
  if (username.includes('\0')) return again('wrong_credentials')

  const attempt: LogIn = {
    username,
    password,
    place: 'page',
    client,
    caller: deviceCaller(visit.request),
    deviceToken: visit.pages.cookies.device.read(visit.request),
  }
  const user = await verify(visit, attempt, readError)
  if (!user) return again('wrong_credentials')
  const isPersistent = staysLoggedIn(stage, user, form)
  if (hasSecondFactor(await findFactors(visit.ctx, user.id))) {
    const mail = await mailUnlessMore(visit.ctx, user, attempt)
    return askMore(visit, stage, user, { mail, stays: isPersistent })
  }
  await letIn(visit, stage, { user, amr: 'pwd', isPersistent })
}

/** The password is not enough for a user who has more than that: the page goes on with it. */
function askMore(
  visit: Visit,
  { pending }: Stage,
  user: User,
  { mail, stays }: Pick<ShownInBrowser, 'mail' | 'stays'>,
): void {
  const shown = { ...shownBy(user, { amr: 'pwd', at: visit.ctx.clock.now(), mail }), stays }
  leadTo(visit, '/log-in', { ...pending, username: null, stays: false, problem: null, shown })
}

/** One more factor, of who has shown one already. */
async function takeStep(visit: Visit, stage: Stage, asked: Asked, readError: ErrorReader): Promise<void> {
  const taken = await takeSecondFactor(visit, stage, asked, readError)
  if ('problem' in taken) return leadTo(visit, '/log-in', { ...stage.pending, ...taken })
  if (stage.pending.shown) await withdrawMail(visit.ctx, stage.pending.shown)
  await letIn(visit, stage, { user: asked.user, amr: taken.amr, isPersistent: asked.stays })
}

/** The user has shown all that is asked for. */
async function letIn(
  visit: Visit,
  { client, pending, signIn: present }: Stage,
  shown: Pick<Entry, 'user' | 'amr' | 'isPersistent'>,
): Promise<void> {
  const { request, browser } = pending
  const signIn = await enter(visit, { ...shown, client, browser, signIn: present })
  await goOn(visit, { client, pending: fresh(request, { browser, signIn: signIn.id }), signIn })
}

/** A passkey is two factors, so it lets its owner in. */
async function logInByPasskey(visit: Visit, stage: Stage, form: Form, response: string): Promise<void> {
  const { ctx, request } = visit
  const { client, pending } = stage
  const { browser } = pending
  if (browser === null) throw new Error('unreachable: a page is for the browser that its request is bound to')
  const caller = deviceCaller(request)
  const used = await usePasskey(ctx, response, { browser, clientId: client.id, caller })
  if ('problem' in used)
    return leadTo(visit, '/log-in', { ...pending, ...typed(form), ...passkeyProblem(used) })
  const { user, amr } = used
  await letIn(visit, stage, { user, amr, isPersistent: staysLoggedIn(stage, user, form) })
}

/** The user whose password it is; undefined where it is wrong, which is told in the log alone. */
async function verify(
  { ctx, request }: Visit,
  attempt: LogIn,
  readError: ErrorReader,
): Promise<User | undefined> {
  try {
    return await verifyLogIn(ctx, attempt)
  } catch (error) {
    if (!(error instanceof OAuthError && error.code === 'invalid_grant')) throw error
    readError(error, request)
    return undefined
  }
}

/** Who shows once more who it is stays logged in for as long as was wished before. */
function staysLoggedIn({ signIn }: Stage, user: User, form: Form): boolean {
  return form.get('stay') === '1' || (signIn?.is_persistent === 1 && signIn.user_id.equals(user.id))
}

type User = Awaited<ReturnType<typeof verifyLogIn>>
