import { verify, type KeyObject } from 'node:crypto'
import { decodeCBOR } from '@levischuck/tiny-cbor'
import { algorithms } from '../algorithms.ts'
import { publicKeyOf } from '../jws.ts'

/** The public key of a passkey. */
export interface CoseKey {
  readonly alg: 'ES256' | 'EdDSA' | 'RS256'
  readonly key: KeyObject
}

/**
 * The key of a COSE_Key (RFC 9052 §7, RFC 9053 §7); undefined for any other bytes, and for a key of another
 * algorithm. Does NOT say whether that takes it.
 */
export function readCoseKey(bytes: Buffer): CoseKey | undefined {
  const jwk = jwkOf(bytes)
  const key = publicKeyOf(jwk)
  return jwk && key && { alg: jwk.alg, key }
}

/** Whether its algorithm takes the key: it is of a size that is safe, and none that takes long. */
export function isSafeKey({ alg, key }: CoseKey): boolean {
  return algorithms.get(alg)?.takes(key) === true
}

/** Whether the key has signed the data, as passkeys do (WebAuthn Level 3 §6.5.5): ES256 as DER. */
export function hasSigned({ alg, key }: CoseKey, data: Buffer, signature: Buffer): boolean {
  return verify(alg === 'EdDSA' ? null : 'sha256', data, key, signature)
}

/** As a JWK. Of each algorithm there is one kind of key (WebAuthn Level 3 §5.8.5). */
function jwkOf(bytes: Buffer) {
  const cose = mapOf(bytes)
  if (!cose) return undefined
  const [kty, alg, crv] = [cose.get(1), cose.get(3), cose.get(-1)]
  const text = (label: number) => textOf(cose.get(label))
  if (alg === -7 && kty === 2 && crv === 1)
    return { alg: 'ES256', kty: 'EC', crv: 'P-256', x: text(-2), y: text(-3) } as const
  if (alg === -8 && kty === 1 && crv === 6)
    return { alg: 'EdDSA', kty: 'OKP', crv: 'Ed25519', x: text(-2) } as const
  if (alg === -257 && kty === 3) return { alg: 'RS256', kty: 'RSA', n: text(-1), e: text(-2) } as const
  return undefined
}

function mapOf(bytes: Buffer): ReadonlyMap<unknown, unknown> | undefined {
  try {
    // A copy: the decoder reads from the beginning of the memory that the bytes are in.
    const value = decodeCBOR(new Uint8Array(bytes))
    return value instanceof Map ? value : undefined
  } catch {
    return undefined // it is no CBOR
  }
}

/** In base64url; undefined for what is no bytes. */
function textOf(value: unknown): string | undefined {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64url') : undefined
}
