import { signUpIsOpen } from '../account/sign-up.ts'
import { sealRequest, withoutProblem, type PendingRequest } from '../authorization/requests.ts'
import type { Context } from '../context.ts'
import { passkeysPossible } from '../factors/passkeys.ts'
import { requestOptions } from '../factors/use-passkey.ts'
import type { SignIn } from '../sessions/sign-in.ts'
import type { Stage } from './proceed.ts'
import { refusalKind, type Refused } from './second-factor.ts'
import { accountChoiceView } from './views/account-choice.ts'
import { logInView } from './views/log-in.ts'
import { anotherHref, namesOf, type Visit } from './visit.ts'

export interface FormKind {
  /** Whether who is logged in has to show it once more. */
  readonly isAgain: boolean
  readonly refusal?: Refused
}

/** The form for name and password, or for a passkey. */
export async function showForm(
  { ctx, pages, request, reply }: Visit,
  { client, pending, signIn }: Stage,
  { isAgain, refusal }: FormKind,
): Promise<void> {
  const { loginHint, uiLocales, userCode } = pending.request
  const loggedInAs = isAgain && signIn ? signIn.user.username : null
  const sealed = sealRequest(ctx, withoutProblem(pending))
  const data = {
    request: sealed,
    resetHref: ctx.mail ? `/reset?request=${sealed}` : null,
    signUpHref: signUpIsOpen(ctx) && !isAgain ? `/sign-up?request=${sealed}` : null,
    client: namesOf(client),
    passkey: await passkeyOf(ctx, pending),
    username: pending.username ?? loggedInAs ?? loginHint ?? '',
    loggedInAs,
    anotherHref: isAgain ? anotherHref({ ctx }, pending) : null,
    stays: pending.stays,
    isForDevice: userCode !== null,
    problem: refusal ? refusalKind(refusal) : pending.problem,
    retryAfter: refusal?.retryAfter,
  }
  const { status = 200 } = refusal ?? {}
  void pages.show(request, reply, frame => logInView(frame, data), {
    status,
    uiLocales,
    ...(data.passkey && { script: 'passkey' }),
  })
}

/** What asks for anybody's passkey; null where there are none. */
async function passkeyOf(ctx: Context, { browser, unknownPasskey }: PendingRequest) {
  if (browser === null || !passkeysPossible(ctx.config)) return null
  return { options: await requestOptions(ctx, { browser }), isAutofill: true, unknown: unknownPasskey }
}

/** Whether who is logged in is meant. */
export function showChoice(
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
