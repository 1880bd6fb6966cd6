import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { keptStatement } from '../kept-query.ts'
import type { SessionIndexFillTable, SessionIndexTable, Tables } from '../schema.ts'

/**
 * Has a session in the index, in the transaction that starts it. That of a server of an earlier version comes
 * in when the sweeper passes by.
 */
export const addToIndex = keptStatement((sql, entry: SessionIndexTable) =>
  sql
    .insertInto('session_index')
    .values(entry)
    .onConflict(conflict => conflict.doNothing()),
)

/** Ids of sessions, after one of them and up to another. */
export interface IdRange {
  readonly after: Buffer
  readonly upTo: Buffer
}

export const lastId = Buffer.alloc(16, 0xff)

/** Adds the sessions of the range that are not in the index. */
async function addMissing(transaction: Transaction<Tables>, { after, upTo }: IdRange): Promise<void> {
  await transaction
    .insertInto('session_index')
    .columns(['session_id', 'client_id', 'resource'])
    .expression(
      transaction
        .selectFrom('sessions')
        .leftJoin('session_index', 'session_index.session_id', 'sessions.id')
        .select(['sessions.id', 'sessions.client_id', 'sessions.resource'])
        .where('sessions.id', '>', after)
        .where('sessions.id', '<=', upTo)
        .where('session_index.session_id', 'is', null),
    )
    .onConflict(conflict => conflict.doNothing())
    .execute()
}

/**
 * Brings the range of the index in step with its sessions: those that are gone go, and those come that a
 * server of an earlier version has started.
 */
export async function keepInStep(transaction: Transaction<Tables>, range: IdRange): Promise<void> {
  await addMissing(transaction, range)
  await transaction
    .deleteFrom('session_index')
    .where('session_id', '>', range.after)
    .where('session_id', '<=', range.upTo)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('sessions').select('id').whereRef('id', '=', 'session_id'))),
    )
    .execute()
}

/** How far the index has the sessions of before there was one. */
export async function readFill({ sql }: Pick<Database, 'sql'>): Promise<SessionIndexFillTable> {
  return sql.selectFrom('session_index_fill').selectAll().executeTakeFirstOrThrow()
}

/** Adds the next of these sessions, at most so many, and says whether all are in. Many may do it at once. */
export async function fillIndex(db: Database, rowsMax: number): Promise<boolean> {
  return db.transact(async transaction => {
    const row = transaction.selectFrom('session_index_fill').selectAll()
    const { filled_to, is_filled } = await (
      db.engine === 'postgres' ? row.forUpdate() : row
    ).executeTakeFirstOrThrow()
    if (is_filled === 1) return true
    const after = filled_to ?? Buffer.alloc(16)
    const last = await transaction
      .selectFrom('sessions')
      .select('id')
      .where('id', '>', after)
      .orderBy('id')
      .offset(rowsMax - 1)
      .limit(1)
      .executeTakeFirst()
    await addMissing(transaction, { after, upTo: last?.id ?? lastId })
    await transaction
      .updateTable('session_index_fill')
      .set(last ? { filled_to: last.id } : { is_filled: 1 })
      .execute()
    return !last
  })
}

/** Part of the index, in the order of the ids. */
export interface IndexFilter {
  readonly clientId?: string | undefined
  /** Bound to this API, or to none and of one of these clients. */
  readonly resource?: { readonly uri: string; readonly clientIds: readonly string[] } | undefined
}

/** So many lists are read by one statement: SQLite takes 500. */
const listsMax = 100

/**
 * The next ids of a client's sessions, or of those for an API: of each of the lists that it takes no more are
 * read than the answer may have.
 */
export async function nextOfIndex(
  db: Pick<Database, 'sql' | 'engine'>,
  { clientId, resource }: IndexFilter,
  range: IdRange,
  limit: number,
): Promise<readonly Buffer[]> {
  const { uri = '', clientIds = [] } = resource ?? {}
  const lists =
    clientId !== undefined
      ? [partOfIndex(db, 'client_id', clientId, range)]
      : [
          partOfIndex(db, 'resource', uri, range),
          ...clientIds.map(id => partOfIndex(db, 'client_id', id, range).where('resource', 'is', null)),
        ]
  const starts = lists.map(list =>
    db.sql.selectFrom(list.orderBy('session_id').limit(limit).as('list')).select('session_id'),
  )
  const found: Buffer[] = []
  for (let i = 0; i < starts.length; i += listsMax) {
    const rows = await starts
      .slice(i, i + listsMax)
      .reduce((all, start) => all.unionAll(start))
      .execute()
    found.push(...rows.map(({ session_id }) => session_id))
  }
  return found.sort(Buffer.compare).slice(0, limit)
}

/**
 * Part of the index, along the one that begins with the column. PostgreSQL may think few rows are in a range
 * of ids, and read all of it instead: so there the bounds have the column, and fit no other index.
 */
function partOfIndex(
  { sql, engine }: Pick<Database, 'sql' | 'engine'>,
  column: 'client_id' | 'resource',
  value: string,
  { after, upTo }: IdRange,
) {
  const list = sql.selectFrom('session_index').select('session_id').where(column, '=', value)
  if (engine === 'sqlite') return list.where('session_id', '>', after).where('session_id', '<=', upTo)
  return list.where(({ eb, refTuple, tuple, and }) =>
    and([
      eb(refTuple(column, 'session_id'), '>', tuple(value, after)),
      eb(refTuple(column, 'session_id'), '<=', tuple(value, upTo)),
    ]),
  )
}
