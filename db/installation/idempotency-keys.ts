import type { Database } from '../database.ts'
import type { IdempotencyKeyTable } from '../schema.ts'

/** The lease by which a process has a request: no two have the same one. */
export type Lease = Pick<IdempotencyKeyTable, 'id' | 'leased_until'>

export type SealedRow = Pick<IdempotencyKeyTable, 'sealed' | 'root_key_id'>

export async function findIdempotencyKey(
  { sql }: Database,
  id: Buffer,
): Promise<IdempotencyKeyTable | undefined> {
  return sql.selectFrom('idempotency_keys').selectAll().where('id', '=', id).executeTakeFirst()
}

/** Has the request before it is done, for its lease; false where it is another's, or was done. */
export async function reserveIdempotencyKey({ sql }: Database, row: IdempotencyKeyTable): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await sql
    .insertInto('idempotency_keys')
    .values(row)
    .onConflict(conflict => conflict.column('id').doNothing())
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

/** Has a request whose lease has passed, from then on; false where another has it since, or it was done. */
export async function takeIdempotencyKey(
  { sql }: Database,
  { id, leased_until }: Lease,
  until: number,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('idempotency_keys')
    .set({ leased_until: until })
    .where('id', '=', id)
    .where('leased_until', '=', leased_until)
    .where('status', 'is', null)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Keeps the answer; nothing happens where another has the request since. */
export async function keepAnswer(
  { sql }: Database,
  { id, leased_until }: Lease,
  answer: SealedRow & { readonly status: number },
): Promise<void> {
  await sql
    .updateTable('idempotency_keys')
    .set(answer)
    .where('id', '=', id)
    .where('leased_until', '=', leased_until)
    .where('status', 'is', null)
    .execute()
}

/** Lets a request go that could not be done; nothing happens where another has it since. */
export async function releaseIdempotencyKey({ sql }: Database, { id, leased_until }: Lease): Promise<void> {
  await sql
    .deleteFrom('idempotency_keys')
    .where('id', '=', id)
    .where('leased_until', '=', leased_until)
    .where('status', 'is', null)
    .execute()
}

/** Those that are sealed under another root key than this one. */
export async function listIdempotencyKeysUnderOlderKeys(
  { sql }: Database,
  rootKeyId: string,
  limit: number,
): Promise<readonly IdempotencyKeyTable[]> {
  return sql
    .selectFrom('idempotency_keys')
    .selectAll()
    .where('root_key_id', '!=', rootKeyId)
    .limit(limit)
    .execute()
}

/** Seals one anew; nothing happens where its answer was kept since, or another instance has done so. */
export async function resealIdempotencyKey(
  { sql }: Database,
  { id, root_key_id, status }: Pick<IdempotencyKeyTable, 'id' | 'root_key_id' | 'status'>,
  sealed: SealedRow,
): Promise<void> {
  await sql
    .updateTable('idempotency_keys')
    .set(sealed)
    .where('id', '=', id)
    .where('root_key_id', '=', root_key_id)
    .where('status', status === null ? 'is' : '=', status)
    .execute()
}

/** Forgets at most `limit` of those that are as old as that, of one caller or all; how many it were. */
export async function forgetIdempotencyKeys(
  { sql }: Database,
  { before, caller }: { readonly before: number; readonly caller?: string },
  limit: number,
): Promise<number> {
  const { numDeletedRows } = await sql
    .deleteFrom('idempotency_keys')
    .where('id', 'in', query =>
      query
        .selectFrom('idempotency_keys')
        .select('id')
        .where('created_at', '<=', before)
        .$if(caller !== undefined, older => older.where('caller', '=', caller ?? ''))
        .orderBy('created_at')
        .limit(limit),
    )
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}
