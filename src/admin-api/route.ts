import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import Type, { type Static, type TObject, type TSchema } from 'typebox'
import type { Admin } from '../admin/admin.ts'
import { doOnce, type KeptAnswer, type Outcome } from '../admin/kept-answers.ts'
import { etagOf } from '../admin/precondition.ts'
import { servedAdmin } from '../admin/served.ts'
import type { Context } from '../context.ts'
import { Refusal } from '../errors.ts'
import { laterLogOf, logOf } from '../http/request-log.ts'
import { isNamed } from '../protocol/etag.ts'
import { nameOf } from '../record/actor.ts'
import { isObject } from '../values/json.ts'
import { adminPath } from './admin-path.ts'
import { callerLetIn, letIn, scopesFor, type AdminCaller, type Need } from './caller.ts'
import type { Problems } from './problems.ts'
import { withTimes } from './schemas.ts'
import { withUpload, type Received, type Upload } from './upload.ts'

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
  readonly upload?: Upload
  /** What is answered, by status: one of 200, 201, 202; an answer of 204 has no schema. */
  readonly answer:
    | {
        readonly status: 200 | 201 | 202
        readonly schema: TSchema
        /** JSON, unless told. */
        readonly type?: string
      }
    | { readonly status: 204 }
  /** Those that it heeds beside the usual ones. */
  readonly headers?: Readonly<Record<string, TSchema>>
  /**
   * Whether it is about one object that has an ETag: `If-Match` is heeded by its act, or `If-None-Match`
   * answered with 304.
   */
  readonly hasEtag?: boolean
  /** Members of the answer that are not of that object, but say more: its ETag is made without them. */
  readonly beside?: readonly string[]
  /** Where the object of the answer is, below `/admin/v1`. */
  readonly location?: (document: { readonly id: string }) => string
}

/** A request that has been let in and checked. */
export interface Asked<Params extends TObject, Query extends TObject, Body extends TSchema> {
  readonly params: Static<Params>
  readonly query: Static<Query>
  readonly body: Static<Body>
  /** The file, where one is sent. */
  readonly received: Received | undefined
  readonly caller: AdminCaller
}

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

export interface RouteServices {
  readonly ctx: Context
  readonly problems: Problems
}

export function addRoute(
  app: FastifyInstance,
  services: RouteServices,
  { description, act }: AnyRoute,
): void {
  const { ctx } = services
  const { method, url, need, upload, answer, hasEtag = false, beside = [], location } = description
  app.route({
    method,
    url: adminPath + url,
    schema: describe(description),
    onRequest: letIn(ctx, need),
    handler: async (request, reply) => {
      const caller = callerLetIn(request)
      const log = laterLogOf(request)
      const perform = async (received?: Received): Promise<KeptAnswer> => {
        const admin = servedAdmin(ctx, caller, log)
        const { params, query, body, headers } = request
        const precondition = hasEtag && method !== 'GET' ? headers['if-match'] : undefined
        const document = await act({ ...admin, precondition }, { params, query, body, received, caller })
        if (answer.status === 204) return { status: 204 }
        const etag = hasEtag && method !== 'DELETE' ? etagOf(without(document, beside)) : undefined
        return { status: answer.status, etag, text: JSON.stringify(withTimes(document)) }
      }
      // Shed after log-ins, since who ends what goes wrong must get through; and no program takes all places.
      const source = nameOf(caller.actor)
      const admit = (received?: Received) => {
        const content = { request, caller: source, body: received?.digest ?? request.body }
        const work = () => performOnce(services, content, () => perform(received))
        return ctx.load.admission.admit('other', () => ctx.load.rests(source, work), source)
      }
      const outcome = upload
        ? await withUpload(upload, request, servedAdmin(ctx, caller, log), async received => {
            const answer = await admit(received)
            return { answer, isDone: !answer.isRepeated && answer.answer.status < 400 }
          })
        : await admit()
      if (location && outcome.answer.text !== undefined && outcome.answer.status < 400)
        reply.header('location', adminPath + location(JSON.parse(outcome.answer.text)))
      return send(request, reply, outcome)
    },
  })
}

/** Of a POST with a key, the first answer counts, also where it is a refusal of the act. */
async function performOnce(
  { ctx, problems }: RouteServices,
  { request, caller, body }: { request: FastifyRequest; readonly caller: string; readonly body: unknown },
  perform: () => Promise<KeptAnswer>,
): Promise<Outcome> {
  const { method, url, headers } = request
  const header = method === 'POST' ? headers['idempotency-key'] : undefined
  if (header === undefined) return { answer: await perform(), isRepeated: false }
  // Many clients send it without the quotes of a string (RFC 9651 §3.3.3).
  const key = String(header).replace(/^"(.*)"$/, '$1')
  const content = JSON.stringify([method, url, body, headers['if-match'], callerLetIn(request).isLimited])
  return doOnce({ ...ctx, log: logOf(request) }, { caller, key, content }, async () => {
    try {
      return await perform()
    } catch (error) {
      const refused = error instanceof Refusal && problems.answerOf(error, request)
      if (refused && refused.status < 500) return refused
      throw error
    }
  })
}

function send(
  { method, headers }: FastifyRequest,
  reply: FastifyReply,
  { answer: { status, etag, text }, isRepeated }: Outcome,
): FastifyReply {
  if (isRepeated) reply.header('idempotency-replayed', 'true')
  if (etag !== undefined) {
    reply.header('etag', etag)
    const isRead = method === 'GET' || method === 'HEAD'
    if (isRead && isNamed(etag, headers['if-none-match'])) return reply.code(304).send()
  }
  if (text === undefined) return reply.code(status).send()
  const type = status < 400 ? 'application/json; charset=utf-8' : 'application/problem+json'
  return reply.code(status).type(type).send(text)
}

function without(document: unknown, names: readonly string[]): unknown {
  if (names.length === 0 || !isObject(document)) return document
  return Object.fromEntries(Object.entries(document).filter(([name]) => !names.includes(name)))
}

const IfMatch = Type.String({
  maxLength: 1024,
  description: 'the `ETag` of the state that is to be changed: another one is 412',
})

const IfNoneMatch = Type.String({
  maxLength: 1024,
  description: 'the `ETag` of the state that is known: the same one is 304',
})

/** draft-ietf-httpapi-idempotency-key-header §2.1 */
const IdempotencyKey = Type.String({
  pattern: '^(?:[!#-[\\]-~]{1,255}|"[!#-[\\]-~]{1,255}")$',
  maxLength: 257,
  description:
    'a name of your own for this request, such as a new UUID: repeated within a day, it has the first answer',
})

/** The answers that are problems are the same everywhere: open-api.ts adds them. */
export function describe({
  name,
  summary,
  need,
  params,
  query = Type.Object({}, { additionalProperties: false }),
  body,
  upload,
  answer,
  headers: ownHeaders,
  hasEtag,
  method,
}: Route<any, any, any>) {
  const etag = { etag: { type: 'string', description: 'of this state of the object' } }
  const headers = Type.Object({
    ...ownHeaders,
    ...(hasEtag && method !== 'GET' && answer.status !== 201 && { 'if-match': Type.Optional(IfMatch) }),
    ...(hasEtag && method === 'GET' && { 'if-none-match': Type.Optional(IfNoneMatch) }),
    ...(method === 'POST' && { 'idempotency-key': Type.Optional(IdempotencyKey) }),
  })
  const answers =
    answer.status === 204
      ? { 204: { description: 'done', type: 'null' } }
      : {
          [answer.status]: {
            description: 'done',
            ...(hasEtag && method !== 'DELETE' && { headers: etag }),
            content: { [answer.type ?? 'application/json']: { schema: answer.schema } },
          },
          ...(hasEtag && method === 'GET' && { 304: { description: 'it is as it was', type: 'null' } }),
        }
  return {
    operationId: name,
    summary,
    tags: [need.noun === 'all' ? 'server' : need.noun],
    // Each of them is enough.
    security: scopesFor(need).map(scope => ({ token: [scope] })),
    ...(params && { params }),
    querystring: query,
    ...(body && { body }),
    // It is looked at as it arrives.
    ...(upload && { body: {}, consumes: [...upload.types] }),
    headers,
    response: answers,
  }
}
