import type { ImportedPart, ImportedUser, TakenEntry } from '../../../db/users/imports.ts'
import { NoGroupError } from '../../../db/users/group-members.ts'
import { listGroups } from '../../../db/users/groups.ts'
import { NameTakenError } from '../../../db/users/user-names.ts'
import { rolesWithGroups, type KnownGroups } from '../../protocol/roles.ts'
import { usernameMaxLength } from '../../protocol/username.ts'
import type { Event } from '../../record/events.ts'
import { readUser } from '../../users/imported-user.ts'
import { printable } from '../../values/formats.ts'
import type { Admin } from '../admin.ts'
import { administers } from '../../protocol/admin-roles.ts'
import { noGroup } from '../roles.ts'
import { entriesOf, type FileEntry, type UsersSource } from './entries.ts'
import { fromKeycloak, isKeycloakUser } from './keycloak.ts'

/** An entry of the file, counted from 1, that is no user now, and why. */
export interface RefusedEntry {
  readonly entry: number
  /** As it is written; undefined where that cannot be read. */
  readonly username: string | undefined
  readonly problem: string
}

/** Some entries in a row: those that are users, and the others. */
export interface FilePart extends Pick<ImportedPart, 'from' | 'to'> {
  readonly users: ImportedUser[]
  readonly refused: RefusedEntry[]
}

type Reading = Pick<Admin, 'db' | 'passwords' | 'clock' | 'isLimited'>

/** The entries of a file after `from`, so many at once. Who may not do everything adds no administrators. */
export async function* partsOf(
  admin: Reading,
  source: UsersSource,
  { from, entriesAtOnce }: { readonly from: number; readonly entriesAtOnce: number },
): AsyncGenerator<FilePart> {
  const groups = new Map((await listGroups(admin.db)).map(group => [group.name, group]))
  let entry = 0
  let part: FilePart = { from, to: from, users: [], refused: [] }
  for await (const written of entriesOf(source)) {
    entry++
    if (entry <= from) continue
    const read = readEntry(admin, groups, written)
    if ('row' in read) part.users.push({ entry, row: read.row })
    else part.refused.push({ entry, username: shownName(written), problem: read.problem })
    if (entry - part.from < entriesAtOnce) continue
    yield { ...part, to: entry }
    part = { from: entry, to: entry, users: [], refused: [] }
  }
  if (entry > part.from) yield { ...part, to: entry }
}

function readEntry({ passwords, clock, isLimited }: Reading, groups: KnownGroups, written: FileEntry) {
  if ('problem' in written) return written
  const read = readUser(membersOf(written), { passwords, now: clock.now(), groups })
  if (!isLimited || 'problem' in read || !administers(rolesWithGroups(read.row, groups, undefined)))
    return read
  return { problem: 'who administers is added with the scope admin:write alone' }
}

/** Whatever program has written it. */
function membersOf({ members }: Extract<FileEntry, { members: unknown }>) {
  return isKeycloakUser(members) ? fromKeycloak(members) : members
}

/** The entries of a part that are no users now, in the order of the file. */
export function refusedOf({ users, refused }: FilePart, taken: readonly TakenEntry[]): RefusedEntry[] {
  const nameOf = new Map(users.map(({ entry, row }) => [entry, row.username]))
  const ofTaken = taken.map(({ entry, what }) => ({
    entry,
    username: nameOf.get(entry),
    problem: takenProblems[what],
  }))
  return [...refused, ...ofTaken].toSorted((a, b) => a.entry - b.entry)
}

/** Nothing else of an entry is shown: it may hold a hash in the wrong place. */
function shownName(written: FileEntry): string | undefined {
  const username = 'members' in written ? written.members['username'] : undefined
  return typeof username === 'string' ? printable(username.slice(0, usernameMaxLength)) : undefined
}

const takenProblems: Readonly<Record<TakenEntry['what'], string>> = {
  sub: 'there is a user of this sub already',
  username: 'there is a user of this name already',
  mail: 'the verified mail address is a name of another user already',
}

/** What the audit trail has of a part, by the SHA-256 of its file. */
export function importEvents(file: string): (added: { readonly created: number }) => readonly Event[] {
  return ({ created }) =>
    created === 0 ? [] : [{ event: 'users_imported', detail: { file, users: created } }]
}

const attemptsMax = 6

/**
 * Adds a part as if all of its names were free; again, where one is not: then it is looked which, and once
 * more where another one was taken at that moment. Refuses it where a group was deleted since the file was
 * begun.
 */
export async function addAgain<Added>(
  add: (may: { readonly mayBeTaken: boolean }) => Promise<Added>,
  attempts = 1,
): Promise<Added> {
  try {
    return await add({ mayBeTaken: attempts > 1 })
  } catch (error) {
    if (error instanceof NoGroupError) throw noGroup(error.group)
    if (!(error instanceof NameTakenError) || attempts === attemptsMax) throw error
    return addAgain(add, attempts + 1)
  }
}
