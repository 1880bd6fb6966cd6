import t from 'tap'
import { startChromium } from '../helpers/chromium.ts'
import { walkInChromium } from '../helpers/chromium-chaos.ts'
import { walkThroughLogIns } from '../helpers/log-in-chaos.ts'

const browser = await startChromium(t)

t.test(
  'invariants 12, 13, 14 and 18: whatever somebody does, there is a way on, and no way astray',
  async t => {
    const seen = await walkThroughLogIns(t, { walks: 20 })
    t.ok(seen.has('a client: /callback'), 'somebody has logged in')
  },
)

t.test('invariant 18: and so it is in Chromium, with scripts and without', async t => {
  await walkInChromium(t, browser, { walks: 5 })
})
