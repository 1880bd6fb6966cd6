import type { Database } from '../../db/database.ts'
import type { OutboxTable } from '../../db/schema.ts'
import { type NewAuditEntry, withTold, type Writer } from '../../db/writer.ts'
import type { Clock } from '../clock.ts'
import { announcementsOf } from './announcements.ts'
import { nameOf, originOf, type Actor, type RequestOrigin } from './actor.ts'
import { countEvent, type Counts } from './counts.ts'
import type { Event, EventName } from './events.ts'
import { linesOf } from './log-lines.ts'
import { writeLine, type LineLog } from './restore-log.ts'

/** The actor of something, and the places where it is told. */
export interface Recorder {
  readonly db: Database
  readonly clock: Clock
  readonly log: LineLog
  readonly actor: Actor
  readonly counts?: Counts
  /** Mails that tell of it: they go into the outbox with the change, or not at all. */
  readonly mails?: readonly OutboxTable[]
}

/**
 * Does `work`, which makes one transaction and returns its result; the audit entries, the announcements to
 * those who follow and the mails are in the same transaction. Once it is durable, writes the lines of the log
 * that a restore reads, and counts. Nothing is told when the result is false or undefined. Where `what` is a
 * function, it says what has happened by the result.
 */
export async function record<T>(
  by: Recorder,
  what: Event | ((result: Exclude<T, false | undefined>) => readonly Event[]),
  work: (db: Writer) => Promise<T>,
): Promise<T> {
  let events: readonly Event[] = []
  const toldOf = (result: unknown) => {
    events = typeof what === 'function' ? what(result as Exclude<T, false | undefined>) : [what]
    return {
      entries: events.map(event => auditEntry(by, event)),
      announcements: announcementsOf(events, by.clock.now()),
      ...(by.mails && { mails: by.mails }),
    }
  }
  const result = await work(withTold(by.db, toldOf))
  if (result === false || result === undefined) return result
  for (const event of events) if (by.counts) countEvent(by.counts, event)
  for (const line of linesOf(by.actor, events)) writeLine(by.log, line)
  return result
}

/** Records what changes nothing but the trail, and the mails that tell of it. */
export async function recordAlone(by: Recorder, ...events: readonly Event[]): Promise<void> {
  await record(
    by,
    () => events,
    db => db.transact(async () => true),
  )
}

/** Records what an authenticated client asks for. */
export function byClient(
  on: Required<Omit<Recorder, 'actor' | 'mails'>>,
  id: string,
  { address, requestId }: RequestOrigin,
  log: LineLog = on.log,
): Recorder {
  const { db, clock, counts } = on
  return { db, clock, log, counts, actor: { kind: 'client', id, caller: { address, requestId } } }
}

/** Records what a person does at a page. */
export function byUser(
  on: Required<Omit<Recorder, 'actor' | 'mails'>>,
  id: Buffer,
  { address, requestId }: RequestOrigin,
): Recorder {
  const { db, clock, log, counts } = on
  return { db, clock, log, counts, actor: { kind: 'user', id, caller: { address, requestId } } }
}

/** Records what an unauthenticated request does. */
export function byNobody(
  on: Required<Omit<Recorder, 'actor' | 'mails'>>,
  { address, requestId }: RequestOrigin,
): Recorder {
  const { db, clock, log, counts } = on
  return { db, clock, log, counts, actor: { kind: 'nobody', caller: { address, requestId } } }
}

/** The entry of the audit trail for an event, now. */
export function auditEntry({ clock, actor }: Pick<Recorder, 'clock' | 'actor'>, event: Event): NewAuditEntry {
  const { userId, clientId, sessionId, detail }: AuditFacts = event
  const origin = originOf(actor)
  return {
    at: clock.now(),
    event: event.event,
    actor: nameOf(actor),
    user_id: userId ?? null,
    client_id: clientId ?? null,
    session_id: sessionId ?? null,
    address: origin?.address ?? null,
    request_id: origin?.requestId ?? null,
    count: 1,
    detail: detail === undefined ? null : JSON.stringify(detail),
  }
}

/** What the audit trail keeps of an event. */
interface AuditFacts {
  readonly event: EventName
  readonly userId?: Buffer | null
  readonly clientId?: string | null
  readonly sessionId?: Buffer
  readonly detail?: object
}
