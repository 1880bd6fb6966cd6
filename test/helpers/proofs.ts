import { createHmac, generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import { algorithms } from '../../src/keys/algorithms.ts'

/** A key of a client. */
export interface TestKey {
  readonly alg: string
  readonly privateKey: KeyObject
  readonly publicJwk: Readonly<Record<string, unknown>>
  readonly privateJwk: Readonly<Record<string, unknown>>
  /** Its thumbprint, as jose computes it. */
  readonly jkt: string
}

export async function testKey(alg = 'ES256'): Promise<TestKey> {
  const algorithm = algorithms.get(alg)
  if (!algorithm) throw new Error(`${alg} is none of ours`)
  return keyOfPair(alg, await algorithm.generate())
}

/** A key that no algorithm of ours takes. */
export function oddKey(alg: string, curve: 'P-384' | 'secp256k1' | 'ed448' | 'rsa1024'): Promise<TestKey> {
  if (curve === 'rsa1024') return keyOfPair(alg, generateKeyPairSync('rsa', { modulusLength: 1024 }))
  if (curve === 'ed448') return keyOfPair(alg, generateKeyPairSync('ed448'))
  return keyOfPair(alg, generateKeyPairSync('ec', { namedCurve: curve }))
}

async function keyOfPair(
  alg: string,
  { privateKey, publicKey }: { privateKey: KeyObject; publicKey: KeyObject },
): Promise<TestKey> {
  const publicJwk: Record<string, unknown> = { ...publicKey.export({ format: 'jwk' }) }
  return {
    alg,
    privateKey,
    publicJwk,
    privateJwk: { ...privateKey.export({ format: 'jwk' }) },
    jkt: await calculateJwkThumbprint(publicJwk),
  }
}

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** Signs whatever it is told to, right or wrong. `undefined` leaves a member out. */
export async function signJwt(
  { alg, privateKey }: Pick<TestKey, 'alg' | 'privateKey'>,
  header: unknown,
  claims: unknown,
): Promise<string> {
  const text = `${encode(header)}.${encode(claims)}`
  const algorithm = algorithms.get(alg)
  if (!algorithm) throw new Error(`${alg} is none of ours`)
  return `${text}.${encodeBytes(await algorithm.sign(privateKey, Buffer.from(text)))}`
}

const encodeBytes = (bytes: Buffer) => bytes.toString('base64url')

/** The mistake of taking a public key for the secret of a MAC. */
export function macJwt(secret: string, header: object, claims: object): string {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${encodeBytes(createHmac('sha256', secret).update(text).digest())}`
}

type Changes = Readonly<Record<string, unknown>>

/** The header of a good proof (RFC 9449 §4.2), with changes. */
export const proofHeader = ({ alg, publicJwk }: TestKey, changes: Changes = {}) => ({
  typ: 'dpop+jwt',
  alg,
  jwk: publicJwk,
  ...changes,
})

/** The claims of a good proof for a token request, with changes. */
export const proofClaims = (now: number, changes: Changes = {}) => ({
  jti: randomUUID(),
  htm: 'POST',
  htu: 'https://as.example/token',
  iat: now,
  ...changes,
})

/** The claims of a good client assertion (RFC 7523 §3), with changes. */
export const assertionClaims = (clientId: string, now: number, changes: Changes = {}) => ({
  iss: clientId,
  sub: clientId,
  aud: 'https://as.example',
  exp: now + 60,
  iat: now,
  jti: randomUUID(),
  ...changes,
})

/** The parameters of a request with a client assertion (RFC 7521 §4.2). */
export const assertionForm = (assertion: string) => ({
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: assertion,
})
