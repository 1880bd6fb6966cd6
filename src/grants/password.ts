import { floorOf } from '../authorization/look.ts'
import { spendProof } from '../clients/confirmation.ts'
import { OAuthError, unavailable } from '../errors.ts'
import { findFactors, hasSecondFactor } from '../factors/factors.ts'
import { mailUnlessMore } from '../factors/half-log-in.ts'
import { newDeviceToken, sourcesAfter, verifyLogIn, type LogIn } from '../factors/log-in.ts'
import { requireParameter } from '../protocol/form.ts'
import { startSession } from '../sessions/start.ts'
import { resourcesOf, targetOf } from '../sessions/target.ts'
import type { Grant } from './grant.ts'

/**
 * RFC 6749 §4.3: starts a session. RFC 9700 §2.4 forbids this grant, so a client has it only if it was given
 * it.
 */
export const password: Grant = {
  rank: 'log_in',
  decide: async (ctx, { client, form, caller, confirmation }) => {
    const username = requireParameter(form, 'username').normalize('NFC')
    const logIn = { username, password: requireParameter(form, 'password'), client, caller }
    const resources = await resourcesOf(ctx, client)
    const target = targetOf(ctx, { client, resources }, form, { scope: client.scope, resource: null })

    const attempt: LogIn = { ...logIn, place: 'client', deviceToken: form.get('device_token') }
    const user = await verifyLogIn(ctx, attempt)
    const floor = await floorOf(ctx, client, user)
    // One factor is not enough for a user who has, or needs, two.
    const hasMore = hasSecondFactor(await findFactors(ctx, user.id))
    if (hasMore) await mailUnlessMore(ctx, user, attempt)
    if (floor !== 'pwd' || hasMore)
      throw new OAuthError('invalid_grant', 'a second factor is needed: log in by an authorization code')
    if (confirmation?.proof) await spendProof(ctx, confirmation.proof)

    const granted = await startSession(ctx, {
      client,
      user,
      caller,
      confirmation,
      authorization: {
        scope: form.has('scope') ? target.scope : client.scope,
        resource: form.get('resource') ?? null,
      },
      target,
      amr: 'pwd',
      knownSources: await sourcesAfter(ctx, attempt),
    })
    // The same request again meets the new password, or the disabled user, and gets its answer.
    if (!granted) throw unavailable("the user's or client's epoch was raised while the password was checked")
    return { ...granted, deviceToken: newDeviceToken(ctx, attempt, user) }
  },
}
