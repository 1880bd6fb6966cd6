import { html, nameOf, type Html } from '../html.ts'
import { layout, ownForm, wayBack, type ClientNames, type Frame } from '../layout.ts'

export interface LogOutData {
  /** The sealed log-out request, which comes back as `request`. */
  readonly request: string
  /** Who has asked for it; null where that is not known. */
  readonly client: ClientNames | null
  /** Who is logged in. */
  readonly username: string
}

/** POST /log-out with `request` and `decision`: `log_out` or `stay`. */
export function logOutView(frame: Frame, { request, client, username }: LogOutData): Html {
  const texts = frame.language.texts.logOut
  const form = html`<button type="submit" name="decision" value="log_out">${texts.submit}</button>
<button class="second" name="decision" value="stay">${texts.stay}</button>`
  return layout(frame, {
    title: texts.title,
    main: html`<h1>${texts.heading}</h1>
<p>${texts.loggedInAs(nameOf(username))} ${texts.what}</p>
${ownForm(frame, '/log-out', [['request', request]], form)}`,
    below: wayBack(frame, client),
  })
}
