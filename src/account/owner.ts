import type { Context } from '../context.ts'
import type { Owner as FactorOwner } from '../factors/owner.ts'
import { byOwner } from '../factors/owner.ts'
import type { Notice } from '../mail/notice.ts'
import { mailsOf } from '../mail/notices.ts'
import type { Recorder } from '../record/record.ts'
import type { SignIn } from '../sessions/sign-in.ts'

/*
 * How an act is written: as src/admin/admin.ts says, but for whom it is done. It takes the context and the
 * `Owner` first. What cannot be done is told by the result, for the page to say in its reader's language.
 */

/** Who changes an account that is its own, and where it is logged in. */
export interface Owner extends FactorOwner {
  readonly signIn: SignIn
}

/** Records what an owner does, and tells the owner of it by mail. */
export function byOwnerWithMail(ctx: Context, owner: Owner, notice: Notice): Recorder {
  return { ...byOwner(ctx, owner), mails: mailsOf(ctx, owner.user, notice) }
}
