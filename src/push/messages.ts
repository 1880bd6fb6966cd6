import type { EndedDetail } from '../../db/push/announcements.ts'
import type { EventRow } from '../../db/push/events.ts'
import { isAdmin, type Client } from '../clients/registry.ts'
import { streamedEvent } from '../protocol/event-stream.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { itemsOf } from '../values/list.ts'

/** The resources whose events somebody may be told. */
export interface Audience {
  /** The same for those who may be told the same. */
  readonly key: string
  /** Whether that is one of `audiences`, which are separated by spaces; null are all. */
  isAmong(audiences: string | null): boolean
}

/** What a client may be told: what concerns the APIs that it serves, or all where it is an administrator. */
export function audienceOf(client: Client): Audience {
  if (isAdmin(client)) return { key: ' ', isAmong: () => true }
  const served = new Set(itemsOf(client.introspects))
  return {
    key: client.introspects,
    isAmong: audiences => audiences === null || itemsOf(audiences).some(one => served.has(one)),
  }
}

/** An event, and its text for each audience that there is. */
export interface Message {
  readonly row: EventRow
  /** Its text; undefined where the audience is another. */
  textFor(audience: Audience): string | undefined
}

/** Makes the texts of an event when they are asked for. `id` is what a listener goes on from. */
export function messageOf(row: EventRow, id: () => string): Message {
  const texts = new Map<string, string>()
  return {
    row,
    textFor: audience => {
      if (!audience.isAmong(row.audiences)) return undefined
      let text = texts.get(audience.key)
      if (text === undefined) {
        text = streamedEvent({ event: row.kind, id: id(), data: dataOf(row, audience) })
        texts.set(audience.key, text)
      }
      return text
    },
  }
}

function dataOf({ kind, at, reason, user_id, client_id, session_id, detail }: EventRow, audience: Audience) {
  const facts = {
    ...(session_id && { sid: formatUuid(session_id) }),
    ...(user_id && { sub: formatUuid(user_id) }),
    ...(client_id !== null && { client_id }),
  }
  // The names in a row of many are for receivers alone.
  const more: object = detail === null || kind === 'sessions' ? {} : JSON.parse(detail)
  const isOfMany = kind === 'user' || kind === 'client' || kind === 'all'
  return { ...facts, ...(isOfMany ? endedFor(more as EndedDetail, audience) : more), reason, at }
}

/** Of the sessions that have ended, those which the audience may know of. */
function endedFor({ before, sessions }: EndedDetail, audience: Audience) {
  const sids = sessions.flatMap(([id, audiences]) =>
    audience.isAmong(audiences) ? [formatUuid(Buffer.from(id, 'hex'))] : [],
  )
  return { ...(before !== undefined && { before }), sids }
}
