import { hkdfSync, randomBytes } from 'node:crypto'
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { ConfigError } from '../config.ts'

export interface RootKeyFile {
  readonly rootKeyFile: string
  /** Whether others than Mintmark have made the file: then its mode is not ours to judge. */
  readonly rootKeyIsMounted: boolean
}

const keyBytes = 32

/**
 * Makes the file with a root key of 32 random bytes, readable for this user alone; false when there is one already. Of
 * several processes that start at once, one makes it, and nobody ever sees half of it.
 */
export function makeRootKeyFile(file: string): boolean {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const draft = writeDraft(file, entryOf(randomBytes(keyBytes)), 0o600)
  try {
    linkSync(draft, file)
    return true
  } catch (error) {
    if (isNamed(error, 'EEXIST')) return false
    throw error
  } finally {
    rmSync(draft)
    syncDirectory(file)
  }
}

/**
 * Reads the file: one root key a line, base64url of 32 bytes, the current one first and older ones below it; empty
 * lines and those with `#` in front do not count. The keys by their ids, in the order of the file. Throws a `ConfigError`
 * that says what to do, and shows no key.
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
 * Puts a new root key before those in the file, and returns its id; undefined when the file cannot be written, as is
 * usual for one that is mounted. Nobody ever sees half of it, and it is on the disk when this returns. Not for several at
 * once.
 */
export function addRootKey(file: string): string | undefined {
  const key = randomBytes(keyBytes)
  const target = realpathSync(file)
  let draft: string
  try {
    draft = writeDraft(target, `${entryOf(key)}${readFileSync(target, 'utf8')}`, statSync(target).mode)
  } catch (error) {
    if (isNamed(error, ...unwritable)) return undefined
    throw error
  }
  try {
    renameSync(draft, target)
  } catch (error) {
    rmSync(draft)
    // A file that is mounted by itself is busy.
    if (isNamed(error, 'EBUSY', ...unwritable)) return undefined
    throw error
  }
  syncDirectory(target)
  return rootKeyIdOf(key)
}

/** Whether the group or others may read a file. On a system without modes, nobody can tell. */
export function isReadableByOthers(file: string): boolean {
  return process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0
}

/** What changes whenever the file is written or replaced; undefined while there is none. */
export function versionOf(file: string): string | undefined {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stat && `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`
}

const unwritable = ['EACCES', 'EPERM', 'EROFS']

function rootKeyIdOf(key: Buffer): string {
  return Buffer.from(hkdfSync('sha256', key, '', 'mintmark root key id', 4)).toString('hex')
}

/** The id is for people: it is in the database and in what `mintmark doctor` says. */
function entryOf(key: Buffer): string {
  return `# root key ${rootKeyIdOf(key)}\n${key.toString('base64url')}\n`
}

function writeDraft(file: string, text: string, mode: number): string {
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  const descriptor = openSync(draft, 'wx', 0o600)
  try {
    writeFileSync(descriptor, text)
    fchmodSync(descriptor, mode & 0o777)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  return draft
}

/** Only then does a new name outlive a loss of power. */
function syncDirectory(file: string): void {
  // Windows cannot open a directory, and does it by itself.
  if (process.platform === 'win32') return
  const descriptor = openSync(dirname(file), 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function isNamed(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.some(code => code === error.code)
}
