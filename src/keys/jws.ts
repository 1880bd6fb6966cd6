import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import { isObject } from '../values/json.ts'
import { algorithms } from './algorithms.ts'

/**
 * A compact JWS (RFC 7515 §7.1) with claims, as it was read: nothing in it is true before `isSignedBy` has
 * said so.
 */
export interface UnverifiedJwt {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
  /** Whether this key has signed it, and is one that its `alg` may be used with. */
  isSignedBy(key: KeyObject): boolean
}

/** The algorithms that clients may sign with. `none` and those with a shared secret are not among them. */
export const clientAlgs: readonly string[] = [...algorithms.keys()]

/**
 * Reads a JWT; undefined when it is malformed, or has a `crit` header, of which nothing is understood (RFC
 * 7515 §4.1.11).
 */
export function readJwt(text: string): UnverifiedJwt | undefined {
  const [, head, payload, signature] =
    /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(text) ?? []
  if (head === undefined || payload === undefined || signature === undefined) return undefined
  const header = readObject(head)
  const claims = readObject(payload)
  if (!header || !claims || 'crit' in header) return undefined
  return {
    header,
    claims,
    isSignedBy: key => {
      const { alg } = header
      const algorithm = typeof alg === 'string' ? algorithms.get(alg) : undefined
      if (!algorithm?.takes(key)) return false
      return algorithm.verify(key, Buffer.from(`${head}.${payload}`), Buffer.from(signature, 'base64url'))
    },
  }
}

function readObject(part: string): Readonly<Record<string, unknown>> | undefined {
  const bytes = Buffer.from(part, 'base64url')
  // One spelling for each token.
  if (bytes.toString('base64url') !== part) return undefined
  try {
    const value: unknown = JSON.parse(bytes.toString())
    return isObject(value) ? value : undefined
  } catch {
    return undefined // it is not JSON, so it is no JWT
  }
}

/** Members that a public key does not have (RFC 7518 §6): with one of them, what should be secret is not. */
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

export function isPrivateJwk(jwk: Readonly<Record<string, unknown>>): boolean {
  return privateMembers.some(member => member in jwk)
}

/**
 * The key of a public JWK (RFC 7517); undefined when it is none. Does NOT say whether an algorithm here takes
 * it.
 */
export function publicKeyOf(jwk: unknown): KeyObject | undefined {
  if (!isObject(jwk) || isPrivateJwk(jwk)) return undefined
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    return undefined // its members are missing, malformed, or no point of the curve
  }
}

/** The members that make a key, in the order in which RFC 7638 §3.2 wants them. */
const thumbprintMembers: ReadonlyMap<unknown, readonly string[]> = new Map([
  ['EC', ['crv', 'kty', 'x', 'y']],
  ['OKP', ['crv', 'kty', 'x']],
  ['RSA', ['e', 'kty', 'n']],
])

/** The JWK thumbprint (RFC 7638) with SHA-256, as its 32 bytes, of a key that `publicKeyOf` has read. */
export function jwkThumbprint(jwk: Readonly<Record<string, unknown>>): Buffer {
  const members = thumbprintMembers.get(jwk['kty']) ?? []
  return hash('sha256', JSON.stringify(Object.fromEntries(members.map(name => [name, jwk[name]]))), 'buffer')
}
