import { randomBytes } from 'node:crypto'
import type { Server } from 'node:http'
import {
  fastify,
  LogController,
  type FastifyHttpOptions,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import { adminDoor } from './admin-api/door.ts'
import type { Context } from './context.ts'
import { openErrorSender, type ErrorSender } from './endpoints/error-sender.ts'
import { oauthFace } from './endpoints/face.ts'
import { notFound } from './errors.ts'
import { adminConnectionsMax, refuseExcessConnections } from './http/connections.ts'
import { inStep } from './http/in-step.ts'
import { bodyLimitBytes, malformedHttpAnswerer, refuseConnect } from './http/malformed-http.ts'
import { noSchemas } from './http/no-schemas.ts'
import { hideOtherMethod, methodsOfAll, showOtherMethod } from './http/other-methods.ts'
import { proxyFieldsGuard } from './http/proxy-fields.ts'
import { logOf, oneLogForAll } from './http/request-log.ts'
import { isAboutServer, readTarget } from './http/request-target.ts'
import { unusedConnections } from './http/unused-connections.ts'
import type { Drain } from './load/drain.ts'
import { pagesFace } from './pages/face.ts'
import { normalAddress } from './values/addresses.ts'

/** What one listener is for: all, or for one of two the admin API alone, and all the rest. */
export type Faces = 'all' | 'admin API' | 'all but the admin API'

/** The listeners that the settings ask for. */
export function facesOf({ adminApi, adminPort }: Context['config']): readonly Faces[] {
  if (adminApi === 'off') return ['all but the admin API']
  return adminPort === undefined ? ['all'] : ['all but the admin API', 'admin API']
}

/**
 * The HTTP server: limits, connections and ids, which hold for every request whatever it asks for, and one
 * line for each face. A face has its own parsers, headers, refusals and errors. Does not listen.
 */
export function buildApp(
  ctx: Context,
  options: Partial<FastifyHttpOptions<Server>> = {},
  faces: Faces = 'all',
): FastifyInstance {
  const { config } = ctx
  const issuerPath = new URL(config.issuer).pathname.replace(/\/$/, '')
  const targetOf = readTarget(issuerPath)
  const sendError = openErrorSender(ctx)
  const app = fastify({
    loggerInstance: ctx.log,
    // Where each request is to be logged, that is done below: Fastify's own line has the query string in it.
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: oneLogForAll,
    genReqId: requestIds(),
    trustProxy: config.trustProxy.length > 0 && [...config.trustProxy],
    schemaController: { compilersFactory: noSchemas },
    rewriteUrl: request => {
      const target = targetOf(request)
      hideOtherMethod(request, target)
      return target
    },
    bodyLimit: bodyLimitBytes,
    // Node's own refusal of a missing Host has no body; ours is that of the face.
    http: { headersTimeout: 10_000, connectionsCheckingInterval: 2_000, requireHostHeader: false },
    requestTimeout: 15_000,
    // A connection on which nothing moves.
    connectionTimeout: 30_000,
    keepAliveTimeout: config.keepAliveSeconds * 1000,
    // While it closes, what arrives is still answered, and the connection closed with the answer.
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => {
      begin(request, reply)
      void sendError(error, request, reply)
    },
    clientErrorHandler: malformedHttpAnswerer(ctx.load.admission.stalled),
    ...options,
  })

  const isForFew = faces === 'admin API'
  refuseExcessConnections(app.server, ctx, isForFew ? adminConnectionsMax : undefined)
  // An unknown `Expect` may be ignored (RFC 9110 §10.1.1); Node would refuse it without a body.
  app.server.on('checkExpectation', (request, response) => app.routing(request, response))
  app.server.on('connect', refuseConnect)
  const begin = answerBeginner(ctx)
  app.addHook('onRequest', (request, reply, done) => {
    begin(request, reply)
    if (isAboutServer(request.raw)) return void reply.code(204).header('allow', methodsOfAll).send()
    done()
  })
  if (ctx.log.level === 'debug' || ctx.log.level === 'trace') {
    app.addHook('onResponse', async (request, reply) => logRequest(request, reply))
  }
  app.addHook('preHandler', inStep())
  closeConnectionsInDrain(app, ctx.load.drain)

  if (faces !== 'all but the admin API') adminDoor(app, ctx, sendError)
  if (isForFew) return refuseAllElse(app, sendError)
  app.register(oauthFace(ctx, sendError))
  app.register(pagesFace(ctx))
  return app
}

function refuseAllElse(app: FastifyInstance, sendError: ErrorSender): FastifyInstance {
  app.setErrorHandler(sendError)
  return app.setNotFoundHandler(() => {
    throw notFound()
  })
}

/** Shows each request as it came, but for what may not be believed, and gives each answer its id. */
function answerBeginner({ config }: Context): (request: FastifyRequest, reply: FastifyReply) => void {
  const guardProxyFields = proxyFieldsGuard(config)
  return ({ raw, id }, reply) => {
    showOtherMethod(raw)
    guardProxyFields(raw)
    reply.header('x-request-id', id)
  }
}

/**
 * From the beginning of the drain on, each answer closes its connection. Proxies keep connections, and one
 * that is closed while they send a request on it is an error of theirs: so they are told with an answer, and
 * not in between.
 */
function closeConnectionsInDrain(app: FastifyInstance, { isDraining, begin }: Drain): void {
  const closeUnused = unusedConnections(app.server)
  app.addHook('preClose', async () => {
    begin()
    closeUnused()
  })
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (isDraining()) reply.header('connection', 'close')
    done()
  })
}

/** Unique in this process and, with its first half, among all instances. */
function requestIds(): () => string {
  const instance = randomBytes(5).toString('base64url')
  let count = 0
  return () => `${instance}-${(++count).toString(36)}`
}

/**
 * One line for each request, for debugging: at the rate of refreshes it costs more than it tells. No query
 * string, no header, no body: each may hold a secret.
 */
function logRequest(request: FastifyRequest, reply: FastifyReply): void {
  const { method, routeOptions, ip } = request
  const milliseconds = Math.round(reply.elapsedTime * 10) / 10
  logOf(request).debug(
    { method, route: routeOptions.url, status: reply.statusCode, milliseconds, ip: normalAddress(ip) },
    'answered',
  )
}
