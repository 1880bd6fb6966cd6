import { html, nameOf, type Html } from '../html.ts'
import { anotherLink, layout, ownForm, wayBack, type ClientNames, type Frame } from '../layout.ts'

export interface AccountChoiceData {
  /** The sealed authorization request, which comes back as `request`. */
  readonly request: string
  readonly client: ClientNames
  /** Who is logged in. */
  readonly username: string
  /** A path of ours for who is somebody else. */
  readonly anotherHref: string
}

/** POST /log-in with `request` and `decision`: `continue`, or `deny`, which goes back to the client. */
export function accountChoiceView(frame: Frame, data: AccountChoiceData): Html {
  const { request, client, username, anotherHref } = data
  const texts = frame.language.texts.account
  const form = html`<button type="submit" name="decision" value="continue">${texts.goOnAs(nameOf(username))}</button>
<button class="second" name="decision" value="deny">${frame.language.texts.logIn.cancel}</button>`
  return layout(frame, {
    title: texts.title,
    main: html`<h1>${texts.heading(nameOf(client.name))}</h1>
${ownForm(frame, '/log-in', [['request', request]], form)}
<p class="other">${anotherLink(frame, anotherHref)}</p>`,
    below: wayBack(frame, client),
  })
}
