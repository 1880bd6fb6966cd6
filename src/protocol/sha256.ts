import { hash, type KeyObject } from 'node:crypto'

/*
 * Both as Node.js has them, at half the cost, which a refresh pays four times: `hash` writes a buffer of its own into memory
 * outside the heap each time, and `createHmac` makes an object that has to be collected.
 */

/** SHA-256 (FIPS 180-4): 32 bytes. */
export function sha256(data: Buffer | string): Buffer {
  return Buffer.from(hash('sha256', data, 'hex'), 'hex')
}

/** HMAC-SHA-256 (RFC 2104 §2): 32 bytes. Throws for a key that is longer than a block of 64 bytes. */
export function hmacSha256(key: KeyObject, message: Buffer): Buffer {
  const { inner, outer } = blocksOf(key)
  return sha256(Buffer.concat([outer, sha256(Buffer.concat([inner, message]))]))
}

interface Blocks {
  readonly inner: Buffer
  readonly outer: Buffer
}

const blockBytes = 64
const blocks = new WeakMap<KeyObject, Blocks>()

/** What stands before the message, and before the hash of both. Computed once for each key. */
function blocksOf(key: KeyObject): Blocks {
  const known = blocks.get(key)
  if (known) return known
  const bytes = key.export()
  if (bytes.length > blockBytes) throw new Error('the key of an HMAC is longer than a block')
  const padded = Buffer.concat([bytes], blockBytes)
  const made = {
    inner: Buffer.from(padded.map(byte => byte ^ 0x36)),
    outer: Buffer.from(padded.map(byte => byte ^ 0x5c)),
  }
  blocks.set(key, made)
  return made
}
