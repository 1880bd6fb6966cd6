import t from 'tap'
import { en } from '../../src/pages/texts/en.ts'
import { startChromium } from '../helpers/chromium.ts'
import { walkInChromium } from '../helpers/chromium-chaos.ts'
import { walkThroughLogIns } from '../helpers/log-in-chaos.ts'

const browser = await startChromium(t)

t.test(
  'invariants 12, 13, 14 and 18: whatever somebody does, there is a way on, and no way astray',
  async t => {
    const seen = await walkThroughLogIns(t, { walks: 200 })
    for (const page of [
      '200 Log in to continue to …',
      '200 Confirm that it is you',
      '200 Which account do you want to use for …?',
      '200 … asks for access to your account',
      '400 This page has expired',
      '400 This log-in began elsewhere',
      '429 Log in to continue to …',
      'a client: /callback',
      'login_required',
      'access_denied',
    ])
      t.ok(seen.has(page), `was seen: ${page}`)
  },
)

t.test('invariant 18: and so it is in Chromium, with scripts and without', async t => {
  const seen = await walkInChromium(t, browser, { walks: 200 })
  for (const heading of [
    en.secondStep.title,
    en.recovery.askReset.title,
    en.recovery.sent.title,
    en.recovery.newPassword.title,
    en.messages.request_expired.heading,
    en.logOut.heading,
  ])
    t.ok(seen.has(heading), `was seen: ${heading}`)
})
