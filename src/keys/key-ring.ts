import type { Database, SigningKeyTable } from '../../db/database.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'
import { headerOf, verifySignature, followBoundSeconds, type Claims, type Ring } from './ring.ts'
import { followRing } from './ring-follower.ts'
import type { RootKeys } from './root-key.ts'

/** Signs and verifies with the keys of the ring, and moves the ring on when it is time. */
export interface KeyRing {
  /** A compact JWS (RFC 7515 §7.1) of the claims, by the active key of the algorithm. 503 where no key may sign now. */
  sign(typ: string, alg: string, claims: Claims & { readonly exp: number }): string
  /** The claims of a JWT that this ring has signed with this `typ`; undefined for any other, and for one that has expired. */
  verify(jwt: string, typ: string): Claims | undefined
  /** The JWKS (RFC 7517 §5), from memory. */
  jwks(): Jwks
  /** The keys as they are in the database. */
  rows(): readonly SigningKeyTable[]
  /** Reads the ring anew and takes the steps that are due. */
  follow(): Promise<void>
}

export interface Jwks {
  readonly body: string
  /** Strong (RFC 9110 §8.8.3). */
  readonly etag: string
  readonly maxAgeSeconds: number
  /** False when the database has not been heard of for 10 seconds. */
  readonly isConfirmed: boolean
}

export interface KeyRingOptions {
  readonly db: Database
  readonly rootKeys: RootKeys
  readonly now: () => number
  readonly log: Context['log']
}

/** How many JWTs are remembered whose signature was right, at about 2 kB each. */
const verifiedMax = 5000

/** Opens the ring; in an empty database makes the first keys, which sign at once. */
export async function openKeyRing(options: KeyRingOptions): Promise<KeyRing> {
  const { now } = options
  const follower = await followRing(options)
  const verified = rememberVerified()
  return {
    sign: (typ, alg, claims) => {
      const { activeByAlg, marginSeconds } = follower.ring()
      const key = activeByAlg.get(alg)
      if (!key) throw unavailable(new Error(`no ${alg} key may sign now`))
      // What is signed must be verifiable to its end: the key's promise was stored before.
      if (claims.exp + marginSeconds > key.row.verify_until) {
        throw unavailable(new Error(`the promise of the key ${key.row.kid} has not been renewed`))
      }
      const text = `${headerOf(key, typ)}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`
      return `${text}.${key.algorithm.sign(key.privateKey, Buffer.from(text)).toString('base64url')}`
    },
    verify: (jwt, typ) => {
      const claims = verified(follower.ring(), jwt, typ)
      return claims && typeof claims['exp'] === 'number' && now() < claims['exp'] ? claims : undefined
    },
    jwks: () => {
      const { body, etag, maxAgeSeconds } = follower.ring()
      return { body, etag, maxAgeSeconds, isConfirmed: now() - follower.confirmedAt() <= followBoundSeconds }
    },
    rows: () => follower.ring().rows,
    follow: follower.follow,
  }
}

/** Verifies a signature once, and remembers what it signed as long as the ring stays as it is. */
function rememberVerified(): typeof verifySignature {
  let remembered = new Map<string, { readonly typ: string; readonly claims: Claims }>()
  let ofRing: Ring | undefined
  return (ring, jwt, typ) => {
    if (ring !== ofRing || remembered.size >= verifiedMax) remembered = new Map()
    ofRing = ring
    const known = remembered.get(jwt)
    if (known) return known.typ === typ ? known.claims : undefined
    const claims = verifySignature(ring, jwt, typ)
    if (claims) remembered.set(jwt, { typ, claims })
    return claims
  }
}
