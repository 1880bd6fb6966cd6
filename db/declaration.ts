import type { Writer } from './audit.ts'
import { addClient, type ClientSettings, type NewClient } from './clients.ts'
import { raiseRevision } from './installation.ts'
import { addResource, updateResource, type NewResource, type ResourceSettings } from './resources.ts'

/** What a plan adds and changes. */
export interface Changes {
  readonly newResources: readonly NewResource[]
  readonly newClients: readonly NewClient[]
  readonly resources: ReadonlyMap<string, Partial<ResourceSettings>>
  readonly clients: ReadonlyMap<string, Partial<ClientSettings>>
}

/** Makes all changes or, when one of them has lost its ground since the plan was made, none; which it was. */
export async function applyChanges({ transact }: Writer, changes: Changes): Promise<boolean> {
  try {
    await transact(async transaction => {
      await raiseRevision(transaction)
      for (const resource of changes.newResources)
        if (!(await addResource(transaction, resource))) throw new LostGround()
      for (const [uri, settings] of changes.resources)
        if (!(await updateResource(transaction, uri, settings))) throw new LostGround()
      for (const client of changes.newClients)
        if (!(await addClient(transaction, client))) throw new LostGround()
      for (const [id, settings] of changes.clients) {
        const { numUpdatedRows } = await transaction
          .updateTable('clients')
          .set(settings)
          .where('id', '=', id)
          .executeTakeFirstOrThrow()
        if (numUpdatedRows !== 1n) throw new LostGround()
      }
      return true
    })
    return true
  } catch (error) {
    if (error instanceof LostGround) return false
    throw error
  }
}

/** Undoes the transaction. */
class LostGround extends Error {}
