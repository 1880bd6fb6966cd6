import { sql, type Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { engine, uuid }: ColumnTypes): Promise<void> {
  const index = db.schema
    .createTable('session_index')
    .addColumn('session_id', uuid, c => c.primaryKey().notNull())
    .addColumn('client_id', 'text', c => c.notNull())
    .addColumn('resource', 'text')
  await (engine === 'sqlite' ? index.modifyEnd(sql`without rowid`) : index).execute()
  await db.schema
    .createIndex('session_index_by_client')
    .on('session_index')
    .columns(['client_id', 'session_id'])
    .execute()
  // Each row is in one of these two.
  await db.schema
    .createIndex('session_index_by_resource')
    .on('session_index')
    .columns(['resource', 'session_id'])
    .where(sql.ref('resource'), 'is not', null)
    .execute()
  await db.schema
    .createIndex('session_index_of_any_resource')
    .on('session_index')
    .columns(['client_id', 'session_id'])
    .where(sql.ref('resource'), 'is', null)
    .execute()

  await db.schema
    .createTable('session_index_fill')
    .addColumn('id', 'integer', c => c.primaryKey().check(sql`id = 1`))
    .addColumn('filled_to', uuid)
    .addColumn('is_filled', 'integer', c => c.notNull())
    .execute()
  await db.insertInto('session_index_fill').values({ id: 1, is_filled: 0 }).execute()
}
