import type { UserTable } from '../../db/schema.ts'
import { NameTakenError } from '../../db/users/user-names.ts'
import type { Caller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { endSessionsOfUser } from '../endings/end.ts'
import { mailsOf } from '../mail/notices.ts'
import { mailAddress } from '../protocol/mail-address.ts'
import { changedClaims, parseUserClaims } from '../protocol/standard-claims.ts'
import type { RequestOrigin } from '../record/actor.ts'
import { byNobody, byUser } from '../record/record.ts'
import { findLinkOfUser, makeLink, type LinkProblem } from './links.ts'
import { codeOf, factsOf, type Waiting } from './mailed-codes.ts'
import { localeOf, mailLink, mayMail } from './mailed.ts'
import { findUsedLink, hasPassword } from './sent-twice.ts'

/** Who has forgotten a password, as typed by anybody. */
export interface ResetAsked {
  /** The name is a user name, or a mail address. */
  readonly waiting: Waiting
  /** The sealed authorization request during which it was asked; null for none. */
  readonly request: string | null
  /** The language of the page on which it was asked, for who has chosen none. */
  readonly locale: string
  readonly caller: RequestOrigin
}

/**
 * Mails a link that sets a new password, to the verified address of the user who is meant; nothing where
 * there is none, or one was mailed just now. Takes as long as it takes, so it is done after the answer.
 */
export async function mailReset(
  ctx: Context,
  { waiting, request, locale, caller }: ResetAsked,
): Promise<void> {
  const { mail } = ctx
  const facts = await factsOf(ctx, waiting)
  if (!mail || !facts?.user || !(await mayMail(ctx, 'reset', facts.mail))) return
  const { user, mail: to } = facts
  const link = makeLink(ctx, 'reset', { ...facts, request })
  const by = { ...byNobody(ctx, caller), mail, config: ctx.config }
  const code = codeOf(waiting, facts)
  await mailLink(by, 'reset', { user, to, locale: localeOf(user) ?? locale, code, ...link })
}

/** The links that set a password: the first one too. */
const setsPassword = ['reset', 'invitation'] as const

/** A link that sets a password, and its user; or why it is good no more. Changes nothing. */
export function findReset(ctx: Context, text: string) {
  return findLinkOfUser(ctx, setsPassword, text)
}

export type ResetOutcome =
  | { readonly kind: 'set'; readonly user: UserTable; readonly request: string | null }
  | { readonly kind: 'refused'; readonly problem: LinkProblem }

/**
 * Sets the password of who has followed a link, once, and ends all that began before. It is no log-in, and
 * second factors stay. It verifies the address that an invitation was mailed to.
 */
export async function resetPassword(
  ctx: Context,
  text: string,
  password: string,
  caller: Caller,
): Promise<ResetOutcome> {
  const found = await findReset(ctx, text)
  if (found === 'link_used') return resetBefore(ctx, text, { password, caller })
  if (typeof found === 'string') return { kind: 'refused', problem: found }
  const { link, user } = found
  const hash = await ctx.users.passwords.hash(password, caller.source)
  const isInvitation = link.kind === 'invitation'
  const claims = isInvitation ? withVerified(user, link.mail) : undefined
  const mails = mailsOf(ctx, user, { kind: 'password_reset' })
  const end = (verified: { readonly claims?: string }) =>
    endSessionsOfUser({ ...byUser(ctx, user.id, caller), mails }, user.id, {
      reason: 'password changed',
      password: hash,
      link: { kind: isInvitation ? 'invitation' : 'reset', user, ...verified },
    })
  const ended = await end(claims === undefined ? {} : { claims }).catch((error: unknown) => {
    // The address became the name of somebody else since: the password is set all the same.
    if (error instanceof NameTakenError) return end({})
    throw error
  })
  if (ended) return { kind: 'set', user, request: link.request }
  return resetBefore(ctx, text, { password, caller })
}

/** The link is used: by the same form, where the user has that password and nothing has happened since. */
async function resetBefore(
  ctx: Context,
  text: string,
  sent: { readonly password: string; readonly caller: Caller },
): Promise<ResetOutcome> {
  const used = await findUsedLink(ctx, setsPassword, text)
  const isOfLink = used?.link.epochs != null && used.user.epoch === used.link.epochs.epoch + 1
  const isSame = isOfLink && (await hasPassword(ctx, used.user, sent))
  if (!isSame) return { kind: 'refused', problem: 'link_used' }
  return { kind: 'set', user: used.user, request: used.link.request }
}

/** The claims of a user whose address is verified now, as JSON; undefined where it is another by now. */
function withVerified({ claims }: UserTable, address: string): string | undefined {
  const before = parseUserClaims(claims)
  const { email } = before
  if (typeof email !== 'string' || mailAddress(email) !== address) return undefined
  return JSON.stringify(changedClaims(before, [{ kind: 'set', name: 'email_verified', value: true }]))
}
