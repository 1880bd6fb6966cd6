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
    const { sid, sub } = claimsOf(text.replace(/^(Bearer|DPoP) /i, ''))
    if (typeof sid !== 'string' || !uuid.test(sid)) return undefined
    return { sid, sub: typeof sub === 'string' && uuid.test(sub) ? sub : undefined }
  } catch {
    return undefined
  }
}

/** What a JWT says, which is not verified here; throws where it is none. */
export function claimsOf(jwt: string): Readonly<Record<string, unknown>> {
  const [, part = ''] = jwt.split('.')
  const text = atob(part.replaceAll('-', '+').replaceAll('_', '/'))
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, character => character.charCodeAt(0))))
}
