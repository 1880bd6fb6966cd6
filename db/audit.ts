import type { Generated, Insertable, Selectable, Transaction } from 'kysely'
import type { Database, Tables } from './database.ts'
import { someAtOnce } from './some-at-once.ts'

/** What happened that matters to security. Rows are added and, when their time is up, deleted; never changed. */
export interface AuditTable {
  id: Generated<number>
  at: number
  event: string
  /** `client ID`, `command USER`, `server` for what nobody asked for, or `nobody` for who has not authenticated. */
  actor: string
  user_id: Buffer | null
  client_id: string | null
  session_id: Buffer | null
  /** Where the request came from. */
  address: string | null
  request_id: string | null
  /** How often it happened: in a flood one row stands for many. */
  count: number
  /** JSON of an object. */
  detail: string | null
}

/** One thing that happened, or several of one kind (`count`). */
export type AuditEntry = Selectable<AuditTable>
export type NewAuditEntry = Omit<Insertable<AuditTable>, 'id'>

/** What changes the database in transactions, and in no other way. Each says whether, or what, it has changed. */
export interface Writer {
  readonly engine: Database['engine']
  transact<T extends object | number | boolean | undefined>(
    work: (transaction: Transaction<Tables>) => Promise<T>,
  ): Promise<T>
}

/**
 * The same database, except that each transaction which has changed something also writes what happened: both are durable
 * or neither is. A transaction whose result is `false` or `undefined` has changed nothing; where `entriesOf` is a function,
 * it says what to write for a result.
 */
export function audited(
  { engine, transact }: Writer,
  entriesOf: NewAuditEntry | ((result: unknown) => readonly NewAuditEntry[]),
): Writer {
  return {
    engine,
    transact: work =>
      transact(async transaction => {
        const result = await work(transaction)
        if (result === false || result === undefined) return result
        const entries = typeof entriesOf === 'function' ? entriesOf(result) : [entriesOf]
        await addEntries(transaction, entries)
        return result
      }),
  }
}

/** Writes what has changed nothing else. */
export async function insertAuditEntries(
  { transact }: Writer,
  entries: readonly NewAuditEntry[],
): Promise<void> {
  if (entries.length === 0) return
  await transact(async transaction => {
    await addEntries(transaction, entries)
    return true
  })
}

async function addEntries(
  transaction: Transaction<Tables>,
  entries: readonly NewAuditEntry[],
): Promise<void> {
  for (const some of someAtOnce(entries)) await transaction.insertInto('audit').values(some).execute()
}

/** Which entries; what is left out does not matter. Times are seconds since the epoch. */
export interface AuditFilter {
  readonly since?: number
  readonly until?: number
  readonly userId?: Buffer
  readonly clientId?: string
  readonly sessionId?: Buffer
  readonly events?: readonly string[]
}

/** With the name of its user, unless there is none any more. */
export type ListedAuditEntry = AuditEntry & { readonly username: string | null }

const pageSize = 500

/** Entries in the order of their times, read page by page: as many as there are fit into any memory. */
export async function* listAuditEntries(db: Database, filter: AuditFilter): AsyncGenerator<ListedAuditEntry> {
  let after = { at: 0, id: 0 }
  for (;;) {
    const page = await filtered(db, filter)
      .where(({ eb, refTuple, tuple }) => eb(refTuple('at', 'audit.id'), '>', tuple(after.at, after.id)))
      .orderBy('at')
      .orderBy('audit.id')
      .limit(pageSize)
      .execute()
    yield* page
    const last = page.at(-1)
    if (!last || page.length < pageSize) return
    after = last
  }
}

/** The last entries, the oldest of them first. */
export async function latestAuditEntries(
  db: Database,
  filter: AuditFilter,
  limit: number,
): Promise<ListedAuditEntry[]> {
  const newestFirst = await filtered(db, filter)
    .orderBy('at', 'desc')
    .orderBy('audit.id', 'desc')
    .limit(limit)
    .execute()
  return newestFirst.reverse()
}

function filtered({ sql }: Database, { since, until, userId, clientId, sessionId, events }: AuditFilter) {
  let query = sql
    .selectFrom('audit')
    .leftJoin('users', 'users.id', 'audit.user_id')
    .selectAll('audit')
    .select('users.username')
  if (since !== undefined) query = query.where('at', '>=', since)
  if (until !== undefined) query = query.where('at', '<', until)
  if (userId !== undefined) query = query.where('user_id', '=', userId)
  if (clientId !== undefined) query = query.where('client_id', '=', clientId)
  if (sessionId !== undefined) query = query.where('session_id', '=', sessionId)
  if (events !== undefined) query = query.where('event', 'in', events)
  return query
}

/** Deletes entries of before that time, at most `limit`, and returns how many there were. */
export async function deleteAuditEntries(
  { sql }: Database,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<number> {
  const { numDeletedRows } = await sql
    .deleteFrom('audit')
    .where('id', 'in', ({ selectFrom }) =>
      selectFrom('audit').select('id').where('at', '<', before).orderBy('at').limit(limit),
    )
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}
