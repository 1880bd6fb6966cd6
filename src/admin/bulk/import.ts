import {
  beginImport,
  endImport,
  findImport,
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
import { printable } from '../../values/formats.ts'
import type { Admin } from '../admin.ts'
import type { ShowProgress } from '../progress.ts'
import { entriesOf, openUsersFile } from './entries.ts'
import { readUser } from './imported-user.ts'

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
const entriesAtOnce = 250

/**
 * Adds the users of a file; see `entriesOf` for its forms, and `readUser` for what an entry has. Entries that
 * are no user are told and left out, and all others are added. A run that was interrupted, even killed, is
 * gone on with where it was; a file that was imported to its end begins anew, and then every user is there
 * already.
 */
export async function importUsers(admin: Admin, path: string, options: ImportOptions): Promise<Imported> {
  const file = await openUsersFile(path)
  const before = await findImport(admin.db, file.digest)
  const resumedAfter = before && before.ended_at === null ? before.lines : 0
  if (resumedAfter === 0) await beginImport(admin.db, file.digest, admin.clock.now())

  const progress = options.showProgress('user', file.lines)
  const tell = (refused: RefusedEntry) => {
    progress.end()
    options.onRefused(refused)
  }
  let entry = 0
  let part = emptyPart(file.digest, resumedAfter)
  const nameOf = new Map<number, string>()
  const flush = async () => {
    const taken = await addPart(admin, { ...part, to: entry })
    for (const { entry, what } of taken) {
      tell({ entry, username: nameOf.get(entry), problem: takenProblems[what] })
    }
    part = emptyPart(file.digest, entry)
    nameOf.clear()
    progress.at(entry)
  }
  for await (const written of entriesOf(path)) {
    entry++
    if (entry <= resumedAfter) continue
    const username = 'members' in written ? shownName(written.members['username']) : undefined
    const read =
      'members' in written
        ? readUser(written.members, { passwords: admin.passwords, now: admin.clock.now() })
        : written
    if ('row' in read) {
      part.users.push({ entry, row: read.row })
      nameOf.set(entry, read.row.username)
    } else {
      part.refused++
      tell({ entry, username, problem: read.problem })
    }
    if (entry - part.from < entriesAtOnce) continue
    await flush()
    if (options.signal.aborted)
      return { ...(await countsOf(admin, file.digest)), resumedAfter, isDone: false }
  }
  if (entry > part.from) await flush()
  progress.end()
  await endImport(admin.db, file.digest, admin.clock.now())
  return { ...(await countsOf(admin, file.digest)), resumedAfter, isDone: true }
}

/** Nothing else of an entry is shown: it may hold a hash in the wrong place. */
function shownName(username: unknown): string | undefined {
  return typeof username === 'string' ? printable(username.slice(0, usernameMaxLength)) : undefined
}

const takenProblems: Readonly<Record<TakenEntry['what'], string>> = {
  sub: 'there is a user of this sub already',
  username: 'there is a user of this name already',
  mail: 'the verified mail address is a name of another user already',
}

interface Part extends ImportedPart {
  readonly users: ImportedUser[]
  refused: number
}

function emptyPart(digest: string, from: number): Part {
  return { digest, from, to: from, users: [], refused: 0 }
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

async function countsOf({ db }: Admin, digest: string): Promise<Pick<Imported, 'created' | 'refused'>> {
  const { created = 0, refused = 0 } = (await findImport(db, digest)) ?? {}
  return { created, refused }
}
