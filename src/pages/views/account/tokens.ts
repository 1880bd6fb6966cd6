import type { OwnToken } from '../../../account/tokens.ts'
import { formatUuid } from '../../../protocol/secrets.ts'
import { html, nameOf, type Html } from '../../html.ts'
import { layout, ownForm, type Frame } from '../../layout.ts'
import { scopeLines, scopeText, type ScopeInWords } from '../consent.ts'
import { accountLayout, factList, faultOf, ofRow, removal, timeOf, told, type AccountState } from './parts.ts'

const path = '/account/tokens'

export interface ShownToken extends Pick<
  OwnToken,
  'id' | 'name' | 'resource' | 'started_at' | 'rotated_at' | 'expires_at' | 'isOver'
> {
  readonly scopes: readonly ScopeInWords[]
  /** Whether its API takes such tokens still. */
  readonly isOfUse: boolean
}

export interface TokensData {
  readonly tokens: readonly ShownToken[]
  /** Whether there are as many as there can be. */
  readonly isFull: boolean
  /** Whether no API takes any. */
  readonly isOff: boolean
}

/** POST /account/tokens with `id`, or with `decision` `end_all`. */
export function tokensView(frame: Frame, state: AccountState, data: TokensData): Html {
  const { tokens: texts } = frame.language.texts.ownAccount
  const { tokens, isFull, isOff } = data
  const living = tokens.filter(({ isOver }) => !isOver)
  const endAll = html`<p>${texts.endAllWhat}</p>
<button class="second danger" name="decision" value="end_all">${texts.endAll}</button>`
  return accountLayout(frame, state, {
    title: texts.title,
    main: [
      html`<p>${texts.what}</p>`,
      isOff ? html`<p>${texts.off}</p>` : null,
      tokens.length === 0 ? html`<p>${texts.noneYet}</p>` : null,
      isFull || isOff ? null : html`<a class="act" href="${frame.look.base}${path}/new">${texts.make}</a>`,
      isFull ? html`<p>${frame.language.texts.ownAccount.problems.token_too_many}</p>` : null,
      tokens.length === 0 ? null : list(frame, state, tokens),
      living.length > 1 ? removal(texts.endAll, ownForm(frame, path, [], endAll)) : null,
    ],
  })
}

function list(frame: Frame, state: AccountState, tokens: readonly ShownToken[]): Html {
  return html`<h2 id="tokens">${frame.language.texts.ownAccount.tokens.list}</h2>
<ul class="rows" aria-labelledby="tokens">${tokens.map(token => row(frame, state, token))}</ul>`
}

function row(frame: Frame, state: AccountState, token: ShownToken): Html {
  const { consent, ownAccount } = frame.language.texts
  const { tokens: texts, never, apps } = ownAccount
  const { name, resource, scopes, started_at, rotated_at, expires_at, isOver, isOfUse } = token
  const id = formatUuid(token.id)
  const facts = factList([
    [texts.api, resource === null ? null : nameOf(resource)],
    [texts.made, timeOf(frame, state, started_at ?? rotated_at)],
    [texts.used, rotated_at === started_at ? never : timeOf(frame, state, rotated_at)],
    [isOver ? texts.over : texts.ends, timeOf(frame, state, expires_at)],
  ])
  const end = html`<button class="second danger"${ofRow(id)}>${texts.end}</button>`
  return html`<li><h3 id="${id}">${nameOf(name)}</h3>
${isOver ? html`<p>${texts.isOver}</p>` : null}
${isOver || isOfUse ? null : html`<p>${texts.ofNoUse}</p>`}
${facts}
${scopes.length === 0 ? null : html`<p>${apps.may}</p><ul>${scopeLines(consent, scopes)}</ul>`}
${isOver ? null : ownForm(frame, path, [['id', id]], end)}</li>`
}

export interface TokenApisData {
  readonly uris: readonly string[]
  /** Of the page on which a token for one of them is made. */
  readonly path: string
}

/** Leads on to the form for one API. */
export function tokenApisView(frame: Frame, state: AccountState, { uris, path: next }: TokenApisData): Html {
  const { tokens: texts } = frame.language.texts.ownAccount
  const links = uris.map(uri => {
    const href = `${frame.look.base}${next}?${new URLSearchParams({ resource: uri })}`
    return html`<li><a class="row" href="${href}">${nameOf(uri)}</a></li>`
  })
  return accountLayout(frame, state, {
    title: texts.newTitle,
    main: [
      html`<p id="apis">${texts.whichApi}</p>`,
      html`<ul class="rows" aria-labelledby="apis">${links}</ul>`,
    ],
  })
}

/** What the name of the field of each scope begins with. */
export const scopeField = 'scope.'

export interface NewTokenData {
  readonly resource: string
  /** As typed before. */
  readonly name: string
  readonly scopes: readonly ScopeInWords[]
  /** Those that take a second factor, which the log-in has not shown. */
  readonly scopesBeyond: readonly ScopeInWords[]
  /** The names of those that were chosen before. */
  readonly chosen: readonly string[]
  readonly dayChoices: readonly number[]
  readonly days: number
}

/** POST /account/tokens/new with `resource`, `name`, `days` and `scope.NAME` for each scope. */
export function newTokenView(frame: Frame, state: AccountState, data: NewTokenData): Html {
  const { consent, ownAccount } = frame.language.texts
  const { tokens: texts } = ownAccount
  const { resource, name, scopes, scopesBeyond, chosen, dayChoices, days } = data
  const { problem } = state
  const nameFault = faultOf(problem === 'token_name' || problem === 'token_name_taken', 'problem hint')
  const isOfScope = problem === 'token_scope' || problem === 'token_second_factor'
  const boxes = scopes.map((scope, i) => {
    const checked = chosen.includes(scope.name) ? html` checked` : null
    const state = html`${checked}${faultOf(isOfScope, 'problem', i === 0)}`
    return html`<label class="check"><input type="checkbox" name="${scopeField}${scope.name}" value="1"${state}>
<span>${scopeText(consent, scope)}</span></label>`
  })
  const beyond = html`<p class="hint" id="beyond">${texts.beyond}</p>
<ul class="rows" aria-labelledby="beyond">${scopeLines(consent, scopesBeyond)}</ul>`
  const options = dayChoices.map(
    count =>
      html`<option value="${count}"${count === days ? html` selected` : null}>${texts.days(count)}</option>`,
  )
  const form = html`<label for="name">${texts.name}</label>
<input id="name" name="name" value="${name}" maxlength="100" autocomplete="off" required${nameFault ?? html` aria-describedby="hint"`}>
<p class="hint" id="hint">${texts.nameHint}</p>
${boxes.length === 0 ? null : html`<fieldset><legend>${texts.may}</legend>${boxes}</fieldset>`}
${scopesBeyond.length === 0 ? null : beyond}
<label for="days">${texts.howLong}</label>
<select id="days" name="days" autocomplete="off"${faultOf(problem === 'token_end')}>${options}</select>
<button type="submit">${texts.makeIt}</button>`
  return accountLayout(frame, state, {
    title: texts.newTitle,
    main: [
      html`<p>${texts.newFor(nameOf(resource))}</p>`,
      ownForm(frame, `${path}/new`, [['resource', resource]], form),
    ],
  })
}

export interface TokenData {
  readonly name: string
  readonly text: string
  readonly resource: string
}

/** Shows a token, this once. */
export function tokenView(frame: Frame, state: AccountState, { name, text, resource }: TokenData): Html {
  const { tokens: texts } = frame.language.texts.ownAccount
  return layout(frame, {
    title: texts.madeTitle,
    main: html`<h1>${texts.madeTitle}</h1>
${told(frame, state)}
<p>${texts.madeWhat}</p>
<label for="token">${texts.ofName(nameOf(name), nameOf(resource))}</label>
<textarea class="token" id="token" rows="3" readonly autofocus spellcheck="false" autocomplete="off"
aria-describedby="copy">${text}</textarea>
<p class="hint" id="copy">${texts.copy}</p>
<p class="quiet">${texts.keep}</p>
<a class="act" href="${frame.look.base}${path}">${texts.kept}</a>`,
  })
}
