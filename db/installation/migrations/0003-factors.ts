import type { Kysely } from 'kysely'
import type { ColumnTypes } from '../column-types.ts'
import type { HeldName, NameMapping } from '../names-alike.ts'

/** Frozen: a released migration is never edited. */
export async function up(db: Kysely<any>, { uuid, bytes }: ColumnTypes, mapping: NameMapping): Promise<void> {
  await db.schema
    .alterTable('users')
    .addColumn('mail_epoch', 'bigint', c => c.notNull().defaultTo(0))
    .execute()
  await db.schema
    .alterTable('clients')
    .addColumn('acr', 'text', c => c.notNull().defaultTo('pwd'))
    .execute()
  await db.schema
    .alterTable('clients')
    .addColumn('first_party', 'integer', c => c.notNull().defaultTo(0))
    .execute()

  await db.schema
    .createTable('user_names')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('name', 'text', c => c.notNull())
    .addColumn('user_id', uuid, c => c.notNull())
    .addColumn('kind', 'text', c => c.notNull())
    .execute()
  await db.schema.createIndex('user_names_by_name').unique().on('user_names').column('name').execute()
  await db.schema.createIndex('user_names_by_user').on('user_names').column('user_id').execute()
  await nameUsers(db, mapping)

  await db.schema
    .createTable('passkeys')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('user_id', uuid, c => c.notNull())
    .addColumn('credential_id', bytes, c => c.notNull())
    .addColumn('public_key', bytes, c => c.notNull())
    .addColumn('counter', 'bigint', c => c.notNull())
    .addColumn('transports', 'text', c => c.notNull())
    .addColumn('rp_id', 'text', c => c.notNull())
    .addColumn('aaguid', 'text', c => c.notNull())
    .addColumn('is_synced', 'integer', c => c.notNull())
    .addColumn('name', 'text', c => c.notNull())
    .addColumn('spent', 'text', c => c.notNull().defaultTo(''))
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('used_at', 'bigint')
    .execute()
  await db.schema
    .createIndex('passkeys_by_credential')
    .unique()
    .on('passkeys')
    .column('credential_id')
    .execute()
  await db.schema.createIndex('passkeys_by_user').on('passkeys').column('user_id').execute()

  await db.schema
    .createTable('totps')
    .addColumn('user_id', uuid, c => c.primaryKey().notNull())
    .addColumn('secret', bytes, c => c.notNull())
    .addColumn('root_key_id', 'text', c => c.notNull())
    .addColumn('last_step', 'bigint', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('used_at', 'bigint')
    .execute()

  await db.schema
    .createTable('recovery_codes')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('user_id', uuid, c => c.notNull())
    .addColumn('salt', bytes, c => c.notNull())
    .addColumn('hash', bytes, c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('used_at', 'bigint')
    .execute()
  await db.schema.createIndex('recovery_codes_by_user').on('recovery_codes').column('user_id').execute()

  await db.schema
    .createTable('outbox')
    .addColumn('id', uuid, c => c.primaryKey().notNull())
    .addColumn('kind', 'text', c => c.notNull())
    .addColumn('user_id', uuid)
    .addColumn('sealed', bytes, c => c.notNull())
    .addColumn('root_key_id', 'text', c => c.notNull())
    .addColumn('created_at', 'bigint', c => c.notNull())
    .addColumn('next_try_at', 'bigint', c => c.notNull())
    .addColumn('tries', 'integer', c => c.notNull())
    .addColumn('last_error', 'text')
    .execute()
  await db.schema.createIndex('outbox_by_next_try').on('outbox').column('next_try_at').execute()
}

const usersAtOnce = 1000
const pairsMax = 20

/** Gives all users their names, so many at a time: a million fit into any memory. */
async function nameUsers(db: Kysely<any>, { comparedNamesOf, refuse }: NameMapping): Promise<void> {
  const pairs: [HeldName, HeldName][] = []
  let count = 0
  for (let after = Buffer.alloc(16); ;) {
    const users = await db
      .selectFrom('users')
      .select(['id', 'username', 'claims'])
      .where('id', '>', after)
      .orderBy('id')
      .limit(usersAtOnce)
      .execute()
    const last = users.at(-1)
    if (!last) break
    after = last.id
    const names = users.flatMap(({ id, username, claims }) =>
      comparedNamesOf({ username, claims }).map(({ name, kind }) => ({
        row: { id: kind === 'username' ? id : anyId(), name, user_id: id, kind },
        username,
      })),
    )
    const inserted = await db
      .insertInto('user_names')
      .values(names.map(({ row }) => row))
      .onConflict(conflict => conflict.column('name').doNothing())
      .returning('id')
      .execute()
    if (inserted.length === names.length) continue
    const done = new Set(inserted.map(({ id }) => id.toString('hex')))
    for (const { row, username } of names.filter(({ row: { id } }) => !done.has(id.toString('hex')))) {
      count++
      if (pairs.length === pairsMax) continue
      const holder = await db
        .selectFrom('user_names')
        .innerJoin('users', 'users.id', 'user_names.user_id')
        .select(['users.username', 'user_names.kind'])
        .where('user_names.name', '=', row.name)
        .executeTakeFirstOrThrow()
      pairs.push([holder as HeldName, { username, kind: row.kind }])
    }
  }
  if (count > 0) refuse({ pairs, count })
}

function anyId(): Buffer {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(16)))
}
