import { insertSession } from '../../db/sessions.ts'
import { findUser, rehashPassword } from '../../db/users.ts'
import { OAuthError, unavailable } from '../errors.ts'
import { required } from '../protocol/form.ts'
import { sealRefreshToken } from '../protocol/refresh-token.ts'
import { formatUuid, hashSecret, newSessionSecret, newUuid } from '../protocol/secrets.ts'
import { targetOf } from '../target.ts'
import type { Grant } from './grant.ts'
import { idleSeconds } from './refresh-token.ts'

/** RFC 6749 §4.3: starts a session. RFC 9700 §2.4 forbids this grant, so a client has it only if it was given it. */
export const password: Grant = async (ctx, client, form) => {
  const username = required(form, 'username').normalize('NFC')
  const secretWord = required(form, 'password')
  const resource = form.get('resource') ?? null
  const target = await targetOf(ctx, client, form, { scope: client.scope, resource: null })

  const user = await findUser(ctx.db, username)
  const known = user?.disabled_at === null ? user : undefined
  // Unknown and disabled users cost the same time as others.
  const isRight = await ctx.passwords.verify(known, secretWord)
  if (!known || !isRight) {
    throw new OAuthError('invalid_grant', 'the user name or the password is wrong', {
      cause: !user ? 'there is no such user' : known ? 'the password is wrong' : 'the user is disabled',
    })
  }
  // Not while others wait: the next log-in does as well.
  if (ctx.passwords.needsRehash(known) && ctx.passwords.load().waiting === 0) {
    await rehashPassword(ctx.db, known, await ctx.passwords.hash(secretWord))
  }

  const now = ctx.now()
  const secret = newSessionSecret()
  const absoluteExpiresAt = now + (client.refresh_absolute_seconds ?? ctx.config.refreshAbsoluteSeconds)
  const session = {
    id: newUuid(now),
    user_id: known.id,
    client_id: client.id,
    user_epoch: known.epoch,
    client_epoch: client.epoch,
    secret_hash: hashSecret(secret),
    scope: form.has('scope') ? target.scope : client.scope,
    resource,
    auth_time: now,
    amr: 'pwd',
    expires_at: Math.min(now + idleSeconds(ctx, client), absoluteExpiresAt),
    absolute_expires_at: absoluteExpiresAt,
    status_position: await ctx.nextStatusPosition(absoluteExpiresAt),
  }
  if (!(await insertSession(ctx.db, session))) {
    // The same request again meets the new password, or the disabled user, and gets its answer.
    throw unavailable("the user's or client's epoch was raised while the password was checked")
  }

  const mayRefresh = client.grant_types.split(' ').includes('refresh_token')
  const { currentId: rootKeyId, macKeyOf } = ctx.rootKeys
  return {
    target,
    subject: formatUuid(known.id),
    sessionId: session.id,
    authTime: now,
    amr: session.amr,
    roles: known.roles,
    statusPosition: session.status_position,
    ...(mayRefresh && {
      refresh: {
        token: sealRefreshToken(macKeyOf, { rootKeyId, sessionId: session.id, generation: 0, secret }),
        expiresAt: session.expires_at,
        absoluteExpiresAt,
      },
    }),
  }
}
