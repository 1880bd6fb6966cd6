import { html, type Html } from '../../html.ts'
import { ownForm, type Frame } from '../../layout.ts'
import { accountLayout, faultOf, type AccountState } from './parts.ts'

export interface PasswordData {
  readonly username: string
  /** Whether there are personal access tokens, which end with it. */
  readonly hasTokens: boolean
}

/** POST /account/password with `password` and `repeat`. The name is there for password managers. */
export function passwordView(frame: Frame, state: AccountState, { username, hasTokens }: PasswordData): Html {
  const { recovery, ownAccount } = frame.language.texts
  const texts = ownAccount.password
  const fault = faultOf(state.problem !== null, 'problem hint')
  const hinted = fault ?? html` aria-describedby="hint" autofocus`
  const form = html`<label for="username">${recovery.newPassword.username}</label>
<input id="username" name="username" value="${username}" autocomplete="username" readonly>
<label for="password">${texts.label}</label>
<input id="password" name="password" type="password" autocomplete="new-password" minlength="8" required${hinted}>
<p class="hint" id="hint">${texts.hint}</p>
<label for="repeat">${texts.repeat}</label>
<input id="repeat" name="repeat" type="password" autocomplete="new-password" required${faultOf(state.problem !== null, 'problem', false)}>
<button type="submit">${texts.submit}</button>`
  return accountLayout(frame, state, {
    title: texts.title,
    main: [
      html`<p>${texts.what}${hasTokens ? html` ${texts.endsTokens}` : null}</p>`,
      ownForm(frame, '/account/password', [], form),
    ],
  })
}
