import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import { unavailable } from '../errors.ts'
import { hostOfDocument, isDocumentUrl } from '../protocol/document-url.ts'
import type { Log } from '../record/log.ts'
import type { Metric } from '../upkeep/metric.ts'
import { readClientDocument, type ReadDocument } from './client-document.ts'
import { AnswerError, fetchAnswer } from './fetch-json.ts'
import { isTaken } from './open-reach.ts'
import type { Reach } from './reach.ts'

/** The documents by which clients are known that no administrator has made. */
export interface ClientDocuments {
  /** Whether a client with this id would be known by a document. */
  takes(id: string): boolean
  /**
   * What the document of such a client says, as far as is known. 503 where too many are being fetched, among
   * which one that `isKept`, as somebody has allowed it something, has places of its own.
   */
  of(id: string, isKept: boolean): Promise<FoundDocument>
}

export type FoundDocument =
  | ReadDocument
  /** Its host does not answer. Why is not told, which would show what is in our own network. */
  | { readonly kind: 'unreachable'; readonly retryAfter: number }

/** For how long a document counts without a look at its URL, in seconds; between these, what HTTP says. */
const freshSeconds = { least: 60, usual: 600, most: 86_400 }
/** So long it counts if its host does not answer: an outage of the client's is not one of ours. */
const staleSeconds = 3600
/** The pause after an attempt that came to nothing: any stranger can make us ask. */
const pauseSeconds = 10
/** Documents that are remembered, and fetches under way: of all, and from one host. */
const documentsMax = 1000
const fetchesMax = 16
const fetchesOfHostMax = 2
/** Fetches from one host in a minute. */
const hostFetchesMax = 30
/** What the draft recommends (§6.6), and twice as much for long lists of keys. */
const bytesMax = 10 * 1024

interface Known {
  readonly document: FoundDocument
  /** Steady time: until when it is good without a look. */
  readonly freshUntil: number
  /** The last document that was good, and since when it is known. */
  readonly good: ReadDocument | undefined
  readonly goodAt: number
}

export interface DocumentsOptions {
  readonly hosts: Config['clientDocumentHosts']
  readonly reach: Reach
  readonly clock: Clock
  readonly log: Log
}

/** Opens them. Nothing is fetched from hosts that the operator does not take. */
export function openClientDocuments({ hosts, reach, clock, log }: DocumentsOptions): {
  readonly documents: ClientDocuments
  readonly metrics: readonly Metric[]
} {
  const present = () => Math.floor(clock.steady())
  const known = new Map<string, Known>()
  const fetching = new Map<string, Promise<Known>>()
  const counts = { good: 0, refused: 0, unreachable: 0 }
  const mayAsk = hostLimits(present)

  const attempt = async (id: string): Promise<Known> => {
    const before = known.get(id)
    const { document, freshFor } = await fetchDocument(id, reach, log)
    counts[document.kind]++
    const now = present()
    const isGood = document.kind === 'good'
    const next: Known = {
      document: document.kind === 'unreachable' ? (lately(before, now) ?? document) : document,
      freshUntil: now + freshFor,
      good: isGood ? document : document.kind === 'unreachable' ? before?.good : undefined,
      goodAt: isGood ? now : (before?.goodAt ?? -Infinity),
    }
    known.delete(id)
    const [oldest] = known.keys()
    if (known.size >= documentsMax && oldest !== undefined) known.delete(oldest)
    known.set(id, next)
    return next
  }

  /** One fetch for all who wait for the same URL; undefined where there are too many. */
  const fetchOnce = (id: string, isKept: boolean): Promise<Known> | undefined => {
    const underWay = fetching.get(id)
    if (underWay) return underWay
    const host = hostOfDocument(id)
    const ofHost = [...fetching.keys()].filter(other => hostOfDocument(other) === host).length
    // Strangers, who can make any number of URLs up, do not keep out whom people use.
    const share = isKept ? 2 : 1
    if (fetching.size >= fetchesMax * share || ofHost >= fetchesOfHostMax * share) return undefined
    if (!isKept && !mayAsk(host)) return undefined
    const fetch = attempt(id).finally(() => fetching.delete(id))
    fetching.set(id, fetch)
    return fetch
  }

  return {
    documents: {
      takes: id => isDocumentUrl(id) && isTaken(hosts, hostOfDocument(id)),
      of: async (id, isKept) => {
        const found = known.get(id)
        if (found && present() < found.freshUntil) return found.document
        const document = (await fetchOnce(id, isKept))?.document ?? lately(found, present())
        if (document) return document
        throw unavailable('too many documents of clients are being fetched', pauseSeconds)
      },
    },
    metrics: [
      {
        kind: 'counter',
        name: 'mintmark_client_documents_total',
        help: 'Documents of clients that were fetched, by outcome (good, refused, unreachable)',
        labels: ['outcome'],
        samples: function* () {
          for (const [outcome, count] of Object.entries(counts)) yield [{ outcome }, count]
        },
      },
    ],
  }
}

function lately(before: Known | undefined, now: number): ReadDocument | undefined {
  return before?.good && now - before.goodAt < staleSeconds ? before.good : undefined
}

/** Says whether a host may be asked once more in this minute. */
function hostLimits(present: () => number): (host: string) => boolean {
  let minute = 0
  let asked = new Map<string, number>()
  return host => {
    const now = Math.floor(present() / 60)
    if (now !== minute) asked = new Map()
    minute = now
    const count = asked.get(host) ?? 0
    if (count >= hostFetchesMax) return false
    asked.set(host, count + 1)
    return true
  }
}

const accept = 'application/json'

async function fetchDocument(
  id: string,
  reach: Reach,
  log: Log,
): Promise<{ readonly document: FoundDocument; readonly freshFor: number }> {
  try {
    const { json, headers } = await fetchAnswer(id, reach, { accept, bytesMax, redirectsMax: 0 })
    if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(headers['content-type'] ?? ''))
      throw new AnswerError('the answer is not of the type application/json')
    const document = readClientDocument(id, json)
    const { kind } = document
    const facts = { client_id: id, ...(kind === 'refused' && { reason: document.reason }) }
    log.info(facts, "a client's document was fetched")
    return { document, freshFor: kind === 'good' ? freshFor(headers['cache-control']) : pauseSeconds }
  } catch (error) {
    log.warn({ client_id: id, err: error }, "a client's document could not be fetched")
    const document: FoundDocument =
      error instanceof AnswerError
        ? { kind: 'refused', reason: error.message }
        : { kind: 'unreachable', retryAfter: pauseSeconds }
    return { document, freshFor: pauseSeconds }
  }
}

/** By what HTTP says (RFC 9111 §5.2.2.1), within our own bounds. */
function freshFor(cacheControl = ''): number {
  if (/\bno-(?:store|cache)\b/i.test(cacheControl)) return freshSeconds.least
  const said = /(?:^|[\s,])max-age="?(\d{1,9})/i.exec(cacheControl)?.[1]
  if (said === undefined) return freshSeconds.usual
  return Math.min(Math.max(Number(said), freshSeconds.least), freshSeconds.most)
}
