import type { Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { uuid, bytes }: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('registration_tokens')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('name', 'text')
    .addColumn('clients_max', 'integer', c => c.notNull())
    .addColumn('clients_made', 'integer', c => c.notNull())
    .addColumn('expires_at', 'bigint', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .execute()
  await db.schema.alterTable('clients').addColumn('registration_hash', bytes).execute()
}
