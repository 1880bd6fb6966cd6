import { randomBytes, timingSafeEqual } from 'node:crypto'
import { fewRandomBytes } from '../values/random.ts'
import { sha256 } from '../values/sha256.ts'

/** 128 random bits: a session's part of each of its refresh tokens. */
export function newSessionSecret(): Buffer {
  return fewRandomBytes(16)
}

/**
 * 256 random bits, with a prefix that a secret scanner knows, all in `[A-Za-z0-9_-]` so that no encoding
 * changes it.
 */
export function newClientSecret(): string {
  return `mm_cs_${randomBytes(32).toString('base64url')}`
}

/** SHA-256. Enough for secrets of 128 and more random bits; never for passwords. */
export function hashSecret(secret: Buffer | string): Buffer {
  return sha256(secret)
}

/** Compares two hashes of one length in constant time. */
export function isSameHash(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** A UUIDv7 (RFC 9562 §5.7) as 16 bytes: ordered by the second, otherwise random. */
export function newUuid(now: number): Buffer {
  const uuid = fewRandomBytes(16)
  uuid.writeUIntBE(now * 1000, 0, 6)
  uuid.writeUInt8((uuid.readUInt8(6) & 0x0f) | 0x70, 6)
  uuid.writeUInt8((uuid.readUInt8(8) & 0x3f) | 0x80, 8)
  return uuid
}

/** The last UUIDv7 of a second. */
export function lastUuidOf(second: number): Buffer {
  const uuid = Buffer.alloc(16, 0xff)
  uuid.writeUIntBE(Math.max(0, second * 1000 + 999), 0, 6)
  return uuid
}

export function formatUuid(uuid: Buffer): string {
  const hex = uuid.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The 16 bytes of a UUID in lower case; undefined for any other text. */
export function parseUuid(text: string): Buffer | undefined {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(text)) return undefined
  return Buffer.from(text.replaceAll('-', ''), 'hex')
}

/** The 16 bytes of a UUID that `formatUuid` has written into what was sealed here. */
export function ownUuid(text: string): Buffer {
  const uuid = parseUuid(text)
  if (!uuid) throw new Error('unreachable: what is sealed holds the ids that it was made of')
  return uuid
}
