import { html, nameOf, type Html } from '../../html.ts'
import { ownForm, type ClientNames, type Frame } from '../../layout.ts'
import { scopeLines, type ScopeInWords } from '../consent.ts'
import { detailList, type DetailInWords } from '../details.ts'
import { accountLayout, removal, timeOf, type AccountState } from './parts.ts'

export interface AppsData {
  readonly apps: readonly {
    readonly id: string
    readonly client: ClientNames
    readonly operator: string | null
    readonly grantedAt: number
    readonly scopes: readonly ScopeInWords[]
    readonly details: readonly DetailInWords[]
  }[]
}

/** POST /account/apps with `client_id`, whose access is taken back. */
export function appsView(frame: Frame, state: AccountState, { apps }: AppsData): Html {
  const { ownAccount, consent } = frame.language.texts
  const { apps: texts } = ownAccount
  const rows = apps.map(({ id, client, operator, grantedAt, scopes, details }, i) => {
    const name = nameOf(client.name)
    const exactly = html`<p id="exactly-${i}">${consent.details.lately}</p>
${detailList(frame, details, `exactly-${i}`)}`
    const withdraw = html`<button class="second danger">${texts.withdraw(name)}</button>`
    return html`<li><h2>${name}</h2>
${operator === null ? null : html`<p class="quiet">${consent.operator(nameOf(operator))}</p>`}
<p class="quiet">${texts.since} ${timeOf(frame, state, grantedAt)}</p>
<p>${texts.may}</p>
<ul>${scopeLines(consent, scopes)}</ul>
${details.length === 0 ? null : exactly}
${removal(texts.withdrawShort, ownForm(frame, '/account/apps', [['client_id', id]], withdraw))}</li>`
  })
  return accountLayout(frame, state, {
    title: texts.title,
    main: [
      html`<p>${apps.length === 0 ? texts.nothing : texts.what}</p>`,
      apps.length === 0 ? null : html`<ul class="rows">${rows}</ul>`,
    ],
  })
}
