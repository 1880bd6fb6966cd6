import type { OutboxTable, UserTable } from '../../db/schema.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import { mailAddress } from '../protocol/mail-address.ts'
import { parseUserClaims } from '../protocol/standard-claims.ts'
import { mailTextsOf } from './language.ts'
import type { MailServices } from './mail.ts'
import type { Notice } from './notice.ts'
import type { MailText } from './texts/texts.ts'

/** The context, as far as mails are made of it. */
export interface MailSource {
  readonly mail: MailServices | undefined
  readonly config: Pick<Config, 'issuer'>
  readonly clock: Clock
}

/**
 * The mails, for `Recorder.mails`, that tell the owner of an account of a change: none where mail is off or
 * the user has no verified address.
 */
export function mailsOf(
  { mail, config, clock }: MailSource,
  user: Pick<UserTable, 'id' | 'username' | 'claims'>,
  notice: Notice,
): readonly OutboxTable[] {
  const { email, email_verified: isVerified, locale } = parseUserClaims(user.claims)
  const to = typeof email === 'string' && isVerified === true ? mailAddress(email) : undefined
  if (!mail || to === undefined) return []
  const texts = mailTextsOf(typeof locale === 'string' ? locale : undefined)
  const at = texts.time(clock.now())
  // The facts are those of its kind, which the type of an index cannot say.
  const textOf = texts.notices[notice.kind] as (facts: Notice) => MailText
  const { subject, text } = textOf(notice)
  const body = [
    texts.greeting(user.username),
    text,
    texts.when(at),
    texts.wasItYou(`${config.issuer}/account`),
  ].join('\n\n')
  return [mail.compose({ kind: notice.kind, userId: user.id, to, subject, text: body })]
}
