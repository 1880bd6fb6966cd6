/**
 * Whether pages of the issuer may have passkeys of this RP ID (WebAuthn Level 3 §5.1.3): that of its host, or
 * of a domain above it. Which of those are for anybody to register under is known to browsers alone, but none
 * without a dot is good for more than itself.
 */
export function isRpIdOf(rpId: string, issuer: string): boolean {
  const { hostname } = new URL(issuer)
  return rpId === hostname || (hostname.endsWith(`.${rpId}`) && rpId.includes('.'))
}
