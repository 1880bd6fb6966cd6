import type { Database } from '../database.ts'
import { isOfThisEpoch } from './sessions.ts'

/** How many sessions of a client there are in each state. */
export interface SessionCounts {
  readonly client_id: string
  living: number
  expired: number
  /** Revoked, or ended with their user or client. */
  revoked: number
  /**
   * Of the expired and revoked, those that ended so long ago that the sweeper deletes them when it comes by.
   */
  waiting: number
}

const rowsAtOnce = 5000

/**
 * Counts all sessions by client and state at the time `now`; those that ended by `endedBy` wait for the
 * sweeper. Reads page by page, so that nothing is held up by it, and tells after each page how many rows it
 * has seen.
 */
export async function summarizeSessions(
  db: Database,
  { now, endedBy }: { readonly now: number; readonly endedBy: number },
  onProgress: (seen: number) => void,
): Promise<readonly SessionCounts[]> {
  const counts = new Map<string, SessionCounts>()
  let seen = 0
  for (let after: Buffer = Buffer.alloc(16); ;) {
    const page = await readPage(db, after)
    for (const row of page) {
      const { client_id, revoked_at, expires_at } = row
      const ofClient = counts.get(client_id) ?? { client_id, living: 0, expired: 0, revoked: 0, waiting: 0 }
      counts.set(client_id, ofClient)
      ofClient[
        revoked_at !== null || !isOfThisEpoch(row) ? 'revoked' : expires_at > now ? 'living' : 'expired'
      ]++
      if (Math.min(expires_at, revoked_at ?? Infinity) <= endedBy) ofClient.waiting++
    }
    seen += page.length
    onProgress(seen)
    const last = page.at(-1)
    if (!last || page.length < rowsAtOnce) break
    after = last.id
  }
  return [...counts.values()].sort((a, b) => (a.client_id < b.client_id ? -1 : 1))
}

function readPage({ sql }: Database, after: Buffer) {
  return sql
    .selectFrom('sessions')
    .leftJoin('users', 'users.id', 'sessions.user_id')
    .leftJoin('clients', 'clients.id', 'sessions.client_id')
    .select(['sessions.id', 'sessions.client_id', 'expires_at', 'revoked_at', 'user_id', 'user_epoch'])
    .select(['client_epoch', 'users.epoch as users_epoch', 'clients.epoch as clients_epoch'])
    .where('sessions.id', '>', after)
    .orderBy('sessions.id')
    .limit(rowsAtOnce)
    .execute()
}
