import type { FastifyInstance } from 'fastify'
import type { Context } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { openReadiness } from '../installation/readiness.ts'

/**
 * GET /health/live: the process answers. GET /health/ready: it and the other workers can do their work too,
 * and go on doing it, or 503 (installation/readiness.ts).
 */
export function healthEndpoints(app: FastifyInstance, ctx: Context): void {
  const checkReadiness = openReadiness(ctx)
  app.get('/health/live', async () => ({ status: 'live' }))
  app.get('/health/ready', async (_request, reply) => {
    // As it should be, so the log has no word of it.
    const reason = ctx.load.drain.isDraining() ? isEnding : ctx.team.isComplete() ? undefined : isStarting
    if (reason) return reply.code(503).header('retry-after', '1').send(reason.toJSON())
    await checkReadiness()
    return { status: 'ready' }
  })
}

const isEnding = new OAuthError('temporarily_unavailable', 'this server is about to end, ask another one')
const isStarting = new OAuthError('temporarily_unavailable', 'not all workers of this server have started')
