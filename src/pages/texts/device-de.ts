import { html } from '../html.ts'
import type { DeviceTexts } from './texts.ts'

export const deviceInGerman: DeviceTexts = {
  title: 'Gerät verbinden',
  heading: 'Ein Gerät verbinden',
  what: 'Geben Sie den Code ein, den Ihr Gerät zeigt.',
  code: 'Code auf dem Gerät',
  submit: 'Weiter',
  warning:
    'Geben Sie nur einen Code ein, den Sie auf einem Gerät vor sich sehen. Wenn Ihnen jemand den Code geschickt oder gesagt hat, schließen Sie diese Seite.',
  problems: {
    wrong:
      'Mit diesem Code wartet kein Gerät. Vergleichen Sie ihn mit dem auf dem Gerät. Nach zehn Minuten gilt ein Code nicht mehr: Lassen Sie das Gerät dann einen neuen zeigen.',
    throttled: 'Es wurden zu viele Codes eingegeben.',
  },
  confirmTitle: 'Gerät bestätigen',
  confirmHeading: 'Möchten Sie dieses Gerät verbinden?',
  confirmWhat: client => html`Ein Gerät, auf dem ${client} läuft, bittet um Zugriff auf Ihr Konto.`,
  compare: 'Das Gerät muss genau diesen Code zeigen:',
  asked: 'Gefragt am',
  from: 'Von der Adresse',
  sameNetwork: 'In dem Netz, in dem Sie gerade sind',
  otherNetwork: 'Nicht in dem Netz, in dem Sie gerade sind',
  list: 'Wer das Gerät hat, darf dann:',
  sentByOthers: 'Vielleicht hat Ihnen jemand diesen Code geschickt.',
  sentByOthersWhat:
    'Er lässt das Gerät in Ihr Konto, wo immer es ist und wer immer es hat. Wenn es nicht Ihr Gerät ist, das den Code vor Ihnen zeigt, verbinden Sie es nicht.',
  seen: 'Das Gerät ist vor mir und zeigt diesen Code',
  unseen:
    'Sehen Sie auf das Gerät. Wenn es diesen Code zeigt, kreuzen Sie das Kästchen an; wenn nicht, verbinden Sie es nicht.',
  allow: 'Gerät verbinden',
  deny: 'Nicht verbinden',
  another: 'Anderen Code eingeben',
}
