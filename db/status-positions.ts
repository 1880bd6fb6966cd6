import { sql as fragment } from 'kysely'
import type { Database } from './database.ts'

/** Takes the next `count` positions in the status lists, and returns the first of them. No two callers get the same. */
export async function leaseStatusPositions({ sql }: Database, count: number): Promise<number> {
  const { next } = await sql
    .updateTable('status_positions')
    .set({ next: fragment`next + ${fragment.lit(count)}` })
    .returning('next')
    .executeTakeFirstOrThrow()
  return next - count
}
