import type { IncomingMessage } from 'node:http'
import { addressesOf, lookupOf, type Reach } from '../../clients/reach.ts'
import { responseTo } from '../../clients/response-to.ts'
import { isFetchable } from '../../protocol/fetched-url.ts'

/** What is sent to a receiver. */
export interface Post {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What a receiver has answered. */
export interface Answer {
  readonly status: number
  /** The beginning of it, where it is no success. */
  readonly text: string
}

/** Posts to one receiver, over few connections. */
export interface Poster {
  /** Rejects with an error that says what was wrong, within the time of the reach. */
  post(post: Post): Promise<Answer>
  close(): void
}

const bytesMax = 16 * 1024

/**
 * Opens connections to a URL that somebody else has chosen: all addresses of its host must be public or
 * allowed, and it is those that are connected to. Redirects are not followed. Rejects where one is not.
 */
export async function openPoster(
  url: URL,
  reach: Reach,
  { connectionsMax, signal }: { readonly connectionsMax: number; readonly signal: AbortSignal },
): Promise<Poster> {
  if (!isFetchable(url)) throw new Error(`${url.origin} is not https, or the URL has credentials`)
  const inTime = () => AbortSignal.any([signal, AbortSignal.timeout(reach.seconds * 1000)])
  // A name is asked for once for all that is posted: connections that come later go to the same addresses.
  const lookup = lookupOf(await addressesOf(url, reach, inTime()))
  const { Agent, request } = await (url.protocol === 'https:' ? import('node:https') : import('node:http'))
  const agent = new Agent({ keepAlive: true, maxSockets: connectionsMax })
  return {
    post: async ({ headers, body }) => {
      const sent = {
        accept: 'application/json',
        'accept-encoding': 'identity',
        'user-agent': 'mintmark',
        ...headers,
        'content-length': String(Buffer.byteLength(body)),
      }
      const options = {
        method: 'POST',
        agent,
        lookup,
        signal: inTime(),
        headers: sent,
        maxHeaderSize: 16_384,
      }
      return answerOf(await responseTo(request(url, options).end(body)))
    },
    close: () => agent.destroy(),
  }
}

/** The status counts, whatever comes after it; a success is not read but for its end. */
async function answerOf(response: IncomingMessage): Promise<Answer> {
  const { statusCode: status = 0 } = response
  const isRead = status >= 400 && status < 500
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response) {
      bytes += chunk.length
      if (bytes > bytesMax) break
      if (isRead) chunks.push(chunk)
    }
  } catch {
    // It was cut off, or is endless.
  }
  response.destroy()
  return { status, text: Buffer.concat(chunks).toString() }
}
