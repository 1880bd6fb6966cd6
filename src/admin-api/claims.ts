import Type, { type Static } from 'typebox'
import { Refusal } from '../errors.ts'
import {
  isStandardClaim,
  readClaimValue,
  standardClaims,
  type ClaimChange,
} from '../protocol/standard-claims.ts'

/** Claims of a user to set; null takes one away. */
export const ClaimChanges = Type.Record(Type.String(), Type.Unknown(), {
  description: `the standard claims (OpenID Connect Core §5.1) to set; null takes one away: ${standardClaims.join(', ')}`,
})

/** The changes as acts take them. Refuses what is no such claim, or not of its form. */
export function toClaimChanges(claims: Static<typeof ClaimChanges> = {}): readonly ClaimChange[] {
  return Object.entries(claims).map(([name, value]) => {
    const field = `claims.${name.slice(0, 50)}`
    if (!isStandardClaim(name))
      throw new Refusal('invalid', `${field} is no standard claim`, undefined, field)
    if (value === null) return { kind: 'remove', name }
    const read = readClaimValue(name, value)
    if ('problem' in read) throw new Refusal('invalid', read.problem, undefined, field)
    return { kind: 'set', name, value: read.value }
  })
}
