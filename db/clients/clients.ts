import { randomInt } from 'node:crypto'
import { sql as fragment, type Kysely, type UpdateObject } from 'kysely'
import type { Database } from '../database.ts'
import { raiseRevision } from '../installation/installation.ts'
import { forgetExchanger, noteExchangers } from '../push/exchange-reach.ts'
import { deleteStreamsOf } from '../push/streams.ts'
import type { ClientTable, Tables } from '../schema.ts'
import type { End, ToldEnd } from '../sessions/end-reasons.ts'
import {
  endEverySession,
  insertEnding,
  type Ending,
  type EpochEnding,
  type EveryEnding,
} from '../sessions/endings.ts'
import { someRowsAtOnce } from '../some-at-once.ts'
import { forgetConsentsOfClient } from '../users/consents.ts'
import type { Writer } from '../writer.ts'
import { forgetSubjectsOfClient } from './trusted-issuers.ts'

export async function findClient({ sql }: Database, id: string): Promise<ClientTable | undefined> {
  return sql.selectFrom('clients').selectAll().where('id', '=', id).executeTakeFirst()
}

/** Clients in the order of their ids: all, or so many after an id. */
export async function listClients(
  { sql }: Database,
  { after = '', limit }: { readonly after?: string | undefined; readonly limit?: number } = {},
): Promise<ClientTable[]> {
  return sql
    .selectFrom('clients')
    .selectAll()
    .where('id', '>', after)
    .orderBy('id')
    .$if(limit !== undefined, query => query.limit(limit ?? 0))
    .execute()
}

/** The ids of all clients, or of so many. */
export async function listClientIds({ sql }: Database, limit: number): Promise<ReadonlySet<string>> {
  const rows = await sql.selectFrom('clients').select('id').limit(limit).execute()
  return new Set(rows.map(({ id }) => id))
}

/** The origins of pages that clients have of their own, without repeats. Disabled clients have none. */
export async function listClientOrigins({ sql }: Database): Promise<ReadonlySet<string>> {
  const rows = await sql
    .selectFrom('clients')
    .select('cors_origins')
    .distinct()
    .where('cors_origins', '<>', '')
    .where('disabled_at', 'is', null)
    .execute()
  return new Set(rows.flatMap(row => row.cors_origins.split(' ')))
}

/** The row of a client that is added: its epoch is drawn then. */
export type NewClient = Omit<ClientTable, 'epoch'>

/** Adds a client; false when its id is taken. */
export async function insertClient({ transact }: Writer, client: NewClient): Promise<boolean> {
  return transact(async transaction => {
    if (!(await addClients(transaction, [client]))) return false
    await raiseRevision(transaction)
    return true
  })
}

/**
 * A part of a larger transaction, which raises the revision; false, and is undone by it, when one of the ids
 * is taken.
 */
export async function addClients(
  transaction: Kysely<Tables>,
  clients: readonly NewClient[],
  onProgress: (added: number) => void = () => {},
): Promise<boolean> {
  let added = 0
  for (const some of someRowsAtOnce(clients.map(rowOf))) {
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('clients')
      .values(some)
      .onConflict(conflict => conflict.doNothing())
      .executeTakeFirstOrThrow()
    if (numInsertedOrUpdatedRows !== BigInt(some.length)) return false
    await noteExchangers(transaction, some)
    added += some.length
    onProgress(added)
  }
  return true
}

function rowOf(client: NewClient): ClientTable {
  // An epoch that no earlier client of this id can have had: the sessions of a deleted one stay dead.
  const epoch = randomInt(2 ** 31)
  return { ...client, epoch }
}

export type ClientSettings = Omit<ClientTable, 'id' | 'epoch' | 'created_at' | 'disabled_at'>

/** A client as somebody has read it. Its epoch is of no account: sessions end at any time. */
export type SeenClient = Partial<Omit<ClientTable, 'id'>>

/**
 * Changes a client's settings or secrets; false when there is none, or it is not as it was `seen`. Its
 * sessions live on.
 */
export async function changeClient(
  { transact }: Writer,
  id: string,
  columns: UpdateObject<Tables, 'clients'>,
  seen: SeenClient = {},
): Promise<boolean> {
  return transact(async transaction => {
    if (!(await updateClient(transaction, id, columns, seen))) return false
    await raiseRevision(transaction)
    return true
  })
}

/** A part of a larger transaction, which raises the revision. */
export async function updateClient(
  transaction: Kysely<Tables>,
  id: string,
  columns: UpdateObject<Tables, 'clients'>,
  { epoch: _, ...seen }: SeenClient,
): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable('clients')
    .set(columns)
    .where('id', '=', id)
    .where(eb => eb.and(seen))
    .executeTakeFirstOrThrow()
  if (numUpdatedRows !== 1n) return false
  const { grant_types } = columns
  if (typeof grant_types === 'string') {
    await forgetExchanger(transaction, id)
    await noteExchangers(transaction, [{ id, grant_types }])
  }
  return true
}

/** Ends all sessions of a client, or of every client, by raising the epochs. */
export async function raiseClientEpochs(
  { transact }: Writer,
  id: string | undefined,
  end: End,
): Promise<EveryEnding> {
  return transact(async transaction => {
    await raiseRevision(transaction)
    if (id === undefined) return endEverySession(transaction, end)
    const clients = await transaction
      .updateTable('clients')
      .set({ epoch: fragment`epoch + 1` })
      .where('id', '=', id)
      .returning(['id', 'epoch'])
      .execute()
    return { clients, ending: await insertEnding(transaction, { client_id: id }, end) }
  })
}

/**
 * Disables a client and ends all of its sessions, by raising the epoch; undefined when there is no such
 * client, or it is not as it was `seen`.
 */
export async function disableClient(
  { transact }: Writer,
  id: string,
  now: number,
  { epoch: _, ...seen }: SeenClient = {},
): Promise<EpochEnding | undefined> {
  return transact(async transaction => {
    const raised = await transaction
      .updateTable('clients')
      .set({ disabled_at: now, epoch: fragment`epoch + 1` })
      .where('id', '=', id)
      .where(eb => eb.and(seen))
      .returning('epoch')
      .executeTakeFirst()
    if (!raised) return undefined
    await raiseRevision(transaction)
    const end: End = { reason: 'client disabled', now }
    const ending = await insertEnding(transaction, { client_id: id }, end)
    return { ...ending, ...raised }
  })
}

/** Takes a disabled client's requests again; false when there is none, or it is not as it was `seen`. */
export async function enableClient(db: Writer, id: string, seen?: SeenClient): Promise<boolean> {
  return changeClient(db, id, { disabled_at: null }, seen)
}

/**
 * Deletes a client; undefined when there is none, or it is not as it was `seen`. Its sessions end with it:
 * nothing finds their epoch any more.
 */
export async function deleteClient(
  { transact }: Writer,
  id: string,
  now: number,
  { epoch: _, ...seen }: SeenClient = {},
): Promise<(EpochEnding & Pick<ClientTable, 'resources'>) | undefined> {
  return transact(async transaction => {
    const deleted = await transaction
      .deleteFrom('clients')
      .where('id', '=', id)
      .where(eb => eb.and(seen))
      .returning(['epoch', 'resources'])
      .executeTakeFirst()
    if (!deleted) return undefined
    await raiseRevision(transaction)
    await forgetConsentsOfClient(transaction, id)
    await deleteStreamsOf(transaction, id)
    await forgetSubjectsOfClient(transaction, id)
    await forgetExchanger(transaction, id)
    const end: End = { reason: 'client deleted', now }
    const ending = await insertEnding(transaction, { client_id: id }, end)
    return { ...ending, epoch: deleted.epoch + 1, resources: deleted.resources }
  })
}

/**
 * Raises the epoch of a client of a database that has gone back in time to what it has been already, and
 * disables the client if told so; undefined when there is none, or its epoch is no older: then what was
 * logged is in the database. One that was made after what was logged is another client of the same id.
 */
export async function raiseClientEpochTo(
  { transact }: Writer,
  id: string,
  { epoch, isDisabled }: { readonly epoch: number; readonly isDisabled: boolean },
  end: ToldEnd,
): Promise<Ending | undefined> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('clients')
      .set({ epoch, ...(isDisabled ? { disabled_at: end.now } : {}) })
      .where('id', '=', id)
      .where('epoch', '<', epoch)
      .where('created_at', '<=', end.now)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return undefined
    await raiseRevision(transaction)
    return insertEnding(transaction, { client_id: id }, end)
  })
}
