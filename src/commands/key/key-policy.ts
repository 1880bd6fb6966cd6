import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import {
  changeKeyPolicy,
  findInstallation,
  largestMaxAgeLingersSeconds,
  type KeyPolicy,
} from '../../../db/installation/installation.ts'
import { audited } from '../../../db/writer.ts'
import { keyPolicyLimits, policyProblems } from '../../protocol/key-lead.ts'
import { phaseOf } from '../../keys/ring/key-life.ts'
import {
  largestMaxAgeOf,
  leadSecondsOf,
  policyAdvice,
  policyNote,
  policyWarning,
} from '../../keys/ring/key-policy.ts'
import { formatDuration } from '../../values/duration.ts'
import { formatTime } from '../../values/formats.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { CommandError } from '../shell/failures.ts'
import { duration } from '../shell/options.ts'
import { facts } from '../shell/output.ts'
import { confirm } from '../shell/prompt.ts'
import { readRings, type Rings } from '../../admin/rings.ts'

/** `mintmark key policy`: what all servers of the installation keep to. */
export function policyVerb(key: CommandUnknownOpts, terminal: Terminal): void {
  verb(key, 'policy', 'show or change how often keys rotate, and how long the key set may be kept', [
    'mintmark key policy',
    'mintmark key policy --rotation-interval 7d --dry-run',
    'mintmark key policy --jwks-max-age 15m --clock-skew 2m --yes',
  ])
    .option('--rotation-interval <duration>', 'how long a key signs', duration(...keyPolicyLimits.rotation))
    .option(
      '--jwks-max-age <duration>',
      'how long verifiers may keep the key set',
      duration(...keyPolicyLimits.maxAge),
    )
    .option(
      '--clock-skew <duration>',
      'how far the clocks of verifiers may be off',
      duration(...keyPolicyLimits.skew),
    )
    .option('--dry-run', 'show the plan and change nothing')
    .option('--yes', 'do not ask')
    .action(
      command(terminal, async (run, { rotationInterval, jwksMaxAge, clockSkew, dryRun = false, yes }) => {
        const installation = await run.open()
        const { db, record } = installation
        const from = policyOf(record)
        const to: KeyPolicy = {
          key_rotation_seconds: rotationInterval ?? from.key_rotation_seconds,
          jwks_max_age_seconds: jwksMaxAge ?? from.jwks_max_age_seconds,
          clock_skew_seconds: clockSkew ?? from.clock_skew_seconds,
        }
        const now = run.clock.now()
        const rings = await readRings(installation, now)
        if (isSame(from, to)) return { text: shown(rings, now), json: described(from, rings, now) }

        const after = planned(rings, to, now)
        const problems = policyProblems(to, largestMaxAgeOf(after, now))
        if (problems.length > 0) throw new CommandError(`this policy cannot work: ${problems.join('; ')}`)
        const ringsAfter = await readRings({ db, record: after }, now)
        const text = `Plan:\n${drawn(rings, ringsAfter, now)}`
        const json = { from: described(from, rings, now), to: described(to, ringsAfter, now) }
        if (dryRun)
          return { text: `${text}\nNothing was changed (--dry-run).`, json: { applied: false, ...json } }

        run.note(text)
        await confirm(run, 'Change the policy for all servers?', { yes })
        if (
          !(await changeKeyPolicy(audited(db, run.entry('key_policy_changed', { detail: { from, to } })), {
            from,
            to,
            now,
          }))
        )
          throw new CommandError(
            'somebody else has changed the policy meanwhile: nothing was changed, look again',
          )
        const changed = await findInstallation(db)
        run.log.info(
          { event: 'key_policy_changed', from, to, by: 'command' },
          'the policy of the key rings was changed',
        )
        return {
          text: `Changed the policy. Running servers follow within a second.\n${facts(settingsOf(changed ?? after))}`,
          json: { applied: true, ...json },
        }
      }),
    )
}

function policyOf({ key_rotation_seconds, jwks_max_age_seconds, clock_skew_seconds }: KeyPolicy): KeyPolicy {
  return { key_rotation_seconds, jwks_max_age_seconds, clock_skew_seconds }
}

function isSame(from: KeyPolicy, to: KeyPolicy): boolean {
  return JSON.stringify(from) === JSON.stringify(to)
}

/** The installation as it will be: a max-age that is lowered is reckoned with for a while. */
function planned({ record }: Rings, to: KeyPolicy, now: number): Rings['record'] {
  const isLowered = to.jwks_max_age_seconds < record.jwks_max_age_seconds
  return {
    ...record,
    ...to,
    ...(isLowered && {
      largest_max_age_seconds: largestMaxAgeOf(record, now),
      largest_max_age_until: now + largestMaxAgeLingersSeconds,
    }),
  }
}

function settingsOf({ key_rotation_seconds, jwks_max_age_seconds, clock_skew_seconds }: KeyPolicy) {
  return {
    'rotation interval': formatDuration(key_rotation_seconds),
    'JWKS max-age': formatDuration(jwks_max_age_seconds),
    'clock skew': formatDuration(clock_skew_seconds),
  }
}

function shown({ record }: Rings, now: number): string {
  const largest = largestMaxAgeOf(record, now)
  const lingering =
    largest > record.jwks_max_age_seconds
      ? `, since key sets with a max-age of ${formatDuration(largest)} are reckoned with until ${formatTime(record.largest_max_age_until)}`
      : ''
  const lead = `${formatDuration(leadSecondsOf(record, now))} before it signs${lingering}`
  return [facts({ ...settingsOf(record), 'a key is published': lead }), ...warned(record)].join('\n')
}

function described(policy: KeyPolicy, { record, rows, plan }: Rings, now: number) {
  const active = rows.filter(row => phaseOf(row) === 'active')
  return {
    ...policy,
    lead_seconds: leadSecondsOf(record, now),
    warning: policyWarning(policy) ?? null,
    note: policyNote(policy) ?? null,
    rotations: active.map(({ kid, alg }) => ({ kid, alg, retires_at: plan.get(kid)?.retiresAt ?? null })),
  }
}

function drawn(before: Rings, after: Rings, now: number): string {
  const arrow = (from: string, to: string) => (from === to ? from : `${from} -> ${to}`)
  const [old, wanted] = [settingsOf(before.record), settingsOf(after.record)]
  const settings = Object.fromEntries(
    Object.entries(old).map(([name, value]) => [name, arrow(value, wanted[name as keyof typeof wanted])]),
  )
  const lead = arrow(
    formatDuration(leadSecondsOf(before.record, now)),
    formatDuration(leadSecondsOf(after.record, now)),
  )
  const rotations = before.rows
    .filter(row => phaseOf(row) === 'active')
    .map(({ kid, alg }) => {
      const when = ({ plan }: Rings) => formatTime(plan.get(kid)?.retiresAt ?? null)
      return [`next ${alg} rotation`, arrow(when(before), when(after))] as const
    })
  const largest = largestMaxAgeOf(after.record, now)
  const lines = [facts({ ...settings, 'published before it signs': lead, ...Object.fromEntries(rotations) })]
  if (largest > after.record.jwks_max_age_seconds) {
    lines.push(
      `  Key sets with a max-age of ${formatDuration(largest)} may be kept, so that is reckoned with until ` +
        `${formatTime(after.record.largest_max_age_until)}.`,
    )
  }
  return [...lines, ...warned(after.record)].join('\n')
}

function warned(policy: KeyPolicy): readonly string[] {
  const warning = policyWarning(policy)
  const note = policyNote(policy)
  return [
    ...(warning === undefined ? [] : [`  Note: ${warning}; ${policyAdvice(policy)}.`]),
    ...(note === undefined ? [] : [`  Note: ${note}.`]),
  ]
}
