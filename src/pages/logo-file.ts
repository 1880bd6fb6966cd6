import type { FastifyInstance } from 'fastify'
import { logoPath, type Look } from './look.ts'

/**
 * GET /logo: the operator's logo. Its address has its version in it, so that it is kept for good; an instance
 * that has another one, as while a new logo is rolled out, answers with what it has, and that is not kept.
 */
export function logoFile(app: FastifyInstance, { picture }: Pick<Look, 'picture'>, path = logoPath): void {
  const { bytes, type, version } = picture
  app.get<{ Querystring: { v?: unknown } }>(path, async (request, reply) => {
    const isLatest = request.query.v === version
    return (
      reply
        .removeHeader('pragma')
        .header('cache-control', isLatest ? 'public, max-age=31536000, immutable' : 'no-cache')
        // An SVG may hold scripts. As an image it runs none; opened by itself, it may not either.
        .header(
          'content-security-policy',
          "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
        )
        .type(type)
        .send(bytes)
    )
  })
}
