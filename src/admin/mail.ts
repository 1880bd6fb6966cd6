import type { Config } from '../config/load.ts'
import { describeSmtpServer } from '../config/smtp-url.ts'
import { Refusal } from '../errors.ts'
import { mailTextsOf } from '../mail/language.ts'
import { signed } from '../mail/mail.ts'
import { transportOf, type Stage } from '../mail/transport.ts'
import { newUuid } from '../protocol/secrets.ts'
import type { Admin } from './admin.ts'

/** A mail that the SMTP server has taken. */
export interface TestMail {
  readonly from: string
  readonly to: string
  /** Without user and password. */
  readonly server: string
}

/**
 * Sends a mail to an address, as a server would, but at once. Refuses with the stage that failed.
 */
export async function sendTestMail(
  { config, clock }: Pick<Admin, 'config' | 'clock'>,
  to: string,
): Promise<TestMail> {
  const { smtp, mailFrom } = config
  const transport = transportOf(config)
  if (!smtp || !mailFrom || !transport)
    throw new Refusal('invalid', 'there is no SMTP server', 'set MINTMARK_SMTP_URL and MINTMARK_MAIL_FROM')
  const at = clock.now()
  const { subject, text } = mailTextsOf('en').test
  const delivery = await transport.send({ id: newUuid(at), at, to, subject, text: signed(config, text) })
  const server = describeSmtpServer(smtp)
  if (delivery.kind === 'sent') return { from: mailFrom.address, to, server }
  const { stage, answer } = delivery
  throw new Refusal(
    'unavailable',
    `${server}: ${failures[stage]} (${stage}): ${answer}`,
    adviceFor(stage, config),
  )
}

const failures: Readonly<Record<Stage, string>> = {
  connect: 'it cannot be reached',
  TLS: 'the connection could not be encrypted',
  auth: 'it does not take the user and the password',
  sender: 'it does not take mails from this sender',
  recipient: 'it does not take mails to this address',
  data: 'it does not take this mail',
}

function adviceFor(stage: Stage, { mailFrom }: Config): string {
  switch (stage) {
    case 'connect':
      return 'check the host and the port of MINTMARK_SMTP_URL, and whether this machine may connect to them'
    case 'TLS':
      return (
        'smtps:// is for a port that begins with TLS (465), smtp:// for one with STARTTLS (587); ' +
        'NODE_EXTRA_CA_CERTS names a file with an authority of your own'
      )
    case 'auth':
      return 'check the user and the password of MINTMARK_SMTP_URL; in it % is %25, @ is %40, : is %3A and / is %2F'
    case 'sender':
      return `let the server allow MINTMARK_MAIL_FROM, which is ${mailFrom?.address}, to this user, or set another`
    case 'recipient':
      return 'check the address, and whether the server takes mails to other domains from this user'
    case 'data':
      return 'the server, or a filter behind it, says why'
  }
}
