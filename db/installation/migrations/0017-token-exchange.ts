import type { Kysely } from 'kysely'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .alterTable('clients')
    .addColumn('may_impersonate', 'integer', c => c.notNull().defaultTo(0))
    .execute()
  await db.schema
    .createTable('exchangers')
    .addColumn('client_id', 'text', c => c.primaryKey().notNull())
    .execute()
}
