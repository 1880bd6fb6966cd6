import { sql, type ColumnDataType, type Expression, type Kysely, type Transaction } from 'kysely'
import type { Database } from './database.ts'
import * as start from './migrations/0001-start.ts'

/** Column types that the two engines spell differently. */
export interface ColumnTypes {
  readonly engine: 'sqlite' | 'postgres'
  readonly uuid: ColumnDataType | Expression<unknown>
  readonly bytes: ColumnDataType | Expression<unknown>
  /** Numbers itself. */
  readonly serial: ColumnDataType | Expression<unknown>
}

export interface Migration {
  readonly up: (db: Kysely<any>, types: ColumnTypes) => Promise<void>
}

/** In the order in which they run. A name is never changed. */
const migrations: ReadonlyMap<string, Migration> = new Map([['0001-start', start]])

/**
 * The oldest program that may serve a database which this program has migrated, as the number of migrations
 * that it knows. Raised by the release that removes what older programs still need.
 */
const oldestProgram = 1

const columnTypes: Readonly<Record<Database['engine'], ColumnTypes>> = {
  sqlite: { engine: 'sqlite', uuid: 'blob', bytes: 'blob', serial: 'integer' },
  postgres: {
    engine: 'postgres',
    uuid: 'uuid',
    bytes: 'bytea',
    serial: sql`bigint generated always as identity`,
  },
}

export interface SchemaStatus {
  readonly applied: readonly string[]
  readonly pending: readonly string[]
  /** Whether a newer program has made the database unfit for this one. */
  readonly isTooNew: boolean
}

/** What has been done to the database, and what is still to do. Changes nothing. */
export async function schemaStatus({ sql: db }: Database): Promise<SchemaStatus> {
  const tables = await db.introspection.getTables()
  if (!tables.some(table => table.name === 'migrations')) {
    return { applied: [], pending: [...migrations.keys()], isTooNew: false }
  }
  return statusOf(await history(db))
}

/**
 * Brings the schema up to date and returns the names of the migrations that ran, all in one transaction.
 * Of several processes that start at once, one migrates and the others wait for it.
 */
export async function migrate({ sql: db, engine }: Database, now: number): Promise<readonly string[]> {
  return db.transaction().execute(async transaction => {
    if (engine === 'postgres') await sql`select pg_advisory_xact_lock(6025346001)`.execute(transaction)
    await transaction.schema
      .createTable('migrations')
      .ifNotExists()
      .addColumn('name', 'text', c => c.primaryKey().notNull())
      .addColumn('applied_at', 'bigint', c => c.notNull())
      .addColumn('oldest_program', 'integer', c => c.notNull())
      .execute()
    const { pending, isTooNew } = statusOf(await history(transaction))
    if (isTooNew) return []
    for (const name of pending) {
      await migrations.get(name)?.up(transaction, columnTypes[engine])
      await (transaction as Transaction<any>)
        .insertInto('migrations')
        .values({ name, applied_at: now, oldest_program: oldestProgram })
        .execute()
    }
    return pending
  })
}

interface Applied {
  readonly name: string
  readonly oldest_program: number
}

function history(db: Kysely<any>): Promise<readonly Applied[]> {
  return db.selectFrom('migrations').select(['name', 'oldest_program']).orderBy('name').execute()
}

function statusOf(history: readonly Applied[]): SchemaStatus {
  const applied = history.map(row => row.name)
  return {
    applied,
    pending: [...migrations.keys()].filter(name => !applied.includes(name)),
    isTooNew: history.some(row => row.oldest_program > migrations.size),
  }
}
