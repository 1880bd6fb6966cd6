import t from 'tap'
import { judgeRefresh, type RefreshPolicy, type SessionState } from '../../src/protocol/refresh-verdict.ts'

const now = 1_000_000
const open = now - 9
const closed = now - 10

/** At generation 10, with a window that opened at generation 8. */
const session: SessionState = {
  generation: 10,
  window_generation: 8,
  window_opened_at: closed,
  late_history: 0,
  expires_at: now + 100,
  absolute_expires_at: now + 1000,
}
const rotate: RefreshPolicy = { kind: 'rotate', retrySeconds: 10, lateLimit: 6, isOutage: false }
const strict: RefreshPolicy = { ...rotate, kind: 'strict', retrySeconds: 0 }
const reuse: RefreshPolicy = { ...rotate, kind: 'reuse' }
const outage: RefreshPolicy = { ...rotate, isOutage: true }
const noWindow: RefreshPolicy = { ...rotate, retrySeconds: 0 }
const last = 4_294_967_295

const late = (lateHistory: number, isOverLimit = false) => ({ kind: 'late', lateHistory, isOverLimit })
const theft = { kind: 'theft' }
const repeat = { kind: 'repeat' }

const rows: [
  name: string,
  presented: number,
  state: Partial<SessionState>,
  policy: RefreshPolicy,
  verdict: object,
][] = [
  ['the current token rotates', 10, {}, rotate, { kind: 'rotate' }],
  ['so it does for a strict client', 10, {}, strict, { kind: 'rotate' }],
  ['a client that never rotates keeps it', 10, {}, reuse, { kind: 'reuse' }],

  ['within the window the previous one is a repeat', 9, { window_opened_at: open }, rotate, repeat],
  ['and so is the one at which it opened', 8, { window_opened_at: open }, rotate, repeat],
  ['but none from before it opened', 7, { window_opened_at: open }, rotate, theft],
  ['a window lasts 10 seconds and not one more', 8, { window_opened_at: closed }, rotate, theft],
  [
    'one that opened a moment from now, by a clock that was set back, is open',
    8,
    { window_opened_at: now + 9 },
    rotate,
    repeat,
  ],
  ['but none that opened further in the future', 8, { window_opened_at: now + 10 }, rotate, theft],
  ['it may have opened in this second', 8, { window_opened_at: now }, rotate, repeat],
  ['a strict client has none', 9, { window_opened_at: open }, strict, theft],
  ['a window of length 0 is never open', 8, { window_opened_at: now }, noWindow, theft],
  ['a client that was changed to reuse still has one', 9, { window_opened_at: open }, reuse, repeat],

  ['later the previous one is late, and marked', 9, {}, rotate, late(1)],
  ['a generation is marked once', 9, { late_history: 1 }, rotate, repeat],
  [
    'and what was let pass in an outage is let pass after it',
    9,
    { late_history: 0b11101011 },
    rotate,
    repeat,
  ],
  ['5 of the last 8 are let pass', 9, { late_history: 0b10101010 }, rotate, late(0b10101011)],
  ['6 of the last 8 are theft', 9, { late_history: 0b11101010 }, rotate, theft],
  ['but not in an outage', 9, { late_history: 0b11101010 }, outage, late(0b11101011, true)],
  ['older ones are theft', 8, {}, rotate, theft],
  ['even in an outage', 8, {}, outage, theft],

  ['a newer one heals', 11, {}, rotate, { kind: 'heal' }],
  ['however much newer', last, {}, rotate, { kind: 'heal' }],
  ['also for a strict client', 11, {}, strict, { kind: 'heal' }],
  ['and past the idle limit that the backup knew', 11, { expires_at: now }, rotate, { kind: 'heal' }],
  ['but not past the absolute one', 11, { absolute_expires_at: now }, rotate, { kind: 'expired' }],

  ['an expired session is expired', 10, { expires_at: now }, rotate, { kind: 'expired' }],
  ['and an old token of one is not theft', 2, { expires_at: now }, rotate, { kind: 'expired' }],
  ['a session lives to its last second', 10, { expires_at: now + 1 }, rotate, { kind: 'rotate' }],
  ['there is no generation after the last', last, { generation: last }, rotate, { kind: 'exhausted' }],
]

t.test('each case of a refresh has its verdict', async t => {
  for (const [name, presented, state, policy, verdict] of rows) {
    t.strictSame(judgeRefresh(presented, { ...session, ...state }, now, policy), verdict, name)
  }
})
