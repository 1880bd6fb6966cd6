/** The greatest length, in characters. */
export const redirectUriMax = 1024

/** `absolute-URI` of RFC 3986 §4.3: no fragment (RFC 6749 §3.1.2), no space, no wildcard in it. */
const absoluteUri = /^[a-z][a-z0-9+.-]*:(?:[\w.~:/?[\]@!$&'()+,;=-]|%[0-9a-f]{2})+$/i

/** Names of this device, on which a native app listens at any port (RFC 8252 §7.3). */
const loopback = /^http:\/\/(?:127\.0\.0\.1|\[::1\]|localhost)(?::(\d{1,5}))?(?=[/?]|$)/

/** A scheme of an app's own is a domain in reverse (RFC 8252 §7.1). */
const privateScheme = /^[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:\/(?!\/*$)/

/**
 * Whether a client may register it: `https`, `http` to a loopback address, or a private scheme with a dot in
 * it. So no `javascript:` or `data:` is ever redirected to.
 */
export function isRedirectUri(text: string): boolean {
  if (text.length > redirectUriMax || !absoluteUri.test(text)) return false
  const url = URL.parse(text)
  if (!url || url.username !== '' || url.password !== '') return false
  if (text.startsWith('https://')) return url.hostname !== ''
  return loopback.test(text) || privateScheme.test(text)
}

/** The answer to another text. */
export const redirectUriSentence =
  'A redirect URI is https, http to 127.0.0.1, [::1] or localhost, or of a private scheme with a dot like ' +
  'com.example.app:/callback; it has no fragment and no wildcard.'

/**
 * Whether a request's redirect URI is one of those registered, character by character (RFC 9700 §2.1), but
 * for the port of a loopback address, which an app cannot choose (RFC 8252 §7.3).
 */
export function isRegistered(uri: string, registered: readonly string[]): boolean {
  // Even if it is registered: no browser is ever sent to what is no redirect URI.
  if (!isRedirectUri(uri)) return false
  if (registered.includes(uri)) return true
  const withoutPort = portless(uri)
  return withoutPort !== undefined && registered.some(one => portless(one) === withoutPort)
}

/** A loopback URI without its port; undefined for any other. */
function portless(uri: string): string | undefined {
  const port = loopback.exec(uri)
  if (!port) return undefined
  return port[1] === undefined ? uri : port[0].slice(0, -port[1].length - 1) + uri.slice(port[0].length)
}

/**
 * The URI with parameters in its query. Parameters that it has already stay as they are (RFC 6749 §3.1.2).
 */
export function withParameters(uri: string, parameters: [name: string, value: string][]): string {
  if (parameters.length === 0) return uri
  const separator = !uri.includes('?') ? '?' : /[?&]$/.test(uri) ? '' : '&'
  return `${uri}${separator}${new URLSearchParams(parameters)}`
}
