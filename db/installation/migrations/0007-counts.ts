import type { Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { bytes }: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('counts')
    .addColumn('seconds', 'integer', c => c.notNull())
    .addColumn('at', 'bigint', c => c.notNull())
    .addColumn('id', bytes, c => c.notNull())
    .addColumn('counted', 'text', c => c.notNull())
    .addPrimaryKeyConstraint('counts_by_time', ['seconds', 'at', 'id'])
    .execute()
  await db.schema
    .alterTable('sweeper')
    .addColumn('living', 'bigint', c => c.notNull().defaultTo(0))
    .execute()
}
