import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto'
import { ConfigError } from '../../errors.ts'
import type { Log } from '../../record/log.ts'
import { fewRandomBytes } from '../../values/random.ts'
import {
  addRootKey,
  newRootKey,
  readRootKeyFile,
  versionOf,
  waitForContents,
  type NewRootKey,
  type RootKeyFile,
} from './root-key-file.ts'

/**
 * What is sealed to travel through browsers and clients. Its keys need the secret of the database too.
 * Otherwise the root key alone would be enough to make a code of anybody.
 */
export const travellingKinds = [
  'pushed authorization request',
  'authorization request',
  'authorization code',
  'auth session',
  'log-out request',
  'totp set-up',
  'password reset',
  'invitation',
  'mail verification',
  'sign-up',
  'mailed code',
  'passkey challenge',
  'draft',
  'message',
  'event cursor',
  'device approval',
  'registration token',
] as const

/** What is handed out with a MAC, which is for one issuer. */
const handedOut: readonly string[] = ['refresh-token', 'sign-in', 'device-code', 'personal-access-token']

/** The secrets outside the database, and what is derived from them (HKDF-SHA-256, RFC 5869). */
export interface RootKeys {
  /**
   * The id of the key that new secrets are made under: 8 hexadecimal digits. The database says which one it
   * is.
   */
  readonly currentId: string
  /** The ids of all keys in the file, in its order: the newest first. */
  readonly ids: readonly string[]
  has(rootKeyId: string): boolean
  /** Whether the database is under a root key that the file lacks, as far as `follow` was told. */
  isBehind(): boolean
  /** The MAC key of refresh tokens: 32 bytes. */
  readonly macKeyOf: (rootKeyId: string) => Buffer | undefined
  /** That of the cookies of sign-ins: 32 bytes. */
  readonly signInKeyOf: (rootKeyId: string) => Buffer | undefined
  /** That of device codes: 32 bytes. */
  readonly deviceCodeKeyOf: (rootKeyId: string) => Buffer | undefined
  /** That of personal access tokens: 32 bytes. */
  readonly personalTokenKeyOf: (rootKeyId: string) => Buffer | undefined
  /** The pepper of password hashes: 32 bytes. */
  readonly pepperOf: (rootKeyId: string) => Buffer | undefined
  /**
   * 32 bytes for one purpose, the same buffer each time, under one root key and the installation's first
   * issuer; undefined when that root key is not in the file.
   */
  derive(purpose: string, rootKeyId: string): Buffer | undefined
  /** Takes the secret of the database, without which nothing is sealed to travel, or opened. */
  bindTo(databaseSecret: string): void
  /** AES-256-GCM under the current key; what was sealed for one purpose and name opens for no other. */
  seal(purpose: string, name: string, plaintext: Buffer): Sealed
  /**
   * Opens what was sealed; undefined when that was for another purpose or name, or its root key is not in the
   * file.
   */
  open(purpose: string, name: string, rootKeyId: string, sealed: Buffer): Buffer | undefined
  /**
   * Reads the file anew if it has changed, and makes new secrets under the key that the database is under;
   * whether either has changed. Where the file is wrong now, or lacks the current key, what was known stays,
   * and the log says so.
   */
  follow(currentId: string, log?: Pick<Log, 'error' | 'info'>): boolean
  /** Makes a root key that is known here alone, and returns its id: for a work that may yet be given up. */
  draft(): string
  /** Writes what was drafted into the file; throws a `ConfigError` where that cannot be written. */
  keepDrafts(): void
}

/** What to do about a file that Mintmark cannot write. */
export function unwritableFile({ rootKeyFile }: Pick<RootKeyFile, 'rootKeyFile'>): ConfigError {
  return new ConfigError(
    `${rootKeyFile} cannot be written, as is usual for a secret that is mounted. Where it comes from, put a new key on ` +
      'the first line and leave the others below (`openssl rand -base64 32 | tr +/ -_ | tr -d =` makes one); when ' +
      'every server has the new file, run this again',
  )
}

export interface Sealed {
  readonly rootKeyId: string
  /** Nonce (12 bytes), ciphertext, tag (16 bytes). */
  readonly sealed: Buffer
}

export interface RootKeyOptions extends RootKeyFile {
  readonly issuer: string
  /** The issuer that the installation was made for; without it, the same. */
  readonly foundingIssuer?: string
  /** Whether there may be no file: the database is about to get another root key. */
  readonly mayBeMissing?: boolean
}

const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16

/** Reads the file, and takes its first key for the current one; see `readRootKeyFile`. */
export function readRootKeys(options: RootKeyOptions): RootKeys {
  const { issuer, foundingIssuer = issuer } = options
  const file = openFile(options)
  const derived = new Map<string, Buffer>()
  let salt: string | undefined

  const derive = (purpose: string, rootKeyId: string): Buffer | undefined => {
    const root = file.find(rootKeyId)
    if (!root) return undefined
    const name = `${purpose} ${rootKeyId}`
    const known = derived.get(name)
    if (known) return known
    // The database stays readable under a new name.
    const boundTo = handedOut.includes(purpose) ? issuer : foundingIssuer
    const info = `mintmark ${purpose} ${boundTo} ${rootKeyId}`
    const isTravelling = travellingKinds.some(kind => kind === purpose)
    if (isTravelling && salt === undefined)
      throw new Error('unreachable: the secret of the database is known before anything travels')
    const key = Buffer.from(hkdfSync('sha256', root, isTravelling ? (salt ?? '') : '', info, keyBytes))
    derived.set(name, key)
    return key
  }

  return {
    get currentId() {
      return file.currentId()
    },
    get ids() {
      return [...file.keys().keys()]
    },
    has: id => file.find(id) !== undefined,
    isBehind: file.isBehind,
    macKeyOf: id => derive('refresh-token', id),
    signInKeyOf: id => derive('sign-in', id),
    deviceCodeKeyOf: id => derive('device-code', id),
    personalTokenKeyOf: id => derive('personal-access-token', id),
    pepperOf: id => derive('pepper', id),
    derive,
    bindTo: databaseSecret => {
      salt = databaseSecret
      derived.clear()
    },
    seal: (purpose, name, plaintext) => {
      const rootKeyId = file.currentId()
      const key = derive(purpose, rootKeyId)
      if (!key) throw new Error(`unreachable: the current root key ${rootKeyId} is always kept`)
      const nonce = fewRandomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', cipherKeyOf(key), nonce).setAAD(
        additionalData(purpose, name),
      )
      const sealed = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
      return { rootKeyId, sealed }
    },
    open: (purpose, name, rootKeyId, sealed) => {
      const key = derive(purpose, rootKeyId)
      return key && decrypt(key, sealed, additionalData(purpose, name))
    },
    follow: file.follow,
    draft: file.draft,
    keepDrafts: file.keepDrafts,
  }
}

/** The file as it was when it was last right, and which of its keys is the current one. */
function openFile(options: RootKeyOptions) {
  const path = options.rootKeyFile
  waitForContents(path)
  let version = versionOf(path)
  let keys: ReadonlyMap<string, Buffer> =
    version === undefined && options.mayBeMissing ? new Map() : readRootKeyFile(options)
  const drafts = new Map<string, NewRootKey>()
  let currentId = keys.keys().next().value ?? ''
  let problem: unknown
  let told: { readonly version: string | undefined; readonly missing?: string | undefined } = { version }

  const reread = () => {
    const newest = versionOf(path)
    if (newest === version) return
    version = newest
    problem = undefined
    try {
      const inFile = readRootKeyFile(options)
      const current = keys.get(currentId)
      const isComplete = inFile.has(currentId) || !current
      if (!isComplete)
        problem = new ConfigError(`the root key file ${path} lacks the current key ${currentId}`)
      keys = isComplete ? inFile : new Map([...inFile, [currentId, current]])
    } catch (error) {
      problem = error
    }
  }
  const find = (rootKeyId: string): Buffer | undefined => {
    // One that another server has begun to use may have come into the file just now.
    if (!keys.has(rootKeyId)) reread()
    return keys.get(rootKeyId) ?? drafts.get(rootKeyId)?.key
  }
  const follow: RootKeys['follow'] = (newCurrentId, log) => {
    reread()
    const missing = find(newCurrentId) ? undefined : newCurrentId
    const isFileNew = told.version !== version
    if (isFileNew && problem) {
      const facts = { event: 'root_key_file', err: problem }
      log?.error(facts, 'the root key file is wrong: what was read before counts')
    } else if (isFileNew) {
      log?.info({ event: 'root_key_file', root_key_ids: [...keys.keys()] }, 'the root key file was read anew')
    }
    if (missing !== undefined && missing !== told.missing) {
      const facts = { event: 'root_key_missing', root_key_id: missing }
      log?.error(
        facts,
        'the database is under a root key that is not in the file: copy the file from a machine where it is; until then ' +
          'this server is not ready',
      )
    }
    told = { version, missing }
    if (missing !== undefined || newCurrentId === currentId) return isFileNew
    log?.info({ event: 'root_key_changed', from: currentId, to: newCurrentId }, 'the root key was rotated')
    currentId = newCurrentId
    return true
  }
  const isBehind = () => told.missing !== undefined && find(told.missing) === undefined
  const draft = () => {
    const made = newRootKey()
    drafts.set(made.id, made)
    return made.id
  }
  const keepDrafts = () => {
    for (const made of drafts.values())
      if (addRootKey(path, made) === undefined) throw unwritableFile(options)
    drafts.clear()
  }
  return { keys: () => keys, currentId: () => currentId, find, follow, isBehind, draft, keepDrafts }
}

function additionalData(purpose: string, name: string): Buffer {
  return Buffer.from(JSON.stringify([purpose, name]))
}

const cipherKeys = new WeakMap<Buffer, KeyObject>()

/**
 * A key as ciphers take it: Node.js makes this of a buffer each time, which costs thrice what sealing does.
 */
function cipherKeyOf(key: Buffer): KeyObject {
  let cipherKey = cipherKeys.get(key)
  if (!cipherKey) {
    cipherKey = createSecretKey(key)
    cipherKeys.set(key, cipherKey)
  }
  return cipherKey
}

function decrypt(key: Buffer, sealed: Buffer, additional: Buffer): Buffer | undefined {
  if (sealed.length < nonceBytes + tagBytes) return undefined
  const decipher = createDecipheriv('aes-256-gcm', cipherKeyOf(key), sealed.subarray(0, nonceBytes))
  decipher.setAAD(additional).setAuthTag(sealed.subarray(-tagBytes))
  try {
    const opened = decipher.update(sealed.subarray(nonceBytes, -tagBytes))
    // It counts only now. Nothing follows: the mode is one of a stream.
    decipher.final()
    return opened
  } catch {
    return undefined // it was changed, or sealed for something else
  }
}
