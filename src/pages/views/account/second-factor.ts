import { html, nameOf, type Html } from '../../html.ts'
import { layout, type Frame } from '../../layout.ts'
import { totpForm, type PreparedTotp } from './authenticator.ts'
export type { PreparedTotp }
import { told, type AccountState } from './parts.ts'

export interface SecondFactorData {
  /** The sealed authorization request that goes on afterwards. */
  readonly request: string
  /** Who asks for it. */
  readonly clientName: string
  /** The form that makes a passkey; null where none would do, or can be made. */
  readonly passkey: Html | null
  /** Null where an app would not do. */
  readonly prepared: PreparedTotp | null
  /** Leads to the app, where a passkey is offered first; null where it is shown already. */
  readonly appHref: string | null
}

/** POST /account/second-factor with `request`, and `passkey` and `name`, or `totp` and `code`. */
export function secondFactorView(frame: Frame, state: AccountState, data: SecondFactorData): Html {
  const { secondFactor: texts } = frame.language.texts.ownAccount
  const { request, passkey, prepared, appHref } = data
  const hidden = [['request', request]] as const
  const app = prepared && totpForm(frame, state, { path: '/account/second-factor', hidden, prepared })
  return layout(frame, {
    title: texts.title,
    isProblem: state.problem !== null,
    main: html`<h1>${texts.title}</h1>
<p>${texts.what(nameOf(data.clientName))}</p>
${told(frame, state)}
${passkey && html`<h2>${texts.byPasskey}</h2>`}
${passkey}
${app || appHref !== null ? html`<h2>${texts.byApp}</h2>` : null}
${app}
${appHref === null ? null : html`<a class="act second" href="${frame.look.base}${appHref}">${texts.appWhat}</a>`}`,
  })
}
