import { html, nameOf, type Html, type Piece } from '../../html.ts'
import { layout, type Frame } from '../../layout.ts'
import { told, type AccountState } from './parts.ts'

export interface OverviewData {
  readonly username: string
  readonly name: string | null
  readonly mail: string | null
  readonly hasPassword: boolean
  /** How many passkeys there are; null where none can be had. */
  readonly passkeys: number | null
  readonly hasTotp: boolean
  /** How many are left; null where they would open nothing. */
  readonly recoveryCodes: number | null
  /** How many personal access tokens live; null where there are none, and none can be made. */
  readonly tokens: number | null
}

/** So few recovery codes are told of. */
const fewCodes = 3

/** The first page of an account, which leads to all others. */
export function overviewView(frame: Frame, state: AccountState, data: OverviewData): Html {
  const { ownAccount } = frame.language.texts
  const { overview: texts, none } = ownAccount
  const { name, mail, passkeys, recoveryCodes } = data
  const rows: readonly (readonly [path: string, title: string, said: Piece])[] = [
    ['profile', ownAccount.profile.title, name === null ? none : nameOf(name)],
    ['mail', ownAccount.mail.title, mail === null ? none : nameOf(mail)],
    ['password', ownAccount.password.title, data.hasPassword ? texts.passwordText : texts.noPassword],
    ['passkeys', ownAccount.passkeys.title, passkeys === null ? null : texts.passkeys(passkeys)],
    [
      'authenticator',
      ownAccount.authenticator.title,
      data.hasTotp ? texts.authenticatorOn : texts.authenticatorOff,
    ],
    [
      'recovery-codes',
      ownAccount.recoveryCodes.title,
      recoveryCodes === null ? null : texts.codesLeft(recoveryCodes),
    ],
    ['places', ownAccount.places.title, texts.placesText],
    ['apps', ownAccount.apps.title, texts.appsText],
    ['tokens', ownAccount.tokens.title, data.tokens === null ? null : texts.tokens(data.tokens)],
  ]
  const { base } = frame.look
  const hasFew = recoveryCodes !== null && recoveryCodes < fewCodes
  return layout(frame, {
    title: ownAccount.heading,
    main: html`<h1>${ownAccount.heading}</h1>
<p>${ownAccount.loggedInAs(nameOf(data.username))}</p>
${told(frame, state)}
${hasFew ? html`<p role="status">${texts.fewCodes}</p>` : null}
<ul class="rows">${rows
      .filter(([, , said]) => said !== null)
      .map(
        ([path, title, said]) =>
          html`<li><a class="row" href="${base}/account/${path}">${title}</a><span class="quiet">${said}</span></li>`,
      )}</ul>`,
    below: html`<a class="go" href="${base}/log-out">${ownAccount.logOut}</a>`,
  })
}
