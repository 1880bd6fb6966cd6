import { deleteMail } from '../../db/mail/outbox.ts'
import type { UserTable } from '../../db/schema.ts'
import type { Caller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { mailsOf } from '../mail/notices.ts'
import { formatUuid, ownUuid } from '../protocol/secrets.ts'
import { byNobody, recordAlone } from '../record/record.ts'
import { halfLogInLimit, halfLogInsLimit } from '../users/guess-limits.ts'
import { deviceOfUser, type LogIn } from './log-in.ts'
import { shownSeconds, type Shown } from './shown.ts'

/*
 * The right password of who has more than that tells nothing yet: the owner shows a second factor next, and a
 * thief does not. So a mail to the owner waits in the outbox for as long as the password counts, and a second
 * factor takes it out. Answers are the same with it and without.
 */

/**
 * The mail for who has just shown a password alone, without the token of a device on which its owner has
 * logged in: null with one, where mail is off, and where there were enough.
 */
export async function mailUnlessMore(ctx: Context, user: UserTable, logIn: LogIn): Promise<string | null> {
  const isKnown = deviceOfUser(ctx, logIn, user) !== undefined
  return isKnown ? null : mailOwner(ctx, user, { ...logIn, isKnown, seconds: shownSeconds })
}

/** Takes it back: one more factor was shown. */
export async function withdrawMail(
  { db }: Pick<Context, 'db'>,
  { mail }: Pick<Shown, 'mail'>,
): Promise<void> {
  if (mail) await deleteMail(db, ownUuid(mail))
}

/** Mails the owner at once where too many codes are wrong on a device that is known. */
export async function mailOfWrongCodes(
  ctx: Context,
  { user, device, caller }: { user: UserTable; device: string | undefined; caller: Caller },
): Promise<void> {
  if (device !== undefined) await mailOwner(ctx, user, { caller, isKnown: true, seconds: 0 })
}

interface HalfLogIn {
  readonly caller: Caller
  /** Whether the device is. */
  readonly isKnown: boolean
  /** When to mail it, from now. */
  readonly seconds: number
}

/** The id of the mail as a UUID; null where none is sent. */
async function mailOwner(
  ctx: Context,
  user: UserTable,
  { caller, isKnown, seconds }: HalfLogIn,
): Promise<string | null> {
  const [row] = mailsOf(ctx, user, { kind: 'second_factor_missing' })
  if (!row) return null
  const id = user.id.toString('base64url')
  const wait = await ctx.users.throttle.count([
    { of: ['half log-ins of a source', id, String(isKnown), caller.source ?? ''], limit: halfLogInLimit },
    { of: ['half log-ins', id], limit: halfLogInsLimit },
  ])
  if (wait > 0) return null
  // It counts as written when it may be sent, so that none seems to wait for too long.
  const dueAt = ctx.clock.now() + seconds
  const mails = [{ ...row, created_at: dueAt, next_try_at: dueAt }]
  await recordAlone({ ...byNobody(ctx, caller), mails })
  return formatUuid(row.id)
}
