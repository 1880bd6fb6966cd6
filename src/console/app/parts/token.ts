/** Whom an access token is of. */
export interface TokenFacts {
  readonly sid: string
  /** The user; undefined for that of a machine. */
  readonly sub: string | undefined
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Reads an access token (RFC 9068) without verifying it: it only leads to a session, which the server then
 * shows or does not know. Undefined for other texts, such as a refresh token.
 */
export function readToken(text: string): TokenFacts | undefined {
  try {
    const [, part = ''] = text.replace(/^(Bearer|DPoP) /i, '').split('.')
    const claims = JSON.parse(atob(part.replaceAll('-', '+').replaceAll('_', '/')))
    const { sid, sub } = claims
    if (typeof sid !== 'string' || !uuid.test(sid)) return undefined
    return { sid, sub: typeof sub === 'string' && uuid.test(sub) ? sub : undefined }
  } catch {
    return undefined
  }
}
