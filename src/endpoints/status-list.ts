import type { FastifyInstance } from 'fastify'
import type { Context } from '../context.ts'
import { statusListTtl } from '../endings/status-lists.ts'
import { OAuthError } from '../errors.ts'
import { isNamed } from '../protocol/etag.ts'
import { statusListUri } from '../protocol/status-list.ts'

/**
 * GET /status-lists/{n} (draft-ietf-oauth-status-list §8): a signed list of what was revoked, the same for
 * everybody; and GET /status-lists, which names them all (§9). No list of an earlier time can be had (§8.4).
 */
export function statusListEndpoints(app: FastifyInstance, { config, clock, statusLists }: Context): void {
  // Public, without credentials, so that a browser may read it from anywhere (§8.1).
  const open = { config: { cors: { origin: '*', methods: ['GET'], allowedHeaders: ['*'] } } }

  app.get('/status-lists', open, async (_request, reply) => {
    reply.header('cache-control', `public, max-age=${statusListTtl(config)}`).removeHeader('pragma')
    return { status_lists: statusLists.numbers().map(number => statusListUri(config.issuer, number)) }
  })

  app.get<{ Params: { number: string }; Querystring: { time?: unknown } }>(
    '/status-lists/:number',
    open,
    async (request, reply) => {
      if (request.query.time !== undefined) {
        throw new OAuthError('invalid_request', 'there are no lists of an earlier time', { status: 501 })
      }
      const number = listNumber(request.params.number)
      const list = number === undefined ? undefined : await statusLists.find(number)
      if (!list)
        throw new OAuthError('invalid_request', 'there is no status list of this number', { status: 404 })

      const isGzip = request.accepts().encoding(['gzip', 'identity']) === 'gzip'
      const etag = isGzip ? list.gzippedEtag : list.etag
      reply
        .removeHeader('pragma')
        .header('cache-control', `public, max-age=${Math.max(0, list.freshUntil - clock.now())}`)
        .header('vary', 'accept-encoding')
        .header('etag', etag)
      if (isNamed(etag, request.headers['if-none-match'])) return reply.code(304).send()
      if (isGzip) reply.header('content-encoding', 'gzip')
      return reply.type('application/statuslist+jwt').send(isGzip ? list.gzipped : list.jwt)
    },
  )
}

/** One spelling for each number, and none that is too large to be exact. */
function listNumber(text: string): number | undefined {
  return /^(0|[1-9]\d{0,9})$/.test(text) ? Number(text) : undefined
}
