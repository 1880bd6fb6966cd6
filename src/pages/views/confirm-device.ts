import { html, nameOf, type Html } from '../html.ts'
import { anotherLink, layout, ownForm, type Frame } from '../layout.ts'
import { factList, timeOf } from './account/parts.ts'
import { askedLines, whoseOf, type ConsentData } from './consent.ts'

export interface ConfirmDeviceData extends ConsentData {
  /** As the device shows it. */
  readonly userCode: string
  /** Seconds since the epoch. */
  readonly askedAt: number
  /** The time zone of who reads it (IANA). */
  readonly zone: string
  /** From which the device has asked. */
  readonly address: string
  /** Whether that is of the network that this browser is in; null where it cannot be told. */
  readonly isNear: boolean | null
  /** Whether it was sent without the word that the code was seen. */
  readonly isUnseen: boolean
}

/** POST /device/confirm with `request`, `decision`: `allow` or `deny`, and with `seen` to allow it. */
export function confirmDeviceView(frame: Frame, data: ConfirmDeviceData): Html {
  const { request, client, userCode, username, anotherHref, isUnseen } = data
  const { consent, device: texts } = frame.language.texts
  const fault = isUnseen ? html` aria-invalid="true" aria-describedby="problem"` : null
  const form = html`${askedLines(frame, texts.list, data)}
<p class="warning"><strong>${texts.sentByOthers}</strong> ${texts.sentByOthersWhat}</p>
${isUnseen ? html`<p id="problem" role="alert">${texts.unseen}</p>` : null}
<label class="check"><input type="checkbox" name="seen" value="1" required${fault}>${texts.seen}</label>
<button type="submit" name="decision" value="allow">${texts.allow}</button>
<button class="second" name="decision" value="deny" formnovalidate>${texts.deny}</button>`
  return layout(frame, {
    title: texts.confirmTitle,
    isProblem: isUnseen,
    main: html`<h1>${texts.confirmHeading}</h1>
<p>${texts.confirmWhat(nameOf(client.name))}</p>
${whoseOf(consent, client)}
<p class="quiet" id="code">${texts.compare}</p>
<p class="usercode" aria-labelledby="code">${userCode}</p>
${facts(frame, data)}
${ownForm(frame, '/device/confirm', [['request', request]], form)}`,
    below: html`${consent.loggedInAs(nameOf(username))} ${anotherLink(frame, anotherHref)}`,
  })
}

function facts(frame: Frame, { askedAt, address, isNear, ...zone }: ConfirmDeviceData): Html {
  const { device: texts } = frame.language.texts
  const near = isNear === null ? null : html`<br>${isNear ? texts.sameNetwork : texts.otherNetwork}`
  return factList([
    [texts.asked, timeOf(frame, zone, askedAt)],
    [texts.from, html`${address}${near}`],
  ])
}
