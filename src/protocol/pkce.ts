import { sha256 } from '../values/sha256.ts'
import { isSameHash } from './secrets.ts'

/** The one way to make a challenge that is taken (RFC 7636 §4.2): `plain` would show the verifier itself. */
export const challengeMethod = 'S256'

/** Whether a text can be an S256 challenge: 32 bytes in base64url without padding (RFC 7636 §4.2). */
export function isChallenge(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text)
}

/**
 * Whether a verifier (RFC 7636 §4.1) is the one of which the challenge was made (§4.6). Compares in constant
 * time; one of another form is of no challenge.
 */
export function isVerifierOf(verifier: string, challenge: string): boolean {
  if (!/^[A-Za-z0-9._~-]{43,128}$/.test(verifier)) return false
  return isSameHash(Buffer.from(sha256(verifier).toString('base64url')), Buffer.from(challenge))
}
