import { constants, createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto'
import type {
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
} from '@simplewebauthn/server'

/**
 * What may be wrong with an answer: each member stands in for what an authenticator and a browser would say.
 */
export interface AnswerChanges {
  /** Of the client data, which is what the browser says. `undefined` leaves a member out. */
  readonly clientData?: Readonly<Record<string, unknown>>
  readonly rpId?: string
  /** Bits of the authenticator data: 1 user present, 4 verified, 8 backup eligible, 16 backed up. */
  readonly flags?: number
  readonly counter?: number
  readonly userHandle?: string | null
  /** Of the attestation. */
  readonly fmt?: string
  readonly attStmt?: Buffer
  /** Put after the authenticator data. */
  readonly leftover?: Buffer
  /** Of the whole answer. `rawId` is the same as `id` unless told. */
  readonly id?: string
  readonly rawId?: string
  readonly type?: string
  /** Changes the signature. */
  readonly tamper?: boolean
}

export type KeyKind = 'ES256' | 'EdDSA' | 'RS256' | 'ES384'

/** Members of a COSE_Key (RFC 9052 §7.1) by their labels, each a number or bytes. */
export type CoseMembers = Readonly<Record<string, number | Buffer>>

/** Members that are present, verified, and for an authenticator of this kind. */
const [present, verified, eligible, backedUp, attested] = [1, 4, 8, 16, 64] as const

/** One passkey in software. */
export interface SoftPasskey {
  readonly credentialId: Buffer
  counter: number
  /** Answers as `navigator.credentials.get` would, as JSON. */
  use(options: PublicKeyCredentialRequestOptionsJSON, changes?: AnswerChanges): string
}

export interface MadePasskey {
  /** What `navigator.credentials.create` would answer, as JSON. */
  readonly response: string
  readonly passkey: SoftPasskey
}

/**
 * An authenticator in software, with the browser around it: pages of one origin. It makes passkeys with the
 * attestation 'none', and answers with them, and can be made to do each step wrong.
 */
export function softAuthenticator(
  origin: string,
  { isSynced = false, counts = true, kind = 'ES256' as KeyKind } = {},
) {
  const own = present | verified | (isSynced ? eligible | backedUp : 0)

  const dataOf = (rpId: string, counter: number, changes: AnswerChanges, rest = Buffer.alloc(0)): Buffer => {
    const head = Buffer.alloc(37)
    createHash('sha256')
      .update(changes.rpId ?? rpId)
      .digest()
      .copy(head)
    head.writeUInt8((changes.flags ?? own) | (rest.length > 0 ? attested : 0), 32)
    head.writeUInt32BE(changes.counter ?? counter, 33)
    return Buffer.concat([head, rest, changes.leftover ?? Buffer.alloc(0)])
  }
  const clientDataOf = (type: string, challenge: string, { clientData = {} }: AnswerChanges): Buffer =>
    Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false, ...clientData }))

  const create = (
    options: PublicKeyCredentialCreationOptionsJSON,
    changes: AnswerChanges & { readonly credentialId?: Buffer; readonly cose?: Buffer } = {},
  ): MadePasskey => {
    const credentialId = changes.credentialId ?? randomBytes(32)
    const { privateKey, cose } = keyOf(kind)
    const passkey: SoftPasskey = {
      credentialId,
      counter: counts ? 1 : 0,
      use: (asked, wrong = {}) => {
        if (counts) passkey.counter++
        const authenticatorData = dataOf(asked.rpId ?? '', passkey.counter, wrong)
        const clientDataJSON = clientDataOf('webauthn.get', asked.challenge, wrong)
        const signature = signWith(
          kind,
          privateKey,
          Buffer.concat([authenticatorData, createHash('sha256').update(clientDataJSON).digest()]),
        )
        if (wrong.tamper === true) signature[signature.length - 1]! ^= 1
        const userHandle = wrong.userHandle === undefined ? options.user.id : wrong.userHandle
        return answer(credentialId, wrong, {
          clientDataJSON,
          authenticatorData,
          signature,
          ...(userHandle !== null && { userHandle }),
        })
      },
    }
    const idLength = Buffer.alloc(2)
    idLength.writeUInt16BE(credentialId.length)
    const attestedData = Buffer.concat([Buffer.alloc(16), idLength, credentialId, changes.cose ?? cose])
    const authData = dataOf(options.rp.id ?? '', passkey.counter, changes, attestedData)
    const attestationObject = Buffer.concat([
      Buffer.of(0xa3),
      text('fmt'),
      text(changes.fmt ?? 'none'),
      text('attStmt'),
      changes.attStmt ?? Buffer.of(0xa0),
      text('authData'),
      bytes(authData),
    ])
    const clientDataJSON = clientDataOf('webauthn.create', options.challenge, changes)
    return { response: answer(credentialId, changes, { clientDataJSON, attestationObject }), passkey }
  }
  return { create }
}

function answer(
  credentialId: Buffer,
  { id, rawId, type = 'public-key' }: AnswerChanges,
  response: Readonly<Record<string, Buffer | string>>,
): string {
  const members = Object.entries(response).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : value.toString('base64url'),
  ])
  const shown = id ?? credentialId.toString('base64url')
  return JSON.stringify({
    id: shown,
    rawId: rawId ?? shown,
    type,
    response: { ...Object.fromEntries(members), transports: ['internal', 'hybrid'] },
    clientExtensionResults: {},
  })
}

/** A new key, and its public part as COSE_Key (RFC 9053 §7). */
function keyOf(kind: KeyKind): { readonly privateKey: KeyObject; readonly cose: Buffer } {
  if (kind === 'EdDSA') {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const { x } = publicKey.export({ format: 'jwk' })
    return { privateKey, cose: map([1, int(1)], [3, int(-8)], [-1, int(6)], [-2, member(x)]) }
  }
  if (kind === 'RS256') {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const { n, e } = publicKey.export({ format: 'jwk' })
    return { privateKey, cose: map([1, int(3)], [3, int(-257)], [-1, member(n)], [-2, member(e)]) }
  }
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: kind === 'ES256' ? 'P-256' : 'P-384',
  })
  return { privateKey, cose: coseOf(publicKey) }
}

/** A COSE_Key of these members, whether they make a key or not. */
export function coseWith(members: CoseMembers): Buffer {
  const pairs = Object.entries(members).map(
    ([label, value]) => [Number(label), typeof value === 'number' ? int(value) : bytes(value)] as const,
  )
  return map(...pairs)
}

/** A public key of ECDSA as COSE_Key (RFC 9053 §7.1). */
export function coseOf(publicKey: KeyObject): Buffer {
  const { crv, x, y } = publicKey.export({ format: 'jwk' })
  const [alg, curve] = crv === 'P-256' ? ([-7, 1] as const) : ([-35, 2] as const)
  return map([1, int(2)], [3, int(alg)], [-1, int(curve)], [-2, member(x)], [-3, member(y)])
}

function signWith(kind: KeyKind, key: KeyObject, data: Buffer): Buffer {
  if (kind === 'RS256') return sign('sha256', data, { key, padding: constants.RSA_PKCS1_PADDING })
  return sign(kind === 'EdDSA' ? null : kind === 'ES256' ? 'sha256' : 'sha384', data, key)
}

// As much of CBOR (RFC 8949 §3) as is needed.
const int = (value: number): Buffer => (value < 0 ? head(1, -1 - value) : head(0, value))
const bytes = (value: Buffer): Buffer => Buffer.concat([head(2, value.length), value])
const text = (value: string): Buffer => Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)])
const member = (value: string | undefined): Buffer => bytes(Buffer.from(value ?? '', 'base64url'))
const map = (...pairs: readonly (readonly [key: number, value: Buffer])[]): Buffer =>
  Buffer.concat([head(5, pairs.length), ...pairs.flatMap(([key, value]) => [int(key), value])])

function head(major: number, value: number): Buffer {
  if (value < 24) return Buffer.of((major << 5) | value)
  if (value < 256) return Buffer.of((major << 5) | 24, value)
  return Buffer.of((major << 5) | 25, value >> 8, value & 255)
}
