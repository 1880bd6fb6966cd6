import { findClient } from '../../db/clients.ts'
import type { ClientTable, Database } from '../../db/database.ts'
import { CommandError } from './failures.ts'

/** The client of this id, which must be there. */
export async function existingClient(db: Database, id: string): Promise<ClientTable> {
  const found = await findClient(db, id)
  if (!found) throw noClient(id)
  return found
}

export const noClient = (id: string) =>
  new CommandError(`there is no client ${id}: \`mintmark client list\` shows all`)
