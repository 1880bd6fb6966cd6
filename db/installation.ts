import { sql as fragment, type Kysely } from 'kysely'
import type { Database, InstallationTable, Tables } from './database.ts'

export type NewInstallation = Omit<InstallationTable, 'id' | 'revision' | 'moved_at'>

/** What this database is; undefined when it has just been made. */
export async function findInstallation({ sql }: Database): Promise<InstallationTable | undefined> {
  return sql.selectFrom('installation').selectAll().executeTakeFirst()
}

/** Says what a new database is; false when another process was first. */
export async function insertInstallation({ sql }: Database, installation: NewInstallation): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await sql
    .insertInto('installation')
    .values({ id: 1, revision: 0, moved_at: null, ...installation })
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

/** The number that every change which running servers must hear of has raised. */
export async function readRevision({ sql }: Database): Promise<number> {
  const { revision } = await sql.selectFrom('installation').select('revision').executeTakeFirstOrThrow()
  return revision
}

/** Tells running servers of a change; in the same transaction as the change. */
export async function raiseRevision(transaction: Kysely<Tables>): Promise<void> {
  await transaction
    .updateTable('installation')
    .set({ revision: fragment`revision + 1` })
    .execute()
}

/** How many there are of what people make. */
export async function countRows({ sql }: Database) {
  const count = (table: 'users' | 'clients' | 'resources') =>
    sql.selectFrom(table).select(sql.fn.countAll<number>().as('count')).$asScalar().$notNull()
  return sql
    .selectNoFrom([
      count('users').as('users'),
      count('clients').as('clients'),
      count('resources').as('resources'),
    ])
    .executeTakeFirstOrThrow()
}

/** Writes, and undoes it; throws when the database cannot be written. */
export async function tryWriting({ transact }: Database): Promise<void> {
  const undone = new Error('undone')
  try {
    await transact(async transaction => {
      await raiseRevision(transaction)
      throw undone
    })
  } catch (error) {
    if (error !== undone) throw error
  }
}
