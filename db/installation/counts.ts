import { randomBytes } from 'node:crypto'
import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { CountTable, Tables } from '../schema.ts'

/** How often something has happened, by its name; what has not is not in it. */
export type Counted = Readonly<Record<string, number>>

/** What was counted in so many seconds from `at` on, in seconds since the epoch. */
export interface CountRow extends Pick<CountTable, 'seconds' | 'at' | 'id'> {
  readonly counted: Counted
}

/** Makes a row of its own: however often it is written, it counts once. */
export function newCounts(seconds: number, at: number, counted: Counted): CountRow {
  return { seconds, at, id: randomBytes(8), counted }
}

/** Part of a transaction. */
export async function insertCounts(
  transaction: Transaction<Tables>,
  rows: readonly CountRow[],
): Promise<void> {
  await transaction
    .insertInto('counts')
    .values(rows.map(row => ({ ...row, counted: JSON.stringify(row.counted) })))
    .onConflict(conflict => conflict.columns(['seconds', 'at', 'id']).doNothing())
    .execute()
}

/** The rows of spans of that length that begin in that time, in their order. */
export async function readCounts(
  { sql }: Database,
  seconds: number,
  { since, until }: { readonly since: number; readonly until: number },
): Promise<readonly CountRow[]> {
  const rows = await sql
    .selectFrom('counts')
    .selectAll()
    .where('seconds', '=', seconds)
    .where('at', '>=', since)
    .where('at', '<', until)
    .orderBy('at')
    .execute()
  return rows.map(rowOf)
}

/** The last of the rows that begin before that time. */
export async function latestCounts(
  { sql }: Database,
  seconds: number,
  before: number,
): Promise<CountRow | undefined> {
  const row = await sql
    .selectFrom('counts')
    .selectAll()
    .where('seconds', '=', seconds)
    .where('at', '<', before)
    .orderBy('at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row && rowOf(row)
}

export interface RollUp {
  readonly from: number
  readonly to: number
  /** Rows that begin before it, in seconds since the epoch. */
  readonly before: number
}

/**
 * Makes one row of the oldest rows that fall into one longer span; false when there are none. Of several that
 * do so at once each makes one of those that it has deleted itself, so that nothing is counted twice.
 */
export async function rollUpCounts(
  { sql, transact }: Database,
  { from, to, before }: RollUp,
): Promise<boolean> {
  const oldest = await sql
    .selectFrom('counts')
    .select('at')
    .where('seconds', '=', from)
    .where('at', '<', before)
    .orderBy('at')
    .limit(1)
    .executeTakeFirst()
  if (!oldest) return false
  const at = Math.floor(oldest.at / to) * to
  return transact(async transaction => {
    const parts = await transaction
      .deleteFrom('counts')
      .where(({ and, or, eb }) =>
        or([
          and([eb('seconds', '=', from), eb('at', '>=', at), eb('at', '<', at + to)]),
          and([eb('seconds', '=', to), eb('at', '=', at)]),
        ]),
      )
      .returningAll()
      .execute()
    if (parts.length > 0)
      await insertCounts(transaction, [newCounts(to, at, sumOf(parts.map(row => rowOf(row).counted)))])
    return true
  })
}

/** Forgets the rows of that length of before that time. */
export async function forgetCounts({ sql }: Database, seconds: number, before: number): Promise<void> {
  await sql.deleteFrom('counts').where('seconds', '=', seconds).where('at', '<', before).execute()
}

function sumOf(parts: readonly Counted[]): Counted {
  const sum: Record<string, number> = {}
  for (const part of parts)
    for (const [name, count] of Object.entries(part)) sum[name] = (sum[name] ?? 0) + count
  return sum
}

function rowOf({ counted, ...row }: CountTable): CountRow {
  return { ...row, counted: JSON.parse(counted) }
}
