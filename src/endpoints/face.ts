import accepts from '@fastify/accepts'
import cors, { type FastifyCorsOptions } from '@fastify/cors'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Context } from '../context.ts'
import { notFound, OAuthError, unavailable } from '../errors.ts'
import { refuseMessage } from '../http/message.ts'
import { collectRoutes, refuseOtherMethods } from '../http/other-methods.ts'
import { parseForm } from '../protocol/form.ts'
import { authorizeChallengeEndpoint } from './authorize-challenge.ts'
import { defaultHeaders } from './default-headers.ts'
import { deviceAuthorizationEndpoint } from './device-authorization.ts'
import type { ErrorSender } from './error-sender.ts'
import { eventsEndpoint } from './events.ts'
import { globalRevocationEndpoint } from './global-revocation.ts'
import { healthEndpoints } from './health.ts'
import { introspectEndpoint } from './introspect.ts'
import { jwksEndpoint } from './jwks.ts'
import { metadataEndpoints } from './metadata.ts'
import { allowedHeaders, openOrigins, type Origins } from './origins.ts'
import { parEndpoint } from './par.ts'
import { registerEndpoint } from './register.ts'
import { revokeEndpoint } from './revoke.ts'
import { statusListEndpoints } from './status-list.ts'
import { tokenEndpoint } from './token.ts'
import { receiverEndpoints } from './ssf/transmitter.ts'
import { userinfoEndpoint } from './userinfo.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What @fastify/cors does at this route. */
    cors?: FastifyCorsOptions | false
  }
}

/** Never in a URL, where proxies and browsers write them down (RFC 6749 §2.3.1, RFC 6750 §5.3). */
const secretParameters: ReadonlySet<string> = new Set([
  'access_token',
  'assertion',
  'auth_session',
  'client_assertion',
  'client_secret',
  'code',
  'code_verifier',
  'device_code',
  'device_token',
  'otp',
  'passkey',
  'password',
  'recovery_code',
  'refresh_token',
  'subject_token',
  'token',
])

/**
 * Makes the face for programs, as a scope of the app: forms in, JSON and errors of RFC 6749 out, CORS for
 * pages that have a token of their own. One line for each endpoint. Unknown addresses are its own too.
 */
export function oauthFace(ctx: Context, sendError: ErrorSender): (app: FastifyInstance) => Promise<void> {
  const headers = defaultHeaders(ctx.config.issuer)
  return async app => {
    addParsers(app)
    app.register(accepts)
    app.setErrorHandler(sendError)
    app.setNotFoundHandler(() => {
      throw notFound()
    })
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(headers)
      done()
    })
    app.register(cors, corsOptions(openOrigins(ctx)))
    // After CORS has set its headers, which belong to these refusals too.
    app.addHook('onRequest', (request, _reply, done) => done(earlyRefusal(ctx, request)))
    const routes = collectRoutes(app)

    tokenEndpoint(app, ctx)
    parEndpoint(app, ctx)
    deviceAuthorizationEndpoint(app, ctx)
    authorizeChallengeEndpoint(app, ctx)
    userinfoEndpoint(app, ctx)
    introspectEndpoint(app, ctx)
    revokeEndpoint(app, ctx)
    globalRevocationEndpoint(app, ctx)
    eventsEndpoint(app, ctx)
    receiverEndpoints(app, ctx)
    registerEndpoint(app, ctx)
    metadataEndpoints(app, ctx)
    jwksEndpoint(app, ctx)
    statusListEndpoints(app, ctx)
    healthEndpoints(app, ctx)

    refuseOtherMethods(app, routes)
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

/** The exact origins that are known, and none if there is none. */
function corsOptions({ hasAny, isKnown }: Origins): FastifyCorsOptions {
  return {
    // A request without Origin is of no browser, and waits for nothing here.
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

/** Why a request is refused without a look at its body; undefined if it is not. */
function earlyRefusal(ctx: Context, request: FastifyRequest): OAuthError | undefined {
  const { is404, query, raw } = request
  const reason = ctx.standing.refusal()
  if (reason !== undefined && !isAlwaysServed(ctx, request.routeOptions.url))
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
 * Once the database has said that this server may not go on, it only says that it is there. Where the
 * installation lives on in another database, verifiers that still come here get what they need for the tokens
 * that were signed here, until the last of these has expired. No key is lacking that signs there: one that is
 * made there is published for its lead first.
 */
function isAlwaysServed({ standing, clock }: Context, url = ''): boolean {
  if (url === '/health/live') return true
  return url.startsWith('/.well-known/') && clock.now() < (standing.keysNeededUntil() ?? -Infinity)
}
