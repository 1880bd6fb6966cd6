import type { GroupTable, UserTable } from '../../db/schema.ts'
import {
  changeMembership,
  countMembers,
  pageOfMembers as pageOfMemberIds,
} from '../../db/users/group-members.ts'
import {
  changeGroup,
  deleteGroup as deleteGroupRow,
  findGroup,
  insertGroup,
  listGroups as listGroupRows,
} from '../../db/users/groups.ts'
import { usersByIds } from '../../db/users/user-pages.ts'
import type { Writer } from '../../db/writer.ts'
import { findUserById } from '../../db/users/users.ts'
import { Refusal } from '../errors.ts'
import {
  groupsMax,
  isGroupName,
  rolesColumn,
  rolesFor,
  rolesOf,
  takesGroupName,
  without,
} from '../protocol/roles.ts'
import { newUuid } from '../protocol/secrets.ts'
import type { Changes } from '../record/events.ts'
import { record } from '../record/record.ts'
import { emptyDeleted, type EmptyOptions } from '../users/deleted-groups.ts'
import { rolesNow } from '../users/roles.ts'
import { cutPage, itemsOf } from '../values/list.ts'
import type { Admin } from './admin.ts'
import { refuseOwnEnd, refuseUnlessUnlimited } from './administrators.ts'
import { heedPrecondition, movedOn } from './precondition.ts'
import { noGroup, refuseOddRoles, unlessGone, type GroupMetadata } from './roles.ts'
import { userToChange, type ListedUser } from './users.ts'

/** Of the installation: servers have all of them in memory. */
export const allGroupsMax = 10_000

/** Adds a group without members. Refuses a name that is taken. */
export async function createGroup(admin: Admin, { name, roles }: GroupMetadata): Promise<GroupTable> {
  refuseUnlessUnlimited(admin, roles)
  if (!isGroupName(name)) throw new Refusal('invalid', `name takes ${takesGroupName}`, undefined, 'name')
  await refuseOddRoles(admin, roles)
  const group = newGroupRow({ name, roles }, admin.clock.now())
  const created = { event: 'group_created', detail: { group: name, roles } } as const
  if (!(await record(admin, created, db => insertGroup(db, group, allGroupsMax))))
    throw await taken(admin, name)
  return group
}

/** The row of a new group. */
export function newGroupRow({ name, roles }: GroupMetadata, now: number): GroupTable {
  return { id: newUuid(now), name, roles: rolesColumn(roles), created_at: now, deleted_at: null }
}

/** The group that a row declares. */
export function groupMetadata({ name, roles }: GroupTable): GroupMetadata {
  return { name, roles: rolesOf(roles) }
}

async function taken({ db }: Admin, name: string): Promise<Refusal> {
  const found = await findGroup(db, name)
  if (!found)
    return new Refusal('conflict', `there are ${allGroupsMax.toLocaleString('en-US')} groups already`)
  return found.deleted_at === null
    ? new Refusal('conflict', `the group ${name} exists already`, '`mintmark group list` shows it')
    : new Refusal(
        'conflict',
        `the last members of the deleted group ${name} are still leaving it`,
        'try again soon',
      )
}

export interface UpdatedGroup {
  /** As it is now. */
  readonly group: GroupTable
  readonly differences: Changes
}

/** Changes the roles of a group, which the next tokens of its members have. */
export async function updateGroup(
  admin: Admin,
  name: string,
  roles: readonly string[],
): Promise<UpdatedGroup> {
  const found = await groupToChange(admin, name)
  refuseUnlessUnlimited(admin, roles)
  await refuseOddRoles(admin, roles)
  const group = { ...found, roles: rolesColumn(roles) }
  await refuseOwnLoss(admin, found, group.roles)
  if (group.roles === found.roles) return { group, differences: {} }
  const differences = { roles: { from: rolesOf(found.roles), to: rolesOf(group.roles) } }
  const changed = { event: 'group_changed', detail: { group: name, ...differences } } as const
  if (!(await record(admin, changed, db => changeGroup(db, found, group.roles))))
    throw await lostGroup(admin, name)
  return { group, differences }
}

export interface DeletedGroup {
  /** As it was. */
  readonly group: GroupTable
  /** Whether its last member has left it; otherwise a server sees to the rest. */
  readonly isDone: boolean
}

/**
 * Deletes a group: from now on its members have nothing by it. Refuses one that has members; with `force`,
 * they leave it.
 */
export async function deleteGroup(
  admin: Admin,
  name: string,
  { force, ...options }: { readonly force: boolean } & Omit<EmptyOptions, 'clock'>,
): Promise<DeletedGroup> {
  const group = await groupToChange(admin, name)
  await refuseOwnLoss(admin, group, '')
  const [member] = await pageOfMemberIds(admin.db, group.id, { limit: 1 })
  if (member && !force)
    throw new Refusal('conflict', `the group ${name} has members`, '--force takes them out and deletes it')
  const deleted = { event: 'group_deleted', detail: { group: name } } as const
  const change = (db: Writer) => deleteGroupRow(db, group, admin.clock.now())
  if (!(await record(admin, deleted, change))) throw await lostGroup(admin, name)
  const isDone = await emptyDeleted(admin.db, group, { clock: admin.clock, ...options })
  return { group, isDone }
}

/** Puts a user into a group, or takes it out; nothing is done where that is so already. */
export async function setMembership(
  admin: Admin,
  name: string,
  username: string,
  isMember: boolean,
): Promise<{ readonly user: UserTable; readonly isChanged: boolean }> {
  const group = await groupToChange({ ...admin, precondition: undefined }, name)
  const user = await userToChange(admin, username)
  const before = itemsOf(user.group_names)
  if (before.includes(name) === isMember) return { user, isChanged: false }
  if (isMember && before.length >= groupsMax)
    throw new Refusal('invalid', `${user.username} is in ${groupsMax} groups already, which is the most`)
  const rest = without(user.group_names, name)
  const after = { ...user, group_names: isMember ? `${rest} ${name}`.trim() : rest }
  if (!isMember) await refuseOwnEnd(admin, user, await rolesNow(admin.db, after))
  const differences = { groups: { from: before, to: itemsOf(after.group_names) } }
  const changed = { event: 'user_changed', userId: user.id, detail: differences } as const
  const now = admin.clock.now()
  const isChanged = await unlessGone(
    record(admin, changed, db => changeMembership(db, user, { group: group.name, isMember, now })),
  )
  if (!isChanged) throw movedOn(admin, `the user ${user.username}`)
  return { user: after, isChanged }
}

/** Why a group could not be changed. */
async function lostGroup(admin: Admin, name: string): Promise<Refusal> {
  await existingGroup({ db: admin.db }, name)
  return movedOn(admin, `the group ${name}`)
}

/** Refuses a change of a group after which who acts would administer no more. */
async function refuseOwnLoss(admin: Admin, { name }: GroupTable, roles: string): Promise<void> {
  const { actor, db } = admin
  const user = actor.kind === 'user' ? await findUserById(db, actor.id) : undefined
  if (!user || !itemsOf(user.group_names).includes(name)) return
  const others = await rolesNow(db, { ...user, group_names: without(user.group_names, name) })
  await refuseOwnEnd(admin, user, [...others, ...rolesFor(roles, undefined)])
}

/** The group of this name. Refuses an unknown one, and one that is not as the precondition says. */
export async function existingGroup(
  { db, precondition }: Pick<Admin, 'db' | 'precondition'>,
  name: string,
): Promise<GroupTable> {
  const found = await findGroup(db, name)
  if (!found || found.deleted_at !== null) throw noGroup(name)
  heedPrecondition({ precondition }, () => describeGroup(found))
  return found
}

/** The same, for an act that only some administrators may do to some groups. */
async function groupToChange(admin: Admin, name: string): Promise<GroupTable> {
  const found = await existingGroup(admin, name)
  refuseUnlessUnlimited(admin, rolesFor(found.roles, undefined))
  return found
}

/** All groups, in the order of their names. */
export async function listGroups({ db }: Admin): Promise<readonly GroupTable[]> {
  return listGroupRows(db)
}

/** One page of groups, and the name after which the next one begins; undefined after the last. */
export async function pageOfGroups(
  { db }: Pick<Admin, 'db'>,
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
): Promise<{ readonly groups: readonly GroupTable[]; readonly next: string | undefined }> {
  const { page, last } = cutPage(await listGroupRows(db, { after, limit: limit + 1 }), limit)
  return { groups: page, next: last?.name }
}

/** One page of the members of a group, in the order of their ids; `next` is undefined after the last. */
export async function pageOfMembers(
  { db }: Pick<Admin, 'db'>,
  name: string,
  { after, limit }: { readonly after?: Buffer | undefined; readonly limit: number },
): Promise<{ readonly users: readonly ListedUser[]; readonly next: Buffer | undefined }> {
  const group = await existingGroup({ db }, name)
  const { page, last } = cutPage(await pageOfMemberIds(db, group.id, { after, limit: limit + 1 }), limit)
  return { users: await usersByIds(db, page), next: last }
}

const pageSize = 500

/** All members of a group, read page by page: there may be any number. */
export async function* listMembers(admin: Admin, name: string): AsyncGenerator<ListedUser> {
  for (let after: Buffer | undefined; ;) {
    const { users, next } = await pageOfMembers(admin, name, { after, limit: pageSize })
    yield* users
    if (!next) return
    after = next
  }
}

/** A group, and how many members it has: that takes the longer, the more there are. */
export async function showGroup(
  admin: Admin,
  name: string,
): Promise<{ readonly group: GroupTable; readonly members: number }> {
  const group = await existingGroup(admin, name)
  return { group, members: await countMembers(admin.db, group.id) }
}

/** The document of a group. */
export function describeGroup({ name, roles, created_at }: GroupTable) {
  return { name, roles: rolesOf(roles), created_at }
}
