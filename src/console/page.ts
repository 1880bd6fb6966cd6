import { consoleClientId, consolePath } from '../clients/console-client.ts'
import type { Config } from '../config/load.ts'
import { constantMarkup, html } from '../pages/html.ts'
import { sourceOf, type Look } from '../pages/look.ts'
import { pageHeaders } from '../pages/page-headers.ts'
import { paletteOf } from '../pages/style.ts'

export interface ConsolePage {
  /** Undefined where it was not built. */
  readonly html: string | undefined
  readonly headers: Readonly<Record<string, string>>
}

/**
 * The page of the console: the built one, with the operator's name, logo and colours, and with what the
 * script has to know. `built` names its files as `./assets/…`.
 */
export function consolePage(config: Config, look: Look, built: string | undefined): ConsolePage {
  const base = new URL(config.adminUrl).pathname.replace(/\/$/, '')
  const palette = paletteOf(config.color)
  const { name, picture } = look
  const icon = `${base}${consolePath}/logo?v=${picture.version}`
  const head = html`<title>Admin console &ndash; ${name}</title>
<meta name="mintmark" content="${JSON.stringify({ issuer: config.issuer, base, clientId: consoleClientId, name, icon })}">
<link rel="icon" href="${icon}">
<style>${constantMarkup(palette)}</style>`
  return {
    html: built
      ?.replace('<!-- head -->', () => String(head))
      .replaceAll('./assets/', `${base}${consolePath}/assets/`),
    headers: {
      ...pageHeaders(look, config.issuer),
      'content-security-policy': consolePolicy(config, palette),
      'cross-origin-opener-policy': 'same-origin',
    },
  }
}

/**
 * What the console may load: files of its own, and nothing that a script makes into code. It asks the admin
 * API; where that has a listener of its own, it gets its tokens from the issuer elsewhere.
 */
function consolePolicy({ issuer, adminUrl }: Config, palette: string): string {
  const { origin } = new URL(issuer)
  const others = origin === new URL(adminUrl).origin ? [] : [origin]
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' ${sourceOf(palette)}`,
    "img-src 'self'",
    ['connect-src', "'self'", ...others].join(' '),
    ['form-action', "'self'", ...others].join(' '),
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
}
