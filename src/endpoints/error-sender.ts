import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Context } from '../context.ts'
import type { OAuthError, SentToken } from '../errors.ts'
import { openErrorReader } from '../http/error-reader.ts'
import { clientAlgs } from '../keys/jws.ts'
import { defaultHeaders } from './default-headers.ts'

/** Answers with an error, whatever was thrown. */
export type ErrorSender = (thrown: unknown, request: FastifyRequest, reply: FastifyReply) => FastifyReply

/**
 * Makes the sender of errors as RFC 6749 §5.2 describes them, which the log and the counters are told of too.
 */
export function openErrorSender(ctx: Context): ErrorSender {
  const readError = openErrorReader(ctx)
  const headers = defaultHeaders(ctx.config.issuer)
  return (thrown, request, reply) => {
    const error = readError(thrown, request)
    const { code, status, retryAfter } = error
    // Also where the error came before the face was reached.
    reply.headers(headers)
    if (status === 401 || code === 'insufficient_scope') {
      reply.header('www-authenticate', challenge(ctx, error, request.headers.authorization))
    }
    if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter))
    return reply.code(status).send(error.toJSON())
  }
}

/**
 * Every 401 has a challenge (RFC 9110 §11.6.1), of the scheme that was tried (RFC 6749 §5.2, RFC 6750 §3).
 */
export function challenge(
  { config }: Pick<Context, 'config'>,
  error: OAuthError,
  authorization: string | undefined,
): string {
  const realm = `realm="${config.issuer}"`
  if (error.sent) return tokenChallenge(realm, error, error.sent)
  const { code } = error
  if (code === 'insufficient_scope') return `Bearer ${realm}, error="${code}"`
  const isBearer = authorization !== undefined && /^bearer(?: |$)/i.test(authorization)
  if (isBearer) return `Bearer ${realm}, error="invalid_token"`
  // RFC 6750 §3.1: a request without a token is not told of an error.
  return code === 'invalid_token' ? `Bearer ${realm}` : `Basic ${realm}`
}

const proofAlgs = `algs="${clientAlgs.join(' ')}"`

/** RFC 6750 §3 and RFC 9449 §7.1: both ways to send a token, where there was none, and then no error. */
function tokenChallenge(
  realm: string,
  { code, message }: OAuthError,
  { scheme, scope, authentication: { acr, maxAge } = {} }: SentToken,
): string {
  if (scheme === undefined) return `Bearer ${realm}, DPoP ${realm}, ${proofAlgs}`
  const parameters = [
    `${realm}, error="${code}", error_description="${message}"`,
    ...(scope === undefined ? [] : [`scope="${scope}"`]),
    ...(acr === undefined ? [] : [`acr_values="${acr}"`]),
    ...(maxAge === undefined ? [] : [`max_age="${maxAge}"`]),
    ...(scheme === 'DPoP' ? [proofAlgs] : []),
  ]
  return `${scheme} ${parameters.join(', ')}`
}
