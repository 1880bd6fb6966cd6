import { sql, type Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { engine, uuid, serial }: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('events')
    .addColumn('seq', serial, c => c.primaryKey().notNull())
    .addColumn('id', uuid, c => c.notNull())
    .addColumn('at', 'bigint', c => c.notNull())
    .addColumn('kind', 'text', c => c.notNull())
    .addColumn('reason', 'text', c => c.notNull())
    .addColumn('audiences', 'text')
    .addColumn('user_id', uuid)
    .addColumn('client_id', 'text')
    .addColumn('session_id', uuid)
    .addColumn('detail', 'text')
    .execute()
  await db.schema.createIndex('events_by_time').on('events').column('at').execute()
  if (engine === 'sqlite') return
  // As those of `revocations`: numbers in the order of the commits, and everybody hears of one.
  for (const statement of [
    'create trigger number before insert on events for each statement execute function mintmark_number()',
    'create trigger notify after insert on events for each statement execute function mintmark_notify()',
  ])
    await sql.raw(statement).execute(db)
}
