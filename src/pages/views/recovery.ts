import { html, nameOf, type Html } from '../html.ts'
import { layout, ownForm, type Frame, type Parameters } from '../layout.ts'
import type { RecoveryProblem } from '../texts/recovery-texts.ts'

/** Of the pages that ask for a mail. */
export interface AskData {
  readonly what: 'reset' | 'signUp'
  /** The sealed authorization request, which comes back as `request`; null for none. */
  readonly request: string | null
  /** As typed before, or hinted at; empty for none. */
  readonly typed: string
  readonly problem: RecoveryProblem | null
}

/** POST /reset with `username`, or POST /sign-up with `email`; and `request`. */
export function askView(frame: Frame, { what, request, typed, problem }: AskData): Html {
  const { recovery } = frame.language.texts
  const isReset = what === 'reset'
  const texts = isReset ? recovery.askReset : recovery.askSignUp
  const name = isReset ? 'username' : 'email'
  const field = isReset
    ? html`autocomplete="username" autocapitalize="none" spellcheck="false"`
    : html`type="email" autocomplete="email"`
  return layout(frame, {
    title: texts.title,
    isProblem: problem !== null,
    main: html`<h1>${texts.title}</h1>
<p>${texts.text}</p>
${problemBox(frame, problem)}
${ownForm(
  frame,
  isReset ? '/reset' : '/sign-up',
  withRequest(request),
  html`<label for="${name}">${texts.label}</label>
<input id="${name}" name="${name}" value="${typed}" ${field} required${fault(problem) ?? html` autofocus`}>
<button type="submit">${texts.submit}</button>`,
)}
${logInLink(frame, request, recovery.backToLogIn)}`,
  })
}

export interface SentData extends Pick<AskData, 'what' | 'request' | 'problem'> {
  /** What the code is made from, sealed, which comes back as `waiting`. */
  readonly waiting: string
}

/**
 * What is shown when a mail was asked for, to anybody. It needs no script. POST /reset or /sign-up with
 * `waiting`, `code` and `request`.
 */
export function sentView(frame: Frame, { what, request, waiting, problem }: SentData): Html {
  const texts = frame.language.texts.recovery.sent
  const goOn = what === 'reset' ? texts.goOnReset : texts.goOnSignUp
  return layout(frame, {
    title: texts.title,
    isProblem: problem !== null,
    main: html`<h1>${texts.title}</h1>
${problemBox(frame, problem) ?? html`<p role="status">${texts[what]}</p>`}
<p>${texts.otherDevice}</p>
${ownForm(
  frame,
  what === 'reset' ? '/reset' : '/sign-up',
  [['waiting', waiting], ...withRequest(request)],
  html`<label for="code">${texts.code}</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code"
maxlength="12" required${fault(problem)}>
<button type="submit">${texts.submit}</button>`,
)}
<p class="quiet note">${texts.nothing}</p>
${request === null ? null : html`<a class="act second" href="${frame.look.base}/log-in?request=${request}">${goOn}</a>`}`,
  })
}

export interface NewPasswordData {
  /** The text of the link, which comes back as `link`. */
  readonly link: string
  readonly username: string
  readonly isFirst: boolean
  readonly problem: RecoveryProblem | null
}

/** POST /reset with `link` and `password`. The user name is there for password managers. */
export function newPasswordView(frame: Frame, { link, username, isFirst, problem }: NewPasswordData): Html {
  const texts = frame.language.texts.recovery.newPassword
  const title = isFirst ? texts.titleFirst : texts.title
  return layout(frame, {
    title,
    isProblem: problem !== null,
    main: html`<h1>${title}</h1>
${isFirst ? null : html`<p>${texts.what}</p>`}
${problemBox(frame, problem)}
${ownForm(
  frame,
  '/reset',
  [['link', link]],
  html`<label for="username">${texts.username}</label>
<input id="username" value="${username}" autocomplete="username" readonly>
${passwordField(frame, problem, true)}
<button type="submit">${texts.submit}</button>`,
)}`,
  })
}

export interface NewAccountData {
  readonly link: string
  /** That the link was mailed to. */
  readonly address: string
  /** As typed before, or else the address. */
  readonly username: string
  readonly problem: RecoveryProblem | null
}

/** POST /sign-up with `link`, `username` and `password`. */
export function newAccountView(frame: Frame, { link, address, username, problem }: NewAccountData): Html {
  const texts = frame.language.texts.recovery.newAccount
  return layout(frame, {
    title: texts.title,
    isProblem: problem !== null,
    main: html`<h1>${texts.title}</h1>
<p>${texts.address(nameOf(address))}</p>
${problemBox(frame, problem)}
${ownForm(
  frame,
  '/sign-up',
  [['link', link]],
  html`<label for="username">${texts.username}</label>
<input id="username" name="username" value="${username}" autocomplete="username"
autocapitalize="none" spellcheck="false" required${isOfPassword(problem) ? null : (fault(problem) ?? html` autofocus`)}>
${passwordField(frame, problem, false)}
<button type="submit">${texts.submit}</button>`,
)}`,
  })
}

export interface VerifyData {
  readonly link: string
  readonly address: string
  /** Whether the user name is asked for, since its user is not logged in here. */
  readonly asksName: boolean
  /** As typed before. */
  readonly username: string
  readonly problem: RecoveryProblem | null
}

/** POST /verify with `link` and, where it is asked for, `username`. */
export function verifyView(frame: Frame, data: VerifyData): Html {
  const { link, address, asksName, username, problem } = data
  const texts = frame.language.texts.recovery.verify
  const field = html`<p>${texts.why}</p>
<label for="username">${texts.username}</label>
<input id="username" name="username" value="${username}" autocomplete="username"
autocapitalize="none" spellcheck="false" required${fault(problem) ?? html` autofocus`}>`
  return layout(frame, {
    title: texts.title,
    isProblem: problem !== null,
    main: html`<h1>${texts.title}</h1>
<p>${texts.text(nameOf(address))}</p>
${problemBox(frame, problem)}
${ownForm(
  frame,
  '/verify',
  [['link', link]],
  html`${asksName ? field : null}
<button type="submit">${texts.submit}</button>`,
)}`,
  })
}

/** `isFirst`: nothing is to be typed before it. */
function passwordField(frame: Frame, problem: RecoveryProblem | null, isFirst: boolean): Html {
  const { label, advice } = frame.language.texts.recovery.newPassword
  const isWrong = isOfPassword(problem)
  const described = isWrong ? 'advice problem' : 'advice'
  return html`<label for="password">${label}</label>
<input id="password" name="password" type="password" autocomplete="new-password" required
aria-describedby="${described}"${isWrong ? html` aria-invalid="true"` : null}${isFirst || isWrong ? html` autofocus` : null}>
<p class="hint" id="advice">${advice}</p>`
}

function isOfPassword(problem: RecoveryProblem | null): boolean {
  return problem !== null && problem.startsWith('password_')
}

function fault(problem: RecoveryProblem | null): Html | null {
  return problem === null ? null : html` aria-invalid="true" aria-describedby="problem" autofocus`
}

function problemBox({ language: { texts } }: Frame, problem: RecoveryProblem | null): Html | null {
  return problem === null ? null : html`<p id="problem" role="alert">${texts.recovery.problems[problem]}</p>`
}

function withRequest(request: string | null): Parameters {
  return request === null ? [] : [['request', request]]
}

function logInLink({ look }: Frame, request: string | null, text: string): Html | null {
  if (request === null) return null
  return html`<p class="other"><a class="go" href="${look.base}/log-in?request=${request}">${text}</a></p>`
}
