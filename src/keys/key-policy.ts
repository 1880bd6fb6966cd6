import type { InstallationTable, ResourceTable } from '../../db/database.ts'
import type { KeyPolicy } from '../../db/installation.ts'
import { defaultAlg } from '../../db/signing-keys.ts'
import { formatDuration } from '../protocol/duration.ts'

/** Within so many seconds instances follow each other, or know that they do not. */
export const followBoundSeconds = 10

/** Published from the start: ES256 signs by default, and RS256 is what RFC 9068 §2.1 demands of everybody. */
const algsFromStart = [defaultAlg, 'RS256']

/** The algorithms that keys are wanted for. */
export function algsWanted(resources: readonly UsedAlgs[]): readonly string[] {
  return [...new Set([...algsSigning(resources), ...resources.map(({ alg }) => alg)])]
}

/** The algorithms that tokens are signed with now, or may be at any time. */
export function algsSigning(resources: readonly UsedAlgs[]): readonly string[] {
  return [...new Set([...algsFromStart, ...resources.map(({ alg, previous_alg }) => previous_alg ?? alg)])]
}

type UsedAlgs = Pick<ResourceTable, 'alg' | 'previous_alg'>

/** What the key rings keep to at one moment. */
export interface RingPolicy {
  /** How long a key signs. */
  readonly rotationSeconds: number
  /** How long a key must have been published before it signs. */
  readonly leadSeconds: number
  /** The algorithms that keys are wanted for. */
  readonly algs: readonly string[]
}

/** The database's policy, at this time. */
export function ringPolicyOf(record: InstallationTable, algs: readonly string[], now: number): RingPolicy {
  return { rotationSeconds: record.key_rotation_seconds, leadSeconds: leadSecondsOf(record, now), algs }
}

/** The largest max-age that a key set may have been sent with which somebody still has. */
export function largestMaxAgeOf(record: InstallationTable, now: number): number {
  const { jwks_max_age_seconds, largest_max_age_seconds, largest_max_age_until } = record
  return now < largest_max_age_until
    ? Math.max(jwks_max_age_seconds, largest_max_age_seconds)
    : jwks_max_age_seconds
}

/**
 * How long a key must have been published before it signs. An instance may send a key set that is as old as the bound
 * within which instances follow each other, and a verifier may keep that for the max-age: so much is needed. The second
 * max-age is for caches between the two that count anew.
 */
export function leadSecondsOf(record: InstallationTable, now: number): number {
  return leadOf(largestMaxAgeOf(record, now))
}

function leadOf(maxAgeSeconds: number): number {
  return 2 * maxAgeSeconds + followBoundSeconds
}

/** The longest that a widespread verifier waits before it fetches a key set again (oauth4webapi; docs/verifying.md). */
const longestCoolDownSeconds = 60

/** Why verifications may fail when a key rotates, with the arithmetic; undefined if the lead is long enough for all. */
export function policyWarning({ jwks_max_age_seconds: maxAge }: Pick<KeyPolicy, 'jwks_max_age_seconds'>) {
  const lead = leadOf(maxAge)
  if (lead >= longestCoolDownSeconds + followBoundSeconds) return undefined
  return (
    `under this policy a key is published for only 2 × ${maxAge} s (max-age) + ${followBoundSeconds} s = ${lead} s before it signs, ` +
    `and some verifiers fetch the key set at most once in ${longestCoolDownSeconds} s: they may refuse its first tokens`
  )
}

/** What to do about that. */
export const policyAdvice =
  `\`mintmark key policy --jwks-max-age ${longestCoolDownSeconds / 2}\` or more, ` +
  'or see docs/verifying.md for what your APIs need'

/** Why a policy cannot work, with the arithmetic; `maxAgeSeconds` is the largest one that counts. None if it can. */
export function policyProblems(
  { key_rotation_seconds: interval }: Pick<KeyPolicy, 'key_rotation_seconds'>,
  maxAgeSeconds: number,
): readonly string[] {
  const lead = leadOf(maxAgeSeconds)
  if (interval >= lead) return []
  return [
    `a key signs for ${formatDuration(interval)}, but its successor must be published for ` +
      `2 × ${maxAgeSeconds} s (max-age) + ${followBoundSeconds} s = ${lead} s before that: ` +
      `rotate every ${formatDuration(lead)} or more, or lower the max-age to ` +
      `${Math.floor((interval - followBoundSeconds) / 2)} s`,
  ]
}

const settings = [
  ['key_rotation_seconds', 'KEY_ROTATION_INTERVAL', '--rotation-interval'],
  ['jwks_max_age_seconds', 'JWKS_MAX_AGE', '--jwks-max-age'],
  ['clock_skew_seconds', 'CLOCK_SKEW', '--clock-skew'],
] as const

/** What was set and does not count, since the database has a policy of its own, and what to do; undefined if all is alike. */
export function unheededPolicy(set: Partial<KeyPolicy>, counting: KeyPolicy) {
  const differing = settings.flatMap(([name, variable, option]) => {
    const value = set[name]
    return value === undefined || value === counting[name]
      ? []
      : [
          {
            variable: `MINTMARK_${variable}`,
            option,
            value: formatDuration(value),
            counts: formatDuration(counting[name]),
          },
        ]
  })
  if (differing.length === 0) return undefined
  const text = differing.map(
    ({ variable, value, counts }) => `${variable} is ${value}, but the database has ${counts}`,
  )
  const options = differing.map(({ option, value }) => `${option} ${value}`)
  return {
    text: `${text.join('; ')}, and only that counts`,
    advice: `\`mintmark key policy ${options.join(' ')}\` changes it for all servers`,
  }
}
