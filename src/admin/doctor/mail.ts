import { countUndelivered, readOutbox } from '../../../db/mail/outbox.ts'
import { describeSmtpServer } from '../../config/smtp-url.ts'
import { mailsAreShown } from '../../mail/shown.ts'
import { formatCount, formatTime } from '../../values/formats.ts'
import type { Admin } from '../admin.ts'
import type { Examination, Finding } from './finding.ts'

/** Longer than it takes a server that runs, and an SMTP server that takes mails. */
const overdueSeconds = 600

const undeliveredSeconds = 7 * 86_400

/** Whether mails can be sent, and are. */
export async function checkMail({ db, config }: Admin, { clock }: Examination): Promise<readonly Finding[]> {
  const { waiting, oldestAt, lastError } = await readOutbox(db)
  const findings: Finding[] = []
  const { smtp, mailFrom } = config
  if (smtp && mailFrom) {
    const text = `mails from ${mailFrom.address} go to ${describeSmtpServer(smtp)}`
    findings.push({ verdict: 'ok', text })
  } else if (mailsAreShown(config)) {
    findings.push({ verdict: 'ok', text: 'mails are shown in the terminal of `mintmark dev`, and not sent' })
  } else if (waiting > 0) {
    findings.push({
      verdict: 'warning',
      text: `the outbox holds ${formatCount(waiting, 'mail')}, but there is no SMTP server`,
      advice: 'set MINTMARK_SMTP_URL and MINTMARK_MAIL_FROM: mails of more than a day ago are given up then',
    })
  } else {
    findings.push({ verdict: 'ok', text: 'there is no SMTP server, and nothing is offered that needs mail' })
  }
  const told = lastError === null ? '' : `; ${lastError}`
  if (smtp && oldestAt !== null && clock.now() - oldestAt >= overdueSeconds) {
    findings.push({
      verdict: 'warning',
      text: `the outbox holds ${formatCount(waiting, 'mail')}, the oldest since ${formatTime(oldestAt)}${told}`,
      advice: '`mintmark mail test ADDRESS` says what fails; without a server that runs, nothing is sent',
    })
  }
  return findings
}

/** How many mails came back, by the audit trail. */
export async function checkUndelivered({ db }: Admin, { clock }: Examination): Promise<readonly Finding[]> {
  const undelivered = await countUndelivered(db, clock.now() - undeliveredSeconds)
  if (undelivered === 0) return []
  return [
    {
      verdict: 'warning',
      text: `${formatCount(undelivered, 'mail')} did not reach anybody in the last 7 days`,
      advice: '`mintmark audit list --event mail_refused mail_failed --since 7d` says which, and why',
    },
  ]
}
