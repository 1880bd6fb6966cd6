import type { FastifyInstance } from 'fastify'
import { lookForNeeds, type Look } from '../../authorization/look.ts'
import { fresh, sealRequest } from '../../authorization/requests.ts'
import type { Context } from '../../context.ts'
import { findFactors } from '../../factors/factors.ts'
import { addPasskey, creationOptions, passkeysPossible } from '../../factors/passkeys.ts'
import { firstRecoveryCodes } from '../../factors/recovery-codes.ts'
import { formOf } from '../../protocol/form.ts'
import { stepUp } from '../enter.ts'
import { onceInBrowser } from '../once.ts'
import type { Pages } from '../pages.ts'
import { browserOf, findStage, follow, type Stage } from '../proceed.ts'
import type { AccountProblem } from '../texts/account-texts.ts'
import { secondFactorView } from '../views/account/second-factor.ts'
import { passkeySetUp } from '../views/passkey.ts'
import { namesOf, pageHandler, queryOf, redirectTo, type Visit } from '../visit.ts'
import { preparedTotp, totpAmr, tryTotp } from './authenticator.ts'
import { showNewCodes } from './new-factor.ts'
import { ownVisitOf, refuse, showOwn, type OwnVisit } from './own-visit.ts'
import { passkeyProblems } from './passkeys.ts'

const path = '/account/second-factor'

/**
 * GET and POST /account/second-factor: where somebody sets up, on the way to a client, the factor without
 * which the request goes no further. It is led to by /log-in, and back to it.
 */
export function secondFactorPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(
    path,
    pageHandler(ctx, pages, async visit => {
      const enrolment = await findEnrolment(visit, queryOf(visit, 'request'))
      if (enrolment) await show(enrolment)
    }),
  )
  app.post(
    path,
    pageHandler(ctx, pages, visit =>
      onceInBrowser(visit, '', async () => {
        const enrolment = await findEnrolment(visit, formOf(visit.request.body).get('request'))
        if (enrolment) await setUp(enrolment)
      }),
    ),
  )
}

/** Somebody who is to set up a factor, and for what. */
interface Enrolment extends OwnVisit {
  readonly stage: Stage
  /** Whether a passkey alone does. */
  readonly needsPasskey: boolean
}

/** Undefined where the request needs something else: then it goes on by itself. */
async function findEnrolment(visit: Visit, sealed: string | undefined): Promise<Enrolment | undefined> {
  const stage = await findStage(visit, sealed, path)
  if (!stage) return undefined
  const look = await lookForNeeds(visit.ctx, stage)
  const level = levelToSetUp(look)
  const { signIn } = stage
  if (level === undefined || !signIn) return void (await follow(visit, stage, look))
  return { ...(await ownVisitOf(visit, signIn)), stage, needsPasskey: level === 'phr' }
}

function levelToSetUp({ need }: Look): string | undefined {
  return need.kind === 'set_up' ? need.level : undefined
}

async function show(visit: Enrolment): Promise<void> {
  const { ctx, owner, stage, needsPasskey } = visit
  const { totp } = await findFactors(ctx, owner.user.id)
  const request = sealRequest(ctx, stage.pending)
  const mayBeApp = !needsPasskey && totp === undefined
  // The app may be chosen where a passkey can be had too.
  const isApp = mayBeApp && (queryOf(visit, 'by') === 'app' || !passkeysPossible(ctx.config))
  const options = isApp ? undefined : await creationOptions(ctx, owner.user, browserOf(visit))
  const data = {
    request,
    clientName: namesOf(stage.client).name,
    prepared: isApp ? await preparedTotp(visit) : null,
    appHref: mayBeApp && !isApp ? appAddress(request) : null,
  }
  const hidden = [['request', request]] as const
  showOwn(
    visit,
    (frame, state) =>
      secondFactorView(frame, state, {
        ...data,
        passkey: options
          ? passkeySetUp(frame, { path, hidden, name: visit.draft['name'] ?? '', options })
          : null,
      }),
    options ? { script: 'passkey' } : {},
  )
}

function appAddress(request: string): string {
  return `${path}?by=app&request=${request}`
}

async function setUp(visit: Enrolment): Promise<void> {
  const { ctx, owner, stage, needsPasskey } = visit
  const form = formOf(visit.request.body)
  const [answer, name = ''] = [form.get('passkey'), form.get('name')]
  const request = sealRequest(ctx, stage.pending)
  const again = (problem: AccountProblem) => refuse(visit, `${path}?request=${request}`, problem, { name })
  if (answer === undefined) {
    if (needsPasskey || !form.has('totp')) return again('passkey_invalid')
    const tried = await tryTotp({ ...visit, form })
    if (tried !== 'set') return refuse(visit, appAddress(request), tried, { totp: form.get('totp') })
    return goOn(visit, totpAmr)
  }
  const added = await addPasskey(ctx, owner, answer, browserOf(visit), name)
  if ('passkey' in added) return goOn(visit, added.amr)
  // Sent twice: the first time it was added.
  return again(added.problem === 'used' ? 'passkey_exists' : passkeyProblems[added.problem])
}

/** The log-in is raised by what was just shown; then the request goes on from the page that has led here. */
async function goOn(visit: Enrolment, amr: string): Promise<void> {
  const { ctx, owner, stage } = visit
  const { client, pending } = stage
  const signIn = await stepUp(visit, owner.signIn, { amr, client, browser: browserOf(visit) })
  const raised = fresh(pending.request, { browser: pending.browser, signIn: signIn.id })
  const next = `/log-in?request=${sealRequest(ctx, raised)}`
  const codes = await firstRecoveryCodes(ctx, owner)
  if (codes) return showNewCodes(visit, { codes, nextHref: next })
  redirectTo(visit, ctx.config.issuer + next)
}
