import type { Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { uuid, bytes }: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('groups')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('name', 'text', c => c.notNull().unique())
    .addColumn('roles', 'text', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('deleted_at', 'bigint')
    .execute()
  await db.schema
    .createTable('group_members')
    .addColumn('id', bytes, c => c.primaryKey().notNull())
    .addColumn('since', 'bigint', c => c.notNull())
    .execute()
  await db.schema
    .alterTable('users')
    .addColumn('group_names', 'text', c => c.notNull().defaultTo(''))
    .execute()
  await db.schema.alterTable('resources').addColumn('claims', 'text').execute()
  await db.schema
    .alterTable('clients')
    .addColumn('claims', 'text', c => c.notNull().defaultTo(''))
    .execute()
}
