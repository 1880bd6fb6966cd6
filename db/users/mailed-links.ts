import { sql as fragment } from 'kysely'
import type { UserTable } from '../schema.ts'
import { insertEnding, type EpochEnding } from '../sessions/endings.ts'
import type { Writer } from '../writer.ts'
import { forgetKnownSources } from './known-sources.ts'
import { keepNames } from './user-names.ts'

/** The user as a link names it that was mailed: the epochs decide that it counts once. */
export type LinkedUser = Pick<UserTable, 'id' | 'epoch' | 'mail_epoch'>

/**
 * Sets the password of a user who has followed a link, and perhaps claims, and ends all sessions by raising
 * the epoch; undefined, and nothing is changed, when the link is good no more. No source is known any more.
 * Throws `NameTakenError` when the claims verify another user's address.
 */
export async function setPasswordByLink(
  { transact }: Writer,
  { user, claims }: { readonly user: LinkedUser; readonly claims?: string },
  password: Pick<UserTable, 'password_hash' | 'root_key_id'>,
  now: number,
): Promise<EpochEnding | undefined> {
  return transact(async transaction => {
    const raised = await transaction
      .updateTable('users')
      .set({ ...password, ...(claims !== undefined && { claims }), epoch: fragment`epoch + 1` })
      .where('id', '=', user.id)
      .where('epoch', '=', user.epoch)
      .where('mail_epoch', '=', user.mail_epoch)
      .where('disabled_at', 'is', null)
      .returning(['id', 'username', 'claims', 'epoch'])
      .executeTakeFirst()
    if (!raised) return undefined
    await forgetKnownSources(transaction, user.id)
    if (claims !== undefined) await keepNames(transaction, raised)
    const end = { reason: 'password changed', now } as const
    return { ...(await insertEnding(transaction, { user_id: user.id }, end)), epoch: raised.epoch }
  })
}

/**
 * Gives a user the mail address that a link has proved; false, and nothing is changed, when the link is good
 * no more, or the claims are not as they were seen. What was mailed before is good no more either. Throws
 * `NameTakenError` when it is another user's.
 */
export async function setMailByLink(
  { transact }: Writer,
  user: LinkedUser & Pick<UserTable, 'claims'>,
  claims: string,
): Promise<boolean> {
  return transact(async transaction => {
    const changed = await transaction
      .updateTable('users')
      .set({ claims, mail_epoch: fragment`mail_epoch + 1` })
      .where('id', '=', user.id)
      .where('epoch', '=', user.epoch)
      .where('mail_epoch', '=', user.mail_epoch)
      .where('claims', '=', user.claims)
      .where('disabled_at', 'is', null)
      .returning(['id', 'username', 'claims'])
      .executeTakeFirst()
    if (changed) await keepNames(transaction, changed)
    return changed !== undefined
  })
}
