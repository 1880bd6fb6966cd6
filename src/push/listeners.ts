/**
 * Tells listeners what has ended, and holds nothing for them: each has a place in the events, and takes from
 * there on what it can. So one that reads slowly, or not at all, costs no more than its connection, and is
 * cut off after a while. It protects refreshes: listeners get half of the event loop's time at the most.
 */

import type { Database } from '../../db/database.ts'
import { deleteEvents } from '../../db/push/events.ts'
import { readSweeper } from '../../db/sessions/sweeper.ts'
import type { Client, Registry } from '../clients/registry.ts'
import type { Clock } from '../clock.ts'
import { streamedEvent, streamStart, type EventStream } from '../protocol/event-stream.ts'
import { followSeconds, forgetSeconds, type Job } from '../upkeep/job.ts'
import type { Metric } from '../upkeep/metric.ts'
import { day } from '../values/duration.ts'
import type { Cursors } from './cursors.ts'
import { openDeliveries, type Listener, type ListenersSession } from './deliveries.ts'
import { openFollowing, type Following } from './following.ts'
import { lookAfter } from './look-after.ts'
import { audienceOf } from './messages.ts'
import { openPresent, tooMany } from './present.ts'
import { findStart } from './start.ts'

/** Somebody who has shown that they may listen. */
export interface NewListener {
  readonly client: Client
  /** Undefined where it has shown a secret. */
  readonly session: ListenersSession | undefined
  /** For how many seconds it may listen. */
  readonly seconds: number
  /** The `Last-Event-ID`, from where it goes on. */
  readonly lastEventId: string | undefined
}

export interface Listeners {
  /**
   * Begins to tell a listener. `open` is called once nothing stands in the way: before, it throws
   * `temporarily_unavailable` (503) where there are too many, or the database is away.
   */
  add(listener: NewListener, open: () => EventStream): Promise<void>
  /** Ends all streams, and takes no others. */
  close(): void
}

export interface ListenersOptions {
  readonly db: Database
  readonly clock: Clock
  readonly registry: Pick<Registry, 'findClient'>
  readonly cursors: Cursors
  /** How old a status list may be that somebody goes by. */
  readonly statusListDelaySeconds: number
  /** How often it is looked whether there is something to tell: the database may not say so. */
  readonly everySeconds: number
}

/** How long events are kept. */
export const keptSeconds = 7 * day
const deletedAtOnce = 10_000

/** How many may listen. Once there are half as many, each client has a tenth at the most. */
export const listenersMax = 2000

/** How many are served in one turn of the event loop. */
const listenersAtOnce = 250

/** How long one waits before it comes again. */
const retryMilliseconds = 1000

/** Opens the listeners. Events are followed while there is one. */
export function openListeners(options: ListenersOptions): {
  readonly listeners: Listeners
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const { db, clock } = options
  const present = openPresent(listenersMax)
  let following: Following | undefined
  let isClosed = false

  const { deliver, sent } = openDeliveries({
    db,
    clock,
    listenersMax,
    following: () => following,
    isThere: present.has,
    onFailure: listener => present.end(listener, 'server'),
  })
  const follow = async (): Promise<Following> => {
    const own = (following ??= openFollowing(options, () => {
      following = undefined
      present.endAll()
    }))
    await own.read()
    return own
  }
  const tellAll = async () => {
    if (present.all().size === 0) following = undefined
    else await inTurns(clock, lateListeners(await follow(), present.all()), deliver)
  }
  const lookAfterAll = async () => {
    if (present.all().size > 0 && following) await lookAfter({ ...options, following, present })
  }

  return {
    listeners: {
      add: (added, open) =>
        present.admit(added.client.id, async () => {
          const { recent } = await follow()
          const since = clock.now() - options.statusListDelaySeconds
          const start = await findStart({ ...options, recent }, added.lastEventId, since)
          if (isClosed) throw tooMany
          const listener = listenerOf(added, start.seq, open(), clock.steady())
          const { stream } = listener
          present.add(listener)
          stream.onClose(() => present.end(listener, 'closed'))
          stream.onDrain(() => deliver(listener))
          stream.send(streamStart(retryMilliseconds))
          if (start.isReset) stream.send(streamedEvent({ event: 'reset', id: '', data: {} }))
          deliver(listener)
          return listener
        }),
      close: () => {
        isClosed = true
        present.endAll()
      },
    },
    jobs: [
      { name: 'telling listeners', everySeconds: options.everySeconds, follows: true, run: tellAll },
      { name: 'looking after listeners', everySeconds: followSeconds, run: lookAfterAll },
      { name: 'forgetting what was told', everySeconds: forgetSeconds, run: () => forget(db, clock) },
    ],
    metrics: [
      ...present.metrics,
      {
        kind: 'counter',
        name: 'mintmark_events_sent_total',
        help: 'Events sent, each counted for every listener',
        labels: [],
        samples: () => [[{}, sent()]],
      },
    ],
  }
}

function listenerOf(added: NewListener, seq: number, stream: EventStream, now: number): Listener {
  const { client, session, seconds } = added
  return {
    client,
    session,
    stream,
    audience: audienceOf(client),
    endsAt: now + seconds,
    seq,
    checkedSeq: undefined,
    // At once: it shows how far the listener has come.
    dueAt: now,
    stalledAt: undefined,
    isCatchingUp: false,
  }
}

function lateListeners({ recent }: Following, present: Iterable<Listener>): readonly Listener[] {
  const last = recent.last()?.row.seq ?? 0
  return [...present].filter(({ seq }) => seq < last)
}

/** Some in each turn of the event loop; and where that takes long, a rest of the same length. */
async function inTurns(
  clock: Clock,
  listeners: readonly Listener[],
  deliver: (listener: Listener) => void,
): Promise<void> {
  let spent = 0
  for (let i = 0; i < listeners.length; i += listenersAtOnce) {
    const startedAt = clock.steady()
    listeners.slice(i, i + listenersAtOnce).forEach(deliver)
    spent += clock.steady() - startedAt
    if (listeners.length > listenersAtOnce) await clock.pause(0)
  }
  if (listeners.length > listenersAtOnce) await clock.pause(spent)
}

/** By the sweeper's time, which does not follow a clock that jumps ahead. */
async function forget(db: Database, clock: Clock): Promise<void> {
  const sweeper = await readSweeper(db)
  const before = Math.min(clock.now(), sweeper.clock ?? 0) - keptSeconds
  await deleteEvents(db, { before, limit: deletedAtOnce })
}
