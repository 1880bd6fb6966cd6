import type { Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { uuid, bytes }: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('device_authorizations')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('client_id', 'text', c => c.notNull())
    .addColumn('client_made_at', 'bigint', c => c.notNull())
    .addColumn('secret_hash', bytes, c => c.notNull())
    .addColumn('user_code_hash', bytes, c => c.notNull())
    .addColumn('scope', 'text', c => c.notNull())
    .addColumn('resource', 'text')
    .addColumn('acr_values', 'text', c => c.notNull())
    .addColumn('dpop_jkt', 'text')
    .addColumn('address', 'text', c => c.notNull())
    .addColumn('source', 'text')
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('expires_at', 'bigint', c => c.notNull())
    .addColumn('interval_seconds', 'bigint', c => c.notNull())
    .addColumn('polled_at', 'bigint')
    .addColumn('decided_at', 'bigint')
    .addColumn('approval', 'text')
    .execute()
  const index = (name: string, columns: string[]) =>
    db.schema.createIndex(`device_authorizations_by_${name}`).on('device_authorizations').columns(columns)
  await index('user_code', ['user_code_hash']).unique().execute()
  await index('client', ['client_id', 'expires_at']).execute()
  await index('source', ['source', 'expires_at']).execute()
  await index('expiry', ['expires_at']).execute()
}
