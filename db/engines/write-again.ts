import { randomBytes } from 'node:crypto'
import type { Database } from '../database.ts'

/** Too large to find room in a page that has some left, and small enough for PostgreSQL's index. */
const trialBytes = 2000

/**
 * After the database has refused to write, tries whether it does again: with a row that is gone at once,
 * since a row that is not committed needs no room on the disk. Rejects while it refuses.
 */
export async function writeAgain({ sql, writeFault }: Database): Promise<void> {
  if (writeFault.last() === undefined) return
  const id = randomBytes(trialBytes)
  await sql.insertInto('replays').values({ id, expires_at: 0 }).execute()
  await sql.deleteFrom('replays').where('id', '=', id).execute()
  writeFault.clear()
}
