import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import Type, { type Static, type TObject, type TSchema } from 'typebox'
import type { Admin } from '../admin/admin.ts'
import { etagOf } from '../admin/precondition.ts'
import { servedAdmin } from '../admin/served.ts'
import type { Context } from '../context.ts'
import { isNamed } from '../protocol/etag.ts'
import { adminPath } from './admin-path.ts'
import { authenticateCaller, type AdminCaller, type Need } from './caller.ts'
import { Problem, withTimes } from './schemas.ts'

const none = Type.Object({})

/** One thing that the admin API does, as its description says, and as it is checked. */
export interface Route<Params extends TObject, Query extends TObject, Body extends TSchema> {
  readonly method: Extract<HTTPMethods, 'GET' | 'POST' | 'PATCH' | 'DELETE'>
  /** Below `/admin/v1`. */
  readonly url: string
  /** `operationId`: a verb and a noun in camel case. */
  readonly name: string
  readonly summary: string
  readonly need: Need
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  /** What is answered, by status: one of 200, 201, 202; an answer of 204 has no schema. */
  readonly answer: { readonly status: 200 | 201 | 202; readonly schema: TSchema } | { readonly status: 204 }
  /**
   * Whether it is about one object that has an ETag: `If-Match` is heeded by its act, or `If-None-Match`
   * answered with 304.
   */
  readonly hasEtag?: true
}

/** A request that has been let in and checked. */
export interface Asked<Params extends TObject, Query extends TObject, Body extends TSchema> {
  readonly params: Static<Params>
  readonly query: Static<Query>
  readonly body: Static<Body>
  readonly caller: AdminCaller
}

const callers = new WeakMap<FastifyRequest, AdminCaller>()

/** A route whose act is typed by its schemas, among others. */
export interface AnyRoute {
  readonly description: Route<any, any, any>
  readonly act: (admin: Admin, asked: Asked<any, any, any>) => Promise<unknown>
}

/**
 * Makes a route. `act` gets who acts and what is asked for, and returns the document of the answer as the
 * layer has it: with times in seconds, of which also the ETag is made.
 */
export function route<
  Params extends TObject = typeof none,
  Query extends TObject = typeof none,
  Body extends TSchema = typeof none,
>(
  description: Route<Params, Query, Body>,
  act: (admin: Admin, asked: Asked<Params, Query, Body>) => Promise<unknown>,
): AnyRoute {
  return { description, act }
}

export function addRoute(app: FastifyInstance, ctx: Context, { description, act }: AnyRoute): void {
  const { method, url, need, answer, hasEtag = false } = description
  app.route({
    method,
    url: adminPath + url,
    schema: describe(description),
    onRequest: async request => {
      callers.set(request, await authenticateCaller(ctx, request, need))
    },
    handler: (request, reply) =>
      ctx.load.admission.admit('other', async () => {
        const caller = callers.get(request)
        if (!caller) throw new Error('unreachable: who is not let in does not come here')
        const admin = await servedAdmin(ctx, caller, request.log)
        const { params, query, body, headers } = request
        const precondition = hasEtag && method !== 'GET' ? headers['if-match'] : undefined
        const document = await act({ ...admin, precondition }, { params, query, body, caller })
        return send(request, reply, { document, answer, hasEtag })
      }),
  })
}

function send(
  { method, headers }: FastifyRequest,
  reply: FastifyReply,
  {
    document,
    answer,
    hasEtag,
  }: { document: unknown; answer: Route<any, any, any>['answer']; hasEtag: boolean },
): FastifyReply {
  if (answer.status === 204) return reply.code(204).send()
  if (hasEtag) {
    const etag = etagOf(document)
    reply.header('etag', etag)
    if (method === 'GET' && isNamed(etag, headers['if-none-match'])) return reply.code(304).send()
  }
  return reply.code(answer.status).send(withTimes(document))
}

const problems = { description: 'a problem', content: { 'application/problem+json': { schema: Problem } } }

function describe({
  name,
  summary,
  need,
  params,
  query,
  body,
  answer,
  hasEtag,
  method,
}: Route<any, any, any>) {
  const etag = { etag: { type: 'string', description: 'of this state of the object' } }
  const headers =
    hasEtag && method !== 'GET' ? Type.Object({ 'if-match': Type.Optional(Type.String()) }) : undefined
  const answers =
    answer.status === 204
      ? { 204: { description: 'done', type: 'null' } }
      : {
          [answer.status]: {
            description: 'done',
            ...(hasEtag && { headers: etag }),
            content: { 'application/json': { schema: answer.schema } },
          },
          ...(hasEtag && method === 'GET' && { 304: { description: 'it is as it was', type: 'null' } }),
        }
  return {
    operationId: name,
    summary,
    tags: [need.noun],
    ...(params && { params }),
    ...(query && { querystring: query }),
    ...(body && { body }),
    ...(headers && { headers }),
    response: { ...answers, '4xx': problems, '5xx': problems },
  }
}
