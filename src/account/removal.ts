import { removeFactorUnless } from '../../db/factors/removals.ts'
import { floorOf } from '../authorization/look.ts'
import { accountClient } from '../clients/account-client.ts'
import type { Context } from '../context.ts'
import { factorsOf, findFactors, reachableLevels, type Factors } from '../factors/factors.ts'
import { byOwner } from '../factors/owner.ts'
import type { Level } from '../protocol/levels.ts'
import { formatUuid } from '../protocol/secrets.ts'
import { record } from '../record/record.ts'
import type { Owner } from '../factors/owner.ts'

/** The level that the installation demands of an owner at every client. */
export async function demandedOf(
  ctx: Pick<Context, 'config' | 'db'>,
  { user }: Pick<Owner, 'user'>,
): Promise<Level> {
  return floorOf(ctx, accountClient(ctx.config), user)
}

/** Why a factor stays: without it its owner could not log in, or not as this installation demands it. */
export type RemovalProblem = 'last_way_in' | 'factor_demanded'

/**
 * Whether a user who has these factors may remove one, after which it has `left`. Pure: all of the rule is
 * here. Who does not reach the level that is demanded anyway is led to set one up at the next log-in.
 */
export function judgeRemoval(factors: Factors, left: Factors, demanded: Level): RemovalProblem | undefined {
  const [before, after] = [reachableLevels(factors), reachableLevels(left)]
  if (!after.includes('pwd')) return 'last_way_in'
  return before.includes(demanded) && !after.includes(demanded) ? 'factor_demanded' : undefined
}

export function withoutPasskey(factors: Factors, id: Buffer): Factors {
  return { ...factors, passkeys: factors.passkeys.filter(passkey => !passkey.id.equals(id)) }
}

export function withoutTotp(factors: Factors): Factors {
  return { ...factors, totp: undefined }
}

/**
 * Removes the authenticator app of an owner, or the passkey of an id, unless it has to stay; and the recovery
 * codes with the last second factor. It is judged where it is removed: of two that go at the same moment, the
 * second one stays where both may not.
 */
export async function removeFactor(
  ctx: Context,
  owner: Owner,
  which: 'totp' | Buffer,
): Promise<'removed' | 'unknown' | RemovalProblem> {
  const { user } = owner
  const isTotp = which === 'totp'
  const { passkeys } = await findFactors(ctx, user.id)
  const name = isTotp ? '' : passkeys.find(({ id }) => id.equals(which))?.name
  if (name === undefined) return 'unknown'
  const demanded = await demandedOf(ctx, owner)
  const without = (factors: Factors) => (isTotp ? withoutTotp(factors) : withoutPasskey(factors, which))
  let outcome: Awaited<ReturnType<typeof removeFactorUnless<RemovalProblem>>>
  await record(
    byOwner(ctx, owner, isTotp ? { kind: 'totp_removed' } : { kind: 'passkey_removed', name }),
    isTotp
      ? { event: 'totp_removed', userId: user.id }
      : { event: 'passkey_removed', userId: user.id, detail: { passkey: formatUuid(which) } },
    async db => {
      outcome = await removeFactorUnless(db, user.id, which, present => {
        const factors = factorsOf(ctx, present)
        return judgeRemoval(factors, without(factors), demanded)
      })
      return typeof outcome === 'object'
    },
  )
  if (typeof outcome === 'object') return 'removed'
  return outcome ?? 'unknown'
}
