import type { FastifyInstance } from 'fastify'
import { readPulse } from '../../db/installation/pulse.ts'
import type { Clock } from '../clock.ts'
import type { Context } from '../context.ts'
import { OAuthError, unavailable } from '../errors.ts'

/** Anybody may ask, as often as he likes: the database is asked no more often than it is anyhow (src/jobs/jobs.ts). */
const pulseSeconds = 0.5

/**
 * GET /health/live: the process answers. GET /health/ready: it can do its work too, and goes on doing it, or 503: the database
 * answers and takes writes, the key ring is known to be the latest, and the root key that the database is under is in the file.
 */
export function healthEndpoints(app: FastifyInstance, { clock, db, keys, rootKeys, load }: Context): void {
  const pulse = sharedFor(pulseSeconds, clock, () => readPulse(db))
  app.get('/health/live', async () => ({ status: 'live' }))
  app.get('/health/ready', async (_request, reply) => {
    // As it should be, so the log has no word of it.
    if (load.drain.isDraining()) return reply.code(503).header('retry-after', '1').send(isEnding.toJSON())
    await pulse()
    const fault = db.writeFault.last()
    if (fault !== undefined) throw unavailable(fault)
    if (!keys.jwks().isConfirmed) throw unavailable('the key ring has not been confirmed lately')
    if (rootKeys.isBehind()) throw unavailable('the root key file lacks the key that the database is under')
    return { status: 'ready' }
  })
}

const isEnding = new OAuthError('temporarily_unavailable', 'this server is about to end, ask another one')

/** Calls within so many seconds after another share its answer, also when that is an error. */
export function sharedFor<T>(seconds: number, clock: Clock, ask: () => Promise<T>): () => Promise<T> {
  let askedAt = -Infinity
  let answer: Promise<T> | undefined
  return () => {
    if (!answer || clock.steady() - askedAt >= seconds) {
      askedAt = clock.steady()
      answer = ask()
    }
    return answer
  }
}
