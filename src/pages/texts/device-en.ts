import { html } from '../html.ts'
import type { DeviceTexts } from './texts.ts'

export const deviceInEnglish: DeviceTexts = {
  title: 'Connect a device',
  heading: 'Connect a device',
  what: 'Enter the code that your device shows.',
  code: 'Code on the device',
  submit: 'Continue',
  warning:
    'Enter only a code that you see on a device in front of you. If somebody has sent you the code, or told it to you, close this page.',
  problems: {
    wrong:
      'No device waits with this code. Compare it with the one on the device. After ten minutes a code is good no more: then have the device show a new one.',
    throttled: 'Too many codes were entered.',
  },
  confirmTitle: 'Confirm the device',
  confirmHeading: 'Do you want to connect this device?',
  confirmWhat: client => html`A device on which ${client} runs asks for access to your account.`,
  compare: 'The device has to show this very code:',
  asked: 'Asked at',
  from: 'From the address',
  sameNetwork: 'In the network that you are in now',
  otherNetwork: 'Not in the network that you are in now',
  list: 'Whoever has the device may then:',
  sentByOthers: 'Somebody may have sent you this code.',
  sentByOthersWhat:
    'It lets the device into your account, wherever it is and whoever has it. If it is not your device in front of you that shows the code, do not connect it.',
  seen: 'The device is in front of me, and shows this code',
  unseen: 'Look at the device. If it shows this code, tick the box; if not, do not connect it.',
  allow: 'Connect the device',
  deny: 'Do not connect it',
  another: 'Enter another code',
}
