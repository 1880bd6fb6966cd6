import type { Database, ResourceTable } from './database.ts'
import { raiseRevision } from './installation.ts'

export async function findResource({ sql }: Database, uri: string): Promise<ResourceTable | undefined> {
  return sql.selectFrom('resources').selectAll().where('uri', '=', uri).executeTakeFirst()
}

export async function listResources({ sql }: Database): Promise<ResourceTable[]> {
  return sql.selectFrom('resources').selectAll().orderBy('uri').execute()
}

/** Adds a resource; false when one with its URI is there already. */
export async function insertResource({ sql }: Database, resource: ResourceTable): Promise<boolean> {
  return sql.transaction().execute(async transaction => {
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('resources')
      .values(resource)
      .onConflict(conflict => conflict.doNothing())
      .executeTakeFirstOrThrow()
    if (numInsertedOrUpdatedRows !== 1n) return false
    await raiseRevision(transaction)
    return true
  })
}

export type ResourceSettings = Omit<ResourceTable, 'uri' | 'created_at'>

/** Changes a resource's settings; false when there is none. */
export async function changeResource(
  { sql }: Database,
  uri: string,
  settings: Partial<ResourceSettings>,
): Promise<boolean> {
  return sql.transaction().execute(async transaction => {
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

/** Deletes a resource; false when there is none. Its tokens run out by themselves. */
export async function deleteResource({ sql }: Database, uri: string): Promise<boolean> {
  return sql.transaction().execute(async transaction => {
    const { numDeletedRows } = await transaction.deleteFrom('resources').where('uri', '=', uri).executeTakeFirstOrThrow()
    if (numDeletedRows !== 1n) return false
    await raiseRevision(transaction)
    return true
  })
}
