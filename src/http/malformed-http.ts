import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { OAuthError, unavailable } from '../errors.ts'
import { mayTakeLong } from './long-requests.ts'
import { methodsOfAll } from './other-methods.ts'

/** Far more than any request has. */
export const bodyLimitBytes = 16 * 1024

/** By status, the fault of a request that never reached an endpoint. */
export const refusals: ReadonlyMap<number, string> = new Map([
  [408, 'the request took too long to arrive'],
  [413, `the body is larger than ${bodyLimitBytes} bytes`],
  [414, 'the URL is too long'],
  [415, 'the body must be a form: application/x-www-form-urlencoded, and at /global-token-revocation JSON'],
  [431, 'the headers are too large'],
])

/** A server that has not read for so long cannot say that a request was slow. */
const stallSeconds = 1

/**
 * Answers bytes that are no HTTP, or come too slowly, and never become a request. `stalled` says for how
 * many seconds the server has done nothing until a moment ago: then it is its own fault that a request has
 * taken too long.
 */
export function malformedHttpAnswerer(stalled: () => number) {
  return (error: NodeJS.ErrnoException, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    // A second answer would be taken for the next request's. Node.js looks at the same by default.
    const { _httpMessage: answer }: { _httpMessage?: { readonly headersSent: boolean } | null } =
      Object(socket)
    if (answer?.headersSent) return socket.destroySoon()
    const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
    if (isSlow && mayTakeLong(socket)) return
    const isLate = isSlow && stalled() >= stallSeconds
    sendRefusal(socket, isLate ? unavailable('the event loop was blocked') : refusalOf(error.code))
  }
}

/**
 * RFC 9110 §9.3.6: a tunnel, for which Node.js hands the connection over, without anybody who sees to it any
 * more.
 */
export function refuseConnect(_request: unknown, connection: Duplex): void {
  const socket = connection as Socket
  socket.on('error', () => {}) // it has gone away, and waits for no answer
  sendRefusal(
    socket,
    new OAuthError('invalid_request', 'this server is no proxy', { status: 405 }),
    methodsOfAll,
  )
  socket.destroySoon()
}

function refusalOf(code = ''): OAuthError {
  const status = malformedHttp.get(code) ?? 400
  return new OAuthError('invalid_request', refusals.get(status) ?? 'this is not valid HTTP', { status })
}

function sendRefusal(socket: Socket, refusal: OAuthError, allow?: string): void {
  const { status, retryAfter } = refusal
  const body = JSON.stringify(refusal)
  socket.end(
    [
      `HTTP/1.1 ${status} ${reasonPhrases.get(status)}`,
      'content-type: application/json; charset=utf-8',
      `content-length: ${body.length}`,
      'cache-control: no-store',
      ...(allow === undefined ? [] : [`allow: ${allow}`]),
      ...(retryAfter === undefined ? [] : [`retry-after: ${retryAfter}`]),
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  )
}

/** RFC 9110 §15. Node.js has them too, but to import it costs a start 40 ms: with it comes an HTTP client. */
const reasonPhrases: ReadonlyMap<number, string> = new Map([
  [400, 'Bad Request'],
  [405, 'Method Not Allowed'],
  [408, 'Request Timeout'],
  [413, 'Content Too Large'],
  [431, 'Request Header Fields Too Large'],
  [503, 'Service Unavailable'],
])

const malformedHttp: ReadonlyMap<string, number> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', 408],
  ['HPE_HEADER_OVERFLOW', 431],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', 413],
])
