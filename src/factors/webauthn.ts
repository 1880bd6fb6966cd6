import type { WebAuthnCredential } from '@simplewebauthn/server'
import { isObject } from '../values/json.ts'

/** A browser's answer to a challenge (WebAuthn Level 3 §5.1), as far as it is read before it is verified. */
export interface Answer {
  /** Of the credential, in base64url. */
  readonly id: string
  readonly challenge: string
  /** Whether it comes out of a frame in a page of somebody else: ours may not be framed. */
  readonly isCrossOrigin: boolean
  /** The user that the passkey says it is of; undefined where it says none, null for what is no text. */
  readonly userHandle: string | null | undefined
  /** All of it. */
  readonly json: Readonly<Record<string, unknown>>
}

/** Longer ids are no credentials' (§4). */
const idBytesMax = 1023

/** Reads an answer; undefined for any other text. */
export function readAnswer(text: string): Answer | undefined {
  const json = parseObject(text)
  const response = json?.['response']
  if (!json || !isObject(response)) return undefined
  const { id } = json
  const { clientDataJSON, userHandle } = response
  const idBytes = bytesOf(id)
  const clientData = parseObject(bytesOf(clientDataJSON)?.toString() ?? '')
  if (typeof id !== 'string' || !idBytes || idBytes.length > idBytesMax) return undefined
  if (!clientData || typeof clientData['challenge'] !== 'string') return undefined
  const { challenge, crossOrigin, topOrigin } = clientData
  return {
    id,
    challenge,
    isCrossOrigin: (crossOrigin !== undefined && crossOrigin !== false) || topOrigin !== undefined,
    userHandle: userHandle === undefined || typeof userHandle === 'string' ? userHandle : null,
    json,
  }
}

/** Where an answer has to come from. */
export interface Expected {
  readonly challenge: string
  /** Of the issuer. */
  readonly origin: string
  readonly rpId: string
}

/** A new credential, as its authenticator describes it. */
export interface NewCredential {
  readonly credentialId: Buffer
  readonly publicKey: Buffer
  readonly counter: number
  readonly transports: readonly string[]
  readonly aaguid: string
  /** Whether it may be on several devices (backup eligible). */
  readonly isSynced: boolean
}

/** ES256, EdDSA and RS256, the first one first (RFC 9053 §2, RFC 8812 §2). */
export const algorithms: readonly number[] = [-7, -8, -257]

/**
 * Verifies a registration (§7.1): 'unverified' where the authenticator did not verify who holds it, undefined
 * where anything else is wrong. Whether the challenge is good, and the credential new, is for the caller.
 */
export async function verifyRegistration(
  answer: Answer,
  expected: Expected,
): Promise<NewCredential | 'unverified' | undefined> {
  const { verifyRegistrationResponse } = await library()
  const verify = (requireUserVerification: boolean) =>
    verifyRegistrationResponse({
      response: answer.json as never,
      expectedChallenge: expected.challenge,
      expectedOrigin: expected.origin,
      expectedRPID: expected.rpId,
      supportedAlgorithmIDs: [...algorithms],
      requireUserVerification,
    })
  const verified = await orUndefined(() => verify(false))
  const registration = verified?.registrationInfo
  if (!registration || answer.isCrossOrigin || registration.credential.id !== answer.id) return undefined
  if (!registration.userVerified) return 'unverified'
  const { credential, aaguid, credentialDeviceType } = registration
  return {
    credentialId: Buffer.from(credential.id, 'base64url'),
    publicKey: Buffer.from(credential.publicKey),
    counter: credential.counter,
    transports: transportsOf(credential.transports),
    aaguid,
    isSynced: credentialDeviceType === 'multiDevice',
  }
}

/** What an authenticator says with an assertion. */
export interface Assertion {
  readonly counter: number
  readonly isSynced: boolean
}

/**
 * Verifies an assertion (§7.2) by the key of its credential; its answers are those of `verifyRegistration`.
 * Whose the credential is, its counter, and whether the challenge is good, is for the caller.
 */
export async function verifyAssertion(
  answer: Answer,
  expected: Expected,
  publicKey: Buffer,
): Promise<Assertion | 'unverified' | undefined> {
  const { verifyAuthenticationResponse } = await library()
  // The library refuses counters that go back, of which we say what they are: to it each one is new.
  const credential: WebAuthnCredential = { id: answer.id, publicKey: new Uint8Array(publicKey), counter: 0 }
  const verified = await orUndefined(() =>
    verifyAuthenticationResponse({
      response: answer.json as never,
      expectedChallenge: expected.challenge,
      expectedOrigin: expected.origin,
      expectedRPID: expected.rpId,
      requireUserVerification: false,
      credential,
    }),
  )
  if (!verified?.verified || answer.isCrossOrigin) return undefined
  const { userVerified, newCounter, credentialDeviceType } = verified.authenticationInfo
  if (!userVerified) return 'unverified'
  return { counter: newCounter, isSynced: credentialDeviceType === 'multiDevice' }
}

type Library = typeof import('@simplewebauthn/server')

let loaded: Promise<Library> | undefined

/** Loaded when the first passkey comes: reading it takes a fifth of a second, and 25 MB that not all need. */
function library(): Promise<Library> {
  loaded ??= import('@simplewebauthn/server').then(webauthn => {
    // Nothing here hangs on who has made an authenticator, and no certificate makes us fetch anything.
    for (const identifier of ['android-key', 'android-safetynet', 'apple'] as const)
      webauthn.SettingsService.setRootCertificates({ identifier, certificates: [] })
    return webauthn
  })
  return loaded
}

/** The library throws at whatever is wrong, in words for programmers. */
async function orUndefined<T>(verify: () => Promise<T>): Promise<T | undefined> {
  try {
    return await verify()
  } catch {
    return undefined
  }
}

/** What browsers hint at, where it is a hint at all. */
function transportsOf(transports: unknown): readonly string[] {
  if (!Array.isArray(transports)) return []
  const names = transports.filter(one => typeof one === 'string' && /^[a-z-]{1,20}$/.test(one)) as string[]
  return [...new Set(names)].slice(0, 8)
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined // it is not JSON
  }
}

/** Of base64url, in the one spelling that it has. */
function bytesOf(text: unknown): Buffer | undefined {
  if (typeof text !== 'string') return undefined
  const bytes = Buffer.from(text, 'base64url')
  return bytes.length > 0 && bytes.toString('base64url') === text ? bytes : undefined
}
