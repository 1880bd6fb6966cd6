import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { BearerError } from './bearer-error.ts'
import { createVerifier, type AccessToken, type Verifier, type VerifierOptions } from './verifier.ts'

export type { AccessToken } from './verifier.ts'

/** Lets a request through whose access token is good for this API and has the scope, or answers it. */
export type RequireScope = (
  ...scopes: string[]
) => (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>

declare module 'fastify' {
  interface FastifyInstance {
    /** A hook for `onRequest`. Without a scope, any good token will do. */
    requireScope: RequireScope
  }
  interface FastifyRequest {
    /** The claims of the access token, behind `requireScope`; throws where that did not run. */
    readonly accessToken: AccessToken
  }
}

type Options = VerifierOptions | { readonly verifier: Verifier }

const plugin: FastifyPluginAsync<Options> = async (app, options) => {
  const verifier = 'verifier' in options ? options.verifier : createVerifier(options)
  const accessTokens = new WeakMap<FastifyRequest, AccessToken>()

  app.decorateRequest('accessToken', {
    getter(this: FastifyRequest) {
      const accessToken = accessTokens.get(this)
      if (accessToken) return accessToken
      throw new Error('there is no access token: add requireScope() to the onRequest hooks of this route')
    },
  })
  app.decorate(
    'requireScope',
    (...scopes: string[]) =>
      async (request: FastifyRequest, reply: FastifyReply) => {
        try {
          const { method, originalUrl: url, headers, socket } = request
          const sent = { method, url, headers, socket }
          accessTokens.set(request, await verifier.authenticate(sent, scopes))
          return undefined
        } catch (error) {
          if (!(error instanceof BearerError)) throw error
          const level = error.status === 503 ? 'error' : 'info'
          request.log[level]({ err: error.cause ?? error, code: error.code }, error.message)
          return reply.code(error.status).headers(error.headers()).send(error.toJSON())
        }
      },
  )
}

const name = 'mintmark-resource-server'

/**
 * A Fastify plugin: `app.requireScope('read')` is a hook that lets a request through whose access token is
 * good for this API and has the scope; `request.accessToken` then has its claims. A request that is refused
 * is answered (RFC 6750 §3), and the reason is logged. Nothing is protected that does not have the hook.
 */
export const resourceServer: FastifyPluginAsync<Options> = Object.assign(plugin, {
  // It serves the whole app. The package fastify-plugin says so too, but this is one package less.
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: name,
  [Symbol.for('plugin-meta')]: { name, fastify: '5.x' },
})
