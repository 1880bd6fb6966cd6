import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { raiseRevision } from '../installation/installation.ts'
import type { GroupTable, Tables } from '../schema.ts'
import type { Writer } from '../writer.ts'

/** Groups in the order of their names: all, or so many after one of them. */
export async function listGroups(
  { sql }: Pick<Database, 'sql'>,
  { after = '', limit }: { readonly after?: string | undefined; readonly limit?: number } = {},
): Promise<readonly GroupTable[]> {
  return sql
    .selectFrom('groups')
    .selectAll()
    .where('deleted_at', 'is', null)
    .where('name', '>', after)
    .orderBy('name')
    .$if(limit !== undefined, query => query.limit(limit ?? 0))
    .execute()
}

/** The group of this name; also one that is being deleted, which `deleted_at` says. */
export async function findGroup({ sql }: Database, name: string): Promise<GroupTable | undefined> {
  return sql.selectFrom('groups').selectAll().where('name', '=', name).executeTakeFirst()
}

/** The roles of groups, as they are now. `names` are separated by spaces. */
export async function rolesOfGroups({ sql }: Database, names: string): Promise<readonly string[]> {
  if (names === '') return []
  const groups = await sql
    .selectFrom('groups')
    .select('roles')
    .where('name', 'in', names.split(' '))
    .where('deleted_at', 'is', null)
    .execute()
  return groups.map(({ roles }) => roles)
}

/** Adds a group; false when its name is taken, or there are `groupsMax` already. */
export async function insertGroup(
  { transact }: Writer,
  group: GroupTable,
  groupsMax: number,
): Promise<boolean> {
  return transact(async transaction => {
    await raiseRevision(transaction)
    return addGroup(transaction, group, groupsMax)
  })
}

/** A part of a larger transaction, which has raised the revision. */
export async function addGroup(
  transaction: Transaction<Tables>,
  group: GroupTable,
  groupsMax: number,
): Promise<boolean> {
  // Two at the same moment may make one too many: the bound is there for the memory of servers.
  const { count } = await transaction
    .selectFrom('groups')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  if (Number(count) >= groupsMax) return false
  const { numInsertedOrUpdatedRows } = await transaction
    .insertInto('groups')
    .values(group)
    .onConflict(conflict => conflict.doNothing())
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

/** Changes the roles of a group; false when it is not as it was seen any more. */
export async function changeGroup(
  { transact }: Writer,
  seen: Pick<GroupTable, 'id' | 'roles'>,
  roles: string,
): Promise<boolean> {
  return transact(async transaction => {
    await raiseRevision(transaction)
    return updateGroup(transaction, seen, roles)
  })
}

/** A part of a larger transaction, which has raised the revision. */
export async function updateGroup(
  transaction: Transaction<Tables>,
  { id, roles: before }: Pick<GroupTable, 'id' | 'roles'>,
  roles: string,
): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable('groups')
    .set({ roles })
    .where('id', '=', id)
    .where('roles', '=', before)
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/**
 * Deletes a group: from now on it gives no member anything. Its members are left to `emptyDeletedGroup`.
 * False when it is not as it was seen any more.
 */
export async function deleteGroup(
  { transact }: Writer,
  { id, roles }: Pick<GroupTable, 'id' | 'roles'>,
  now: number,
): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('groups')
      .set({ deleted_at: now })
      .where('id', '=', id)
      .where('roles', '=', roles)
      .where('deleted_at', 'is', null)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return false
    await raiseRevision(transaction)
    return true
  })
}

/** A group that is deleted, and still has members; undefined where there is none. */
export async function findDeletedGroup({ sql }: Database): Promise<GroupTable | undefined> {
  return sql.selectFrom('groups').selectAll().where('deleted_at', 'is not', null).executeTakeFirst()
}
