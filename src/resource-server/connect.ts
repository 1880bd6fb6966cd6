import type { IncomingMessage, ServerResponse } from 'node:http'
import { checkAuthentication, type Authentication } from './authentication.ts'
import { BearerError } from './bearer-error.ts'
import { metadataHeaders, metadataPreflightHeaders } from './resource-metadata.ts'
import {
  createVerifier,
  type AccessToken,
  type ApiRequest,
  type Demand,
  type Verifier,
  type VerifierOptions,
} from './verifier.ts'

export type { Authentication } from './authentication.ts'
export type { AccessToken } from './verifier.ts'

/** A request that was let through. */
export interface AuthenticatedRequest extends IncomingMessage {
  accessToken?: AccessToken
}

export type Middleware = (
  request: AuthenticatedRequest,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void

declare global {
  namespace Express {
    interface Request {
      /** The claims of the access token, behind this middleware. */
      accessToken?: AccessToken
    }
  }
}

export interface ConnectOptions extends VerifierOptions {
  /** Told of each request that is refused; `cause` has the reason. */
  readonly onRefusal?: (error: BearerError, request: IncomingMessage) => void
}

export interface RequireScope {
  /** Without a scope, any good token will do. */
  (...scopes: string[]): Middleware
  /** What the user must have logged in with. Throws a `TypeError` for what no log-in can meet. */
  readonly requireAuthentication: (authentication: Authentication) => Middleware
  /**
   * Answers for the metadata of this API (RFC 9728), and passes on what is for anything else: `app.use` it
   * at the root. Without the option `metadata` it passes on everything.
   */
  readonly metadata: Middleware
  /** Ends the stream of events, which keeps the process alive; without `push` there is nothing to end. */
  readonly close: () => void
}

/**
 * Middleware for Connect, Express and whatever else takes it: `requireScope('read')` lets a request through
 * whose access token is good for this API and has the scope, and
 * `requireScope.requireAuthentication({ acr: 'mfa', maxAge: 300 })` one whose user has logged in so
 * (RFC 9470); both set `request.accessToken`. A request that is refused is answered (RFC 6750 §3).
 */
export function resourceServer(
  options: ConnectOptions | { readonly verifier: Verifier; readonly onRefusal?: ConnectOptions['onRefusal'] },
): RequireScope {
  const { onRefusal } = options
  const verifier = 'verifier' in options ? options.verifier : createVerifier(options)
  const accessTokens = new WeakMap<IncomingMessage, AccessToken>()
  const middlewareFor =
    (demand: Demand): Middleware =>
    (request, response, next) => {
      const refuse = (error: unknown) => {
        if (!(error instanceof BearerError)) throw error
        onRefusal?.(error, request)
        response.writeHead(error.status, { ...error.headers(), 'content-type': 'application/json' })
        response.end(JSON.stringify(error))
      }
      const check = async () => {
        const sent = requestOf(request)
        // A DPoP proof is good once, so those of one request share what the first has found.
        const accessToken = accessTokens.get(request) ?? (await verifier.authenticate(sent, demand.scopes))
        accessTokens.set(request, accessToken)
        verifier.authorize(accessToken, sent, demand)
        request.accessToken = accessToken
      }
      check()
        .then(() => next(), refuse)
        .catch(next)
    }
  return Object.assign((...scopes: string[]) => middlewareFor({ scopes }), {
    requireAuthentication: (authentication: Authentication) => {
      checkAuthentication(authentication)
      return middlewareFor(authentication)
    },
    metadata: metadataMiddleware(verifier),
    close: () => verifier.close(),
  })
}

function metadataMiddleware({ metadata }: Pick<Verifier, 'metadata'>): Middleware {
  return (request, response, next) => {
    const { method = '', url } = requestOf(request)
    if (!metadata || url?.replace(/\?.*/, '') !== metadata.path) return next()
    if (method === 'OPTIONS') return void response.writeHead(204, metadataPreflightHeaders).end()
    if (method !== 'GET' && method !== 'HEAD') return next()
    response.writeHead(200, metadataHeaders)
    response.end(method === 'HEAD' ? undefined : JSON.stringify(metadata.document))
  }
}

/** Connect and Express cut the path that it is mounted at off the URL, and keep the whole one. */
function requestOf(request: IncomingMessage & { readonly originalUrl?: unknown }): ApiRequest {
  const { method, url, originalUrl, headers, socket } = request
  return { method, url: typeof originalUrl === 'string' ? originalUrl : url, headers, socket }
}
