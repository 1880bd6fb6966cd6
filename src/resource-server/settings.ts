import { normalUrl } from '../protocol/normal-url.ts'
import { isNetwork } from '../values/networks.ts'
import { isSafe } from './fetching.ts'
import { metadataProblem, type AboutApi } from './resource-metadata.ts'

/** The options of `createVerifier`. */
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
  /**
   * The URL at which clients reach the root of this server, as they write it in DPoP proofs. Default: the
   * origin of `audience`. Behind a proxy that cuts a path off, with that path.
   */
  readonly url?: string
  /**
   * Remembers that a DPoP proof was used, until `expiresAt` (seconds since the epoch); false when it is known
   * already. For an API of several instances, which share it: `SET id 1 NX EXAT expiresAt` of Redis does just
   * that. Default: each instance remembers for itself, up to 100,000 proofs of the last two minutes; beyond
   * that, requests are told to come back.
   */
  readonly rememberProof?: (id: string, expiresAt: number) => Promise<boolean>
  /**
   * Addresses or networks of proxies that end TLS and pass the client's certificate on in the field
   * `Client-Cert` (RFC 9440). Default: none, so that only a certificate on this server's own TLS connection
   * counts.
   */
  readonly trustProxy?: readonly string[]
  /**
   * Whether the issuer's stream of events is followed, so that a token is refused a moment after its session
   * has ended, and not with the next status list. Needs `client`, and `close` at the end. While it is cut
   * off, and beside it, the status list counts. Default: false.
   */
  readonly push?: boolean
  /** The client that this API is at the issuer: the one made with `--resource-server` and `audience`. */
  readonly client?: ClientOfApi
  /** Told when events begin to come, and when they are cut off, with the reason. For your log. */
  readonly onPush?: (isLive: boolean, cause?: unknown) => void
  /**
   * Whether clients are told where to get tokens for this API (RFC 9728), and what about it: every challenge
   * names the document, which the plugin for Fastify and `requireScope.metadata` serve. Then `audience` is
   * the URL of this API. Default: false.
   */
  readonly metadata?: boolean | AboutApi
  /**
   * How documents are fetched, when not by the global `fetch`: through a proxy, or from an address inside.
   */
  readonly fetch?: typeof fetch
  /** Milliseconds since the epoch. For tests. */
  readonly now?: () => number
}

/** A client's secret, or how to get an access token of it that is for the issuer itself. */
export type ClientOfApi =
  { readonly id: string; readonly secret: string } | { readonly accessToken: () => Promise<string> }

export interface Settings
  extends
    Required<Omit<VerifierOptions, 'url' | 'rememberProof' | 'client' | 'onPush'>>,
    Pick<VerifierOptions, 'client' | 'onPush'> {
  /** Without a slash at the end; undefined where it was not given. */
  readonly url: string | undefined
  readonly rememberProof: VerifierOptions['rememberProof'] | undefined
}

/** All options with their defaults. Throws a `TypeError` that names the one that is wrong. */
export function settingsOf(options: VerifierOptions): Settings {
  const settings = {
    requireStatus: false,
    algorithms: ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA'],
    clockToleranceSeconds: 30,
    cacheSize: 10_000,
    rememberProof: undefined,
    push: false,
    metadata: false,
    trustProxy: [],
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
  if (settings.trustProxy.some(text => !isNetwork(text))) {
    throw new TypeError('trustProxy must be addresses or networks like 10.0.0.0/8')
  }
  const problem = settings.metadata === false ? undefined : metadataProblem(audience, settings.metadata)
  if (problem !== undefined) throw new TypeError(problem)
  if (settings.push && !isClient(settings.client)) {
    throw new TypeError('push needs client: the id and the secret of the client of this API, or accessToken')
  }
  return { ...settings, url: rootOf(options.url, audience) }
}

function rootOf(url: string | undefined, audience: string): string | undefined {
  const root = normalUrl(url ?? audience)
  if (url === undefined) return root && new URL(root).origin
  if (root !== undefined && !/[?#]/.test(url)) return root.replace(/\/$/, '')
  throw new TypeError('url must be the http URL at which clients reach this server')
}

function isClient(client: ClientOfApi | undefined): boolean {
  if (!client) return false
  if ('accessToken' in client) return typeof client.accessToken === 'function'
  return typeof client.id === 'string' && typeof client.secret === 'string' && client.secret !== ''
}
