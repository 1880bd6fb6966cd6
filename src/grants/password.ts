import { audited } from '../../db/audit.ts'
import { insertSession } from '../../db/sessions.ts'
import { requestEntry } from '../audit-trail.ts'
import { boundKey, spendProof } from '../clients/confirmation.ts'
import { unavailable } from '../errors.ts'
import { sourcesAfter, verifyLogIn } from '../log-ins/log-in.ts'
import { sealDeviceToken } from '../protocol/device-token.ts'
import { required } from '../protocol/form.ts'
import { sealRefreshToken } from '../protocol/refresh-token.ts'
import { formatUuid, hashSecret, newSessionSecret, newUuid } from '../protocol/secrets.ts'
import { idleSeconds } from '../sessions/refresh-policy.ts'
import { resourcesOf, targetOf } from '../sessions/target.ts'
import type { Grant } from './grant.ts'

/** RFC 6749 §4.3: starts a session. RFC 9700 §2.4 forbids this grant, so a client has it only if it was given it. */
export const password: Grant = async (ctx, client, form, caller, confirmation) => {
  const username = required(form, 'username').normalize('NFC')
  const secretWord = required(form, 'password')
  const resource = form.get('resource') ?? null
  const known = { client, resources: await resourcesOf(ctx, client) }
  const target = targetOf(ctx, known, form, { scope: client.scope, resource: null })

  const logIn = { username, password: secretWord, client, caller, deviceToken: form.get('device_token') }
  const user = await verifyLogIn(ctx, logIn)

  if (confirmation?.proof) await spendProof(ctx, confirmation.proof)
  const now = ctx.now()
  const secret = newSessionSecret()
  const absoluteExpiresAt = now + (client.refresh_absolute_seconds ?? ctx.config.refreshAbsoluteSeconds)
  const session = {
    id: newUuid(now),
    user_id: user.id,
    client_id: client.id,
    user_epoch: user.epoch,
    client_epoch: client.epoch,
    secret_hash: hashSecret(secret),
    scope: form.has('scope') ? target.scope : client.scope,
    resource,
    auth_time: now,
    amr: 'pwd',
    expires_at: Math.min(now + idleSeconds(ctx, client), absoluteExpiresAt),
    absolute_expires_at: absoluteExpiresAt,
    status_position: await ctx.nextStatusPosition(absoluteExpiresAt),
    last_address: caller.address,
    key_thumbprint: boundKey(client, confirmation),
  }
  const entry = requestEntry(client, caller, {
    at: now,
    event: 'log_in',
    userId: user.id,
    sessionId: session.id,
  })
  if (!(await insertSession(audited(ctx.db, entry), session, await sourcesAfter(ctx, logIn)))) {
    // The same request again meets the new password, or the disabled user, and gets its answer.
    throw unavailable("the user's or client's epoch was raised while the password was checked")
  }

  const mayRefresh = client.grant_types.split(' ').includes('refresh_token')
  const { currentId: rootKeyId, macKeyOf } = ctx.rootKeys
  return {
    target,
    subject: formatUuid(user.id),
    sessionId: session.id,
    authTime: now,
    amr: session.amr,
    roles: user.roles,
    statusPosition: session.status_position,
    expiresAt: session.expires_at,
    deviceToken: sealDeviceToken(ctx.rootKeys, user, { clientId: client.id, now }),
    ...(mayRefresh && {
      refresh: {
        token: sealRefreshToken(macKeyOf, { rootKeyId, sessionId: session.id, generation: 0, secret }),
        absoluteExpiresAt,
      },
    }),
  }
}
