import type { IncomingMessage } from 'node:http'
import { OAuthError } from '../errors.ts'

/**
 * Why a request is no message that this server takes, whatever it asks for (RFC 9112); undefined if it is
 * one.
 */
export function refuseMessage({ headers, httpVersion, rawHeaders }: IncomingMessage): OAuthError | undefined {
  const { host, 'content-encoding': contentCoding, 'transfer-encoding': transferCoding } = headers
  if (host === undefined && httpVersion !== '1.0') return malformed('the Host header is missing')
  if (host !== undefined && !hostPattern.test(host)) return malformed('the Host header is not a host')
  if (isRepeated(rawHeaders)) return malformed('Host, Content-Type and Authorization are sent once')
  if (transferCoding !== undefined) {
    // RFC 9112 §6.1: its sender does not know where it ends, or who has passed it on did not.
    if (httpVersion === '1.0') return malformed('Transfer-Encoding is not for HTTP/1.0: send Content-Length')
    // Node.js would hand its body on as it is.
    if (codings(transferCoding).some(coding => coding !== 'chunked')) return refuseCompressed()
  }
  if (contentCoding !== undefined && codings(contentCoding).some(coding => coding !== 'identity')) {
    return refuseCompressed()
  }
  return undefined
}

/** RFC 9110 §7.2, with RFC 3986 §3.2.2: a name or an address, and perhaps a port. It may be empty. */
const hostPattern = /^(?:\[[\w.:%~-]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::\d*)?$/

/** The codings of a list (RFC 9110 §8.4, §5.6.1), which are the same in any case. */
function codings(list: string): string[] {
  return list
    .toLowerCase()
    .split(',')
    .map(coding => coding.trim())
    .filter(coding => coding !== '')
}

const singleFields = ['host', 'content-type', 'authorization']

/**
 * Whether a field that is sent once has come twice (RFC 9110 §5.3, RFC 9112 §3.2): Node.js takes the first of
 * them.
 */
function isRepeated(rawHeaders: readonly string[]): boolean {
  let seen = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const place = singleFields.indexOf(rawHeaders[i]?.toLowerCase() ?? '')
    if (place >= 0 && (seen & (1 << place)) !== 0) return true
    if (place >= 0) seen |= 1 << place
  }
  return false
}

const malformed = (description: string) => new OAuthError('invalid_request', description)

const refuseCompressed = () =>
  new OAuthError('invalid_request', 'the body must not be compressed', { status: 415 })
