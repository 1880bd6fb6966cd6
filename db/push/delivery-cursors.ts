import { sql as fragment, type Selectable, type Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { DeliveryCursorTable, EventTable, RevocationTable, Tables } from '../schema.ts'

/** What is followed to be delivered, each with its rows, which have numbers in the order of the commits. */
export interface Feeds {
  readonly events: Selectable<EventTable>
  readonly revocations: Selectable<RevocationTable>
}

/** The transaction in which a feed is taken, or a receiver paused. */
export type DeliveryTransaction = Transaction<Tables>

export type FeedName = keyof Feeds & DeliveryCursorTable['feed']

/**
 * Takes the next rows of a feed, in one transaction with what `work` makes of them and with the cursor, so
 * that each row is taken once, whatever is killed. Returns how many there were: none too where another
 * process is at it.
 */
export async function takeNext<Name extends FeedName>(
  db: Database,
  feed: Name,
  limit: number,
  work: (sql: DeliveryTransaction, rows: readonly Feeds[Name][]) => Promise<void>,
): Promise<number> {
  if (!(await hasMore(db, feed))) return 0
  return db.transact(async sql => {
    const cursor = await sql
      .selectFrom('delivery_cursors')
      .select('seq')
      .where('feed', '=', feed)
      .$if(db.engine === 'postgres', query => query.forUpdate().skipLocked())
      .executeTakeFirst()
    if (!cursor) return 0
    const next = (await sql
      .selectFrom(feed as FeedName)
      .selectAll()
      .where('seq', '>', cursor.seq)
      .orderBy('seq')
      .limit(limit)
      // The columns are those of the feed, which the type of a name of either cannot say.
      .execute()) as unknown as Feeds[Name][]
    const rows = firstOf(next)
    const last = rows.at(-1)
    if (!last) return 0
    await work(sql, rows)
    await sql.updateTable('delivery_cursors').set({ seq: last.seq }).where('feed', '=', feed).execute()
    return rows.length
  })
}

/** One of many sessions becomes as many deliveries, and others wait for the transaction: some 1,000. */
const detailsLengthMax = 100_000

/** The first row, and those after it whose details are no longer than that together. */
function firstOf<Row extends object>(rows: readonly Row[]): readonly Row[] {
  let length = 0
  const isWithin = (row: Row) => {
    length += 'detail' in row && typeof row.detail === 'string' ? row.detail.length : 0
    return length <= detailsLengthMax
  }
  const end = rows.findIndex((row, i) => !isWithin(row) && i > 0)
  return end < 0 ? rows : rows.slice(0, end)
}

/** Without a transaction, which would keep writers waiting on SQLite. */
async function hasMore({ sql }: Database, feed: FeedName): Promise<boolean> {
  const more = await sql
    .selectFrom(feed)
    .select('seq')
    .where('seq', '>', ({ selectFrom }) =>
      selectFrom('delivery_cursors').select('seq').where('feed', '=', feed),
    )
    .limit(1)
    .executeTakeFirst()
  return more !== undefined
}

/** Leaves all that has happened so far, and waits, to another installation. Part of a transaction. */
export async function forgetDeliveries(sql: DeliveryTransaction): Promise<void> {
  await sql.deleteFrom('deliveries').execute()
  await sql.deleteFrom('receivers').execute()
  for (const feed of ['events', 'revocations'] as const) {
    await sql
      .updateTable('delivery_cursors')
      .set(({ selectFrom }) => ({
        seq: selectFrom(feed).select(({ fn }) => fn.coalesce(fn.max('seq'), fragment<number>`0`).as('last')),
      }))
      .where('feed', '=', feed)
      .execute()
  }
}
