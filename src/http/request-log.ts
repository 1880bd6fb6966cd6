import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { LineLog } from '../record/restore-log.ts'

/**
 * For Fastify, which would make a log for each request: most have nothing to say, and each would pay for it.
 */
export const oneLogForAll = (log: FastifyBaseLogger): FastifyBaseLogger => log

/** The log of a request, in which each line has its id. */
export function logOf({ log, id }: Pick<FastifyRequest, 'log' | 'id'>): FastifyBaseLogger {
  return log.child({ reqId: id })
}

/** The same, made where a line is written: few requests of administrators' programs have anything to say. */
export function laterLogOf(request: Pick<FastifyRequest, 'log' | 'id'>): LineLog {
  return {
    info: (facts, text) => logOf(request).info(facts, text),
    warn: (facts, text) => logOf(request).warn(facts, text),
  }
}
