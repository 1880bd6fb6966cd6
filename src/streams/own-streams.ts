import type { Database } from '../../db/database.ts'
import { findStream, listStreams } from '../../db/push/streams.ts'
import type { StreamTable } from '../../db/schema.ts'
import type { Client } from '../clients/registry.ts'

/** A stream of the client that asks. */
export type OwnStream = StreamTable

interface WithDatabase {
  readonly db: Database
}

/** The stream of this id, where it is the client's; undefined for any other. */
export async function findOwnStream(
  { db }: WithDatabase,
  client: Pick<Client, 'id'>,
  id: Buffer,
): Promise<OwnStream | undefined> {
  const stream = await findStream(db, id)
  return stream?.client_id === client.id ? stream : undefined
}

export async function listOwnStreams(
  { db }: WithDatabase,
  client: Pick<Client, 'id'>,
): Promise<readonly OwnStream[]> {
  return listStreams(db, { clientId: client.id })
}
