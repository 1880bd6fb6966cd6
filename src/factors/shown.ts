import type { UserTable } from '../../db/schema.ts'
import { findUserById } from '../../db/users/users.ts'
import type { Context } from '../context.ts'
import { formatUuid, ownUuid } from '../protocol/secrets.ts'
import { findFactors, hasSecondFactor, type Factors } from './factors.ts'

/** What somebody has shown of who they are, where that is not enough yet. It travels sealed. */
export interface Shown {
  readonly user: Buffer
  /** Of the user, as read before it was checked: one that is raised since ends it. */
  readonly epoch: number
  /** Authentication methods (RFC 8176), separated by spaces. */
  readonly amr: string
  readonly at: number
  /** Of the mail that tells the owner, unless one more factor is shown; a UUID, null for none. */
  readonly mail: string | null
}

/** How long one factor waits for another one, in seconds. */
export const shownSeconds = 600

/** What this user has shown. */
export function shownBy(
  user: Pick<UserTable, 'id' | 'epoch'>,
  { amr, at, mail }: Pick<Shown, 'amr' | 'at' | 'mail'>,
): Shown {
  return { user: user.id, epoch: user.epoch, amr, at, mail }
}

/** As JSON. */
export type ShownContent<T extends Shown = Shown> = Omit<T, 'user'> & { readonly user: string }

export function shownContent<T extends Shown>(shown: T): ShownContent<T> {
  return { ...shown, user: formatUuid(shown.user) }
}

/** What `shownContent` has written. */
export function shownOf<T extends Shown>({ user, ...rest }: ShownContent<T>) {
  return { ...rest, user: ownUuid(user) }
}

/** Who has shown one factor, and those that there are. */
export interface OneFactor {
  readonly user: UserTable
  readonly factors: Factors
}

/**
 * Who has shown one factor, where one more is asked for still; undefined where that was too long ago, the
 * epoch was raised since, the user is disabled, or the second factor is gone: then it begins anew.
 */
export async function findShownUser(
  ctx: Pick<Context, 'db' | 'clock' | 'config'>,
  shown: Shown,
): Promise<OneFactor | undefined> {
  if (Math.abs(ctx.clock.now() - shown.at) >= shownSeconds) return undefined
  const user = await findUserById(ctx.db, shown.user)
  if (!user || user.epoch !== shown.epoch || user.disabled_at !== null) return undefined
  const factors = await findFactors(ctx, user.id)
  return hasSecondFactor(factors) ? { user, factors } : undefined
}
