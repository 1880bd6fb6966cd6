import { ownClaims, type OwnClaim, type Profile } from '../../../account/profile.ts'
import { html, type Html } from '../../html.ts'
import { ownForm, type Frame } from '../../layout.ts'
import { accountLayout, faultOf, type AccountState } from './parts.ts'

export interface ProfileData {
  /** As it is known, or was typed. */
  readonly profile: Profile
  readonly wrong: readonly OwnClaim[]
  /** The languages that there are, each with its own name for itself. */
  readonly languages: readonly (readonly [tag: string, name: string])[]
}

/** HTML §4.10.18.7 */
const autocompletes: Readonly<Record<OwnClaim, string>> = {
  name: 'name',
  given_name: 'given-name',
  family_name: 'family-name',
  nickname: 'nickname',
  birthdate: 'bday',
  phone_number: 'tel',
  website: 'url',
  'address.street_address': 'street-address',
  'address.postal_code': 'postal-code',
  'address.locality': 'address-level2',
  'address.region': 'address-level1',
  'address.country': 'country-name',
  locale: 'off',
  zoneinfo: 'off',
}

/** POST /account/profile with a field for each of `ownClaims`: those left out, or empty, are removed. */
export function profileView(frame: Frame, state: AccountState, data: ProfileData): Html {
  const { ownAccount } = frame.language.texts
  const form = html`${ownClaims.map(name => field(frame, data, name))}
<button type="submit">${ownAccount.save}</button>`
  return accountLayout(frame, state, {
    title: ownAccount.profile.title,
    main: [html`<p>${ownAccount.profile.what}</p>`, ownForm(frame, '/account/profile', [], form)],
  })
}

function field({ language }: Frame, { profile, wrong, languages }: ProfileData, name: OwnClaim): Html {
  const { fields, hints, wrong: wrongText, anyLanguage } = language.texts.ownAccount.profile
  const [value = '', id, isWrong] = [profile[name], name.replace('.', '-'), wrong.includes(name)]
  const hint = hints[name] ?? (isWrong ? wrongText : null)
  const described = hint === null ? null : html` aria-describedby="${id}-hint"`
  const fault = isWrong ? faultOf(true, `${id}-hint`, wrong[0] === name) : described
  const common = html`id="${id}" name="${name}" autocomplete="${autocompletes[name]}"${fault}`
  const known = languages.some(([tag]) => tag === value) || value === ''
  const options = [['', anyLanguage] as const, ...languages, ...(known ? [] : [[value, value] as const])]
  const input =
    name === 'locale'
      ? html`<select ${common}>${options.map(
          ([tag, text]) =>
            html`<option value="${tag}"${tag === value ? html` selected` : null}>${text}</option>`,
        )}</select>`
      : name === 'address.street_address'
        ? html`<textarea ${common} rows="2">${value}</textarea>`
        : html`<input ${common} value="${value}">`
  return html`<label for="${id}">${fields[name]}</label>
${input}
${hint === null ? null : html`<p class="hint" id="${id}-hint">${hint}</p>`}
`
}
