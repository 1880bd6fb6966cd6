import type { Kysely } from 'kysely'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('imports')
    .addColumn('digest', 'text', c => c.primaryKey().notNull())
    .addColumn('lines', 'bigint', c => c.notNull())
    .addColumn('created', 'bigint', c => c.notNull())
    .addColumn('refused', 'bigint', c => c.notNull())
    .addColumn('began_at', 'bigint', c => c.notNull())
    .addColumn('ended_at', 'bigint')
    .execute()
}
