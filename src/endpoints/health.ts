import type { FastifyInstance } from 'fastify'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { openReadiness } from '../installation/readiness.ts'

/**
 * GET /health/live: the process answers. GET /health/ready: it can do its work too, and goes on doing it, or
 * 503 (installation/readiness.ts).
 */
export function healthEndpoints(app: FastifyInstance, ctx: Context): void {
  const checkReadiness = openReadiness(ctx)
  app.get('/health/live', async () => ({ status: 'live' }))
  app.get('/health/ready', async (_request, reply) => {
    // As it should be, so the log has no word of it.
    if (ctx.load.drain.isDraining()) {
      return reply.code(503).header('retry-after', '1').send(isEnding.toJSON())
    }
    await checkReadiness()
    return { status: 'ready' }
  })
}

const isEnding = new OAuthError('temporarily_unavailable', 'this server is about to end, ask another one')
