import type { Context } from '../context.ts'
import { endSessionsOfUser } from '../endings/end.ts'
import { hashSecret, newSessionSecret } from '../protocol/secrets.ts'
import { cookieOf } from '../sessions/sign-in.ts'
import { byOwner } from '../factors/owner.ts'
import type { Owner } from './owner.ts'

export interface ChangedPassword {
  /** The text of the cookie that the present browser gets instead of the one before. */
  readonly cookie: string
  /** As it is from now on. */
  readonly user: Owner['user']
}

/**
 * Sets a new password, which is fit to be one, and ends everything that was begun with the old one, but for
 * the present sign-in, which gets another secret. Undefined where that has ended since, as by another change
 * of the password.
 */
export async function changeOwnPassword(
  ctx: Context,
  owner: Owner,
  newPassword: string,
): Promise<ChangedPassword | undefined> {
  const { user, signIn, caller } = owner
  const password = await ctx.users.passwords.hash(newPassword, caller.source)
  const secret = newSessionSecret()
  const kept = { ...signIn, newSecretHash: hashSecret(secret), withSessions: false }
  const by = byOwner(ctx, owner, { kind: 'password_changed' })
  const ended = await endSessionsOfUser(by, user.id, { reason: 'password changed', password, kept })
  if (!ended) return undefined
  const changed = { ...user, ...password, epoch: user.epoch + 1 }
  return { cookie: cookieOf(ctx, signIn.id, secret), user: changed }
}
