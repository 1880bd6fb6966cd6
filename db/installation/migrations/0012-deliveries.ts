import { sql, type Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { uuid, serial }: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('deliveries')
    .addColumn('id', serial, c => c.primaryKey().notNull())
    .addColumn('kind', 'text', c => c.notNull())
    .addColumn('receiver', 'text', c => c.notNull())
    .addColumn('subject', uuid, c => c.notNull())
    .addColumn('token_id', uuid, c => c.notNull())
    .addColumn('content', 'text', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('expires_at', 'bigint')
    .addColumn('next_attempt_at', 'bigint')
    .addColumn('attempts', 'bigint', c => c.notNull())
    .addColumn('last_error', 'text')
    .execute()
  await db.schema
    .createIndex('deliveries_of_receiver')
    .on('deliveries')
    .columns(['kind', 'receiver', 'id'])
    .execute()
  await db.schema
    .createIndex('deliveries_in_order')
    .on('deliveries')
    .columns(['kind', 'receiver', 'subject', 'id'])
    .execute()
  await db.schema
    .createTable('receivers')
    .addColumn('kind', 'text', c => c.notNull())
    .addColumn('id', 'text', c => c.notNull())
    .addColumn('failures', 'bigint', c => c.notNull())
    .addColumn('failing_since', 'bigint')
    .addColumn('next_attempt_at', 'bigint', c => c.notNull())
    .addColumn('paused_at', 'bigint')
    .addColumn('claimed_until', 'bigint', c => c.notNull())
    .addColumn('last_error', 'text')
    .addPrimaryKeyConstraint('receivers_pkey', ['kind', 'id'])
    .execute()
  await db.schema
    .createTable('delivery_cursors')
    .addColumn('feed', 'text', c => c.primaryKey().notNull())
    .addColumn('seq', 'bigint', c => c.notNull())
    .execute()
  // Nothing of before is delivered: there is no receiver yet.
  for (const feed of ['events', 'revocations']) {
    const latest = sql<number>`(select coalesce(max(seq), 0) from ${sql.table(feed)})`
    await db.insertInto('delivery_cursors').values({ feed, seq: latest }).execute()
  }
  await db.schema
    .createTable('offline_sessions')
    .addColumn('session_id', uuid, c => c.primaryKey().notNull())
    .addColumn('sign_in_id', uuid, c => c.notNull())
    .execute()
  await db.schema
    .createIndex('offline_sessions_of_sign_in')
    .on('offline_sessions')
    .column('sign_in_id')
    .execute()
  await db.schema.alterTable('clients').addColumn('back_channel_logout_uri', 'text').execute()
  await db.schema
    .alterTable('clients')
    .addColumn('back_channel_logout_session_required', 'integer', c => c.notNull().defaultTo(0))
    .execute()
}
