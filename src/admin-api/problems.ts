import { STATUS_CODES } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Context } from '../context.ts'
import { challenge } from '../endpoints/error-sender.ts'
import { OAuthError, Refusal, type RefusalCode } from '../errors.ts'
import { openErrorReader } from '../http/error-reader.ts'
import { logOf } from '../http/request-log.ts'
import { countOne } from '../record/counts.ts'
import { normalAddress } from '../values/addresses.ts'

const statuses: Readonly<Record<RefusalCode, number>> = {
  invalid: 400,
  too_large: 413,
  unsupported_media_type: 415,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  changed: 412,
  unavailable: 503,
  under_way: 409,
  another_request: 422,
}

/** Seconds after which what cannot be done now may be tried again. */
const retrySeconds: Partial<Record<RefusalCode, number>> = { unavailable: 5, under_way: 1 }

/** A body of the admin API: a key set, or a list of redirect URIs, may be long. */
export const bodyLimitBytes = 256 * 1024

/** What a refusal before any act is called, by its status; and said, where it is not as elsewhere. */
const ofRequest: ReadonlyMap<number, readonly [code: string, detail?: string]> = new Map([
  [400, ['invalid']],
  [404, ['not_found']],
  [405, ['method_not_allowed']],
  [413, ['too_large', `the body is larger than ${bodyLimitBytes} bytes`]],
  [414, ['too_long']],
  [415, ['unsupported_media_type', 'the body must be JSON: application/json']],
])

/** A problem document (RFC 9457), with the code of this server, and the member or parameter that is wrong. */
interface Problem {
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly field?: string | undefined
}

export interface Problems {
  /** Answers with a problem, whatever was thrown. */
  readonly send: (thrown: unknown, request: FastifyRequest, reply: FastifyReply) => FastifyReply
  /** What a refusal is answered with: its status and its document. */
  readonly answerOf: (
    refusal: Refusal,
    request: FastifyRequest,
  ) => { readonly status: number; readonly text: string }
}

/** Opens what makes problems of errors, which the log and the counters are told of too. */
export function openProblems(ctx: Context): Problems {
  const readError = openErrorReader(ctx)
  const tell = ({ status, code, field }: Problem, request: FastifyRequest, text: string) => {
    const facts = {
      error: code,
      status,
      operation: operationOf(request),
      field,
      address: normalAddress(request.ip),
    }
    logOf(request)[status < 500 ? 'info' : 'warn'](facts, text)
    countOne(ctx.counts.errors, `${code} ${status}`)
  }
  const ofRefusal = ({ code, text: detail, field }: Refusal, request: FastifyRequest): Problem => {
    const problem = { status: statuses[code], code, detail, field }
    tell(problem, request, detail)
    return problem
  }
  const problemOf = (thrown: unknown, request: FastifyRequest, reply: FastifyReply): Problem => {
    if (thrown instanceof Refusal) {
      const seconds = retrySeconds[thrown.code]
      if (seconds !== undefined) reply.header('retry-after', String(seconds))
      return ofRefusal(thrown, request)
    }
    const invalid = invalidField(thrown)
    if (invalid) {
      const { detail, field, isKnown } = invalid
      const problem = { status: 400, code: 'invalid', detail, field }
      // A name that is not known may be anything.
      tell(
        { ...problem, field: isKnown ? field : undefined },
        request,
        'the request is not as it is described',
      )
      return problem
    }
    const error = readError(thrown, request)
    const { status, retryAfter } = error
    if (status === 401 || error.code === 'insufficient_scope')
      reply.header('www-authenticate', challenge(ctx, withScheme(error), request.headers.authorization))
    if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter))
    const [code = error.code, detail = error.message] =
      error.code === 'invalid_request' ? (ofRequest.get(status) ?? []) : []
    return { status, code, detail }
  }
  return {
    send: (thrown, request, reply) => {
      const problem = problemOf(thrown, request, reply)
      return reply.code(problem.status).type('application/problem+json').send(documentOf(problem, request))
    },
    answerOf: (refusal, request) => {
      const problem = ofRefusal(refusal, request)
      return { status: problem.status, text: documentOf(problem, request) }
    },
  }
}

/** The name of what is asked for; undefined where there is no such thing. */
export function operationOf({ routeOptions: { schema } }: FastifyRequest): string | undefined {
  const { operationId }: { readonly operationId?: string } = Object(schema)
  return operationId
}

function documentOf({ status, code, detail, field }: Problem, { id }: FastifyRequest): string {
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[status],
    status,
    code,
    detail,
    ...(field !== undefined && { field }),
    request_id: id,
  })
}

/** Who sends no token is told how to send one. */
function withScheme(error: OAuthError): OAuthError {
  if (error.sent) return error
  const { code, message, status } = error
  return new OAuthError(code, message, { status, sent: { scheme: undefined } })
}

/** What a schema has found. */
function invalidField(
  thrown: unknown,
): { readonly detail: string; readonly field: string; readonly isKnown: boolean } | undefined {
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
  // In a record of somebody's own names, such as claims, each is one.
  const isKnown = !isUnknown && instancePath.split('/').length === 2
  return { detail: `${field}: ${isUnknown ? 'it is not known' : message}`, field, isKnown }
}
