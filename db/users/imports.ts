import { randomInt } from 'node:crypto'
import { sql as fragment, type Kysely, type Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { keptInsert } from '../kept-insert.ts'
import type { ImportTable, Tables, UserTable } from '../schema.ts'
import { someAtOnce } from '../some-at-once.ts'
import type { Writer } from '../writer.ts'
import { comparedNamesOf } from './compared-name.ts'
import { keepMembers } from './group-members.ts'
import { NameTakenError, nameRowsOf } from './user-names.ts'

/** One entry of a file of users: which it is, counted from 1, and the row that it becomes. */
export interface ImportedUser {
  readonly entry: number
  readonly row: UserTable
}

/** What there was in the way of an entry. */
export interface TakenEntry {
  readonly entry: number
  readonly what: 'sub' | 'username' | 'mail'
}

/** How far a file has been imported before; undefined when it has not been begun. */
export async function findImport({ sql }: Database, digest: string): Promise<ImportTable | undefined> {
  return sql.selectFrom('imports').selectAll().where('digest', '=', digest).executeTakeFirst()
}

/** Begins a file, or begins it anew; false where that was done already by another process. */
export async function beginImport({ sql }: Database, digest: string, now: number): Promise<boolean> {
  const fresh = { lines: 0, created: 0, refused: 0, began_at: now, ended_at: null }
  const { numInsertedOrUpdatedRows } = await sql
    .insertInto('imports')
    .values({ digest, ...fresh })
    .onConflict(conflict =>
      conflict.column('digest').doUpdateSet(fresh).where('imports.ended_at', 'is not', null),
    )
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

export async function endImport({ sql }: Database, digest: string, now: number): Promise<void> {
  await sql.updateTable('imports').set({ ended_at: now }).where('digest', '=', digest).execute()
}

/** A part of a file: what is left of the entries up to `to`, of which `refused` could not even be read. */
export interface ImportedPart {
  readonly digest: string
  /** How many entries were done before it, as `imports` must have it. */
  readonly from: number
  readonly to: number
  readonly users: readonly ImportedUser[]
  readonly refused: number
  /**
   * Whether names or ids of it may be taken: then those are left out. Otherwise they are added without a
   * look, and `NameTakenError` is thrown where one is.
   */
  readonly mayBeTaken: boolean
}

/**
 * Adds the users of one part whose names and ids are free, and notes how far the file has come, in one
 * transaction; undefined, and nothing is done, when another process has come further. Throws `NoGroupError`
 * and `NameTakenError`.
 */
export async function importPart(
  { transact, engine }: Writer,
  part: ImportedPart,
): Promise<AddedPart | undefined> {
  return transact(transaction => addPart(transaction, engine, part))
}

export interface AddedPart {
  readonly created: number
  readonly taken: readonly TakenEntry[]
}

/** The same as part of a transaction. */
export async function addPart(
  transaction: Transaction<Tables>,
  engine: Database['engine'],
  { digest, from, to, users, refused, mayBeTaken }: ImportedPart,
): Promise<AddedPart | undefined> {
  const { free, taken } = mayBeTaken ? await sortOut(transaction, users) : { free: users, taken: [] }
  const { numUpdatedRows } = await transaction
    .updateTable('imports')
    .set({
      lines: to,
      created: fragment`created + ${free.length}`,
      refused: fragment`refused + ${refused + taken.length}`,
    })
    .where('digest', '=', digest)
    .where('lines', '=', from)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows !== 1n) return undefined
  const rows = free.map(({ row }) => row)
  await addUsers(transaction, rows)
  await keepMembers(transaction, engine, rows)
  return { created: free.length, taken }
}

/**
 * Finds whose names or ids are not free, and changes nothing. `earlier` remembers what entries before want.
 */
export async function findTaken(
  { sql }: Database,
  users: readonly ImportedUser[],
  earlier: Set<string>,
): Promise<readonly TakenEntry[]> {
  return (await sortOut(sql, users, earlier)).taken
}

/** Which of the users can be added; of two that want the same, the first. */
async function sortOut(sql: Kysely<Tables>, users: readonly ImportedUser[], earlier = new Set<string>()) {
  const named = users.map(user => ({ ...user, names: comparedNamesOf(user.row) }))
  const wanted = named.flatMap(({ names }) => names.map(({ name }) => name))
  const held = new Set(await heldNames(sql, wanted))
  const usernames = new Set(
    await heldUsernames(
      sql,
      users.map(({ row }) => row.username),
    ),
  )
  const ids = new Set(
    await heldIds(
      sql,
      users.map(({ row }) => row.id),
    ),
  )
  const free: ImportedUser[] = []
  const taken: TakenEntry[] = []
  for (const { entry, row, names } of named) {
    const id = row.id.toString('hex')
    const takenName = names.find(({ name }) => held.has(name) || earlier.has(name))
    if (ids.has(id) || earlier.has(id)) taken.push({ entry, what: 'sub' })
    else if (usernames.has(row.username)) taken.push({ entry, what: 'username' })
    else if (takenName) taken.push({ entry, what: takenName.kind })
    else {
      earlier.add(id)
      for (const { name } of names) earlier.add(name)
      free.push({ entry, row })
    }
  }
  return { free, taken }
}

async function heldNames(sql: Kysely<Tables>, names: readonly string[]): Promise<string[]> {
  const held: string[] = []
  for (const some of someAtOnce(names)) {
    const rows = await sql.selectFrom('user_names').select('name').where('name', 'in', some).execute()
    held.push(...rows.map(({ name }) => name))
  }
  return held
}

/** An older program beside this one adds users of whom `user_names` does not know. */
async function heldUsernames(sql: Kysely<Tables>, usernames: readonly string[]): Promise<string[]> {
  const held: string[] = []
  for (const some of someAtOnce(usernames)) {
    const rows = await sql.selectFrom('users').select('username').where('username', 'in', some).execute()
    held.push(...rows.map(({ username }) => username))
  }
  return held
}

async function heldIds(sql: Kysely<Tables>, ids: readonly Buffer[]): Promise<string[]> {
  const held: string[] = []
  for (const some of someAtOnce(ids)) {
    const rows = await sql.selectFrom('users').select('id').where('id', 'in', some).execute()
    held.push(...rows.map(({ id }) => id.toString('hex')))
  }
  return held
}

const addUserRows = keptInsert('users')
const addNameRows = keptInsert('user_names')

/** Throws `NameTakenError` where a name or an id is not free: the transaction must end with that. */
async function addUsers(transaction: Transaction<Tables>, rows: readonly UserTable[]): Promise<void> {
  if ((await addUserRows(transaction, rows)) < rows.length) throw new NameTakenError()
  const names = rows.flatMap(nameRowsOf)
  if ((await addNameRows(transaction, names)) < names.length) throw new NameTakenError()
}

const usersAtOnce = 500

/**
 * All users whose names come after this one, in the order of their names, with all that is stored of them:
 * page by page, each read when it is asked for.
 */
export async function* pagesOfWholeUsers(
  { sql }: Database,
  after = '',
): AsyncGenerator<readonly UserTable[]> {
  for (;;) {
    const page = await sql
      .selectFrom('users')
      .selectAll()
      .where('username', '>', after)
      .orderBy('username')
      .limit(usersAtOnce)
      .execute()
    const last = page.at(-1)
    if (!last) return
    yield page
    if (page.length < usersAtOnce) return
    after = last.username
  }
}

const letters = '0123456789abcdefghijklmnopqrstuvwxyz'

/** Of no more users all are looked at; of more, so many are taken by chance. */
const sampleMax = 500

/**
 * The password hashes of some users, as they are mixed among all; none where no file was imported. They are
 * found by letters with which user names begin, so it costs the same however many users there are.
 */
export async function sampleHashes({
  sql,
}: Database): Promise<readonly Pick<UserTable, 'password_hash' | 'root_key_id'>[]> {
  const imported = await sql
    .selectFrom('imports')
    .select('digest')
    .where('created', '>', 0)
    .executeTakeFirst()
  if (!imported) return []
  const hashes = sql.selectFrom('users').select(['password_hash', 'root_key_id'])
  const first = await hashes.orderBy('username').limit(sampleMax).execute()
  if (first.length < sampleMax) return first
  const sample: (typeof first)[number][] = []
  for (let i = 0; i < sampleMax; i++) {
    const start = Array.from({ length: 3 }, () => letters[randomInt(letters.length)]).join('')
    const user = await hashes.where('username', '>=', start).orderBy('username').limit(1).executeTakeFirst()
    if (user) sample.push(user)
  }
  return sample
}
