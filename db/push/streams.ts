import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { ClientTable, StreamStatus, StreamTable, Tables } from '../schema.ts'
import type { Writer } from '../writer.ts'
import {
  addDeliveries,
  forgetReceiver,
  pauseReceiver,
  resumeReceiver,
  type NewDelivery,
} from './deliveries.ts'
import { laneOf, lanesOf } from './stream-lanes.ts'
import { forgetSubjects } from './stream-subjects.ts'

/** Streams in the order in which they were made: all, or those of one client. */
export async function listStreams(
  { sql }: Pick<Database, 'sql'>,
  { clientId }: { readonly clientId?: string | undefined } = {},
): Promise<readonly StreamTable[]> {
  return sql
    .selectFrom('streams')
    .selectAll()
    .$if(clientId !== undefined, query => query.where('client_id', '=', clientId ?? ''))
    .orderBy('id')
    .execute()
}

export async function findStream({ sql }: Database, id: Buffer): Promise<StreamTable | undefined> {
  return sql.selectFrom('streams').selectAll().where('id', '=', id).executeTakeFirst()
}

/** A stream with its client. */
export interface StreamOfClient {
  readonly stream: StreamTable
  readonly client: ClientTable
}

/** A stream with its client; undefined where it is gone, or its client is disabled. */
export async function findStreamOfClient({ sql }: Database, id: Buffer): Promise<StreamOfClient | undefined> {
  const stream = await sql.selectFrom('streams').selectAll().where('id', '=', id).executeTakeFirst()
  const client =
    stream &&
    (await sql
      .selectFrom('clients')
      .selectAll()
      .where('id', '=', stream.client_id)
      .where('disabled_at', 'is', null)
      .executeTakeFirst())
  return client && { stream, client }
}

/** The streams that take events, each with its client, which is not disabled. Part of a transaction. */
export async function listOpenStreams(sql: Transaction<Tables>): Promise<readonly StreamOfClient[]> {
  const streams = await sql.selectFrom('streams').selectAll().where('status', '!=', 'disabled').execute()
  if (streams.length === 0) return []
  const ids = [...new Set(streams.map(({ client_id }) => client_id))]
  const clients = await sql
    .selectFrom('clients')
    .selectAll()
    .where('id', 'in', ids)
    .where('disabled_at', 'is', null)
    .execute()
  const byId = new Map(clients.map(client => [client.id, client]))
  return streams.flatMap(stream => {
    const client = byId.get(stream.client_id)
    return client ? [{ stream, client }] : []
  })
}

/** Adds a stream; false when its client is gone, or has `streamsMax` already. */
export async function insertStream(
  { transact }: Writer,
  stream: StreamTable,
  streamsMax: number,
): Promise<boolean> {
  return transact(async transaction => addStream(transaction, stream, streamsMax))
}

/** The same as a part of a larger transaction. */
export async function addStream(
  transaction: Transaction<Tables>,
  stream: StreamTable,
  streamsMax: number,
): Promise<boolean> {
  // Keeps the row: others that add one wait, and so does who deletes the client.
  const { numUpdatedRows } = await transaction
    .updateTable('clients')
    .set(({ ref }) => ({ id: ref('id') }))
    .where('id', '=', stream.client_id)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows === 0n) return false
  const own = await listStreams({ sql: transaction }, { clientId: stream.client_id })
  if (own.length >= streamsMax) return false
  await transaction.insertInto('streams').values(stream).execute()
  return true
}

/**
 * Changes what a stream is told of and for; false when it is not as it was seen any more. A part of a larger
 * transaction.
 */
export async function updateStream(
  transaction: Transaction<Tables>,
  { id, endpoint_url, events_requested, description }: StreamTable,
  change: Partial<Pick<StreamTable, 'events_requested' | 'description'>>,
): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable('streams')
    .set(change)
    .where('id', '=', id)
    .where('endpoint_url', 'is not distinct from', endpoint_url)
    .where('events_requested', 'is not distinct from', events_requested)
    .where('description', 'is not distinct from', description)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** What may be changed of a stream, beside its status. */
export type StreamChange = Partial<
  Pick<
    StreamTable,
    | 'method'
    | 'endpoint_url'
    | 'sealed_authorization'
    | 'root_key_id'
    | 'events_requested'
    | 'description'
    | 'default_subjects'
  >
>

/** Changes a stream; false when it is gone. Deliveries that wait for it go the new way. */
export async function changeStream(
  { transact }: Writer,
  { id, method }: Pick<StreamTable, 'id' | 'method'>,
  change: StreamChange,
  now: number,
): Promise<boolean> {
  return transact(async transaction => {
    const changed = await transaction
      .updateTable('streams')
      .set(change)
      .where('id', '=', id)
      .returning(['id', 'method', 'status'])
      .executeTakeFirst()
    if (!changed) return false
    if (changed.method !== method) await moveDeliveries(transaction, changed, now)
    // Another address may be well where the last one was not.
    else if ('endpoint_url' in change && changed.method === 'push' && changed.status === 'enabled')
      for (const key of lanesOf(id)) await resumeReceiver(transaction, key, now)
    return true
  })
}

/** Has what waits pushed, or fetched, from now on. */
async function moveDeliveries(
  sql: Transaction<Tables>,
  { id, method, status }: Pick<StreamTable, 'id' | 'method' | 'status'>,
  now: number,
): Promise<void> {
  for (const [lane, key] of lanesOf(id).entries()) {
    await sql
      .updateTable('deliveries')
      .set({ next_attempt_at: method === 'push' ? now : null, attempts: 0 })
      .where('kind', '=', key.kind)
      .where('receiver', '=', key.id)
      .execute()
    if (method === 'poll') {
      await sql.deleteFrom('receivers').where('kind', '=', key.kind).where('id', '=', key.id).execute()
      continue
    }
    await pauseReceiver(sql, key, now)
    if (status === 'enabled' || lane > 0) await resumeReceiver(sql, key, now)
  }
}

export interface StatusChange {
  readonly status: StreamStatus
  readonly reason: string | null
  /** Tells the receiver of it. */
  readonly told?: NewDelivery | undefined
}

/**
 * Changes the status of a stream; false when it is gone. Deliveries are held while it is paused, and dropped
 * when it is disabled.
 */
export async function setStreamStatus(
  { transact }: Writer,
  id: Buffer,
  { status, reason, told }: StatusChange,
  now: number,
): Promise<boolean> {
  return transact(async transaction => {
    const changed = await transaction
      .updateTable('streams')
      .set({ status, status_reason: reason })
      .where('id', '=', id)
      .returning('method')
      .executeTakeFirst()
    if (!changed) return false
    if (status === 'disabled') await forgetReceiver(transaction, laneOf(id))
    else if (changed.method === 'push' && status === 'paused')
      await pauseReceiver(transaction, laneOf(id), now)
    else if (changed.method === 'push')
      for (const key of lanesOf(id)) await resumeReceiver(transaction, key, now)
    if (told) await addDeliveries(transaction, [told])
    return true
  })
}

/** Notes that the receiver of a stream was paused: part of that transaction. The stream as it is then. */
export async function noteStreamPaused(
  sql: Transaction<Tables>,
  id: Buffer,
  reason: string,
): Promise<StreamTable | undefined> {
  return sql
    .updateTable('streams')
    .set({ status: 'paused', status_reason: reason })
    .where('id', '=', id)
    .where('status', '=', 'enabled')
    .returningAll()
    .executeTakeFirst()
}

/**
 * Has a verification delivered; false when the stream is gone or disabled, or the last one was asked for
 * later than `since`.
 */
export async function addVerification(
  { transact }: Writer,
  id: Buffer,
  verification: NewDelivery,
  { now, since }: { readonly now: number; readonly since: number },
): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('streams')
      .set({ verified_at: now })
      .where('id', '=', id)
      .where('status', '!=', 'disabled')
      .where(({ or, eb }) => or([eb('verified_at', 'is', null), eb('verified_at', '<=', since)]))
      .executeTakeFirstOrThrow()
    if (numUpdatedRows === 0n) return false
    await addDeliveries(transaction, [verification])
    return true
  })
}

/** Deletes a stream with all that is of it; false when it is gone. */
export async function deleteStream({ transact }: Writer, id: Buffer): Promise<boolean> {
  return transact(async transaction => removeStream(transaction, id))
}

/** Deletes the streams of a client that is deleted. Part of a transaction. */
export async function deleteStreamsOf(sql: Transaction<Tables>, clientId: string): Promise<void> {
  for (const { id } of await listStreams({ sql }, { clientId })) await removeStream(sql, id)
}

async function removeStream(sql: Transaction<Tables>, id: Buffer): Promise<boolean> {
  const { numDeletedRows } = await sql.deleteFrom('streams').where('id', '=', id).executeTakeFirstOrThrow()
  if (numDeletedRows === 0n) return false
  for (const key of lanesOf(id)) await forgetReceiver(sql, key)
  await forgetSubjects(sql, id)
  return true
}

/** The streams whose authorization is sealed under another root key than this one. */
export async function listStreamsUnderOlderKeys(
  { sql }: Database,
  rootKeyId: string,
): Promise<readonly StreamTable[]> {
  return sql.selectFrom('streams').selectAll().where('root_key_id', '!=', rootKeyId).execute()
}

/** Seals the authorization of a stream anew; nothing happens where it is another one by now. */
export async function resealStream(
  { sql }: Database,
  { id, sealed_authorization }: Pick<StreamTable, 'id' | 'sealed_authorization'>,
  sealed: Pick<StreamTable, 'sealed_authorization' | 'root_key_id'>,
): Promise<void> {
  await sql
    .updateTable('streams')
    .set(sealed)
    .where('id', '=', id)
    // A server that has not heard of the newer key may have sealed another one under the older.
    .where('sealed_authorization', '=', sealed_authorization)
    .execute()
}
