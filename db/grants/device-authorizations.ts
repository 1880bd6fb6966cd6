import type { ExpressionBuilder } from 'kysely'
import type { Database } from '../database.ts'
import { keptQuery } from '../kept-query.ts'
import type { DeviceAuthorizationTable, Tables } from '../schema.ts'
import type { Writer } from '../writer.ts'

export type DeviceAuthorization = DeviceAuthorizationTable

/** One that has just come. */
export type NewDeviceAuthorization = Omit<DeviceAuthorization, 'polled_at' | 'decided_at' | 'approval'>

/** How many may wait at a time. */
export interface DeviceBounds {
  readonly ofClientMax: number
  readonly ofSourceMax: number
}

/** `full`: so many wait that there may be no more. `taken`: another has this user code. */
export type DeviceInsertion = 'inserted' | 'full' | 'taken'

/**
 * Adds one, unless as many of its client, or of its source, have not expired. On PostgreSQL those that come
 * at the same moment do not see each other, so that there may be a few more.
 */
export async function insertDeviceAuthorization(
  { sql }: Database,
  row: NewDeviceAuthorization,
  { ofClientMax, ofSourceMax }: DeviceBounds,
): Promise<DeviceInsertion> {
  const columns = Object.keys(row) as (keyof typeof row)[]
  const living = (column: 'client_id' | 'source', of: string | null, max: number) =>
    sql
      .selectFrom('device_authorizations')
      .select('id')
      .where(column, '=', of)
      .where('expires_at', '>', row.created_at)
      .orderBy('expires_at')
      .limit(1)
      .offset(max - 1)
  const isFull = ({ or, exists }: ExpressionBuilder<Tables, never>) =>
    or([
      exists(living('client_id', row.client_id, ofClientMax)),
      exists(living('source', row.source, ofSourceMax)),
    ])
  const { numInsertedOrUpdatedRows } = await sql
    .insertInto('device_authorizations')
    .columns(columns)
    .expression(
      sql
        .selectNoFrom(({ val }) => columns.map(column => val(row[column]).as(column)))
        .where(builder => builder.not(isFull(builder))),
    )
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirstOrThrow()
  if (numInsertedOrUpdatedRows === 1n) return 'inserted'
  const sameCode = await sql
    .selectFrom('device_authorizations')
    .select('id')
    .where('user_code_hash', '=', row.user_code_hash)
    .executeTakeFirst()
  return sameCode ? 'taken' : 'full'
}

const byId = keptQuery(
  (sql, id: Buffer) => sql.selectFrom('device_authorizations').selectAll().where('id', '=', id),
  ['uuid'],
)

/** Finds one by its id, whatever its state. */
export async function findDeviceAuthorization(
  db: Database,
  id: Buffer,
): Promise<DeviceAuthorization | undefined> {
  const [row] = await byId(db, id)
  return row
}

/** The one that has one of these user codes, whatever its state. */
export async function findByUserCode(
  { sql }: Database,
  userCodeHashes: readonly Buffer[],
): Promise<DeviceAuthorization | undefined> {
  return sql
    .selectFrom('device_authorizations')
    .selectAll()
    .where('user_code_hash', 'in', userCodeHashes)
    .executeTakeFirst()
}

/** A poll, at this moment; it may come early by so many seconds, which its way here may have taken. */
export interface Poll {
  readonly id: Buffer
  readonly now: number
  readonly earlySeconds: number
  /** By how much the interval grows where it comes too soon, and until when. */
  readonly slowerSeconds: number
  readonly intervalMax: number
}

/**
 * Notes a poll; whether it has come in time. One that comes too soon has the next ones wait longer. Of two
 * at the same moment, at whichever server, one comes too soon.
 */
export async function notePoll(
  { sql }: Database,
  { id, now, earlySeconds, slowerSeconds, intervalMax }: Poll,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('device_authorizations')
    .set({ polled_at: now })
    .where('id', '=', id)
    .where(({ or, eb }) =>
      or([
        eb('polled_at', 'is', null),
        eb(eb('polled_at', '+', eb.ref('interval_seconds')), '<=', now + earlySeconds),
        // By a clock that was set back since.
        eb('polled_at', '>', now),
      ]),
    )
    .executeTakeFirstOrThrow()
  if (numUpdatedRows === 1n) return true
  await sql
    .updateTable('device_authorizations')
    .set(({ eb }) => ({
      polled_at: now,
      interval_seconds: eb('interval_seconds', '+', slowerSeconds),
    }))
    .where('id', '=', id)
    // Who asks without a pause costs no more writes than this.
    .where('interval_seconds', '<', intervalMax)
    .execute()
  return false
}

/**
 * Decides one that waits: with the approval that was sealed, or null where it is denied. False, and nothing
 * is changed, where it was decided, has expired, or is gone.
 */
export async function decideDeviceAuthorization(
  { transact }: Writer,
  { id, approval, now }: { readonly id: Buffer; readonly approval: string | null; readonly now: number },
): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('device_authorizations')
      .set({ decided_at: now, approval })
      .where('id', '=', id)
      .where('decided_at', 'is', null)
      .where('expires_at', '>', now)
      .executeTakeFirstOrThrow()
    return numUpdatedRows === 1n
  })
}

/** Deletes at most `limit` that have expired by then; how many it were. */
export async function forgetDeviceAuthorizations(
  { sql }: Database,
  { expiredBy, limit }: { readonly expiredBy: number; readonly limit: number },
): Promise<number> {
  const { numDeletedRows } = await sql
    .deleteFrom('device_authorizations')
    .where('id', 'in', query =>
      query
        .selectFrom('device_authorizations')
        .select('id')
        .where('expires_at', '<=', expiredBy)
        .orderBy('expires_at')
        .limit(limit),
    )
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}
