import type { IncomingMessage } from 'node:http'
import type { FastifyContextConfig, FastifyInstance } from 'fastify'
import { OAuthError } from '../errors.ts'

/** The methods that some address of this server takes; each says itself which of them it does. */
const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'OPTIONS'])

export const methodsOfAll = [...methods].join(', ')

/** And those that the streams of Shared Signals take besides (SSF 1.0 §8.1.1). */
const streamMethods: ReadonlySet<string> = new Set(['PATCH', 'PUT', 'DELETE'])
export const streamsPath = '/ssf/streams'

/** Clients that registered themselves change that with some of them (RFC 7592). */
export const registerPath = '/register'

/**
 * What the router is shown for every method that no address takes. For each method it compiles all paths
 * anew, and Node.js reads more than thirty.
 */
const otherMethod = 'TRACE'

/** All that the router is shown. */
export const anyMethod: readonly string[] = [...methods, otherMethod]

const hiddenMethods = new WeakMap<IncomingMessage, string>()

/** To be called before the router looks at a request for this target, without its query or with it. */
export function hideOtherMethod(request: IncomingMessage, target: string): void {
  const { method = '' } = request
  if (methods.has(method) || (streamMethods.has(method) && takesMore(target))) return
  hiddenMethods.set(request, method)
  request.method = otherMethod
}

const takesMore = (target: string) =>
  [streamsPath, registerPath].some(path => target === path || target.startsWith(`${path}?`))

/** To be called once the router has looked, before anybody else does. */
export function showOtherMethod(request: IncomingMessage): void {
  if (request.method === otherMethod) request.method = hiddenMethods.get(request) ?? otherMethod
}

type Routes = ReadonlyMap<
  string,
  { readonly methods: ReadonlySet<string>; readonly config: FastifyContextConfig }
>

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

/**
 * Another method at a known path is 405, and `Allow` says which there are (RFC 9110 §15.5.6); otherwise it
 * would be 404. Throws where a path takes a method that the router is never shown.
 */
export function refuseOtherMethods(
  app: FastifyInstance,
  routes: Routes,
  shown: readonly string[] = anyMethod,
): void {
  for (const [url, { methods: taken, config }] of [...routes]) {
    const allow = [...taken].join(', ')
    const all = takesMore(url) ? [...shown, ...streamMethods] : shown
    if ([...taken].some(method => !all.includes(method)))
      throw new Error(`${url} takes ${allow}: no address takes more than ${shown.join(', ')}`)
    app.route({
      method: all.filter(method => !taken.has(method)),
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
