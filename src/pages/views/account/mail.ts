import { html, nameOf, type Html } from '../../html.ts'
import { ownForm, type Frame } from '../../layout.ts'
import { accountLayout, faultOf, type AccountState } from './parts.ts'

export interface MailData {
  /** The address that counts; null for none. */
  readonly present: string | null
  /** As typed before. */
  readonly typed: string
  /** Whether mails can be sent from here. */
  readonly isPossible: boolean
}

/** POST /account/mail with `email`. */
export function mailView(frame: Frame, state: AccountState, { present, typed, isPossible }: MailData): Html {
  const { mail: texts, problems } = frame.language.texts.ownAccount
  const form = html`<label for="email">${texts.label}</label>
<input id="email" name="email" type="email" value="${typed}" autocomplete="email"
maxlength="254" required${faultOf(state.problem !== null)}>
<button type="submit">${texts.submit}</button>`
  return accountLayout(frame, state, {
    title: texts.title,
    main: [
      html`<p>${present === null ? texts.noneYet : texts.present(nameOf(present))}</p>`,
      isPossible ? html`<p>${texts.what}</p>` : html`<p>${problems.mail_unavailable}</p>`,
      isPossible ? ownForm(frame, '/account/mail', [], form) : null,
    ],
  })
}
