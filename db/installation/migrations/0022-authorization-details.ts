import type { Kysely } from 'kysely'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .alterTable('resources')
    .addColumn('authorization_details_types', 'text', c => c.notNull().defaultTo('{}'))
    .execute()
  await db.schema
    .alterTable('clients')
    .addColumn('authorization_details_types', 'text', c => c.notNull().defaultTo(''))
    .execute()
  for (const table of ['sessions', 'consents', 'device_authorizations'])
    await db.schema.alterTable(table).addColumn('authorization_details', 'text').execute()
}
