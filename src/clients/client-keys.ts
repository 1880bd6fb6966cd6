import type { Clock } from '../clock.ts'
import { unavailable } from '../errors.ts'
import { readClientJwks, type ClientKey } from '../keys/proofs/client-jwks.ts'
import type { Log } from '../record/log.ts'
import { fetchJson } from './fetch-json.ts'
import type { Reach } from './reach.ts'
import type { Client } from './registry.ts'

/** The public keys of clients: as registered, or fetched from where the client publishes them. */
export interface ClientKeys {
  /** The keys of a client, fetched within the last minutes. 503 when its `jwks_uri` cannot be read. */
  of(client: Client): Promise<readonly ClientKey[]>
  /**
   * Fetches the keys anew, because a signature names one that is not among them; undefined when there is
   * nothing to fetch. 503 when that was done a moment ago: it is unknown then whether the client has that
   * key.
   */
  refetched(client: Client): Promise<readonly ClientKey[] | undefined>
}

/**
 * So long a fetched set counts without a look at its URL, in seconds: a key that a client withdraws is
 * refused after it.
 */
const freshSeconds = 600
/** So long it counts if its URL cannot be read: an outage of the client's is not one of ours. */
const staleSeconds = 3600
/** The pause between two attempts at one URL: any stranger who names unknown keys makes us ask. */
const pauseSeconds = 30
/** Sets that are remembered, and fetches under way. */
const setsMax = 1000
const fetchesMax = 16

interface KeySet {
  readonly keys: readonly ClientKey[]
  readonly fetchedAt: number
  readonly attemptedAt: number
}

const never: KeySet = { keys: [], fetchedAt: -Infinity, attemptedAt: -Infinity }

export function openClientKeys(reach: Reach, clock: Clock, log: Log): ClientKeys {
  const present = () => Math.floor(clock.steady())
  const registered = new WeakMap<Client, readonly ClientKey[]>()
  const sets = new Map<string, KeySet>()
  const fetching = new Map<string, Promise<KeySet>>()

  /** One fetch for all who wait for the same URL. */
  const fetchSet = (uri: string): Promise<KeySet> => {
    const underWay = fetching.get(uri)
    if (underWay) return underWay
    if (fetching.size >= fetchesMax) throw unavailable('too many key sets are being fetched')
    const fetch = attempt(uri).finally(() => fetching.delete(uri))
    fetching.set(uri, fetch)
    return fetch
  }

  const attempt = async (uri: string): Promise<KeySet> => {
    const before = sets.get(uri) ?? never
    const facts = { jwks_uri: uri.replace(/\?.*/, '') }
    let set: KeySet
    try {
      const read = readClientJwks(await fetchJson(uri, reach))
      if (!read) throw new Error('the answer is no JWK Set')
      const { keys, problems } = read
      log.info({ ...facts, keys: keys.length, problems }, "a client's key set was fetched")
      set = { keys, fetchedAt: present(), attemptedAt: present() }
    } catch (error) {
      log.warn({ ...facts, err: error }, "a client's key set could not be fetched")
      set = { ...before, attemptedAt: present() }
    }
    sets.delete(uri)
    const [oldest] = sets.keys()
    if (sets.size >= setsMax && oldest !== undefined) sets.delete(oldest)
    sets.set(uri, set)
    return set
  }

  const ofUri = async (uri: string): Promise<readonly ClientKey[]> => {
    const known = sets.get(uri) ?? never
    if (present() - known.fetchedAt < freshSeconds) return known.keys
    const set = present() - known.attemptedAt < pauseSeconds ? known : await fetchSet(uri)
    if (present() - set.fetchedAt < staleSeconds) return set.keys
    throw unavailable(`the key set at ${uri} cannot be fetched`, pauseSeconds)
  }

  return {
    of: async client => {
      if (client.jwks_uri !== null) return ofUri(client.jwks_uri)
      let keys = registered.get(client)
      if (!keys) {
        keys = readClientJwks(JSON.parse(client.jwks ?? 'null'))?.keys ?? []
        registered.set(client, keys)
      }
      return keys
    },
    refetched: async ({ jwks_uri: uri }) => {
      if (uri === null) return undefined
      const { attemptedAt, fetchedAt, keys } = sets.get(uri) ?? never
      if (fetchedAt === present()) return keys // perhaps it was fetched for this very request
      if (present() - attemptedAt < pauseSeconds && !fetching.has(uri)) {
        throw unavailable(`the key set at ${uri} was fetched a moment ago`, pauseSeconds)
      }
      const set = await fetchSet(uri)
      if (set.fetchedAt < set.attemptedAt)
        throw unavailable(`the key set at ${uri} cannot be fetched`, pauseSeconds)
      return set.keys
    },
  }
}
