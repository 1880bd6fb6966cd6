import { findClient } from '../../../db/clients/clients.ts'
import type { Database } from '../../../db/database.ts'
import type { ClientTable } from '../../../db/schema.ts'
import { CommandError } from '../shell/failures.ts'

/** The client of this id, which must be there. */
export async function existingClient(db: Database, id: string): Promise<ClientTable> {
  const found = await findClient(db, id)
  if (!found) throw noClient(id)
  return found
}

export const noClient = (id: string) =>
  new CommandError(`there is no client ${id}: \`mintmark client list\` shows all`)
