import type { Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { uuid, bytes }: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('disabled_users')
    .addColumn('user_id', uuid, c => c.primaryKey().notNull())
    .addColumn('audiences', 'text', c => c.notNull())
    .execute()
  await db.schema
    .createTable('streams')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('client_id', 'text', c => c.notNull())
    .addColumn('audience', 'text', c => c.notNull())
    .addColumn('method', 'text', c => c.notNull())
    .addColumn('endpoint_url', 'text')
    .addColumn('sealed_authorization', bytes)
    .addColumn('root_key_id', 'text')
    .addColumn('events_requested', 'text')
    .addColumn('status', 'text', c => c.notNull())
    .addColumn('status_reason', 'text')
    .addColumn('description', 'text')
    .addColumn('default_subjects', 'text', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('verified_at', 'bigint')
    .execute()
  await db.schema.createIndex('streams_by_client').on('streams').column('client_id').execute()
  await db.schema
    .createTable('stream_subjects')
    .addColumn('id', bytes, c => c.primaryKey().notNull())
    .execute()
}
