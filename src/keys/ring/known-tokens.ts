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

export function knownTokens(): KnownTokens {
  const hashes = Buffer.alloc(slots * hashBytes)
  const placeOf = (hash: Buffer) => (hash.readUInt32LE() % slots) * hashBytes
  return {
    add: jwt => {
      const hash = sha256(jwt)
      hash.copy(hashes, placeOf(hash))
    },
    has: jwt => {
      const hash = sha256(jwt)
      const place = placeOf(hash)
      return hash.compare(hashes, place, place + hashBytes) === 0
    },
  }
}
