import { isLoopback } from './issuer.ts'

/** Whether a URL may be fetched, as a `jwks_uri` for instance: see `isFetchable`; and no fragment. */
export function isFetchedUrl(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && !/[\s#]/.test(text) && isFetchable(url)
}

/** Whether the answer can be believed: https, or http on this machine itself. No credentials. */
export function isFetchable({ protocol, hostname, username, password }: URL): boolean {
  const isSafe = protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))
  return isSafe && username === '' && password === ''
}
