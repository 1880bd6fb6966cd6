import type { Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { uuid, bytes }: ColumnTypes): Promise<void> {
  await db.schema.alterTable('jobs').addColumn('refused', 'bigint').execute()
  await db.schema.alterTable('jobs').addColumn('problem', 'text').execute()
  await db.schema
    .createTable('job_pieces')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('job_id', uuid, c => c.notNull())
    .addColumn('kind', 'text', c => c.notNull())
    .addColumn('number', 'bigint', c => c.notNull())
    .addColumn('root_key_id', 'text', c => c.notNull())
    .addColumn('sealed', bytes, c => c.notNull())
    .execute()
  await db.schema
    .createIndex('job_pieces_in_order')
    .unique()
    .on('job_pieces')
    .columns(['job_id', 'kind', 'number'])
    .execute()
}
