import t from 'tap'
import { judgeRing, planRing, type KeyState, type RingStep } from '../../src/keys/ring/key-life.ts'
import { policyProblems } from '../../src/protocol/key-lead.ts'
import { type RingPolicy } from '../../src/keys/ring/key-policy.ts'
import { publishedOnly } from '../helpers/key-rows.ts'
import { checkWorlds } from './ring-world.ts'
import { runsOf } from '../helpers/runs.ts'

const day = 86_400
const lead = 610
const policy: RingPolicy = { rotationSeconds: 30 * day, leadSeconds: lead, algs: ['ES256'] }
const now = 1_900_000_000

const key = (kid: string, state: Partial<KeyState>): KeyState => ({
  kid,
  alg: 'ES256',
  published_at: now - 60 * day,
  ...publishedOnly,
  ...state,
})
const active = (state: Partial<KeyState> = {}) => key('active', { activated_at: now - 30 * day, ...state })
const next = (state: Partial<KeyState> = {}) => key('next', { witnessed_seconds: lead, ...state })
const retiring = (state: Partial<KeyState> = {}) =>
  key('old', {
    activated_at: now - 60 * day,
    retired_at: now - 1000,
    verify_until: now,
    verify_seconds: 700,
    witnessed_seconds: 700,
    ...state,
  })

const promote: RingStep = { kind: 'promote', alg: 'ES256', from: 'active', to: 'next' }
const drop = (kid: string): RingStep => ({ kind: 'drop', alg: 'ES256', kid })
const publish: RingStep = { kind: 'publish', alg: 'ES256' }

const cases: readonly [
  title: string,
  keys: readonly KeyState[],
  steps: readonly RingStep[],
  options?: { policy?: Partial<RingPolicy>; now?: number; unsound?: readonly string[] },
][] = [
  ['an empty database gets its first keys', [], [{ kind: 'start', algs: ['ES256'] }]],
  ['the next key signs when the active one has signed for its time', [active(), next()], [promote]],
  ['and not a second before', [active({ activated_at: now - 30 * day + 1 }), next()], []],
  ['nor before every verifier can know it', [active(), next({ witnessed_seconds: lead - 1 })], []],
  [
    'however long ago it was published by the clock',
    [active(), next({ published_at: 0, witnessed_seconds: 0 })],
    [],
  ],
  [
    'a rotation that was asked for does not wait for the time',
    [active({ activated_at: now, rotation_requested_at: now }), next()],
    [promote],
  ],
  [
    'but for the verifiers it does',
    [active({ rotation_requested_at: now }), next({ witnessed_seconds: lead - 1 })],
    [],
  ],
  ['a ring without a next key gets one', [active({ activated_at: now })], [publish]],
  [
    'a ring whose active key is gone goes on with the next one, when that is known',
    [next()],
    [{ ...promote, from: undefined }],
  ],
  ['and not before', [next({ witnessed_seconds: 0 })], []],
  [
    'a damaged active key is followed at once',
    [active({ activated_at: now }), next()],
    [promote],
    { unsound: ['active'] },
  ],
  [
    'a damaged next key is replaced, and never signs',
    [active(), next()],
    [drop('next')],
    { unsound: ['next'] },
  ],
  [
    'a retired key leaves when its last token has run out',
    [active({ activated_at: now }), next(), retiring()],
    [drop('old')],
  ],
  [
    'not before that by the clock',
    [active({ activated_at: now }), next(), retiring({ verify_until: now + 1 })],
    [],
  ],
  [
    'not before that by the time that has passed',
    [active({ activated_at: now }), next(), retiring({ witnessed_seconds: 699 })],
    [],
  ],
  [
    'whatever the clock says',
    [active({ activated_at: now }), next(), retiring({ witnessed_seconds: 699 })],
    [promote],
    { now: now + 400 * day },
  ],
  [
    'a clock that is set back drops nothing and promotes nothing',
    [active(), next(), retiring()],
    [],
    { now: now - day },
  ],
  [
    'a revoked key is forgotten when its last token has run out',
    [active({ activated_at: now }), next(), retiring({ revoked_at: now - 1000 })],
    [drop('old')],
  ],
  [
    'a revoked key that never signed is forgotten at once, and another is published',
    [active(), next({ revoked_at: now, retired_at: now })],
    [publish, drop('next')],
  ],
  [
    'a ring that nothing uses ends: no key follows',
    [active(), next(), retiring()],
    [{ kind: 'retire', alg: 'ES256', kid: 'active' }, drop('next'), drop('old')],
    { policy: { algs: [] } },
  ],
  [
    'the key of another algorithm counts for nothing',
    [active(), next({ alg: 'RS256' })],
    [publish, { kind: 'drop', alg: 'RS256', kid: 'next' }],
  ],
  [
    'each ring is judged by itself',
    [active(), next(), { ...active({ activated_at: now }), kid: 'r', alg: 'RS256' }],
    [promote, { kind: 'publish', alg: 'RS256' }],
    { policy: { algs: ['ES256', 'RS256'] } },
  ],
]

t.test('the life of a key, step by step', async t => {
  for (const [title, keys, steps, options = {}] of cases) {
    const judged = judgeRing(
      keys,
      { ...policy, ...options.policy },
      options.now ?? now,
      new Set(options.unsound),
    )
    t.strictSame(judged, steps, title)
  }
})

t.test('what a plan foresees is what comes', async t => {
  const rings: readonly (readonly KeyState[])[] = [
    [active({ activated_at: now - 29 * day, verify_seconds: 700, verify_until: now + 300 }), next()],
    [
      active({ rotation_requested_at: now }),
      next({ witnessed_seconds: 10 }),
      retiring({ witnessed_seconds: 100 }),
    ],
    [next({ witnessed_seconds: 100 })],
    [active({ activated_at: now, verify_seconds: 700, verify_until: now + 300 }), next(), retiring()],
    [active({ verify_until: now + 31 * day }), next(), retiring({ revoked_at: now, verify_until: now + 50 })],
  ]
  for (const ring of rings) {
    const plan = planRing(ring, policy, now)
    const foreseen = [...plan.values()].flatMap(({ signsFrom, retiresAt, goneAt }) => [
      signsFrom,
      retiresAt,
      goneAt,
    ])
    const moments = foreseen.filter(at => at !== null && at >= now).flatMap(at => [(at ?? 0) - 1, at ?? 0])
    let keys = ring
    let before = now
    const came = new Map<string, number>()
    for (const at of [now, ...moments].filter(at => at >= now).sort((a, b) => a - b)) {
      keys = keys.map(each => ({ ...each, witnessed_seconds: each.witnessed_seconds + at - before }))
      before = at
      for (const step of judgeRing(keys, policy, at)) {
        if (step.kind === 'promote') {
          came.set(`${step.to} signs`, at).set(`${step.from} retires`, at)
          keys = keys.map(each => {
            if (each.kid === step.to) return { ...each, activated_at: at }
            return each.kid === step.from ? { ...each, retired_at: at, witnessed_seconds: 0 } : each
          })
          keys = [...keys, next({ kid: `after ${step.to}`, witnessed_seconds: 0 })]
        }
        if (step.kind === 'drop') {
          came.set(`${step.kid} is gone`, at)
          keys = keys.filter(each => each.kid !== step.kid)
        }
      }
    }
    for (const [kid, { phase, signsFrom, retiresAt, goneAt }] of plan) {
      const expected = {
        signs: phase === 'next' ? signsFrom : undefined,
        retires: phase === 'retiring' || phase === 'revoked' ? undefined : retiresAt,
        // It is unknown what a key that has not signed yet will have promised.
        gone: phase === 'next' ? came.get(`${kid} is gone`) : goneAt,
      }
      const happened = {
        signs: came.get(`${kid} signs`),
        retires: came.get(`${kid} retires`),
        gone: came.get(`${kid} is gone`),
      }
      t.strictSame(happened, expected, `${phase} ${kid}`)
    }
  }
})

t.test('a policy that cannot work is refused, with the arithmetic', async t => {
  t.strictSame(policyProblems({ key_rotation_seconds: 610 }, 300), [])
  t.strictSame(policyProblems({ key_rotation_seconds: 609 }, 300), [
    'a key signs for 609s, but its successor must be published for 2 × 300 s (max-age) + 10 s = 610 s before that: ' +
      'rotate every 610s or more, or lower the max-age to 299 s',
  ])
})

t.test('invariant 6: through any schedule, clocks that are set, and crashes', async t => {
  checkWorlds(t, runsOf(40))
})
