import { parentPort, type MessagePort } from 'node:worker_threads'
import { SettingsService, verifyRegistrationResponse } from '@simplewebauthn/server'

/*
 * What registration.ts has a thread for. Reading the library takes a fifth of a second, in which the thread
 * does nothing else, and 25 MB that not all need.
 */

/** What a browser has sent, and what it has to be. */
export interface MadeQuestion {
  readonly json: Readonly<Record<string, unknown>>
  readonly challenge: string
  readonly origin: string
  readonly rpId: string
  readonly algorithms: readonly number[]
}

/** A credential that was made, as its authenticator describes it. */
export interface Made {
  /** In base64url. */
  readonly id: string
  readonly publicKey: Uint8Array
  readonly counter: number
  readonly transports: unknown
  readonly aaguid: string
  readonly isSynced: boolean
  /** Whether the authenticator has verified who holds it. */
  readonly isVerified: boolean
}

// Nothing here hangs on who has made an authenticator, and no certificate makes us fetch anything.
for (const identifier of ['android-key', 'android-safetynet', 'apple'] as const)
  SettingsService.setRootCertificates({ identifier, certificates: [] })

parentPort?.on('message', ({ question, answerTo }: { question: MadeQuestion; answerTo: MessagePort }) => {
  void readMade(question).then(made => answerTo.postMessage(made))
})

async function readMade(question: MadeQuestion): Promise<Made | undefined> {
  const { json, challenge, origin, rpId, algorithms } = question
  // The library throws at whatever is wrong, in words for programmers.
  const verified = await verifyRegistrationResponse({
    response: json as never,
    expectedChallenge: challenge,
    expectedOrigin: origin,
    expectedRPID: rpId,
    supportedAlgorithmIDs: [...algorithms],
    requireUserVerification: false,
  }).catch(() => undefined)
  const registration = verified?.registrationInfo
  if (!registration) return undefined
  const { credential, aaguid, credentialDeviceType, userVerified } = registration
  const { id, publicKey, counter, transports } = credential
  const isSynced = credentialDeviceType === 'multiDevice'
  return { id, publicKey, counter, transports, aaguid, isSynced, isVerified: userVerified }
}
