import { day, formatDuration } from '../values/duration.ts'

/** Within so many seconds instances follow each other, or know that they do not. */
export const followBoundSeconds = 10

/** The least and the most, in seconds, of what the policy of the key ring may say. */
export const keyPolicyLimits = {
  rotation: [60, 3650 * day],
  maxAge: [1, 7 * day],
  skew: [0, 600],
} as const

/**
 * For how many seconds a key must have been published before it signs. An instance may send a key set that is
 * as old as the bound within which instances follow each other, and a verifier may keep that for the max-age:
 * so much is needed. The second max-age is for caches between the two that count anew.
 */
export function leadOf(maxAgeSeconds: number): number {
  return 2 * maxAgeSeconds + followBoundSeconds
}

/**
 * Why a policy cannot work, with the arithmetic; `maxAgeSeconds` is the largest one that counts. None if it
 * can.
 */
export function policyProblems(
  { key_rotation_seconds: interval }: { readonly key_rotation_seconds: number },
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
