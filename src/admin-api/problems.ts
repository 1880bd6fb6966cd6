import { STATUS_CODES } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Context } from '../context.ts'
import { challenge } from '../endpoints/error-sender.ts'
import { OAuthError, Refusal, type RefusalCode } from '../errors.ts'
import { openErrorReader } from '../http/error-reader.ts'

const statuses: Readonly<Record<RefusalCode, number>> = {
  invalid: 400,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  changed: 412,
  unavailable: 503,
}

/** Seconds after which what cannot be done now may be tried again. */
const retrySeconds = 5

/** A problem document (RFC 9457), with the code of this server, and the member or parameter that is wrong. */
interface Problem {
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly field?: string | undefined
}

/** Makes the sender of errors, whatever was thrown, which the log and the counters are told of too. */
export function openProblemSender(ctx: Context) {
  const readError = openErrorReader(ctx)
  const problemOf = (thrown: unknown, request: FastifyRequest, reply: FastifyReply): Problem => {
    if (thrown instanceof Refusal) {
      const { code, text: detail, field } = thrown
      if (code === 'unavailable') reply.header('retry-after', String(retrySeconds))
      return { status: statuses[code], code, detail, field }
    }
    const invalid = invalidField(thrown)
    if (invalid) return { status: 400, code: 'invalid', ...invalid }
    const error = readError(thrown, request)
    const { code, status, message: detail, retryAfter } = error
    if (status === 401 || code === 'insufficient_scope')
      reply.header('www-authenticate', challenge(ctx, withScheme(error), request.headers.authorization))
    if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter))
    return { status, code, detail }
  }
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const { status, code, detail, field } = problemOf(thrown, request, reply)
    const problem = {
      type: 'about:blank',
      title: STATUS_CODES[status],
      status,
      code,
      detail,
      ...(field !== undefined && { field }),
      request_id: request.id,
    }
    return reply.code(status).type('application/problem+json').send(JSON.stringify(problem))
  }
}

/** Who sends no token is told how to send one. */
function withScheme(error: OAuthError): OAuthError {
  if (error.sent) return error
  const { code, message, status } = error
  return new OAuthError(code, message, { status, sent: { scheme: undefined } })
}

/** What a schema has found. */
function invalidField(thrown: unknown): Pick<Problem, 'detail' | 'field'> | undefined {
  const { validation, validationContext }: { validation?: unknown; validationContext?: unknown } =
    Object(thrown)
  if (!Array.isArray(validation)) return undefined
  const [{ instancePath = '', message = 'it is not valid', params = {} } = {}] = validation as readonly {
    readonly instancePath?: string
    readonly message?: string
    readonly params?: { readonly additionalProperties?: readonly string[] }
  }[]
  const [extra] = params.additionalProperties ?? []
  const path = [...instancePath.split('/').slice(1), ...(extra === undefined ? [] : [extra])].join('.')
  const field = path === '' ? String(validationContext) : path
  const isUnknown = extra !== undefined || message === 'schema is false'
  return { detail: `${field}: ${isUnknown ? 'it is not known' : message}`, field }
}
