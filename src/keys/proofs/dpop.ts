import { hash } from 'node:crypto'
import { isType } from '../../protocol/media-type.ts'
import { normalUrl } from '../../protocol/normal-url.ts'
import { isObject } from '../../values/json.ts'
import { isPrivateJwk, jwkThumbprint, publicKeyOf, readJwt } from '../jws.ts'

/** How far the `iat` of a proof may be from now, before and after, in seconds (RFC 9449 §11.1). */
export const proofSeconds = 300

/** What a proof must be for (RFC 9449 §4.3). */
export interface ProofDemands {
  /** The HTTP method of the request. */
  readonly method: string
  /** The URLs that the request may have been sent to, as `normalUrl` spells them. */
  readonly urls: readonly string[]
  /** In seconds since the epoch. */
  readonly now: number
  /** Whether a `nonce` is one of the server's. Without this, a proof needs none. */
  readonly isNonce?: (nonce: string) => boolean
  /** The access token that comes with it, which the proof must name by its hash. */
  readonly accessToken?: string
}

/** A proof that its sender holds a key (RFC 9449 §4.2). */
export interface Proof {
  /** The JWK thumbprint of the key (RFC 7638), as its 32 bytes. */
  readonly thumbprint: Buffer
  /** The JWS algorithm that it is signed with. */
  readonly alg: string
  /** How far its `iat` is in the future, in seconds; negative for one in the past. */
  readonly aheadSeconds: number
  /** SHA-256 of the key, the method, the URL and the `jti`: a proof that comes twice has the same. */
  readonly replayId: Buffer
  /**
   * From then on it is refused for its age, and need not be remembered any more. In seconds since the epoch.
   */
  readonly expiresAt: number
}

export type ProofVerdict =
  | { readonly kind: 'valid'; readonly proof: Proof }
  /** Everything else is as it must be: the sender shall take a fresh nonce, and try again. */
  | { readonly kind: 'nonce_needed' }
  /** `reason` is a constant text, and may be told to the sender. */
  | { readonly kind: 'invalid'; readonly reason: string }

/**
 * The checks of RFC 9449 §4.3, in the order of what they cost. `header` is the value of the field `DPoP`;
 * where a request had several of them, Node.js joins them with commas, and that is no JWT.
 *
 * Does NOT look whether the proof was used before (`replayId` is for that), nor whether a token is bound to
 * its key.
 */
export function checkProof(header: string, demands: ProofDemands): ProofVerdict {
  const jwt = readJwt(header)
  if (!jwt) return invalid('the DPoP header is not one well-formed JWT')
  const { jwk } = jwt.header
  const { jti, htm, htu, iat, nonce, ath } = jwt.claims
  if (!isType(jwt.header['typ'], 'dpop+jwt')) return invalid('the typ is not dpop+jwt')
  if (!isObject(jwk)) return invalid('there is no jwk')
  if (isPrivateJwk(jwk)) return invalid('the jwk holds a private key')
  if (typeof jti !== 'string' || jti === '') return invalid('there is no jti')
  if (htm !== demands.method) return invalid('the htm is another method')
  const url = typeof htu === 'string' ? normalUrl(htu) : undefined
  if (url === undefined || !demands.urls.includes(url)) return invalid('the htu is another URL')
  if (typeof iat !== 'number') return invalid('there is no iat')
  if (Math.abs(demands.now - iat) > proofSeconds) {
    return invalid('the iat is too long ago, or in the future')
  }
  if (demands.accessToken !== undefined && ath !== hash('sha256', demands.accessToken, 'base64url')) {
    return invalid('the ath is not that of the access token')
  }
  if (demands.isNonce && !(typeof nonce === 'string' && demands.isNonce(nonce))) {
    return { kind: 'nonce_needed' }
  }

  const key = publicKeyOf(jwk)
  if (!key) return invalid('the jwk is no key')
  if (!jwt.isSignedBy(key))
    return invalid('the alg is not taken, does not fit the jwk, or the signature is wrong')
  const thumbprint = jwkThumbprint(jwk)
  const replayId = hash('sha256', JSON.stringify([thumbprint.toString('hex'), htm, url, jti]), 'buffer')
  return {
    kind: 'valid',
    proof: {
      thumbprint,
      alg: String(jwt.header['alg']),
      aheadSeconds: iat - demands.now,
      replayId,
      expiresAt: Math.ceil(iat) + proofSeconds + 1,
    },
  }
}

const invalid = (reason: string): ProofVerdict => ({ kind: 'invalid', reason })
