import { html, nameOf, type Html } from '../html.ts'
import { anotherLink, layout, ownForm, type ClientNames, type Frame } from '../layout.ts'
import type { LogInProblem } from '../texts/texts.ts'
import { passkeyButton, type PasskeyButtonData } from './passkey.ts'

export interface LogInData {
  /** The sealed authorization request, which comes back as `request`. */
  readonly request: string
  readonly client: ClientNames
  /** What asks for a passkey; null where there are none. */
  readonly passkey: PasskeyButtonData | null
  /** As typed before, or hinted at; empty for none. */
  readonly username: string
  /** Who is logged in, and is asked to show it again; null where that is not so. */
  readonly loggedInAs: string | null
  /** With `loggedInAs`: a path of ours for who is somebody else; null for none. */
  readonly anotherHref: string | null
  /** Whether the box is ticked with which the browser stays logged in. */
  readonly stays: boolean
  /** Whether it is to connect another device: then that is told from the browser. */
  readonly isForDevice: boolean
  readonly problem: LogInProblem | null
  /** Paths of ours for who has forgotten the password, or has no account; null where that is not offered. */
  readonly resetHref: string | null
  readonly signUpHref: string | null
  /** With `throttled` and `unavailable`: when to try again, in seconds. */
  readonly retryAfter?: number | undefined
}

/**
 * POST /log-in with `request`, `username`, `password` and, where it was ticked, `stay` (`1`); or with
 * `passkey` instead of the name and the password; or with `decision` `deny`, which goes back to the client.
 */
export function logInView(frame: Frame, data: LogInData): Html {
  const { request, client, loggedInAs, anotherHref, problem } = data
  const texts = frame.language.texts.logIn
  const name = nameOf(client.name)
  const isAgain = loggedInAs !== null
  const why = isAgain ? html`<p>${texts.whyAgain(name)}</p>` : null
  return layout(frame, {
    title: texts.title,
    isProblem: problem !== null,
    main: html`<h1>${isAgain ? texts.headingAgain : texts.heading(name)}</h1>
${why}
${problemBox(frame, data)}
${ownForm(frame, '/log-in', [['request', request]], fields(frame, data))}
${anotherHref === null ? null : html`<p class="other">${anotherLink(frame, anotherHref)}</p>`}`,
  })
}

function otherWays({ look, language: { texts } }: Frame, { resetHref, signUpHref }: LogInData): Html | null {
  const link = (href: string | null, text: string) =>
    href === null ? null : html`<a class="go" href="${look.base}${href}">${text}</a>`
  if (resetHref === null && signUpHref === null) return null
  return html`<p class="other">${link(resetHref, texts.recovery.forgotten)}
${link(signUpHref, texts.recovery.create)}</p>`
}

function fields(frame: Frame, data: LogInData): Html {
  const { username, stays, isForDevice, problem, passkey } = data
  const texts = frame.language.texts.logIn
  const isWrong = problem === 'wrong_credentials' || problem === 'missing_credentials'
  const fault = isWrong ? html` aria-invalid="true" aria-describedby="problem"` : null
  const stay = isForDevice ? texts.stayInBrowser : texts.stayLoggedIn
  const focus = html` autofocus`
  // With a name there already, the person goes on with the password.
  const [atName, atPassword] = username === '' ? [focus, null] : [null, focus]
  return html`<label for="username">${texts.username}</label>
<input id="username" name="username" value="${username}" autocomplete="username${passkey && ' webauthn'}"
autocapitalize="none" spellcheck="false" required${fault}${atName}>
<label for="password">${texts.password}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${fault}${atPassword}>
<label class="check"><input type="checkbox" name="stay" value="1"${stays ? html` checked` : null}>${stay}</label>
<button type="submit">${texts.submit}</button>
${passkey && passkeyButton(frame, passkey)}
${otherWays(frame, data)}
<button class="second plain" name="decision" value="deny" formnovalidate>${texts.cancel}</button>`
}

function problemBox({ language: { texts } }: Frame, { problem, retryAfter }: LogInData): Html | null {
  if (problem === null) return null
  const when = retryAfter === undefined ? '' : ` ${texts.tryAgainIn(retryAfter)}`
  return html`<p id="problem" role="alert">${texts.logIn.problems[problem]}${when}</p>`
}
