import type { IncomingMessage } from 'node:http'

type Target = Pick<IncomingMessage, 'method' | 'url'>

/**
 * Makes the function that reads the target of a request as a path below the issuer, with its query. Where the
 * issuer has a path, a proxy may pass it on or cut it off.
 */
export function readTarget(issuerPath: string): (request: Target) => string {
  return request => {
    const path = pathOf(request)
    return path.startsWith(`${issuerPath}/`) ? path.slice(issuerPath.length) : path
  }
}

/**
 * The path and the query that a request is for (RFC 9112 §3.2). A client that takes this server for a proxy
 * sends a whole URL (§3.2.2), of which only they count here: this is one server, whatever its name on the
 * way.
 */
export function pathOf({ method, url = '/' }: Target): string {
  const [authority] = url.startsWith('/') ? [] : (/^https?:\/\/[^/?#]+/i.exec(url) ?? [])
  if (authority === undefined) return url
  const rest = url.slice(authority.length)
  if (rest.startsWith('/')) return rest
  // RFC 9112 §3.2.4: a server without its path is the server as a whole.
  return rest === '' && method === 'OPTIONS' ? '*' : `/${rest}`
}

/** RFC 9110 §9.3.7: whether a request asks what the server as a whole can do. */
export function isAboutServer({ method, url }: Target): boolean {
  return url === '*' && method === 'OPTIONS'
}
