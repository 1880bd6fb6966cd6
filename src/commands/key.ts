import type { Command } from '@commander-js/extra-typings'
import type { InstallationTable, SigningKeyTable } from '../../db/database.ts'
import { listResources } from '../../db/resources.ts'
import { listSigningKeys, requestRotation } from '../../db/signing-keys.ts'
import type { Installation } from '../installation.ts'
import { algorithms } from '../keys/algorithms.ts'
import { phaseOf, planRing, type KeyPlan } from '../keys/key-life.ts'
import { algsWanted, ringPolicyOf, type RingPolicy } from '../keys/key-policy.ts'
import { command, verb, type Terminal } from './command.ts'
import { CommandError } from './failures.ts'
import { rootKeyVerbs } from './key-root.ts'
import { formatTime, type Row } from './output.ts'

/** `mintmark key`: the keys that sign tokens, and the root key that everything secret is encrypted under. */
export function keyCommands(program: Command, terminal: Terminal): void {
  const key = program.command('key').description('signing keys, and the root key')

  verb(key, 'list', 'show the signing keys and what becomes of them', ['mintmark key list']).action(
    command(terminal, async ({ open, now }) => {
      const { rows, policy } = await readRings(await open(), now())
      const plan = planRing(rows, policy, now())
      return {
        columns: ['KID', 'ALG', 'STATE', 'PUBLISHED', 'SIGNS FROM', 'THEN'],
        rows: rows.map(row => rowOf(row, plan.get(row.kid))),
        none: 'There is no signing key yet: `mintmark serve` makes the first ones.',
      }
    }),
  )

  verb(key, 'rotate', 'let the next signing key sign, as soon as every verifier can know it', [
    'mintmark key rotate',
    'mintmark key rotate --alg ES256',
  ])
    .option('--alg <alg>', `of this algorithm only: ${[...algorithms.keys()].join(', ')}`)
    .action(
      command(terminal, async ({ open, now }, { alg }) => {
        const installation = await open()
        const { rows } = await readRings(installation, now())
        const active = rows.filter(row => phaseOf(row) === 'active' && (alg === undefined || row.alg === alg))
        if (active.length === 0) {
          throw new CommandError(
            alg === undefined
              ? 'there is no signing key to rotate: `mintmark serve` makes the first ones'
              : `there is no key that signs ${alg}: \`mintmark key list\` shows the keys`,
          )
        }
        const asked = []
        for (const row of active) if (await requestRotation(installation.db, row.kid, now())) asked.push(row)
        const rings = await readRings(installation, now())
        const plan = planRing(rings.rows, rings.policy, now())
        const rotations = asked.map(row => ({
          alg: row.alg,
          from: row.kid,
          to: rings.rows.find(other => other.alg === row.alg && phaseOf(other) === 'next')?.kid ?? null,
          effective_at: plan.get(row.kid)?.retiresAt ?? now(),
        }))
        return {
          text: rotations.map(rotation => describeRotation(rotation, now())).join('\n'),
          json: rotations,
        }
      }),
    )

  rootKeyVerbs(key, terminal)
}

export interface Rings {
  readonly rows: readonly SigningKeyTable[]
  readonly record: InstallationTable
  readonly policy: RingPolicy
}

/** The rings and the policy as they are now. */
export async function readRings({ db, record }: Installation, now: number): Promise<Rings> {
  const algs = algsWanted(await listResources(db))
  return { rows: await listSigningKeys(db), record, policy: ringPolicyOf(record, algs, now) }
}

function rowOf(row: SigningKeyTable, plan: KeyPlan | undefined): Row {
  const state = phaseOf(row)
  return {
    cells: [
      row.kid,
      row.alg,
      state,
      formatTime(row.published_at),
      formatTime(plan?.signsFrom ?? null),
      formatTime(plan?.goneAt ?? null),
    ],
    json: {
      kid: row.kid,
      alg: row.alg,
      state,
      published_at: row.published_at,
      activated_at: row.activated_at,
      retired_at: row.retired_at,
      verify_until: row.verify_until,
      revoked_at: row.revoked_at,
    },
  }
}

function describeRotation(
  { alg, to, effective_at }: { alg: string; to: string | null; effective_at: number },
  now: number,
): string {
  const when =
    effective_at <= now
      ? 'within a second'
      : `at ${formatTime(effective_at)}, when every verifier can know it`
  return `The next ${alg} key${to === null ? '' : ` ${to}`} signs ${when}, if a server runs then.`
}
