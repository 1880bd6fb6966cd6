import type { Database } from '../../db/database.ts'
import { auditEntriesFrom } from '../../db/installation/audit-following.ts'
import type { AuditPlace, ListedAuditEntry } from '../../db/installation/audit.ts'
import { findSessions } from '../../db/sessions/pages.ts'
import type { Session } from '../../db/sessions/sessions.ts'
import type { Clock } from '../clock.ts'
import { Refusal } from '../errors.ts'
import { boundedQueue } from '../load/bounded-queue.ts'
import type { Drain } from '../load/drain.ts'
import type { EventStream } from '../protocol/event-stream.ts'
import { tellSeconds, type Job } from '../upkeep/job.ts'
import { gauge, type Metric } from '../upkeep/metric.ts'
import { auditPageSize, beginning, followAuditTrail, locate, type AuditFollower } from './audit-follower.ts'

/**
 * New entries of the audit trail, for those who listen. However many they are, a server makes one read a
 * second for all of them, and none while there is none: three times out of four of what is new, and once of
 * their sessions, since who may not listen any more is cut off.
 */
export interface AuditFeed {
  /** Keeps a place for somebody who may listen. Refuses one who is one too many. */
  listen(listener: Listener): Promise<Listening>
}

export interface Listener {
  /** Has a part of the places at the most. */
  readonly source: string
  /** The entry that was told last; undefined to begin with what is new. */
  readonly after: AuditPlace | undefined
  readonly isWanted: (entry: ListedAuditEntry) => boolean
  readonly textOf: (entry: ListedAuditEntry) => string
  /** Shows that it goes on, and where it has come to. */
  readonly heartbeatAt: (place: AuditPlace) => string
  readonly sessionId: Buffer
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** Whether it may go on, as its session is now. */
  readonly mayGoOn: (session: Session) => Promise<boolean>
}

/** A place that is kept: `start` begins to tell, until the stream is closed; `stop` gives it back before. */
export interface Listening {
  start(stream: EventStream): void
  stop(): void
}

const listenersMax = 50
const ofSourceMax = 10

/** So many of the last entries are in memory, for all who are not far behind. */
const recentMax = 2 * auditPageSize

/** So many entries are in memory for one who is far behind. */
const pageSize = 200

/** How often it is shown that a stream goes on: a connection on which nothing moves is closed elsewhere. */
const heartbeatSeconds = 10

/** A reader that takes nothing for so long is cut off. */
const patienceSeconds = 10

/** Every so many seconds the sessions are read, and not the entries. */
const checkEvery = 4

interface Place {
  readonly listener: Listener
  /** Undefined before it has begun. */
  stream: EventStream | undefined
  place: AuditPlace
  isReading: boolean
  /** When it was last told something, and since when it takes nothing; by the steady clock. */
  toldAt: number
  behindSince: number | undefined
}

export interface FeedOptions {
  readonly db: Database
  readonly clock: Clock
  readonly drain: Drain
}

export function openAuditFeed({ db, clock, drain }: FeedOptions): {
  readonly auditFeed: AuditFeed
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const places = new Set<Place>()
  let following: Promise<Recent> | undefined
  let dropped = 0
  let seconds = 0

  /** Once for all who listen; anew where it has failed. */
  const followOnce = (): Promise<Recent> => {
    if (following) return following
    const opening = openRecent(db, clock)
    opening.catch(() => {
      if (following === opening) following = undefined
    })
    return (following = opening)
  }
  const end = (place: Place, why: string) => {
    places.delete(place)
    place.stream?.send(`: ${why}\n\n`)
    place.stream?.end()
  }
  const deliver = (place: Place) =>
    void tell(place, following, clock).catch(() => end(place, 'it cannot be read now: come back'))
  const keep = (place: Place) => {
    const { listener, stream } = place
    const now = clock.steady()
    if (!stream) return
    place.behindSince = stream.isBehind() ? (place.behindSince ?? now) : undefined
    if (drain.isDraining()) end(place, 'this server is about to end: come back')
    else if (listener.expiresAt <= clock.now()) end(place, 'the access token has expired')
    else if (place.behindSince !== undefined && now - place.behindSince >= patienceSeconds) {
      dropped++
      end(place, 'it is read too slowly')
    } else if (now - place.toldAt >= heartbeatSeconds && !stream.isBehind()) {
      place.toldAt = now
      stream.send(listener.heartbeatAt(place.place))
    }
  }
  const check = async () => {
    const ids = new Map(
      [...places].map(({ listener: { sessionId } }) => [sessionId.toString('hex'), sessionId]),
    )
    const sessions = await findSessions(db, [...ids.values()])
    for (const place of places) {
      const { sessionId, mayGoOn } = place.listener
      const session = sessions.find(({ id }) => id.equals(sessionId))
      if (!session || !(await mayGoOn(session))) end(place, 'it may not be read any more')
    }
  }
  const run = async () => {
    for (const place of places) keep(place)
    if (places.size === 0) following = undefined
    if (!following) return
    if (++seconds % checkEvery === 0) return check()
    const recent = await following
    // Where a backup was put back, new entries have ids that were told before.
    if ((await recent.readOn()) === 'back') for (const place of places) place.place = recent.place()
    for (const place of places) deliver(place)
  }
  const listen = async (listener: Listener): Promise<Listening> => {
    const own = [...places].filter(({ listener: { source } }) => source === listener.source)
    if (places.size >= listenersMax || own.length >= ofSourceMax)
      throw new Refusal('unavailable', 'too many streams are open: end one of them, or come back later')
    const [toldAt, place] = [clock.steady(), beginning]
    const kept: Place = {
      listener,
      stream: undefined,
      place,
      isReading: false,
      toldAt,
      behindSince: undefined,
    }
    // It has its place from here on.
    places.add(kept)
    const stop = () => void places.delete(kept)
    try {
      const recent = await followOnce()
      kept.place = listener.after ? await locate(db, listener.after) : recent.place()
    } catch (error) {
      stop()
      throw error
    }
    const start = (stream: EventStream) => {
      kept.stream = stream
      stream.onClose(stop)
      stream.onDrain(() => deliver(kept))
      keep(kept)
      deliver(kept)
    }
    return { start, stop }
  }
  return {
    auditFeed: { listen },
    jobs: [{ name: 'following the audit trail', everySeconds: tellSeconds, run }],
    metrics: [
      gauge('mintmark_audit_streams', 'Streams of the audit trail that are open', () => places.size),
      {
        kind: 'counter',
        name: 'mintmark_audit_streams_dropped_total',
        help: 'Streams of the audit trail that were cut off, since they were read too slowly',
        labels: [],
        samples: () => [[{}, dropped]],
      },
    ],
  }
}

/** Tells somebody what there is, until it takes nothing more. */
async function tell(place: Place, following: Promise<Recent> | undefined, clock: Clock): Promise<void> {
  const { listener, stream } = place
  if (!stream || place.isReading || !following) return
  place.isReading = true
  try {
    const recent = await following
    while (!stream.isBehind()) {
      const entries = await recent.after(place.place)
      if (entries.length === 0) return
      for (const entry of entries) {
        if (stream.isBehind()) return
        if (listener.isWanted(entry)) {
          stream.send(listener.textOf(entry))
          place.toldAt = clock.steady()
        }
        place.place = { at: entry.at, id: entry.id }
      }
    }
  } finally {
    place.isReading = false
  }
}

/** The last entries of the trail, and what comes. */
interface Recent {
  /** All up to it are there. */
  place(): AuditPlace
  readOn(): Promise<'on' | 'back'>
  /** Some of the entries after this place, of those that are there. */
  after(place: AuditPlace): Promise<readonly ListedAuditEntry[]>
}

async function openRecent(db: Database, clock: Clock): Promise<Recent> {
  const follower: AuditFollower = await followAuditTrail(db, clock)
  let entries: readonly ListedAuditEntry[] = []
  /** The memory has all after this id. */
  let from = follower.place().id
  /** One after the other, with rests of the same length: the trail may be long, and others work. */
  const old = boundedQueue(1, listenersMax, new Error('too many are far behind at once'))
  const readOld = async (id: number) => {
    const startedAt = clock.steady()
    const page = await auditEntriesFrom(db, id + 1, pageSize)
    await clock.pause(clock.steady() - startedAt)
    return page.filter(entry => entry.id <= follower.place().id)
  }
  return {
    place: follower.place,
    readOn: async () => {
      const before = follower.place().id
      const read = await follower.read()
      const isBack = follower.place().id < before
      entries = isBack ? [] : [...entries, ...read].slice(-recentMax)
      from = entries[0] ? entries[0].id - 1 : follower.place().id
      return isBack ? 'back' : 'on'
    },
    after: async ({ id }) => {
      return id >= from ? entries.filter(entry => entry.id > id) : old.run(() => readOld(id))
    },
  }
}
