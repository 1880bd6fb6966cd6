import { html, linkTarget, nameOf, type Html } from './html.ts'
import type { Language } from './language.ts'
import type { Look } from './look.ts'

/** What every view is given: whose page it is, and who reads it. */
export interface Frame {
  readonly look: Look
  readonly language: Language
  /** By which an operator finds the request in the log. */
  readonly requestId: string
}

/** The client that somebody is on the way to. */
export interface ClientNames {
  /** What people know it by; its id where it has no name. */
  readonly name: string
  /** Its home page. */
  readonly homeUri: string | null
}

export interface Content {
  /** Of the tab, without the operator's name. */
  readonly title: string
  /** Whether it says first of all that something is wrong. */
  readonly isProblem?: boolean
  readonly main: Html
  /** Below the card. */
  readonly below?: Html | null
}

/** Of a form, in their order. */
export type Parameters = readonly (readonly [name: string, value: string])[]

/**
 * A whole page: the operator's name and logo, and one card. Characters outside Latin-1 are written as markup
 * here: one such character takes the whole text twice the memory, and several times as long to send.
 */
export function layout({ look, language }: Frame, { title, isProblem = false, main, below }: Content): Html {
  const { tag, texts } = language
  return html`<!doctype html>
<html lang="${tag}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<meta name="referrer" content="same-origin">
<title>${isProblem ? `${texts.problem}: ` : ''}${title} &ndash; ${look.name}</title>
<link rel="icon" href="${look.pictureAddress}">
${look.style}
</head>
<body>
<header>${look.logo}<span>${nameOf(look.name)}</span></header>
<main>
${main}
</main>
${below ? html`<footer>${below}</footer>` : null}
</body>
</html>
`
}

/** A form that leads back to us. `hidden` are its values that are not typed. */
export function ownForm({ look }: Frame, path: string, hidden: Parameters, content: Html): Html {
  return html`<form method="post" action="${look.base}${path}">
${hiddenFields(hidden)}
${content}
</form>`
}

export function hiddenFields(parameters: Parameters): readonly Html[] {
  return parameters.map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)
}

/** For who is not the one that is logged in. `href` is a path of ours. */
export function anotherLink({ look, language }: Frame, href: string): Html {
  return html`<a class="go" href="${look.base}${href}">${language.texts.useAnother}</a>`
}

/** A way back to the client; null where it has no home page. `look` is its class in the style sheet. */
export function wayBack({ language }: Frame, client: ClientNames | null, look = 'go'): Html | null {
  const target = client?.homeUri == null ? undefined : linkTarget(client.homeUri)
  if (!client || target === undefined) return null
  return html`<a class="${look}" href="${target}">${language.texts.backTo(nameOf(client.name))}</a>`
}
