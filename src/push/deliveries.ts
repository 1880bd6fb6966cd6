import { listEvents } from '../../db/push/events.ts'
import type { Database } from '../../db/database.ts'
import type { Session } from '../../db/sessions/sessions.ts'
import type { Client } from '../clients/registry.ts'
import type { Clock } from '../clock.ts'
import type { EventStream } from '../protocol/event-stream.ts'
import { boundedQueue } from '../load/bounded-queue.ts'
import type { Following } from './following.ts'
import type { Audience, Message } from './messages.ts'

/** The session of the access token that a listener has shown. */
export interface ListenersSession {
  readonly id: Buffer
  /** Whether it may go on, as its session is now. */
  readonly mayGoOn: (session: Session) => boolean
}

/** Somebody who listens. */
export interface Listener {
  readonly client: Client
  /** Undefined where it has shown a secret. */
  readonly session: ListenersSession | undefined
  readonly stream: EventStream
  readonly audience: Audience
  /** By the steady clock. */
  readonly endsAt: number
  /** The number of the last event that was looked at. */
  seq: number
  /** The number of the latest event when its session was looked up; undefined until then. */
  checkedSeq: number | undefined
  /** When it gets the next sign of life. */
  dueAt: number
  /** Since when it takes nothing. */
  stalledAt: number | undefined
  isCatchingUp: boolean
}

/** How often a listener gets a sign of life, at the least: a proxy closes what is silent for a minute. */
export const heartbeatSeconds = 15

/** How much is sent to one at once. */
const textLengthMax = 16_384

/** How many of those that have missed much are served at once, and how much is read for one of them. */
const catchingUpMax = 2
const rowsAtOnce = 200

export interface DeliveryOptions {
  readonly db: Database
  readonly clock: Clock
  /** How many may listen. */
  readonly listenersMax: number
  /** The events, as they are followed; undefined while there is no listener. */
  readonly following: () => Following | undefined
  readonly isThere: (listener: Listener) => boolean
  /** It cannot be served here. */
  readonly onFailure: (listener: Listener) => void
}

/** Takes a listener as far as it goes: from where it is, to the latest event or to what it can hold. */
export function openDeliveries(options: DeliveryOptions): {
  readonly deliver: (listener: Listener) => void
  /** How many events were sent, each counted for every listener. */
  readonly sent: () => number
} {
  const { db, clock, following, isThere, onFailure } = options
  const queue = boundedQueue(catchingUpMax, options.listenersMax, new Error('too many catch up at once'))
  let sent = 0

  const send = (listener: Listener, messages: readonly Message[]): void => {
    const { stream, audience } = listener
    let text = ''
    const flush = () => {
      if (text !== '') stream.send(text)
      text = ''
      listener.dueAt = nextHeartbeat(clock)
    }
    for (const message of messages) {
      listener.seq = message.row.seq
      const own = message.textFor(audience)
      if (own !== undefined) {
        sent++
        text += own
      }
      if (text.length > textLengthMax) flush()
      if (stream.isBehind()) return
    }
    if (text !== '') flush()
  }

  /** Reads the events it has missed that are not in memory, step by step, with rests of the same length. */
  const readOn = async (listener: Listener): Promise<void> => {
    for (;;) {
      const own = following()
      if (!own || !isThere(listener) || listener.stream.isBehind() || own.recent.after(listener.seq)) return
      const startedAt = clock.steady()
      const rows = await listEvents(db, { from: listener.seq + 1, limit: rowsAtOnce })
      if (rows.length === 0) return
      send(listener, rows.map(own.messageOf))
      await clock.pause(clock.steady() - startedAt)
    }
  }
  const catchUp = async (listener: Listener): Promise<void> => {
    listener.isCatchingUp = true
    try {
      await queue.run(() => readOn(listener))
      listener.isCatchingUp = false
      if (following()?.recent.after(listener.seq)) deliver(listener)
    } catch {
      onFailure(listener)
    }
  }

  const deliver = (listener: Listener): void => {
    if (!isThere(listener) || listener.isCatchingUp || listener.stream.isBehind()) return
    const own = following()
    if (!own) return
    const messages = own.recent.after(listener.seq)
    if (messages) send(listener, messages)
    else void catchUp(listener)
  }
  return { deliver, sent: () => sent }
}

/** Not all at once, though many may have come at once. */
export function nextHeartbeat(clock: Clock): number {
  return clock.steady() + heartbeatSeconds * (0.8 + 0.2 * Math.random())
}
