import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK } from 'jose'
import type { InstallationTable, SigningKeyTable } from '../../db/database.ts'
import type { Context } from '../context.ts'
import { algorithms, type Algorithm } from './algorithms.ts'
import { phaseOf, type RingPolicy } from './key-life.ts'
import type { RootKeys } from './root-key.ts'

export type Claims = Readonly<Record<string, unknown>>

/** Within so many seconds instances follow each other, or know that they do not. */
export const followBoundSeconds = 10

/** Wanted from the start: RS256 is what RFC 9068 §2.1 demands of everybody, ES256 is the default. */
const algsFromStart = ['ES256', 'RS256']

const sealingPurpose = 'signing-key'

/** A key that opens. */
export interface RingKey {
  readonly row: SigningKeyTable
  readonly algorithm: Algorithm
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** The encoded protected header for each `typ` that was used. */
  readonly headers: Map<string, string>
}

/** The key ring as it was read from the database. */
export interface Ring {
  readonly rows: readonly SigningKeyTable[]
  readonly byKid: ReadonlyMap<string, RingKey>
  readonly activeByAlg: ReadonlyMap<string, RingKey>
  readonly policy: RingPolicy
  readonly issuer: string | undefined
  readonly body: string
  readonly etag: string
  readonly maxAgeSeconds: number
  /** Added to a token's expiry before its key may leave. */
  readonly marginSeconds: number
}

/** How long a key must have been published before it signs: so long that every verifier which keeps to the max-age has it. */
export function leadSecondsOf({
  jwks_max_age_seconds,
}: Pick<InstallationTable, 'jwks_max_age_seconds'>): number {
  return 2 * jwks_max_age_seconds + followBoundSeconds
}

/** Opens every key that is sound; of one that is not, the log says which. */
export function readRing(
  rows: readonly SigningKeyTable[],
  installation: InstallationTable | undefined,
  rootKeys: RootKeys,
  log: Context['log'],
): Ring {
  const byKid = new Map<string, RingKey>()
  const activeByAlg = new Map<string, RingKey>()
  const published: string[] = []
  for (const row of rows) {
    if (phaseOf(row) === 'revoked') continue
    const key = openKey(row, rootKeys)
    if (!key) {
      log.error(
        { kid: row.kid },
        'a signing key cannot be opened and is not used: its row or the root key is wrong',
      )
      continue
    }
    byKid.set(row.kid, key)
    published.push(row.public_jwk)
    if (phaseOf(row) === 'active') activeByAlg.set(row.alg, key)
  }
  const body = `{"keys":[${published.join(',')}]}`
  const maxAgeSeconds = installation?.jwks_max_age_seconds ?? 0
  const marginSeconds = maxAgeSeconds + (installation?.clock_skew_seconds ?? 0)
  return {
    rows,
    byKid,
    activeByAlg,
    policy: {
      rotationSeconds: installation?.key_rotation_seconds ?? 0,
      leadSeconds: installation ? leadSecondsOf(installation) : 0,
      algs: algsFromStart,
    },
    issuer: installation?.issuer,
    body,
    etag: `"${createHash('sha256').update(body).digest('base64url')}"`,
    maxAgeSeconds,
    marginSeconds,
  }
}

/** The keys of a row; undefined when it does not open, or its halves do not belong together. */
function openKey(row: SigningKeyTable, rootKeys: RootKeys): RingKey | undefined {
  const algorithm = algorithms.get(row.alg)
  const pkcs8 = rootKeys.open(sealingPurpose, row.kid, row.root_key_id, row.sealed_private_key)
  if (!algorithm || !pkcs8) return undefined
  try {
    const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
    const publicKey = createPublicKey({ key: JSON.parse(row.public_jwk), format: 'jwk' })
    if (!createPublicKey(privateKey).equals(publicKey)) return undefined
    return { row, algorithm, privateKey, publicKey, headers: new Map() }
  } catch {
    return undefined // what does not parse is as good as lost; the caller says which key
  }
}

/** A new key's row. It signs at once if `verifyUntil` tells until when it stays published; otherwise it is a next key. */
export async function newKey(
  alg: string,
  rootKeys: RootKeys,
  now: number,
  verifyUntil: number | undefined,
): Promise<SigningKeyTable> {
  const algorithm = algorithms.get(alg)
  if (!algorithm) throw new Error(`unreachable: ${alg} is none of ours`)
  const { privateKey, publicKey } = await algorithm.generate()
  const jwk = await exportJWK(publicKey)
  // RFC 7638; under an algorithm's label of its own, since one key has one algorithm (RFC 8725 §3.1).
  const kid = await calculateJwkThumbprint(jwk)
  const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' })
  const { rootKeyId, sealed } = rootKeys.seal(sealingPurpose, kid, pkcs8)
  return {
    kid,
    alg,
    public_jwk: JSON.stringify({ ...jwk, kid, alg, use: 'sig' }),
    sealed_private_key: sealed,
    root_key_id: rootKeyId,
    published_at: now,
    activated_at: verifyUntil === undefined ? null : now,
    retired_at: null,
    verify_until: verifyUntil ?? 0,
    rotation_requested_at: null,
    revoked_at: null,
    revoke_reason: null,
  }
}

/** The encoded protected header of a JWT of this key. */
export function headerOf({ row, headers }: RingKey, typ: string): string {
  let header = headers.get(typ)
  if (header === undefined) {
    header = Buffer.from(JSON.stringify({ alg: row.alg, typ, kid: row.kid })).toString('base64url')
    headers.set(typ, header)
  }
  return header
}

/**
 * The protected header must be, byte for byte, one that a key of the ring writes for this `typ`. So there is no
 * algorithm to choose, no `crit`, `jku` or `jwk` to obey, and nothing of the header to parse (RFC 8725 §3.1, §3.10, §3.11).
 */
function keyOf(ring: Ring, jwt: string, typ: string): RingKey | undefined {
  for (const key of ring.byKid.values()) if (jwt.startsWith(`${headerOf(key, typ)}.`)) return key
  return undefined
}

/** The claims of a JWT whose header and signature are of this ring; undefined for any other. Does NOT look at `exp`. */
export function verifySignature(ring: Ring, jwt: string, typ: string): Claims | undefined {
  const key = keyOf(ring, jwt, typ)
  const dot = jwt.lastIndexOf('.')
  if (!key) return undefined
  const signature = Buffer.from(jwt.slice(dot + 1), 'base64url')
  // One spelling for each token.
  if (signature.toString('base64url') !== jwt.slice(dot + 1)) return undefined
  if (!key.algorithm.verify(key.publicKey, Buffer.from(jwt.slice(0, dot)), signature)) return undefined
  // We have signed it, so it is JSON of ours; but the database may have had another issuer then.
  const claims: Claims = JSON.parse(Buffer.from(jwt.slice(jwt.indexOf('.') + 1, dot), 'base64url').toString())
  return claims['iss'] === ring.issuer ? claims : undefined
}
