import type { FastifyBaseLogger, FastifyRequest } from 'fastify'

/**
 * For Fastify, which would make a log for each request: most have nothing to say, and each would pay for it.
 */
export const oneLogForAll = (log: FastifyBaseLogger): FastifyBaseLogger => log

/** The log of a request, in which each line has its id. */
export function logOf({ log, id }: Pick<FastifyRequest, 'log' | 'id'>): FastifyBaseLogger {
  return log.child({ reqId: id })
}
