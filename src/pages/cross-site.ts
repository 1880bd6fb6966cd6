import type { IncomingHttpHeaders } from 'node:http'

/**
 * Whether a request that changes something comes from our own pages, as the browser says it: by
 * Sec-Fetch-Site, else by Origin, which is compared with that of the issuer and never with Host. One with
 * neither counts as ours, since a cookie that no other site can send has to come with it anyway.
 */
export function isFromOwnPages(headers: IncomingHttpHeaders, issuerOrigin: string): boolean {
  const { 'sec-fetch-site': site, origin } = headers
  // None: a person has begun it, as by loading a page again.
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  return origin === undefined || origin === issuerOrigin
}
