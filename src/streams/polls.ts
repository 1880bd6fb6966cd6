/**
 * Answers receivers that fetch their events (RFC 8936). One that finds nothing may wait, at one of a bounded
 * number of places: it costs its connection, and all who wait cost one statement together. It protects
 * refreshes from them; beyond the bound all are answered at once.
 */

import type { Database } from '../../db/database.ts'
import type { Delivery, ReceiverKey } from '../../db/push/deliveries.ts'
import { listFetchable, listReceiversWithDeliveries, removeAnswered } from '../../db/push/fetched.ts'
import { lanesOf } from '../../db/push/stream-lanes.ts'
import { findStreamOfClient, type StreamOfClient } from '../../db/push/streams.ts'
import type { StreamTable } from '../../db/schema.ts'
import { openSourceQuota } from '../load/source-quota.ts'
import type { PollRequest } from '../protocol/poll-request.ts'
import { formatUuid } from '../protocol/secrets.ts'
import type { Event } from '../record/events.ts'
import { record, type Recorder } from '../record/record.ts'
import { followSeconds, type Job } from '../upkeep/job.ts'
import { gauge, type Metric } from '../upkeep/metric.ts'
import { setErrorOf } from './outcome.ts'
import { signDelivery, type SignedEvent, type Signing } from './set.ts'

/** What a receiver gets (RFC 8936 §2.3). */
export interface PollAnswer {
  readonly sets: Readonly<Record<string, string>>
  readonly moreAvailable?: true
}

/** A receiver that asks. */
export interface Poll {
  readonly by: Recorder
  readonly found: StreamOfClient
  readonly asked: PollRequest
  /** Aborted when the receiver does not wait any more. */
  readonly isGone: AbortSignal
  /** Does a part of the work when there is a place for it. */
  readonly admit: <T>(work: () => Promise<T>) => Promise<T>
}

export interface Polls {
  /** Takes what the receiver says of events, and answers with those that wait for it. */
  answer(poll: Poll): Promise<PollAnswer>
  /** Answers all who wait, and lets none wait from then on. */
  close(): void
}

export interface PollsOptions extends Signing {
  readonly db: Database
  readonly clock: Signing['clock'] & { readonly steady: () => number }
}

/** How many may wait at once, and for how long, in seconds: proxies cut off what is silent for longer. */
export const waitingMax = 500
export const waitSeconds = 20

interface Waiting {
  readonly receivers: readonly ReceiverKey[]
  readonly clientId: string
  /** By the steady clock. */
  readonly endsAt: number
  readonly wake: () => void
}

export function openPolls(options: PollsOptions): {
  readonly polls: Polls
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const { db, clock } = options
  const waiting = new Set<Waiting>()
  const quota = openSourceQuota(waitingMax)
  const counts = { acknowledged: 0, refused: 0 }
  let isClosed = false

  const wait = async (one: Pick<Waiting, 'receivers' | 'clientId'>, isGone: AbortSignal): Promise<void> => {
    if (isClosed || isGone.aborted || waiting.size >= waitingMax || !quota.take(one.clientId)) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const wake = () => resolve()
    const own: Waiting = { ...one, endsAt: clock.steady() + waitSeconds, wake }
    waiting.add(own)
    isGone.addEventListener('abort', wake, { once: true })
    await promise
    isGone.removeEventListener('abort', wake)
    waiting.delete(own)
    quota.giveBack(one.clientId)
  }
  const wakeAll = async () => {
    if (waiting.size === 0) return
    const now = clock.steady()
    const all = [...waiting]
    const found = await listReceiversWithDeliveries(
      db,
      all.flatMap(({ receivers }) => receivers),
    )
    for (const { receivers, endsAt, wake } of all)
      if (endsAt <= now || receivers.some(({ id }) => found.has(id))) wake()
  }
  return {
    polls: {
      answer: async poll => {
        const { by, found, asked, isGone, admit } = poll
        const { stream } = found
        const first = await admit(async () => {
          await take(by, stream, asked, counts)
          return asked.max === 0 ? answerOf([], await hasMore(db, stream)) : next(options, poll)
        })
        if (Object.keys(first.sets).length > 0 || !asked.mayWait) return first
        await wait({ receivers: openLanes(stream), clientId: stream.client_id }, isGone)
        if (isGone.aborted) return first
        return admit(async () => {
          // It may have been paused since, or deleted.
          const again = await findStreamOfClient(db, stream.id)
          return again ? next(options, { ...poll, found: again }) : first
        })
      },
      close: () => {
        isClosed = true
        for (const { wake } of waiting) wake()
      },
    },
    jobs: [{ name: 'waking who polls', everySeconds: followSeconds, follows: true, run: wakeAll }],
    metrics: [
      gauge('mintmark_polls_waiting', 'Receivers of streams that wait for an event', () => waiting.size),
      {
        kind: 'counter',
        name: 'mintmark_polled_events_total',
        help: 'Events that receivers have fetched, by what they said of them: acknowledged, or refused',
        labels: ['outcome'],
        samples: () => Object.entries(counts).map(([outcome, count]) => [{ outcome }, count]),
      },
    ],
  }
}

/** While a stream is paused, its status alone is told (SSF 1.0 §8.1.2.1). */
function openLanes({ id, status }: StreamTable): readonly ReceiverKey[] {
  const [events, news] = lanesOf(id)
  return status === 'enabled' ? [news, events] : [news]
}

async function hasMore(db: Database, stream: StreamTable): Promise<boolean> {
  return (await listFetchable(db, openLanes(stream), 1)).length > 0
}

/** The events that wait, the oldest first. Those that its client may not be told any more are dropped. */
async function next(options: PollsOptions, { by, found, asked: { max } }: Poll): Promise<PollAnswer> {
  const lanes = openLanes(found.stream)
  for (;;) {
    const deliveries = await listFetchable(options.db, lanes, max + 1)
    const page = deliveries.slice(0, max)
    const signed = await Promise.all(page.map(delivery => signDelivery(options, found, delivery)))
    const lost = page.filter((_, i) => !signed[i])
    if (lost.length > 0) await removeAnswered(by.db, lanes, idsOf(lost))
    const sets = signed.filter(set => set !== undefined)
    if (sets.length > 0 || deliveries.length <= max) return answerOf(sets, deliveries.length > max)
  }
}

function answerOf(sets: readonly SignedEvent[], hasMore: boolean): PollAnswer {
  return {
    sets: Object.fromEntries(sets.map(({ jti, jwt }) => [jti, jwt])),
    ...(hasMore && { moreAvailable: true }),
  }
}

const idsOf = (deliveries: readonly Pick<Delivery, 'token_id'>[]): ReadonlySet<string> =>
  new Set(deliveries.map(({ token_id }) => token_id.toString('hex')))

/** Removes what the receiver has taken, or does not take: the trail has that. */
async function take(
  by: Recorder,
  stream: StreamTable,
  { acknowledged, errors }: PollRequest,
  counts: Record<'acknowledged' | 'refused', number>,
): Promise<void> {
  const refusals = new Map(
    Object.entries(errors).map(([jti, error]) => [
      hexOf(jti),
      setErrorOf(error)?.reason ?? 'without a reason',
    ]),
  )
  const answered = new Set([...acknowledged.map(hexOf), ...refusals.keys()])
  if (answered.size === 0) return
  const refusedOf = (removed: readonly Delivery[]) =>
    removed.filter(({ token_id }) => refusals.has(token_id.toString('hex')))
  const [lane] = lanesOf(stream.id)
  const eventOf = ({ token_id }: Delivery): Event => ({
    event: 'delivery_refused',
    clientId: stream.client_id,
    detail: {
      kind: lane.kind,
      receiver: lane.id,
      reason: `${formatUuid(token_id)}: ${refusals.get(token_id.toString('hex'))}`,
    },
  })
  const removed = await record(
    by,
    (removed: readonly Delivery[]) => refusedOf(removed).map(eventOf),
    db => removeAnswered(db, lanesOf(stream.id), answered),
  )
  const refused = refusedOf(removed).length
  counts.refused += refused
  counts.acknowledged += removed.length - refused
}

const hexOf = (jti: string) => jti.replaceAll('-', '')
