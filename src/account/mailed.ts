import type { OutboxTable, UserTable } from '../../db/schema.ts'
import { comparedName } from '../../db/users/compared-name.ts'
import type { Context } from '../context.ts'
import { mailTextsOf } from '../mail/language.ts'
import type { LinkMailKind } from '../mail/texts/texts.ts'
import { mailAddress } from '../protocol/mail-address.ts'
import { parseUserClaims } from '../protocol/standard-claims.ts'
import type { MailServices } from '../mail/mail.ts'
import { recordAlone, type Recorder } from '../record/record.ts'
import { allMailsLimit, mailsLimit, newMailLimit, tellOfMailsLimit } from '../users/guess-limits.ts'

/** The address of a user that was verified, as SMTP takes it; undefined for none. */
export function verifiedAddressOf({ claims }: Pick<UserTable, 'claims'>): string | undefined {
  const { email, email_verified: isVerified } = parseUserClaims(claims)
  return typeof email === 'string' && isVerified === true ? mailAddress(email) : undefined
}

/** The language that a user has chosen; undefined for none. */
export function localeOf({ claims }: Pick<UserTable, 'claims'>): string | undefined {
  const { locale } = parseUserClaims(claims)
  return typeof locale === 'string' ? locale : undefined
}

/**
 * Whether one more mail of this kind may go to an address because somebody has asked for it; then it is
 * counted. Each kind has a limit of its own, so that a flood of others keeps no user from a reset.
 */
export async function mayMail(
  { users: { throttle }, config, counts, log }: Pick<Context, 'users' | 'config' | 'counts' | 'log'>,
  kind: LinkMailKind,
  address: string,
): Promise<boolean> {
  const normal = comparedName(address)
  const wait = await throttle.count([
    { of: ['new mail', kind, normal], limit: newMailLimit },
    { of: ['mails', kind, normal], limit: mailsLimit },
  ])
  if (wait > 0) return false
  // After those, so that who asks for one address again and again takes nothing from the others.
  const ofAll = { of: ['mails of all', kind], limit: allMailsLimit(config.mailsPerHour) } as const
  if ((await throttle.count([ofAll])) === 0) return true
  counts.mailsWithheld++
  if ((await throttle.count([{ of: ['told of mails', kind], limit: tellOfMailsLimit }])) === 0)
    log.warn(
      { event: 'mails_withheld', kind },
      'more mails are asked for than MINTMARK_MAILS_PER_HOUR lets out: some are not sent',
    )
  return false
}

export interface LinkMail {
  /** Null where there is no such user yet. */
  readonly user: Pick<UserTable, 'id' | 'username'> | null
  readonly to: string
  /** The tag of the language (RFC 5646). */
  readonly locale: string | undefined
  readonly href: string
  /** That may be typed instead of following the link; undefined for none. */
  readonly code?: string
  readonly expiresAt?: number
}

/** Puts a mail with a link into the outbox, and records that. */
export async function mailLink(
  by: Recorder & { readonly mail: MailServices; readonly config: Context['config'] },
  link: LinkMailKind,
  mail: LinkMail,
): Promise<void> {
  const mails = [...(by.mails ?? []), composeLink(by, link, mail)]
  const mailed = { event: 'link_mailed', userId: mail.user?.id ?? null, detail: { link } } as const
  await recordAlone({ ...by, mails }, mailed)
}

/** The row of a mail with a link, for the outbox. */
export function composeLink(
  { mail, config }: { readonly mail: MailServices; readonly config: Pick<Context['config'], 'name'> },
  link: LinkMailKind,
  { user, to, locale, href, code = '', expiresAt }: LinkMail,
): OutboxTable {
  const facts = {
    href,
    code: code.replace(/.{4}(?=.)/, '$& '),
    username: user?.username ?? '',
    name: config.name,
  }
  const kind = link === 'have_account' ? 'sign_up' : link
  const { subject, text } = mailTextsOf(locale).links[link](facts)
  return mail.compose({
    kind,
    userId: user?.id ?? null,
    to,
    subject,
    text,
    ...(expiresAt !== undefined && { expiresAt }),
  })
}
