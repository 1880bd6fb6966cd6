/*
 * A token travels in a header, and servers refuse long ones: nginx and Apache a line of more than 8 KiB. So
 * what tokens say of their user has a bound. Beyond it the longest claims are left out, each as a whole,
 * since a part of a list would be taken for all of it; and the token says which, and where they are, as those
 * of other sources are told (OpenID Connect Core §5.6.2).
 */

/** So many bytes of JSON the claims of one token have that say something of its user. */
export const claimsBytesMax = 5000

type Claims = Readonly<Record<string, unknown>>

/**
 * The claims that fit into a token, and, where some do not, that they are told at this URL. `details`: its
 * authorization details (RFC 9396), which have their room first, since no token is without them.
 */
export function fittingClaims(claims: Claims, endpoint: string, details: readonly object[] = []): Claims {
  let bytes = bytesOf(claims) + (details.length > 0 ? bytesOf(details) : 0)
  if (bytes <= claimsBytesMax) return claims
  const left: string[] = []
  const sizes = Object.entries(claims).map(([name, value]) => [name, bytesOf({ [name]: value })] as const)
  for (const [name, size] of sizes.toSorted(([, a], [, b]) => b - a)) {
    if (bytes <= claimsBytesMax) break
    left.push(name)
    bytes -= size
  }
  const fitting = Object.entries(claims).filter(([name]) => !left.includes(name))
  return {
    ...Object.fromEntries(fitting),
    _claim_names: Object.fromEntries(left.map(name => [name, source])),
    _claim_sources: { [source]: { endpoint } },
  }
}

const source = 'issuer'

/** The names of the claims that were left out of a token. */
export function leftOut({ _claim_names: names }: Claims): readonly string[] {
  return Object.keys(Object(names))
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}
