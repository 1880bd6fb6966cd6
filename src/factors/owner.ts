import type { UserTable } from '../../db/schema.ts'
import type { Context } from '../context.ts'
import type { RequestOrigin } from '../record/actor.ts'
import { byUser, type Recorder } from '../record/record.ts'

/** Whose factors are changed, by whoever has just shown that they are theirs, and from where. */
export interface Owner {
  readonly user: UserTable
  readonly caller: RequestOrigin
}

/** Records what the owner of an account changes. */
export function byOwner(ctx: Context, { user, caller }: Owner): Recorder {
  return byUser(ctx, user.id, caller)
}
