import type { Kysely } from 'kysely'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .alterTable('resources')
    .addColumn('is_open', 'integer', c => c.notNull().defaultTo(0))
    .execute()
  await db.schema
    .alterTable('clients')
    .addColumn('made_by', 'text', c => c.notNull().defaultTo('administrator'))
    .execute()
  await db.schema.alterTable('clients').addColumn('claimed_name', 'text').execute()
}
