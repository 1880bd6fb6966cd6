import { hkdfSync, randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import {
  draftName,
  isNamed,
  likeFile,
  makeFolder,
  nameNewFile,
  openNewFile,
  syncFolderOf,
} from '../../../db/engines/files.ts'
import { ConfigError } from '../../errors.ts'

export interface RootKeyFile {
  readonly rootKeyFile: string
  /** Whether others than Mintmark have made the file: then its mode is not ours to judge. */
  readonly rootKeyIsMounted: boolean
}

export interface NewRootKey {
  readonly id: string
  /** 32 random bytes. */
  readonly key: Buffer
}

const keyBytes = 32

/** A root key that is in no file yet. */
export function newRootKey(): NewRootKey {
  const key = randomBytes(keyBytes)
  return { id: rootKeyIdOf(key), key }
}

/**
 * Makes the file with a root key of its own, readable for this user alone; false when there is one already.
 * Of several processes that start at once, one makes it, and none ever reads half of it.
 */
export function makeRootKeyFile(file: string, { id, key }: NewRootKey = newRootKey()): boolean {
  makeFolder(dirname(file), 0o700)
  const draft = writeDraft(file, entryOf(id, key))
  try {
    nameNewFile(draft, file)
    return true
  } catch (error) {
    rmSync(draft)
    if (!isNamed(error, 'EEXIST')) throw error
    return false
  } finally {
    syncFolderOf(file)
  }
}

/**
 * Where there are no hard links, its maker has an empty file there for a moment: waits a second
 * at most.
 */
export function waitForContents(file: string): void {
  const sleeping = new Int32Array(new SharedArrayBuffer(4))
  for (let tries = 0; tries < 100 && statSync(file, { throwIfNoEntry: false })?.size === 0; tries++) {
    Atomics.wait(sleeping, 0, 0, 10)
  }
}

/**
 * Reads the file: one root key a line, base64url of 32 bytes, the current one first and older ones below it;
 * empty lines and those with `#` in front do not count. The keys by their ids, in the order of the file.
 * Throws a `ConfigError` that says what to do, and shows no key.
 */
export function readRootKeyFile({ rootKeyFile, rootKeyIsMounted }: RootKeyFile): ReadonlyMap<string, Buffer> {
  if (!rootKeyIsMounted && isReadableByOthers(rootKeyFile)) {
    throw new ConfigError(
      `the root key ${rootKeyFile} can be read by other users, and may have been: \`chmod 600 ${rootKeyFile}\`, ` +
        'and if it may have been read, `mintmark key rotate-root`',
    )
  }
  const keys = new Map<string, Buffer>()
  readFileSync(rootKeyFile, 'utf8')
    .split('\n')
    .forEach((text, i) => {
      const line = text.trim()
      if (line === '' || line.startsWith('#')) return
      const key = Buffer.from(line, 'base64url')
      if (key.length !== keyBytes || key.toString('base64url') !== line) {
        throw new ConfigError(
          `line ${i + 1} of ${rootKeyFile} is not a root key, which is 43 characters of base64url: ` +
            'put the file back from your backup',
        )
      }
      keys.set(rootKeyIdOf(key), key)
    })
  if (keys.size === 0)
    throw new ConfigError(`there is no root key in ${rootKeyFile}: put the file back from your backup`)
  return keys
}

/**
 * Puts a new root key before those in the file, and returns its id; undefined when the file cannot be
 * written, as is usual for one that is mounted, or would have another owner then. No process ever sees half
 * of it, and it is on the disk when this returns. Not for several at once.
 */
export function addRootKey(file: string, { id, key }: NewRootKey = newRootKey()): string | undefined {
  if (!existsSync(file)) return makeRootKeyFile(file, { id, key }) ? id : undefined
  return rewrite(file, text => entryOf(id, key) + text) ? id : undefined
}

/**
 * Takes a root key out that `addRootKey` has put in, and of which nothing has been made; the file, if it has
 * no other.
 */
export function removeRootKey(file: string, { id, key }: NewRootKey): void {
  if (!existsSync(file)) return
  if (readFileSync(file, 'utf8') === entryOf(id, key)) return rmSync(file)
  rewrite(file, text => text.replace(entryOf(id, key), ''))
}

/** False when it cannot be written. */
function rewrite(file: string, change: (text: string) => string): boolean {
  const target = realpathSync(file)
  let draft: string | undefined
  try {
    draft = writeDraft(target, change(readFileSync(target, 'utf8')), target)
    renameSync(draft, target)
  } catch (error) {
    if (draft !== undefined) rmSync(draft)
    // A file that is mounted by itself is busy.
    if (isNamed(error, 'EBUSY', ...unwritable)) return false
    throw error
  }
  syncFolderOf(target)
  return true
}

/** Whether the group or others may read a file. False on a system without modes. */
export function isReadableByOthers(file: string): boolean {
  return process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0
}

/** Differs after each time that the file is written or replaced; undefined while there is none. */
export function versionOf(file: string): string | undefined {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stat && `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`
}

const unwritable = ['EACCES', 'EPERM', 'EROFS']

function rootKeyIdOf(key: Buffer): string {
  return Buffer.from(hkdfSync('sha256', key, '', 'mintmark root key id', 4)).toString('hex')
}

/** The id is for people: it is in the database and in what `mintmark doctor` says. */
function entryOf(id: string, key: Buffer): string {
  return `# root key ${id}\n${key.toString('base64url')}\n`
}

/** A file that takes the place of another is as that one is. */
function writeDraft(file: string, text: string, like?: string): string {
  const draft = draftName(file)
  const descriptor = openNewFile(draft)
  try {
    writeFileSync(descriptor, text)
    if (like !== undefined) likeFile(descriptor, like)
    fsyncSync(descriptor)
    return draft
  } catch (error) {
    rmSync(draft)
    throw error
  } finally {
    closeSync(descriptor)
  }
}
