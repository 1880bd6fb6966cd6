import { isLoopback } from './issuer.ts'

/**
 * Whether a URL may be fetched, as a `jwks_uri` for instance: see `isFetchable`. It has no fragment, and only
 * characters that can be seen and stored.
 */
export function isFetchedUrl(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && !/[\s\p{C}#]/u.test(text) && isFetchable(url)
}

/** Whether the answer can be believed: https, or http on this machine itself. No credentials. */
export function isFetchable({ protocol, hostname, username, password }: URL): boolean {
  const isSafe = protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))
  return isSafe && username === '' && password === ''
}
