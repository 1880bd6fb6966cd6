import type { Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { bytes }: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('idempotency_keys')
    .addColumn('id', bytes, c => c.primaryKey().notNull())
    .addColumn('caller', 'text', c => c.notNull())
    .addColumn('status', 'integer')
    .addColumn('sealed', bytes, c => c.notNull())
    .addColumn('root_key_id', 'text', c => c.notNull())
    .addColumn('leased_until', 'bigint', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .execute()
  await db.schema.createIndex('idempotency_keys_by_age').on('idempotency_keys').column('created_at').execute()
}
