import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { lookForNeeds } from '../authorization/look.ts'
import {
  fresh,
  openRequest,
  sealRequest,
  type LogInProblem,
  type PendingRequest,
} from '../authorization/requests.ts'
import { deviceCaller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import type { ErrorReader } from '../http/error-reader.ts'
import { formOf, type Form } from '../protocol/form.ts'
import type { SignIn } from '../sessions/sign-in.ts'
import { verifyLogIn, type LogIn } from '../users/log-in.ts'
import { enter } from './enter.ts'
import type { Pages } from './pages.ts'
import { answerClient, findLivingClient, findStage, follow, goOn, type Stage } from './proceed.ts'
import { accountChoiceView } from './views/account-choice.ts'
import { logInView } from './views/log-in.ts'
import { admit, anotherHref, leadTo, namesOf, pageHandler, queryOf, type Visit } from './visit.ts'

/** GET and POST /log-in: where a person proves who it is, or says which account is meant. */
export function logInPage(app: FastifyInstance, ctx: Context, pages: Pages, readError: ErrorReader): void {
  app.get('/log-in', pageHandler(ctx, pages, show))

  app.post('/log-in', async (request: FastifyRequest, reply: FastifyReply) => {
    const visit = { ctx, pages, request, reply }
    try {
      await admit(visit, () => decide(visit, readError))
    } catch (error) {
      const isRefusal = error instanceof OAuthError
      if (isRefusal && error.status !== 429 && error.status !== 503) throw error
      // Not while it is under way: a request that waits here takes no other's place.
      if (isRefusal) await ctx.load.delayRefusal()
      const stage = await typedStage(visit)
      if (!stage) throw error
      const { status, retryAfter = 1 } = readError(error, request)
      reply.header('retry-after', String(retryAfter))
      showForm(visit, stage, { isAgain: false, refusal: { status, retryAfter } })
    }
    return reply
  })
}

/**
 * The request with what was typed for it, so that who is refused does not type it all again. Undefined where
 * there was no log-in form, or no page of it can be shown. The form is no more than was sent: what it may do
 * is checked when it comes back.
 */
async function typedStage({ ctx, request }: Visit): Promise<Stage | undefined> {
  const form = formOf(request.body)
  const sealed = form.get('request')
  if (sealed === undefined || form.has('decision')) return undefined
  try {
    const pending = await openRequest(ctx, sealed)
    const client = pending && (await findLivingClient(ctx, pending))
    if (!client || pending.isExpired) return undefined
    return { client, pending: { ...pending, ...typed(form) }, signIn: undefined }
  } catch {
    return undefined // what is told is the fault of before
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
  const look = await lookForNeeds(visit.ctx, { ...stage, hasConsented: false })
  const { need } = look
  if (need.kind === 'log_in') return showForm(visit, stage, need)
  if (need.kind === 'choose_account' && stage.signIn) return showChoice(visit, stage, stage.signIn)
  return follow(visit, stage, look)
}

interface FormKind {
  /** Whether who is logged in has to show it once more. */
  readonly isAgain: boolean
  /** 429 or 503, and when to try again, in seconds. */
  readonly refusal?: { readonly status: number; readonly retryAfter: number }
}

function showForm(
  { ctx, pages, request, reply }: Visit,
  { client, pending, signIn }: Stage,
  { isAgain, refusal }: FormKind,
): void {
  const { loginHint, uiLocales } = pending.request
  const loggedInAs = isAgain && signIn ? signIn.user.username : null
  const data = {
    request: sealRequest(ctx, pending.problem === null ? pending : { ...pending, problem: null }),
    client: namesOf(client),
    username: pending.username ?? loggedInAs ?? loginHint ?? '',
    loggedInAs,
    anotherHref: isAgain ? anotherHref({ ctx }, pending) : null,
    stays: pending.stays,
    problem: refusal ? refusedBy(refusal.status) : pending.problem,
    retryAfter: refusal?.retryAfter,
  }
  const { status = 200 } = refusal ?? {}
  void pages.show(request, reply, frame => logInView(frame, data), { status, uiLocales })
}

function refusedBy(status: number): 'throttled' | 'unavailable' {
  return status === 429 ? 'throttled' : 'unavailable'
}

function showChoice(
  { ctx, pages, request, reply }: Visit,
  { client, pending }: Stage,
  { user }: SignIn,
): void {
  const data = {
    request: sealRequest(ctx, { ...pending, user: user.id }),
    client: namesOf(client),
    username: user.username,
    anotherHref: anotherHref({ ctx }, pending),
  }
  const { uiLocales } = pending.request
  void pages.show(request, reply, frame => accountChoiceView(frame, data), { uiLocales })
}

async function decide(visit: Visit, readError: ErrorReader): Promise<void> {
  const form = formOf(visit.request.body)
  const stage = await findStage(visit, form.get('request'), '/log-in')
  if (!stage) return
  switch (form.get('decision')) {
    case 'deny':
      return answerClient(visit, stage.pending, {
        error: 'access_denied',
        description: 'the user has not logged in',
      })
    case 'continue':
      // The request names the user whom the page has asked.
      return goOn(visit, stage)
  }
  await logIn(visit, stage, form, readError)
}

/** Whoever has typed something wrong is led back to the form, so that loading it again sends nothing. */
async function logIn(visit: Visit, stage: Stage, form: Form, readError: ErrorReader): Promise<void> {
  const { client, pending } = stage
  const again = (problem: LogInProblem) => leadTo(visit, '/log-in', { ...pending, ...typed(form), problem })
  const [username, password] = [form.get('username')?.normalize('NFC'), form.get('password')]
  if (username === undefined || password === undefined) return again('missing_credentials')
  // Nobody has such a name, and PostgreSQL could not even look for one.
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
  const { browser } = pending
  const isPersistent = staysLoggedIn(stage, user, form)
  const signIn = await enter(visit, { user, amr: 'pwd', client, browser, signIn: stage.signIn, isPersistent })
  await goOn(visit, { client, pending: fresh(pending.request, { browser, signIn: signIn.id }), signIn })
}

/** The user whose password it is; undefined where it is nobody's, which is told in the log alone. */
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
