import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import type { SigningKeyTable } from '../../../db/schema.ts'
import type { Clock } from '../../clock.ts'
import { algorithms, type Algorithm } from '../algorithms.ts'
import { jwkThumbprint } from '../jws.ts'
import type { RootKeys } from '../root/root-key.ts'

/** A signing key in memory. */
export interface RingKey {
  readonly row: SigningKeyTable
  readonly algorithm: Algorithm
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** The public JWK (RFC 7517 §4), as JSON. */
  readonly jwk: string
  /** The encoded protected header for each `typ` that was used. */
  readonly headers: Map<string, string>
}

const sealingPurpose = 'signing-key'

/** What became of opening a key's row. */
export type OpenedKey =
  | { readonly kind: 'open'; readonly key: RingKey }
  /**
   * Another process may be able to open it: its root key is not in our file, or its algorithm none that we
   * know. A later version that seals in another way, keys or passwords, gives them a `root_key_id` that no
   * file has: then this one waits.
   */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** The row was changed, so it cannot be opened. */
  | { readonly kind: 'damaged'; readonly reason: string }

/**
 * Opens the key of a row. The public half is computed from what was sealed, not read, and the kid is its
 * thumbprint: so a writer of the database without the root key cannot have a key published.
 */
export function openKey(row: SigningKeyTable, rootKeys: RootKeys): OpenedKey {
  const algorithm = algorithms.get(row.alg)
  if (!algorithm) return { kind: 'unknown', reason: `the algorithm ${row.alg} is not known` }
  if (!rootKeys.has(row.root_key_id)) {
    return { kind: 'unknown', reason: `its root key ${row.root_key_id} is not in the file` }
  }
  const pkcs8 = rootKeys.open(sealingPurpose, nameOf(row), row.root_key_id, row.sealed_private_key)
  if (!pkcs8)
    return { kind: 'damaged', reason: 'what is sealed in its row was changed, or is that of another row' }
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(privateKey)
  const jwk = JSON.stringify(publicJwk(publicKey, row.alg))
  return { kind: 'open', key: { row, algorithm, privateKey, publicKey, jwk, headers: new Map() } }
}

/** A key that has been made, and is not sealed yet. */
export interface MadeKey {
  readonly kid: string
  readonly alg: string
  readonly pkcs8: Buffer
}

/** Makes a key; for RSA that takes a while, in the thread pool. */
export async function makeKey(alg: string): Promise<MadeKey> {
  const algorithm = algorithms.get(alg)
  if (!algorithm) throw new Error(`unreachable: ${alg} is none of ours`)
  const { privateKey, publicKey } = await algorithm.generate()
  const { kid } = publicJwk(publicKey, alg)
  // On a command line it would look like an option.
  if (kid.startsWith('-')) return makeKey(alg)
  return { kid, alg, pkcs8: privateKey.export({ format: 'der', type: 'pkcs8' }) }
}

/** The row of a key that is published now. It signs at once if `isActive`; otherwise it is a next key. */
export function rowOf(
  { kid, alg, pkcs8 }: MadeKey,
  rootKeys: RootKeys,
  { now, isActive = false }: { readonly now: number; readonly isActive?: boolean },
): SigningKeyTable {
  return {
    kid,
    alg,
    ...seal(rootKeys, { kid, alg }, pkcs8),
    published_at: now,
    activated_at: isActive ? now : null,
    retired_at: null,
    verify_until: 0,
    verify_seconds: 0,
    witnessed_seconds: 0,
    rotation_requested_at: null,
    revoked_at: null,
    revoke_reason: null,
  }
}

/** A new next key. */
export async function newKey(alg: string, rootKeys: RootKeys, clock: Clock): Promise<SigningKeyTable> {
  const made = await makeKey(alg)
  return rowOf(made, rootKeys, { now: clock.now() })
}

/** The same key, sealed under the root key that is current now. */
export function reseal({ row, privateKey }: RingKey, rootKeys: RootKeys): Sealed {
  return seal(rootKeys, row, privateKey.export({ format: 'der', type: 'pkcs8' }))
}

type Sealed = Pick<SigningKeyTable, 'sealed_private_key' | 'root_key_id'>

function seal(rootKeys: RootKeys, row: Pick<SigningKeyTable, 'kid' | 'alg'>, pkcs8: Buffer): Sealed {
  const { rootKeyId, sealed } = rootKeys.seal(sealingPurpose, nameOf(row), pkcs8)
  return { sealed_private_key: sealed, root_key_id: rootKeyId }
}

/** One key has one algorithm (RFC 8725 §3.1), so it is bound to that too. */
function nameOf({ kid, alg }: Pick<SigningKeyTable, 'kid' | 'alg'>): string {
  return `${alg} ${kid}`
}

function publicJwk(key: KeyObject, alg: string) {
  const jwk = { ...key.export({ format: 'jwk' }) }
  return { ...jwk, kid: jwkThumbprint(jwk).toString('base64url'), alg, use: 'sig' }
}
