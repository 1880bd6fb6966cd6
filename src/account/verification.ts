import type { UserTable } from '../../db/schema.ts'
import { comparedName } from '../../db/users/compared-name.ts'
import { findUserById } from '../../db/users/users.ts'
import { setMailByLink } from '../../db/users/mailed-links.ts'
import { NameTakenError } from '../../db/users/user-names.ts'
import type { Caller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { mailsOf } from '../mail/notices.ts'
import { mailAddress } from '../protocol/mail-address.ts'
import { changedClaims, parseUserClaims } from '../protocol/standard-claims.ts'
import type { RequestOrigin } from '../record/actor.ts'
import { byUser, record } from '../record/record.ts'
import { findLinkOfUser, makeLink, type LinkProblem, type OpenedLink } from './links.ts'
import {
  codeOf,
  factsOfCode,
  newWaiting,
  type CodeProblem,
  type TypedCode,
  type Waiting,
} from './mailed-codes.ts'
import { findUsedLink } from './sent-twice.ts'
import { localeOf, mailLink, mayMail, verifiedAddressOf } from './mailed.ts'

/** What becomes of the wish for another mail address: a code of it is waited for, or why not. */
export type VerificationAsked = Waiting | 'wrong' | 'same' | 'unavailable' | 'throttled'

/**
 * Mails a link, and a code, to an address that its owner has typed at the account page: until one of them has
 * come back, the address of before counts, and is told. Whose account it is has been checked.
 */
export async function askForVerification(
  ctx: Context,
  { user, caller }: { readonly user: UserTable; readonly caller: RequestOrigin },
  text: string,
  locale?: string,
): Promise<VerificationAsked> {
  const { mail } = ctx
  const to = mailAddress(text.trim())
  if (!mail) return 'unavailable'
  if (to === undefined) return 'wrong'
  if (verifiedAddressOf(user) === to) return 'same'
  if (!(await mayMail(ctx, 'verification', to))) return 'throttled'
  const facts = { userId: user.id, epochs: user, mail: to }
  const link = makeLink(ctx, 'verification', { ...facts, request: null })
  const waiting = newWaiting(ctx, 'verification', to, user.id)
  const mails = mailsOf(ctx, user, { kind: 'mail_change_asked' })
  const by = { ...byUser(ctx, user.id, caller), mails, mail, config: ctx.config }
  const code = codeOf(waiting, facts)
  await mailLink(by, 'verification', { user, to, locale: localeOf(user) ?? locale, code, ...link })
  return waiting
}

/** A link that verifies an address, and its user; or why it is good no more. Changes nothing. */
export function findVerification(ctx: Context, text: string) {
  return findLinkOfUser(ctx, ['verification'], text)
}

/** Who confirms an address. */
export interface Confirmation {
  /** Who is logged in in the browser, if anybody is. */
  readonly loggedIn: Pick<UserTable, 'id'> | undefined
  /** The user name of the account, as it was typed. */
  readonly username: string | undefined
  readonly caller: RequestOrigin
}

export type Confirmed<Problem = LinkProblem | 'wrong_username'> =
  { readonly kind: 'confirmed' } | { readonly kind: 'refused'; readonly problem: Problem | 'mail_taken' }

/**
 * Gives the user the address, once. A link alone does not do: programs that look through mails press buttons,
 * and would give somebody's address to the person who has entered it. So it takes the log-in of the user, or
 * the user name, which is neither in the mail nor on the page.
 */
export async function confirmAddress(ctx: Context, text: string, who: Confirmation): Promise<Confirmed> {
  const found = await findVerification(ctx, text)
  if (found === 'link_used') return (await isOfUsedLink(ctx, text, who)) ? confirmed : used
  if (typeof found === 'string') return { kind: 'refused', problem: found }
  const { link, user } = found
  if (!isOwner(user, who)) return { kind: 'refused', problem: 'wrong_username' }
  const outcome = await setAddress(ctx, user, link.mail, who.caller)
  return isUsed(outcome) && (await isOfUsedLink(ctx, text, who)) ? confirmed : outcome
}

const confirmed = { kind: 'confirmed' } as const
const used = { kind: 'refused', problem: 'link_used' } as const

function isUsed(outcome: Confirmed<LinkProblem | 'wrong_username'>): boolean {
  return outcome.kind === 'refused' && outcome.problem === 'link_used'
}

function isOwner(user: UserTable, { loggedIn, username = '' }: Omit<Confirmation, 'caller'>): boolean {
  return (
    loggedIn?.id.equals(user.id) === true || comparedName(username.trim()) === comparedName(user.username)
  )
}

/** Whether the same form, of who may send it, has given the user the address. */
async function isOfUsedLink(ctx: Context, text: string, who: Confirmation): Promise<boolean> {
  const used = await findUsedLink(ctx, ['verification'], text)
  return used !== undefined && isDone(used.user, used.link) && isOwner(used.user, who)
}

/** Whether the user has just got the address that a mail was sent to, and is else as then. */
function isDone(user: UserTable, { epochs, mail }: Pick<OpenedLink, 'epochs' | 'mail'>): boolean {
  return (
    verifiedAddressOf(user) === mail &&
    user.epoch === epochs?.epoch &&
    user.mail_epoch === epochs.mail_epoch + 1
  )
}

/** The same by the code that is in the mail, typed by who is logged in where the address was entered. */
export async function confirmByCode(
  ctx: Context,
  { user, caller }: { readonly user: UserTable; readonly caller: Caller },
  typed: Pick<TypedCode, 'sealed' | 'browser' | 'code'>,
): Promise<Confirmed<CodeProblem>> {
  const facts = await factsOfCode(ctx, { ...typed, kind: 'verification', userId: user.id, caller })
  if (typeof facts === 'string') return { kind: 'refused', problem: facts }
  const owner = facts.user ?? user
  if (isDone(owner, facts)) return confirmed
  const outcome = await setAddress(ctx, owner, facts.mail, caller)
  if (outcome.kind === 'confirmed') return outcome
  const after = isUsed(outcome) ? await findUserById(ctx.db, user.id) : undefined
  if (after && isDone(after, facts)) return confirmed
  return { kind: 'refused', problem: outcome.problem === 'link_used' ? 'code_expired' : outcome.problem }
}

async function setAddress(
  ctx: Context,
  user: UserTable,
  address: string,
  caller: RequestOrigin,
): Promise<Confirmed<'link_used'>> {
  const claims = JSON.stringify(
    changedClaims(parseUserClaims(user.claims), [
      { kind: 'set', name: 'email', value: address },
      { kind: 'set', name: 'email_verified', value: true },
    ]),
  )
  const mails = mailsOf(ctx, user, { kind: 'mail_changed' })
  const detail = { claims: ['email', 'email_verified'] }
  const isSet = await record(
    { ...byUser(ctx, user.id, caller), mails },
    { event: 'user_changed', userId: user.id, detail },
    db => setMailByLink(db, user, claims),
  ).catch(isTaken)
  if (isSet === 'taken') return { kind: 'refused', problem: 'mail_taken' }
  return isSet ? { kind: 'confirmed' } : { kind: 'refused', problem: 'link_used' }
}

/** A verified address is a name, which one user has. */
function isTaken(error: unknown): 'taken' {
  if (error instanceof NameTakenError) return 'taken'
  throw error
}
