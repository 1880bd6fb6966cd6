import type { Database } from '../database.ts'
import { countedDeliveriesMax } from './delivery-figures.ts'
import { laneOf } from './stream-lanes.ts'

/** How the delivery of a stream goes. Times are in seconds since the epoch. */
export interface StreamDeliveries {
  /** At most `countedDeliveriesMax`. */
  readonly waiting: number
  /** When the oldest that waits was made; null where none does. */
  readonly oldestAt: number | null
  /** Since when nothing gets through; null where the last one did. */
  readonly failingSince: number | null
  /** What was answered last; null unless it fails. */
  readonly lastError: string | null
}

export async function findStreamDeliveries(
  { sql }: Pick<Database, 'sql'>,
  streamId: Buffer,
): Promise<StreamDeliveries> {
  const { kind, id } = laneOf(streamId)
  const { waiting, oldestAt } = await sql
    .selectFrom(({ selectFrom }) =>
      selectFrom('deliveries')
        .select('created_at')
        .where('kind', '=', kind)
        .where('receiver', '=', id)
        .orderBy('id')
        .limit(countedDeliveriesMax)
        .as('oldest'),
    )
    .select(({ fn }) => [fn.countAll<number>().as('waiting'), fn.min('created_at').as('oldestAt')])
    .executeTakeFirstOrThrow()
  const receiver = await sql
    .selectFrom('receivers')
    .select(['failing_since', 'last_error'])
    .where('kind', '=', kind)
    .where('id', '=', id)
    .executeTakeFirst()
  return {
    waiting: Number(waiting),
    oldestAt,
    failingSince: receiver?.failing_since ?? null,
    lastError: receiver?.last_error ?? null,
  }
}
