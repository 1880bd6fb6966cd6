/** The form of an issuer, for people. */
export const issuerForm =
  'an https URL without query, fragment or trailing slash (http only for a loopback host), its path of letters, digits and - . _ ~'

/** RFC 8414 §2: https, no query, no fragment. No trailing slash, so that there is one spelling. */
export function isIssuer(text: string): boolean {
  const url = URL.parse(text)
  if (!url || /[?#\s"\\]/.test(text) || text.endsWith('/') || url.username !== '' || url.password !== '')
    return false
  // The text must be the URL's own normal form: verifiers compare it character by character.
  if (url.href !== text && url.href !== `${text}/`) return false
  // Other characters mean something to routers and proxies on the way (RFC 8414 §3.1 puts the path behind
  // another one).
  if (!/^(\/[\w.~-]+)*\/?$/.test(url.pathname) || url.pathname.startsWith('/.well-known')) return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
}

/** The same address spelt as it must be, where only the spelling is wrong. */
export function normalIssuer(text: string): string | undefined {
  const normal = URL.parse(text)?.href.replace(/\/+$/, '')
  return normal !== undefined && isIssuer(normal) ? normal : undefined
}

/** Whether a host is this machine itself, where plain http cannot be overheard. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname === '[::1]' ||
    hostname === '::1' ||
    /^127(\.\d{1,3}){3}$/.test(hostname)
  )
}
