import type { ClientTable } from '../../db/schema.ts'
import type { Clock } from '../clock.ts'
import { unavailable } from '../errors.ts'
import { readClientJwks, type ClientKey } from '../keys/proofs/client-jwks.ts'
import type { Log } from '../record/log.ts'
import { fetchJson } from './fetch-json.ts'
import { jwksUriOf } from './issuer-metadata.ts'
import type { Reach } from './reach.ts'

/** Has public keys: a client, or an issuer that is trusted to name some. */
export interface KeySource {
  /** JSON of the keys, or where they are published; at most one of the two. */
  readonly jwks: string | null
  readonly jwks_uri: string | null
  /** Has metadata that say where its keys are, if neither is here. */
  readonly issuer?: string
  /** Of a client: who has made it. */
  readonly made_by?: ClientTable['made_by']
}

/** The public keys of clients and issuers: as registered, or fetched from where they are published. */
export interface ClientKeys {
  /** The keys, fetched within the last minutes. 503 when they cannot be read. */
  of(source: KeySource): Promise<readonly ClientKey[]>
  /**
   * Fetches the keys anew, because a signature names one that is not among them; undefined when there is
   * nothing to fetch. 503 when that was done a moment ago: it is unknown then whether there is that key.
   */
  refetched(source: KeySource): Promise<readonly ClientKey[] | undefined>
}

/**
 * So long a fetched set counts without a look at its URL, in seconds: a key that is withdrawn is refused
 * after it.
 */
const freshSeconds = 600
/** So long it counts if its URL cannot be read: an outage of others is not one of ours. */
const staleSeconds = 3600
/** The pause between two attempts at one URL: any stranger who names unknown keys makes us ask. */
const pauseSeconds = 30
/** Sets that are remembered, and fetches under way: half of these for who is no administrator's client. */
const setsMax = 1000
const fetchesMax = 16

interface KeySet {
  readonly keys: readonly ClientKey[]
  readonly fetchedAt: number
  readonly attemptedAt: number
}

const never: KeySet = { keys: [], fetchedAt: -Infinity, attemptedAt: -Infinity }

/** How far a fetch of keys may go, and one for a client that is known by a document. */
export interface Reaches {
  readonly reach: Reach
  readonly ofDocuments: Reach
}

/** Where keys are fetched from: their URL, or an issuer whose metadata have it. */
interface Place {
  /** The same for the same place. */
  readonly name: string
  readonly facts: object
  readonly fetchesMax: number
  readonly reach: Reach
  readonly jwksUri: () => Promise<string>
}

/** Undefined where the keys are registered. */
function placeOf(
  { jwks, jwks_uri: uri, issuer, made_by = 'administrator' }: KeySource,
  { reach, ofDocuments }: Reaches,
): Place | undefined {
  if (uri !== null) {
    const isOfDocument = made_by === 'document'
    return {
      // What a stranger cannot fetch is not to count against another client with the same URL.
      name: isOfDocument ? `document ${uri}` : uri,
      facts: { jwks_uri: uri.replace(/\?.*/, '') },
      fetchesMax: made_by === 'administrator' ? fetchesMax : fetchesMax / 2,
      reach: isOfDocument ? ofDocuments : reach,
      jwksUri: async () => uri,
    }
  }
  if (jwks !== null || issuer === undefined) return undefined
  const jwksUri = () => jwksUriOf(issuer, reach)
  return { name: `issuer ${issuer}`, facts: { issuer }, fetchesMax, reach, jwksUri }
}

export function openClientKeys(reaches: Reaches, clock: Clock, log: Log): ClientKeys {
  const present = () => Math.floor(clock.steady())
  const registered = new WeakMap<KeySource, readonly ClientKey[]>()
  const sets = new Map<string, KeySet>()
  const fetching = new Map<string, Promise<KeySet>>()

  /** One fetch for all who wait for the same keys; undefined where there are too many. */
  const fetchSet = (place: Place): Promise<KeySet> | undefined => {
    const underWay = fetching.get(place.name)
    if (underWay) return underWay
    if (fetching.size >= place.fetchesMax) return undefined
    const fetch = attempt(place).finally(() => fetching.delete(place.name))
    fetching.set(place.name, fetch)
    return fetch
  }

  const attempt = async ({ name, facts, reach, jwksUri }: Place): Promise<KeySet> => {
    const before = sets.get(name) ?? never
    let set: KeySet
    try {
      const read = readClientJwks(await fetchJson(await jwksUri(), reach))
      if (!read) throw new Error('the answer is no JWK Set')
      const { keys, problems } = read
      log.info({ ...facts, keys: keys.length, problems }, 'a key set was fetched')
      set = { keys, fetchedAt: present(), attemptedAt: present() }
    } catch (error) {
      log.warn({ ...facts, err: error }, 'a key set could not be fetched')
      set = { ...before, attemptedAt: present() }
    }
    remember(sets, name, set)
    return set
  }

  const fetchedFrom = async (place: Place): Promise<readonly ClientKey[]> => {
    const known = sets.get(place.name) ?? never
    if (present() - known.fetchedAt < freshSeconds) return known.keys
    const isPause = present() - known.attemptedAt < pauseSeconds
    // Where others take all places, those of before are good enough.
    const set = (isPause ? undefined : await fetchSet(place)) ?? known
    if (present() - set.fetchedAt < staleSeconds) return set.keys
    throw unavailable(`the key set at ${place.name} cannot be fetched`, pauseSeconds)
  }

  return {
    of: async source => {
      const place = placeOf(source, reaches)
      if (place) return fetchedFrom(place)
      let keys = registered.get(source)
      if (!keys) {
        keys = readClientJwks(JSON.parse(source.jwks ?? 'null'))?.keys ?? []
        registered.set(source, keys)
      }
      return keys
    },
    refetched: async source => {
      const place = placeOf(source, reaches)
      if (!place) return undefined
      const { attemptedAt, fetchedAt, keys } = sets.get(place.name) ?? never
      if (fetchedAt === present()) return keys // perhaps it was fetched for this very request
      if (present() - attemptedAt < pauseSeconds && !fetching.has(place.name)) {
        throw unavailable(`the key set at ${place.name} was fetched a moment ago`, pauseSeconds)
      }
      const set = await fetchSet(place)
      if (!set) throw unavailable('too many key sets are being fetched')
      if (set.fetchedAt < set.attemptedAt)
        throw unavailable(`the key set at ${place.name} cannot be fetched`, pauseSeconds)
      return set.keys
    },
  }
}

/** Instead of the oldest one, where there are as many as there may be. */
function remember(sets: Map<string, KeySet>, name: string, set: KeySet): void {
  sets.delete(name)
  const [oldest] = sets.keys()
  if (sets.size >= setsMax && oldest !== undefined) sets.delete(oldest)
  sets.set(name, set)
}
