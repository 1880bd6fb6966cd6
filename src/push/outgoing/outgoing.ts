/**
 * Brings to other servers what they must know: each row of the feeds becomes deliveries, once, and each
 * delivery is tried until its receiver has taken it. Any instance works for any receiver, one at a time.
 * Receivers that fail have places of their own, of which there are few, and hold up none that is well.
 */

import type { Database } from '../../../db/database.ts'
import { addDeliveries, claimReceiver, releaseReceiver } from '../../../db/push/deliveries.ts'
import {
  takeNext,
  type DeliveryTransaction,
  type Feeds,
  type FeedName,
} from '../../../db/push/delivery-cursors.ts'
import {
  countDeliveries,
  listTroubledReceivers,
  type WaitingDeliveries,
} from '../../../db/push/delivery-figures.ts'
import type { DeliveryKindName, ReceiverTable } from '../../../db/schema.ts'
import type { Reach } from '../../clients/reach.ts'
import type { Clock } from '../../clock.ts'
import type { Log } from '../../record/log.ts'
import { followSeconds, type Job } from '../../upkeep/job.ts'
import type { Metric } from '../../upkeep/metric.ts'
import type { DeliveryKind } from './kind.ts'
import { workFor, type CountedOutcome } from './work.ts'

/** How many rows of a feed become deliveries in one transaction. */
const rowsAtOnce = 200

/** How many receivers are served at once that are well, and how many that have failed. */
const wellMax = 48
const failingMax = 16

const lookSeconds = 10
const troubledMax = 1000

export interface OutgoingOptions {
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  readonly reach: Reach
  readonly kinds: readonly DeliveryKind[]
}

export function openOutgoing(options: OutgoingOptions): {
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const { db, kinds } = options
  const counts = new Map(kinds.map(({ kind }) => [kind, newCounts()]))
  const well = openPlaces(options, { isFailing: false, max: wellMax, counts })
  const failing = openPlaces(options, { isFailing: true, max: failingMax, counts })
  let waiting: readonly WaitingDeliveries[] = []
  let troubled: readonly ReceiverTable[] = []

  const spreadAll = async (signal: AbortSignal) => {
    await spread(db, kinds, 'events', signal)
    await spread(db, kinds, 'revocations', signal)
  }
  const deliver = async (signal: AbortSignal) => {
    await well.fill(signal)
    await failing.fill(signal)
  }
  const look = async () => {
    waiting = await countDeliveries(db)
    troubled = await listTroubledReceivers(db, troubledMax)
  }
  return {
    jobs: [
      { name: 'finding what to deliver', everySeconds: followSeconds, follows: true, run: spreadAll },
      {
        name: 'delivering',
        everySeconds: followSeconds,
        follows: true,
        run: deliver,
        last: async () => void (await Promise.all([well.idle(), failing.idle()])),
      },
      { name: 'looking through the deliveries', everySeconds: lookSeconds, run: look },
    ],
    metrics: metricsOf(options, counts, { waiting: () => waiting, troubled: () => troubled }),
  }
}

type Counts = Record<CountedOutcome, number>

const newCounts = (): Counts => ({ delivered: 0, dropped: 0, refused: 0, failed: 0, given_up: 0 })

/** Turns what the feed tells into deliveries. */
async function spread<Name extends FeedName>(
  db: Database,
  kinds: readonly DeliveryKind[],
  feed: Name,
  signal: AbortSignal,
): Promise<void> {
  const work = async (sql: DeliveryTransaction, rows: readonly Feeds[Name][]) => {
    for (const { spread } of kinds) await addDeliveries(sql, (await spread[feed]?.(sql, rows)) ?? [])
  }
  while (!signal.aborted && (await takeNext(db, feed, rowsAtOnce, work)) > 0);
}

/** Places at which receivers are served. Each goes on to the next receiver for which something is due. */
function openPlaces(
  { db, clock, log, reach, kinds }: OutgoingOptions,
  {
    isFailing,
    max,
    counts,
  }: {
    readonly isFailing: boolean
    readonly max: number
    readonly counts: ReadonlyMap<DeliveryKindName, Counts>
  },
) {
  const taken = new Set<Promise<void>>()
  /** The database has failed, for instance: no server takes them over until their claims have passed. */
  const abandoned = new Set<ReceiverTable>()
  const abandon = (row: ReceiverTable) => void abandoned.add(row)
  const releaseAbandoned = async () => {
    for (const row of abandoned) {
      await releaseReceiver(db, row, { now: clock.now(), mustRest: false })
      abandoned.delete(row)
    }
  }
  const serve = async (first: ReceiverTable, signal: AbortSignal) => {
    for (let row: ReceiverTable | undefined = first; row;) {
      const { kind: name } = row
      const kind = kinds.find(({ kind }) => kind === name)
      const count = (outcome: CountedOutcome, deliveries: number) => {
        const own = counts.get(name)
        if (own) own[outcome] += deliveries
      }
      if (kind) await workFor({ db, clock, log, reach, count, abandon }, kind, row, signal)
      row = signal.aborted ? undefined : await claimReceiver(db, { now: clock.now(), isFailing })
    }
  }
  return {
    /** Begins to serve as many as there is something due for, and places. */
    fill: async (signal: AbortSignal) => {
      await releaseAbandoned()
      while (taken.size < max && !signal.aborted) {
        const row = await claimReceiver(db, { now: clock.now(), isFailing })
        if (!row) return
        const served = serve(row, signal)
          .catch((error: unknown) => log.error({ err: error }, 'a delivery failed, and is tried again'))
          .finally(() => taken.delete(served))
        taken.add(served)
      }
    },
    /** Resolves once no place is taken. */
    idle: async () => void (await Promise.all(taken)),
  }
}

function metricsOf(
  { kinds, clock }: OutgoingOptions,
  counts: ReadonlyMap<DeliveryKindName, Counts>,
  seen: {
    readonly waiting: () => readonly WaitingDeliveries[]
    readonly troubled: () => readonly ReceiverTable[]
  },
): readonly Metric[] {
  const ofKind = (value: (kind: DeliveryKindName) => number) => () =>
    kinds.map(({ kind }) => [{ kind }, value(kind)] as const)
  const waitingOf = (name: DeliveryKindName) => seen.waiting().find(({ kind }) => kind === name)
  const troubledOf = (name: DeliveryKindName, isPaused: boolean) =>
    seen.troubled().filter(({ kind, paused_at }) => kind === name && (paused_at !== null) === isPaused).length
  return [
    {
      kind: 'counter',
      name: 'mintmark_deliveries_total',
      help: 'Attempts to deliver, by outcome: delivered, refused, failed (tried again), given_up in the end, dropped unsent',
      labels: ['kind', 'outcome'],
      samples: function* () {
        for (const [kind, own] of counts)
          for (const [outcome, count] of Object.entries(own)) yield [{ kind, outcome }, count]
      },
    },
    {
      kind: 'gauge',
      name: 'mintmark_deliveries_waiting',
      help: 'What waits to be delivered to other servers, or to be fetched by them',
      labels: ['kind'],
      samples: ofKind(kind => waitingOf(kind)?.waiting ?? 0),
    },
    {
      kind: 'gauge',
      name: 'mintmark_oldest_delivery_seconds',
      help: 'How long the oldest of them has waited',
      labels: ['kind'],
      samples: ofKind(kind => Math.max(0, clock.now() - (waitingOf(kind)?.oldestAt ?? Infinity))),
    },
    {
      kind: 'gauge',
      name: 'mintmark_receivers_failing',
      help: 'Receivers of deliveries that fail: they are tried again, less and less often',
      labels: ['kind'],
      samples: ofKind(kind => troubledOf(kind, false)),
    },
    {
      kind: 'gauge',
      name: 'mintmark_receivers_paused',
      help: 'Receivers of deliveries that are paused: what is for them waits',
      labels: ['kind'],
      samples: ofKind(kind => troubledOf(kind, true)),
    },
  ]
}
