import type { FastifyContextConfig, FastifyInstance } from 'fastify'
import { OAuthError } from '../errors.ts'

type Routes = ReadonlyMap<string, { readonly methods: Set<string>; readonly config: FastifyContextConfig }>

/** Gathers the methods of each path, as the endpoints register them. */
export function collectRoutes(app: FastifyInstance): Routes {
  const routes = new Map<string, { methods: Set<string>; config: FastifyContextConfig }>()
  app.addHook('onRoute', ({ url, method, config = {} }) => {
    const route = routes.get(url) ?? { methods: new Set(), config }
    for (const one of [method].flat()) route.methods.add(one)
    routes.set(url, route)
  })
  return routes
}

/** All that Node.js reads, but for CONNECT, which asks for no path; to import it would cost a start 40 ms. */
const { METHODS } = process.getBuiltinModule('node:http')

/**
 * Another method at a known path is 405, and `Allow` says which there are (RFC 9110 §15.5.6); otherwise it
 * would be 404.
 */
export function refuseOtherMethods(app: FastifyInstance, routes: Routes): void {
  const known = new Set([...app.supportedMethods, 'CONNECT'])
  for (const method of METHODS) if (!known.has(method)) app.addHttpMethod(method)
  for (const [url, { methods, config }] of [...routes]) {
    const allow = [...methods].join(', ')
    app.route({
      method: app.supportedMethods.filter(method => !methods.has(method)),
      url,
      config,
      // Before the body is looked at.
      onRequest: async (_request, reply) => {
        reply.header('allow', allow)
        throw new OAuthError('invalid_request', `this address takes ${allow} only`, { status: 405 })
      },
      handler: async () => {}, // unreachable
    })
  }
}
