import type { Kysely } from 'kysely'
import type { Database, ResourceTable, Tables } from './database.ts'
import { raiseRevision } from './installation.ts'

export async function findResource({ sql }: Database, uri: string): Promise<ResourceTable | undefined> {
  return sql.selectFrom('resources').selectAll().where('uri', '=', uri).executeTakeFirst()
}

export async function listResources({ sql }: Database): Promise<ResourceTable[]> {
  return sql.selectFrom('resources').selectAll().orderBy('uri').execute()
}

/** Adds a resource; false when one with its URI is there already. */
export async function insertResource({ transact }: Database, resource: ResourceTable): Promise<boolean> {
  return transact(async transaction => {
    if (!(await addResource(transaction, resource))) return false
    await raiseRevision(transaction)
    return true
  })
}

/** A part of a larger transaction, which raises the revision. */
export async function addResource(transaction: Kysely<Tables>, resource: ResourceTable): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await transaction
    .insertInto('resources')
    .values(resource)
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

export type ResourceSettings = Omit<ResourceTable, 'uri' | 'created_at'>

/** Changes a resource's settings; false when there is none. */
export async function changeResource(
  { transact }: Database,
  uri: string,
  settings: Partial<ResourceSettings>,
): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('resources')
      .set(settings)
      .where('uri', '=', uri)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return false
    await raiseRevision(transaction)
    return true
  })
}

export interface ResourceDeletion {
  /** `used`: nothing was changed, because clients use it. */
  readonly kind: 'deleted' | 'used' | 'unknown'
  /** The ids of the clients that use it, or did. */
  readonly clients: readonly string[]
}

/** Deletes a resource that no client uses; with `force`, takes it from those that do. Its tokens run out by themselves. */
export async function deleteResource(
  { transact }: Database,
  uri: string,
  { force }: { readonly force: boolean },
): Promise<ResourceDeletion> {
  return transact(async transaction => {
    const found = await transaction
      .selectFrom('resources')
      .select('uri')
      .where('uri', '=', uri)
      .executeTakeFirst()
    if (!found) return { kind: 'unknown', clients: [] }

    const users = (
      await transaction.selectFrom('clients').select(['id', 'resources', 'introspects']).execute()
    ).filter(client => [client.resources, client.introspects].some(list => list.split(' ').includes(uri)))
    const clients = users.map(client => client.id).sort()
    if (users.length > 0 && !force) return { kind: 'used', clients }

    const without = (list: string) =>
      list
        .split(' ')
        .filter(item => item !== uri)
        .join(' ')
    for (const { id, resources, introspects } of users) {
      await transaction
        .updateTable('clients')
        .set({ resources: without(resources), introspects: without(introspects) })
        .where('id', '=', id)
        .execute()
    }
    await transaction.deleteFrom('resources').where('uri', '=', uri).execute()
    await raiseRevision(transaction)
    return { kind: 'deleted', clients }
  })
}
