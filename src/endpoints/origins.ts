import type { Client } from '../clients/registry.ts'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'

/**
 * Headers that pages send along. We read the first three. Libraries add the others to every request that a
 * page makes, so to refuse one would be to refuse the page. The last stands for all that are not named, but
 * for `authorization`, and older browsers do not know it.
 */
export const allowedHeaders = [
  'authorization',
  'content-type',
  'dpop',
  'baggage',
  'cache-control',
  'if-none-match',
  'pragma',
  'sentry-trace',
  'traceparent',
  'tracestate',
  'x-requested-with',
  '*',
]

/**
 * Which pages may read answers: the exact origins of the server's setting, and of the clients that have their
 * own.
 */
export interface Origins {
  /** Whether there is any. Before the first call of `isKnown` those of the clients are not known. */
  hasAny(): boolean
  /** Whether an origin is that of the setting or of some client; a preflight does not say of which. */
  isKnown(origin: string): Promise<boolean>
}

export function openOrigins({ config, clients }: Pick<Context, 'config' | 'clients'>): Origins {
  let ofClients: ReadonlySet<string> = new Set()
  return {
    hasAny: () => config.corsOrigins.length + ofClients.size > 0,
    isKnown: async origin => {
      try {
        ofClients = await clients.registry.listOrigins()
      } catch {
        // An answer that tells of a fault should be readable too: what was known before still counts.
      }
      return config.corsOrigins.includes(origin) || ofClients.has(origin)
    },
  }
}

/**
 * Lets only the client's own pages read an answer to it. Where the client has origins of its own, other
 * pages are refused, before anything is changed; otherwise the browser keeps the answer from them.
 */
export function checkOrigin(
  { config }: Pick<Context, 'config'>,
  client: Pick<Client, 'cors_origins'>,
  request: { readonly headers: { readonly origin?: string | undefined } },
  reply: { removeHeader(name: string): unknown },
): void {
  const { origin } = request.headers
  if (origin === undefined) return
  const own = client.cors_origins === '' ? undefined : client.cors_origins.split(' ')
  if ((own ?? config.corsOrigins).includes(origin)) return
  reply.removeHeader('access-control-allow-origin')
  if (!own) return
  throw new OAuthError('invalid_request', 'this client is not for pages of this origin', {
    cause: `the client's origins are ${own.join(', ')}`,
  })
}
