import type { ExpressionBuilder, Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { keptQuery, keptStatement } from '../kept-query.ts'
import type { DeviceAuthorizationTable, Tables } from '../schema.ts'
import type { Steps } from '../steps.ts'
import { addConsent, lockAsked, type NewConsent } from '../users/consents.ts'
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
  { writeAtOnce }: Pick<Database, 'writeAtOnce'>,
  row: NewDeviceAuthorization,
  { ofClientMax, ofSourceMax }: DeviceBounds,
): Promise<DeviceInsertion> {
  return writeAtOnce(function* (sql): Steps<DeviceInsertion> {
    const bounds = { othersOfClient: ofClientMax - 1, othersOfSource: ofSourceMax - 1 }
    const { numAffectedRows } = yield* insertion(sql, { ...row, ...bounds })
    if (numAffectedRows === 1n) return 'inserted'
    const { rows } = yield* ofUserCode(sql, { hash: row.user_code_hash })
    return rows.length > 0 ? 'taken' : 'full'
  })
}

interface Insertion extends NewDeviceAuthorization {
  /** After how many there is one too many. */
  readonly othersOfClient: number
  readonly othersOfSource: number
}

const insertion = keptStatement((sql, { othersOfClient, othersOfSource, ...row }: Insertion) => {
  const columns = Object.keys(row) as (keyof typeof row)[]
  const living = (column: 'client_id' | 'source', of: string | null, others: number) =>
    sql
      .selectFrom('device_authorizations')
      .select('id')
      .where(column, '=', of)
      .where('expires_at', '>', row.created_at)
      .orderBy('expires_at')
      .limit(1)
      .offset(others)
  const isFull = ({ or, exists }: ExpressionBuilder<Tables, never>) =>
    or([
      exists(living('client_id', row.client_id, othersOfClient)),
      exists(living('source', row.source, othersOfSource)),
    ])
  return sql
    .insertInto('device_authorizations')
    .columns(columns)
    .expression(
      sql
        .selectNoFrom(({ val }) => columns.map(column => val(row[column]).as(column)))
        .where(builder => builder.not(isFull(builder))),
    )
    .onConflict(conflict => conflict.doNothing())
})

const ofUserCode = keptStatement((sql, { hash }: { readonly hash: Buffer }) =>
  sql.selectFrom('device_authorizations').select('id').where('user_code_hash', '=', hash),
)

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
  { writeAtOnce }: Pick<Database, 'writeAtOnce'>,
  { id, now, earlySeconds, slowerSeconds, intervalMax }: Poll,
): Promise<boolean> {
  return writeAtOnce(function* (sql): Steps<boolean> {
    const { numAffectedRows } = yield* pollInTime(sql, { id, now, until: now + earlySeconds })
    if (numAffectedRows === 1n) return true
    yield* pollTooSoon(sql, { id, now, slowerSeconds, intervalMax })
    return false
  })
}

const pollInTime = keptStatement(
  (sql, { id, now, until }: Pick<Poll, 'id' | 'now'> & { readonly until: number }) =>
    sql
      .updateTable('device_authorizations')
      .set({ polled_at: now })
      .where('id', '=', id)
      .where(({ or, eb }) =>
        or([
          eb('polled_at', 'is', null),
          eb(eb('polled_at', '+', eb.ref('interval_seconds')), '<=', until),
          // By a clock that was set back since.
          eb('polled_at', '>', now),
        ]),
      ),
)

/** Who asks without a pause costs no more writes than until the interval is as long as it can be. */
const pollTooSoon = keptStatement(
  (sql, { id, now, slowerSeconds, intervalMax }: Omit<Poll, 'earlySeconds'>) =>
    sql
      .updateTable('device_authorizations')
      .set(({ eb }) => ({
        polled_at: now,
        interval_seconds: eb('interval_seconds', '+', slowerSeconds),
      }))
      .where('id', '=', id)
      .where('interval_seconds', '<', intervalMax),
)

/** A person's approval of one that waits. */
export interface DeviceApproval {
  readonly id: Buffer
  readonly now: number
  /** What the client is allowed with it; null where nothing of that is remembered. */
  readonly consent: NewConsent | null
  /** Seals the approval, with the id of all that its user has allowed the client. */
  readonly seal: (consentId: Buffer | null) => string
}

/**
 * Approves one that waits, and remembers what is allowed with it. False where it was decided, has expired or
 * is gone; undefined where the epoch of the user or the client was raised since the user was asked. Then
 * nothing is changed, and nothing remembered.
 */
export async function approveDeviceAuthorization(
  { engine, transact }: Writer,
  { id, now, consent, seal }: DeviceApproval,
): Promise<boolean | undefined> {
  return transact(async transaction => {
    if (consent && !(await lockAsked(transaction, engine, consent))) return undefined
    if (!(await lockWaiting(transaction, engine, { id, now }))) return false
    const consentId = consent && (await addConsent(transaction, engine, consent)).id
    return decide(transaction, { id, now, approval: seal(consentId) })
  })
}

/** Denies one that waits. False, and nothing is changed, where it was decided, has expired or is gone. */
export async function denyDeviceAuthorization(
  { transact }: Writer,
  one: { readonly id: Buffer; readonly now: number },
): Promise<boolean> {
  return transact(transaction => decide(transaction, { ...one, approval: null }))
}

/** Whether it waits. On PostgreSQL no other transaction decides it before this one ends. */
async function lockWaiting(
  transaction: Transaction<Tables>,
  engine: Database['engine'],
  { id, now }: Pick<DeviceApproval, 'id' | 'now'>,
): Promise<boolean> {
  const waiting = await transaction
    .selectFrom('device_authorizations')
    .select('id')
    .where('id', '=', id)
    .where('decided_at', 'is', null)
    .where('expires_at', '>', now)
    .$if(engine === 'postgres', query => query.forUpdate())
    .executeTakeFirst()
  return waiting !== undefined
}

async function decide(
  transaction: Transaction<Tables>,
  { id, now, approval }: Pick<DeviceApproval, 'id' | 'now'> & { readonly approval: string | null },
): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable('device_authorizations')
    .set({ decided_at: now, approval })
    .where('id', '=', id)
    .where('decided_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
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
