import { closeSync, existsSync, rmSync, statSync } from 'node:fs'
import SqliteFile from 'better-sqlite3'
import { draftName, nameNewFile, openNewFile, syncFile, syncFolderOf } from '../engines/files.ts'

/** 16 MiB between two looks at the progress. */
const pagesAtOnce = 4096

export type OnProgress = (copied: { readonly part: number }) => void

/**
 * Copies the embedded database, as it is at this moment, to a new file that only this user can read (mode
 * 0600), and checks the copy, which says when it was made (`now`, epoch seconds); its size in bytes. Servers
 * go on reading and writing. `target` comes into being complete and on disk, or not at all; one that exists
 * throws `EEXIST`.
 */
export async function backupDatabase(
  file: string,
  target: string,
  now: number,
  onProgress: OnProgress,
): Promise<number> {
  if (existsSync(target)) throw Object.assign(new Error(`${target} exists`), { code: 'EEXIST', path: target })
  const partial = draftName(target)
  await copyDatabaseFile(file, partial, onProgress, copy => {
    copy.prepare('update installation set backed_up_at = ?').run(now)
  })
  try {
    nameNewFile(partial, target)
  } finally {
    rmSync(partial, { force: true })
  }
  syncFolderOf(target)
  return statSync(target).size
}

/**
 * Copies a database that somebody may be using to a new file, checks the copy, and lets `finish` do what is
 * left to do to it; then it is on disk, in one file. One that exists throws `EEXIST`; after any other failure
 * the file is gone.
 */
export async function copyDatabaseFile(
  file: string,
  target: string,
  onProgress: OnProgress,
  finish: (copy: SqliteFile.Database) => void = () => {},
): Promise<void> {
  closeSync(openNewFile(target))
  try {
    await copyDatabase(file, target, onProgress)
    finishCopy(target, finish)
    syncFile(target)
  } catch (error) {
    for (const beside of ['', '-journal']) rmSync(target + beside, { force: true })
    throw error
  }
}

async function copyDatabase(file: string, partial: string, onProgress: OnProgress): Promise<void> {
  const source = new SqliteFile(file, { readonly: true, fileMustExist: true, timeout: 2000 })
  try {
    // Holds on to one state of the database. Without it, SQLite starts the copy again whenever a server has
    // written.
    source.exec('begin')
    source.prepare('select count(*) from sqlite_schema').get()
    await source.backup(partial, {
      progress: ({ totalPages, remainingPages }) => {
        if (totalPages > 0) onProgress({ part: 1 - remainingPages / totalPages })
        return pagesAtOnce
      },
    })
  } finally {
    source.close()
  }
}

/**
 * A backup that cannot be read is found now, not on the day that it is needed. Leaves one file, without a log
 * beside it.
 */
function finishCopy(partial: string, finish: (copy: SqliteFile.Database) => void): void {
  const copy = new SqliteFile(partial)
  try {
    copy.pragma('journal_mode = delete')
    const verdict: unknown = copy.pragma('quick_check', { simple: true })
    if (verdict !== 'ok') {
      throw Object.assign(new Error(`the copy is damaged: ${String(verdict)}`), { code: 'SQLITE_CORRUPT' })
    }
    finish(copy)
  } finally {
    copy.close()
  }
}
