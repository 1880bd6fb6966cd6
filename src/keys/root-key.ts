import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** The secrets outside the database, and what is derived from them. */
export interface RootKeys {
  readonly currentId: string
  has(rootKeyId: string): boolean
  /** The MAC key of refresh tokens. */
  readonly macKeyOf: (rootKeyId: string) => KeyObject | undefined
  readonly pepperOf: (rootKeyId: string) => Buffer | undefined
  /** 32 bytes for one purpose, under one root key and this issuer. */
  derive(purpose: string, rootKeyId: string): Buffer | undefined
  /** AES-256-GCM; what was sealed for one purpose and name opens for no other. */
  seal(purpose: string, name: string, plaintext: Buffer): { rootKeyId: string; sealed: Buffer }
  open(purpose: string, name: string, rootKeyId: string, sealed: Buffer): Buffer | undefined
}

/** Makes a root key, if there is no file yet: of several processes that start at once, one does. */
export function makeRootKeyFile(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  try {
    writeFileSync(file, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

export function readRootKeys(file: string, { issuer }: { issuer: string }): RootKeys {
  const lines = readFileSync(file, 'utf8').split('\n')
  const keys = lines
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => Buffer.from(line, 'base64url'))
  const byId = new Map(
    keys.map(key => [Buffer.from(hkdfSync('sha256', key, '', 'id', 4)).toString('hex'), key]),
  )
  const derived = new Map<string, Buffer>()
  const derive = (purpose: string, rootKeyId: string) => {
    const known = derived.get(`${rootKeyId} ${purpose}`)
    const key = byId.get(rootKeyId)
    if (known || !key) return known
    const bytes = Buffer.from(hkdfSync('sha256', key, '', `mintmark ${purpose} ${issuer} ${rootKeyId}`, 32))
    derived.set(`${rootKeyId} ${purpose}`, bytes)
    return bytes
  }
  const currentId = byId.keys().next().value
  if (currentId === undefined) throw new Error(`there is no key in ${file}`)
  const macKeys = new Map(
    [...byId.keys()].map(id => [id, createSecretKey(derive('refresh-token', id) ?? Buffer.alloc(0))]),
  )
  const aad = (purpose: string, name: string) => Buffer.from(`${purpose}\0${name}`)
  return {
    currentId,
    has: id => byId.has(id),
    macKeyOf: id => macKeys.get(id),
    pepperOf: id => derive('pepper', id),
    derive,
    seal: (purpose, name, plaintext) => {
      const nonce = randomBytes(12)
      const key = derive(purpose, currentId)
      if (!key) throw new Error('unreachable: the current key is there')
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(aad(purpose, name))
      const sealed = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
      return { rootKeyId: currentId, sealed }
    },
    open: (purpose, name, rootKeyId, sealed) => {
      const key = derive(purpose, rootKeyId)
      if (!key) return undefined
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12))
      decipher.setAAD(aad(purpose, name)).setAuthTag(sealed.subarray(-16))
      try {
        return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()])
      } catch {
        return undefined // it was not sealed with this key for this name
      }
    },
  }
}
