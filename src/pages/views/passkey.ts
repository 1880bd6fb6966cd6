import type {
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
} from '@simplewebauthn/server'
import { html, type Html } from '../html.ts'
import type { Frame, Parameters } from '../layout.ts'

/**
 * What a page with a button for passkeys shows in a form of its own (`ownForm`). The answer comes back in the
 * field `passkey` of that form. The page is shown with `script: 'passkey'` (`ShowOptions`).
 */
export interface PasskeyButtonData {
  readonly options: PublicKeyCredentialRequestOptionsJSON
  /** Whether the browser offers passkeys by autofill too: only where the form asks for a user name. */
  readonly isAutofill: boolean
  /** A passkey that is unknown here, in base64url, of which the browser is told; null for none. */
  readonly unknown: string | null
}

/** The button, what it says when nothing came of it, and the script. Last in its form, once in a page. */
export function passkeyButton(frame: Frame, data: PasskeyButtonData): Html {
  return html`${frame.requestId}${JSON.stringify(data)}`
}

export interface PasskeySetUpData {
  /** Where the answer goes: a path of ours. */
  readonly path: string
  /** Fields that go with it. */
  readonly hidden: Parameters
  readonly options: PublicKeyCredentialCreationOptionsJSON
}

/** A form with `name` and `passkey` that makes a passkey. Shown with `script: 'passkey'`. */
export function passkeySetUp(frame: Frame, data: PasskeySetUpData): Html {
  return html`${frame.requestId}${JSON.stringify(data)}`
}

/** What tells the browser which passkeys of a user are good here. Shown with `script: 'passkey'`. */
export interface PasskeySignalData {
  readonly rpId: string
  /** In base64url, as all ids here. */
  readonly userId: string
  readonly allAcceptedCredentialIds: readonly string[]
}

export function passkeySignal(data: PasskeySignalData): Html {
  return html`${JSON.stringify(data)}`
}
