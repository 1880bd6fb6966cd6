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

export interface MailSentData {
  /** What the code is made from, sealed, which comes back as `waiting`. */
  readonly waiting: string
}

/** What is shown when a mail was asked for. POST /account/mail with `waiting` and `code`. */
export function mailSentView(frame: Frame, state: AccountState, { waiting }: MailSentData): Html {
  const { ownAccount, recovery } = frame.language.texts
  const { sent, verify } = recovery
  const form = html`<label for="code">${sent.code}</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code"
maxlength="12" required${faultOf(state.problem !== null)}>
<button type="submit">${verify.submit}</button>`
  return accountLayout(frame, state, {
    title: sent.title,
    main: [
      state.problem === null ? html`<p role="status">${ownAccount.mail.sent}</p>` : null,
      html`<p>${sent.otherDevice}</p>`,
      ownForm(frame, '/account/mail', [['waiting', waiting]], form),
      html`<p class="quiet note">${sent.nothing}</p>`,
      html`<p class="other"><a class="go" href="${frame.look.base}/account/mail">${ownAccount.mail.another}</a></p>`,
    ],
  })
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
