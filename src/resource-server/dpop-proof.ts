import { hash } from 'node:crypto'
import { calculateJwkThumbprint, EmbeddedJWK, errors, jwtVerify } from 'jose'
import { isType } from '../protocol/media-type.ts'
import { normalUrl } from '../protocol/normal-url.ts'
import { BearerError, proofAlgorithms } from './bearer-error.ts'
import type { Settings } from './settings.ts'

/** The request, token and key that a proof must be for. */
export interface ProofDemands {
  /** The thumbprint of the key that the access token is bound to (its `cnf.jkt`). */
  readonly jkt: string
  readonly accessToken: string
  readonly method: string | undefined
  /** The path of the request, and its query. */
  readonly path: string | undefined
}

/** How old a proof may be, in seconds; the clocks may differ besides. */
const proofSeconds = 60
const proofLengthMax = 4096

/**
 * Makes the check of RFC 9449 §4.3 and §7: the proof is signed with the key that the token is bound to, was
 * made for this request and this token, just now, and is used for the first time. Rejects with
 * `invalid_dpop_proof`.
 */
export function openProofs(
  settings: Settings,
): (header: string | string[] | undefined, demands: ProofDemands) => Promise<void> {
  const { now, clockToleranceSeconds: tolerance, url: root } = settings
  const remember = settings.rememberProof ?? proofMemory(now)

  return async (header, { jkt, accessToken, method, path = '' }) => {
    if (root === undefined) throw unusable('the option url must say where clients reach this API')
    // Of several fields Node.js makes a list, or one text with commas, which is no JWT.
    if (typeof header !== 'string') throw refuse('there is no proof, or there are several')
    if (header.length > proofLengthMax) throw refuse('it is too long')
    const { payload, protectedHeader } = await jwtVerify(header, EmbeddedJWK, {
      algorithms: [...proofAlgorithms],
      clockTolerance: tolerance,
      currentDate: new Date(now()),
    }).catch((error: unknown) => {
      if (error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed) {
        throw refuse(`the ${error.claim} is no time at which it is good`, error)
      }
      throw refuse('it is no JWT that is signed with the public key in its jwk', error)
    })
    const { jti, htm, htu, iat, ath } = payload
    if (!isType(protectedHeader.typ, 'dpop+jwt')) throw refuse('the typ is not dpop+jwt')
    if ((await calculateJwkThumbprint(protectedHeader.jwk ?? {})) !== jkt) {
      throw refuse('its jwk is not the key that the token is bound to')
    }
    if (typeof jti !== 'string' || jti === '') throw refuse('there is no jti')
    if (htm !== method) throw refuse('the htm is another method')
    const url = normalUrl(root + path)
    if (typeof htu !== 'string' || url === undefined || normalUrl(htu) !== url) {
      throw refuse('the htu is another URL', new Error(`it is not ${url}`))
    }
    if (ath !== hash('sha256', accessToken, 'base64url')) throw refuse('the ath is not that of the token')
    const age = now() / 1000 - (iat ?? NaN)
    if (!(age <= proofSeconds + tolerance && age >= -tolerance))
      throw refuse('the iat is too long ago, or in the future')
    const id = hash('sha256', JSON.stringify([jkt, htm, url, jti]), 'base64url')
    const expiresAt = Math.ceil(iat ?? 0) + proofSeconds + Math.ceil(tolerance) + 1
    if (!(await remember(id, expiresAt))) throw refuse('the jti was used before')
  }
}

/** Remembers in this process. Uses expire about in the order in which they come. */
export function proofMemory(
  now: () => number,
  max = 100_000,
): (id: string, expiresAt: number) => Promise<boolean> {
  const uses = new Map<string, number>()
  return async (id, expiresAt) => {
    if (uses.has(id)) return false
    for (const [oldest, end] of uses) {
      if (end > now() / 1000) break
      uses.delete(oldest)
    }
    // To forget one would be to take it again.
    if (uses.size >= max) {
      throw new BearerError('temporarily_unavailable', { cause: new Error('too many proofs at once') })
    }
    uses.set(id, expiresAt)
    return true
  }
}

/** `why` is constant, and told: the maker of a proof knows what is in it. */
const refuse = (why: string, cause?: unknown) => {
  const description = `the DPoP proof is not valid: ${why}`
  return new BearerError('invalid_dpop_proof', {
    scheme: 'DPoP',
    description,
    cause: new Error(why, { cause }),
  })
}

const unusable = (why: string) =>
  new BearerError('invalid_dpop_proof', { scheme: 'DPoP', cause: new Error(why) })
