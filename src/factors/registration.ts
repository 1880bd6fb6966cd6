import { extname } from 'node:path'
import { MessageChannel, Worker } from 'node:worker_threads'
import { unavailable } from '../errors.ts'
import { isSafeKey, readCoseKey } from '../keys/proofs/cose-key.ts'
import type { Made, MadeQuestion } from './registration-thread.ts'
import type { Answer, Expected } from './webauthn.ts'

/** A new credential, as its authenticator describes it. */
export interface NewCredential {
  readonly credentialId: Buffer
  /** COSE_Key. */
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
 * Verifies a registration (WebAuthn Level 3 §7.1): 'unverified' where the authenticator did not verify who
 * holds it, undefined where anything else is wrong. Whether the challenge is good, and the credential new, is
 * for the caller. Throws 503 where it could not be looked at.
 */
export async function verifyRegistration(
  { id, clientData, json }: Answer,
  expected: Expected,
): Promise<NewCredential | 'unverified' | undefined> {
  if (clientData.isCrossOrigin) return undefined
  const made = await askThread({ json, ...expected, challenge: clientData.challenge, algorithms })
  if (made?.id !== id) return undefined
  const publicKey = Buffer.from(made.publicKey)
  const key = readCoseKey(publicKey)
  if (!key || !isSafeKey(key)) return undefined
  if (!made.isVerified) return 'unverified'
  const { counter, transports, aaguid, isSynced } = made
  const credentialId = Buffer.from(id, 'base64url')
  return { credentialId, publicKey, counter, transports: transportsOf(transports), aaguid, isSynced }
}

/** Begins with the first registration, and is there for all others. */
let thread: Worker | undefined

function askThread(question: MadeQuestion): Promise<Made | undefined> {
  thread ??= openThread()
  const { port1: here, port2: there } = new MessageChannel()
  return new Promise((resolve, reject) => {
    here.once('message', resolve).once('message', () => here.close())
    here.once('close', () => reject(unavailable(new Error('the thread for new passkeys has ended'))))
    thread?.postMessage({ question, answerTo: there }, [there])
  })
}

function openThread(): Worker {
  // Beside this file, in the sources and where they are built.
  const name = `./registration-thread${extname(import.meta.filename)}`
  const worker = new Worker(new URL(name, import.meta.url))
  worker.unref()
  const forget = () => {
    if (thread === worker) thread = undefined
  }
  return worker.once('error', forget).once('exit', forget)
}

/** What browsers hint at, where it is a hint at all. */
function transportsOf(transports: unknown): readonly string[] {
  if (!Array.isArray(transports)) return []
  const names = transports.filter(one => typeof one === 'string' && /^[a-z-]{1,20}$/.test(one)) as string[]
  return [...new Set(names)].slice(0, 8)
}
