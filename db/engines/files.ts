import { randomBytes } from 'node:crypto'
import {
  closeSync,
  copyFileSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'

/*
 * New files, as the installation's owner needs them: root may run any command on it, and what he makes must
 * not shut the server out. And as any file system can have them, also one without hard links or owners (SMB,
 * exFAT, FUSE).
 */

/**
 * Makes a new file and opens it for writing; `EEXIST` when there is one. Only its owner can read it: the
 * user that runs this or, where that is root, the owner of the folder.
 */
export function openNewFile(file: string): number {
  const descriptor = openSync(file, 'wx', 0o600)
  if (isRoot()) {
    const { uid, gid } = statSync(dirname(file))
    onlyWhereKnown(() => fchownSync(descriptor, uid, gid))
  }
  try {
    if (draftForm.test(file)) deleteAbandoned(file)
  } catch {
    // A user that may write here, but not look or delete, leaves the old drafts to others.
  }
  return descriptor
}

/**
 * A name for the file until it is complete. It says which process has made it: the next one to open a draft
 * in that folder deletes those of processes that were killed.
 */
export function draftName(file: string): string {
  return `${file}.${hostname()}-${process.pid}-${randomBytes(6).toString('hex')}.partial`
}

/** SQLite may have put its journal beside it. */
const draftForm = /\.([^/\\]+)-(\d+)-[0-9a-f]{12}\.partial(-journal)?$/

/** A process at work on a draft writes to it; one on another machine cannot be seen otherwise. */
const abandonedMilliseconds = 86_400_000

/** By the file system's own clock, which has just given the new draft its time. */
function deleteAbandoned(draft: string): void {
  const { mtimeMs } = statSync(draft)
  const folder = dirname(draft)
  for (const name of readdirSync(folder)) {
    const [, host, pid] = draftForm.exec(name) ?? []
    if (host === undefined) continue
    const isOurs = `.${host}`.endsWith(`.${hostname()}`)
    const stat = statSync(join(folder, name), { throwIfNoEntry: false })
    if (!stat || (isOurs ? isRunning(Number(pid)) : mtimeMs - stat.mtimeMs < abandonedMilliseconds)) continue
    rmSync(join(folder, name), { force: true })
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return !isNamed(error, 'ESRCH')
  }
}

/**
 * Makes a folder, and those above it that are missing. Made by root, they belong to the owner of the one
 * above.
 */
export function makeFolder(path: string, mode?: number): void {
  const folder = resolve(path)
  const first = mkdirSync(folder, { recursive: true, ...(mode !== undefined && { mode }) })
  if (first === undefined || !isRoot()) return
  const { uid, gid } = statSync(dirname(first))
  for (let made = folder; made.length >= first.length; made = dirname(made)) {
    onlyWhereKnown(() => lchownSync(made, uid, gid))
  }
}

/**
 * Opens a file of ours to write to it. The owner of the folder may have put a link in its place, and root
 * would give him the file that it leads to: then it throws `ELOOP`.
 */
export function openOwn(file: string): number {
  return openSync(file, constants.O_RDWR | constants.O_NOFOLLOW) // Windows has no such flag, and no root
}

/**
 * Gives a new file the owner, group and mode of the one that it replaces; throws `EPERM` where this user may
 * not, and where it is no new file but another's, of which somebody has made a hard link.
 */
export function likeFile(descriptor: number, file: string): void {
  const { uid, gid, mode } = statSync(file)
  const own = fstatSync(descriptor)
  if (own.nlink > 1)
    throw Object.assign(new Error(`EPERM: what is to replace ${file} is another file`), { code: 'EPERM' })
  // First: it takes back some bits of the mode.
  if (own.uid !== uid || own.gid !== gid) fchownSync(descriptor, uid, gid)
  fchmodSync(descriptor, mode & 0o777)
}

/**
 * Gives a complete file its name, never in the place of another: throws `EEXIST` when there is one, and the
 * file keeps the name that it has. Where there are no hard links, there is an empty file of that name for a
 * moment.
 */
export function nameNewFile(draft: string, file: string): void {
  if (tryLink(draft, file)) return rmSync(draft)
  closeSync(openSync(file, 'wx', 0o600))
  try {
    renameSync(draft, file)
  } catch (error) {
    rmSync(file)
    throw error
  }
}

/**
 * Gives a file a second name, never that of another (`EEXIST`); where there are no hard links, a copy of it,
 * on disk.
 */
export function nameTwice(file: string, second: string): void {
  if (tryLink(file, second)) return
  copyFileSync(file, second, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  const descriptor = openOwn(second)
  try {
    likeFile(descriptor, file)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Puts on disk the bytes written to a file, or the names in a directory, before it returns. */
export function syncFile(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Only then does a new name outlive a loss of power. */
export function syncFolderOf(file: string): void {
  // Windows cannot open a directory, and does it by itself.
  if (process.platform !== 'win32') syncFile(dirname(file))
}

/** Whether an error of the system has one of these codes. */
export function isNamed(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.some(code => code === error.code)
}

/** Errors of file systems for features that they do not have. */
const unknownThere = ['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'EMLINK']

/**
 * False where the file system has no hard links; where it has and refuses one, the next step is refused too.
 */
function tryLink(file: string, second: string): boolean {
  try {
    linkSync(file, second)
    return true
  } catch (error) {
    if (isNamed(error, ...unknownThere)) return false
    throw error
  }
}

/** A file system without owners gives everything to one that it was told of. */
function onlyWhereKnown(chown: () => void): void {
  try {
    chown()
  } catch (error) {
    if (!isNamed(error, ...unknownThere)) throw error
  }
}

function isRoot(): boolean {
  return process.geteuid?.() === 0
}
