import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { isObject } from '../../values/json.ts'
import { algorithms } from '../algorithms.ts'
import { isPrivateJwk, jwkThumbprint, publicKeyOf } from '../jws.ts'

/** A public key of a client. It has one algorithm (RFC 8725 §3.1). */
export interface ClientKey {
  readonly kid: string | undefined
  readonly alg: string
  readonly key: KeyObject
  /** The first certificate of `x5c`, as DER: then only this certificate will do (RFC 8705 §2.2.2). */
  readonly certificate: Buffer | undefined
}

export interface ClientJwks {
  readonly keys: readonly ClientKey[]
  /** Whether one of them is not public. */
  readonly hasPrivateKey: boolean
  /** Why keys were left out, for the person who registers them. */
  readonly problems: readonly string[]
}

/** More than any client has at a time. A bound on what one signature without a `kid` can cost. */
const keysMax = 20

/** Which algorithm a key without `alg` is for. */
const defaultAlgs: ReadonlyMap<unknown, string> = new Map([
  ['EC', 'ES256'],
  ['RSA', 'RS256'],
  ['OKP', 'Ed25519'],
])

/**
 * The keys of a key set (RFC 7517 §5) that can verify a signature here. Others are left out, as §5 wants it,
 * and so is a private key: all readers of the set have it too. Undefined for what is no key set.
 */
export function readClientJwks(value: unknown): ClientJwks | undefined {
  const list = isObject(value) ? value['keys'] : undefined
  if (!Array.isArray(list)) return undefined
  const keys: ClientKey[] = []
  const problems: string[] = []
  for (const [i, jwk] of list.slice(0, keysMax).entries()) {
    const key = readKey(jwk)
    if (typeof key === 'string') problems.push(`keys[${i}] ${key}`)
    else keys.push(key)
  }
  if (list.length > keysMax) problems.push(`only the first ${keysMax} keys count`)
  return { keys, problems, hasPrivateKey: list.some(jwk => isObject(jwk) && isPrivateJwk(jwk)) }
}

/** The key, or why it is none. */
function readKey(jwk: unknown): ClientKey | string {
  if (!isObject(jwk)) return 'is no JWK'
  if (isPrivateJwk(jwk))
    return 'holds a private or a shared key: whoever has read it can impersonate the client'
  const { kid, use, key_ops: operations, alg = defaultAlgs.get(jwk['kty']), x5c } = jwk
  if (use !== undefined && use !== 'sig') return 'is not for signatures (use)'
  if (Array.isArray(operations) && !operations.includes('verify')) return 'is not for verifying (key_ops)'
  const algorithm = typeof alg === 'string' ? algorithms.get(alg) : undefined
  if (typeof alg !== 'string' || !algorithm)
    return `has none of the algorithms ${[...algorithms.keys()].join(', ')}`
  const key = publicKeyOf(jwk)
  if (!key || !algorithm.takes(key)) return `is no valid key for ${alg}, or one that is too small`
  const first: unknown = Array.isArray(x5c) ? x5c[0] : undefined
  return {
    kid: typeof kid === 'string' ? kid : undefined,
    alg,
    key,
    certificate: typeof first === 'string' ? Buffer.from(first, 'base64') : undefined,
  }
}

/**
 * A new ES256 key for a client: the private JWK, and the set of its public half, with the thumbprint (RFC
 * 7638) as kid.
 */
export function newClientKey(): { readonly privateJwk: object; readonly jwks: object } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicJwk = publicKey.export({ format: 'jwk' })
  const named = { kid: jwkThumbprint({ ...publicJwk }).toString('base64url'), alg: 'ES256', use: 'sig' }
  return {
    privateJwk: { ...privateKey.export({ format: 'jwk' }), ...named },
    jwks: { keys: [{ ...publicJwk, ...named }] },
  }
}
