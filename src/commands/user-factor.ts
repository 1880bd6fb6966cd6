import type { Command } from '@commander-js/extra-typings'
import { describeFactors, listFactors, removeFactor } from '../admin/factors.ts'
import { formatTime, printable } from '../values/formats.ts'
import { command, verb, type Terminal } from './shell/command.ts'
import { username } from './shell/options.ts'

/** `mintmark user factor`: what users prove with who they are, beside the password. */
export function userFactorCommands(user: Command, terminal: Terminal): void {
  const factor = user.command('factor').description('second factors of a user')

  verb(factor, 'list', 'show the second factors of a user', ['mintmark user factor list alice'])
    .argument('<name>', 'the name to log in with', username)
    .action(
      command(terminal, async ({ open }, name) => {
        const json = describeFactors(await listFactors(await open(), name))
        const { passkeys, totp, recovery_codes_left: left } = json
        const lines = [
          ...passkeys.map(
            ({ id, name, rp_id, used_at }) =>
              `passkey ${id}  ${printable(name)}, for ${rp_id}, last used ${formatTime(used_at) || 'never'}`,
          ),
          ...(totp
            ? [`totp  since ${formatTime(totp.created_at)}, last used ${formatTime(totp.used_at)}`]
            : []),
          ...(left > 0 ? [`recovery-codes  ${left} left`] : []),
        ]
        return { text: lines.length > 0 ? lines.join('\n') : `The user ${name} has no second factor.`, json }
      }),
    )

  verb(factor, 'remove', 'remove a factor that a user has lost; the user is told by mail', [
    'mintmark user factor remove alice totp',
    'mintmark user factor remove alice 01920e5c-9f3d-7c51-8a4e-0d7d7a3c2b11',
    'mintmark user factor remove alice all',
  ])
    .argument('<name>', 'the name to log in with', username)
    .argument('<factor>', 'totp, recovery-codes, all, or the id of a passkey')
    .action(
      command(terminal, async ({ open }, name, which) => {
        const admin = await open()
        await removeFactor(admin, name, which)
        return {
          text: `Removed it of ${name}. Sessions go on: \`mintmark sign-in revoke --user ${name}\` ends them.`,
          json: describeFactors(await listFactors(admin, name)),
        }
      }),
    )
}
