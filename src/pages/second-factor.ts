import { lookForNeeds } from '../authorization/look.ts'
import { sealRequest, withoutProblem, type LogInProblem } from '../authorization/requests.ts'
import { deviceCaller } from '../clients/caller.ts'
import { OAuthError } from '../errors.ts'
import { findFactors, usablePasskeys, type Factors } from '../factors/factors.ts'
import { deviceOfUser } from '../factors/log-in.ts'
import { passkeysPossible } from '../factors/passkeys.ts'
import { useRecoveryCode } from '../factors/recovery-codes.ts'
import { findShownUser } from '../factors/shown.ts'
import { useTotp } from '../factors/totp.ts'
import { requestOptions, usePasskey, type UsePasskeyProblem } from '../factors/use-passkey.ts'
import type { ErrorReader } from '../http/error-reader.ts'
import { formOf, type Form } from '../protocol/form.ts'
import { joinedAmr, type Level } from '../protocol/levels.ts'
import type { SignIn } from '../sessions/sign-in.ts'
import type { Stage } from './proceed.ts'
import { secondFactorStepView } from './views/second-factor.ts'
import { anotherHref, type Visit } from './visit.ts'

/** Who is asked for one more factor, and which level it has to reach. */
export interface Asked {
  readonly user: SignIn['user']
  readonly factors: Factors
  /** What has been shown already (RFC 8176), separated by spaces. */
  readonly amr: string
  readonly level: Level
  /** Whether the browser is to stay logged in when it is closed. */
  readonly stays: boolean
}

/**
 * Who is asked for one more factor at this point of a request: who has just shown a password, or who is
 * logged in with less than the request needs. Undefined where no factor is asked for.
 */
export async function findAsked({ ctx }: Visit, stage: Stage): Promise<Asked | undefined> {
  const { pending, signIn } = stage
  const { shown } = pending
  if (shown) {
    const found = await findShownUser(ctx, shown)
    return found && { ...found, amr: shown.amr, level: 'mfa', stays: shown.stays }
  }
  const { need } = await lookForNeeds(ctx, stage)
  if (need.kind !== 'step_up' || !signIn) return undefined
  const { user, amr, is_persistent } = signIn
  const factors = await findFactors(ctx, user.id)
  return { user, factors, amr, level: need.level, stays: is_persistent === 1 }
}

/** 429 or 503, and when to try again, in seconds. */
export interface Refused {
  readonly status: number
  readonly retryAfter: number
}

export async function showSecondFactor(
  { ctx, pages, request, reply }: Visit,
  { pending }: Stage,
  { user, factors, level }: Asked,
  refused?: Refused,
): Promise<void> {
  const { browser, problem, unknownPasskey } = pending
  const byCode = level !== 'phr'
  const withPasskey = browser !== null && usablePasskeys(factors).length > 0 && passkeysPossible(ctx.config)
  const data = {
    request: sealRequest(ctx, withoutProblem(pending)),
    username: user.username,
    anotherHref: anotherHref({ ctx }, pending),
    takesCode: byCode && factors.totp !== undefined,
    takesRecoveryCode: byCode && factors.recoveryCodesLeft > 0,
    passkey: withPasskey
      ? {
          options: await requestOptions(ctx, { browser, userId: user.id }),
          isAutofill: false,
          unknown: unknownPasskey,
        }
      : null,
    problem: refused ? refusalKind(refused) : problem,
    retryAfter: refused?.retryAfter,
  }
  const { uiLocales } = pending.request
  void pages.show(request, reply, frame => secondFactorStepView(frame, data), {
    status: refused?.status ?? 200,
    uiLocales,
    ...(data.passkey && { script: 'passkey' }),
  })
}

/** What a page says of a refusal. */
export function refusalKind({ status }: Refused): 'throttled' | 'unavailable' {
  return status === 429 ? 'throttled' : 'unavailable'
}

/** Whether a form has what answers a question for one more factor. */
export function hasSecondFactorIn(form: Form): boolean {
  return form.has('code') || form.has('recovery_code')
}

/** What was wrong with the answer, and of which passkey the browser is to be told. */
export interface StepProblem {
  readonly problem: LogInProblem
  readonly unknownPasskey: string | null
}

/** What has been shown in all (RFC 8176), separated by spaces; or why it counts for nothing. */
export async function takeSecondFactor(
  visit: Visit,
  stage: Stage,
  asked: Asked,
  readError: ErrorReader,
): Promise<{ readonly amr: string } | StepProblem> {
  const form = formOf(visit.request.body)
  const passkey = form.get('passkey')
  if (passkey !== undefined) return takePasskey(visit, stage, asked, passkey)
  const code = form.get('code')?.trim() ?? ''
  const recoveryCode = form.get('recovery_code')?.trim() ?? ''
  if (code === '' && recoveryCode === '') return { problem: 'missing_code', unknownPasskey: null }
  const step = stepOf(visit, stage, asked)
  try {
    if (recoveryCode === '') await useTotp(visit.ctx, step, code)
    else await useRecoveryCode(visit.ctx, step, recoveryCode)
    return { amr: joinedAmr(asked.amr, 'otp mfa') }
  } catch (error) {
    if (!(error instanceof OAuthError && error.code === 'invalid_grant')) throw error
    // For the log.
    readError(error, visit.request)
    return { problem: recoveryCode === '' ? 'wrong_code' : 'wrong_recovery_code', unknownPasskey: null }
  }
}

function stepOf({ ctx, pages, request }: Visit, { client }: Stage, { user }: Asked) {
  const at = { place: 'page', client, caller: deviceCaller(request) } as const
  const deviceToken = pages.cookies.device.read(request)
  return { ...at, user, device: deviceOfUser(ctx, { ...at, deviceToken }, user) }
}

async function takePasskey(
  { ctx, request }: Visit,
  { client, pending: { browser } }: Stage,
  { user, amr }: Asked,
  response: string,
): Promise<{ readonly amr: string } | StepProblem> {
  if (browser === null) throw new Error('unreachable: a page is for the browser that its request is bound to')
  const caller = deviceCaller(request)
  const used = await usePasskey(ctx, response, { browser, userId: user.id, clientId: client.id, caller })
  if ('problem' in used) return passkeyProblem(used)
  return { amr: joinedAmr(amr, used.amr) }
}

/** So much of a passkey's id is passed on to its browser: it travels in a URL. */
const credentialIdMax = 400

/** What the page says of a passkey that was not taken. */
export function passkeyProblem({
  problem,
  credentialId = null,
}: {
  readonly problem: UsePasskeyProblem
  readonly credentialId?: string | null | undefined
}): StepProblem {
  const isShort = credentialId !== null && credentialId.length <= credentialIdMax
  return { problem: passkeyProblems[problem], unknownPasskey: isShort ? credentialId : null }
}

const passkeyProblems: Readonly<Record<UsePasskeyProblem, LogInProblem>> = {
  expired: 'passkey_expired',
  used: 'passkey_refused',
  unknown: 'passkey_unknown',
  unverified: 'passkey_unverified',
  invalid: 'passkey_refused',
}
