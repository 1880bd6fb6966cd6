import type { Database } from '../database.ts'
import type { DeliveryKindName, ReceiverTable } from '../schema.ts'

/** What waits to be delivered, or to be fetched, of one kind, among the oldest. */
export interface WaitingDeliveries {
  readonly kind: DeliveryKindName
  readonly waiting: number
  /** When the oldest of them was made, in seconds since the epoch. */
  readonly oldestAt: number
}

/** So many are counted at the most: all that wait for a receiver that is away could be millions. */
export const countedDeliveriesMax = 10_000

export async function countDeliveries({ sql }: Database): Promise<readonly WaitingDeliveries[]> {
  const rows = await sql
    .selectFrom(({ selectFrom }) =>
      selectFrom('deliveries')
        .select(['kind', 'created_at'])
        .orderBy('id')
        .limit(countedDeliveriesMax)
        .as('oldest'),
    )
    .select(({ fn }) => ['kind', fn.countAll<number>().as('waiting'), fn.min('created_at').as('oldestAt')])
    .groupBy('kind')
    .execute()
  return rows.map(row => ({ ...row, waiting: Number(row.waiting) }))
}

/** Receivers that fail or are paused, those that have failed for longest first. */
export async function listTroubledReceivers(
  { sql }: Database,
  limit: number,
): Promise<readonly ReceiverTable[]> {
  return sql
    .selectFrom('receivers')
    .selectAll()
    .where(({ or, eb }) => or([eb('failures', '>', 0), eb('paused_at', 'is not', null)]))
    .orderBy('failing_since')
    .limit(limit)
    .execute()
}
