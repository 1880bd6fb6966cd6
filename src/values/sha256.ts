import { hash } from 'node:crypto'

/*
 * Both as Node.js has them, at a part of the cost, which a refresh pays four times: `hash` writes a buffer of
 * its own into memory outside the heap each time, and `createHmac` makes a key and an object that have to be
 * collected. As a text of one character for each byte (`binary`) a hash is read back quickest.
 */

/** SHA-256 (FIPS 180-4): 32 bytes. */
export function sha256(data: Buffer | string): Buffer {
  return Buffer.from(hash('sha256', data, 'binary'), 'binary')
}

/**
 * HMAC-SHA-256 (RFC 2104 §2): 32 bytes. Throws for a key that is longer than a block of 64 bytes. It keeps
 * the hashed blocks of a key for as long as that buffer lives, so its bytes must not change.
 */
export function hmacSha256(key: Buffer, message: Buffer | string): Buffer {
  const { inner, outer } = blocksOf(key)
  const bytes = typeof message === 'string' ? Buffer.from(message) : message
  outer.write(hash('sha256', Buffer.concat([inner, bytes]), 'binary'), blockBytes, 'binary')
  return sha256(outer)
}

/** A key's two blocks. */
interface Blocks {
  /** Stands before the message. */
  readonly inner: Buffer
  /** Stands before the inner hash, for which it has room. */
  readonly outer: Buffer
}

const blockBytes = 64
const hashBytes = 32
const blocks = new WeakMap<Buffer, Blocks>()

/** Computed once for each key. */
function blocksOf(key: Buffer): Blocks {
  const known = blocks.get(key)
  if (known) return known
  if (key.length > blockBytes) throw new Error('the key of an HMAC is longer than a block')
  const padded = Buffer.concat([key], blockBytes)
  const made = {
    inner: Buffer.from(padded.map(byte => byte ^ 0x36)),
    outer: Buffer.concat([padded.map(byte => byte ^ 0x5c)], blockBytes + hashBytes),
  }
  blocks.set(key, made)
  return made
}
