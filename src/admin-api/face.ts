import type { IncomingMessage } from 'node:http'
import swagger from '@fastify/swagger'
import { fastify, LogController, type FastifyInstance } from 'fastify'
import { consoleFace } from '../console/face.ts'
import type { Context } from '../context.ts'
import { defaultHeaders } from '../endpoints/default-headers.ts'
import { notFound, OAuthError, unavailable } from '../errors.ts'
import { inStep } from '../http/in-step.ts'
import { collectRoutes, refuseOtherMethods } from '../http/other-methods.ts'
import { refuseMessage } from '../http/message.ts'
import { oneLogForAll } from '../http/request-log.ts'
import { countOne } from '../record/counts.ts'
import { isTooDeep } from '../values/json.ts'
import { adminPath } from './admin-path.ts'
import { addAuditStream } from './audit-stream.ts'
import { auditRoutes } from './audit.ts'
import { clientRoutes } from './clients.ts'
import { countRoutes } from './counts.ts'
import { explainRoutes } from './explain.ts'
import { addUserExport } from './exports.ts'
import { groupRoutes } from './groups.ts'
import { healthRoutes } from './health.ts'
import { importRoutes } from './imports.ts'
import { jobRoutes } from './jobs.ts'
import { keyRoutes } from './keys.ts'
import { openApiDocument } from './open-api.ts'
import { bodyLimitBytes, openProblems, operationOf } from './problems.ts'
import { trustedIssuerRoutes } from './trusted-issuers.ts'
import { ownClaimRoutes } from './own-claims.ts'
import { registrationTokenRoutes } from './registration-tokens.ts'
import { resourceRoutes } from './resources.ts'
import { addRoute } from './route.ts'
import { compileSchema } from './schemas.ts'
import { sessionRoutes } from './sessions.ts'
import { signInRoutes } from './sign-ins.ts'
import { streamRoutes } from './streams.ts'
import { takeUploads } from './upload.ts'
import { userRoutes } from './users.ts'

export interface AdminAppOptions {
  /** The id that a request has got already; undefined for none. */
  readonly idOf: (request: IncomingMessage) => string | undefined
}

/** The URI of a resource, percent-encoded in the path. */
const paramLengthMax = 3 * 1024

/** What the router is shown for every method that no address takes. */
const otherMethod = 'TRACE'
const shownMethods = ['GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE', 'OPTIONS', otherMethod]

/** All that answers JSON in and out: one line for each noun. */
const nouns = [
  ...userRoutes,
  ...explainRoutes,
  ...groupRoutes,
  ...clientRoutes,
  ...resourceRoutes,
  ...trustedIssuerRoutes,
  ...ownClaimRoutes,
  ...registrationTokenRoutes,
  ...streamRoutes,
  ...keyRoutes,
  ...sessionRoutes,
  ...signInRoutes,
  ...jobRoutes,
  ...auditRoutes,
  ...healthRoutes,
  ...countRoutes,
]

/**
 * Makes the face for administrators' programs, an app of its own: JSON in and out, problem documents (RFC
 * 9457), one line for each noun. Does not listen.
 */
export function buildAdminApp(ctx: Context, { idOf }: AdminAppOptions): FastifyInstance {
  const problems = openProblems(ctx)
  const headers = defaultHeaders(ctx.config.issuer)
  let count = 0
  const app = fastify({
    loggerInstance: ctx.log,
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: oneLogForAll,
    genReqId: request => idOf(request) ?? `admin-${(++count).toString(36)}`,
    trustProxy: ctx.config.trustProxy.length > 0 && [...ctx.config.trustProxy],
    bodyLimit: bodyLimitBytes,
    routerOptions: { maxParamLength: paramLengthMax },
    rewriteUrl: request => {
      const { method = '', url = '/' } = request
      if (!shownMethods.includes(method)) request.method = otherMethod
      return url
    },
    frameworkErrors: (error, request, reply) => void problems.send(error, request, reply),
  })
  // It is no JSON, and is refused as such.
  app.removeContentTypeParser('text/plain')
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) =>
    parse(request, text, (error, value) => done(error ?? depthFault(value), value)),
  )
  app.setValidatorCompiler(compileSchema)
  // By its schema, an answer would lose in silence all that this does not describe: a test compares both.
  app.setSerializerCompiler(() => JSON.stringify)
  app.setErrorHandler(problems.send)
  app.setNotFoundHandler(() => {
    throw notFound()
  })
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers({ ...headers, 'x-request-id': request.id })
    if (ctx.load.drain.isDraining()) reply.header('connection', 'close')
    const reason = ctx.standing.refusal()
    done(reason === undefined ? refuseMessage(request.raw) : unavailable(new Error(reason), 30))
  })
  // Before it is asked who is calling, which is a read.
  app.addHook('onRequest', inStep())
  app.addHook('onResponse', async (request, { statusCode }) =>
    countOne(ctx.counts.adminRequests, `${operationOf(request) ?? '(none)'} ${statusCode}`),
  )
  app.register(swagger, openApiDocument(ctx.config))
  app.register(async app => {
    const routes = collectRoutes(app)
    for (const route of nouns) addRoute(app, { ctx, problems }, route)
    await app.register(async app => {
      takeUploads(app)
      for (const route of importRoutes) addRoute(app, { ctx, problems }, route)
    })
    addAuditStream(app, ctx)
    addUserExport(app, ctx)
    refuseOtherMethods(app, routes, shownMethods)
  })
  if (ctx.config.console === 'on') app.register(consoleFace(ctx))
  app.get(`${adminPath}/openapi.json`, { schema: { hide: true } }, async () => app.swagger())
  return app
}

function depthFault(body: unknown): OAuthError | null {
  return isTooDeep(body) ? new OAuthError('invalid_request', 'the body is nested too deep') : null
}
