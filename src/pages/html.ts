import { html as honoHtml, raw } from 'hono/html'
import { isLoopback } from '../protocol/issuer.ts'
import { isRedirectUri } from '../protocol/redirect-uri.ts'

/** Markup. A text that is no markup becomes a part of it by `html` alone, which escapes it. */
export type Html = ReturnType<typeof raw>

/** What may stand in markup. Null stands for nothing. */
export type Piece = Html | string | number | null | readonly Html[]

/** Markup from a template: each text in it is escaped, for elements and for attributes in double quotes. */
export function html(strings: TemplateStringsArray, ...pieces: readonly Piece[]): Html {
  const markup = honoHtml(strings, ...pieces)
  if (markup instanceof Promise) throw new Error('unreachable: no piece is waited for')
  return markup
}

/** Text that is markup already. Only for constants of ours. */
export function constantMarkup(text: string): Html {
  return raw(text)
}

/** A name that somebody has chosen, whose letters and their direction mix with no others. */
export function nameOf(text: string): Html {
  return html`<bdi>${text}</bdi>`
}

/**
 * A URI as a link may have it: `https`, `http` to this device, or a private scheme with a dot in it.
 * Undefined for any other, which a browser might run as a script.
 */
export function linkTarget(uri: string): string | undefined {
  const url = URL.parse(uri)
  if (!url || url.username !== '' || url.password !== '') return undefined
  if (url.protocol === 'https:') return url.href
  if (url.protocol === 'http:') return isLoopback(url.hostname) ? url.href : undefined
  return isRedirectUri(uri) ? uri : undefined
}
