import { sql as fragment, type Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { forgetFactorsOfUser } from '../factors/totps.ts'
import { keptQuery } from '../kept-query.ts'
import type { Tables, UserTable } from '../schema.ts'
import type { End, ToldEnd } from '../sessions/end-reasons.ts'
import { insertEnding, type Ending, type EpochEnding } from '../sessions/endings.ts'
import type { Writer } from '../writer.ts'
import { comparedName } from './compared-name.ts'
import { forgetConsentsOfUser } from './consents.ts'
import { forgetMember, keepMembers } from './group-members.ts'
import { forgetKnownSources } from './known-sources.ts'
import { forgetSignInsOfUser, isKept, keepSignIn, type KeptSignIn } from './sign-ins.ts'
import { forgetNames, idOfName, keepNames, NameTakenError, unlessTaken } from './user-names.ts'

const userByName = keptQuery((sql, entered: string, compared: string) =>
  sql
    .selectFrom('users')
    .selectAll()
    .where('id', '=', idOfName(sql, entered, compared)),
)

/** The user of this user name, or of this mail address if it was verified, however it is spelled. */
export async function findUser(db: Database, name: string): Promise<UserTable | undefined> {
  // No user has such a name, and PostgreSQL could not even look for one.
  if (name.includes('\0')) return undefined
  const [user] = await userByName(db, name.normalize('NFC'), comparedName(name))
  return user
}

const userById = keptQuery(
  (sql, id: Buffer) => sql.selectFrom('users').selectAll().where('id', '=', id),
  ['uuid'],
)

export async function findUserById(db: Database, id: Buffer): Promise<UserTable | undefined> {
  const [user] = await userById(db, id)
  return user
}

/** A user without claims and groups, unless it has some. */
export type NewUserRow = Omit<UserTable, 'claims' | 'mail_epoch' | 'group_names'> &
  Partial<Pick<UserTable, 'claims' | 'group_names'>>

/**
 * Adds a user; false when the user name, the verified mail address or the id is taken: then nothing is added.
 * Throws `NoGroupError`.
 */
export async function insertUser({ transact, engine }: Writer, user: NewUserRow): Promise<boolean> {
  const row: UserTable = { claims: '{}', mail_epoch: 0, group_names: '', ...user }
  const inserted = transact(async transaction => {
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('users')
      .values(row)
      .onConflict(conflict => conflict.doNothing())
      .executeTakeFirstOrThrow()
    if (numInsertedOrUpdatedRows !== 1n) return false
    await keepNames(transaction, row)
    await keepMembers(transaction, engine, [row])
    return true
  })
  return unlessTaken(inserted)
}

/**
 * Sets a new password and ends all of the user's sessions, by raising the epoch; undefined when there is no
 * such user, or it is not as it was `seen`, or the sign-in that is to go on has ended. No source is known any
 * more.
 */
export async function changePassword(
  db: Writer,
  id: Buffer,
  password: Pick<UserTable, 'password_hash' | 'root_key_id'>,
  now: number,
  { kept, seen }: { readonly kept?: KeptSignIn | undefined; readonly seen?: SeenOfUser | undefined } = {},
): Promise<EpochEnding | undefined> {
  return endUser(db, id, password, { reason: 'password changed', now }, { kept, seen })
}

/**
 * Replaces the hash of the same password (newer parameters, another root key), if it is still the one that
 * was verified.
 */
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

/**
 * Disables a user and ends all of its sessions, by raising the epoch; undefined when there is no such user,
 * or it is not as it was `seen`.
 */
export async function disableUser(
  db: Writer,
  id: Buffer,
  now: number,
  seen?: SeenOfUser,
): Promise<EpochEnding | undefined> {
  return endUser(db, id, { disabled_at: now }, { reason: 'user disabled', now }, { seen })
}

/**
 * Changes the roles, which the next tokens of all sessions have, the claims, and the names that follow from
 * them; false when there is no such user, or they are not as they were `before`. Throws `NameTakenError`, and
 * changes nothing, when the verified mail address or the new user name is another user's.
 */
export async function changeUser(
  { transact }: Writer,
  before: SeenUser,
  after: ChangedUser,
): Promise<boolean> {
  return transact(transaction => changeUserRow(transaction, before, after))
}

/** As it was read. */
export type SeenUser = Pick<UserTable, 'id' | 'username' | 'roles' | 'claims'> &
  Partial<Pick<UserTable, 'disabled_at'>>

/** What of a user is to be as it was read; nothing, unless told. */
export type SeenOfUser = Partial<
  Pick<UserTable, 'username' | 'roles' | 'group_names' | 'claims' | 'disabled_at'>
>

export type ChangedUser = Partial<Pick<UserTable, 'username' | 'roles' | 'claims'>>

/** The same as part of a transaction. */
export async function changeUserRow(
  transaction: Transaction<Tables>,
  before: SeenUser,
  after: ChangedUser,
): Promise<boolean> {
  const others =
    after.username !== undefined &&
    (await transaction
      .selectFrom('users')
      .select('id')
      .where('username', '=', after.username)
      .where('id', '!=', before.id)
      .executeTakeFirst())
  // An older program beside this one may have added it, without telling `user_names`.
  if (others) throw new NameTakenError()
  const changed = await transaction
    .updateTable('users')
    .set(after)
    .where('id', '=', before.id)
    .where('username', '=', before.username)
    .where('roles', '=', before.roles)
    .where('claims', '=', before.claims)
    .where(eb => eb.and(before.disabled_at === undefined ? {} : { disabled_at: before.disabled_at }))
    .returning(['id', 'username', 'claims'])
    .executeTakeFirst()
  if (!changed) return false
  await keepNames(transaction, changed)
  return true
}

/** Lets a disabled user log in again; false when there is no such user, or it is not as it was `seen`. */
export async function enableUser({ transact }: Writer, id: Buffer, seen: SeenOfUser = {}): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('users')
      .set({ disabled_at: null })
      .where('id', '=', id)
      .where(eb => eb.and(seen))
      .executeTakeFirstOrThrow()
    return numUpdatedRows === 1n
  })
}

/**
 * Ends all sessions of a user, by raising the epoch; undefined when there is no such user, or the sign-in
 * that is to go on has ended.
 */
export async function raiseUserEpoch(
  db: Writer,
  id: Buffer,
  end: End,
  kept?: KeptSignIn,
): Promise<EpochEnding | undefined> {
  return endUser(db, id, {}, end, { kept })
}

/** One statement ends the sessions; their rows are the work that it leaves over. */
async function endUser(
  { transact }: Writer,
  id: Buffer,
  changes: Partial<UserTable>,
  end: End,
  { kept, seen = {} }: { readonly kept?: KeptSignIn | undefined; readonly seen?: SeenOfUser | undefined },
): Promise<EpochEnding | undefined> {
  return transact(async transaction => {
    let query = transaction
      .updateTable('users')
      .set({ ...changes, epoch: fragment`epoch + 1` })
      .where('id', '=', id)
      .where(eb => eb.and(seen))
    if (kept) query = query.where(eb => isKept(eb, kept))
    const raised = await query.returning('epoch').executeTakeFirst()
    if (!raised) return undefined
    if (kept) await keepSignIn(transaction, kept, raised.epoch)
    if (changes.password_hash !== undefined) await forgetKnownSources(transaction, id)
    return { ...(await insertEnding(transaction, { user_id: id }, end)), ...raised }
  })
}

/**
 * Deletes a user; undefined when there is none, or it is not as it was `seen`. The sessions end with it:
 * nothing finds their epoch any more.
 */
export async function deleteUser(
  { transact }: Writer,
  id: Buffer,
  now: number,
  seen: SeenOfUser = {},
): Promise<EpochEnding | undefined> {
  return transact(async transaction => {
    const deleted = await transaction
      .deleteFrom('users')
      .where('id', '=', id)
      .where(eb => eb.and(seen))
      .returning(['id', 'epoch', 'group_names'])
      .executeTakeFirst()
    if (!deleted) return undefined
    await forgetMember(transaction, deleted)
    await forgetKnownSources(transaction, id)
    await forgetConsentsOfUser(transaction, id)
    await forgetSignInsOfUser(transaction, id)
    await forgetFactorsOfUser(transaction, id)
    await forgetNames(transaction, id)
    const end: End = { reason: 'user deleted', now }
    const ending = await insertEnding(transaction, { user_id: id }, end)
    return { ...ending, epoch: deleted.epoch + 1 }
  })
}

/**
 * Raises the epoch of a user of a database that has gone back in time to what it has been already, and
 * disables the user if told so; undefined when there is no such user, or its epoch is no older: then what was
 * logged is in the database.
 */
export async function raiseUserEpochTo(
  { transact }: Writer,
  id: Buffer,
  { epoch, isDisabled }: { readonly epoch: number; readonly isDisabled: boolean },
  end: ToldEnd,
): Promise<Ending | undefined> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('users')
      .set({ epoch, ...(isDisabled ? { disabled_at: end.now } : {}) })
      .where('id', '=', id)
      .where('epoch', '<', epoch)
      .executeTakeFirstOrThrow()
    return numUpdatedRows === 1n ? insertEnding(transaction, { user_id: id }, end) : undefined
  })
}
