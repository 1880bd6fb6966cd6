/** Whom a token is of. */
export interface TokenFacts {
  readonly sid: string
  /** The user; undefined for that of a machine, and where the token does not say. */
  readonly sub: string | undefined
}

/** Whether the session of this client is a personal access token. */
export function isOfToken(clientId: string | undefined): boolean {
  return clientId === 'mintmark-tokens'
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Reads a token without verifying it: it only leads to a session, which the server then shows or does not
 * know. That is an access token (RFC 9068), or the beginning of a refresh token or a personal access token;
 * or it is the id of a session itself. Undefined for other texts.
 */
export function readToken(text: string): TokenFacts | undefined {
  if (uuid.test(text)) return { sid: text, sub: undefined }
  const [, start] = /^mm_(?:pat|rt)_([\w-]{28})/.exec(text) ?? []
  if (start !== undefined) return ofRow(start)
  try {
    const { sid, sub } = claimsOf(text.replace(/^(Bearer|DPoP) /i, ''))
    if (typeof sid !== 'string' || !uuid.test(sid)) return undefined
    return { sid, sub: typeof sub === 'string' && uuid.test(sub) ? sub : undefined }
  } catch {
    return undefined
  }
}

/** The first 21 bytes of a token of ours: its version, 4 of its root key, and 16 of its session. */
function ofRow(start: string): TokenFacts {
  const hex = [...bytesOf(start)].map(byte => byte.toString(16).padStart(2, '0')).join('')
  return { sid: hex.slice(10).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'), sub: undefined }
}

/** What a JWT says, which is not verified here; throws where it is none. */
export function claimsOf(jwt: string): Readonly<Record<string, unknown>> {
  const [, part = ''] = jwt.split('.')
  return JSON.parse(new TextDecoder().decode(bytesOf(part)))
}

function bytesOf(base64url: string): Uint8Array {
  const text = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(text, character => character.charCodeAt(0))
}
