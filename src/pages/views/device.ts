import { html, type Html } from '../html.ts'
import type { UserCodeProblem } from '../texts/texts.ts'
import { layout, ownForm, type Frame } from '../layout.ts'

export interface DeviceData {
  /** As it came, or was typed before; empty for nothing. */
  readonly typed: string
  readonly problem: UserCodeProblem | null
  /** When to try again, in seconds. */
  readonly retryAfter?: number | undefined
}

/** POST /device with `user_code`. */
export function deviceView(frame: Frame, { typed, problem, retryAfter }: DeviceData): Html {
  const { device: texts, tryAgainIn } = frame.language.texts
  const when = retryAfter === undefined ? '' : ` ${tryAgainIn(retryAfter)}`
  const box = problem && html`<p id="problem" role="alert">${texts.problems[problem]}${when}</p>`
  const fault = problem && html` aria-invalid="true" aria-describedby="problem"`
  return layout(frame, {
    title: texts.title,
    isProblem: problem !== null,
    main: html`<h1>${texts.heading}</h1>
<p>${texts.what}</p>
${box}
${ownForm(
  frame,
  '/device',
  [],
  html`<label for="user_code">${texts.code}</label>
<input id="user_code" name="user_code" class="usercode" value="${typed}" autocomplete="off" autocapitalize="characters"
spellcheck="false" maxlength="40" required${fault} autofocus>
<button type="submit">${texts.submit}</button>`,
)}
<p class="quiet note">${texts.warning}</p>`,
  })
}
