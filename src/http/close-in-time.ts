import type { FastifyInstance } from 'fastify'
import type { Clock } from '../clock.ts'

/** Seconds that the server, when it closes, leaves to requests under way and to idle connections. */
const closingSeconds = 15

/** Closes the server when all is answered, or time is up: Node.js cuts off no client once it closes. */
export async function closeInTime(app: FastifyInstance, clock: Clock): Promise<void> {
  const closed = new AbortController()
  void clock.pause(closingSeconds, closed.signal).then(() => app.server.closeAllConnections())
  await app.close()
  closed.abort()
}
