import { closeSync, existsSync, openSync, readSync, renameSync } from 'node:fs'
import SqliteFile from 'better-sqlite3'
import { likeFile, nameTwice, openOwn, syncFolderOf } from '../engines/files.ts'
import { isBusy } from '../engines/sqlite.ts'

/** Whether the embedded database may be replaced: not while a process has it open. */
export type FileState = 'missing' | 'unused' | 'used' | 'damaged'

/** How the file is now. A file that is not in use holds everything after this, without a log beside it. */
export function stateOfFile(file: string): FileState {
  return existsSync(file) ? runAlone(file, () => {}) : 'missing'
}

/**
 * Puts `copy`, a database in one file, in the place of `file`, as its owner has it. The old file stays at
 * `kept`, with a log beside it if it is damaged. There is a complete database at `file` at every moment.
 * Returns `used`, and has changed nothing, when another process has the file open; throws `EEXIST` when
 * there is something at `kept`. `beforeSwap` does what must be done by then, when nothing else can fail any
 * more.
 */
export function replaceDatabase(
  file: string,
  copy: string,
  kept: string,
  beforeSwap: () => void = () => {},
): FileState {
  const state = existsSync(file) ? runAlone(file, () => swap(file, copy, kept, beforeSwap)) : 'missing'
  if (state === 'damaged') {
    // Its log would be taken for that of the new one.
    for (const beside of ['-wal', '-shm']) {
      if (existsSync(file + beside)) renameSync(file + beside, kept + beside)
    }
    swap(file, copy, kept, beforeSwap)
  }
  if (state === 'missing') {
    beforeSwap()
    renameSync(copy, file)
  }
  if (state !== 'used') syncFolderOf(file)
  return state
}

function swap(file: string, copy: string, kept: string, beforeSwap: () => void): void {
  const descriptor = openOwn(copy)
  try {
    likeFile(descriptor, file)
  } finally {
    closeSync(descriptor)
  }
  nameTwice(file, kept)
  beforeSwap()
  renameSync(copy, file)
}

/** Does the work while no other process can open the database. */
function runAlone(file: string, work: () => void): FileState {
  // SQLite deletes the log of a file that has lost its beginning, when it may be all that is left.
  if (!hasHeader(file)) return 'damaged'
  const database = new SqliteFile(file, { fileMustExist: true, timeout: 1000 })
  try {
    // Only the last connection can leave this mode. The file then holds all of the log.
    database.pragma('journal_mode = delete')
    database.exec('begin exclusive')
    work()
    return 'unused'
  } catch (error) {
    if (isBusy(error)) return 'used'
    if (isDamage(error)) return 'damaged'
    throw error
  } finally {
    database.close()
  }
}

const header = Buffer.from('SQLite format 3\0')

function hasHeader(file: string): boolean {
  const descriptor = openSync(file, 'r')
  try {
    const beginning = Buffer.alloc(header.length)
    readSync(descriptor, beginning)
    return beginning.equals(header)
  } finally {
    closeSync(descriptor)
  }
}

function isDamage(error: unknown): boolean {
  const { code }: { code?: unknown } = Object(error)
  return typeof code === 'string' && /^SQLITE_(NOTADB|CORRUPT)/.test(code)
}
