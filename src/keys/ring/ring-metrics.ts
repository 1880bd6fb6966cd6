import type { Clock } from '../../clock.ts'
import { gauge, type Metric, type Sample } from '../../upkeep/metric.ts'
import { phaseOf, type KeyPlan } from './key-life.ts'
import type { RingFollower } from './ring-follower.ts'

/** Shows the keys by their state, when the next one changes, and whether they are known to be the latest. */
export function ringMetrics({ ring, plan, isConfirmed }: RingFollower, clock: Clock): readonly Metric[] {
  return [
    {
      kind: 'gauge',
      name: 'mintmark_signing_keys',
      help: 'Signing keys, by algorithm and state',
      labels: ['alg', 'state'],
      across: 'max',
      samples: function* () {
        const { rows } = ring()
        const states = ['next', 'active', 'retiring', 'revoked'] as const
        for (const alg of new Set(rows.map(row => row.alg))) {
          const phases = rows.flatMap(row => (row.alg === alg ? [phaseOf(row)] : []))
          for (const state of states) yield [{ alg, state }, phases.filter(phase => phase === state).length]
        }
      },
    },
    {
      kind: 'gauge',
      name: 'mintmark_signing_key_next_step_seconds',
      help: 'How long until a key of this state signs (next), retires (active) or leaves; below 0 it is overdue',
      labels: ['alg', 'state'],
      across: 'min',
      samples: () => {
        const planned = plan()
        const soonest = new Map<string, Sample>()
        for (const { kid, alg } of ring().rows) {
          const life = planned.get(kid)
          const at = life && nextStepAt(life)
          if (!life || at === null || at === undefined) continue
          const key = `${alg} ${life.phase}`
          const before = soonest.get(key)?.[1] ?? Infinity
          soonest.set(key, [{ alg, state: life.phase }, Math.min(before, at - clock.now())])
        }
        return soonest.values()
      },
    },
    gauge(
      'mintmark_jwks_confirmed',
      'Whether the key ring was confirmed by the database within the last 10 seconds',
      () => (isConfirmed() ? 1 : 0),
      'min',
    ),
  ]
}

function nextStepAt({ phase, signsFrom, retiresAt, goneAt }: KeyPlan): number | null {
  if (phase === 'next') return signsFrom
  return phase === 'active' ? retiresAt : goneAt
}
