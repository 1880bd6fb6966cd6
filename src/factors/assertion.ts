import { decodePartialCBOR } from '@levischuck/tiny-cbor'
import { hasSigned, readCoseKey } from '../keys/proofs/cose-key.ts'
import { sha256 } from '../values/sha256.ts'
import { bytesOf, type Answer, type Expected } from './webauthn.ts'

/** What an authenticator says with an assertion. */
export interface Assertion {
  readonly counter: number
  /** Whether it may be on several devices (backup eligible). */
  readonly isSynced: boolean
}

/**
 * Verifies an assertion, in the order of WebAuthn Level 3 §7.2, by the COSE_Key of its credential:
 * 'unverified' where the authenticator did not verify who holds it, undefined where anything else is wrong.
 * Whose the credential is, its counter, and whether the challenge is good, is for the caller.
 */
export function verifyAssertion(
  { clientData, response }: Answer,
  { origin, rpId }: Expected,
  publicKey: Buffer,
): Assertion | 'unverified' | undefined {
  const bytes = bytesOf(response['authenticatorData'])
  const signature = bytesOf(response['signature'])
  const data = bytes && readAuthenticatorData(bytes)
  if (!data || !signature) return undefined
  if (clientData.type !== 'webauthn.get' || clientData.origin !== origin) return undefined
  if (clientData.isCrossOrigin) return undefined
  if (!data.rpIdHash.equals(sha256(rpId))) return undefined
  if (!data.isPresent) return undefined
  if (data.isBackedUp && !data.isSynced) return undefined
  const key = readCoseKey(publicKey)
  const signed = Buffer.concat([bytes, sha256(clientData.bytes)])
  if (!key || !hasSigned(key, signed, signature)) return undefined
  return data.isVerified ? data : 'unverified'
}

interface AuthenticatorData extends Assertion {
  /** SHA-256. */
  readonly rpIdHash: Buffer
  readonly isPresent: boolean
  readonly isVerified: boolean
  readonly isBackedUp: boolean
}

/** Bits of the flags (§6.1). */
const [present, verified, eligible, backedUp, withCredential, withExtensions] = [
  1, 4, 8, 16, 64, 128,
] as const

/** Without extensions it is as long. */
const headLength = 37

/** Reads the authenticator data of an assertion (§6.1); undefined for any other bytes. */
function readAuthenticatorData(bytes: Buffer): AuthenticatorData | undefined {
  if (bytes.length < headLength) return undefined
  const flags = bytes.readUInt8(32)
  const is = (bit: number) => (flags & bit) !== 0
  // A new credential is in those of registrations alone.
  if (is(withCredential)) return undefined
  const length = is(withExtensions) ? headLength + extensionsLength(bytes) : headLength
  if (bytes.length !== length) return undefined
  return {
    rpIdHash: bytes.subarray(0, 32),
    isPresent: is(present),
    isVerified: is(verified),
    isSynced: is(eligible),
    isBackedUp: is(backedUp),
    counter: bytes.readUInt32BE(33),
  }
}

/** How many bytes what extensions say is long: one map of CBOR. NaN for anything else. */
function extensionsLength(bytes: Buffer): number {
  try {
    // A copy: the decoder reads from the beginning of the memory that the bytes are in.
    const [said, length] = decodePartialCBOR(new Uint8Array(bytes), headLength)
    return said instanceof Map ? length : NaN
  } catch {
    return NaN // it is no CBOR
  }
}
