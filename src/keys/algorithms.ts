import { constants, generateKeyPair, sign, verify, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'

/** One JWS algorithm (RFC 7518 §3.1, RFC 9864 §2.2): how its keys are made, and how it signs. */
export interface Algorithm {
  generate(): Promise<{ readonly privateKey: KeyObject; readonly publicKey: KeyObject }>
  /** Whether a key is of its kind, of a size that is safe, and none that takes long to verify with. */
  takes(key: KeyObject): boolean
  /** In the thread pool where it takes long: RSA is ten times as slow as the others. */
  sign(key: KeyObject, data: Buffer): Buffer | Promise<Buffer>
  verify(key: KeyObject, data: Buffer, signature: Buffer): boolean
}

const generate = promisify(generateKeyPair)
const signInPool = promisify(sign)

const es256: Algorithm = {
  generate: () => generate('ec', { namedCurve: 'P-256' }),
  takes: key => key.asymmetricKeyDetails?.namedCurve === 'prime256v1',
  // Node.js converts the signature itself when it is asked to, but takes twice as long for it.
  sign: (key, data) => rawOfDer(sign('sha256', data, key)),
  verify: (key, data, signature) =>
    signature.length === 64 && verify('sha256', data, key, derOfRaw(signature)),
}

/** Generated in the thread pool: it takes a while. */
const generateRsa = () => generate('rsa', { modulusLength: 2048 })

/** RFC 7518 §3.3, and a bound: the maker of the key decides what a verification costs. */
const takesRsa = ({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject) => {
  const { modulusLength = 0, publicExponent = 0n } = asymmetricKeyDetails ?? {}
  return (
    asymmetricKeyType === 'rsa' &&
    modulusLength >= 2048 &&
    modulusLength <= 8192 &&
    publicExponent < 2n ** 32n
  )
}

const rs256: Algorithm = {
  generate: generateRsa,
  takes: takesRsa,
  sign: (key, data) => signInPool('sha256', data, key),
  verify: (key, data, signature) => verify('sha256', data, key, signature),
}

const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }

const ps256: Algorithm = {
  generate: generateRsa,
  takes: takesRsa,
  sign: (key, data) => signInPool('sha256', data, { key, ...pss }),
  verify: (key, data, signature) => verify('sha256', data, { key, ...pss }, signature),
}

const ed25519: Algorithm = {
  generate: () => generate('ed25519'),
  takes: key => key.asymmetricKeyType === 'ed25519',
  sign: (key, data) => sign(null, data, key),
  verify: (key, data, signature) => verify(null, data, key, signature),
}

/** Signs for whatever has no algorithm of its own. */
export const defaultAlg = 'ES256'

/** `EdDSA` is the old label of what RFC 9864 calls `Ed25519`; some verifiers know only one of the two. */
export const algorithms: ReadonlyMap<string, Algorithm> = new Map([
  ['ES256', es256],
  ['RS256', rs256],
  ['PS256', ps256],
  ['Ed25519', ed25519],
  ['EdDSA', ed25519],
])

/**
 * RFC 7518 §3.4 wants R and S as 32 bytes each, one after the other; OpenSSL writes them as a DER sequence of
 * two integers, each shorter where it begins with zeros and longer by one where it would look negative.
 */
export function rawOfDer(der: Buffer): Buffer {
  const raw = Buffer.allocUnsafe(64).fill(0) // from the pool, which `alloc` does not use
  const rEnd = 4 + (der[3] ?? 0)
  copyInteger(der, 4, rEnd, raw, 32)
  copyInteger(der, rEnd + 2, der.length, raw, 64)
  return raw
}

/** The other way round. */
export function derOfRaw(raw: Buffer): Buffer {
  const content = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))])
  return Buffer.concat([Buffer.from([0x30, content.length]), content])
}

/** As short as it can be, and never negative. */
function integer(bytes: Buffer): Buffer {
  const first = bytes.findIndex(byte => byte !== 0)
  const value = bytes.subarray(first < 0 ? -1 : first)
  const head = (value[0] ?? 0) < 0x80 ? [2, value.length] : [2, value.length + 1, 0]
  return Buffer.concat([Buffer.from(head), value])
}

/** Copies the integer in `der` from `start` to `end`, as 32 bytes that end before `rawEnd`. */
function copyInteger(der: Buffer, start: number, end: number, raw: Buffer, rawEnd: number): void {
  const length = Math.min(end - start, 32)
  der.copy(raw, rawEnd - length, end - length, end)
}
