import type { UserTable } from '../../db/schema.ts'
import { newUuid, parseUuid } from '../protocol/secrets.ts'
import { groupsMax, isRole, rolesColumn, rolesMax, takesRole, type KnownGroups } from '../protocol/roles.ts'
import {
  changedClaims,
  isStandardClaim,
  readClaimValue,
  standardClaims,
  type ClaimChange,
} from '../protocol/standard-claims.ts'
import { newUsernameProblem } from '../protocol/username.ts'
import { isObject } from '../values/json.ts'
import { nearestName } from '../values/suggestion.ts'
import { ImportedHashError } from './imported-hashes.ts'
import type { PasswordHash, Passwords } from './passwords.ts'

/** What it may have, beside the standard claims. */
const memberNames = [
  'sub',
  'username',
  'password_hash',
  'root_key_id',
  'roles',
  'groups',
  'claims',
  'disabled',
  'disabled_at',
  'created_at',
]

/** Why it is no user: a sentence without a capital and a full stop. */
class EntryError extends Error {
  override readonly name = 'EntryError'
}

export type ReadUser = { readonly row: UserTable } | { readonly problem: string }

/** What reading takes beside the members. */
export interface Readers {
  readonly passwords: Pick<Passwords, 'wrap'>
  readonly now: number
  /** The groups that there are; none, unless told. */
  readonly groups?: KnownGroups
}

/**
 * Makes a row of a user of another system. `now` is in seconds since the epoch. The hash is wrapped under the
 * pepper; a user without one has no password.
 */
export function readUser(members: Readonly<Record<string, unknown>>, readers: Readers): ReadUser {
  try {
    return { row: rowOf(members, readers) }
  } catch (error) {
    if (error instanceof EntryError || error instanceof ImportedHashError) return { problem: error.message }
    throw error
  }
}

function rowOf(
  members: Readonly<Record<string, unknown>>,
  { passwords, now, groups = new Map() }: Readers,
): UserTable {
  const claims: ClaimChange[] = []
  for (const [name, value] of Object.entries(members)) {
    if (isStandardClaim(name)) claims.push(claimOf(name, value))
    else if (!memberNames.includes(name)) throw unknownMember(name)
  }
  claims.push(...nestedClaims(members['claims']))
  return {
    id: idOf(members['sub'], now),
    username: usernameOf(members['username']),
    ...hashOf(members, passwords),
    roles: rolesColumn(rolesIn(members['roles'])),
    group_names: groupsIn(members['groups'], groups).join(' '),
    claims: JSON.stringify(changedClaims({}, claims)),
    // A user who was deleted here may come back with the same id: what began before is not of the new one.
    epoch: now,
    mail_epoch: now,
    created_at: timeOf('created_at', members['created_at']) ?? now,
    disabled_at:
      timeOf('disabled_at', members['disabled_at']) ?? (isDisabled(members['disabled']) ? now : null),
  }
}

/** Who had a UUID keeps it, so that resource servers know the user by the same `sub`. */
function idOf(sub: unknown, now: number): Buffer {
  if (isAbsent(sub)) return newUuid(now)
  const id = typeof sub === 'string' ? parseUuid(sub.toLowerCase()) : undefined
  if (!id) throw new EntryError('sub takes a UUID; without one the user gets a new one')
  return id
}

function usernameOf(username: unknown): string {
  if (typeof username !== 'string') throw new EntryError('username is missing, or no text')
  const problem = newUsernameProblem(username)
  if (problem !== undefined) throw new EntryError(problem)
  return username.normalize('NFC')
}

function hashOf(
  members: Readonly<Record<string, unknown>>,
  passwords: Pick<Passwords, 'wrap'>,
): PasswordHash {
  const { password_hash: hash = '', root_key_id: rootKeyId } = members
  if (isAbsent(hash)) return passwords.wrap('')
  if (typeof hash !== 'string') throw new EntryError('password_hash takes a text')
  if (!isAbsent(rootKeyId) && typeof rootKeyId !== 'string') throw new EntryError('root_key_id takes a text')
  return passwords.wrap(hash, isAbsent(rootKeyId) ? undefined : rootKeyId)
}

function rolesIn(roles: unknown): readonly string[] {
  const names = namesIn('roles', roles, rolesMax)
  if (names.every(isRole)) return names
  throw new EntryError(`a role is ${takesRole}`)
}

function groupsIn(value: unknown, groups: KnownGroups): readonly string[] {
  const names = [...new Set(namesIn('groups', value, groupsMax))]
  const unknown = names.find(name => !groups.has(name))
  if (unknown === undefined) return names
  throw new EntryError(
    `there is no group ${JSON.stringify(unknown.slice(0, 50))}: \`mintmark group create\` adds it`,
  )
}

/** A list of names, or a text with spaces between them. */
function namesIn(member: string, value: unknown, max: number): readonly string[] {
  if (isAbsent(value)) return []
  const names: unknown = typeof value === 'string' ? value.split(' ').filter(name => name !== '') : value
  if (Array.isArray(names) && names.length <= max && names.every(name => typeof name === 'string'))
    return names
  throw new EntryError(`${member} takes a list of at most ${max} names`)
}

function nestedClaims(claims: unknown): readonly ClaimChange[] {
  if (isAbsent(claims)) return []
  if (!isObject(claims)) throw new EntryError('claims takes an object')
  return Object.entries(claims).map(([name, value]) => {
    if (!isStandardClaim(name)) throw unknownMember(name)
    return claimOf(name, value)
  })
}

function claimOf(name: Parameters<typeof readClaimValue>[0], value: unknown): ClaimChange {
  const read = readClaimValue(name, value)
  if ('problem' in read) throw new EntryError(read.problem)
  return { kind: 'set', name, value: read.value }
}

function isDisabled(disabled: unknown): boolean {
  if (isAbsent(disabled) || disabled === false || disabled === 'false') return false
  if (disabled === true || disabled === 'true') return true
  throw new EntryError('disabled takes true or false')
}

/** Seconds since the epoch; an export has them so. */
function timeOf(name: string, time: unknown): number | undefined {
  if (isAbsent(time)) return undefined
  const seconds = typeof time === 'string' && /^\d{1,12}$/.test(time) ? Number(time) : time
  if (typeof seconds === 'number' && Number.isInteger(seconds) && seconds >= 0 && seconds < 1e11)
    return seconds
  throw new EntryError(`${name} takes a time in seconds since 1970`)
}

function isAbsent(value: unknown): value is undefined | null | '' {
  return value === undefined || value === null || value === ''
}

function unknownMember(name: string): EntryError {
  const nearest = nearestName(name, [...memberNames, ...standardClaims])
  const meant = nearest === undefined ? '' : `; did you mean ${nearest}?`
  return new EntryError(`${JSON.stringify(name.slice(0, 50))} is not known${meant}`)
}
