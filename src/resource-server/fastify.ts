import type { FastifyBaseLogger, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { checkAuthentication, type Authentication } from './authentication.ts'
import { BearerError } from './bearer-error.ts'
import { metadataHeaders, metadataPreflightHeaders } from './resource-metadata.ts'
import {
  createVerifier,
  type AccessToken,
  type Demand,
  type Verifier,
  type VerifierOptions,
} from './verifier.ts'

export type { Authentication } from './authentication.ts'
export type { AccessToken, Actor } from './verifier.ts'

type Hook = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>

/** Lets a request through whose access token is good for this API and has the scope, or answers it. */
export type RequireScope = (...scopes: string[]) => Hook

/**
 * Lets a request through whose access token is good for this API and whose user has logged in so, or answers
 * it.
 */
export type RequireAuthentication = (authentication: Authentication) => Hook

declare module 'fastify' {
  interface FastifyInstance {
    /** A hook for `onRequest`. Without a scope, any good token will do. */
    requireScope: RequireScope
    /**
     * A hook for `onRequest`, alone or beside `requireScope`. Throws a `TypeError` for what none can meet.
     */
    requireAuthentication: RequireAuthentication
  }
  interface FastifyRequest {
    /** The claims of the access token, behind one of these hooks; throws where none has run. */
    readonly accessToken: AccessToken
  }
}

type Options = VerifierOptions | { readonly verifier: Verifier }

const plugin: FastifyPluginAsync<Options> = async (app, options) => {
  const verifier =
    'verifier' in options
      ? options.verifier
      : createVerifier({ onPush: (isLive, cause) => tellPush(app.log, isLive, cause), ...options })
  if (!('verifier' in options)) app.addHook('onClose', async () => verifier.close())
  const accessTokens = new WeakMap<FastifyRequest, AccessToken>()

  app.decorateRequest('accessToken', {
    getter(this: FastifyRequest) {
      const accessToken = accessTokens.get(this)
      if (accessToken) return accessToken
      throw new Error('there is no access token: add requireScope() to the onRequest hooks of this route')
    },
  })
  const hookFor =
    (demand: Demand): Hook =>
    async (request, reply) => {
      const { method, originalUrl: url, headers, socket } = request
      const sent = { method, url, headers, socket }
      try {
        // A DPoP proof is good once, so the hooks of one request share what the first has found.
        const accessToken = accessTokens.get(request) ?? (await verifier.authenticate(sent, demand.scopes))
        accessTokens.set(request, accessToken)
        verifier.authorize(accessToken, sent, demand)
        return undefined
      } catch (error) {
        if (!(error instanceof BearerError)) throw error
        const level = error.status === 503 ? 'error' : 'info'
        request.log[level]({ err: error.cause ?? error, code: error.code }, error.message)
        return reply.code(error.status).headers(error.headers()).send(error.toJSON())
      }
    }
  app.decorate('requireScope', (...scopes: string[]) => hookFor({ scopes }))
  app.decorate('requireAuthentication', (authentication: Authentication) => {
    checkAuthentication(authentication)
    return hookFor(authentication)
  })
  const { metadata } = verifier
  if (metadata) {
    const answer = async (_: FastifyRequest, reply: FastifyReply) =>
      reply.headers(metadataHeaders).send(metadata.document)
    // Of a route, a single colon would begin a parameter.
    const path = metadata.path.replaceAll(':', '::')
    app.get(path, answer)
    app.options(path, async (_, reply) => reply.code(204).headers(metadataPreflightHeaders).send())
  }
}

function tellPush(log: FastifyBaseLogger, isLive: boolean, cause: unknown): void {
  if (isLive) log.info('events of the issuer come in')
  else
    log.warn(
      { err: cause },
      'events of the issuer are cut off: until they come again, its status lists count',
    )
}

const name = 'mintmark-resource-server'

/**
 * A Fastify plugin: `app.requireScope('read')` is a hook that lets a request through whose access token is
 * good for this API and has the scope, `app.requireAuthentication({ acr: 'mfa', maxAge: 300 })` one for what
 * its user must have logged in with (RFC 9470); `request.accessToken` then has its claims. A request that is
 * refused is answered (RFC 6750 §3), and the reason is logged. Nothing is protected that does not have such
 * a hook.
 */
export const resourceServer: FastifyPluginAsync<Options> = Object.assign(plugin, {
  // It serves the whole app. The package fastify-plugin says so too, but this is one package less.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: name,
  [Symbol.for('plugin-meta')]: { name, fastify: '5.x' },
})
