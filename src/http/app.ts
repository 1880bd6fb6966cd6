import { randomBytes } from 'node:crypto'
import type { Server } from 'node:http'
import accepts from '@fastify/accepts'
import cors, { type FastifyCorsOptions } from '@fastify/cors'
import formbody from '@fastify/formbody'
import {
  fastify,
  LogController,
  type FastifyHttpOptions,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import type { Config } from '../config/config.ts'
import type { Context } from '../context.ts'
import { globalRevocationEndpoint } from '../endpoints/global-revocation.ts'
import { healthEndpoints } from '../endpoints/health.ts'
import { introspectEndpoint } from '../endpoints/introspect.ts'
import { jwksEndpoint } from '../endpoints/jwks.ts'
import { metadataEndpoints } from '../endpoints/metadata.ts'
import { collectRoutes, refuseOtherMethods } from '../endpoints/other-methods.ts'
import { revokeEndpoint } from '../endpoints/revoke.ts'
import { statusListEndpoints } from '../endpoints/status-list.ts'
import { tokenEndpoint } from '../endpoints/token.ts'
import { notFound, OAuthError, unavailable, type OAuthErrorCode } from '../errors.ts'
import { oncePerSecond } from '../load/brake.ts'
import { parseForm } from '../protocol/form.ts'
import { countOne } from '../record/counts.ts'
import { normalAddress } from '../values/addresses.ts'
import { clientCertGuard } from './client-cert.ts'
import { limitConnections } from './connections.ts'
import { defaultHeaders } from './default-headers.ts'
import { forwardedForReader } from './forwarded-for.ts'
import { inStep } from './in-step.ts'
import {
  bodyLimitBytes,
  isAboutServer,
  malformedHttpAnswerer,
  methodsOfAll,
  refusals,
  refuseConnect,
} from './malformed-http.ts'
import { refuseMessage } from './message.ts'
import { noSchemas } from './no-schemas.ts'
import { allowedHeaders, openOrigins, type Origins } from './origins.ts'
import { readTarget } from './request-target.ts'
import { unusedConnections } from './unused-connections.ts'

/** Never in a URL, where proxies and browsers write them down (RFC 6749 §2.3.1, RFC 6750 §5.3). */
const secretParameters: ReadonlySet<string> = new Set([
  'access_token',
  'assertion',
  'client_assertion',
  'client_secret',
  'code',
  'code_verifier',
  'device_token',
  'password',
  'refresh_token',
  'subject_token',
  'token',
])

/** The HTTP server: what holds for every request, and one line for each endpoint. Does not listen. */
export function buildApp(ctx: Context, options: Partial<FastifyHttpOptions<Server>> = {}): FastifyInstance {
  const { config } = ctx
  const issuerPath = new URL(config.issuer).pathname.replace(/\/$/, '')
  const sendError = errorSender(ctx)
  const begin = answerBeginner(config)
  const app = fastify({
    loggerInstance: ctx.log,
    // Where each request is to be logged, that is done below: Fastify's own line has the query string in it.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestIds(),
    trustProxy: config.trustProxy.length > 0 && [...config.trustProxy],
    schemaController: { compilersFactory: noSchemas },
    rewriteUrl: readTarget(issuerPath),
    bodyLimit: bodyLimitBytes,
    // Node's own refusal of a missing Host has no body; ours is below.
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
    clientErrorHandler: malformedHttpAnswerer(ctx.pressure.stalled),
    ...options,
  })

  limitConnections(app.server, ctx)
  // An unknown `Expect` may be ignored (RFC 9110 §10.1.1); Node would refuse it without a body.
  app.server.on('checkExpectation', (request, response) => app.routing(request, response))
  app.server.on('connect', refuseConnect)
  addParsers(app)
  app.register(accepts)
  app.setErrorHandler(sendError)
  app.setNotFoundHandler(() => {
    throw notFound()
  })
  app.addHook('onRequest', (request, reply, done) => {
    begin(request, reply)
    if (isAboutServer(request.raw)) return void reply.code(204).header('allow', methodsOfAll).send()
    done()
  })
  app.register(cors, corsOptions(openOrigins(ctx)))
  // After CORS has set its headers, which belong to these refusals too.
  app.addHook('onRequest', (request, _reply, done) => done(earlyRefusal(ctx, request)))
  if (ctx.log.level === 'debug' || ctx.log.level === 'trace') {
    app.addHook('onResponse', async (request, reply) => logRequest(request, reply))
  }
  app.addHook('preHandler', inStep())
  closeConnectionsInDrain(app, ctx.drain)
  const routes = collectRoutes(app)

  tokenEndpoint(app, ctx)
  introspectEndpoint(app, ctx)
  revokeEndpoint(app, ctx)
  globalRevocationEndpoint(app, ctx)
  metadataEndpoints(app, ctx)
  jwksEndpoint(app, ctx)
  statusListEndpoints(app, ctx)
  healthEndpoints(app, ctx)

  refuseOtherMethods(app, routes)
  return app
}

/** Of each request it leaves what may be believed, and gives the answer what each has. */
function answerBeginner(config: Config): (request: FastifyRequest, reply: FastifyReply) => void {
  const headers = defaultHeaders(config.issuer)
  const guardClientCert = clientCertGuard(config)
  const readForwardedFor = forwardedForReader(config)
  return ({ raw, id }, reply) => {
    guardClientCert(raw)
    readForwardedFor(raw)
    reply.headers(headers).header('x-request-id', id)
  }
}

function addParsers(app: FastifyInstance): void {
  // RFC 6749 sends forms only; without this Fastify would take JSON at /token too.
  app.removeAllContentTypeParsers()
  // A Map, which the plugin's types do not foresee.
  app.register(formbody, { parser: text => parseForm(text) as unknown as Record<string, unknown> })
  // Its text: whether it is wanted, and what is in it, the endpoint says.
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) =>
    done(null, text),
  )
}

/**
 * From the beginning of the drain on, each answer closes its connection. Proxies keep connections, and one that is closed
 * while they send a request on it is an error of theirs: so they are told with an answer, and not in between.
 */
function closeConnectionsInDrain(app: FastifyInstance, { isDraining, begin }: Context['drain']): void {
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

/** The exact origins that are known, and none if there is none. */
function corsOptions({ hasAny, isKnown }: Origins): FastifyCorsOptions {
  return {
    // Who sends no Origin is no browser, and waits for nothing here.
    origin: (origin, done) => {
      const answer = (isOne: boolean) => done(null, isOne && origin ? [origin] : hasAny() ? [] : false)
      if (origin === undefined) answer(false)
      else void isKnown(origin).then(answer)
    },
    methods: ['GET', 'POST'],
    allowedHeaders,
    // `date` too: a page whose clock is wrong can make a DPoP proof that is of now.
    exposedHeaders: ['date', 'dpop-nonce', 'etag', 'retry-after', 'www-authenticate', 'x-request-id'],
    maxAge: 7200,
    strictPreflight: false,
  }
}

/** Unique in this process and, with its first half, among all instances. */
function requestIds(): () => string {
  const instance = randomBytes(5).toString('base64url')
  let count = 0
  return () => `${instance}-${(++count).toString(36)}`
}

/**
 * Once the database has said that this server may not go on, it only says that it is there. Where the installation lives on
 * in another database, verifiers that still come here get what they need for the tokens that were signed here, until the
 * last of these has expired. No key is lacking that signs there: one that is made there is published for its lead first.
 */
function isAlwaysServed({ standing, now }: Context, url = ''): boolean {
  if (url === '/health/live') return true
  return url.startsWith('/.well-known/') && now() < (standing.keysNeededUntil() ?? -Infinity)
}

/** Why a request is refused without a look at its body; undefined if it is not. */
function earlyRefusal(ctx: Context, request: FastifyRequest): OAuthError | undefined {
  const { is404, query, raw, routeOptions } = request
  const reason = ctx.standing.refusal()
  if (reason !== undefined && !isAlwaysServed(ctx, routeOptions.url))
    return unavailable(new Error(reason), 30)
  const refusal = refuseMessage(raw)
  if (refusal) return refusal
  if (is404) return notFound()
  for (const name of Object.keys(query ?? {})) {
    if (secretParameters.has(name)) {
      return new OAuthError(
        'invalid_request',
        'secrets and tokens are not taken from the URL: send them in the body',
      )
    }
  }
  return undefined
}

/**
 * One line for each request, for debugging: at the rate of refreshes it costs more than it tells. No query string, no
 * header, no body: each may hold a secret.
 */
function logRequest(request: FastifyRequest, reply: FastifyReply): void {
  const { method, routeOptions, ip } = request
  const milliseconds = Math.round(reply.elapsedTime * 10) / 10
  request.log.debug(
    { method, route: routeOptions.url, status: reply.statusCode, milliseconds, ip: normalAddress(ip) },
    'answered',
  )
}

/** Answers every error as RFC 6749 §5.2 does, whatever has thrown it. */
function errorSender(ctx: Context) {
  const isNews = oncePerSecond()
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const error = oauthErrorOf(thrown, request)
    const { code, status, cause, message, facts } = error
    const why = cause instanceof Error ? { err: cause } : { cause }
    const details = { error: code, status, ...why, address: normalAddress(request.ip), ...facts }
    // While something is away, every request would say so.
    const isOurs = code === 'temporarily_unavailable' && status >= 500
    const isWorthSaying = !isOurs || isNews(`${message} ${cause instanceof Error ? cause.message : ''}`)
    request.log[!isWorthSaying ? 'debug' : isOurs ? 'error' : 'info'](details, message)

    if (error.status === 401 || code === 'insufficient_scope') {
      reply.header('www-authenticate', challenge(ctx, code, request.headers.authorization))
    }
    countOne(ctx.counts.errors, `${code} ${status}`)
    if (error.retryAfter !== undefined) reply.header('retry-after', String(error.retryAfter))
    return reply.code(error.status).send(error.toJSON())
  }
}

/** Every 401 has a challenge (RFC 9110 §11.6.1), of the scheme that was tried (RFC 6749 §5.2, RFC 6750 §3). */
function challenge({ config }: Context, code: OAuthErrorCode, authorization: string | undefined): string {
  const realm = `realm="${config.issuer}"`
  if (code === 'insufficient_scope') return `Bearer ${realm}, error="${code}"`
  const isBearer = authorization !== undefined && /^bearer(?: |$)/i.test(authorization)
  if (isBearer) return `Bearer ${realm}, error="invalid_token"`
  // RFC 6750 §3.1: who sent no token is not told of an error.
  return code === 'invalid_token' ? `Bearer ${realm}` : `Basic ${realm}`
}

/** What Fastify refuses is the request's fault; what nobody foresaw is ours, and the client may ask again. */
function oauthErrorOf(thrown: unknown, { raw }: FastifyRequest): OAuthError {
  if (thrown instanceof OAuthError) return thrown
  const { statusCode: status, code }: { statusCode?: unknown; code?: unknown } = Object(thrown)
  const isFastify = typeof code === 'string' && code.startsWith('FST_')
  // Its sender has gone away in the middle of it: nobody reads this, but it counts as what it is.
  if (!isFastify && raw.destroyed && raw.complete === false)
    return new OAuthError('invalid_request', 'the request was not sent to its end', { cause: code })
  if (!isFastify || typeof status !== 'number' || status >= 500) return unavailable(thrown)
  return new OAuthError('invalid_request', refusals.get(status) ?? 'the request is malformed', {
    status,
    cause: code,
  })
}
