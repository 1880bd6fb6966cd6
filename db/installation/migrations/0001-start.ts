import { sql, type Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { engine, uuid, bytes, serial }: ColumnTypes): Promise<void> {
  await db.schema
    .createTable('installation')
    .addColumn('id', 'integer', c => c.primaryKey().check(sql`id = 1`))
    .addColumn('issuer', 'text', c => c.notNull())
    .addColumn('founding_issuer', 'text', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('root_key_id', 'text', c => c.notNull())
    .addColumn('revision', 'bigint', c => c.notNull())
    .addColumn('key_rotation_seconds', 'bigint', c => c.notNull())
    .addColumn('jwks_max_age_seconds', 'bigint', c => c.notNull())
    .addColumn('clock_skew_seconds', 'bigint', c => c.notNull())
    .addColumn('largest_max_age_seconds', 'bigint', c => c.notNull())
    .addColumn('largest_max_age_until', 'bigint', c => c.notNull())
    .addColumn('moved_at', 'bigint')
    .addColumn('backed_up_at', 'bigint')
    .addColumn('lost_since', 'bigint')
    .addColumn('revived_at', 'bigint')
    .execute()

  await db.schema
    .createTable('users')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('username', 'text', c => c.notNull().unique())
    .addColumn('password_hash', 'text', c => c.notNull())
    .addColumn('root_key_id', 'text', c => c.notNull())
    .addColumn('roles', 'text', c => c.notNull())
    .addColumn('epoch', 'bigint', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('disabled_at', 'bigint')
    .execute()

  await db.schema
    .createTable('clients')
    .addColumn('id', 'text', c => c.primaryKey().notNull())
    .addColumn('auth_method', 'text', c => c.notNull())
    .addColumn('secret_hash', bytes)
    .addColumn('old_secret_hash', bytes)
    .addColumn('old_secret_expires_at', 'bigint')
    .addColumn('jwks', 'text')
    .addColumn('jwks_uri', 'text')
    .addColumn('keys_expire_at', 'bigint')
    .addColumn('tls_subject', 'text')
    .addColumn('grant_types', 'text', c => c.notNull())
    .addColumn('scope', 'text', c => c.notNull())
    .addColumn('resources', 'text', c => c.notNull())
    .addColumn('introspects', 'text', c => c.notNull())
    .addColumn('is_admin', 'integer', c => c.notNull())
    .addColumn('dpop_bound', 'integer', c => c.notNull())
    .addColumn('tls_bound', 'integer', c => c.notNull())
    .addColumn('refresh_policy', 'text', c => c.notNull())
    .addColumn('refresh_idle_seconds', 'bigint')
    .addColumn('refresh_absolute_seconds', 'bigint')
    .addColumn('forwards_user_address', 'integer', c => c.notNull())
    .addColumn('cors_origins', 'text', c => c.notNull())
    .addColumn('epoch', 'bigint', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('disabled_at', 'bigint')
    .execute()

  await db.schema
    .createTable('resources')
    .addColumn('uri', 'text', c => c.primaryKey().notNull())
    .addColumn('scope', 'text', c => c.notNull())
    .addColumn('alg', 'text', c => c.notNull())
    .addColumn('previous_alg', 'text')
    .addColumn('access_token_seconds', 'bigint')
    .addColumn('has_status', 'integer', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .execute()

  // No foreign keys here: the statements that use a session check its user and client by their epochs.
  const sessions = db.schema
    .createTable('sessions')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('user_id', uuid)
    .addColumn('client_id', 'text', c => c.notNull())
    .addColumn('user_epoch', 'bigint', c => c.notNull())
    .addColumn('client_epoch', 'bigint', c => c.notNull())
    .addColumn('secret_hash', bytes)
    .addColumn('generation', 'bigint', c => c.notNull())
    .addColumn('scope', 'text', c => c.notNull())
    .addColumn('resource', 'text')
    .addColumn('auth_time', 'bigint', c => c.notNull())
    .addColumn('amr', 'text', c => c.notNull())
    .addColumn('expires_at', 'bigint', c => c.notNull())
    .addColumn('absolute_expires_at', 'bigint', c => c.notNull())
    .addColumn('rotated_at', 'bigint', c => c.notNull())
    .addColumn('last_address', 'text')
    .addColumn('window_generation', 'bigint', c => c.notNull())
    .addColumn('window_opened_at', 'bigint', c => c.notNull())
    .addColumn('late_history', 'integer', c => c.notNull())
    .addColumn('revoked_at', 'bigint')
    .addColumn('revoke_reason', 'text')
    .addColumn('status_position', 'bigint', c => c.notNull())
    .addColumn('key_thumbprint', bytes)
    .addColumn('bound_generation', 'bigint', c => c.notNull())
  // Sessions lie in the order of their ids, which is that of time: a refresh finds and writes one page. On
  // PostgreSQL a page keeps room for the next version of its rows, so that a refresh touches no index (HOT),
  // and is vacuumed before the dead ones make it grow.
  const manner =
    engine === 'sqlite'
      ? sql`without rowid`
      : sql`with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)`
  await sessions.modifyEnd(manner).execute()
  await db.schema
    .createIndex('sessions_by_user')
    .on('sessions')
    .columns(['user_id', 'revoked_at', 'id'])
    .where('user_id', 'is not', null)
    .execute()
  // At most one living machine session for each client; one of an earlier epoch is dead, and does not count.
  await db.schema
    .createIndex('sessions_of_machines')
    .unique()
    .on('sessions')
    .columns(['client_id', 'client_epoch'])
    .where(sql.ref('user_id'), 'is', null)
    .where(sql.ref('revoked_at'), 'is', null)
    .execute()

  await db.schema
    .createTable('revocations')
    .addColumn('seq', serial, c => c.primaryKey().notNull())
    .addColumn('session_id', uuid, c => c.notNull())
    .addColumn('status_position', 'bigint', c => c.notNull())
    .addColumn('revoked_at', 'bigint', c => c.notNull())
    .execute()
  await db.schema.createIndex('revocations_by_time').on('revocations').column('revoked_at').execute()

  await db.schema
    .createTable('endings')
    .addColumn('id', serial, c => c.primaryKey().notNull())
    .addColumn('user_id', uuid)
    .addColumn('client_id', 'text')
    .addColumn('reason', 'text', c => c.notNull())
    .addColumn('ended_at', 'bigint', c => c.notNull())
    .addColumn('cursor', uuid)
    .addColumn('claimed_until', 'bigint', c => c.notNull())
    .execute()

  await db.schema
    .createTable('signing_keys')
    .addColumn('kid', 'text', c => c.primaryKey().notNull())
    .addColumn('alg', 'text', c => c.notNull())
    .addColumn('sealed_private_key', bytes, c => c.notNull())
    .addColumn('root_key_id', 'text', c => c.notNull())
    .addColumn('published_at', 'bigint', c => c.notNull())
    .addColumn('activated_at', 'bigint')
    .addColumn('retired_at', 'bigint')
    .addColumn('verify_until', 'bigint', c => c.notNull())
    .addColumn('verify_seconds', 'bigint', c => c.notNull())
    .addColumn('witnessed_seconds', 'bigint', c => c.notNull())
    .addColumn('rotation_requested_at', 'bigint')
    .addColumn('revoked_at', 'bigint')
    .addColumn('revoke_reason', 'text')
    .execute()
  await db.schema
    .createTable('token_promises')
    .addColumn('kid', 'text', c => c.notNull())
    .addColumn('expires_at', 'bigint', c => c.notNull())
    .addColumn('tokens', 'bigint', c => c.notNull())
    .addPrimaryKeyConstraint('token_promises_pk', ['kid', 'expires_at'])
    .execute()
  await db.schema
    .createTable('root_keys')
    .addColumn('id', 'text', c => c.primaryKey().notNull())
    .addColumn('current_from', 'bigint', c => c.notNull())
    .addColumn('current_until', 'bigint')
    .execute()
  // One key waits and one signs for each algorithm: of two instances that change it at once, one fails here.
  await sql`create unique index signing_keys_next on signing_keys (alg)
    where activated_at is null and revoked_at is null`.execute(db)
  await sql`create unique index signing_keys_active on signing_keys (alg)
    where activated_at is not null and retired_at is null`.execute(db)

  await db.schema
    .createTable('status_positions')
    .addColumn('id', 'integer', c => c.primaryKey().check(sql`id = 1`))
    .addColumn('next', 'bigint', c => c.notNull())
    .addColumn('permutation_key', bytes, c => c.notNull())
    .execute()
  const permutationKey = Buffer.from(crypto.getRandomValues(new Uint8Array(16)))
  await db
    .insertInto('status_positions')
    .values({ id: 1, next: 0, permutation_key: permutationKey })
    .execute()

  await db.schema
    .createTable('status_lists')
    .addColumn('number', 'bigint', c => c.primaryKey().notNull())
    .addColumn('live_until', 'bigint', c => c.notNull())
    .addColumn('version', 'bigint', c => c.notNull())
    .addColumn('jwt', 'text')
    .addColumn('signed_at', 'bigint')
    .addColumn('fresh_until', 'bigint')
    .execute()

  await db.schema
    .createTable('sweeper')
    .addColumn('id', 'integer', c => c.primaryKey().check(sql`id = 1`))
    .addColumn('cursor', uuid)
    .addColumn('clock', 'bigint')
    .addColumn('stepped_at', 'bigint')
    .addColumn('passed_at', 'bigint')
    .addColumn('began_at', 'bigint')
    .addColumn('examined', 'bigint', c => c.notNull())
    .addColumn('swept', 'bigint', c => c.notNull())
    .addColumn('swept_ever', 'bigint', c => c.notNull())
    .execute()
  await db.insertInto('sweeper').values({ id: 1, examined: 0, swept: 0, swept_ever: 0 }).execute()

  await db.schema
    .createTable('throttles')
    .addColumn('key', 'text', c => c.primaryKey().notNull())
    .addColumn('empty_at', 'bigint', c => c.notNull())
    .execute()
  await db.schema
    .createTable('known_sources')
    .addColumn('user_id', uuid, c => c.primaryKey().notNull())
    .addColumn('sources', bytes, c => c.notNull())
    .execute()

  await db.schema
    .createTable('audit')
    .addColumn('id', serial, c => c.primaryKey().notNull())
    .addColumn('at', 'bigint', c => c.notNull())
    .addColumn('event', 'text', c => c.notNull())
    .addColumn('actor', 'text', c => c.notNull())
    .addColumn('user_id', uuid)
    .addColumn('client_id', 'text')
    .addColumn('session_id', uuid)
    .addColumn('address', 'text')
    .addColumn('request_id', 'text')
    .addColumn('count', 'bigint', c => c.notNull())
    .addColumn('detail', 'text')
    .execute()
  await db.schema.createIndex('audit_by_time').on('audit').columns(['at', 'id']).execute()
  await sql`create index audit_by_user on audit (user_id, at, id) where user_id is not null`.execute(db)

  await db.schema
    .createTable('copies')
    .addColumn('id', 'text', c => c.primaryKey().notNull())
    .addColumn('role', 'text', c => c.notNull())
    .addColumn('began_at', 'bigint', c => c.notNull())
    .execute()
  await db.schema
    .createTable('copy_progress')
    .addColumn('name', 'text', c => c.primaryKey().notNull())
    .addColumn('copy_id', 'text', c => c.notNull())
    .addColumn('cursor_text', 'text')
    .addColumn('rows_done', 'bigint', c => c.notNull())
    .addColumn('is_done', 'integer', c => c.notNull())
    .execute()
  await db.schema
    .createTable('copy_changes')
    .addColumn('seq', serial, c => c.primaryKey().notNull())
    .addColumn('table_name', 'text', c => c.notNull())
    .addColumn('key_text', 'text', c => c.notNull())
    .execute()

  const replays = db.schema
    .createTable('replays')
    .addColumn('id', bytes, c => c.primaryKey().notNull())
    .addColumn('expires_at', 'bigint', c => c.notNull())
  await (engine === 'sqlite' ? replays.modifyEnd(sql`without rowid`) : replays).execute()
  await db.schema.createIndex('replays_by_expiry').on('replays').column('expires_at').execute()

  if (engine === 'postgres') await addTriggers(db)
}

/**
 * Only PostgreSQL needs these. Instances hear of a change with its commit. And a feed's numbers are given in
 * the order in which they become visible, because taking one holds a lock until the commit: no reader passes
 * one over.
 */
async function addTriggers(db: Kysely<any>): Promise<void> {
  const statements = [
    `create function mintmark_notify() returns trigger language plpgsql as
      $$ begin perform pg_notify('mintmark', ''); return null; end $$`,
    `create trigger notify after update of revision on installation
      for each statement execute function mintmark_notify()`,
    'create trigger notify after insert on revocations for each statement execute function mintmark_notify()',
    `create function mintmark_number() returns trigger language plpgsql as
      $$ begin perform pg_advisory_xact_lock(6025346002); return null; end $$`,
    'create trigger number before insert on revocations for each statement execute function mintmark_number()',
    // For a copy to another database: notes the key of a row, and refuses writes once all is over there.
    `create function mintmark_note() returns trigger language plpgsql as $$ begin
      insert into copy_changes (table_name, key_text) values (tg_table_name,
        replace((case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end) ->> tg_argv[0], '-', ''));
      return null; end $$`,
    `create function mintmark_moved() returns trigger language plpgsql as $$ begin
      raise exception 'the installation has been moved to another database' using errcode = '25006'; end $$`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}
