import {
  changeKeyPolicy,
  readInstallation,
  largestMaxAgeLingersSeconds,
  type KeyPolicy,
} from '../../db/installation/installation.ts'
import type { InstallationTable } from '../../db/schema.ts'
import { Refusal } from '../errors.ts'
import { phaseOf } from '../keys/ring/key-life.ts'
import {
  largestMaxAgeOf,
  leadSecondsOf,
  policyAdvice,
  policyNote,
  policyWarning,
} from '../keys/ring/key-policy.ts'
import { policyProblems } from '../protocol/key-lead.ts'
import { shortNameOf } from '../record/actor.ts'
import { record } from '../record/record.ts'
import type { Admin } from './admin.ts'
import { readPlannedRing } from './planned-ring.ts'
import { heedPrecondition, movedOn } from './precondition.ts'

/** A policy of the key ring, and what follows from it at this moment. */
export interface PolicyOutlook {
  readonly policy: KeyPolicy
  /** How long a key is published before it signs. */
  readonly leadSeconds: number
  /** A larger max-age of before that is still reckoned with; undefined where there is none. */
  readonly lingering: { readonly maxAgeSeconds: number; readonly until: number } | undefined
  /** Some verifiers may refuse the first tokens of a key; what to do about that. */
  readonly warning: { readonly text: string; readonly advice: string } | undefined
  readonly note: string | undefined
  /** The keys that sign now, and when they retire. */
  readonly rotations: readonly { kid: string; alg: string; retires_at: number | null }[]
}

/** The document of a policy. */
export function describeSettings({ policy, leadSeconds, warning, note }: PolicyOutlook) {
  return {
    ...policy,
    lead_seconds: leadSeconds,
    warning: warning?.text ?? null,
    note: note ?? null,
  }
}

/** The same, with what it means for the keys, as `--json` shows it. */
export function describePolicy(outlook: PolicyOutlook) {
  return { ...describeSettings(outlook), rotations: outlook.rotations }
}

/** The policy that all servers keep to, or would keep to with a `changed` row. */
export async function readPolicy(
  admin: Pick<Admin, 'db' | 'clock'>,
  changed?: InstallationTable,
): Promise<PolicyOutlook> {
  const { rows, plan, installation } = await readPlannedRing(admin, changed)
  const now = admin.clock.now()
  const policy = policyOf(installation)
  const largest = largestMaxAgeOf(installation, now)
  const text = policyWarning(policy)
  return {
    policy,
    leadSeconds: leadSecondsOf(installation, now),
    lingering:
      largest > policy.jwks_max_age_seconds
        ? { maxAgeSeconds: largest, until: installation.largest_max_age_until }
        : undefined,
    warning: text === undefined ? undefined : { text, advice: policyAdvice(policy) },
    note: policyNote(policy),
    rotations: rows
      .filter(row => phaseOf(row) === 'active')
      .map(({ kid, alg }) => ({ kid, alg, retires_at: plan.get(kid)?.retiresAt ?? null })),
  }
}

export interface PolicyChange {
  readonly from: PolicyOutlook
  readonly to: PolicyOutlook
}

/** Some settings of a policy. */
export type PolicySettings = { readonly [Name in keyof KeyPolicy]?: KeyPolicy[Name] | undefined }

/**
 * The effects of another policy. Undefined for the present one. Refuses one that cannot work, and where the
 * present one is not as the precondition says.
 */
export async function planPolicy(admin: Admin, settings: PolicySettings): Promise<PolicyChange | undefined> {
  const installation = await readInstallation(admin.db)
  const from = await readPolicy(admin, installation)
  heedPrecondition(admin, () => describeSettings(from))
  const before = policyOf(installation)
  const to: KeyPolicy = {
    key_rotation_seconds: settings.key_rotation_seconds ?? before.key_rotation_seconds,
    jwks_max_age_seconds: settings.jwks_max_age_seconds ?? before.jwks_max_age_seconds,
    clock_skew_seconds: settings.clock_skew_seconds ?? before.clock_skew_seconds,
  }
  if (JSON.stringify(before) === JSON.stringify(to)) return undefined
  const now = admin.clock.now()
  const after = changedInstallation(installation, to, now)
  const problems = policyProblems(to, largestMaxAgeOf(after, now))
  if (problems.length > 0) throw new Refusal('invalid', `this policy cannot work: ${problems.join('; ')}`)
  return { from, to: await readPolicy(admin, after) }
}

/** Changes the policy as planned, if it has not changed since; returns the policy that holds now. */
export async function changePolicy(admin: Admin, change: PolicyChange): Promise<KeyPolicy> {
  const { db, clock } = admin
  const [from, to] = [change.from.policy, change.to.policy]
  const isChanged = await record(admin, { event: 'key_policy_changed', detail: { from, to } }, writer =>
    changeKeyPolicy(writer, { from, to, now: clock.now() }),
  )
  if (!isChanged) {
    throw movedOn(admin, 'the policy')
  }
  logPolicy(admin, change)
  return readInstallation(db)
}

/** Writes into the log that the policy was changed. */
export function logPolicy({ log, actor }: Pick<Admin, 'log' | 'actor'>, { from, to }: PolicyChange): void {
  log.info(
    { event: 'key_policy_changed', from: from.policy, to: to.policy, by: shortNameOf(actor) },
    'the policy of the key rings was changed',
  )
}

function policyOf({ key_rotation_seconds, jwks_max_age_seconds, clock_skew_seconds }: KeyPolicy): KeyPolicy {
  return { key_rotation_seconds, jwks_max_age_seconds, clock_skew_seconds }
}

/** The installation as it will be: a max-age that is lowered is reckoned with for a while. */
function changedInstallation(before: InstallationTable, to: KeyPolicy, now: number): InstallationTable {
  const isLowered = to.jwks_max_age_seconds < before.jwks_max_age_seconds
  return {
    ...before,
    ...to,
    ...(isLowered && {
      largest_max_age_seconds: largestMaxAgeOf(before, now),
      largest_max_age_until: now + largestMaxAgeLingersSeconds,
    }),
  }
}
