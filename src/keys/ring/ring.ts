import type { Database } from '../../../db/database.ts'
import type { InstallationTable, SigningKeyTable } from '../../../db/schema.ts'
import type { Clock } from '../../clock.ts'
import type { Log } from '../../record/log.ts'
import { sha256 } from '../../values/sha256.ts'
import type { RootKeys } from '../root/root-key.ts'
import { phaseOf } from './key-life.ts'
import type { KnownTokens } from './known-tokens.ts'
import { openKey, type RingKey } from './signing-key.ts'

export type Claims = Readonly<Record<string, unknown>>

/** The key ring as it was read from the database. */
export interface Ring {
  readonly rows: readonly SigningKeyTable[]
  /** The keys that are published. */
  readonly byKid: ReadonlyMap<string, RingKey>
  readonly activeByAlg: ReadonlyMap<string, RingKey>
  /** Keys whose rows were damaged: no instance can use them. */
  readonly unsound: ReadonlySet<string>
  /** Keys that do not open here, but may elsewhere. */
  readonly unknown: ReadonlySet<string>
  readonly issuer: string
  readonly maxAgeSeconds: number
  readonly clockSkewSeconds: number
  /** The JWKS (RFC 7517 §5). */
  readonly body: string
  readonly etag: string
}

export interface RingSource {
  readonly rows: readonly SigningKeyTable[]
  readonly record: InstallationTable
  readonly rootKeys: RootKeys
  /** The ring before: the keys that it has opened stay open, and its complaints are not told again. */
  readonly before?: Ring | undefined
  readonly log: Log
}

/** Opens every key that is sound; of one that is not, the log says why. */
export function readRing({ rows, record, rootKeys, before, log }: RingSource): Ring {
  const byKid = new Map<string, RingKey>()
  const unsound = new Set<string>()
  const unknown = new Set<string>()
  for (const row of rows) {
    if (phaseOf(row) === 'revoked') continue
    const known = before?.byKid.get(row.kid)
    // An unknown key stays so until it opens: it must not be sealed under the root key of before.
    const isRead = known && isSameSeal(known.row, row) && !before?.unknown.has(row.kid)
    const opened = isRead ? undefined : openKey(row, rootKeys)
    // A server that does not have a new root key yet goes on with what it has.
    if (known && (!opened || opened.kind === 'unknown')) byKid.set(row.kid, { ...known, row })
    else if (opened?.kind === 'open') byKid.set(row.kid, opened.key)
    if (!opened || opened.kind === 'open') continue
    const [group, earlier] =
      opened.kind === 'damaged' ? [unsound, before?.unsound] : [unknown, before?.unknown]
    group.add(row.kid)
    if (!earlier?.has(row.kid)) {
      const facts = { event: 'key_unusable', kid: row.kid, alg: row.alg, reason: opened.reason }
      log.error(facts, 'a signing key cannot be opened, and is not used')
    }
  }
  const keys = [...byKid.values()]
  const body = `{"keys":[${keys.map(({ jwk }) => jwk).join(',')}]}`
  return {
    rows,
    byKid,
    activeByAlg: new Map(keys.filter(({ row }) => phaseOf(row) === 'active').map(key => [key.row.alg, key])),
    unsound,
    unknown,
    issuer: record.issuer,
    maxAgeSeconds: record.jwks_max_age_seconds,
    clockSkewSeconds: record.clock_skew_seconds,
    body,
    etag: `"${sha256(body).toString('base64url')}"`,
  }
}

function isSameSeal(a: SigningKeyTable, b: SigningKeyTable): boolean {
  return (
    a.alg === b.alg && a.root_key_id === b.root_key_id && a.sealed_private_key.equals(b.sealed_private_key)
  )
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
 * The protected header must be, byte for byte, one that a key of the ring writes for this `typ`. So there is
 * no algorithm to choose, no `crit`, `jku` or `jwk` to obey, and nothing of the header to parse (RFC 8725
 * §3.1, §3.10, §3.11).
 */
function keyOf(ring: Ring, jwt: string, typ: string): RingKey | undefined {
  for (const key of ring.byKid.values()) if (jwt.startsWith(`${headerOf(key, typ)}.`)) return key
  return undefined
}

/**
 * The claims of a JWT whose header and signature are of this ring; undefined for any other. A signature that
 * is known to be right is not verified again, but its key must still be there. Does NOT look at `exp`.
 */
export function verifiedClaims(ring: Ring, jwt: string, typ: string, known: KnownTokens): Claims | undefined {
  const key = keyOf(ring, jwt, typ)
  if (!key) return undefined
  const dot = jwt.lastIndexOf('.')
  if (!known.has(jwt)) {
    const signature = Buffer.from(jwt.slice(dot + 1), 'base64url')
    // One spelling for each token.
    if (signature.toString('base64url') !== jwt.slice(dot + 1)) return undefined
    if (!key.algorithm.verify(key.publicKey, Buffer.from(jwt.slice(0, dot)), signature)) return undefined
    known.add(jwt)
  }
  // We have signed it, so it is JSON of ours; but the database may have had another issuer then.
  const claims: Claims = JSON.parse(Buffer.from(jwt.slice(jwt.indexOf('.') + 1, dot), 'base64url').toString())
  return claims['iss'] === ring.issuer ? claims : undefined
}

export interface KeyRingOptions {
  readonly db: Database
  readonly rootKeys: RootKeys
  readonly clock: Clock
  readonly log: Log
}
