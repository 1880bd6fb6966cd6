import type { FastifyInstance } from 'fastify'
import { readRevision } from '../../db/installation.ts'
import type { Context } from '../context.ts'

/** GET /health/live: the process answers. GET /health/ready: it can do its work too, else 503. */
export function healthEndpoints(app: FastifyInstance, { db }: Context): void {
  app.get('/health/live', async () => ({ status: 'live' }))
  app.get('/health/ready', async () => {
    await readRevision(db)
    return { status: 'ready' }
  })
}
