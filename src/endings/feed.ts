import type { Database } from '../../db/database.ts'
import { listRevocations, type Revocation } from '../../db/sessions/revocations.ts'

export interface RevocationFeed {
  /** Reads all that was committed before the call. */
  readonly read: () => Promise<void>
}

export interface RevocationFeedOptions {
  readonly db: Database
  /** Told of each entry. */
  readonly onRevocation: (revocation: Revocation) => void
  /**
   * Told afterwards of those that were added since the first reading. Where it fails, they are read again.
   */
  readonly onNews?: (revocations: readonly Revocation[]) => Promise<void>
  /** The feed is not the one that was read so far: it is read again from its beginning. */
  readonly onRestart: () => void
}

const pageSize = 1000

/**
 * Follows the revocations in the order of their numbers, which is that of their commits: a number is given
 * out under a lock that is held until the commit, so none is passed over.
 *
 * The last entry read must still be there, and be the same. A database that has gone back in time (a standby
 * that had not received everything) gives the same numbers to other sessions.
 */
export function openRevocationFeed({
  db,
  onRevocation,
  onNews = async () => {},
  onRestart,
}: RevocationFeedOptions): RevocationFeed {
  let last: Revocation | undefined
  let isHistory = true
  let reading: Promise<void> | undefined
  let next: Promise<void> | undefined

  const isStillThere = (first: Revocation | undefined, before: Revocation) =>
    first?.seq === before.seq && first.session_id.equals(before.session_id)

  const readNew = async () => {
    for (;;) {
      const page = await listRevocations(db, { from: last?.seq ?? 0, limit: pageSize })
      if (last && !isStillThere(page.shift(), last)) {
        last = undefined
        isHistory = true
        onRestart()
        continue
      }
      page.forEach(onRevocation)
      if (!isHistory && page.length > 0) await onNews(page)
      last = page.at(-1) ?? last
      if (page.length >= pageSize - 1) continue
      isHistory = false
      return
    }
  }

  const read = (): Promise<void> => {
    if (!reading) {
      reading = readNew().finally(() => {
        reading = undefined
      })
      return reading
    }
    // The reading under way may have missed the latest; callers until its end share the next one.
    next ??= reading
      .catch(() => {}) // its caller hears of it
      .then(() => {
        next = undefined
        return read()
      })
    return next
  }

  return { read }
}
