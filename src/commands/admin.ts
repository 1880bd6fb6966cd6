import type { Command } from '@commander-js/extra-typings'
import { recoverAdmin } from '../admin/recovery.ts'
import { describeUser } from '../admin/users.ts'
import { formatTime } from '../values/formats.ts'
import { command, verb, type Terminal } from './shell/command.ts'
import { username } from './shell/options.ts'

/** `mintmark admin`: people who administer. */
export function adminCommands(program: Command, terminal: Terminal): void {
  const admin = program.command('admin').description('people who administer')

  verb(admin, 'recover', 'make a link that lets an administrator in who has no other way', [
    'mintmark admin recover ada',
    'mintmark admin recover ada --remove-factors',
  ])
    .argument('<name>', 'a user with the role mintmark:admin or mintmark:support', username)
    .option('--remove-factors', 'remove second factors first: else they are asked for after the password')
    .action(
      command(terminal, async ({ open }, name, { removeFactors = false }) => {
        const recovered = await recoverAdmin(await open(), name, { withoutFactors: removeFactors })
        const { user, href, expiresAt } = recovered
        return {
          text: [
            `Whoever opens this is ${user.username}, until ${formatTime(expiresAt)}, once:`,
            `  ${href}`,
            'It sets a new password, and ends all sessions of before.',
          ].join('\n'),
          json: { ...describeUser(user), link: href, link_expires_at: expiresAt },
        }
      }),
    )
}
