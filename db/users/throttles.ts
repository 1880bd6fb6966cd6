import { sql as fragment, type Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { Tables } from '../schema.ts'

/** How full a bucket of guesses is: it is empty at that time, in seconds since the epoch. */
export interface Throttle {
  readonly key: string
  readonly emptyAt: number
}

/** By how many seconds a bucket is to be filled, and how many it takes to empty when it is full. */
export interface ThrottleFilling {
  readonly key: string
  readonly seconds: number
  readonly secondsWhenFull: number
}

/**
 * How full buckets are by what all servers have told; without those that are empty. One that a wrong clock
 * has made fuller than it can be is full, from now on.
 */
export async function readThrottles(
  { sql }: Database,
  buckets: readonly Pick<ThrottleFilling, 'key' | 'secondsWhenFull'>[],
  now: number,
): Promise<Throttle[]> {
  const rows = await sql
    .selectFrom('throttles')
    .select(['key', 'empty_at as emptyAt'])
    .where(
      'key',
      'in',
      buckets.map(({ key }) => key),
    )
    .where('empty_at', '>', now)
    .execute()
  const fullUntil = (key: string) => now + (buckets.find(bucket => bucket.key === key)?.secondsWhenFull ?? 0)
  for (const { key, emptyAt } of rows) {
    if (emptyAt <= fullUntil(key)) continue
    await sql
      .updateTable('throttles')
      .set({ empty_at: fullUntil(key) })
      .where('key', '=', key)
      .where('empty_at', '=', emptyAt)
      .execute()
  }
  return rows.map(({ key, emptyAt }) => ({ key, emptyAt: Math.min(emptyAt, fullUntil(key)) }))
}

/** Servers take the rows of two keys in the same order, or they would wait for each other. */
const inOrder = (a: ThrottleFilling, b: ThrottleFilling) =>
  a.secondsWhenFull - b.secondsWhenFull || (a.key < b.key ? -1 : 1)

/** So many rows go into one statement. */
const rowsAtOnce = 500

/**
 * Fills buckets, in one transaction, and returns how full they are then by what all servers have told. One
 * that a wrong clock has made fuller than it can be is full.
 */
export async function fillThrottles(
  { transact }: Database,
  fillings: readonly ThrottleFilling[],
  now: number,
): Promise<Throttle[]> {
  const inOneOrder = [...fillings].sort(inOrder)
  return transact(async transaction => {
    const filled: Throttle[] = []
    for (const [secondsWhenFull, alike] of Map.groupBy(inOneOrder, filling => filling.secondsWhenFull)) {
      for (let i = 0; i < alike.length; i += rowsAtOnce) {
        const fillings = alike.slice(i, i + rowsAtOnce)
        filled.push(...(await fillAlike(transaction, fillings, { now, fullUntil: now + secondsWhenFull })))
      }
    }
    return filled
  })
}

/** Buckets of one size. */
function fillAlike(
  transaction: Transaction<Tables>,
  fillings: readonly ThrottleFilling[],
  { now, fullUntil }: { readonly now: number; readonly fullUntil: number },
): Promise<Throttle[]> {
  const start = fragment<number>`case when throttles.empty_at <= ${now} then ${now}
    when throttles.empty_at > ${fullUntil} then ${fullUntil} else throttles.empty_at end`
  return transaction
    .insertInto('throttles')
    .values(fillings.map(({ key, seconds }) => ({ key, empty_at: now + seconds })))
    .onConflict(conflict =>
      conflict
        .column('key')
        .doUpdateSet({ empty_at: fragment<number>`${start} + excluded.empty_at - ${now}` }),
    )
    .returning(['key', 'empty_at as emptyAt'])
    .execute()
}

/** Deletes buckets that are empty, at most `limit`, and returns how many there were. */
export async function deleteEmptyThrottles(
  { sql }: Database,
  { now, limit }: { readonly now: number; readonly limit: number },
): Promise<number> {
  const { numDeletedRows } = await sql
    .deleteFrom('throttles')
    .where('key', 'in', ({ selectFrom }) =>
      selectFrom('throttles').select('key').where('empty_at', '<=', now).limit(limit),
    )
    // Another server may have filled it since.
    .where('empty_at', '<=', now)
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}
