import { html, linkTarget, nameOf, type Html, type Piece } from '../html.ts'
import { anotherLink, layout, ownForm, type ClientNames, type Frame } from '../layout.ts'
import type { ConsentTexts, DescribedScope } from '../texts/texts.ts'
import { detailList, type DetailInWords } from './details.ts'

export interface ConsentData {
  /** The sealed authorization request, which comes back as `request`. */
  readonly request: string
  readonly client: ClientNames & {
    /** Who runs it; null where that is not known. */
    readonly operator: string | null
    /** What is to be said of one that no administrator has made; null for any other. */
    readonly stranger: Stranger | null
  }
  /** Who is logged in. */
  readonly username: string
  /** A path of ours for who is somebody else. */
  readonly anotherHref: string
  /** What is asked for. `words` are those of the resource; null where it has none. */
  readonly scopes: readonly ScopeInWords[]
  /** What exactly is asked for. */
  readonly details: readonly DetailInWords[]
}

export interface Stranger {
  /** Where it is known to be at home; null for one that has registered itself. */
  readonly host: string | null
  /** What it calls itself. */
  readonly claimedName: string | null
  /** Where its answer goes: a host, or the address of a program on the person's own device. */
  readonly goesTo: string
  readonly isProgram: boolean
}

export interface ScopeInWords {
  readonly name: string
  /** Whether it is for no resource, so that it may be one of the admin API. */
  readonly isOfServer?: boolean
  readonly words: string | null
}

/** POST /consent with `request` and `decision`: `allow` or `deny`. */
export function consentView(frame: Frame, data: ConsentData): Html {
  const { request, client, username, anotherHref } = data
  const texts = frame.language.texts.consent
  const form = html`${askedLines(frame, texts.list, data)}
<p class="quiet">${texts.advice}</p>
<button type="submit" name="decision" value="allow">${texts.allow}</button>
<button class="second" name="decision" value="deny">${texts.deny}</button>`
  return layout(frame, {
    title: texts.title,
    main: html`<h1>${texts.heading(nameOf(client.name))}</h1>
${client.stranger === null ? whoseOf(texts, client) : strangerLines(texts.stranger, client.stranger)}
${ownForm(frame, '/consent', [['request', request]], form)}`,
    below: html`${texts.loggedInAs(nameOf(username))} ${anotherLink(frame, anotherHref)}`,
  })
}

/** Its own words come last, and as its own. */
function strangerLines(
  texts: ConsentTexts['stranger'],
  { host, claimedName, goesTo, isProgram }: Stranger,
): Html {
  const goes = (isProgram ? texts.leadsToProgram : texts.leadsTo)(nameOf(goesTo))
  const claims = claimedName === null ? null : html` ${texts.claims(nameOf(claimedName))}`
  return html`<p class="stranger">${host === null ? texts.registered : texts.belongsTo(nameOf(host))}${claims}</p>
<p>${goes}</p>`
}

/** Who runs it, and where it is at home: what a name alone does not tell. */
export function whoseOf(texts: ConsentTexts, { operator, homeUri }: ConsentData['client']): Html | null {
  const said = operator === null ? null : texts.operator(nameOf(operator))
  const target = homeUri === null ? undefined : linkTarget(homeUri)
  const home =
    target === undefined ? null : html`<a href="${target}">${URL.parse(target)?.host ?? target}</a>`
  if (!said && !home) return null
  return html`<p class="quiet">${said} ${home}</p>`
}

/** All that is asked for. Only one of the two parts may be there. */
export function askedLines(
  frame: Frame,
  heading: string,
  { scopes, details }: Pick<ConsentData, 'scopes' | 'details'>,
): readonly Html[] {
  const texts = frame.language.texts.consent
  const list = html`<p id="asked">${heading}</p>
<ul aria-labelledby="asked">${scopeLines(texts, scopes)}</ul>`
  if (details.length === 0) return [list]
  const exactly = html`<p id="exactly">${texts.details.heading}</p>
${detailList(frame, details, 'exactly')}
<p class="quiet">${texts.details.whose}</p>`
  return scopes.length === 0 ? [exactly] : [list, exactly]
}

/** A line for each scope, in words where it has some. */
export function scopeLines(texts: ConsentTexts, scopes: readonly ScopeInWords[]): readonly Html[] {
  if (scopes.length === 0) return [html`<li>${texts.nothing}</li>`]
  return scopes.map(scope => html`<li>${scopeText(texts, scope)}</li>`)
}

/** A scope in words, where it has some. */
export function scopeText(texts: ConsentTexts, { words, ...scope }: ScopeInWords): Piece {
  return wordsOf(texts, scope) ?? words ?? html`<code>${scope.name}</code>`
}

function wordsOf(
  { scopes, adminScopes }: ConsentTexts,
  { name, isOfServer }: Omit<ScopeInWords, 'words'>,
): string | undefined {
  if (Object.hasOwn(scopes, name)) return scopes[name as DescribedScope]
  return isOfServer && Object.hasOwn(adminScopes, name) ? adminScopes[name] : undefined
}
