import { findSession, type Session } from '../../db/sessions/sessions.ts'
import { findUserById } from '../../db/users/users.ts'
import { codeSeconds, openCode, type AuthorizationCode } from '../authorization/code.ts'
import { spendProof, type Confirmation } from '../clients/confirmation.ts'
import { isFapi } from '../clients/fapi.ts'
import type { Context } from '../context.ts'
import { endReplayedSession } from '../endings/end.ts'
import { OAuthError } from '../errors.ts'
import { requireParameter, type Form } from '../protocol/form.ts'
import { isVerifierOf } from '../protocol/pkce.ts'
import { byClient } from '../record/record.ts'
import { keptClaims } from '../sessions/claims.ts'
import { userOf, type Granted } from '../sessions/granted.ts'
import { startSession } from '../sessions/start.ts'
import { resourcesOf, targetOf } from '../sessions/target.ts'
import type { Grant, TokenRequest } from './grant.ts'

/**
 * For so many seconds the client itself may present its code again, to no avail and without harm: a browser
 * may call a loopback address twice. No client of FAPI 2.0 has such an address, so there it is a replay.
 */
const repeatSeconds = 5

/**
 * RFC 6749 §4.1.3, with RFC 7636: starts the session that a code promises. The row of that session decides
 * that this happens once: nothing else is kept of a code. A second use is refused, and ends the session
 * (RFC 6749 §4.1.2).
 */
export const authorizationCode: Grant = {
  rank: 'other',
  decide: async (ctx, request) => {
    const code = await openCode(ctx, requireParameter(request.form, 'code'))
    if (!code) throw refusal('it is no code of this server')

    const granted = await redeem(ctx, request, code).catch(refusalOf)
    if (!(granted instanceof OAuthError)) return granted
    // Whatever else is wrong with the request: who presents a used code again is to have no use of it.
    await refuseSecondUse(ctx, request, code)
    throw granted
  },
}

/** Why a request is refused; where the database has failed, it may be that nothing is wrong with it. */
function refusalOf(error: unknown): OAuthError {
  if (error instanceof OAuthError) return error
  throw error
}

/** Refuses a code whose session is there, and ends it unless its own client has only sent it twice. */
async function refuseSecondUse(ctx: Context, request: TokenRequest, code: AuthorizationCode): Promise<void> {
  const session = await findSession(ctx.db, code.sessionId)
  if (!session) return
  if (!isRepeat(ctx, request, code, session)) {
    const { client, caller } = request
    await endReplayedSession(byClient(ctx, client.id, caller), {
      userId: userOf(session),
      clientId: session.client_id,
      sessionId: session.id,
      detail: { presented_by: client.id, last_address: session.last_address },
    })
  }
  throw refusal('it was used before')
}

function isRepeat(
  { clock }: Pick<Context, 'clock'>,
  { client, form }: TokenRequest,
  code: AuthorizationCode,
  { started_at: startedAt }: Pick<Session, 'started_at'>,
): boolean {
  if (client.id !== code.clientId || isFapi(client)) return false
  if (whyNotVerified(code, form) !== undefined) return false
  return startedAt !== null && Math.abs(clock.now() - startedAt) <= repeatSeconds
}

/**
 * All that a code is bound to, on one screen. Throws `invalid_grant`; `invalid_request` for a verifier of
 * which the authorization request knew nothing.
 */
function checkCode(
  code: AuthorizationCode,
  { client, form, confirmation }: Pick<TokenRequest, 'client' | 'form' | 'confirmation'>,
  now: number,
): void {
  if (client.id !== code.clientId) throw refusal("it is another client's")
  // A clock that was set back makes no code younger than it can be.
  if (Math.abs(now - code.madeAt) > codeSeconds) throw refusal('it has expired')
  if (code.codeChallenge === null && form.has('code_verifier')) {
    // RFC 9700 §4.8.2: somebody may have taken the challenge away.
    throw new OAuthError(
      'invalid_request',
      'there is a code_verifier, but the authorization request had no code_challenge',
    )
  }
  const reason = whyNotVerified(code, form)
  if (reason !== undefined) throw refusal(reason)
  if (!isRedirectUriRight(code, form)) throw refusal('the redirect_uri is not that of the request')
  if (code.dpopJkt !== null && !isKeyOf(code.dpopJkt, confirmation))
    throw refusal('it is bound to a DPoP key that was not shown')
}

/** Why the sender has not shown that it has made the request (RFC 7636 §4.6); undefined if it has. */
function whyNotVerified({ codeChallenge }: AuthorizationCode, form: Form): string | undefined {
  const verifier = form.get('code_verifier')
  if (codeChallenge === null) return verifier === undefined ? undefined : 'there is a code_verifier'
  if (verifier === undefined) return 'the code_verifier is missing'
  return isVerifierOf(verifier, codeChallenge) ? undefined : 'the code_verifier is another'
}

/**
 * RFC 6749 §4.1.3 demands it again where the request had it. OAuth 2.1 §10.2 does not, since PKCE says more:
 * so it may be left out where there was a challenge.
 */
function isRedirectUriRight(code: AuthorizationCode, form: Form): boolean {
  const redirectUri = form.get('redirect_uri')
  if (redirectUri !== undefined) return redirectUri === code.redirectUri
  return code.codeChallenge !== null || !code.isRedirectUriSent
}

/** RFC 9449 §10. */
function isKeyOf(jkt: string, confirmation: Confirmation | undefined): boolean {
  return confirmation?.proof !== undefined && confirmation.thumbprint.toString('base64url') === jkt
}

/** Starts the session. Throws `invalid_grant` when it cannot, or has started before. */
async function redeem(ctx: Context, request: TokenRequest, code: AuthorizationCode): Promise<Granted> {
  const { client, form, caller, confirmation } = request
  const { scope, resource, signIn, consentId, nonce } = code
  checkCode(code, request, ctx.clock.now())
  if (signIn && signIn.expiresAt <= ctx.clock.now()) throw refusal('its sign-in has expired')
  const user = await findUserById(ctx.db, code.userId)
  if (!user) throw refusal('its user was deleted')
  const resources = await resourcesOf(ctx, client)
  // A scope is no parameter of this request: the code has it already.
  const target = targetOf(ctx, { client, resources }, withoutScope(form), { scope, resource })
  if (confirmation?.proof) await spendProof(ctx, confirmation.proof)

  const granted = await startSession(ctx, {
    client: { ...client, epoch: code.clientEpoch },
    user: { ...user, epoch: code.userEpoch },
    caller,
    confirmation,
    authorization: { scope, resource },
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
  throw refusal(
    "the user's or client's epoch was raised since the log-in, its sign-in has ended, or its consent was withdrawn",
  )
}

function withoutScope(form: Form): Form {
  const resource = form.get('resource')
  return new Map(resource === undefined ? [] : [['resource', resource]])
}

/** One public text for all cases; the log has the cause. */
function refusal(cause: string): OAuthError {
  return new OAuthError(
    'invalid_grant',
    'the authorization code is not valid, has expired, or was used before: begin again',
    { cause },
  )
}
