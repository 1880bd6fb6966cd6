/**
 * A URL without its query and fragment, and otherwise as RFC 3986 §6.2.2 and §6.2.3 spell it: host in lower
 * case, no default port, no dots in the path, nothing percent-encoded that need not be. Undefined for what is
 * no http URL, or has credentials in it.
 */
export function normalUrl(text: string): string | undefined {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') return undefined
  const path = url.pathname.replace(/%[0-9a-f]{2}/gi, encoded => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
    return /[A-Za-z0-9._~-]/.test(character) ? character : encoded.toUpperCase()
  })
  return url.origin + path
}
