import { findSession, type Session } from '../../db/sessions/sessions.ts'
import { findUserById } from '../../db/users/users.ts'
import type { AuthorizationCode } from '../authorization/code.ts'
import { spendProof, type Confirmation } from '../clients/confirmation.ts'
import { isFapi } from '../clients/fapi.ts'
import type { Context } from '../context.ts'
import { endReplayedSession } from '../endings/end.ts'
import { OAuthError } from '../errors.ts'
import { detailsColumn } from '../protocol/authorization-details.ts'
import type { Form } from '../protocol/form.ts'
import { byClient } from '../record/record.ts'
import { keptClaims } from '../sessions/claims.ts'
import { userOf, type Granted } from '../sessions/granted.ts'
import { startSession } from '../sessions/start.ts'
import { resourcesOf, targetOf } from '../sessions/target.ts'
import type { TokenRequest } from './grant.ts'

/*
 * What a person has approved becomes a session: by an authorization code, or by a device code. The row of
 * that session decides that this happens once.
 */

/** Says that it is good no more. One public text for all cases; the log has the cause. */
export type Refuse = (cause: string) => OAuthError

/**
 * For so many seconds the client itself may present its code again, to no avail and without harm: a browser
 * may call a loopback address twice, and a device ask twice. No client of FAPI 2.0 has such an address, so
 * there it is a replay.
 */
const repeatSeconds = 5

/** Starts the session. Does NOT check who presents the code, nor its age. Throws what `refuse` makes. */
export async function redeem(
  ctx: Context,
  { client, form, caller, confirmation }: TokenRequest,
  code: AuthorizationCode,
  refuse: Refuse,
): Promise<Granted> {
  const { scope, resource, signIn, consentId, nonce } = code
  const authorization = { scope, resource, authorization_details: detailsColumn(code.details) }
  if (signIn && signIn.expiresAt <= ctx.clock.now()) throw refuse('its sign-in has expired')
  const user = await findUserById(ctx.db, code.userId)
  if (!user) throw refuse('its user was deleted')
  const resources = await resourcesOf(ctx, client)
  // A scope is no parameter of this request: the code has it already.
  const target = targetOf(ctx, { client, resources }, withoutScope(form), authorization)
  if (confirmation?.proof) await spendProof(ctx, confirmation.proof)

  const granted = await startSession(ctx, {
    client: { ...client, epoch: code.clientEpoch },
    user: { ...user, epoch: code.userEpoch },
    caller,
    confirmation,
    authorization,
    target,
    amr: code.amr,
    knownSources: undefined,
    promise: {
      sessionId: code.sessionId,
      authTime: code.authTime,
      signIn,
      outlivedSignInId: code.outlivedSignInId,
      consentId,
      nonce,
      claims: keptClaims(code.claims),
    },
  })
  if (granted) return granted
  throw refuse(
    "the user's or client's epoch was raised since the log-in, its sign-in has ended, or its consent was withdrawn",
  )
}

function withoutScope(form: Form): Form {
  return new Map([...form].filter(([name]) => name === 'resource' || name === 'authorization_details'))
}

/** The session that was promised, and to whom. */
export interface Promised {
  readonly sessionId: Buffer
  readonly clientId: string
  /** Whether the sender has shown that it has made the request. */
  readonly isProven: boolean
}

/**
 * Refuses what has become a session, and ends that, unless its own client has only sent it twice (RFC 6749
 * §4.1.2). Where there is no session yet, does nothing.
 */
export async function refuseSecondUse(
  ctx: Context,
  { client, caller }: TokenRequest,
  { sessionId, clientId, isProven }: Promised,
  refuse: Refuse,
): Promise<void> {
  const session = await findSession(ctx.db, sessionId)
  if (!session) return
  const isOwn = client.id === clientId && !isFapi(client) && isProven
  if (!isOwn || !isJustStarted(ctx, session)) {
    await endReplayedSession(byClient(ctx, client.id, caller), {
      userId: userOf(session),
      clientId: session.client_id,
      sessionId: session.id,
      detail: { presented_by: client.id, last_address: session.last_address },
    })
  }
  throw refuse('it was used before')
}

function isJustStarted(
  { clock }: Pick<Context, 'clock'>,
  { started_at: startedAt }: Pick<Session, 'started_at'>,
): boolean {
  return startedAt !== null && Math.abs(clock.now() - startedAt) <= repeatSeconds
}

/** Why a request is refused; where the database has failed, it may be that nothing is wrong with it. */
export function refusalOf(error: unknown): OAuthError {
  if (error instanceof OAuthError) return error
  throw error
}

/** Whether the DPoP key was shown that something is bound to (RFC 9449 §10); null for none. */
export function isKeyShown(jkt: string | null, confirmation: Confirmation | undefined): boolean {
  if (jkt === null) return true
  return confirmation?.proof !== undefined && confirmation.thumbprint.toString('base64url') === jkt
}
