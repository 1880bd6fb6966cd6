import type { Command } from '@commander-js/extra-typings'
import { requestRotation } from '../../../db/keys/signing-keys.ts'
import { countPromised } from '../../../db/keys/token-promises.ts'
import { audited } from '../../../db/writer.ts'
import { algorithms } from '../../keys/algorithms.ts'
import { phaseOf } from '../../keys/ring/key-life.ts'
import { formatTime, printable } from '../../values/formats.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { CommandError } from '../shell/failures.ts'
import { table } from '../shell/output.ts'
import { policyVerb } from './key-policy.ts'
import { revokeVerb } from './key-revoke.ts'
import { rootKeyVerbs } from './key-root.ts'
import { drawTimeline, nextSteps, shortKid } from './key-timeline.ts'
import { readRings, type Rings } from '../../admin/rings.ts'

/** `mintmark key`: the keys that sign tokens, and the root key that everything secret is encrypted under. */
export function keyCommands(program: Command, terminal: Terminal): void {
  const key = program.command('key').description('signing keys, and the root key')

  verb(key, 'list', 'show the signing keys, as lines in time, and what comes next', [
    'mintmark key list',
  ]).action(
    command(terminal, async run => {
      const installation = await run.open()
      const rings = await readRings(installation, run.clock.now())
      const tokens = await countPromised(installation.db, run.clock.now())
      return { text: drawn(rings, run), json: described(rings, tokens) }
    }),
  )

  verb(key, 'rotate', 'let the next signing key sign, as soon as every verifier can know it', [
    'mintmark key rotate',
    'mintmark key rotate --alg ES256',
  ])
    .option('--alg <alg>', `of this algorithm only: ${[...algorithms.keys()].join(', ')}`)
    .action(
      command(terminal, async ({ open, clock, entry }, { alg }) => {
        const installation = await open()
        const { rows } = await readRings(installation, clock.now())
        const active = rows.filter(row => phaseOf(row) === 'active' && (alg === undefined || row.alg === alg))
        if (active.length === 0) throw noActiveKey(alg)
        for (const row of active) {
          const detail = { kid: row.kid, alg: row.alg }
          const writer = audited(installation.db, entry('key_rotation_requested', { detail }))
          await requestRotation(writer, row.kid, clock.now())
        }
        const after = await readRings(installation, clock.now())
        const rotations = active.map(row => {
          const next = after.rows.find(other => other.alg === row.alg && phaseOf(other) === 'next')
          const effectiveAt = after.plan.get(row.kid)?.retiresAt ?? clock.now()
          return { alg: row.alg, from: row.kid, to: next?.kid ?? null, effective_at: effectiveAt }
        })
        return {
          text: rotations.map(rotation => wordsFor(rotation, clock.now())).join('\n'),
          json: rotations,
        }
      }),
    )

  revokeVerb(key, terminal)
  policyVerb(key, terminal)
  rootKeyVerbs(key, terminal)
}

/** A terminal's width where none tells its own. */
const widthWithoutTerminal = 100

function drawn({ rows, plan }: Rings, { clock, stdout }: Run): string {
  if (rows.length === 0) return 'There is no signing key yet: `mintmark serve` makes the first ones.'
  const width = stdout.columns ?? widthWithoutTerminal
  const steps = nextSteps(rows, plan).map(
    ({ at, alg, text }) =>
      `  ${at <= clock.now() ? 'now, if a server runs'.padEnd(20) : formatTime(at)}  ${alg.padEnd(7)}  ${text}`,
  )
  const cells = rows.map(row => {
    const { phase = '', signsFrom = null, retiresAt = null, goneAt = null } = plan.get(row.kid) ?? {}
    const times = [row.published_at, signsFrom, retiresAt, goneAt].map(formatTime)
    return [`  ${printable(row.kid)}`, row.alg, phase, ...times, row.revoke_reason ?? '']
  })
  const columns = ['  KID', 'ALG', 'STATE', 'PUBLISHED', 'SIGNS FROM', 'RETIRES', 'GONE']
  const isAnyRevoked = rows.some(row => row.revoked_at !== null)
  return [
    drawTimeline({ rows, plan, now: clock.now(), width, stream: stdout }),
    '',
    table(isAnyRevoked ? [...columns, 'REVOKED FOR'] : columns, cells),
    '',
    'Next:',
    ...(steps.length === 0 ? ['  nothing'] : steps),
  ].join('\n')
}

function described({ rows, plan }: Rings, tokens: ReadonlyMap<string, number>) {
  return rows.map(row => {
    const { phase = null, signsFrom = null, retiresAt = null, goneAt = null } = plan.get(row.kid) ?? {}
    return {
      kid: row.kid,
      alg: row.alg,
      state: phase,
      published_at: row.published_at,
      signs_from: signsFrom,
      retires_at: retiresAt,
      gone_at: goneAt,
      verify_until: row.verify_until,
      revoked_at: row.revoked_at,
      revoke_reason: row.revoke_reason,
      live_tokens_at_most: tokens.get(row.kid) ?? 0,
    }
  })
}

function wordsFor(
  { alg, to, effective_at }: { alg: string; to: string | null; effective_at: number },
  now: number,
): string {
  const name = to === null ? `The next ${alg} key` : `The next ${alg} key ${shortKid(to)}`
  return effective_at <= now
    ? `${name} signs within a second, if a server runs.`
    : `${name} signs at ${formatTime(effective_at)}, when every verifier can know it, if a server runs until then.`
}

function noActiveKey(alg: string | undefined): CommandError {
  return new CommandError(
    alg === undefined
      ? 'there is no signing key to rotate: `mintmark serve` makes the first ones'
      : `there is no key that signs ${alg}: \`mintmark key list\` shows the keys`,
  )
}
