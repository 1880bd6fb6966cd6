import { findUserById } from '../../db/users/users.ts'
import type { UserTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import { findFactors, hasSecondFactor, type Factors } from './factors.ts'

/** Who has shown one factor, and those that there are. */
export interface OneFactor {
  readonly user: UserTable
  readonly factors: Factors
}

/**
 * Who has shown one factor, where one more is asked for still; undefined where the epoch was raised since,
 * the user is disabled, or the second factor is gone: then it begins anew.
 */
export async function findShownUser(
  ctx: Pick<Context, 'db'>,
  shown: { readonly user: Buffer; readonly epoch: number },
): Promise<OneFactor | undefined> {
  const user = await findUserById(ctx.db, shown.user)
  if (!user || user.epoch !== shown.epoch || user.disabled_at !== null) return undefined
  const factors = await findFactors(ctx, user.id)
  return hasSecondFactor(factors) ? { user, factors } : undefined
}
