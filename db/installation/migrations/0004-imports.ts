import { sql, type Kysely } from 'kysely'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>): Promise<void> {
  // Of those whose password is still hashed as another system did it: there may be none among a million.
  await db.schema
    .createIndex('users_by_imported_hash')
    .on('users')
    .column('id')
    .where(sql`substr(password_hash, 1, 10)`, '=', sql.lit('$imported$'))
    .execute()
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
