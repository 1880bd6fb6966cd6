import {
  beginImport,
  endImport,
  findImport,
  findTaken,
  importPart,
  type AddedPart,
  type ImportedPart,
  type TakenEntry,
} from '../../../db/users/imports.ts'
import { Refusal } from '../../errors.ts'
import { record } from '../../record/record.ts'
import type { Admin } from '../admin.ts'
import type { Progress, ShowProgress } from '../progress.ts'
import { openUsersFile } from './entries.ts'
import { addAgain, importEvents, partsOf, refusedOf, type FilePart, type RefusedEntry } from './parts.ts'

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
  const file = await openUsersFile(path)
  const { digest, lines } = file
  const before = await findImport(db, digest)
  const resumedAfter = before && before.ended_at === null ? before.lines : 0
  if (resumedAfter === 0) await beginImport(db, digest, clock.now())
  const progress = options.showProgress('user', lines)
  let isDone = true
  for await (const part of partsOf(admin, file, { from: resumedAfter, entriesAtOnce })) {
    const added = await addAgain(may =>
      addPart(admin, { ...part, ...may, digest, refused: part.refused.length }),
    )
    tellRefused(part, added.taken, { progress, ...options })
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
  const file = await openUsersFile(path)
  const progress = options.showProgress('user', file.lines)
  const earlier = new Set<string>()
  const counts = { created: 0, refused: 0, resumedAfter: 0 }
  for await (const part of partsOf(admin, file, { from: 0, entriesAtOnce })) {
    const taken = await findTaken(admin.db, part.users, earlier)
    tellRefused(part, taken, { progress, ...options })
    counts.created += part.users.length - taken.length
    counts.refused += part.refused.length + taken.length
    if (options.signal.aborted) break
  }
  progress.end()
  return { ...counts, isDone: !options.signal.aborted }
}

function tellRefused(
  part: FilePart,
  taken: readonly TakenEntry[],
  { progress, onRefused }: Pick<ImportOptions, 'onRefused'> & { readonly progress: Progress },
): void {
  const refused = refusedOf(part, taken)
  if (refused.length > 0) progress.end()
  for (const one of refused) onRefused(one)
  progress.at(part.to)
}

async function addPart(admin: Admin, part: ImportedPart): Promise<AddedPart> {
  const added = await record(admin, importEvents(part.digest), db => importPart(db, part))
  if (!added) throw movedOn()
  return added
}

const movedOn = () =>
  new Refusal(
    'conflict',
    'another process imports the same file',
    'let it finish, or stop it; what it has added is there, and nothing was added twice',
  )
