/**
 * Whether a text is the origin of a page, as browsers send it (RFC 6454 §6.2): scheme, host and, if it is not
 * the usual one, port.
 */
export function isOrigin(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && url.origin === text && /^https?:$/.test(url.protocol)
}

/** The answer to another text. */
export const originSentence =
  'An origin is a scheme, a host and, if it is not the usual one, a port, like https://app.example.'
