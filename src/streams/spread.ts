import type { NewDelivery } from '../../db/push/deliveries.ts'
import type { DeliveryTransaction } from '../../db/push/delivery-cursors.ts'
import type { EventRow } from '../../db/push/events.ts'
import { laneOf } from '../../db/push/stream-lanes.ts'
import { findSubjects, subjectId, type StreamSubject } from '../../db/push/stream-subjects.ts'
import { listOpenStreams, type StreamOfClient } from '../../db/push/streams.ts'
import { formatUuid, newUuid } from '../protocol/secrets.ts'
import type { SecurityEvent } from '../protocol/security-events.ts'
import { audienceOf } from '../push/messages.ts'
import { contentOf } from './content.ts'
import { deliveredEvents, heldSeconds } from './document.ts'
import { eachOfMany, securityEventsOf } from './security-events.ts'

/** An event of the outbox, as it concerns one stream. */
interface Told {
  readonly row: EventRow
  readonly of: StreamOfClient
  readonly events: readonly SecurityEvent[]
}

/** What becomes of events of the outbox for each stream that there is. Part of a transaction. */
export async function spreadEvents(
  { issuer, now }: { readonly issuer: string; readonly now: number },
  sql: DeliveryTransaction,
  rows: readonly EventRow[],
): Promise<readonly NewDelivery[]> {
  const open = (await listOpenStreams(sql)).map(of => ({
    of,
    audience: audienceOf(of.client),
    delivered: deliveredEvents(of.stream),
  }))
  if (open.length === 0) return []
  const told = rows.flatMap(eachOfMany).flatMap(row =>
    open.flatMap(({ of, audience, delivered }): readonly Told[] => {
      const events = securityEventsOf(row, { issuer, audience }).filter(({ type }) =>
        delivered.includes(type),
      )
      return events.length > 0 ? [{ row, of, events }] : []
    }),
  )
  const isWanted = await wishes(sql, told)
  return told.filter(isWanted).flatMap(one => deliveriesOf(one, now))
}

/** Finds out which of them their streams are about (SSF 1.0 §8.1.3). */
async function wishes(sql: DeliveryTransaction, told: readonly Told[]): Promise<(told: Told) => boolean> {
  const exceptions = await findSubjects(
    sql,
    told.flatMap(one => subjectOf(one) ?? []),
  )
  return one => {
    const isOfAll = one.of.stream.default_subjects === 'ALL'
    const subject = subjectOf(one)
    if (subject) return exceptions.has(subjectId(subject).toString('hex')) !== isOfAll
    // Users whose sessions all end are among others that do; a machine is none of them.
    return isOfAll || one.row.kind !== 'session'
  }
}

function subjectOf({ row: { user_id: userId }, of }: Told): StreamSubject | undefined {
  return userId ? { streamId: of.stream.id, userId } : undefined
}

function deliveriesOf({ row, of: { stream }, events }: Told, now: number): readonly NewDelivery[] {
  const { kind, id: receiver } = laneOf(stream.id)
  // A user gets everything in its order, and so does each of the user's sessions.
  const subject = row.user_id ?? row.session_id ?? stream.id
  return events.map(event => ({
    kind,
    receiver,
    subject,
    token_id: newUuid(now),
    content: contentOf({ ...event, txn: formatUuid(row.id), at: row.at, audiences: row.audiences }),
    created_at: now,
    expires_at: now + heldSeconds,
    isFetched: stream.method === 'poll',
  }))
}
