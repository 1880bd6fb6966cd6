import type { ExpressionBuilder, Insertable, Kysely, Selectable, Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { DeliveryTable, ReceiverTable, Tables } from '../schema.ts'
import { someRowsAtOnce } from '../some-at-once.ts'
import type { Writer } from '../writer.ts'

export type Delivery = Selectable<DeliveryTable>

/** What is to be delivered. `isFetched`: its receiver comes for it. */
export type NewDelivery = Pick<
  Insertable<DeliveryTable>,
  'kind' | 'receiver' | 'subject' | 'token_id' | 'content' | 'created_at' | 'expires_at'
> & { readonly isFetched?: boolean }

/** Names a receiver. */
export type ReceiverKey = Pick<ReceiverTable, 'kind' | 'id'>

/** So long after its last sign of life somebody else works for a receiver, in seconds. */
const claimSeconds = 60

/**
 * Part of a transaction. The rows of the receivers come first: a worker that has just found that nothing
 * waits for one holds its row until its end is noted.
 */
export async function addDeliveries(
  sql: Transaction<Tables>,
  deliveries: readonly NewDelivery[],
): Promise<void> {
  const pushed = deliveries.filter(({ isFetched }) => isFetched !== true)
  const keys = new Map(pushed.map(({ kind, receiver: id }) => [`${kind} ${id}`, { kind, id }]))
  // Always in the same order: two transactions at once do not wait for each other.
  const receivers = [...keys].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, key]) => idleReceiver(key))
  for (const some of someRowsAtOnce(receivers)) {
    await sql
      .insertInto('receivers')
      .values(some)
      .onConflict(conflict =>
        conflict.columns(['kind', 'id']).doUpdateSet(({ ref }) => ({ id: ref('excluded.id') })),
      )
      .execute()
  }
  const rows = deliveries.map(({ isFetched = false, ...delivery }) => ({
    ...delivery,
    next_attempt_at: isFetched ? null : delivery.created_at,
    attempts: 0,
    last_error: null,
  }))
  for (const some of someRowsAtOnce(rows)) await sql.insertInto('deliveries').values(some).execute()
}

const idleReceiver = (key: ReceiverKey): ReceiverTable => ({
  ...key,
  failures: 0,
  failing_since: null,
  next_attempt_at: 0,
  paused_at: null,
  claimed_until: 0,
  last_error: null,
})

/** Holds back what is delivered to a receiver, or is delivered later. Part of a transaction. */
export async function pauseReceiver(sql: Kysely<Tables>, key: ReceiverKey, now: number): Promise<void> {
  await sql
    .insertInto('receivers')
    .values({ ...idleReceiver(key), paused_at: now })
    .onConflict(conflict => conflict.columns(['kind', 'id']).doUpdateSet({ paused_at: now }))
    .execute()
}

/** Goes on with a receiver at once, as if it had never failed. Part of a transaction. */
export async function resumeReceiver(sql: Kysely<Tables>, key: ReceiverKey, now: number): Promise<void> {
  const { kind: _kind, id: _id, ...idle } = idleReceiver(key)
  await sql.updateTable('receivers').set(idle).where(isReceiver(key)).execute()
  await sql
    .updateTable('deliveries')
    .set({ next_attempt_at: now })
    .where(toReceiver(key))
    .where('next_attempt_at', '>', now)
    .execute()
}

/** Forgets a receiver that is gone, and all that waits for it. Part of a transaction. */
export async function forgetReceiver(sql: Kysely<Tables>, key: ReceiverKey): Promise<void> {
  await sql.deleteFrom('receivers').where(isReceiver(key)).execute()
  await sql.deleteFrom('deliveries').where(toReceiver(key)).execute()
}

/** How many are looked at, of which another process may take some first. */
const candidatesMax = 10

/**
 * Takes over a receiver for which something is due, that nothing works for: one that has failed, or one that
 * has not. Undefined when there is none. Of several callers one gets it.
 */
export async function claimReceiver(
  { sql }: Database,
  { now, isFailing }: { readonly now: number; readonly isFailing: boolean },
): Promise<ReceiverTable | undefined> {
  const candidates = await sql
    .selectFrom('receivers')
    .selectAll()
    .where('paused_at', 'is', null)
    .where('next_attempt_at', '<=', now)
    .where('failures', isFailing ? '>' : '=', 0)
    // No claim lasts longer, even by a clock that is somewhat ahead: then one was far ahead.
    .where(({ or, eb }) =>
      or([eb('claimed_until', '<=', now), eb('claimed_until', '>', now + 2 * claimSeconds)]),
    )
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom('deliveries')
          .select('deliveries.id')
          .whereRef('deliveries.kind', '=', 'receivers.kind')
          .whereRef('deliveries.receiver', '=', 'receivers.id')
          .where('deliveries.next_attempt_at', '<=', now),
      ),
    )
    .orderBy('next_attempt_at')
    .limit(candidatesMax)
    .execute()
  for (const candidate of candidates) {
    const claimed = await changeClaimed(sql, candidate, { claimed_until: now + claimSeconds })
    if (claimed) return claimed
  }
  return undefined
}

/** Changes a receiver; undefined where another process has taken it over since. */
async function changeClaimed(
  sql: Kysely<Tables>,
  { claimed_until, ...key }: ReceiverTable,
  change: Partial<ReceiverTable>,
): Promise<ReceiverTable | undefined> {
  return sql
    .updateTable('receivers')
    .set(change)
    .where(isReceiver(key))
    .where('claimed_until', '=', claimed_until)
    .returningAll()
    .executeTakeFirst()
}

const isReceiver =
  ({ kind, id }: ReceiverKey) =>
  (eb: ExpressionBuilder<Tables, 'receivers'>) =>
    eb.and([eb('receivers.kind', '=', kind), eb('receivers.id', '=', id)])

const toReceiver =
  ({ kind, id }: ReceiverKey) =>
  (eb: ExpressionBuilder<Tables, 'deliveries'>) =>
    eb.and([eb('deliveries.kind', '=', kind), eb('deliveries.receiver', '=', id)])

/** The oldest that are due, one of each subject: the others wait until it was delivered. */
export async function listDueDeliveries(
  { sql }: Pick<Database, 'sql'>,
  key: ReceiverKey,
  { now, limit }: { readonly now: number; readonly limit: number },
): Promise<readonly Delivery[]> {
  return (
    sql
      .selectFrom('deliveries')
      .selectAll()
      .where(toReceiver(key))
      .where('next_attempt_at', '<=', now)
      // One look into the index for each row: PostgreSQL would join an anti-join of the whole backlog.
      .where('id', '=', ({ selectFrom }) =>
        selectFrom('deliveries as before')
          .select(({ fn }) => fn.min('before.id').as('first'))
          .where('before.kind', '=', key.kind)
          .where('before.receiver', '=', key.id)
          .whereRef('before.subject', '=', 'deliveries.subject'),
      )
      .orderBy('id')
      .limit(limit)
      .execute()
  )
}

export type ReceiverState = Pick<
  ReceiverTable,
  'failures' | 'failing_since' | 'next_attempt_at' | 'last_error'
>

/** What has become of some deliveries, and how their receiver is from then on. */
export interface Attempted {
  /** Delivered, refused or given up. */
  readonly done: readonly number[]
  readonly failed: readonly Pick<Delivery, 'id' | 'attempts' | 'next_attempt_at' | 'last_error'>[]
  readonly receiver: ReceiverState & { readonly paused_at?: number }
  /** Done in the same transaction. */
  readonly also?: ((sql: Transaction<Tables>) => Promise<void>) | undefined
}

/**
 * Notes what was attempted, and keeps the claim: the receiver as it is then, which somebody may have paused.
 * Undefined, and nothing is changed, where another process has taken it over, or it is gone: then some are
 * delivered twice.
 */
export async function noteAttempts(
  { transact }: Writer,
  receiver: ReceiverTable,
  { done, failed, receiver: state, also }: Attempted,
  now: number,
): Promise<ReceiverTable | undefined> {
  return transact(async sql => {
    const change = { ...state, claimed_until: now + claimSeconds }
    const next = await changeClaimed(sql, receiver, change)
    if (!next) return undefined
    if (done.length > 0) await sql.deleteFrom('deliveries').where('id', 'in', done).execute()
    for (const { id, ...attempt } of failed)
      await sql.updateTable('deliveries').set(attempt).where('id', '=', id).execute()
    await also?.(sql)
    return next
  })
}

/** How long a receiver rests for which nothing can be done now, although something is due. */
const restSeconds = 1

/**
 * Leaves the receiver to others. Its row goes when nothing waits, and it is not paused. It rests where all
 * that is due waits for something of the same subject, or could not be tried (`mustRest`).
 */
export async function releaseReceiver(
  { transact }: Database,
  receiver: ReceiverTable,
  { now, mustRest }: { readonly now: number; readonly mustRest: boolean },
): Promise<void> {
  await transact(async sql => {
    // The row is locked from here on: a delivery that is added now waits, and adds the row again.
    const released = await changeClaimed(sql, receiver, { claimed_until: 0 })
    if (!released) return
    const waiting = await sql
      .selectFrom('deliveries')
      .select('id')
      .where(toReceiver(receiver))
      .where('next_attempt_at', 'is not', null)
      .limit(1)
      .executeTakeFirst()
    if (!waiting) {
      if (released.paused_at === null) await sql.deleteFrom('receivers').where(isReceiver(receiver)).execute()
      return
    }
    const [due] = mustRest ? [] : await listDueDeliveries({ sql }, receiver, { now, limit: 1 })
    const next_attempt_at = Math.max(released.next_attempt_at, now + restSeconds)
    if (!due)
      await sql.updateTable('receivers').set({ next_attempt_at }).where(isReceiver(receiver)).execute()
  })
}

/** Of the oldest to a receiver, those that are of no use any more. */
export async function listExpiredDeliveries(
  { sql }: Database,
  key: ReceiverKey,
  { now, limit }: { readonly now: number; readonly limit: number },
): Promise<readonly Delivery[]> {
  const oldest = await sql
    .selectFrom('deliveries')
    .selectAll()
    .where(toReceiver(key))
    .orderBy('id')
    .limit(limit)
    .execute()
  return oldest.filter(({ expires_at }) => expires_at !== null && expires_at <= now)
}
