import { isSignedByOne, type UnverifiedAssertion } from '../keys/proofs/assertion.ts'
import type { ClientKeys, KeySource } from './client-keys.ts'

/**
 * Whether a key of the source has signed the assertion. One that is not known here may be new: then it is
 * looked for where they are published. 503 where that cannot be told.
 */
export async function isSignedBy(
  keys: ClientKeys,
  source: KeySource,
  assertion: UnverifiedAssertion,
): Promise<boolean> {
  const known = await keys.of(source)
  if (isSignedByOne(assertion, known)) return true
  if (assertion.kid !== undefined && known.some(({ kid }) => kid === assertion.kid)) return false
  const newer = await keys.refetched(source)
  return newer !== undefined && isSignedByOne(assertion, newer)
}
