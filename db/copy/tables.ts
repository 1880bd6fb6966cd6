import { createHash } from 'node:crypto'
import { sql as fragment, type Kysely } from 'kysely'
import type { Database } from '../database.ts'
import type { Tables } from '../schema.ts'
import { someRowsAtOnce } from '../some-at-once.ts'

/** A row of any table, as both engines show it: numbers, texts, bytes and nulls. */
export type Row = Readonly<Record<string, unknown>>

/** Any table of either database: the copied ones have the same columns in both. */
export type AnyTable = Kysely<Record<string, Row>>

export function anyTable(sql: Kysely<Tables>): AnyTable {
  return sql as unknown as AnyTable
}

export interface CopiedTable {
  readonly name: keyof Tables
  /** The primary key. */
  readonly key: readonly string[]
  /** A column that numbers itself: the numbers go on after the largest. */
  readonly serial?: string
  /**
   * Copied while the servers go on, with their changes noted. The others are copied as a whole at the end.
   */
  readonly isLarge: boolean
}

type Copying = Omit<CopiedTable, 'name'> | { readonly isLeftOutBecause: string }

/** How each table is copied. Users before their sessions, so that a progress bar means something early. */
export const copyPlan: Readonly<Record<keyof Tables, Copying>> = {
  users: { key: ['id'], isLarge: true },
  known_sources: { key: ['user_id'], isLarge: true },
  sign_ins: { key: ['id'], isLarge: true },
  sign_in_sessions: { key: ['session_id'], isLarge: true },
  consents: { key: ['id'], isLarge: true },
  user_names: { key: ['id'], isLarge: true },
  group_members: { key: ['id'], isLarge: true },
  passkeys: { key: ['id'], isLarge: true },
  totps: { key: ['user_id'], isLarge: true },
  recovery_codes: { key: ['id'], isLarge: true },
  outbox: { key: ['id'], isLarge: false },
  sessions: { key: ['id'], isLarge: true },
  session_index: { key: ['session_id'], isLarge: true },
  session_index_fill: { key: ['id'], isLarge: false },
  revocations: { key: ['seq'], serial: 'seq', isLarge: true },
  events: { key: ['seq'], serial: 'seq', isLarge: true },
  deliveries: { key: ['id'], serial: 'id', isLarge: true },
  receivers: { key: ['kind', 'id'], isLarge: false },
  delivery_cursors: { key: ['feed'], isLarge: false },
  offline_sessions: { key: ['session_id'], isLarge: true },
  personal_access_tokens: { key: ['session_id'], isLarge: true },
  disabled_users: { key: ['user_id'], isLarge: true },
  streams: { key: ['id'], isLarge: false },
  stream_subjects: { key: ['id'], isLarge: true },
  audit: { key: ['id'], serial: 'id', isLarge: true },
  installation: { key: ['id'], isLarge: false },
  root_keys: { key: ['id'], isLarge: false },
  signing_keys: { key: ['kid'], isLarge: false },
  token_promises: { key: ['kid', 'expires_at'], isLarge: false },
  clients: { key: ['id'], isLarge: false },
  resources: { key: ['uri'], isLarge: false },
  groups: { key: ['id'], isLarge: false },
  own_claims: { key: ['name'], isLarge: false },
  registration_tokens: { key: ['id'], isLarge: false },
  trusted_issuers: { key: ['issuer'], isLarge: false },
  exchangers: { key: ['client_id'], isLarge: false },
  endings: { key: ['id'], serial: 'id', isLarge: false },
  status_positions: { key: ['id'], isLarge: false },
  status_lists: { key: ['number'], isLarge: false },
  sweeper: { key: ['id'], isLarge: false },
  throttles: { key: ['key'], isLarge: false },
  replays: { key: ['id'], isLarge: false },
  device_authorizations: { key: ['id'], isLarge: false },
  imports: { key: ['digest'], isLarge: false },
  jobs: { key: ['id'], isLarge: false },
  job_pieces: { key: ['id'], isLarge: true },
  idempotency_keys: { key: ['id'], isLarge: false },
  counts: { key: ['seconds', 'at', 'id'], isLarge: false },
  copies: { isLeftOutBecause: 'it says which part each of the two databases has in the copy' },
  copy_progress: { isLeftOutBecause: 'it says how far the copy has come' },
  copy_changes: { isLeftOutBecause: 'it says what is still to be copied' },
}

export const copiedTables: readonly CopiedTable[] = Object.entries(copyPlan).flatMap(([name, copying]) =>
  'isLeftOutBecause' in copying ? [] : [{ name: name as keyof Tables, ...copying }],
)

export const largeTables = copiedTables.filter(({ isLarge }) => isLarge)

/** The value of a key of one column, as text: for a row of notes, and for a cursor. */
export function keyText({ key: [column = ''] }: CopiedTable, row: Row): string {
  const value = row[column]
  return Buffer.isBuffer(value) ? value.toString('hex') : String(value)
}

export function keyValue({ serial }: CopiedTable, text: string): Buffer | number {
  return serial === undefined ? Buffer.from(text, 'hex') : Number(text)
}

export const pageSize = 1000

/** The next rows in the order of their key, at most a page; with `to`, none beyond it. */
export async function readPage(
  sql: AnyTable,
  table: CopiedTable,
  { after, to }: { readonly after: string | undefined; readonly to?: string | undefined },
): Promise<Row[]> {
  const [column = ''] = table.key
  return sql
    .selectFrom(table.name)
    .selectAll()
    .$if(after !== undefined, query => query.where(column, '>', keyValue(table, after ?? '')))
    .$if(to !== undefined, query => query.where(column, '<=', keyValue(table, to ?? '')))
    .orderBy(column)
    .limit(pageSize)
    .execute()
}

export async function readByKeys(sql: AnyTable, table: CopiedTable, keys: readonly string[]): Promise<Row[]> {
  const [column = ''] = table.key
  return sql
    .selectFrom(table.name)
    .selectAll()
    .where(
      column,
      'in',
      keys.map(text => keyValue(table, text)),
    )
    .orderBy(column)
    .execute()
}

export async function deleteByKeys(
  sql: AnyTable,
  table: CopiedTable,
  keys: readonly string[],
): Promise<void> {
  if (keys.length === 0) return
  const [column = ''] = table.key
  await sql
    .deleteFrom(table.name)
    .where(
      column,
      'in',
      keys.map(text => keyValue(table, text)),
    )
    .execute()
}

/**
 * Writes rows over those of the same key. Two rows may trade a unique value (a name that was deleted and
 * taken again), and then come in an order in which both cannot be there: those that clash are tried again
 * after the others.
 */
export async function writeRows(sql: AnyTable, table: CopiedTable, rows: readonly Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {})
  for (const some of someRowsAtOnce(rows)) {
    try {
      await upsert(sql, table, columns, some)
    } catch (error) {
      if (!isClash(error)) throw error
      await writeOneByOne(sql, table, columns, some)
    }
  }
}

async function writeOneByOne(
  sql: AnyTable,
  table: CopiedTable,
  columns: readonly string[],
  rows: readonly Row[],
): Promise<void> {
  let left = rows
  while (left.length > 0) {
    const clashing: Row[] = []
    let clash: unknown
    for (const row of left) {
      try {
        await upsert(sql, table, columns, [row])
      } catch (error) {
        if (!isClash(error)) throw error
        clash = error
        clashing.push(row)
      }
    }
    if (clashing.length === left.length) throw clash
    left = clashing
  }
}

async function upsert(
  sql: AnyTable,
  { name, key }: CopiedTable,
  columns: readonly string[],
  rows: readonly Row[],
): Promise<void> {
  const changing = columns.filter(column => !key.includes(column))
  const changes = changing.map(column => [column, fragment.ref(`excluded.${column}`)])
  await sql
    .insertInto(name)
    .values(rows)
    .onConflict(conflict => {
      const same = conflict.columns([...key])
      // A row that is its key alone never changes.
      return changes.length === 0 ? same.doNothing() : same.doUpdateSet(Object.fromEntries(changes))
    })
    .execute()
}

/** Whether a unique value is taken by another row. */
export function isClash(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return code === '23505' || code === 'SQLITE_CONSTRAINT_UNIQUE'
}

/** The same for the same values, whichever engine they came from. */
export function rowDigest(row: Row): string {
  const values = Object.keys(row)
    .sort()
    .map(column => {
      const value = row[column]
      return Buffer.isBuffer(value) ? `x${value.toString('hex')}` : JSON.stringify([typeof value, value])
    })
  return createHash('sha256').update(values.join('\n')).digest('base64')
}

export async function countRowsOf(sql: AnyTable, name: string): Promise<number> {
  const { count } = await sql
    .selectFrom(name)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** Numbers go on after those that were copied. */
export async function continueNumbers({ sql, engine }: Database): Promise<void> {
  if (engine === 'sqlite') return // there the next number is one more than the largest
  for (const { name, serial } of copiedTables) {
    if (serial === undefined) continue
    await fragment`select setval(pg_get_serial_sequence(${name}, ${serial}),
      (select coalesce(max(${fragment.ref(serial)}), 0) + 1 from ${fragment.table(name)}), false)`.execute(
      sql,
    )
  }
}
