import { insertLogIn, type NewLogIn } from '../../db/sessions/sessions.ts'
import { audited } from '../../db/writer.ts'
import { boundKey, spendProof } from '../clients/confirmation.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { required } from '../protocol/form.ts'
import { sealRefreshToken } from '../protocol/refresh-token.ts'
import { formatUuid, hashSecret, newSessionSecret, newUuid } from '../protocol/secrets.ts'
import { requestEntry } from '../record/audit-trail.ts'
import { logRevocation } from '../record/log-revocation.ts'
import { idleSeconds } from '../sessions/refresh-policy.ts'
import { resourcesOf, targetOf } from '../sessions/target.ts'
import { sealDeviceToken } from '../users/device-token.ts'
import { sourcesAfter, verifyLogIn, type LogIn } from '../users/log-in.ts'
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
  const boundTo = boundKey(client, confirmation)
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
    key_thumbprint: boundTo,
  }
  if (!(await start(ctx, logIn, session))) {
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
        token: sealRefreshToken(macKeyOf, {
          rootKeyId,
          sessionId: session.id,
          generation: 0,
          secret,
          boundTo,
        }),
        absoluteExpiresAt,
      },
    }),
  }
}

/** What ends a session for the sake of a newer one. */
const reason = 'limit'

/** Stores the session, in place of the one unused for longest where the user has too many; false if the log-in came too late. */
async function start(ctx: Context, logIn: LogIn, session: NewLogIn['session']): Promise<boolean> {
  const { client, caller } = logIn
  const facts = { at: session.auth_time, userId: session.user_id }
  const entriesOf = (ended: unknown) => [
    requestEntry(client, caller, { ...facts, event: 'log_in', sessionId: session.id }),
    ...(ended as readonly Buffer[]).map(sessionId =>
      requestEntry(client, caller, { ...facts, event: 'session_revoked', sessionId, detail: { reason } }),
    ),
  ]
  const ended = await insertLogIn(audited(ctx.db, entriesOf), {
    session,
    knownSources: await sourcesAfter(ctx, logIn),
    bound: { sessionsMax: ctx.config.sessionsPerUser, reason },
  })
  if (!ended) return false
  ctx.counts.revocations.limit += ended.length
  const told = { at: facts.at, by: 'server', client_id: client.id, sub: formatUuid(session.user_id) }
  for (const sid of ended.map(formatUuid))
    logRevocation(ctx.log, { event: 'session_revoked', sid }, { reason, ...told })
  return true
}
