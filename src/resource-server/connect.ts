import type { IncomingMessage, ServerResponse } from 'node:http'
import { BearerError } from './bearer-error.ts'
import {
  createVerifier,
  type AccessToken,
  type ApiRequest,
  type Verifier,
  type VerifierOptions,
} from './verifier.ts'

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
      /** The claims of the access token, behind `requireScope`. */
      accessToken?: AccessToken
    }
  }
}

export interface ConnectOptions extends VerifierOptions {
  /** Told of each request that is refused; `cause` has the reason. */
  readonly onRefusal?: (error: BearerError, request: IncomingMessage) => void
}

/**
 * Middleware for Connect, Express and whatever else takes it: `requireScope('read')` lets a request through
 * whose access token is good for this API and has the scope, and sets `request.accessToken`. Without a scope,
 * any good token will do. A request that is refused is answered (RFC 6750 §3).
 */
export function resourceServer(
  options: ConnectOptions | { readonly verifier: Verifier; readonly onRefusal?: ConnectOptions['onRefusal'] },
): (...scopes: string[]) => Middleware {
  const { onRefusal } = options
  const verifier = 'verifier' in options ? options.verifier : createVerifier(options)
  return (...scopes) =>
    (request, response, next) => {
      const refuse = (error: unknown) => {
        if (!(error instanceof BearerError)) throw error
        onRefusal?.(error, request)
        response.writeHead(error.status, { ...error.headers(), 'content-type': 'application/json' })
        response.end(JSON.stringify(error))
      }
      verifier
        .authenticate(requestOf(request), scopes)
        .then(accessToken => {
          request.accessToken = accessToken
          next()
        }, refuse)
        .catch(next)
    }
}

/** Connect and Express cut the path that it is mounted at off the URL, and keep the whole one. */
function requestOf(request: IncomingMessage & { readonly originalUrl?: unknown }): ApiRequest {
  const { method, url, originalUrl, headers, socket } = request
  return { method, url: typeof originalUrl === 'string' ? originalUrl : url, headers, socket }
}
