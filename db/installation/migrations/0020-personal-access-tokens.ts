import type { Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { uuid }: ColumnTypes): Promise<void> {
  await db.schema
    .alterTable('resources')
    .addColumn('personal_access_tokens', 'integer', c => c.notNull().defaultTo(0))
    .execute()
  await db.schema
    .createTable('personal_access_tokens')
    .addColumn('session_id', uuid, c => c.primaryKey().notNull())
    .addColumn('user_id', uuid, c => c.notNull())
    .addColumn('name', 'text', c => c.notNull())
    .execute()
  await db.schema
    .createIndex('personal_access_tokens_by_user')
    .on('personal_access_tokens')
    .column('user_id')
    .execute()
}
