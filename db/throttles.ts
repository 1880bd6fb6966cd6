import { sql as fragment } from 'kysely'
import type { Database } from './database.ts'

/** A bucket of wrong guesses, as all servers have filled it together. */
export interface ThrottleTable {
  /** A keyed hash of what the guesses have in common. */
  key: string
  /** Seconds since the epoch. */
  empty_at: number
}

/** How full a bucket of guesses is: it is empty at that time, in seconds since the epoch. */
export interface Throttle {
  readonly key: string
  readonly emptyAt: number
}

/** What servers on two keys would wait for from each other, they take in the same order. */
const inOrder = (a: { readonly key: string }, b: { readonly key: string }) => (a.key < b.key ? -1 : 1)

/** So many rows go into one statement. */
const rowsAtOnce = 500

/** Fills buckets by so many seconds each, in one write, and returns how full they are then by what all servers have told. */
export async function fillThrottles(
  { transact }: Database,
  fillings: readonly { readonly key: string; readonly seconds: number }[],
  now: number,
): Promise<Throttle[]> {
  const rows = [...fillings].sort(inOrder).map(({ key, seconds }) => ({ key, empty_at: now + seconds }))
  return transact(async transaction => {
    const filled: Throttle[] = []
    for (let i = 0; i < rows.length; i += rowsAtOnce) {
      const start = fragment<number>`case when throttles.empty_at > ${now} then throttles.empty_at else ${now} end`
      const part = await transaction
        .insertInto('throttles')
        .values(rows.slice(i, i + rowsAtOnce))
        .onConflict(conflict =>
          conflict.column('key').doUpdateSet({
            empty_at: fragment<number>`${start} + excluded.empty_at - ${now}`,
          }),
        )
        .returning(['key', 'empty_at as emptyAt'])
        .execute()
      filled.push(...part)
    }
    return filled
  })
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
