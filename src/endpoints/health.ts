import type { FastifyInstance } from 'fastify'
import { readPulse } from '../../db/pulse.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'

/**
 * GET /health/live: the process answers. GET /health/ready: it can do its work too, or 503: the database answers and takes
 * writes, and the key ring is known to be the latest.
 */
export function healthEndpoints(app: FastifyInstance, { db, keys }: Context): void {
  app.get('/health/live', async () => ({ status: 'live' }))
  app.get('/health/ready', async () => {
    await readPulse(db)
    if (!keys.jwks().isConfirmed) throw unavailable('the key ring has not been confirmed lately')
    return { status: 'ready' }
  })
}
