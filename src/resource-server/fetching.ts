import { BearerError } from './bearer-error.ts'

export interface FetchOptions {
  readonly fetch: typeof fetch
  readonly accept: string
  /** Asks every cache on the way to look for a newer one. */
  readonly isForced?: boolean
  /** The ETag of what is here already. */
  readonly etag?: string | undefined
}

export interface Document {
  /** Undefined when what is here already is still the latest. */
  readonly text: string | undefined
  readonly etag: string | undefined
  /** How long it may be kept by what HTTP says, in seconds; undefined when it says nothing. */
  readonly maxAgeSeconds: number | undefined
}

const timeoutMilliseconds = 5000
const bytesMax = 8 * 1024 * 1024

/**
 * Fetches a document of the authorization server. Rejects with `temporarily_unavailable` for whatever goes
 * wrong.
 */
export async function fetchDocument(url: string, options: FetchOptions): Promise<Document> {
  const { etag, isForced } = options
  try {
    const response = await options.fetch(url, {
      headers: {
        accept: options.accept,
        ...(etag !== undefined && { 'if-none-match': etag }),
        ...(isForced && { 'cache-control': 'no-cache' }),
      },
      // The document lies where the metadata say, and nowhere else.
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMilliseconds),
    })
    const about = {
      etag: response.headers.get('etag') ?? etag,
      maxAgeSeconds: maxAgeOf(response.headers),
    }
    if (response.status === 304 && etag !== undefined) return { ...about, text: undefined }
    if (!response.ok) {
      await response.body?.cancel()
      throw new Error(`it answered ${response.status}`)
    }
    return { ...about, text: await readText(response) }
  } catch (error) {
    throw unavailable(`${url} cannot be fetched`, error)
  }
}

export function unavailable(what: string, cause: unknown): BearerError {
  return new BearerError('temporarily_unavailable', { cause: new Error(what, { cause }) })
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > bytesMax) throw new Error(`it is larger than ${bytesMax} bytes`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

/** RFC 9111 §4.2.1 and §4.2.3: for how many more seconds it is fresh, also if a cache on the way had it. */
function maxAgeOf(headers: Headers): number | undefined {
  const maxAge = /(?:^|[\s,])max-age="?(\d{1,9})/.exec(headers.get('cache-control') ?? '')?.[1]
  if (maxAge === undefined) return undefined
  const age = /^\d{1,9}$/.exec(headers.get('age') ?? '')?.[0] ?? '0'
  return Math.max(0, Number(maxAge) - Number(age))
}

/** Whether the document cannot be changed on the way. */
export function isSafe(url: string): boolean {
  const { protocol, hostname } = URL.parse(url) ?? {}
  const isLoopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname ?? '')
  return protocol === 'https:' || (protocol === 'http:' && isLoopback)
}
