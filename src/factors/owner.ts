import type { UserTable } from '../../db/schema.ts'
import type { Caller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import type { Notice } from '../mail/notice.ts'
import { mailsOf } from '../mail/notices.ts'
import type { RequestOrigin } from '../record/actor.ts'
import { byUser, type Recorder } from '../record/record.ts'

/** Whose factors are changed, and from where. It was just shown that they are this user's. */
export interface Owner {
  readonly user: UserTable
  readonly caller: RequestOrigin & Partial<Pick<Caller, 'source'>>
}

/** Records what the owner of an account changes, and mails the owner of it where there is a notice. */
export function byOwner(ctx: Context, { user, caller }: Owner, notice?: Notice): Recorder {
  const by = byUser(ctx, user.id, caller)
  return notice ? { ...by, mails: mailsOf(ctx, user, notice) } : by
}
