import { isSafe } from './key-set.ts'

/** What `createVerifier` takes. */
export interface VerifierOptions {
  /** The issuer identifier of the authorization server, exactly as it is in its metadata and tokens. */
  readonly issuer: string
  /** The URI of this API: the `aud` of the tokens that are for it. */
  readonly audience: string
  /** Whether a token that does not say where its status is listed is refused. Default: it is taken. */
  readonly requireStatus?: boolean
  /** The signature algorithms that are taken. Default: ES256, RS256, PS256, Ed25519 and EdDSA. */
  readonly algorithms?: readonly string[]
  /** By how much the clocks may differ, in seconds. Default: 30. */
  readonly clockToleranceSeconds?: number
  /** How many verified tokens are remembered. Default: 10,000, at about 1.5 kB each. */
  readonly cacheSize?: number
  /** How documents are fetched, when not by the global `fetch`: through a proxy, or from an address inside. */
  readonly fetch?: typeof fetch
  /** Milliseconds since the epoch. For tests. */
  readonly now?: () => number
}

export type Settings = Required<VerifierOptions>

/** All options with their defaults. Throws a `TypeError` that names the one that is wrong. */
export function settingsOf(options: VerifierOptions): Settings {
  const settings = {
    requireStatus: false,
    algorithms: ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA'],
    clockToleranceSeconds: 30,
    cacheSize: 10_000,
    fetch: globalThis.fetch,
    now: Date.now,
    ...options,
  }
  const { issuer, audience, algorithms, clockToleranceSeconds, cacheSize } = settings
  if (typeof issuer !== 'string' || !isSafe(issuer) || /[?#]|\/$/.test(issuer)) {
    throw new TypeError(
      'issuer must be an https URL without query, fragment or trailing slash (or a loopback one)',
    )
  }
  if (typeof audience !== 'string' || audience === '')
    throw new TypeError('audience must be the URI of this API')
  if (algorithms.length === 0 || algorithms.some(alg => !/^(ES|RS|PS)\d{3}$|^Ed/.test(alg))) {
    throw new TypeError('algorithms must be asymmetric signature algorithms')
  }
  if (!(clockToleranceSeconds >= 0 && clockToleranceSeconds <= 600)) {
    throw new TypeError('clockToleranceSeconds must be from 0 to 600')
  }
  if (!(Number.isInteger(cacheSize) && cacheSize >= 0)) {
    throw new TypeError('cacheSize must be a whole number')
  }
  return settings
}
