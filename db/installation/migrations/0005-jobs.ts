import { sql, type Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { uuid }: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('jobs')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('act', 'text', c => c.notNull())
    .addColumn('choice', 'text', c => c.notNull())
    .addColumn('filter', 'text')
    .addColumn('ending_id', 'bigint')
    .addColumn('actor', 'text', c => c.notNull())
    .addColumn('address', 'text')
    .addColumn('request_id', 'text')
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('state', 'text', c => c.notNull())
    .addColumn('cursor', uuid)
    .addColumn('done', 'bigint', c => c.notNull())
    .addColumn('total', 'bigint')
    .addColumn('claimed_until', 'bigint', c => c.notNull())
    .addColumn('ended_at', 'bigint')
    .execute()
  await db.schema
    .createIndex('jobs_under_way')
    .on('jobs')
    .column('id')
    .where(sql.ref('ended_at'), 'is', null)
    .execute()
}
