import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { ConfigError } from '../config.ts'

/** The secrets outside the database, and what is derived from them (HKDF-SHA-256, RFC 5869). */
export interface RootKeys {
  /** The id of the key that new secrets are made under: 8 hexadecimal digits. */
  readonly currentId: string
  /** The ids of all keys in the file, the current one first. */
  readonly ids: readonly string[]
  has(rootKeyId: string): boolean
  /** The MAC key of refresh tokens. */
  readonly macKeyOf: (rootKeyId: string) => KeyObject | undefined
  /** The pepper of password hashes: 32 bytes. */
  readonly pepperOf: (rootKeyId: string) => Buffer | undefined
  /** 32 bytes for one purpose, under one root key and this issuer; undefined when that root key is not in the file. */
  derive(purpose: string, rootKeyId: string): Buffer | undefined
  /** AES-256-GCM; what was sealed for one purpose and name opens for no other. */
  seal(purpose: string, name: string, plaintext: Buffer): Sealed
  /** What was sealed; undefined when it was not sealed for this purpose and name, or its root key is not in the file. */
  open(purpose: string, name: string, rootKeyId: string, sealed: Buffer): Buffer | undefined
}

export interface Sealed {
  readonly rootKeyId: string
  /** Nonce (12 bytes), ciphertext, tag (16 bytes). */
  readonly sealed: Buffer
}

export interface RootKeyFile {
  readonly rootKeyFile: string
  /** Whether others than Mintmark have made the file: then its mode is not ours to judge. */
  readonly rootKeyIsMounted: boolean
  readonly issuer: string
}

const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16

/**
 * Makes the file with a root key of 32 random bytes, readable for this user alone; false when there is one already. Of
 * several processes that start at once, one makes it, and nobody ever sees half of it.
 */
export function makeRootKeyFile(file: string): boolean {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  writeFileSync(draft, `${randomBytes(keyBytes).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
  try {
    linkSync(draft, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(draft)
  }
}

/**
 * Reads the file: one root key a line, base64url of 32 bytes, the current one first and older ones below it; empty
 * lines and those with `#` in front do not count. Throws a `ConfigError` that says what to do, and shows no key.
 */
export function readRootKeys({ rootKeyFile, rootKeyIsMounted, issuer }: RootKeyFile): RootKeys {
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
      keys.set(idOf(key), key)
    })
  return deriving(keys, issuer, rootKeyFile)
}

/** Whether the group or others may read a file. On a system without modes, nobody can tell. */
export function isReadableByOthers(file: string): boolean {
  return process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0
}

function idOf(key: Buffer): string {
  return Buffer.from(hkdfSync('sha256', key, '', 'mintmark root key id', 4)).toString('hex')
}

function deriving(keys: ReadonlyMap<string, Buffer>, issuer: string, file: string): RootKeys {
  const [currentId] = keys.keys()
  if (currentId === undefined)
    throw new ConfigError(`there is no root key in ${file}: put the file back from your backup`)
  const derived = new Map<string, Buffer>()
  const derive = (purpose: string, rootKeyId: string): Buffer | undefined => {
    const info = `mintmark ${purpose} ${issuer} ${rootKeyId}`
    const root = keys.get(rootKeyId)
    const known = derived.get(info)
    if (known || !root) return known
    const key = Buffer.from(hkdfSync('sha256', root, '', info, keyBytes))
    derived.set(info, key)
    return key
  }
  const macKeys = new Map<string, KeyObject>()
  for (const id of keys.keys()) {
    const key = derive('refresh-token', id)
    if (key) macKeys.set(id, createSecretKey(key))
  }
  const additionalData = (purpose: string, name: string) => Buffer.from(JSON.stringify([purpose, name]))

  return {
    currentId,
    ids: [...keys.keys()],
    has: id => keys.has(id),
    macKeyOf: id => macKeys.get(id),
    pepperOf: id => derive('pepper', id),
    derive,
    seal: (purpose, name, plaintext) => {
      const key = derive(purpose, currentId)
      if (!key) throw new Error('unreachable: the current root key is there')
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(additionalData(purpose, name))
      const sealed = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
      return { rootKeyId: currentId, sealed }
    },
    open: (purpose, name, rootKeyId, sealed) => {
      const key = derive(purpose, rootKeyId)
      if (!key || sealed.length < nonceBytes + tagBytes) return undefined
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes))
      decipher.setAAD(additionalData(purpose, name)).setAuthTag(sealed.subarray(-tagBytes))
      try {
        return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, -tagBytes)), decipher.final()])
      } catch {
        return undefined // it was changed, or sealed for something else
      }
    },
  }
}
