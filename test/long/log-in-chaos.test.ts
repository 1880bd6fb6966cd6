import t from 'tap'
import { walkThroughLogIns } from '../helpers/log-in-chaos.ts'

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
