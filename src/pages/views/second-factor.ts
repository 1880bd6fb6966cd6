import { html, nameOf, type Html } from '../html.ts'
import { anotherLink, layout, ownForm, type Frame } from '../layout.ts'
import type { LogInProblem } from '../texts/texts.ts'
import { passkeyButton, type PasskeyButtonData } from './passkey.ts'

export interface SecondFactorStepData {
  /** The sealed authorization request, which comes back as `request`. */
  readonly request: string
  readonly username: string
  /** A path of ours for who is somebody else. */
  readonly anotherHref: string
  /** Whether there is an authenticator app, whose code would do. */
  readonly takesCode: boolean
  /** Whether there are recovery codes, of which one would do. */
  readonly takesRecoveryCode: boolean
  /** Null where no passkey would do. */
  readonly passkey: PasskeyButtonData | null
  readonly problem: LogInProblem | null
  /** With `throttled` and `unavailable`: when to try again, in seconds. */
  readonly retryAfter?: number | undefined
}

/**
 * POST /log-in with `request` and `code`, `recovery_code` or `passkey`; or with `decision` `deny`, which goes
 * back to the client.
 */
export function secondFactorStepView(frame: Frame, data: SecondFactorStepData): Html {
  const { texts } = frame.language
  const { request, username, problem } = data
  return layout(frame, {
    title: texts.secondStep.title,
    isProblem: problem !== null,
    main: html`<h1>${texts.secondStep.title}</h1>
<p>${texts.secondStep.what(nameOf(username))}</p>
${problemBox(frame, data)}
${ownForm(frame, '/log-in', [['request', request]], fields(frame, data))}
<p class="other">${anotherLink(frame, data.anotherHref)}</p>`,
  })
}

function fields(frame: Frame, { takesCode, takesRecoveryCode, passkey }: SecondFactorStepData): Html {
  const { secondStep: texts, logIn } = frame.language.texts
  const code = html`<label for="code">${texts.code}</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="12" autofocus>`
  const recovery = html`<label for="recovery_code">${texts.recoveryCode}</label>
<input id="recovery_code" name="recovery_code" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="40">`
  const open = takesCode || passkey ? null : html` open`
  const details = html`<details${open}><summary>${texts.lost}</summary>${recovery}</details>`
  const isTyped = takesCode || takesRecoveryCode
  const cancel = html`<button class="second plain" name="decision" value="deny" formnovalidate>${logIn.cancel}</button>`
  const instead = html`<p>${passkey ? texts.passkeyAlone : texts.none}</p>`
  return html`${takesCode ? code : null}
${takesRecoveryCode ? details : null}
${isTyped ? html`<button type="submit">${logIn.submit}</button>` : instead}
${passkey && passkeyButton(frame, passkey)}
${isTyped || passkey ? cancel : html`<button type="submit" name="decision" value="deny">${logIn.cancel}</button>`}`
}

function problemBox(
  { language: { texts } }: Frame,
  { problem, retryAfter }: SecondFactorStepData,
): Html | null {
  if (problem === null) return null
  const when = retryAfter === undefined ? '' : ` ${texts.tryAgainIn(retryAfter)}`
  return html`<p id="problem" role="alert">${texts.logIn.problems[problem]}${when}</p>`
}
