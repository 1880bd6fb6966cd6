import type { UserTable } from '../../db/schema.ts'
import type { Caller } from '../clients/caller.ts'
import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { findFactors, hasSecondFactor, usablePasskeys, type Factors } from '../factors/factors.ts'
import { mailUnlessMore, withdrawMail } from '../factors/half-log-in.ts'
import { deviceOfUser, newDeviceToken, verifyLogIn, type LogIn } from '../factors/log-in.ts'
import { passkeysPossible } from '../factors/passkeys.ts'
import { useRecoveryCode } from '../factors/recovery-codes.ts'
import { findShownUser, shownBy, type Shown } from '../factors/shown.ts'
import { useTotp } from '../factors/totp.ts'
import { usePasskey } from '../factors/use-passkey.ts'
import type { Form } from '../protocol/form.ts'
import { formatUuid } from '../protocol/secrets.ts'
import type { AuthSession } from './auth-session.ts'
import { issueCode } from './code.ts'
import { lookForNeeds } from './look.ts'

/** A request of an app that asks its user by itself. */
export interface ChallengeCall {
  readonly client: Client
  readonly caller: Caller
  readonly session: AuthSession
  readonly form: Form
}

/** A parameter with which a user proves who it is. `password` comes with `username`. */
export type FactorName = 'password' | 'otp' | 'recovery_code' | 'passkey'

/** What a challenge has come to. */
export type ChallengeStep =
  | { readonly kind: 'code'; readonly code: string; readonly deviceToken: string }
  /** One of these is needed, and nothing was wrong so far. */
  | { readonly kind: 'missing'; readonly session: AuthSession; readonly missing: readonly FactorName[] }
  /** The next step is for our own pages. */
  | { readonly kind: 'web' }

/** A factor was shown that is not right, or was not asked for. Its cause is for the log. */
export class WrongFactor extends Error {
  override readonly name = 'WrongFactor'
  readonly refusal: OAuthError
  readonly session: AuthSession
  readonly missing: readonly FactorName[]

  constructor(refusal: OAuthError, session: AuthSession, missing: readonly FactorName[]) {
    super(refusal.message)
    this.refusal = refusal
    this.session = session
    this.missing = missing
  }
}

/**
 * Takes what the app has got from its user, and says what is needed next. Throws a `WrongFactor`; and what
 * `verifyLogIn` throws where too many were wrong, or too many wait.
 */
export async function takeStep(ctx: Context, call: ChallengeCall): Promise<ChallengeStep> {
  const before = await currentProof(ctx, call.session)
  const began = await proveFirst(ctx, call, before?.proof)
  const proof = began ?? before?.proof
  const factors = began ? await findFactors(ctx, began.user.id) : before?.factors
  const mayGoOn = proof && factors && (isHalf(proof, factors) || !began)
  const further = mayGoOn ? await proveFurther(ctx, call, { proof, factors }) : undefined
  const shown = further ?? proof
  if (!shown || !factors || isHalf(shown, factors)) {
    const missing = missingOf(ctx, shown, factors)
    // Nothing can be asked for: our own page says why.
    if (missing.length === 0) return { kind: 'web' }
    return { kind: 'missing', session: withProof(call.session, shown), missing }
  }
  return conclude(ctx, call, shown)
}

/** What a user has shown, with the user. */
interface Proof extends Pick<Shown, 'amr' | 'at' | 'mail'> {
  readonly user: UserTable
}

/** What was shown in a request before, as far as it still counts: as long as at the pages. */
async function currentProof(
  ctx: Context,
  { shown }: AuthSession,
): Promise<{ readonly proof: Proof; readonly factors: Factors } | undefined> {
  const found = shown && (await findShownUser(ctx, shown))
  return found ? { proof: { ...shown, user: found.user }, factors: found.factors } : undefined
}

/** By password, or by a passkey. */
async function proveFirst(
  ctx: Context,
  call: ChallengeCall,
  before: Proof | undefined,
): Promise<Proof | undefined> {
  const { form, client, caller, session } = call
  const password = form.get('password')
  if (password !== undefined) {
    const username = form.get('username')?.normalize('NFC')
    if (username === undefined) throw new OAuthError('invalid_request', 'a password comes with a username')
    const logIn: LogIn = {
      username,
      password,
      place: 'client',
      client,
      caller,
      deviceToken: form.get('device_token'),
    }
    const none: AuthSession = { ...session, shown: null }
    const user = await refusing(() => verifyLogIn(ctx, logIn), none, missingOf(ctx, undefined, undefined))
    const isMore = hasSecondFactor(await findFactors(ctx, user.id))
    const mail = isMore ? await mailUnlessMore(ctx, user, logIn) : null
    return { user, amr: 'pwd', at: ctx.clock.now(), mail }
  }
  const passkey = form.get('passkey')
  if (passkey === undefined || before) return undefined
  return provePasskey(ctx, call, passkey, undefined)
}

/** By what comes after a password. */
async function proveFurther(
  ctx: Context,
  call: ChallengeCall,
  { proof, factors }: { readonly proof: Proof; readonly factors: Factors },
): Promise<Proof | undefined> {
  const { form, client, caller, session } = call
  const { user } = proof
  const device = deviceOfUser(ctx, { place: 'client', client, deviceToken: form.get('device_token') }, user)
  const step = { user, place: 'client', client, caller, device } as const
  const [otp, recoveryCode, passkey] = [form.get('otp'), form.get('recovery_code'), form.get('passkey')]
  const again = [withProof(session, proof), missingOf(ctx, proof, factors)] as const
  if (otp !== undefined) await refusing(() => useTotp(ctx, step, otp), ...again)
  else if (recoveryCode !== undefined)
    await refusing(() => useRecoveryCode(ctx, step, recoveryCode), ...again)
  else if (passkey !== undefined) return provePasskey(ctx, call, passkey, { proof, factors })
  else return undefined
  await withdrawMail(ctx, proof)
  return { ...proof, amr: 'pwd otp mfa', at: ctx.clock.now(), mail: null }
}

async function provePasskey(
  ctx: Context,
  { client, caller, session }: ChallengeCall,
  passkey: string,
  after: { readonly proof: Proof; readonly factors: Factors } | undefined,
): Promise<Proof> {
  const place = {
    browser: challengeBinding(session),
    userId: after?.proof.user.id,
    clientId: client.id,
    caller,
  }
  const used = await usePasskey(ctx, passkey, place)
  if ('problem' in used) {
    const refusal = new OAuthError('invalid_grant', 'the passkey is not right', { cause: used.problem })
    throw new WrongFactor(
      refusal,
      withProof(session, after?.proof),
      missingOf(ctx, after?.proof, after?.factors),
    )
  }
  const methods = new Set([...(after?.proof.amr.split(' ') ?? []), ...used.amr.split(' ')])
  if (after) await withdrawMail(ctx, after.proof)
  return { user: used.user, amr: [...methods].join(' '), at: ctx.clock.now(), mail: null }
}

/** What passkeys of an app's own pages answer: its session, since it has no browser of ours. */
export function challengeBinding({ request }: AuthSession): string {
  return `auth session ${formatUuid(request.sessionId)}`
}

/** Whether a password was shown by who has more than that. */
function isHalf({ amr }: Proof, factors: Factors): boolean {
  return amr === 'pwd' && hasSecondFactor(factors)
}

function missingOf(
  { config }: Pick<Context, 'config'>,
  proof: Proof | undefined,
  factors: Factors | undefined,
): readonly FactorName[] {
  const names: readonly (FactorName | false)[] =
    proof && factors
      ? [
          factors.totp !== undefined && 'otp',
          factors.recoveryCodesLeft > 0 && 'recovery_code',
          usablePasskeys(factors).length > 0 && 'passkey',
        ]
      : ['password', passkeysPossible(config) && 'passkey']
  return names.filter(name => name !== false)
}

function withProof({ request }: AuthSession, proof: Proof | undefined): AuthSession {
  return { request, shown: proof ? shownBy(proof.user, proof) : null }
}

async function refusing<T>(
  work: () => Promise<T>,
  session: AuthSession,
  missing: readonly FactorName[],
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof OAuthError && error.code === 'invalid_grant')
      throw new WrongFactor(error, session, missing)
    throw error
  }
}

/** All that the user has is shown: the code, unless the request needs what only pages can give. */
async function conclude(
  ctx: Context,
  { client, session }: ChallengeCall,
  shown: Proof,
): Promise<ChallengeStep> {
  const { user, amr, at } = shown
  const { request } = session
  const logIn = { id: request.sessionId, user_id: user.id, user_epoch: user.epoch, auth_time: at, amr }
  const signIn = { ...logIn, user }
  const { need } = await lookForNeeds(ctx, { client, pending: { request, signIn: logIn.id }, signIn })
  if (need.kind === 'error') throw new OAuthError('unmet_authentication_requirements', need.description)
  // A code was shown where a passkey is asked for, which the user has.
  if (need.kind === 'step_up' && need.level === 'phr')
    return { kind: 'missing', session: withProof(session, shown), missing: ['passkey'] }
  if (need.kind !== 'code') return { kind: 'web' }
  const code = issueCode(ctx, {
    ...{ request, logIn, signIn: null, user, client },
    ...{ scope: request.scope, consentId: null },
  })
  return { kind: 'code', code, deviceToken: newDeviceToken(ctx, { place: 'client', client }, user) }
}
