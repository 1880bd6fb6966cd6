import type { KeyPolicy } from '../../../db/installation/installation.ts'
import type { UsedAlg } from '../../../db/keys/used-algs.ts'
import type { InstallationTable } from '../../../db/schema.ts'
import { followBoundSeconds, leadOf } from '../../protocol/key-lead.ts'
import { formatDuration } from '../../values/duration.ts'
import { defaultAlg } from '../algorithms.ts'

/** Published from the start: ES256 signs by default, and RS256 is what RFC 9068 §2.1 demands of everybody. */
const algsFromStart = [defaultAlg, 'RS256']

/** The algorithms that keys are wanted for, with those that resources and clients use. */
export function algsWanted(used: readonly UsedAlg[]): readonly string[] {
  return [...new Set([...algsSigning(used), ...used.map(({ alg }) => alg)])]
}

/** The algorithms that tokens are signed with now, or may be at any time. */
export function algsSigning(used: readonly UsedAlg[]): readonly string[] {
  return [...new Set([...algsFromStart, ...used.map(({ alg, previous_alg }) => previous_alg ?? alg)])]
}

/** The policy of the key ring at one moment. */
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

/** For how many seconds a key must have been published before it signs. */
export function leadSecondsOf(record: InstallationTable, now: number): number {
  return leadOf(largestMaxAgeOf(record, now))
}

/**
 * How seldom widespread verifiers look at the key set, as they come, when they meet a new `kid`
 * (docs/verifying.md).
 */
const seldomLooks = [
  { seconds: 60, who: 'oauth4webapi' },
  { seconds: 300, who: 'keyfunc, Authlib' },
  { seconds: 900, who: 'jwx' },
] as const

/** Under the default policy one of them needs a setting of its own: that is to be known, and no mistake. */
const rareSeconds = 900

/** Those that may refuse the first tokens of a key, because it is not published for long enough before. */
function tooSeldom(maxAge: number): readonly { readonly seconds: number; readonly who: string }[] {
  return seldomLooks.filter(({ seconds }) => leadOf(maxAge) < seconds + followBoundSeconds)
}

/**
 * Why verifications may fail when a key rotates, with the arithmetic; undefined if the lead is long enough
 * for all but the rare.
 */
export function policyWarning({ jwks_max_age_seconds: maxAge }: Pick<KeyPolicy, 'jwks_max_age_seconds'>) {
  const late = tooSeldom(maxAge)
  if (late.every(({ seconds }) => seconds === rareSeconds)) return undefined
  const verifiers = late.map(({ seconds, who }) => `${seconds} s (${who})`).join(', ')
  return (
    `under this policy a key is published for only 2 × ${maxAge} s (max-age) + ${followBoundSeconds} s = ${leadOf(maxAge)} s ` +
    `before it signs, and some verifiers fetch the key set at most once in ${verifiers}: they may refuse its first tokens`
  )
}

/** What to do about that. */
export function policyAdvice({
  jwks_max_age_seconds: maxAge,
}: Pick<KeyPolicy, 'jwks_max_age_seconds'>): string {
  const needed = tooSeldom(maxAge)
    .filter(({ seconds }) => seconds !== rareSeconds)
    .map(({ seconds }) => seconds / 2)
  return (
    `\`mintmark key policy --jwks-max-age ${Math.max(...needed)}\` or more, ` +
    'or see docs/verifying.md for what your APIs need'
  )
}

/** The lead that rare verifiers need, where it is too short for them; undefined if it is long enough. */
export function policyNote({ jwks_max_age_seconds: maxAge }: Pick<KeyPolicy, 'jwks_max_age_seconds'>) {
  const [rare, ...others] = tooSeldom(maxAge).toReversed()
  // Where there are others, the warning names all.
  if (!rare || others.length > 0) return undefined
  return (
    `a verifier that looks at the key set once in ${formatDuration(rare.seconds)} (${rare.who}, as it comes) has to look ` +
    `every ${leadOf(maxAge) - followBoundSeconds} s, or needs a max-age of ${rare.seconds / 2} s: docs/verifying.md`
  )
}

const settings = [
  ['key_rotation_seconds', 'KEY_ROTATION_INTERVAL', '--rotation-interval'],
  ['jwks_max_age_seconds', 'JWKS_MAX_AGE', '--jwks-max-age'],
  ['clock_skew_seconds', 'CLOCK_SKEW', '--clock-skew'],
] as const

/**
 * Finds settings that do not count, since the database has a policy of its own, and says what to do;
 * undefined if all are alike.
 */
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
