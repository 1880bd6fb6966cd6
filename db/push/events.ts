import type { Kysely, Selectable } from 'kysely'
import type { Database } from '../database.ts'
import type { EventTable, Tables } from '../schema.ts'

/** An event as those are told it who follow. */
export type EventRow = Selectable<EventTable>

/** Where a reader has come to. */
export type EventPosition = Pick<EventRow, 'seq' | 'id'>

/** Events in the order of their numbers, from `from` on. */
export async function listEvents(
  { sql }: Database,
  { from, limit }: { readonly from: number; readonly limit: number },
): Promise<EventRow[]> {
  return sql.selectFrom('events').selectAll().where('seq', '>=', from).orderBy('seq').limit(limit).execute()
}

/** The latest events, in the order of their numbers. */
export async function listLatestEvents({ sql }: Database, limit: number): Promise<EventRow[]> {
  const latest = await sql.selectFrom('events').selectAll().orderBy('seq', 'desc').limit(limit).execute()
  return latest.toReversed()
}

/** The latest event of before that time; undefined for none. */
export async function findEventBefore({ sql }: Database, at: number): Promise<EventPosition | undefined> {
  return sql
    .selectFrom('events')
    .select(['seq', 'id'])
    .where('at', '<', at)
    .orderBy('at', 'desc')
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst()
}

/** Whether an event is still there, and the same. */
export async function hasEvent({ sql }: Database, { seq, id }: EventPosition): Promise<boolean> {
  const row = await sql.selectFrom('events').select('id').where('seq', '=', seq).executeTakeFirst()
  return row?.id.equals(id) ?? false
}

/** How many events follow one, at the most `max`. */
export async function countEventsAfter({ sql }: Database, seq: number, max: number): Promise<number> {
  const { count } = await sql
    .selectFrom(some(sql, seq, max).as('later'))
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}

const some = (sql: Kysely<Tables>, seq: number, max: number) =>
  sql.selectFrom('events').select('seq').where('seq', '>', seq).limit(max)

/**
 * Deletes events of before that time, at most `limit`, but never the latest of all: its number is not given
 * out again.
 */
export async function deleteEvents(
  { sql }: Database,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<void> {
  await sql
    .deleteFrom('events')
    .where('seq', 'in', ({ selectFrom }) =>
      selectFrom('events').select('seq').where('at', '<', before).orderBy('at').limit(limit),
    )
    .where('seq', '<', ({ selectFrom }) => selectFrom('events').select(({ fn }) => fn.max('seq').as('last')))
    .execute()
}
