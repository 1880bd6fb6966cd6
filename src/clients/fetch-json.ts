import type { IncomingMessage } from 'node:http'
import { isFetchable } from '../protocol/fetched-url.ts'
import { parseJson } from '../values/json.ts'
import { addressesOf, lookupOf, type Reach } from './reach.ts'
import { responseTo } from './response-to.ts'

const bytesMax = 64 * 1024
const redirectsMax = 3

/** A key set (RFC 7517 §8.5.2); some servers call it no more than JSON. */
const jwksTypes = 'application/jwk-set+json, application/json'

/** What is taken for an answer. */
export interface FetchLimits {
  readonly accept?: string
  readonly bytesMax?: number
  readonly redirectsMax?: number
}

/** What was wrong with an answer of a public or allowed address, without a word of it: its owner may know. */
export class AnswerError extends Error {
  override readonly name = 'AnswerError'
}

/**
 * Fetches a document, a key set unless told, and parses its JSON. Somebody else chooses the URL, so nothing
 * about it is trusted: every address it leads to must be public or allowed, the names' answers and all
 * redirects included, and it is those very addresses that are connected to. Rejects with an error that says
 * what was wrong, within the time.
 */
export async function fetchJson(uri: string, reach: Reach, accept = jwksTypes): Promise<unknown> {
  return (await fetchAnswer(uri, reach, { accept })).json
}

/** The same, with the headers of the answer. */
export async function fetchAnswer(
  uri: string,
  reach: Reach,
  { accept = jwksTypes, bytesMax: most = bytesMax, redirectsMax: leaps = redirectsMax }: FetchLimits,
): Promise<{ readonly json: unknown; readonly headers: IncomingMessage['headers'] }> {
  const signal = AbortSignal.timeout(reach.seconds * 1000)
  let url = new URL(uri)
  for (let redirects = 0; redirects <= leaps; redirects++) {
    if (!isFetchable(url)) throw new Error(`${url.origin} is not https, or the URL has credentials`)
    const addresses = await addressesOf(url, reach, signal)
    const response = await get(url, { addresses, accept, signal })
    const next = redirectOf(response, url)
    if (!next) return { json: parseAnswer(await bodyOf(response, most)), headers: response.headers }
    response.destroy()
    url = next
  }
  throw new AnswerError(leaps === 0 ? 'the answer is a redirect' : `more than ${leaps} redirects`)
}

function parseAnswer(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    throw new AnswerError('the answer is no JSON')
  }
}

interface Getting {
  readonly addresses: readonly string[]
  readonly accept: string
  readonly signal: AbortSignal
}

async function get(url: URL, { addresses, accept, signal }: Getting): Promise<IncomingMessage> {
  // Only now: they would be a tenth of the time that every start takes.
  const client = await (url.protocol === 'https:' ? import('node:https') : import('node:http'))
  // The connection asks again what the name means, and gets the answer that was looked at.
  const lookup = lookupOf(addresses)
  const headers = {
    accept,
    'accept-encoding': 'identity',
    'user-agent': 'mintmark',
  }
  const options = { agent: false, lookup, signal, headers, maxHeaderSize: 16 * 1024 }
  return responseTo(client.get(url, options))
}

const redirectStatuses: readonly (number | undefined)[] = [301, 302, 303, 307, 308]

function redirectOf({ statusCode, headers }: IncomingMessage, url: URL): URL | undefined {
  if (!redirectStatuses.includes(statusCode)) return undefined
  const next = URL.parse(headers.location ?? '', url.href)
  if (!next || headers.location === undefined) throw new AnswerError('a redirect leads nowhere')
  return next
}

/** The whole of an answer of 200 that is not compressed and not large. The errors show nothing of it. */
export async function bodyOf(response: IncomingMessage, most = bytesMax): Promise<string> {
  try {
    if (response.statusCode !== 200) throw new AnswerError(`the answer has the status ${response.statusCode}`)
    if (response.headers['content-encoding'] !== undefined) throw new AnswerError('the answer is compressed')
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of response) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > most) throw new AnswerError(`the answer is larger than ${most} bytes`)
    }
    return Buffer.concat(chunks).toString()
  } finally {
    response.destroy()
  }
}
