import { sha256 } from '../../values/sha256.ts'

/** Tokens whose signature is known to be right, since they were signed here or verified before. */
export interface KnownTokens {
  add(jwt: string): void
  /** True only for one that was added; false for one that was, too, once newer ones have taken its place. */
  has(jwt: string): boolean
}

/**
 * Of a token each has the SHA-256: 4 MiB for all, outside the heap, so that nothing here is ever collected.
 */
const slots = 2 ** 17
const hashBytes = 32

/** Their memory comes in so many parts, each when it is first written to: few tokens need little. */
const parts = 128
const partBytes = (slots / parts) * hashBytes

export function knownTokens(): KnownTokens {
  const hashes = new Array<Buffer | undefined>(parts)
  const partOf = (hash: Buffer) => hash.readUInt32LE(4) % parts
  const placeOf = (hash: Buffer) => (hash.readUInt32LE() * hashBytes) % partBytes
  return {
    add: jwt => {
      const hash = sha256(jwt)
      hash.copy((hashes[partOf(hash)] ??= Buffer.alloc(partBytes)), placeOf(hash))
    },
    has: jwt => {
      const hash = sha256(jwt)
      const part = hashes[partOf(hash)]
      const place = placeOf(hash)
      return part !== undefined && hash.compare(part, place, place + hashBytes) === 0
    },
  }
}
