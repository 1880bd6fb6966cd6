import type { FastifyInstance } from 'fastify'
import { readPulse } from '../../db/pulse.ts'
import type { Context } from '../context.ts'
import { unavailable } from '../errors.ts'

/**
 * GET /health/live: the process answers. GET /health/ready: it can do its work too, or 503: the database answers and takes
 * writes, the key ring is known to be the latest, and the root key that the database is under is in the file.
 */
export function healthEndpoints(app: FastifyInstance, { db, keys, rootKeys }: Context): void {
  app.get('/health/live', async () => ({ status: 'live' }))
  app.get('/health/ready', async () => {
    await readPulse(db)
    if (!keys.jwks().isConfirmed) throw unavailable('the key ring has not been confirmed lately')
    if (rootKeys.isBehind()) throw unavailable('the root key file lacks the key that the database is under')
    return { status: 'ready' }
  })
}
