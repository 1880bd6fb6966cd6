import { addressProblems, type AddressProblem } from '../../protocol/authorization-request.ts'
import { html, type Html } from '../html.ts'
import { layout, wayBack, type ClientNames, type Frame } from '../layout.ts'
import type { MessageKind, Texts } from '../texts/texts.ts'

export interface MessageData {
  readonly kind: MessageKind
  /** Where there is a way back. */
  readonly client?: ClientNames | null
  /**
   * For who has made the app: a constant sentence in English, nothing that was sent. The problems of an
   * address have one of their own.
   */
  readonly detail?: string | undefined
  /** When to try again, in seconds. */
  readonly retryAfter?: number | undefined
  /** A path of ours, with its query, that can be opened again; null for none. */
  readonly againHref?: string | null
}

/** These tell of nothing that is wrong. */
const calm: ReadonlySet<string> = new Set<MessageKind>([
  'logged_out',
  'still_logged_in',
  'not_logged_in',
  'no_request',
  'password_set',
  'account_made',
  'address_confirmed',
  'device_connected',
  'device_denied',
  'device_answered',
])

/** Says what has happened, and what to do. */
export function messageView(frame: Frame, data: MessageData): Html {
  const { kind, client = null, detail = detailOf(kind), retryAfter, againHref = null } = data
  const { texts } = frame.language
  const { heading, text } = texts.messages[kind]
  const isProblem = !calm.has(kind)
  const when = retryAfter === undefined ? '' : ` ${texts.tryAgainIn(retryAfter)}`
  const label = labelOf(kind, texts)
  const again =
    againHref === null ? null : html`<a class="act" href="${frame.look.base}${againHref}">${label}</a>`
  return layout(frame, {
    title: heading,
    isProblem,
    main: html`<h1>${heading}</h1>
<p>${text}${when}</p>
${again}
${wayBack(frame, client, againHref === null ? 'act' : 'act second')}
${detail === undefined ? null : html`<p class="quiet note">${texts.forDevelopers}: <span lang="en">${detail}</span></p>`}`,
    below: isProblem ? html`${texts.requestId}: <code>${frame.requestId}</code>` : null,
  })
}

/** Of what leads on. */
function labelOf(kind: MessageKind, texts: Texts): string {
  if (kind === 'other_browser') return texts.beginHere
  if (kind === 'device_expired' || kind === 'device_answered') return texts.device.another
  if (kind === 'password_set' || kind === 'account_made') return texts.logIn.submit
  return kind === 'mail_taken' ? texts.recovery.askReset.title : texts.again
}

function detailOf(kind: MessageKind): string | undefined {
  return Object.hasOwn(addressProblems, kind) ? addressProblems[kind as AddressProblem] : undefined
}
