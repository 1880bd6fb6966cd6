import { unavailable } from '../../errors.ts'
import { followSeconds, type Job } from '../../upkeep/job.ts'
import type { Metric } from '../../upkeep/metric.ts'
import { knownTokens } from './known-tokens.ts'
import { followRing, type RingFollower } from './ring-follower.ts'
import { ringMetrics } from './ring-metrics.ts'
import { type Claims, headerOf, type KeyRingOptions, type Ring, verifiedClaims } from './ring.ts'
import type { RingKey } from './signing-key.ts'
import { openLeases, type TokenLeases } from './token-leases.ts'

/** Signs and verifies with the keys of the ring, and moves it on when it is time. */
export interface KeyRing {
  /**
   * A compact JWS (RFC 7515 §7.1) of the claims, by the active key of the algorithm; 503 where none may sign
   * now. Until the JWT expires, the key stays published: that is stored before the JWT is handed out. One
   * without `exp` is for this moment.
   */
  sign(typ: string, alg: string, claims: Claims & { readonly exp?: number }): Promise<string>
  /**
   * The claims of a JWT that this ring has signed with this `typ`; undefined for any other, and for one that
   * has expired.
   */
  verify(jwt: string, typ: string): Claims | undefined
  /** The same, but also of one that has expired: its bearer did get it from us. */
  recognise(jwt: string, typ: string): Claims | undefined
  /** The JWKS (RFC 7517 §5), from memory; 503 rather than one without keys. */
  jwks(): Jwks
  /** The algorithms of which a key signs. */
  algs(): readonly string[]
  /** The algorithms of the keys that are published, whether they sign yet, or still, or not. */
  publishedAlgs(): readonly string[]
  /** How far clocks may differ, the same for all instances. */
  clockSkewSeconds(): number
  /** Whether the database has been heard of within the last 10 seconds. */
  isConfirmed(): boolean
  /**
   * The root key that the database is under now. However many ask, it is looked for ten times a second at the
   * most.
   */
  readRootKeyId(): Promise<string | undefined>
}

export interface Jwks {
  readonly body: string
  /** Strong (RFC 9110 §8.8.3). */
  readonly etag: string
  readonly maxAgeSeconds: number
  /** False when the database has not been heard of for 10 seconds. */
  readonly isConfirmed: boolean
}

/** How many JWTs are remembered with their claims, at about 2 kB each. */
const rememberedMax = 5000

/** Longer ones, as status lists are, are asked about seldom. */
const rememberedLength = 8192

/** How long what does not expire is looked at. */
const momentSeconds = 60

/** The ring for those who use it, and what keeps it up to date. */
export interface OpenKeyRing {
  readonly keys: KeyRing
  /** Reads the ring anew if something has changed, and takes the steps that are due. */
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
}

/** Opens the ring; in an empty database makes the first keys, which sign at once. */
export async function openKeyRing(options: KeyRingOptions): Promise<OpenKeyRing> {
  const { clock } = options
  const leases = openLeases(options)
  const follower = await followRing(options, leases)
  const known = knownTokens()
  const verified = remembering((ring, jwt, typ) => verifiedClaims(ring, jwt, typ, known))
  const promisedKey = promisedKeys(follower, leases)
  const recognise = (jwt: string, typ: string) => verified(follower.ring(), jwt, typ)

  const keys: KeyRing = {
    sign: async (typ, alg, claims) => {
      const key = await promisedKey(alg, claims.exp ?? clock.now() + momentSeconds)
      const text = `${headerOf(key, typ)}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`
      const signature = await key.algorithm.sign(key.privateKey, Buffer.from(text))
      const jwt = `${text}.${signature.toString('base64url')}`
      known.add(jwt)
      return jwt
    },
    verify: (jwt, typ) => {
      const claims = recognise(jwt, typ)
      return claims && typeof claims['exp'] === 'number' && clock.now() < claims['exp'] ? claims : undefined
    },
    recognise,
    jwks: () => {
      const { body, etag, maxAgeSeconds, byKid } = follower.ring()
      // A verifier would throw away what it has.
      if (byKid.size === 0) throw unavailable(new Error('no signing key can be opened'))
      return { body, etag, maxAgeSeconds, isConfirmed: follower.isConfirmed() }
    },
    algs: () => [...follower.ring().activeByAlg.keys()],
    publishedAlgs: () => [...new Set([...follower.ring().byKid.values()].map(({ row }) => row.alg))].sort(),
    clockSkewSeconds: () => follower.ring().clockSkewSeconds,
    isConfirmed: follower.isConfirmed,
    readRootKeyId: follower.readRootKeyId,
  }
  return {
    keys,
    jobs: [
      {
        name: 'following the key ring',
        everySeconds: followSeconds,
        follows: true,
        run: follower.follow,
      },
    ],
    metrics: ringMetrics(follower, options.clock),
  }
}

/** Makes what finds the active key of an algorithm, with the promise that it stays published for a token. */
function promisedKeys(
  follower: RingFollower,
  leases: TokenLeases,
): (alg: string, expiresAt: number) => RingKey | Promise<RingKey> {
  const activeKey = (alg: string): RingKey => {
    const key = follower.ring().activeByAlg.get(alg)
    if (!key) throw unavailable(new Error(`no ${alg} key may sign now`))
    return key
  }
  const newlyPromised = async (alg: string, expiresAt: number): Promise<RingKey> => {
    // Many may wait for one promise that is enough for a few; the next one is larger.
    for (let attempt = 0; attempt < 20; attempt++) {
      const key = activeKey(alg)
      const { kid } = key.row
      if (leases.take(kid, expiresAt)) return key
      // The key may have retired since the ring was read.
      if (!(await leases.renew(kid, expiresAt))) await follower.follow()
    }
    throw unavailable(new Error(`no promise of the ${alg} key was to be had`))
  }
  return (alg, expiresAt) => {
    const key = activeKey(alg)
    return leases.take(key.row.kid, expiresAt) ? key : newlyPromised(alg, expiresAt)
  }
}

type ReadClaims = (ring: Ring, jwt: string, typ: string) => Claims | undefined

/**
 * Reads the claims of a JWT once, and remembers them as long as the ring stays as it is: an API asks about
 * each token often.
 */
function remembering(read: ReadClaims): ReadClaims {
  let remembered = new Map<string, { readonly typ: string; readonly claims: Claims }>()
  let ofRing: Ring | undefined
  return (ring, jwt, typ) => {
    if (ring !== ofRing || remembered.size >= rememberedMax) remembered = new Map()
    ofRing = ring
    const found = remembered.get(jwt)
    if (found) return found.typ === typ ? found.claims : undefined
    const claims = read(ring, jwt, typ)
    if (claims && jwt.length <= rememberedLength) remembered.set(jwt, { typ, claims })
    return claims
  }
}
