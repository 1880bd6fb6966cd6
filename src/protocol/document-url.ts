/** The greatest length, in characters: that of any `client_id`. */
const documentUrlMax = 255

/**
 * Whether a `client_id` is the URL of a document that describes its client
 * (draft-ietf-oauth-client-id-metadata-document §3): https, with a path, and with neither credentials nor
 * fragment. Its comparison is that of characters, so only the normal form is one; none has a query, which
 * would be in logs.
 */
export function isDocumentUrl(id: string): boolean {
  if (id.length > documentUrlMax || !id.startsWith('https://') || /[?#]/.test(id)) return false
  const url = URL.parse(id)
  return url?.href === id && url.username === '' && url.password === '' && url.pathname !== '/'
}

/** The host that answers for such a client, with its port unless that is the usual one. */
export function hostOfDocument(id: string): string {
  return new URL(id).host
}
