import { hash } from 'node:crypto'
import { isType } from '../../protocol/media-type.ts'
import { algorithms } from '../algorithms.ts'
import { readJwt, type UnverifiedJwt } from '../jws.ts'
import type { ClientKey } from './client-jwks.ts'

/** How long an assertion is good for, in seconds: it must be remembered so long that it was used. */
const lifeMaxSeconds = 600

/**
 * An assertion (RFC 7523 §2) as it was read: nothing in it is true before `isSignedByOne` has said so.
 */
export interface UnverifiedAssertion {
  readonly jwt: UnverifiedJwt
  /** Its `iss`, where that is a text. */
  readonly issuer: string | undefined
  /** Its `sub`: of a client's own assertion the `client_id`. */
  readonly subject: string
  readonly kid: string | undefined
}

export interface AssertionDemands extends TimeDemands {
  readonly issuer: string
}

/** What the times of an assertion are held against. */
export interface TimeDemands {
  /** In seconds since the epoch. */
  readonly now: number
  /** How much the client's clock may be wrong. */
  readonly skewSeconds: number
  /** By how much at least it may be ahead. */
  readonly aheadSeconds: number
}

/** Reads an assertion; undefined when it is no JWT, or does not say whose it is. */
export function readAssertion(text: string): UnverifiedAssertion | undefined {
  const jwt = readJwt(text)
  const { iss, sub } = jwt?.claims ?? {}
  const { kid } = jwt?.header ?? {}
  if (!jwt || typeof sub !== 'string') return undefined
  const textOf = (value: unknown) => (typeof value === 'string' ? value : undefined)
  return { jwt, issuer: textOf(iss), subject: sub, kid: textOf(kid) }
}

export interface ValidAssertion {
  readonly kind: 'valid'
  /** SHA-256 of the client and the `jti`: an assertion that comes twice has the same. */
  readonly replayId: Buffer
  /** From then on it is refused for its age. In seconds since the epoch. */
  readonly expiresAt: number
}

export type AssertionVerdict =
  | ValidAssertion
  /** `reason` names the claim. It is a constant text, and may be told to the sender (RFC 7521 §4.2.1). */
  | { readonly kind: 'invalid'; readonly reason: string }

/**
 * A JWT of another kind is no assertion, even with the right signature (RFC 8725 §3.11). Most clients have no
 * type, or the first.
 */
const types = ['jwt', 'client-authentication+jwt']

/**
 * What RFC 7523 §3 demands of the claims, with the audience of draft-ietf-oauth-rfc7523bis §4: the issuer,
 * and for no other, so that no other server can use the assertion here. A `jti` is demanded, since an
 * assertion counts once. One that would live for longer than that is remembered is good for as long, from its
 * `iat` on.
 *
 * Looks at nothing but the assertion, so it says the same of clients that are known and unknown. Does NOT
 * look at the signature, nor whether the assertion was used before.
 */
export function judgeAssertion(
  { jwt, issuer: iss, subject: clientId }: UnverifiedAssertion,
  { issuer, ...demands }: AssertionDemands,
): AssertionVerdict {
  const { aud, exp, iat, jti } = jwt.claims
  const { now, skewSeconds } = demands
  const { typ } = jwt.header
  if (typ !== undefined && !types.some(name => isType(typ, name)))
    return invalid('the typ is that of another kind of JWT')
  if (iss !== clientId) return invalid('iss and sub differ')
  if (!isForAlone(aud, issuer)) return invalid('the aud is not the issuer alone')
  if (typeof exp !== 'number') return invalid('there is no exp, or it is no number')
  const untimely = whyUntimely(jwt.claims, exp, demands)
  if (untimely !== undefined) return invalid(untimely)
  const endsAt = typeof iat === 'number' ? Math.min(exp, iat + lifeMaxSeconds) : exp
  if (now >= endsAt + skewSeconds) return invalid(`the iat is more than ${lifeMaxSeconds} seconds ago`)
  if (endsAt > now + lifeMaxSeconds + skewSeconds)
    return invalid(`the exp is more than ${lifeMaxSeconds} seconds ahead, and there is no iat`)
  if (typeof jti !== 'string' || jti === '') return invalid('there is no jti, or it is no text')
  return {
    kind: 'valid',
    replayId: hash('sha256', JSON.stringify(['assertion', clientId, jti]), 'buffer'),
    expiresAt: Math.ceil(endsAt) + skewSeconds,
  }
}

const invalid = (reason: string): AssertionVerdict => ({ kind: 'invalid', reason })

/** Whether an `aud` is this one and no other: then no other server can use the assertion. */
export function isForAlone(aud: unknown, audience: string): boolean {
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  return audiences.length === 1 && audiences[0] === audience
}

/** Why an assertion is not good now, by its `exp`, `nbf` and `iat`; undefined if it is. A constant text. */
export function whyUntimely(
  { nbf, iat }: UnverifiedJwt['claims'],
  exp: number,
  { now, skewSeconds, aheadSeconds }: TimeDemands,
): string | undefined {
  if (now >= exp + skewSeconds) return 'it has expired (exp)'
  for (const [name, time] of Object.entries({ nbf, iat })) {
    if (time === undefined) continue
    if (typeof time !== 'number') return `the ${name} is no number`
    if (time > now + Math.max(skewSeconds, aheadSeconds)) return `the ${name} is in the future`
  }
  return undefined
}

/** Whether one of these keys has signed it: one that its `kid` names, or any where either has no `kid`. */
export function isSignedByOne({ jwt, kid }: UnverifiedAssertion, keys: readonly ClientKey[]): boolean {
  const { alg } = jwt.header
  const algorithm = typeof alg === 'string' ? algorithms.get(alg) : undefined
  return keys.some(
    key =>
      (kid === undefined || key.kid === undefined || key.kid === kid) &&
      algorithm !== undefined &&
      algorithms.get(key.alg) === algorithm &&
      jwt.isSignedBy(key.key),
  )
}
