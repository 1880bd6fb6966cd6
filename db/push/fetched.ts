import type { Database } from '../database.ts'
import type { Writer } from '../writer.ts'
import type { Delivery, ReceiverKey } from './deliveries.ts'

/*
 * Deliveries that their receivers fetch. Of several receivers here, all are of one kind.
 */

/** What waits to be fetched, the oldest first. */
export async function listFetchable(
  { sql }: Pick<Database, 'sql'>,
  receivers: readonly ReceiverKey[],
  limit: number,
): Promise<readonly Delivery[]> {
  return sql
    .selectFrom('deliveries')
    .selectAll()
    .where('kind', '=', receivers[0]?.kind ?? 'stream')
    .where(
      'receiver',
      'in',
      receivers.map(({ id }) => id),
    )
    .orderBy('id')
    .limit(limit)
    .execute()
}

/** The ids of the receivers, of these, for whom something waits. */
export async function listReceiversWithDeliveries(
  { sql }: Database,
  receivers: readonly ReceiverKey[],
): Promise<ReadonlySet<string>> {
  const rows = await sql
    .selectFrom('deliveries')
    .select('receiver')
    .distinct()
    .where('kind', '=', receivers[0]?.kind ?? 'stream')
    .where(
      'receiver',
      'in',
      receivers.map(({ id }) => id),
    )
    .execute()
  return new Set(rows.map(({ receiver }) => receiver))
}

/** Answers are about what was fetched, which are the oldest. */
const lookedAtMax = 1000

/** Removes what was answered to, by its token ids in hexadecimal digits. Returns what was there of it. */
export async function removeAnswered(
  { transact }: Writer,
  receivers: readonly ReceiverKey[],
  answered: ReadonlySet<string>,
): Promise<readonly Delivery[]> {
  return transact(async sql => {
    const oldest = await listFetchable({ sql }, receivers, lookedAtMax)
    const found = oldest.filter(({ token_id }) => answered.has(token_id.toString('hex')))
    if (found.length === 0) return found
    const deleted = await sql
      .deleteFrom('deliveries')
      .where(
        'id',
        'in',
        found.map(({ id }) => id),
      )
      .returning('id')
      .execute()
    // Another request of the same receiver may have answered at the same time.
    const ids = new Set(deleted.map(({ id }) => id))
    return found.filter(({ id }) => ids.has(id))
  })
}
