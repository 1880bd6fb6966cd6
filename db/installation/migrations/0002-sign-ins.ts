import type { Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { uuid, bytes }: ColumnTypes): Promise<void> {
  await addColumns(db, 'users', [['claims', 'text', c => c.notNull().defaultTo('{}')]])

  const list = (name: string): Column => [name, 'text', c => c.notNull().defaultTo('')]
  const flag = (name: string): Column => [name, 'integer', c => c.notNull().defaultTo(0)]
  const choice = (name: string, fallback: string): Column => [
    name,
    'text',
    c => c.notNull().defaultTo(fallback),
  ]
  const text = (name: string): Column => [name, 'text', c => c]
  await addColumns(db, 'clients', [
    list('redirect_uris'),
    list('post_logout_redirect_uris'),
    text('client_name'),
    text('operator'),
    text('client_uri'),
    choice('consent', 'never'),
    choice('pkce', 'required'),
    flag('par_required'),
    choice('id_token_alg', 'RS256'),
    text('userinfo_alg'),
    flag('claims_in_id_token'),
    choice('profile', 'none'),
  ])

  await addColumns(db, 'resources', [['scope_words', 'text', c => c.notNull().defaultTo('{}')]])

  await addColumns(db, 'sessions', [['started_at', 'bigint', c => c], text('claims')])

  // The one row that may be there gets a secret of its own: no other has this default.
  const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')
  await addColumns(db, 'installation', [
    ['sign_in_epoch', 'bigint', c => c.notNull().defaultTo(0)],
    ['seal_secret', 'text', c => c.notNull().defaultTo(secret)],
  ])
  await addColumns(db, 'sweeper', [['sign_in_cursor', uuid, c => c]])

  await db.schema
    .createTable('sign_ins')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('user_id', uuid, c => c.notNull())
    .addColumn('user_epoch', 'bigint', c => c.notNull())
    .addColumn('sign_in_epoch', 'bigint', c => c.notNull())
    .addColumn('secret_hash', bytes, c => c.notNull())
    .addColumn('auth_time', 'bigint', c => c.notNull())
    .addColumn('amr', 'text', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('used_at', 'bigint', c => c.notNull())
    .addColumn('expires_at', 'bigint', c => c.notNull())
    .addColumn('is_persistent', 'integer', c => c.notNull())
    .addColumn('first_address', 'text', c => c.notNull())
    .addColumn('last_address', 'text', c => c.notNull())
    .addColumn('user_agent', 'text', c => c.notNull())
    .addColumn('browser', bytes)
    .execute()
  await db.schema.createIndex('sign_ins_by_user').on('sign_ins').columns(['user_id', 'id']).execute()

  await db.schema
    .createTable('sign_in_sessions')
    .addColumn('session_id', uuid, c => c.primaryKey().notNull())
    .addColumn('sign_in_id', uuid, c => c.notNull())
    .execute()
  await db.schema
    .createIndex('sign_in_sessions_by_sign_in')
    .on('sign_in_sessions')
    .column('sign_in_id')
    .execute()

  await db.schema
    .createTable('consents')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('user_id', uuid, c => c.notNull())
    .addColumn('client_id', 'text', c => c.notNull())
    .addColumn('resource', 'text', c => c.notNull())
    .addColumn('scope', 'text', c => c.notNull())
    .addColumn('granted_at', 'bigint', c => c.notNull())
    .execute()
  await db.schema
    .createIndex('consents_by_user')
    .unique()
    .on('consents')
    .columns(['user_id', 'client_id', 'resource'])
    .execute()
  await db.schema.createIndex('consents_by_client').on('consents').column('client_id').execute()
}

type Schema = Kysely<any>['schema']
type AddColumn = ReturnType<Schema['alterTable']>['addColumn']
type Column = [name: string, type: Parameters<AddColumn>[1], build: NonNullable<Parameters<AddColumn>[2]>]

/** One statement each: SQLite takes one column at a time. */
async function addColumns(db: Kysely<any>, table: string, columns: readonly Column[]): Promise<void> {
  for (const [name, type, build] of columns)
    await db.schema.alterTable(table).addColumn(name, type, build).execute()
}
