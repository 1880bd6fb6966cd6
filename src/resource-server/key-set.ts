import { createLocalJWKSet, errors, jwtVerify, type JSONWebKeySet, type JWTVerifyResult } from 'jose'
import { fetchDocument, isSafe, unavailable } from './fetching.ts'
import { keep, type Fetched, type Kept } from './kept.ts'
import type { Settings } from './settings.ts'

/** The keys of an issuer. */
export interface IssuerKeys {
  /**
   * Verifies a JWT of the issuer: signature, `typ`, `iss`, `exp` and `nbf`, and what `checks` adds. Rejects
   * with an error of jose when the JWT is found wanting, and with `temporarily_unavailable` when the keys
   * cannot be had.
   */
  verify(jwt: string, checks: Checks): Promise<JWTVerifyResult>
  /** Whether a key is still published. */
  has(kid: string | undefined): Promise<boolean>
}

export interface Checks {
  readonly typ: string
  readonly audience?: string
  readonly subject?: string
  readonly requiredClaims: string[]
}

interface KeySet {
  readonly find: ReturnType<typeof createLocalJWKSet>
  readonly kids: ReadonlySet<string | undefined>
  readonly etag: string | undefined
}

const day = 86_400_000

/** An unknown `kid` makes us look for new keys, but not more often: anybody can make one up. */
const askMilliseconds = 10_000

export function openIssuerKeys(settings: Settings): IssuerKeys {
  const { now, issuer, algorithms, clockToleranceSeconds } = settings
  const jwksUri = keep({ now, read: () => readJwksUri(settings) })
  let isForced = false
  let readAt = -Infinity
  let failure: unknown
  const keys: Kept<KeySet> = keep({
    now,
    read: async before => {
      readAt = now()
      failure = undefined
      try {
        return await readKeys(settings, await jwksUri.get(), before, isForced)
      } catch (error) {
        failure = error
        throw error
      }
    },
  })

  /** Whether there may be keys now that there were not before. */
  const lookAgain = async (): Promise<boolean> => {
    // A key that is unknown while no server can be asked says nothing against the token.
    if (now() < readAt + askMilliseconds && failure !== undefined) throw failure
    if (now() < readAt + askMilliseconds) return false
    isForced = true
    await keys.renew().finally(() => (isForced = false))
    return true
  }

  return {
    verify: async (jwt, checks) => {
      const options = {
        ...checks,
        issuer,
        algorithms: [...algorithms],
        clockTolerance: clockToleranceSeconds,
        currentDate: new Date(now()),
      }
      try {
        return await jwtVerify(jwt, (await keys.get()).find, options)
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey) || !(await lookAgain())) throw error
        return await jwtVerify(jwt, (await keys.get()).find, options)
      }
    },
    has: async kid => (await keys.get()).kids.has(kid),
  }
}

/** RFC 8414 §3, or where OpenID Connect has the same document. */
async function readJwksUri({ fetch, issuer, now }: Settings): Promise<Fetched<string>> {
  const { origin, pathname } = new URL(issuer)
  const path = pathname === '/' ? '' : pathname
  const options = { fetch, accept: 'application/json' }
  const { text = '', maxAgeSeconds = 300 } = await fetchDocument(
    `${origin}/.well-known/oauth-authorization-server${path}`,
    options,
  ).catch(() => fetchDocument(`${issuer}/.well-known/openid-configuration`, options))
  try {
    const { issuer: named, jwks_uri } = Object(JSON.parse(text))
    // RFC 8414 §3.3: otherwise anybody could lend us their keys.
    if (named !== issuer) throw new Error(`it is of another issuer: ${JSON.stringify(named)}`)
    if (typeof jwks_uri !== 'string' || !isSafe(jwks_uri)) throw new Error('it has no jwks_uri with https')
    const at = now() + 1000 * Math.max(60, maxAgeSeconds)
    return { value: jwks_uri, dueAt: at, waitAt: now() + day, endAt: now() + day }
  } catch (error) {
    throw unavailable(`the metadata of ${issuer} cannot be used`, error)
  }
}

async function readKeys(
  { fetch, now }: Settings,
  url: string,
  before: KeySet | undefined,
  isForced: boolean,
): Promise<Fetched<KeySet>> {
  const accept = 'application/jwk-set+json, application/json'
  const {
    text,
    etag,
    maxAgeSeconds = 300,
  } = await fetchDocument(url, {
    fetch,
    accept,
    isForced,
    etag: before?.etag,
  })
  const dueAt = now() + 1000 * Math.max(1, maxAgeSeconds)
  // A key that was revoked must not be trusted for ever because no server can be asked.
  const times = { dueAt, waitAt: dueAt + 1000 * maxAgeSeconds, endAt: now() + day }
  if (text === undefined && before) return { value: before, ...times }
  try {
    const jwks: JSONWebKeySet = JSON.parse(text ?? '')
    const find = createLocalJWKSet(jwks)
    return { value: { find, kids: new Set(jwks.keys.map(key => key.kid)), etag }, ...times }
  } catch (error) {
    throw unavailable(`the key set at ${url} cannot be used`, error)
  }
}
