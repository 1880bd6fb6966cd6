import { hmacSha256 } from '../values/sha256.ts'

/**
 * How many sessions share one list (draft-ietf-oauth-status-list §13.1: the more, the less a request for it
 * tells). Fixed for good: a session's position is stored, and its list follows from it.
 */
export const statusListSize = 2 ** 20

/** How many bits hold one status (draft-ietf-oauth-status-list §4.1). */
export type StatusBits = 1 | 2 | 4 | 8

/** The status values that every verifier knows (§7.1). */
export const validStatus = 0
export const invalidStatus = 1

/** The `status` claim of a token (§6.2): where the bit of its session lies. */
export function statusClaim(issuer: string, position: number) {
  return {
    status_list: {
      idx: position % statusListSize,
      uri: statusListUri(issuer, Math.floor(position / statusListSize)),
    },
  }
}

export function statusListUri(issuer: string, list: number): string {
  return `${issuer}/status-lists/${list}`
}

/**
 * The position that a number from the counter becomes: in the same list, but nothing there shows which came
 * first. It remembers the values of its rounds, which numbers of one list share.
 */
export function positionsOf(key: Buffer): (number: number) => number {
  let known: { readonly list: number; readonly mixed: Int16Array } | undefined
  return number => {
    const list = Math.floor(number / statusListSize)
    if (known?.list !== list) known = { list, mixed: new Int16Array(rounds * 2 ** halfBits).fill(-1) }
    return list * statusListSize + permuteIndex(key, list, number % statusListSize, known.mixed)
  }
}

const halfBits = 10
const halfMask = 2 ** halfBits - 1
const rounds = 8

/**
 * A keyed permutation of the indexes of a list: a Feistel network over two halves of 10 bits (NIST SP
 * 800-38G's way, for a domain that is a power of two). It hides only an order, and no secret hangs on it.
 */
function permuteIndex(key: Buffer, list: number, index: number, known: Int16Array): number {
  let left = index >>> halfBits
  let right = index & halfMask
  for (let round = 0; round < rounds; round++) {
    const place = (round << halfBits) | right
    let mixed = known[place] ?? -1
    if (mixed < 0) {
      mixed = hmacSha256(key, `${list} ${round} ${right}`).readUInt16BE() & halfMask
      known[place] = mixed
    }
    ;[left, right] = [right, left ^ mixed]
  }
  return (left << halfBits) | right
}

/** The packed bytes of a list of `size` entries, all of them valid (§4.1). */
export function newStatusList(size: number, bits: StatusBits = 1): Uint8Array {
  return new Uint8Array(Math.ceil((size * bits) / 8))
}

/** Sets one entry. The entries of a byte begin with its least significant bit (§4.1). */
export function setStatus(list: Uint8Array, index: number, status: number, bits: StatusBits = 1): void {
  const { byte, shift, mask } = placeOf(index, bits)
  list[byte] = ((list[byte] ?? 0) & ~(mask << shift)) | ((status & mask) << shift)
}

/** The status of one entry; undefined beyond the end of the list, about which nothing can be said (§8.3). */
export function statusAt(list: Uint8Array, index: number, bits: StatusBits = 1): number | undefined {
  const { byte, shift, mask } = placeOf(index, bits)
  const value = list[byte]
  return value === undefined ? undefined : (value >> shift) & mask
}

function placeOf(index: number, bits: StatusBits) {
  const perByte = 8 / bits
  return { byte: Math.floor(index / perByte), shift: (index % perByte) * bits, mask: 2 ** bits - 1 }
}
