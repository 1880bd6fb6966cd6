import { html, type Html } from '../../html.ts'
import { ownForm, type Frame } from '../../layout.ts'
import {
  accountLayout,
  factList,
  faultOf,
  isOfCode,
  problemBox,
  removal,
  timeOf,
  type AccountState,
} from './parts.ts'
import { qrCode } from './qr-code.ts'

/** What the app on the phone is to know, before it is set up. */
export interface PreparedTotp {
  /** Base32. */
  readonly secret: string
  /** `otpauth://` */
  readonly uri: string
  /** Comes back as `totp`. */
  readonly sealed: string
}

export interface AuthenticatorData {
  /** Of the one that is set up; null for none. */
  readonly present: { readonly created_at: number; readonly used_at: number | null } | null
  /** Null where there is one. */
  readonly prepared: PreparedTotp | null
}

/** POST /account/authenticator with `totp` and `code`, or with `decision` `remove`. */
export function authenticatorView(frame: Frame, state: AccountState, data: AuthenticatorData): Html {
  const { authenticator: texts, never } = frame.language.texts.ownAccount
  const { present, prepared } = data
  const path = '/account/authenticator'
  const remove = html`<p>${texts.removeWhat}</p>
<button class="second danger" name="decision" value="remove">${texts.remove}</button>`
  const facts =
    present &&
    factList([
      [texts.since, timeOf(frame, state, present.created_at)],
      [texts.used, present.used_at === null ? never : timeOf(frame, state, present.used_at)],
    ])
  return accountLayout(frame, state, {
    title: texts.title,
    main: [
      html`<p>${present ? texts.isOn : texts.what}</p>`,
      facts,
      present && removal(texts.remove, ownForm(frame, path, [], remove)),
      prepared && totpForm(frame, state, { path, hidden: [], prepared }),
    ],
  })
}

export interface TotpFormData {
  readonly path: string
  readonly hidden: readonly (readonly [name: string, value: string])[]
  readonly prepared: PreparedTotp
}

/** A form with `totp` and `code`, and above it what the app is to know. */
export function totpForm(
  frame: Frame,
  { problem }: AccountState,
  { path, hidden, prepared }: TotpFormData,
): Html {
  const { authenticator: texts } = frame.language.texts.ownAccount
  const { secret, uri, sealed } = prepared
  const wrong = problem !== null && isOfCode(problem) ? problem : null
  const form = html`${wrong && problemBox(frame.language, wrong)}
<label for="code">${texts.code}</label>
<input id="code" name="code" autocomplete="one-time-code" inputmode="numeric" maxlength="12" required${faultOf(wrong !== null)}>
<button type="submit">${texts.submit}</button>`
  const key = secret.match(/.{1,4}/g)?.join(' ') ?? secret
  return html`<p>${texts.scan}</p>
${qrCode(uri, texts.picture)}
<p>${texts.type} <code class="key" aria-label="${texts.secret}" role="text">${key}</code></p>
${ownForm(frame, path, [...hidden, ['totp', sealed]], form)}`
}
