import { html, type Html } from '../../html.ts'
import { layout, ownForm, type Frame } from '../../layout.ts'
import { accountLayout, told, type AccountState } from './parts.ts'

export interface RecoveryCodesData {
  /** How many are left; null where the user has no second factor, for which they would stand in. */
  readonly left: number | null
}

/** POST /account/recovery-codes makes new ones. */
export function recoveryCodesView(frame: Frame, state: AccountState, { left }: RecoveryCodesData): Html {
  const { recoveryCodes: texts } = frame.language.texts.ownAccount
  const form = html`<p>${texts.makeWhat}</p>
<button type="submit" name="decision" value="make">${texts.make}</button>`
  return accountLayout(frame, state, {
    title: texts.title,
    main: [
      html`<p>${texts.what}</p>`,
      html`<p>${left === null ? texts.noFactor : texts.left(left)}</p>`,
      left === null ? null : ownForm(frame, '/account/recovery-codes', [], form),
    ],
  })
}

export interface NewRecoveryCodesData {
  readonly codes: readonly string[]
  /** Where somebody who has kept them goes on: a path of ours. */
  readonly nextHref: string
}

/** Shows codes, this once. */
export function newRecoveryCodesView(
  frame: Frame,
  state: AccountState,
  { codes, nextHref }: NewRecoveryCodesData,
): Html {
  const { recoveryCodes: texts } = frame.language.texts.ownAccount
  return layout(frame, {
    title: texts.newTitle,
    main: html`<h1>${texts.newTitle}</h1>
${told(frame, state)}
<p>${texts.newWhat}</p>
<ol class="codes" aria-label="${texts.list}">${codes.map(code => html`<li><code>${code}</code></li>`)}</ol>
<p class="quiet">${texts.keep}</p>
<a class="act" href="${frame.look.base}${nextHref}">${texts.kept}</a>`,
  })
}
