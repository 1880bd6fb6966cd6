import { sql as fragment } from 'kysely'
import type { Database, UserTable } from './database.ts'

export async function findUser({ sql }: Database, username: string): Promise<UserTable | undefined> {
  return sql.selectFrom('users').selectAll().where('username', '=', username).executeTakeFirst()
}

export async function findUserById({ sql }: Database, id: Buffer): Promise<UserTable | undefined> {
  return sql.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst()
}

/** Users in the order of their names, after `after`. */
export async function listUsers({ sql }: Database, { after = '', limit }: { after?: string; limit: number }) {
  return sql
    .selectFrom('users')
    .select(['id', 'username', 'roles', 'created_at', 'disabled_at'])
    .where('username', '>', after)
    .orderBy('username')
    .limit(limit)
    .execute()
}

/** Adds a user; false when the name is taken. */
export async function insertUser({ sql }: Database, user: UserTable): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await sql
    .insertInto('users')
    .values(user)
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

/** Sets a new password and ends all of the user's sessions, by raising the epoch; false when there is no such user. */
export async function changePassword(
  { sql }: Database,
  id: Buffer,
  password: Pick<UserTable, 'password_hash' | 'root_key_id'>,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('users')
    .set({ ...password, epoch: fragment`epoch + 1` })
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Replaces the hash of the same password (newer parameters, another root key), if it is still the one that was verified. */
export async function rehashPassword(
  { sql }: Database,
  user: Pick<UserTable, 'id' | 'password_hash'>,
  password: Pick<UserTable, 'password_hash' | 'root_key_id'>,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('users')
    .set(password)
    .where('id', '=', user.id)
    .where('password_hash', '=', user.password_hash)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Disables a user or enables it again (`disabledAt` null). Disabling raises the epoch, which ends the user's sessions. */
export async function disableUser(
  { sql }: Database,
  id: Buffer,
  disabledAt: number | null,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('users')
    .set(
      disabledAt === null ? { disabled_at: null } : { disabled_at: disabledAt, epoch: fragment`epoch + 1` },
    )
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Ends all sessions of a user in one statement; false when there is no such user. */
export async function raiseUserEpoch({ sql }: Database, id: Buffer): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('users')
    .set({ epoch: fragment`epoch + 1` })
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Deletes a user; false when there is none. The sessions end with it: nothing finds their epoch any more. */
export async function deleteUser({ sql }: Database, id: Buffer): Promise<boolean> {
  const { numDeletedRows } = await sql.deleteFrom('users').where('id', '=', id).executeTakeFirstOrThrow()
  return numDeletedRows === 1n
}
