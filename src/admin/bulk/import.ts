import {
  beginImport,
  endImport,
  findImport,
  findTaken,
  importPart,
  type ImportedPart,
  type ImportedUser,
  type TakenEntry,
} from '../../../db/users/imports.ts'
import { NameTakenError } from '../../../db/users/user-names.ts'
import { Refusal } from '../../errors.ts'
import type { Event } from '../../record/events.ts'
import { record } from '../../record/record.ts'
import { usernameMaxLength } from '../../protocol/username.ts'
import { readUser } from '../../users/imported-user.ts'
import { printable } from '../../values/formats.ts'
import type { Admin } from '../admin.ts'
import type { Progress, ShowProgress } from '../progress.ts'
import { entriesOf, openUsersFile, type FileEntry } from './entries.ts'
import { fromKeycloak, isKeycloakUser } from './keycloak.ts'

/** An entry of the file, counted from 1, that is no user now, and why. */
export interface RefusedEntry {
  readonly entry: number
  /** As it is written; undefined where that cannot be read. */
  readonly username: string | undefined
  readonly problem: string
}

export interface ImportOptions {
  readonly onRefused: (refused: RefusedEntry) => void
  readonly showProgress: ShowProgress
  /** Ends the work after the part that is under way; the next run goes on from there. */
  readonly signal: AbortSignal
}

/** Of all runs for the file. */
export interface Imported {
  readonly created: number
  readonly refused: number
  /** How many entries an earlier run had done, which was interrupted. */
  readonly resumedAfter: number
  /** False when the signal came first. */
  readonly isDone: boolean
}

/** So many entries are one transaction: refreshes wait for no longer. */
const entriesAtOnce = 500

/**
 * Adds the users of a file; see `entriesOf` for its forms, and `readUser` for what an entry has. Entries that
 * are no user are told and left out, and all others are added. A run that was interrupted, even killed, is
 * gone on with where it was; a file that was imported to its end begins anew, and then every user is there
 * already.
 */
export async function importUsers(admin: Admin, path: string, options: ImportOptions): Promise<Imported> {
  const { db, clock } = admin
  const { digest, lines } = await openUsersFile(path)
  const before = await findImport(db, digest)
  const resumedAfter = before && before.ended_at === null ? before.lines : 0
  if (resumedAfter === 0) await beginImport(db, digest, clock.now())
  const progress = options.showProgress('user', lines)
  let isDone = true
  for await (const part of partsOf(admin, path, resumedAfter)) {
    const taken = await addPart(admin, { ...part, digest, refused: part.refused.length })
    tellRefused(part, taken, { progress, ...options })
    isDone = !options.signal.aborted
    if (!isDone) break
  }
  progress.end()
  if (isDone) await endImport(db, digest, clock.now())
  const { created = 0, refused = 0 } = (await findImport(db, digest)) ?? {}
  return { created, refused, resumedAfter, isDone }
}

/** Tells what an import of the file would refuse, and of how many users. Changes nothing. */
export async function tryImport(admin: Admin, path: string, options: ImportOptions): Promise<Imported> {
  const progress = options.showProgress('user', (await openUsersFile(path)).lines)
  const earlier = new Set<string>()
  const counts = { created: 0, refused: 0, resumedAfter: 0 }
  for await (const part of partsOf(admin, path, 0)) {
    const taken = await findTaken(admin.db, part.users, earlier)
    tellRefused(part, taken, { progress, ...options })
    counts.created += part.users.length - taken.length
    counts.refused += part.refused.length + taken.length
    if (options.signal.aborted) break
  }
  progress.end()
  return { ...counts, isDone: !options.signal.aborted }
}

/** Some entries in a row: those that are users, and the others. */
interface FilePart extends Pick<ImportedPart, 'from' | 'to'> {
  readonly users: ImportedUser[]
  readonly refused: RefusedEntry[]
}

async function* partsOf(
  { passwords, clock }: Pick<Admin, 'passwords' | 'clock'>,
  path: string,
  from: number,
): AsyncGenerator<FilePart> {
  let entry = 0
  let part: FilePart = { from, to: from, users: [], refused: [] }
  for await (const written of entriesOf(path)) {
    entry++
    if (entry <= from) continue
    const read =
      'members' in written ? readUser(membersOf(written), { passwords, now: clock.now() }) : written
    if ('row' in read) part.users.push({ entry, row: read.row })
    else part.refused.push({ entry, username: shownName(written), problem: read.problem })
    if (entry - part.from < entriesAtOnce) continue
    yield { ...part, to: entry }
    part = { from: entry, to: entry, users: [], refused: [] }
  }
  if (entry > part.from) yield { ...part, to: entry }
}

/** Whatever program has written it. */
function membersOf({ members }: Extract<FileEntry, { members: unknown }>) {
  return isKeycloakUser(members) ? fromKeycloak(members) : members
}

/** In the order of the file. */
function tellRefused(
  { users, refused, to }: FilePart,
  taken: readonly TakenEntry[],
  { progress, onRefused }: Pick<ImportOptions, 'onRefused'> & { readonly progress: Progress },
): void {
  const nameOf = new Map(users.map(({ entry, row }) => [entry, row.username]))
  const ofTaken = taken.map(({ entry, what }) => ({
    entry,
    username: nameOf.get(entry),
    problem: takenProblems[what],
  }))
  const all = [...refused, ...ofTaken].toSorted((a, b) => a.entry - b.entry)
  if (all.length > 0) progress.end()
  for (const one of all) onRefused(one)
  progress.at(to)
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

/** Again, where somebody else has taken a name at the same moment: then it is seen. */
async function addPart(admin: Admin, part: ImportedPart, attempts = 1): Promise<readonly TakenEntry[]> {
  try {
    const added = await record(admin, eventsOf(part), db => importPart(db, part))
    if (!added) throw movedOn()
    return added.taken
  } catch (error) {
    if (!(error instanceof NameTakenError) || attempts === attemptsMax) throw error
    return addPart(admin, part, attempts + 1)
  }
}

const attemptsMax = 5

function eventsOf({ digest }: ImportedPart): (added: { readonly created: number }) => readonly Event[] {
  return ({ created }) =>
    created === 0 ? [] : [{ event: 'users_imported', detail: { file: digest, users: created } }]
}

const movedOn = () =>
  new Refusal(
    'conflict',
    'another process imports the same file',
    'let it finish, or stop it; what it has added is there, and nothing was added twice',
  )
