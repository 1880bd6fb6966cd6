import type { Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { keptInsert } from '../kept-insert.ts'
import type { GroupTable, Tables, UserTable } from '../schema.ts'
import { someAtOnce } from '../some-at-once.ts'
import type { Writer } from '../writer.ts'

/** A group is not there, or not any more. */
export class NoGroupError extends Error {
  override readonly name = 'NoGroupError'
  readonly group: string
  constructor(group: string) {
    super(`there is no group ${group}`)
    this.group = group
  }
}

/** So many members leave a deleted group in one transaction. */
const membersAtOnce = 500

/**
 * Takes some members out of a group that is deleted, and its row away with the last of them: then its name
 * is free. Any number of processes may do it at once. Returns how many have left, and whether that was all.
 */
export async function emptyDeletedGroup(
  { transact }: Pick<Database, 'transact'>,
  group: Pick<GroupTable, 'id' | 'name'>,
): Promise<{ readonly left: number; readonly isDone: boolean }> {
  return transact(async transaction => {
    const members = await readMembers(transaction, group.id, { limit: membersAtOnce })
    const users = await usersById(transaction, members)
    for (const { id, group_names: before } of users) {
      // On PostgreSQL others may have put the user into another group just now: their change stays.
      const { numUpdatedRows } = await transaction
        .updateTable('users')
        .set({ group_names: without(before, group.name) })
        .where('id', '=', id)
        .where('group_names', '=', before)
        .executeTakeFirstOrThrow()
      if (numUpdatedRows === 1n) await removeMember(transaction, group.id, id)
    }
    const found = new Set(users.map(({ id }) => id.toString('hex')))
    for (const id of members.filter(id => !found.has(id.toString('hex')))) {
      await removeMember(transaction, group.id, id) // the user was deleted
    }
    const [rest] = await readMembers(transaction, group.id, { limit: 1 })
    if (!rest) await transaction.deleteFrom('groups').where('id', '=', group.id).execute()
    return { left: members.length, isDone: !rest }
  })
}

/** Members of a group in the order of their ids, after one of them. It costs the same wherever. */
export async function pageOfMembers(
  { sql }: Database,
  group: Buffer,
  page: { readonly after?: Buffer | undefined; readonly limit: number },
): Promise<readonly Buffer[]> {
  return readMembers(sql, group, page)
}

/** How many members a group has. */
export async function countMembers({ sql }: Database, group: Buffer): Promise<number> {
  const { count } = await sql
    .selectFrom('group_members')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('id', '>', group)
    .where('id', '<=', memberId(group, lastId))
    .executeTakeFirstOrThrow()
  return Number(count)
}

async function readMembers(
  sql: Pick<Transaction<Tables>, 'selectFrom'>,
  group: Buffer,
  { after, limit }: { readonly after?: Buffer | undefined; readonly limit: number },
): Promise<readonly Buffer[]> {
  const rows = await sql
    .selectFrom('group_members')
    .select('id')
    .where('id', '>', after ? memberId(group, after) : group)
    .where('id', '<=', memberId(group, lastId))
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map(({ id }) => id.subarray(16))
}

const lastId = Buffer.alloc(16, 0xff)

async function usersById(transaction: Transaction<Tables>, ids: readonly Buffer[]) {
  const users: Pick<UserTable, 'id' | 'group_names'>[] = []
  for (const some of someAtOnce(ids)) {
    users.push(
      ...(await transaction
        .selectFrom('users')
        .select(['id', 'group_names'])
        .where('id', 'in', some)
        .execute()),
    )
  }
  return users
}

/**
 * Puts a user into a group, or takes it out; false when the user is not as it was seen any more. Throws
 * `NoGroupError`.
 */
export async function changeMembership(
  { transact, engine }: Writer,
  user: Pick<UserTable, 'id' | 'group_names'>,
  { group, isMember, now }: { readonly group: string; readonly isMember: boolean; readonly now: number },
): Promise<boolean> {
  return transact(async transaction => {
    const [found] = await standingGroups(transaction, engine, [group])
    if (!found) throw new NoGroupError(group)
    const rest = without(user.group_names, group)
    const { numUpdatedRows } = await transaction
      .updateTable('users')
      .set({ group_names: isMember ? `${rest} ${group}`.trim() : rest })
      .where('id', '=', user.id)
      .where('group_names', '=', user.group_names)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return false
    if (isMember) await addMembers(transaction, [{ id: memberId(found.id, user.id), since: now }])
    else await removeMember(transaction, found.id, user.id)
    return true
  })
}

/** Notes the groups of users whose rows were just added. Throws `NoGroupError`. */
export async function keepMembers(
  transaction: Transaction<Tables>,
  engine: Database['engine'],
  users: readonly Pick<UserTable, 'id' | 'group_names' | 'created_at'>[],
): Promise<void> {
  const members = users.filter(({ group_names: names }) => names !== '')
  if (members.length === 0) return
  const names = [...new Set(members.flatMap(({ group_names }) => group_names.split(' ')))].sort()
  const groups = new Map((await standingGroups(transaction, engine, names)).map(({ id, name }) => [name, id]))
  const rows = members.flatMap(({ id, group_names, created_at: since }) =>
    group_names.split(' ').map(name => {
      const group = groups.get(name)
      if (!group) throw new NoGroupError(name)
      return { id: memberId(group, id), since }
    }),
  )
  await addMembers(transaction, rows)
}

/** In the transaction that deletes the user. */
export async function forgetMember(
  transaction: Transaction<Tables>,
  { id, group_names: names }: Pick<UserTable, 'id' | 'group_names'>,
): Promise<void> {
  if (names === '') return
  const groups = await transaction
    .selectFrom('groups')
    .select('id')
    .where('name', 'in', names.split(' '))
    .execute()
  for (const group of groups) await removeMember(transaction, group.id, id)
}

/** Groups that stay until the transaction ends: who deletes one waits for it. */
async function standingGroups(
  transaction: Transaction<Tables>,
  engine: Database['engine'],
  names: readonly string[],
) {
  const groups: Pick<GroupTable, 'id' | 'name'>[] = []
  for (const some of someAtOnce(names)) {
    const query = transaction
      .selectFrom('groups')
      .select(['id', 'name'])
      .where('name', 'in', some)
      .where('deleted_at', 'is', null)
    groups.push(...(await (engine === 'postgres' ? query.forShare() : query).execute()))
  }
  return groups
}

async function addMembers(
  transaction: Transaction<Tables>,
  rows: readonly { readonly id: Buffer; readonly since: number }[],
): Promise<void> {
  await addMemberRows(transaction, rows)
}

const addMemberRows = keptInsert('group_members')

async function removeMember(transaction: Transaction<Tables>, group: Buffer, user: Buffer): Promise<void> {
  await transaction.deleteFrom('group_members').where('id', '=', memberId(group, user)).execute()
}

function memberId(group: Buffer, user: Buffer): Buffer {
  return Buffer.concat([group, user])
}

function without(names: string, name: string): string {
  return names
    .split(' ')
    .filter(item => item !== name)
    .join(' ')
}
