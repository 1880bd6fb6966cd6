import type { Look } from './look.ts'

/**
 * The headers of every page. There is no Cross-Origin-Opener-Policy: a client that has people log in in a
 * second window would lose that window.
 */
export function pageHeaders(
  look: Pick<Look, 'styleSource'>,
  issuer: string,
): Readonly<Record<string, string>> {
  return {
    'content-security-policy': pagePolicy(look),
    // A page may have a sealed request, a name or a code in it.
    'cache-control': 'no-store',
    pragma: 'no-cache',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy': 'camera=(), geolocation=(), microphone=()',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    // RFC 6797 §7.2, as endpoints/default-headers.ts.
    ...(issuer.startsWith('https:') && { 'strict-transport-security': 'max-age=31536000' }),
  }
}

/**
 * What a page may load: its own style sheet, the logo, and `script`, where it has one. No `form-action`:
 * Chromium would stop the redirect to the client that follows a form (w3c/webappsec-csp#8).
 */
export function pagePolicy({ styleSource }: Pick<Look, 'styleSource'>, script?: string): string {
  const sources = ["default-src 'none'", `style-src ${styleSource}`, "img-src 'self'"]
  if (script !== undefined) sources.push(`script-src ${script}`)
  return [...sources, "base-uri 'none'", "frame-ancestors 'none'"].join('; ')
}
