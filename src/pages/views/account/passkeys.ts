import type { PasskeyDocument } from '../../../factors/passkeys.ts'
import { html, nameOf, type Html } from '../../html.ts'
import { ownForm, type Frame } from '../../layout.ts'
import { accountLayout, factList, faultOf, ofRow, removal, timeOf, type AccountState } from './parts.ts'

export type ShownPasskey = Pick<
  PasskeyDocument,
  'id' | 'name' | 'rp_id' | 'synced' | 'created_at' | 'used_at'
>

export interface PasskeysData {
  readonly passkeys: readonly ShownPasskey[]
  /** The RP ID of those that can be used here. */
  readonly rpId: string
  /** The form that makes one; null where none can be made. */
  readonly setUp: Html | null
  /** What tells the browser which ones there are. */
  readonly signal: Html | null
}

/** The passkeys of an account. */
export function passkeysView(
  frame: Frame,
  state: AccountState,
  { passkeys, rpId, setUp, signal }: PasskeysData,
): Html {
  const { passkeys: texts } = frame.language.texts.ownAccount
  const list = html`<p id="list">${texts.list}</p>
<ul class="rows" aria-labelledby="list">${passkeys.map(passkey => row(frame, state, { passkey, rpId }))}</ul>`
  return accountLayout(frame, state, {
    title: texts.title,
    main: [
      html`<p>${texts.what}</p>`,
      passkeys.length === 0 ? null : list,
      passkeys.length === 1 ? html`<p>${texts.second}</p>` : null,
      setUp ? html`<h2>${texts.add}</h2>` : html`<p>${texts.noneHere}</p>`,
      setUp,
      signal,
    ],
  })
}

interface Row {
  readonly passkey: ShownPasskey
  readonly rpId: string
}

function row(frame: Frame, state: AccountState, one: Row): Html {
  const { passkey } = one
  const { passkeys: texts } = frame.language.texts.ownAccount
  return html`<li><h2 id="${passkey.id}">${nameOf(passkey.name)}</h2>
${factsOf(frame, state, one)}
<a class="go" href="${frame.look.base}/account/passkeys/change?id=${passkey.id}"${ofRow(passkey.id)}>${texts.change}</a></li>`
}

function factsOf(frame: Frame, state: AccountState, { passkey, rpId }: Row): Html {
  const { rp_id, synced, created_at, used_at } = passkey
  const { passkeys: texts, never } = frame.language.texts.ownAccount
  return html`${factList([
    [texts.made, timeOf(frame, state, created_at)],
    [texts.used, used_at === null ? never : timeOf(frame, state, used_at)],
  ])}
${synced ? html`<p class="quiet">${texts.synced}</p>` : null}
${rp_id === rpId ? null : html`<p>${texts.elsewhere(nameOf(rp_id))}</p>`}`
}

/** POST /account/passkeys/change with `id` and `name`, or with `id` and `decision` `remove`. */
export function passkeyChangeView(
  frame: Frame,
  state: AccountState,
  { passkey, rpId, typed }: Row & { readonly typed: string },
): Html {
  const { passkeys: texts } = frame.language.texts.ownAccount
  const path = '/account/passkeys/change'
  const hidden = [['id', passkey.id]] as const
  const rename = html`<label for="name">${texts.name}</label>
<input id="name" name="name" value="${typed}" maxlength="100" autocomplete="off" required${faultOf(state.problem === 'passkey_name')}>
<button type="submit">${texts.rename}</button>`
  const remove = html`<p>${texts.removeWhat}</p>
<button class="second danger" name="decision" value="remove">${texts.remove}</button>`
  return accountLayout(frame, state, {
    title: texts.changeTitle,
    main: [
      html`<h2>${nameOf(passkey.name)}</h2>`,
      factsOf(frame, state, { passkey, rpId }),
      html`<h2>${texts.rename}</h2>`,
      ownForm(frame, path, hidden, rename),
      removal(texts.remove, ownForm(frame, path, hidden, remove)),
    ],
  })
}
