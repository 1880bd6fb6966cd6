import type { Database } from '../../db/database.ts'
import { listEvents, listLatestEvents, type EventPosition, type EventRow } from '../../db/push/events.ts'
import type { Clock } from '../clock.ts'
import { openFeed } from '../endings/feed.ts'
import type { Cursors } from './cursors.ts'
import { messageOf, type Message } from './messages.ts'
import { openRecent, recentMax, type RecentMessages } from './recent.ts'

/** The events, as they are followed while somebody listens. */
export interface Following {
  readonly recent: RecentMessages
  /** Reads all that was committed before the call. */
  read(): Promise<void>
  /** When it was last known, by the steady clock, that there is nothing else. */
  readAt(): number
  /** The message of an event that is read anew. */
  messageOf(row: EventRow): Message
  /** A text for where a listener has come to. The same for all that have come as far. */
  cursorOf(position: EventPosition): string
}

/** Begins with the latest events. Where the database has gone back in time, that is told, and it is done. */
export function openFollowing(
  { db, clock, cursors }: { readonly db: Database; readonly clock: Clock; readonly cursors: Cursors },
  onGoneBack: () => void,
): Following {
  const recent = openRecent()
  let readAt = -Infinity
  let latest: { readonly position: EventPosition; readonly cursor: string } | undefined

  const cursorOf = (position: EventPosition) => {
    if (latest?.position.id !== position.id) latest = { position, cursor: cursors.write(position) }
    return latest.cursor
  }
  const message = (row: EventRow) => messageOf(row, () => cursorOf(row))
  const feed = openFeed<EventRow>({
    list: page => listEvents(db, page),
    isSame: (one, other) => one.id.equals(other.id),
    listLatest: () => listLatestEvents(db, recentMax),
    onEntry: row => recent.add(message(row)),
    onRestart: onGoneBack,
  })
  return {
    recent,
    read: async () => {
      const askedAt = clock.steady()
      await feed.read()
      readAt = askedAt
    },
    readAt: () => readAt,
    messageOf: message,
    cursorOf,
  }
}
