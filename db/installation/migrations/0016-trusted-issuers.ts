import type { Kysely } from 'kysely'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('trusted_issuers')
    .addColumn('issuer', 'text', c => c.primaryKey().notNull())
    .addColumn('audience', 'text')
    .addColumn('jwks', 'text')
    .addColumn('jwks_uri', 'text')
    .addColumn('life_max_seconds', 'integer')
    .addColumn('is_reusable', 'integer', c => c.notNull())
    .addColumn('subjects', 'text', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .execute()
}
