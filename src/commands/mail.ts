import { InvalidArgumentError, type Command } from '@commander-js/extra-typings'
import { sendTestMail } from '../admin/mail.ts'
import { mailAddress } from '../protocol/mail-address.ts'
import { command, verb, type Terminal } from './shell/command.ts'

/** `mintmark mail`: what the server sends to people. */
export function mailCommands(program: Command, terminal: Terminal): void {
  const mail = program.command('mail').description('mails to people')

  verb(mail, 'test', 'send a mail at once, and say what fails, if something does', [
    'mintmark mail test ada@example.com',
  ])
    .argument('<address>', 'to whom', readAddress)
    .action(
      command(terminal, async ({ config, clock }, address) => {
        const sent = await sendTestMail({ config: config(), clock }, address)
        return {
          text: `Sent a mail to ${sent.to}, from ${sent.from}: ${sent.server} has taken it.`,
          json: sent,
        }
      }),
    )
}

function readAddress(text: string): string {
  const address = mailAddress(text)
  if (address === undefined) throw new InvalidArgumentError('It takes a mail address, like ada@example.com.')
  return address
}
