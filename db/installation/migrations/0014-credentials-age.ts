import type { Kysely } from 'kysely'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema.alterTable('clients').addColumn('credentials_set_at', 'bigint').execute()
}
