import type { Command } from '@commander-js/extra-typings'
import {
  createRegistrationToken,
  describeRegistrationToken,
  endRegistrationToken,
  listRegistrationTokens,
  registrationClients,
  registrationSeconds,
} from '../../admin/registration-tokens.ts'
import { formatTime, printable } from '../../values/formats.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { duration, wholeNumber } from '../shell/options.ts'
import { facts } from '../shell/output.ts'

/** `mintmark client registration-token`: with which clients register themselves (RFC 7591). */
export function registrationTokenCommands(client: Command, terminal: Terminal): void {
  const token = client
    .command('registration-token')
    .description('tokens with which clients register themselves')

  verb(token, 'create', 'make a token with which clients may register themselves, and show it once', [
    'mintmark client registration-token create --name "Notes team"',
    'mintmark client registration-token create --clients 1 --ttl 1h',
  ])
    .option('--name <name>', 'whom it is for, for you')
    .option(
      '--clients <count>',
      'how many clients it may make',
      wholeNumber(1, registrationClients.most),
      registrationClients.usual,
    )
    .option(
      '--ttl <duration>',
      'how long it is good',
      duration(registrationSeconds.least, registrationSeconds.most),
      registrationSeconds.usual,
    )
    .action(
      command(terminal, async ({ open, note }, { name = null, clients: clientsMax, ttl: lifeSeconds }) => {
        const admin = await open()
        const made = await createRegistrationToken(admin, { name, clientsMax, lifeSeconds })
        if (admin.config.clientRegistration === 'off')
          note('note: it is of use where MINTMARK_CLIENT_REGISTRATION is token, which here it is not')
        const json = { ...describeRegistrationToken(made.row), token: made.token }
        const told = { token: made.token, clients: clientsMax, 'good until': formatTime(json.expires_at) }
        return {
          text: `Made the registration token ${json.id}\n${facts(told)}\nIt is shown here alone: who has it registers clients.`,
          json,
        }
      }),
    )

  verb(token, 'list', 'show all registration tokens', ['mintmark client registration-token list']).action(
    command(terminal, async ({ open }) => ({
      columns: ['ID', 'NAME', 'CLIENTS', 'GOOD UNTIL'],
      rows: (await listRegistrationTokens(await open())).map(row => {
        const json = describeRegistrationToken(row)
        const used = `${json.clients_made} of ${json.clients_max}`
        return { cells: [json.id, printable(json.name ?? ''), used, formatTime(json.expires_at)], json }
      }),
      none: 'There is no registration token: `mintmark client registration-token create` makes one.',
    })),
  )

  verb(token, 'delete', 'end a registration token; the clients that it has made stay', [
    'mintmark client registration-token delete 01920e5c-9f3d-7c51-8a4e-0d7d7a3c2b11',
  ])
    .argument('<id>', 'its id')
    .action(
      command(terminal, async ({ open }, id) => {
        await endRegistrationToken(await open(), id)
        return { text: `Deleted the registration token ${id}.`, json: { id, deleted: true } }
      }),
    )
}
