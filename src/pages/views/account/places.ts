import type { Place, Places } from '../../../account/places.ts'
import { formatUuid } from '../../../protocol/secrets.ts'
import { readUserAgent } from '../../../values/user-agent.ts'
import { html, nameOf, type Html } from '../../html.ts'
import { ownForm, type Frame } from '../../layout.ts'
import { accountLayout, factList, ofRow, timeOf, type AccountState } from './parts.ts'

type App = Places['apps'][number]

const path = '/account/places'

/** POST /account/places with `sign_in` or `session`, or with `decision` `end_others`. */
export function placesView(frame: Frame, state: AccountState, { browsers, apps, hasTokens }: Places): Html {
  const { places: texts } = frame.language.texts.ownAccount
  const hasOthers = browsers.some(({ isHere }) => !isHere) || apps.length > 0 || hasTokens
  const endOthers = html`<p>${texts.endOthersWhat}${hasTokens ? html` ${texts.endOthersTokens}` : null}</p>
<button type="submit" name="decision" value="end_others">${texts.endOthers}</button>`
  const others = html`<h2 id="others">${texts.otherApps}</h2>
<p>${texts.otherAppsWhat}</p>
<ul class="rows" aria-labelledby="others">${apps.map(app => appRow(frame, state, app))}</ul>`
  return accountLayout(frame, state, {
    title: texts.title,
    main: [
      html`<p>${texts.what}</p>`,
      html`<ul class="rows">${browsers.map(place => placeRow(frame, state, place))}</ul>`,
      apps.length === 0 ? null : others,
      hasOthers ? ownForm(frame, path, [], endOthers) : html`<p>${texts.noOthers}</p>`,
    ],
  })
}

function placeRow(frame: Frame, state: AccountState, { signIn, isHere, apps }: Place): Html {
  const { places: texts } = frame.language.texts.ownAccount
  const name = placeName(frame, signIn.user_agent)
  const { first_address: first, last_address: last } = signIn
  const facts = factList([
    [texts.since, timeOf(frame, state, signIn.created_at)],
    [texts.used, timeOf(frame, state, signIn.used_at)],
    [texts.address, last],
    [texts.firstAddress, first === last ? null : first],
  ])
  const id = formatUuid(signIn.id)
  const end = html`<button class="second"${ofRow(id)}>${texts.end}</button>`
  return html`<li><h2 id="${id}">${isHere ? html`${texts.here}: ` : null}${name}</h2>
${facts}
${apps.length === 0 ? null : html`<p class="quiet">${texts.appsOf}</p><ul class="rows">${apps.map(app => appRow(frame, state, app))}</ul>`}
${isHere ? null : ownForm(frame, path, [['sign_in', id]], end)}</li>`
}

function appRow(frame: Frame, state: AccountState, app: App): Html {
  const { places: texts } = frame.language.texts.ownAccount
  const name = nameOf(app.client_name ?? app.client_id)
  const facts = factList([
    [texts.since, timeOf(frame, state, app.started_at ?? app.auth_time)],
    [texts.used, timeOf(frame, state, app.rotated_at)],
    [texts.address, app.address],
  ])
  const id = formatUuid(app.id)
  const end = html`<button class="second"${ofRow(id)}>${texts.end}</button>`
  return html`<li><h3 id="${id}">${name}</h3>
${facts}
${ownForm(frame, path, [['session', id]], end)}</li>`
}

/** What a browser is called, as far as it says so. */
function placeName({ language }: Frame, userAgent: string): string {
  const { places: texts } = language.texts.ownAccount
  const { browser, system } = readUserAgent(userAgent)
  if (browser === undefined) return system ?? texts.unknownBrowser
  return system === undefined ? browser : texts.browserOn(browser, system)
}
