import type { FastifyInstance } from 'fastify'
import type { Context } from '../context.ts'
import { isNamed } from '../protocol/etag.ts'

/**
 * GET /.well-known/jwks.json: the public half of the key ring (RFC 7517 §5), from memory. A server that has
 * not heard of the ring's latest state for a while still answers, but the answer must not be cached; so does
 * one whose installation has moved away, and the ring with it.
 */
export function jwksEndpoint(app: FastifyInstance, { keys, standing }: Context): void {
  app.get('/.well-known/jwks.json', async (request, reply) => {
    const { body, etag, maxAgeSeconds, isConfirmed } = keys.jwks()
    const isLatest = isConfirmed && standing.keysNeededUntil() === undefined
    reply
      .removeHeader('pragma')
      .header('cache-control', isLatest ? `public, max-age=${maxAgeSeconds}` : 'no-cache')
      .header('etag', etag)
    if (isNamed(etag, request.headers['if-none-match'])) return reply.code(304).send()
    return reply.type('application/json').send(body)
  })
}
