import type { Database } from '../../db/database.ts'
import { countEventsAfter, findEventBefore, hasEvent } from '../../db/push/events.ts'
import type { Cursors } from './cursors.ts'
import type { RecentMessages } from './recent.ts'

/** Where a listener begins. */
export interface Start {
  /** The number of the last event that it is not told. */
  readonly seq: number
  /** Whether it has missed events that it cannot be told any more. */
  readonly isReset: boolean
}

/** One that has missed more is told so: the status lists say the same in one answer. */
export const missedMax = 20_000

/**
 * Finds where a listener goes on. One without a place, or with one from which none can go on, begins a while
 * ago, at `since` (seconds since the epoch): together with a status list that is not older, it knows all.
 */
export async function findStart(
  on: { readonly db: Database; readonly cursors: Cursors; readonly recent: RecentMessages },
  lastEventId: string | undefined,
  since: number,
): Promise<Start> {
  const { db, cursors, recent } = on
  const begin = async () => (await findEventBefore(db, since))?.seq ?? 0
  if (lastEventId === undefined) return { seq: await begin(), isReset: false }
  const position = await cursors.read(lastEventId)
  if (!position) return { seq: await begin(), isReset: true }
  const { seq, id } = position
  if (recent.at(seq)?.row.id.equals(id)) return { seq, isReset: false }
  const isGood = (await hasEvent(db, position)) && (await countEventsAfter(db, seq, missedMax)) < missedMax
  return isGood ? { seq, isReset: false } : { seq: await begin(), isReset: true }
}
