import {
  forgetReceiver,
  listDueDeliveries,
  listExpiredDeliveries,
  noteAttempts,
  releaseReceiver,
  type Attempted,
  type Delivery,
  type ReceiverState,
} from '../../../db/push/deliveries.ts'
import type { Database } from '../../../db/database.ts'
import type { ReceiverTable } from '../../../db/schema.ts'
import type { Reach } from '../../clients/reach.ts'
import type { Clock } from '../../clock.ts'
import type { Event } from '../../record/events.ts'
import type { Log } from '../../record/log.ts'
import { record } from '../../record/record.ts'
import { openAttempts, type Attempt, type Attempts } from './attempt.ts'
import { attemptsMax, pauseSeconds, triedSeconds } from './back-off.ts'
import type { DeliveryKind, Receiver } from './kind.ts'

/** How many are tried before it is noted what has become of them. */
const deliveriesAtOnce = 100
const expiredAtOnce = 1000

export type CountedOutcome = 'delivered' | 'dropped' | 'refused' | 'failed' | 'given_up'

export interface WorkOptions {
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  readonly reach: Reach
  readonly count: (outcome: CountedOutcome, deliveries: number) => void
  /** Told of a receiver that is worked for no more, though it is still claimed. */
  readonly abandon: (row: ReceiverTable) => void
}

/**
 * Works for a receiver that was claimed, until nothing is due any more or it fails. A delivery that fails is
 * tried later by itself; where none gets through, the whole receiver rests, and then is tried with one.
 */
export async function workFor(
  on: WorkOptions,
  kind: DeliveryKind,
  claimed: ReceiverTable,
  signal: AbortSignal,
): Promise<void> {
  let last = claimed
  try {
    const receiver = await kind.findReceiver(claimed.id)
    if (!receiver) return void (await on.db.transact(sql => forgetReceiver(sql, claimed)))
    const work = { kind, receiver, row: claimed, attempts: openAttempts(on, receiver, signal) }
    try {
      await workUntilDone(on, work, signal, row => (last = row))
    } finally {
      work.attempts.close()
    }
  } catch (error) {
    on.abandon(last)
    throw error
  }
}

async function workUntilDone(
  on: WorkOptions,
  { kind, receiver, row: claimed, attempts }: Work & { readonly attempts: Attempts },
  signal: AbortSignal,
  onChange: (row: ReceiverTable) => void,
): Promise<void> {
  const { db, clock } = on
  let row = await dropExpired(on, receiver, claimed)
  let mustRest = false
  while (row?.paused_at === null && !signal.aborted) {
    onChange(row)
    const now = clock.now()
    const limit = row.failures > 0 ? 1 : deliveriesAtOnce
    const due = await listDueDeliveries(db, row, { now, limit })
    const attempted = await attempts.all(due)
    mustRest = due.length > 0 && attempted.length === 0
    if (attempted.length === 0) break
    row = await note(on, { kind, receiver, row }, attempted)
    if (row && row.failures > 0) break
  }
  if (row) await releaseReceiver(db, row, { now: clock.now(), mustRest })
}

/** Undefined, as below, where another process works for the receiver since. */
async function dropExpired(
  on: WorkOptions,
  receiver: Receiver,
  claimed: ReceiverTable,
): Promise<ReceiverTable | undefined> {
  let row: ReceiverTable | undefined = claimed
  while (row) {
    const now = on.clock.now()
    const expired: readonly Delivery[] = await listExpiredDeliveries(on.db, row, {
      now,
      limit: expiredAtOnce,
    })
    if (expired.length === 0) return row
    const given = { done: expired.map(({ id }) => id), failed: [], receiver: stateOf(row) }
    row = await write(on, row, given, [givenUp(row, receiver, expired.length, row.last_error)])
    if (row) on.count('given_up', expired.length)
  }
  return undefined
}

interface Work {
  readonly kind: DeliveryKind
  readonly receiver: Receiver
  readonly row: ReceiverTable
}

async function note(
  on: WorkOptions,
  { kind, receiver, row }: Work,
  attempts: readonly Attempt[],
): Promise<ReceiverTable | undefined> {
  const now = on.clock.now()
  const events: Event[] = []
  const done: number[] = []
  const failed: Attempted['failed'][number][] = []
  const counts: Record<CountedOutcome, number> = {
    delivered: 0,
    dropped: 0,
    refused: 0,
    failed: 0,
    given_up: 0,
  }
  let lastError: string | undefined
  for (const { delivery, outcome } of attempts) {
    counts[outcome.kind]++
    const tries = delivery.attempts + 1
    if (outcome.kind === 'failed') lastError = outcome.reason
    if (outcome.kind === 'failed' && tries < attemptsMax) {
      const next_attempt_at = now + pauseSeconds(tries, Math.random())
      failed.push({ id: delivery.id, attempts: tries, next_attempt_at, last_error: outcome.reason })
      continue
    }
    done.push(delivery.id)
    if (outcome.kind === 'refused') events.push(refused(row, receiver, outcome.reason))
    if (outcome.kind === 'failed') {
      counts.given_up++
      events.push(givenUp(row, receiver, 1, outcome.reason))
    }
  }
  const isWell = counts.delivered + counts.refused > 0
  const isAway = !isWell && counts.failed > 0
  const state = isWell ? healthyState : isAway ? awayState(row, now, lastError ?? null) : stateOf(row)
  const isPaused = isAway && kind.onPaused !== undefined && now - (state.failing_since ?? now) >= triedSeconds
  if (isPaused) events.push(paused(row, receiver, lastError ?? ''))
  const attempted: Attempted = {
    done,
    failed,
    receiver: { ...state, ...(isPaused && { paused_at: now }) },
    also: isPaused ? sql => kind.onPaused?.(sql, row.id, now) ?? Promise.resolve() : undefined,
  }
  const next = await write(on, row, attempted, events)
  if (next) for (const outcome of Object.keys(counts) as CountedOutcome[]) on.count(outcome, counts[outcome])
  return next
}

const healthyState: ReceiverState = { failures: 0, failing_since: null, next_attempt_at: 0, last_error: null }

function awayState(
  { failures, failing_since }: ReceiverTable,
  now: number,
  last_error: string | null,
): ReceiverState {
  return {
    failures: failures + 1,
    failing_since: failing_since ?? now,
    next_attempt_at: now + pauseSeconds(failures + 1, Math.random()),
    last_error,
  }
}

const stateOf = ({ failures, failing_since, next_attempt_at, last_error }: ReceiverTable): ReceiverState => ({
  failures,
  failing_since,
  next_attempt_at,
  last_error,
})

/** Notes it, with what the audit trail says of it. */
async function write(
  { db, clock, log }: WorkOptions,
  row: ReceiverTable,
  attempted: Attempted,
  events: readonly Event[],
): Promise<ReceiverTable | undefined> {
  const by = { db, clock, log, actor: { kind: 'server' } } as const
  const next = await record(
    by,
    () => events,
    writer => noteAttempts(writer, row, attempted, clock.now()),
  )
  if (!next) return undefined
  for (const { event, ...facts } of events)
    log.warn(
      { event, ...('detail' in facts ? facts.detail : {}) },
      'a receiver has not got what was to be delivered',
    )
  return next
}

const refused = ({ kind, id }: ReceiverTable, { clientId }: Receiver, reason: string): Event => ({
  event: 'delivery_refused',
  clientId,
  detail: { kind, receiver: id, reason },
})

const givenUp = (
  { kind, id }: ReceiverTable,
  { clientId }: Receiver,
  deliveries: number,
  reason: string | null,
): Event => ({
  event: 'delivery_given_up',
  clientId,
  detail: { kind, receiver: id, deliveries, ...(reason !== null && { reason }) },
})

const paused = ({ kind, id }: ReceiverTable, { clientId }: Receiver, reason: string): Event => ({
  event: 'receiver_paused',
  clientId,
  detail: { kind, receiver: id, reason },
})
