import type { UserTable } from '../../db/schema.ts'
import type { Writer } from '../../db/writer.ts'
import { listUsers as listUserRows, searchUsers } from '../../db/users/user-pages.ts'
import {
  changeUser,
  enableUser as enableUserRow,
  findUser,
  findUserById,
  insertUser,
  type SeenOfUser,
} from '../../db/users/users.ts'
import { comparedName } from '../../db/users/compared-name.ts'
import { endSessionsOfUser, type EndedSessions, type EndOptions, type UserEnd } from '../endings/end.ts'
import { Refusal } from '../errors.ts'
import { rolesColumn, rolesOf } from '../protocol/roles.ts'
import { formatUuid, newUuid, parseUuid } from '../protocol/secrets.ts'
import {
  changedClaims,
  parseUserClaims,
  type ClaimChange,
  type UserClaims,
} from '../protocol/standard-claims.ts'
import type { Changes } from '../record/events.ts'
import { record } from '../record/record.ts'
import { judgeNewPassword, type PasswordOwner } from '../users/new-passwords.ts'
import type { PasswordHash } from '../users/passwords.ts'
import { rolesNow } from '../users/roles.ts'
import { itemsOf, cutPage } from '../values/list.ts'
import type { Admin } from './admin.ts'
import { refuseOwnEnd, refuseUnlessUnlimited, refuseUserUnlessUnlimited } from './administrators.ts'
import { differencesOf } from './differences.ts'
import { heedPrecondition, movedOn } from './precondition.ts'
import { refuseOddGroups, refuseOddRoles, unlessGone } from './roles.ts'
import { keepingNames, nameRefusal, refuseOddName, refuseUsername } from './user-names.ts'

export interface NewUser {
  /** In Unicode normal form C. */
  readonly username: string
  readonly password: string
  readonly roles: readonly string[]
  readonly groups?: readonly string[] | undefined
  readonly claims?: readonly ClaimChange[] | undefined
}

/** Adds a user. Refuses a name that is taken, and a password that no user should have. */
export async function createUser(
  admin: Pick<Admin, 'db' | 'clock' | 'log' | 'actor' | 'passwords' | 'config' | 'isLimited'>,
  { username, password, roles, groups = [], claims = [] }: NewUser,
): Promise<UserTable> {
  refuseUnlessUnlimited(admin, roles)
  await refuseOddRoles(admin, roles)
  await refuseOddGroups(admin, groups)
  await refuseUsername(admin, username)
  const called = { username, claims: JSON.stringify(changedClaims({}, claims)) }
  const hash = await hashNew(admin, password, called)
  const now = admin.clock.now()
  const user: UserTable = {
    id: newUuid(now),
    ...called,
    ...hash,
    roles: rolesColumn(roles),
    group_names: groups.join(' '),
    epoch: 0,
    mail_epoch: 0,
    created_at: now,
    disabled_at: null,
  }
  const created = { event: 'user_created', userId: user.id, detail: { username } } as const
  const isAdded = await unlessGone(record(admin, created, db => insertUser(db, user)))
  if (!isAdded) throw await nameRefusal(admin.db, user)
  return user
}

/** Gives a user another name to log in with. Sessions go on. */
export async function renameUser(
  admin: Admin,
  username: string,
  to: string,
): Promise<{ readonly from: string; readonly user: UserTable }> {
  const user = await userToChange(admin, username)
  const [from, after] = [user.username, { ...user, username: to.normalize('NFC') }]
  refuseOddName(after.username)
  const renamed = { event: 'user_renamed', userId: user.id, detail: { from, to: after.username } } as const
  const change = () => record(admin, renamed, db => changeUser(db, user, { username: after.username }))
  if (after.username !== from && !(await keepingNames(admin, after, change)))
    throw movedOn(admin, `the user ${username}`)
  return { from, user: after }
}

/**
 * The user of this `sub`, of this name, or of this verified mail address. Refuses an unknown one, and one
 * that is not as the precondition says.
 */
export async function existingUser(
  { db, precondition }: Pick<Admin, 'db' | 'precondition'>,
  text: string,
): Promise<UserTable> {
  const id = parseUuid(text.toLowerCase())
  const found = id ? await findUserById(db, id) : await findUser(db, text.normalize('NFC'))
  if (!found) throw noUser(text)
  heedPrecondition({ precondition }, () => describeUser(found))
  return found
}

/** The same, for an act that only some administrators may do to some users. */
export async function userToChange(
  admin: Pick<Admin, 'db' | 'precondition' | 'isLimited'>,
  text: string,
): Promise<UserTable> {
  const found = await existingUser(admin, text)
  await refuseUserUnlessUnlimited(admin, found)
  return found
}

export interface UserChanges {
  /** Null for none; undefined leaves them as they are. */
  readonly roles: readonly string[] | null | undefined
  /** In their order. */
  readonly claims?: readonly ClaimChange[] | undefined
}

/** Changes what the next tokens of all sessions of a user say, and what apps are told of the user. */
export async function updateUser(
  admin: Admin,
  username: string,
  { roles, claims = [] }: UserChanges,
): Promise<Changes> {
  const found = await userToChange(admin, username)
  if (roles) refuseUnlessUnlimited(admin, roles)
  if (roles) await refuseOddRoles(admin, roles)
  const before = parseUserClaims(found.claims)
  const after = changedClaims(before, claims)
  const columns = {
    roles: roles === undefined ? found.roles : rolesColumn(roles ?? []),
    claims: JSON.stringify(after),
  }
  const ofRoles: Changes =
    columns.roles === found.roles ? {} : { roles: { from: rolesOf(found.roles), to: rolesOf(columns.roles) } }
  const ofClaims = claimDifferences(before, after)
  const names = Object.keys(ofClaims)
  const differences = { ...ofRoles, ...ofClaims }
  await refuseOwnEnd(admin, found, await rolesNow(admin.db, { ...found, ...columns }))
  if (Object.keys(differences).length > 0) {
    const detail = { ...ofRoles, ...(names.length > 0 && { claims: names }) }
    const changed = { event: 'user_changed', userId: found.id, detail } as const
    const change = () => record(admin, changed, db => changeUser(db, found, columns))
    if (!(await keepingNames(admin, { ...found, ...columns }, change)))
      throw movedOn(admin, `the user ${username}`)
  }
  return differences
}

/** Where the claims differ, those that are gone included. */
function claimDifferences(before: UserClaims, after: UserClaims): Changes {
  const gone = Object.keys(before).filter(name => !(name in after))
  return differencesOf(before, { ...after, ...Object.fromEntries(gone.map(name => [name, null])) })
}

export type ListedUser = Awaited<ReturnType<typeof listUserRows>>[number]

/** Which users a page has: in the order of their names, after one of them. */
export interface UserPage {
  /** The beginning of the user name, or of the verified mail address, however it is spelled. */
  readonly search?: string | undefined
  /** `next` of the page before. */
  readonly after?: string | undefined
  readonly limit: number
}

/** One page of users, and where the next one begins; undefined after the last. It costs the same wherever. */
export async function pageOfUsers(
  { db }: Pick<Admin, 'db'>,
  { search, after, limit }: UserPage,
): Promise<{ readonly users: readonly ListedUser[]; readonly next: string | undefined }> {
  const rows =
    search === undefined
      ? (await listUserRows(db, { after, limit: limit + 1 })).map(user => ({ user, key: user.username }))
      : await searchUsers(db, { prefix: comparedName(search), after, limit: limit + 1 })
  const { page, last } = cutPage(rows, limit)
  return { users: page.map(({ user }) => user), next: last?.key }
}

const pageSize = 500

/** All users in the order of their names, read page by page: there may be any number. */
export async function* listUsers({ db }: Admin): AsyncGenerator<ListedUser> {
  for (let after = ''; ;) {
    const page = await listUserRows(db, { after, limit: pageSize })
    yield* page
    const last = page.at(-1)
    if (!last || page.length < pageSize) return
    after = last.username
  }
}

/** The end of all sessions of a user. */
export interface EndedUser extends EndedSessions {
  /** As the user is now; a deleted one, as it was. */
  readonly user: UserTable
}

/** Sets a new password, and ends all sessions of the user. Refuses a password that no user should have. */
export async function setPassword(
  admin: Admin,
  username: string,
  password: string,
  options?: EndOptions,
): Promise<EndedUser> {
  const user = await userToChange(admin, username)
  const hash = await hashNew(admin, password, user)
  const ended = await endUser(admin, user, { reason: 'password changed', password: hash }, options)
  return { ...ended, user: { ...user, ...hash } }
}

/** Refuses the user from now on, and ends all sessions. */
export async function disableUser(admin: Admin, username: string, options?: EndOptions): Promise<EndedUser> {
  const user = await userToChange(admin, username)
  await refuseOwnEnd(admin, user)
  const ended = await endUser(admin, user, { reason: 'user disabled' }, options)
  return { ...ended, user: { ...user, disabled_at: ended.at } }
}

/** Lets a disabled user log in again. */
export async function enableUser(admin: Admin, username: string): Promise<UserTable> {
  const user = await userToChange(admin, username)
  const enabled = { event: 'user_enabled', userId: user.id } as const
  const change = (db: Writer) => enableUserRow(db, user.id, seenOf(admin, user))
  if (!(await record(admin, enabled, change))) throw await lostUser(admin, user)
  return { ...user, disabled_at: null }
}

/** Removes a user for good, and ends all sessions. */
export async function deleteUser(admin: Admin, username: string, options?: EndOptions): Promise<EndedUser> {
  const user = await userToChange(admin, username)
  await refuseOwnEnd(admin, user)
  const ended = await endUser(admin, user, { reason: 'user deleted', username }, options)
  return { ...ended, user }
}

/** The document of a user. */
export function describeUser({
  id,
  username,
  roles,
  group_names,
  claims,
  created_at,
  disabled_at,
}: ListedUser) {
  return {
    sub: formatUuid(id),
    username,
    roles: rolesOf(roles),
    groups: itemsOf(group_names),
    claims: parseUserClaims(claims),
    created_at,
    disabled_at,
  }
}

async function hashNew(
  { passwords, config }: Pick<Admin, 'passwords' | 'config'>,
  password: string,
  user: PasswordOwner['user'],
): Promise<PasswordHash> {
  const problem = await judgeNewPassword(password, { user, operator: config.name })
  if (problem) throw new Refusal('invalid', problem.text)
  return passwords.hash(password)
}

async function endUser(
  admin: Admin,
  user: UserTable,
  end: UserEnd,
  options: EndOptions | undefined,
): Promise<EndedSessions> {
  const seen = { user: seenOf(admin, user) }
  const ended = await endSessionsOfUser(admin, user.id, end, { ...options, seen })
  if (!ended) throw await lostUser(admin, user)
  return ended
}

/** What of a user must still be as it was looked at: by the precondition, or by who may change few. */
function seenOf(
  { precondition, isLimited }: Admin,
  { username, roles, group_names, claims, disabled_at }: UserTable,
): SeenOfUser {
  if (precondition !== undefined) return { username, roles, group_names, claims, disabled_at }
  return isLimited ? { roles, group_names } : {}
}

/** Why a user could not be changed. */
async function lostUser(admin: Admin, { id, username }: UserTable): Promise<Refusal> {
  return (await findUserById(admin.db, id)) ? movedOn(admin, `the user ${username}`) : noUser(username)
}

const noUser = (username: string) =>
  new Refusal('not_found', `there is no user ${username}`, '`mintmark user list` shows all')
