import type { ReceiverKey } from './deliveries.ts'

/** What follows the id of a stream in the name of its second lane. */
export const statusLane = '/status'

/** The receiver of the events of a stream. */
export function laneOf(id: Buffer): ReceiverKey {
  const uuid = id.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  return { kind: 'stream', id: uuid }
}

/** And with it that of the news of its status, which are told while it is paused too (SSF 1.0 §8.1.5). */
export function lanesOf(id: Buffer): readonly [events: ReceiverKey, status: ReceiverKey] {
  const events = laneOf(id)
  return [events, { ...events, id: events.id + statusLane }]
}
