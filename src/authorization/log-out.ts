import { findSession } from '../../db/sessions/sessions.ts'
import { findSignInOfSession } from '../../db/users/sign-ins.ts'
import type { Context } from '../context.ts'
import { endSignIn } from '../endings/end-sign-ins.ts'
import { endSession } from '../endings/end.ts'
import { openValue, sealValue } from '../keys/sealed.ts'
import type { Form } from '../protocol/form.ts'
import type { IdTokenHint } from '../protocol/id-token.ts'
import {
  clientOfLogOut,
  judgeLogOutRequest,
  type LogOutRequest,
  type LogOutVerdict,
} from '../protocol/log-out-request.ts'
import { formatUuid, ownUuid } from '../protocol/secrets.ts'
import type { RequestOrigin } from '../record/actor.ts'
import { byNobody, byUser } from '../record/record.ts'
import type { SignIn } from '../sessions/sign-in.ts'

/** How long the page that asks can be answered, in seconds. */
export const logOutSeconds = 1800

/** Judges the parameters of a request to log out (OpenID Connect RP-Initiated Logout 1.0 §2). */
export async function acceptLogOut(
  { clients, keys }: Pick<Context, 'clients' | 'keys'>,
  form: Form,
): Promise<LogOutVerdict> {
  const hint = form.get('id_token_hint')
  // Also one that has expired.
  const hintClaims = hint === undefined ? undefined : keys.recognise(hint, 'JWT')
  const id = clientOfLogOut(form, hintClaims)
  const found = id === undefined ? undefined : await clients.registry.findClient(id)
  const client = found?.disabled_at === null ? found : undefined
  return judgeLogOutRequest(form, { hintClaims, client })
}

/** A request to log out on its way through a browser. */
export interface PendingLogOut {
  readonly request: LogOutRequest
  /** The sign-in that the page asks about; null before it has asked. */
  readonly signIn: Buffer | null
  readonly madeAt: number
}

/** Seals one for a URL or a form. */
export function sealLogOut(
  { config, rootKeys }: Pick<Context, 'config' | 'rootKeys'>,
  { request: { hint, hintedSession, ...request }, signIn, madeAt }: PendingLogOut,
): string {
  return sealValue(rootKeys, 'log-out request', config.issuer, {
    ...request,
    hint: hint && { sub: hint.sub, sid: formatUuid(hint.sessionId) },
    hinted: hintedSession && formatUuid(hintedSession),
    sign_in: signIn && formatUuid(signIn),
    at: madeAt,
  })
}

interface Content extends Omit<LogOutRequest, 'hint' | 'hintedSession'> {
  readonly hint: { readonly sub: string; readonly sid: string } | null
  readonly hinted: string | null
  readonly sign_in: string | null
  readonly at: number
}

/** Opens one that was sealed here; undefined for any other text, and for one that is too old. */
export async function openLogOut(
  ctx: Pick<Context, 'config' | 'rootKeys' | 'keys' | 'clock'>,
  text: string,
): Promise<PendingLogOut | undefined> {
  const content = await openValue(ctx, 'log-out request', ctx.config.issuer, text)
  if (!content) return undefined
  const { hint, hinted, sign_in: signIn, at: madeAt, ...request } = content as unknown as Content
  if (Math.abs(ctx.clock.now() - madeAt) >= logOutSeconds) return undefined
  return {
    request: {
      ...request,
      hint: hint && { sub: hint.sub, sessionId: ownUuid(hint.sid) },
      hintedSession: hinted === null ? null : ownUuid(hinted),
    },
    signIn: signIn === null ? null : ownUuid(signIn),
    madeAt,
  }
}

/**
 * Whether a hint names this log-in, by a session that came from it, or by a living one that is to outlive it:
 * then no page asks. One of another log-in of the same user is suspect (§2): with an old ID token anybody
 * could log its user out again and again.
 */
export async function isMeant(
  { db, clock }: Pick<Context, 'db' | 'clock'>,
  { sub, sessionId }: IdTokenHint,
  signIn: Pick<SignIn, 'id' | 'user_id'>,
): Promise<boolean> {
  if (sub !== formatUuid(signIn.user_id)) return false
  const origin = await findSignInOfSession(db, sessionId)
  if (origin) return origin.id.equals(signIn.id)
  const session = await findSession(db, sessionId)
  return session?.revoked_at === null && session.isOfThisEpoch && session.expires_at > clock.now()
}

/**
 * Logs out: ends the sign-ins that the user has in the browser and all sessions that came from them, and the
 * session that the hint names, which is its client's own to end, even if it was to outlive the sign-in. One
 * that is named without proof ends where it is of the user who logs out.
 */
export async function logOut(ctx: Context, { request, signIn, caller }: LogOut): Promise<void> {
  const { hint, hintedSession, clientId } = request
  // A hint does not tell who has sent it.
  const by = signIn ? byUser(ctx, signIn.user_id, caller) : byNobody(ctx, caller)
  if (signIn) await endSignIn(by, signIn, 'log-out')
  const session = hint ? await findSession(ctx.db, hint.sessionId) : undefined
  if (session?.user_id) await endSession(by, session, { reason: 'log-out' })
  const named = hintedSession && signIn ? await findSession(ctx.db, hintedSession) : undefined
  const isOwn = named?.user_id && signIn && named.user_id.equals(signIn.user_id)
  if (isOwn && (clientId === null || clientId === named.client_id))
    await endSession(by, named, { reason: 'log-out' })
}

export interface LogOut {
  readonly request: LogOutRequest
  /** Who is logged in in the browser, or was until a backup was restored. */
  readonly signIn: Pick<SignIn, 'id' | 'user_id' | 'user_epoch' | 'browser'> | undefined
  readonly caller: RequestOrigin
}
