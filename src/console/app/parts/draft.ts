import type { Draft } from '../auth/log-in.ts'

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement

/** Secrets, and files, which no page may fill in. */
const notKept = ['password', 'file']

/**
 * What has been typed into the form that is open, if it can be sent still; undefined for one that was done,
 * and where there is none.
 */
export function draftOf(form: HTMLFormElement | null): Draft | undefined {
  if (!form?.querySelector('button:not([type=button])')) return undefined
  const fields = controlsOf(form)
    .filter(({ type }) => !notKept.includes(type))
    .map(control => [control.name, { was: defaultOf(control), typed: valueOf(control) }] as const)
  return Object.fromEntries(fields.filter(([, { was, typed }]) => was !== typed))
}

/**
 * Puts a draft back, and says so. Where somebody else has changed one of its fields since, it stays as it is:
 * the draft was made to another state. Undefined as long as the form does not have its fields.
 */
export function fillIn(form: HTMLFormElement, draft: Draft): string | undefined {
  const controls = controlsOf(form).filter(({ name }) => name in draft)
  if (controls.length < Object.keys(draft).length) return undefined
  if (controls.some(control => defaultOf(control) !== draft[control.name]?.was))
    return 'Somebody else has changed this while you logged in again. It is shown as it is now, without what you had typed.'
  for (const control of controls) {
    const typed = draft[control.name]?.typed ?? ''
    if (isCheck(control)) control.checked = typed === 'true'
    else control.value = typed
  }
  return 'You have logged in again. Nothing was done yet: look at it, and confirm.'
}

function controlsOf(form: HTMLFormElement): Control[] {
  return [...form.querySelectorAll<Control>('input[name], select[name], textarea[name]')]
}

const isCheck = (control: Control): control is HTMLInputElement => control.type === 'checkbox'

const valueOf = (control: Control) => (isCheck(control) ? String(control.checked) : control.value)

/** What it had in it before anybody typed. */
function defaultOf(control: Control): string {
  if (isCheck(control)) return String(control.defaultChecked)
  return 'defaultValue' in control ? control.defaultValue : (control.dataset['was'] ?? '')
}
