import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Context } from '../context.ts'
import { OAuthError, unavailable, type OAuthErrorCode } from '../errors.ts'
import { refusals } from '../http/malformed-http.ts'
import { oncePerSecond } from '../load/once-per-second.ts'
import { countOne } from '../record/counts.ts'
import { normalAddress } from '../values/addresses.ts'
import { defaultHeaders } from './default-headers.ts'

/** Answers with an error, whatever was thrown. */
export type ErrorSender = (thrown: unknown, request: FastifyRequest, reply: FastifyReply) => FastifyReply

/**
 * Makes the sender of errors as RFC 6749 §5.2 describes them, which the log and the counters are told of too.
 */
export function openErrorSender(ctx: Context): ErrorSender {
  const isNews = oncePerSecond(ctx.clock)
  const headers = defaultHeaders(ctx.config.issuer)
  return (thrown, request, reply) => {
    const error = oauthErrorOf(thrown, request)
    const { code, status, cause, message, facts } = error
    const why = cause instanceof Error ? { err: cause } : { cause }
    const details = { error: code, status, ...why, address: normalAddress(request.ip), ...facts }
    // While something is away, every request would say so.
    const isOurs = code === 'temporarily_unavailable' && status >= 500
    const isWorthSaying = !isOurs || isNews(`${message} ${cause instanceof Error ? cause.message : ''}`)
    request.log[!isWorthSaying ? 'debug' : isOurs ? 'error' : 'info'](details, message)

    // Also where the error came before the face was reached.
    reply.headers(headers)
    if (error.status === 401 || code === 'insufficient_scope') {
      reply.header('www-authenticate', challenge(ctx, code, request.headers.authorization))
    }
    countOne(ctx.counts.errors, `${code} ${status}`)
    if (error.retryAfter !== undefined) reply.header('retry-after', String(error.retryAfter))
    return reply.code(error.status).send(error.toJSON())
  }
}

/**
 * Every 401 has a challenge (RFC 9110 §11.6.1), of the scheme that was tried (RFC 6749 §5.2, RFC 6750 §3).
 */
function challenge({ config }: Context, code: OAuthErrorCode, authorization: string | undefined): string {
  const realm = `realm="${config.issuer}"`
  if (code === 'insufficient_scope') return `Bearer ${realm}, error="${code}"`
  const isBearer = authorization !== undefined && /^bearer(?: |$)/i.test(authorization)
  if (isBearer) return `Bearer ${realm}, error="invalid_token"`
  // RFC 6750 §3.1: a request without a token is not told of an error.
  return code === 'invalid_token' ? `Bearer ${realm}` : `Basic ${realm}`
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
