import { sql as fragment } from 'kysely'
import type { Database } from '../database.ts'

export interface StatusPositionLease {
  /** The first of the numbers that are the caller's. */
  readonly first: number
  /** Turns them into positions. */
  readonly permutationKey: Buffer
}

/** Takes the next `count` numbers for positions in the status lists. No two callers get the same. */
export async function leaseStatusPositions({ sql }: Database, count: number): Promise<StatusPositionLease> {
  const { next, permutation_key } = await sql
    .updateTable('status_positions')
    .set({ next: fragment`next + ${fragment.lit(count)}` })
    .returning(['next', 'permutation_key'])
    .executeTakeFirstOrThrow()
  return { first: next - count, permutationKey: permutation_key }
}
