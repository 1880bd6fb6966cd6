import type { FastifyRequest } from 'fastify'
import type { Context } from '../context.ts'
import { OAuthError, unavailable } from '../errors.ts'
import { oncePerSecond } from '../load/once-per-second.ts'
import { countOne } from '../record/counts.ts'
import { normalAddress } from '../values/addresses.ts'
import { refusals } from './malformed-http.ts'
import { logOf } from './request-log.ts'

/** Says what an error is, whatever was thrown, and tells the log and the counters of it. */
export type ErrorReader = (thrown: unknown, request: FastifyRequest) => OAuthError

export function openErrorReader({ clock, counts }: Context): ErrorReader {
  const isNews = oncePerSecond(clock)
  return (thrown, request) => {
    const error = oauthErrorOf(thrown, request)
    const { code, status, cause, message, facts } = error
    const why = cause instanceof Error ? { err: cause } : { cause }
    const details = { error: code, status, ...why, address: normalAddress(request.ip), ...facts }
    // While something is away, every request would say so.
    const isOurs = code === 'temporarily_unavailable' && status >= 500
    const isWorthSaying = !isOurs || isNews(`${message} ${cause instanceof Error ? cause.message : ''}`)
    logOf(request)[!isWorthSaying ? 'debug' : isOurs ? 'error' : 'info'](details, message)
    countOne(counts.errors, `${code} ${status}`)
    return error
  }
}

/** A refusal of Fastify is the request's fault; any other error is ours, and the client may ask again. */
function oauthErrorOf(thrown: unknown, { raw }: FastifyRequest): OAuthError {
  if (thrown instanceof OAuthError) return thrown
  const { statusCode: status, code }: { statusCode?: unknown; code?: unknown } = Object(thrown)
  const isFastify = typeof code === 'string' && code.startsWith('FST_')
  // Its sender has gone away in the middle of it: this answer is not read, but counts as what it is.
  if (!isFastify && raw.destroyed && raw.complete === false)
    return new OAuthError('invalid_request', 'the request was not sent to its end', { cause: code })
  if (!isFastify || typeof status !== 'number' || status >= 500) return unavailable(thrown)
  return new OAuthError('invalid_request', refusals.get(status) ?? 'the request is malformed', {
    status,
    cause: code,
  })
}
