import type { UserTable } from '../../db/schema.ts'
import { comparedName } from '../../db/users/compared-name.ts'
import { findUser, findUserById, insertUser } from '../../db/users/users.ts'
import type { Caller } from '../clients/caller.ts'
import type { Context } from '../context.ts'
import { newUsernameProblem } from '../protocol/username.ts'
import type { RequestOrigin } from '../record/actor.ts'
import { byNobody, byUser, record } from '../record/record.ts'
import { triedNamesLimit, triedNamesSourceLimit } from '../users/guess-limits.ts'
import type { Allowance } from '../users/throttle.ts'
import { makeLink, openLink, type LinkProblem, type OpenedLink } from './links.ts'
import { codeOf, factsOf, type Waiting } from './mailed-codes.ts'
import { localeOf, mailLink, mayMail } from './mailed.ts'
import { findUsedLink, hasPassword } from './sent-twice.ts'

/** Who wants an account, as typed by anybody. */
export interface SignUpAsked {
  /** The name is an address, as `mailAddress` gives it. */
  readonly waiting: Waiting
  /** The sealed authorization request during which it was asked; null for none. */
  readonly request: string | null
  /** The language of the page on which it was asked. */
  readonly locale: string
  readonly caller: RequestOrigin
}

/** Whether people may sign up by themselves. */
export function signUpIsOpen({ config, mail }: Pick<Context, 'config' | 'mail'>): boolean {
  return config.signUp === 'open' && mail !== undefined
}

/**
 * Mails a link that makes an account, or that there is one already. Nothing is stored of it but the mail. It
 * takes as long as it takes, so it is done after the answer.
 */
export async function mailSignUp(ctx: Context, asked: SignUpAsked): Promise<void> {
  const { mail, config } = ctx
  const { waiting, request, locale, caller } = asked
  const to = waiting.name
  if (!mail || !(await mayMail(ctx, 'sign_up', to))) return
  const by = { ...byNobody(ctx, caller), mail, config }
  const facts = await factsOf(ctx, waiting)
  if (!facts) {
    const user = (await findUser(ctx.db, to)) ?? null
    const href = `${config.issuer}/reset`
    return mailLink(by, 'have_account', { user, to, locale: (user && localeOf(user)) ?? locale, href })
  }
  const link = makeLink(ctx, 'sign_up', { ...facts, request })
  return mailLink(by, 'sign_up', { user: null, to, locale, code: codeOf(waiting, facts), ...link })
}

/** Why a link makes no account. `mail_taken`: its address has one by now. */
export type SignUpLinkProblem = LinkProblem | 'mail_taken'

/** A link that makes an account, or why it is good no more. Changes nothing. */
export async function findSignUp(ctx: Context, text: string): Promise<OpenedLink | SignUpLinkProblem> {
  const link = await openLink(ctx, ['sign_up'], text)
  if (!link) return 'link_invalid'
  if (link.isExpired) return 'link_expired'
  if (await findUserById(ctx.db, link.userId)) return 'link_used'
  return (await findUser(ctx.db, link.mail)) ? 'mail_taken' : link
}

/** Why a name cannot be had, by who has shown an address. */
export type NameProblem = 'username_invalid' | 'username_is_address' | 'username_taken' | 'throttled'

export interface NewAccount {
  readonly username: string
  /** Which was judged. */
  readonly password: string
  /** The language of the page. */
  readonly locale: string
  readonly caller: Caller
}

export type SignUpOutcome =
  | { readonly kind: 'created'; readonly user: UserTable; readonly request: string | null }
  | { readonly kind: 'refused'; readonly problem: SignUpLinkProblem | NameProblem }

/**
 * Makes the account of who has followed a link: once, since its id is in the link. It reserves no name before
 * that. If it is taken by then, another can be chosen with the same link.
 */
export async function signUp(ctx: Context, text: string, account: NewAccount): Promise<SignUpOutcome> {
  const outcome = await makeAccount(ctx, text, account)
  return outcome.kind === 'created' ? outcome : ((await madeBefore(ctx, text, account)) ?? outcome)
}

/** The account of a link, as the same form has made it; undefined for any other, and for none. */
async function madeBefore(
  ctx: Context,
  text: string,
  account: NewAccount,
): Promise<SignUpOutcome | undefined> {
  const used = await findUsedLink(ctx, ['sign_up'], text)
  const isSame =
    used?.user.epoch === 0 &&
    used.user.username === account.username &&
    (await hasPassword(ctx, used.user, account))
  return isSame ? { kind: 'created', user: used.user, request: used.link.request } : undefined
}

async function makeAccount(ctx: Context, text: string, account: NewAccount): Promise<SignUpOutcome> {
  const link = await findSignUp(ctx, text)
  if (typeof link === 'string') return { kind: 'refused', problem: link }
  const { username, password, locale, caller } = account
  const problem = await nameProblem(ctx, account, link)
  if (problem) return { kind: 'refused', problem }
  const now = ctx.clock.now()
  const user: UserTable = {
    id: link.userId,
    username,
    ...(await ctx.users.passwords.hash(password, caller.source)),
    roles: '',
    group_names: '',
    claims: JSON.stringify({ email: link.mail, email_verified: true, locale }),
    epoch: 0,
    mail_epoch: 0,
    created_at: now,
    disabled_at: null,
  }
  const created = { event: 'user_created', userId: user.id, detail: { username } } as const
  const isCreated = await record(byUser(ctx, user.id, caller), created, db => insertUser(db, user))
  if (isCreated) return { kind: 'created', user, request: link.request }
  const after = await findSignUp(ctx, text)
  return { kind: 'refused', problem: typeof after === 'string' ? after : 'username_taken' }
}

/**
 * Whether a name is taken is told to who has shown an address, and not to others; and not of many names. One
 * with an `@` would be taken for an address, so it is the person's own.
 */
async function nameProblem(
  ctx: Context,
  { username, caller: { source } }: NewAccount,
  { userId, mail }: OpenedLink,
): Promise<NameProblem | undefined> {
  if (newUsernameProblem(username) !== undefined) return 'username_invalid'
  const isOwnAddress = comparedName(username) === comparedName(mail)
  if (username.includes('@') && !isOwnAddress) return 'username_is_address'
  const ofLink: Allowance = {
    of: ['names of a sign-up', userId.toString('base64url')],
    limit: triedNamesLimit,
  }
  const ofSource: Allowance = { of: ['names of a source', source ?? ''], limit: triedNamesSourceLimit }
  const tried = source === undefined ? [ofLink] : [ofLink, ofSource]
  if ((await ctx.users.throttle.count(tried)) > 0) return 'throttled'
  return (await findUser(ctx.db, username)) ? 'username_taken' : undefined
}
