import type { StreamTable } from '../../db/schema.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { eventTypeUris, pollDelivery, pushDelivery } from '../protocol/security-events.ts'
import { day } from '../values/duration.ts'
import { itemsOf } from '../values/list.ts'

/** So long a receiver waits before it asks for another verification, in seconds. */
export const verificationSeconds = 60

/** So long an event is held for a stream that is paused, or not fetched. */
export const heldSeconds = 7 * day

/** Where a receiver polls. */
export function pollUrl(issuer: string, streamId: Buffer): string {
  return `${issuer}/ssf/poll/${formatUuid(streamId)}`
}

/** The URIs of the events that are delivered: those that were requested, of those that there are. */
export function deliveredEvents({
  events_requested,
}: Pick<StreamTable, 'events_requested'>): readonly string[] {
  if (events_requested === null) return eventTypeUris
  const requested = itemsOf(events_requested)
  return eventTypeUris.filter(uri => requested.includes(uri))
}

/** What a receiver cannot change of its stream. */
export function fixedMembers(stream: StreamTable, issuer: string) {
  return {
    stream_id: formatUuid(stream.id),
    iss: issuer,
    aud: stream.audience,
    events_supported: eventTypeUris,
    events_delivered: deliveredEvents(stream),
    min_verification_interval: verificationSeconds,
  }
}

/** The configuration of a stream (SSF 1.0 §8.1.1). The authorization of its pushes is never told. */
export function configurationOf(stream: StreamTable, issuer: string) {
  const { id, method, endpoint_url, events_requested, description } = stream
  return {
    ...fixedMembers(stream, issuer),
    delivery:
      method === 'push'
        ? { method: pushDelivery, endpoint_url }
        : { method: pollDelivery, endpoint_url: pollUrl(issuer, id) },
    ...(events_requested !== null && { events_requested: itemsOf(events_requested) }),
    ...(description !== null && { description }),
  }
}

/** The status of a stream (SSF 1.0 §8.1.2). */
export function statusOf({ id, status, status_reason }: StreamTable) {
  return { stream_id: formatUuid(id), status, ...(status_reason !== null && { reason: status_reason }) }
}
