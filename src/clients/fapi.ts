import { defaultAlg } from '../keys/algorithms.ts'
import type { UnverifiedJwt } from '../keys/jws.ts'
import type { Proof } from '../keys/proofs/dpop.ts'
import type { Client } from './registry.ts'

/*
 * What the FAPI 2.0 Security Profile demands of requests by clients that are held to it (`profile` fapi2).
 * What it demands of their properties is in judge-fapi.ts; docs/fapi.md goes through its clauses.
 */

/** What JWTs may be signed with (§5.4.1); `Ed25519` is the name of RFC 9864 for that variant of EdDSA. */
export const fapiAlgs: readonly string[] = ['PS256', 'ES256', 'EdDSA', 'Ed25519']

/** By so many seconds an `iat` or `nbf` may be ahead at least, and at the most (§5.3.2.1). */
export const fapiAheadMin = 10
export const fapiAheadMax = 60

/** Whether the client is held to the profile. */
export function isFapi({ profile }: Pick<Client, 'profile'>): boolean {
  return profile === 'fapi2'
}

/**
 * The algorithm that signs for a client until a key of its choice may: RS256, which OpenID Connect Core §15.1
 * has everybody know, or ES256 where RS256 must not be used.
 */
export function usualAlg(client: Pick<Client, 'profile'>): string {
  return isFapi(client) ? defaultAlg : 'RS256'
}

/**
 * Why a client that is held to the profile may not authenticate with this assertion, which is valid
 * otherwise; undefined if it may. `now` is in seconds since the epoch. A constant text, which may be told to
 * the sender.
 */
export function fapiAssertionFault({ header, claims }: UnverifiedJwt, now: number): string | undefined {
  const { aud, nbf, iat } = claims
  if (!fapiAlgs.includes(String(header['alg']))) return `the alg is none of ${fapiAlgs.join(', ')}`
  if (typeof aud !== 'string') return 'the aud is a list, and must be the issuer as a text'
  for (const [name, time] of Object.entries({ nbf, iat })) {
    if (typeof time === 'number' && time > now + fapiAheadMax) return `the ${name} is in the future`
  }
  return undefined
}

/** Why a client may not show this DPoP proof, by its profile; undefined if it may. A constant text. */
export function profileFault(
  client: Pick<Client, 'profile'>,
  { alg, aheadSeconds }: Pick<Proof, 'alg' | 'aheadSeconds'>,
): string | undefined {
  if (!isFapi(client)) return undefined
  if (!fapiAlgs.includes(alg)) return `the alg is none of ${fapiAlgs.join(', ')}`
  return aheadSeconds > fapiAheadMax ? 'the iat is in the future' : undefined
}
