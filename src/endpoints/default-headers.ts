/**
 * The headers of every answer. Nothing is cached but what its endpoint says may be (RFC 6749 §5.1), and
 * nothing here is a page: no browser shows it, frames it or guesses at its type. The rest of what
 * @fastify/helmet sends is about pages, and would only weigh on each token.
 */
export function defaultHeaders(issuer: string): Readonly<Record<string, string>> {
  return {
    'cache-control': 'no-store',
    pragma: 'no-cache',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'referrer-policy': 'no-referrer',
    // RFC 6797 §7.2: where the issuer is https, never over anything else. Its neighbours below it may do as
    // they like.
    ...(issuer.startsWith('https:') && { 'strict-transport-security': 'max-age=31536000' }),
  }
}
