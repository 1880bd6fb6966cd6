import { hash } from 'node:crypto'
import { isType } from '../../protocol/media-type.ts'
import { isForAlone, whyUntimely, type TimeDemands, type UnverifiedAssertion } from './assertion.ts'

export interface IssuedDemands extends TimeDemands {
  /** The only `aud`. */
  readonly audience: string
  /** How long an assertion may live at the most, in seconds. */
  readonly lifeMaxSeconds: number
}

export type IssuedAssertionVerdict =
  | {
      readonly kind: 'valid'
      /** SHA-256 of the issuer and the `jti`; undefined without a `jti`. */
      readonly replayId: Buffer | undefined
      /** From then on it is refused for its age. In seconds since the epoch. */
      readonly expiresAt: number
    }
  /** `reason` names the claim. It is a constant text, and may be told to the sender (RFC 7521 §4.1.1). */
  | { readonly kind: 'invalid'; readonly reason: string }

/**
 * What RFC 7523 §3 demands of the claims of an assertion that an outside issuer has signed: as for one of a
 * client's own, with the audience alone, and an end that is near; but others make its `jti`, or leave it out.
 *
 * Does NOT look at the signature, nor at whom it names, nor whether it was used before.
 */
export function judgeIssuedAssertion(
  { jwt: { header, claims }, issuer }: UnverifiedAssertion,
  { audience, lifeMaxSeconds, ...demands }: IssuedDemands,
): IssuedAssertionVerdict {
  const { aud, exp, iat, jti } = claims
  const { typ } = header
  // A JWT of another kind, an access token for instance, is no assertion (RFC 8725 §3.11).
  if (typ !== undefined && !isType(typ, 'jwt')) return invalid('the typ is that of another kind of JWT')
  if (!isForAlone(aud, audience)) return invalid('the aud is not the one that is demanded, or not alone')
  if (typeof exp !== 'number') return invalid('there is no exp, or it is no number')
  const untimely = whyUntimely(claims, exp, demands)
  if (untimely !== undefined) return invalid(untimely)
  const { now, skewSeconds } = demands
  if (exp - (typeof iat === 'number' ? iat : now) > lifeMaxSeconds + skewSeconds)
    return invalid('it lives for longer than its issuer is trusted to let it (exp, iat)')
  if (jti !== undefined && (typeof jti !== 'string' || jti === '')) return invalid('the jti is no text')
  return {
    kind: 'valid',
    replayId:
      jti === undefined ? undefined : hash('sha256', JSON.stringify(['issued', issuer, jti]), 'buffer'),
    expiresAt: Math.ceil(exp) + skewSeconds,
  }
}

const invalid = (reason: string): IssuedAssertionVerdict => ({ kind: 'invalid', reason })
