import type { Database } from '../../db/database.ts'
import { findSessions } from '../../db/sessions/pages.ts'
import type { Client, Registry } from '../clients/registry.ts'
import type { Clock } from '../clock.ts'
import { heartbeat } from '../protocol/event-stream.ts'
import { nextHeartbeat } from './deliveries.ts'
import type { Following } from './following.ts'
import type { Present } from './present.ts'

/** For how long one may take nothing. */
export const stalledSeconds = 30

/** So long after the last look at the database no sign of life is given; then all are sent elsewhere. */
const unsureSeconds = 10
const blindSeconds = 30

export interface LookedAfter {
  readonly db: Database
  readonly clock: Clock
  readonly registry: Pick<Registry, 'findClient'>
  readonly following: Following
  readonly present: Present
}

/** Gives signs of life, and ends the streams of those whose time is over, or who take nothing. */
export async function lookAfter(on: LookedAfter): Promise<void> {
  const { clock, registry, following, present } = on
  const now = clock.steady()
  const unsureFor = now - following.readAt()
  if (unsureFor > blindSeconds) return present.endAll()
  const last = following.recent.last()?.row
  const lively = heartbeat(last && following.cursorOf(last))
  const clients = new Map<Client, boolean>()
  for (const { client } of present.all()) {
    if (!clients.has(client)) clients.set(client, await isStill(registry, client))
  }
  for (const listener of present.all()) {
    const { stream } = listener
    if (listener.endsAt <= now) present.end(listener, 'expired')
    else if (clients.get(listener.client) === false) present.end(listener, 'client')
    else if (stream.isBehind()) {
      listener.stalledAt ??= now
      if (now - listener.stalledAt > stalledSeconds) present.end(listener, 'slow')
    } else {
      listener.stalledAt = undefined
      // It says that nothing else has happened.
      if (listener.dueAt > now || unsureFor > unsureSeconds) continue
      listener.dueAt = nextHeartbeat(clock)
      stream.send(listener.seq >= (last?.seq ?? 0) ? lively : heartbeat())
    }
  }
  await endWithSessions(on, last?.seq ?? 0)
}

/**
 * Ends the streams of tokens whose sessions have ended. Whatever ends one is an event, though not all events
 * name them: after each, and once for who is new, the sessions are looked up, all by one read.
 */
async function endWithSessions({ db, present }: LookedAfter, seq: number): Promise<void> {
  const unchecked = [...present.all()].flatMap(listener =>
    listener.session && listener.checkedSeq !== seq ? [{ listener, own: listener.session }] : [],
  )
  if (unchecked.length === 0) return
  // Those of one client have the same.
  const ids = new Map(unchecked.map(({ own: { id } }) => [id.toString('hex'), id]))
  const sessions = await findSessions(db, [...ids.values()])
  for (const { listener, own } of unchecked) {
    const session = sessions.find(({ id }) => id.equals(own.id))
    if (session && own.mayGoOn(session)) listener.checkedSeq = seq
    else present.end(listener, 'client')
  }
}

/** Whether a client is still the one that was let in, and may be told the same. */
async function isStill(registry: Pick<Registry, 'findClient'>, before: Client): Promise<boolean> {
  const client = await registry.findClient(before.id)
  if (!client || client.disabled_at !== null || client.epoch !== before.epoch) return false
  // With another secret it has to come again: the one before may be a thief's.
  const isSameSecret =
    client.secret_hash?.equals(before.secret_hash ?? Buffer.alloc(0)) ?? !before.secret_hash
  return isSameSecret && client.introspects === before.introspects && client.is_admin === before.is_admin
}
