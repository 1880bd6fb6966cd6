import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import {
  changePolicy,
  describePolicy,
  planPolicy,
  readPolicy,
  type PolicyChange,
  type PolicyOutlook,
} from '../../admin/policy.ts'
import { keyPolicyLimits } from '../../protocol/key-lead.ts'
import { formatDuration } from '../../values/duration.ts'
import { formatTime } from '../../values/formats.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { duration } from '../shell/options.ts'
import { facts } from '../shell/output.ts'
import { confirm } from '../shell/prompt.ts'

/** `mintmark key policy`: the settings that all servers of the installation keep to. */
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
        const admin = await run.open()
        const change = await planPolicy(admin, {
          key_rotation_seconds: rotationInterval,
          jwks_max_age_seconds: jwksMaxAge,
          clock_skew_seconds: clockSkew,
        })
        if (!change) {
          const outlook = await readPolicy(admin)
          return { text: draw(outlook), json: describePolicy(outlook) }
        }
        const text = `Plan:\n${drawChange(change)}`
        const json = { from: describePolicy(change.from), to: describePolicy(change.to) }
        if (dryRun)
          return { text: `${text}\nNothing was changed (--dry-run).`, json: { applied: false, ...json } }

        run.note(text)
        await confirm(run, 'Change the policy for all servers?', { yes })
        const changed = await changePolicy(admin, change)
        return {
          text: `Changed the policy. Running servers follow within a second.\n${facts(settingsOf(changed))}`,
          json: { applied: true, ...json },
        }
      }),
    )
}

function settingsOf(policy: PolicyOutlook['policy']) {
  return {
    'rotation interval': formatDuration(policy.key_rotation_seconds),
    'JWKS max-age': formatDuration(policy.jwks_max_age_seconds),
    'clock skew': formatDuration(policy.clock_skew_seconds),
  }
}

function draw(outlook: PolicyOutlook): string {
  const { policy, leadSeconds, lingering } = outlook
  const since = lingering
    ? `, since key sets with a max-age of ${formatDuration(lingering.maxAgeSeconds)} are reckoned with until ${formatTime(lingering.until)}`
    : ''
  const lead = `${formatDuration(leadSeconds)} before it signs${since}`
  return [facts({ ...settingsOf(policy), 'a key is published': lead }), ...warningsOf(outlook)].join('\n')
}

function drawChange({ from, to }: PolicyChange): string {
  const arrow = (before: string, after: string) => (before === after ? before : `${before} -> ${after}`)
  const [old, wanted] = [settingsOf(from.policy), settingsOf(to.policy)]
  const settings = Object.fromEntries(
    Object.entries(old).map(([name, value]) => [name, arrow(value, wanted[name as keyof typeof wanted])]),
  )
  const lead = arrow(formatDuration(from.leadSeconds), formatDuration(to.leadSeconds))
  const rotations = from.rotations.map(({ kid, alg, retires_at }) => {
    const after = to.rotations.find(other => other.kid === kid)
    return [`next ${alg} rotation`, arrow(formatTime(retires_at), formatTime(after?.retires_at ?? null))]
  })
  const lines = [facts({ ...settings, 'published before it signs': lead, ...Object.fromEntries(rotations) })]
  if (to.lingering) {
    const { maxAgeSeconds, until } = to.lingering
    lines.push(
      `  Key sets with a max-age of ${formatDuration(maxAgeSeconds)} may be kept, so that is reckoned with until ` +
        `${formatTime(until)}.`,
    )
  }
  return [...lines, ...warningsOf(to)].join('\n')
}

function warningsOf({ warning, note }: PolicyOutlook): readonly string[] {
  return [
    ...(warning ? [`  Note: ${warning.text}; ${warning.advice}.`] : []),
    ...(note === undefined ? [] : [`  Note: ${note}.`]),
  ]
}
