import { codeSeconds, openCode, type AuthorizationCode } from '../authorization/code.ts'
import { OAuthError } from '../errors.ts'
import { requireParameter, type Form } from '../protocol/form.ts'
import { isVerifierOf } from '../protocol/pkce.ts'
import type { Grant, TokenRequest } from './grant.ts'
import { isKeyShown, redeem, refusalOf, refuseSecondUse } from './redeem.ts'

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

    const redeemed = async () => {
      checkCode(code, request, ctx.clock.now())
      return redeem(ctx, request, code, refusal)
    }
    const granted = await redeemed().catch(refusalOf)
    if (!(granted instanceof OAuthError)) return granted
    // Whatever else is wrong with the request: who presents a used code again is to have no use of it.
    const isProven = whyNotVerified(code, request.form) === undefined
    await refuseSecondUse(ctx, request, { ...code, isProven }, refusal)
    throw granted
  },
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
  if (!isKeyShown(code.dpopJkt, confirmation)) throw refusal('it is bound to a DPoP key that was not shown')
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

/** One public text for all cases; the log has the cause. */
function refusal(cause: string): OAuthError {
  return new OAuthError(
    'invalid_grant',
    'the authorization code is not valid, has expired, or was used before: begin again',
    { cause },
  )
}
