import type { Kysely } from 'kysely'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('own_claims')
    .addColumn('name', 'text', c => c.primaryKey().notNull())
    .addColumn('kind', 'text', c => c.notNull())
    .addColumn('source', 'text', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .execute()
}
