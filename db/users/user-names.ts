import { randomBytes } from 'node:crypto'
import type { Kysely, Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { Tables, UserNameTable, UserTable } from '../schema.ts'
import { comparedNamesOf, type ComparedName } from './compared-name.ts'

/** A name is another user's. */
export class NameTakenError extends Error {
  override readonly name = 'NameTakenError'
}

/**
 * The id of the user who has a name, as it was entered and as names are compared. An older program beside
 * this one adds users of whom `user_names` does not know: they are found by exactly their user name, and
 * before others who have it, so that they stay who they are.
 */
export function idOfName(sql: Kysely<Tables>, entered: string, compared: string) {
  return sql
    .selectFrom('users')
    .select('users.id')
    .where(({ eb, or, selectFrom }) =>
      or([
        eb('users.username', '=', entered),
        eb('users.id', '=', selectFrom('user_names').select('user_id').where('name', '=', compared)),
      ]),
    )
    .orderBy(({ eb }) => eb.case().when('users.username', '=', entered).then(0).else(1).end())
    .limit(1)
}

/**
 * Gives a user the names that follow from its row, and no others. Throws `NameTakenError` when one is another
 * user's: the transaction must end with that.
 */
export async function keepNames(
  transaction: Transaction<Tables>,
  user: Pick<UserTable, 'id' | 'username' | 'claims'>,
): Promise<void> {
  const names = comparedNamesOf(user)
  await transaction
    .deleteFrom('user_names')
    .where(({ and, or, eb, not, exists, selectFrom }) =>
      or([
        eb('user_id', '=', user.id),
        // An older program deletes a user, and leaves the names.
        and([
          eb(
            'name',
            'in',
            names.map(({ name }) => name),
          ),
          not(exists(selectFrom('users').select('users.id').whereRef('users.id', '=', 'user_names.user_id'))),
        ]),
      ]),
    )
    .execute()
  const { numInsertedOrUpdatedRows } = await transaction
    .insertInto('user_names')
    .values(nameRowsOf(user))
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirstOrThrow()
  if (Number(numInsertedOrUpdatedRows) < names.length) throw new NameTakenError()
}

/**
 * The rows of a user's names. The id of a mail address begins as the user's does, with its time: the rows of
 * many users are added where those of the last ones are.
 */
export function nameRowsOf(user: Pick<UserTable, 'id' | 'username' | 'claims'>): readonly UserNameTable[] {
  return comparedNamesOf(user).map(({ name, kind }) => ({
    id: kind === 'username' ? user.id : Buffer.concat([user.id.subarray(0, 6), randomBytes(10)]),
    name,
    user_id: user.id,
    kind,
  }))
}

/** In the transaction that deletes the user: others may have them now. */
export async function forgetNames(transaction: Kysely<Tables>, userId: Buffer): Promise<void> {
  await transaction.deleteFrom('user_names').where('user_id', '=', userId).execute()
}

/** Before names are compared: the id of the user who was called exactly so; undefined for none. */
export async function renameRow(
  transaction: Transaction<Tables>,
  from: string,
  to: string,
): Promise<Buffer | 'taken' | undefined> {
  const other = await transaction
    .selectFrom('users')
    .select('id')
    .where('username', '=', to)
    .executeTakeFirst()
  if (other) return 'taken'
  const renamed = await transaction
    .updateTable('users')
    .set({ username: to })
    .where('username', '=', from)
    .returning('id')
    .executeTakeFirst()
  return renamed?.id
}

/** Before names are compared: the mail address of the user who is called exactly so is verified no more. */
export async function unverifyMailRow(
  transaction: Transaction<Tables>,
  username: string,
): Promise<Buffer | undefined> {
  const user = await transaction
    .selectFrom('users')
    .select(['id', 'claims'])
    .where('username', '=', username)
    .executeTakeFirst()
  if (!user) return undefined
  const { email_verified: _, ...claims } = JSON.parse(user.claims) as Record<string, unknown>
  await transaction
    .updateTable('users')
    .set({ claims: JSON.stringify(claims) })
    .where('id', '=', user.id)
    .execute()
  return user.id
}

export type UnnamedUser = Pick<UserTable, 'id' | 'username'>

const usersAtOnce = 1000

/** The names that all users have, by their rows, in the order of the user names, read page by page. */
export async function* listNames({
  sql,
}: Database): AsyncGenerator<ComparedName & Pick<UserTable, 'username'>> {
  for (let after = ''; ;) {
    const page = await sql
      .selectFrom('users')
      .select(['username', 'claims'])
      .where('username', '>', after)
      .orderBy('username')
      .limit(usersAtOnce)
      .execute()
    for (const user of page) {
      for (const name of comparedNamesOf(user)) yield { ...name, username: user.username }
    }
    const last = page.at(-1)
    if (!last || page.length < usersAtOnce) return
    after = last.username
  }
}

/** Users of whose user name the table does not know, read page by page. */
export async function* listUnnamed({ sql }: Database): AsyncGenerator<UnnamedUser> {
  for (let after: Buffer = Buffer.alloc(16); ;) {
    const page = await sql
      .selectFrom('users')
      .leftJoin('user_names', join =>
        join.onRef('user_names.user_id', '=', 'users.id').on('user_names.kind', '=', 'username'),
      )
      .select(['users.id', 'users.username'])
      .where('user_names.id', 'is', null)
      .where('users.id', '>', after)
      .orderBy('users.id')
      .limit(usersAtOnce)
      .execute()
    yield* page
    const last = page.at(-1)
    if (!last || page.length < usersAtOnce) return
    after = last.id
  }
}

/** Gives a user the names that follow from its row; false when there is no such user, or one is another's. */
export async function nameUser({ transact }: Database, id: Buffer): Promise<boolean> {
  const named = transact(async transaction => {
    const user = await transaction
      .selectFrom('users')
      .select(['id', 'username', 'claims'])
      .where('id', '=', id)
      .executeTakeFirst()
    if (user) await keepNames(transaction, user)
    return user !== undefined
  })
  return unlessTaken(named)
}

/** False where a name is another user's. */
export async function unlessTaken(work: Promise<boolean>): Promise<boolean> {
  try {
    return await work
  } catch (error) {
    if (error instanceof NameTakenError) return false
    throw error
  }
}
