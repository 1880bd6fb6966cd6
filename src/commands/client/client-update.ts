import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import { updateClient } from '../../admin/clients.ts'
import { describeAlgChange } from '../../admin/pending-algs.ts'
import { drawAlgChange } from '../alg-change.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { answerUpdate } from '../shell/differences.ts'
import { addProperties, givenProperties } from './property-options.ts'

/** `mintmark client update`: its sessions live on, and get what it may have from now on. */
export function clientUpdateCommand(client: CommandUnknownOpts, terminal: Terminal): void {
  const update = verb(client, 'update', 'change a client; what is not given stays', [
    'mintmark client update web --scope read write --resource https://api.example https://files.example',
    'mintmark client update web --refresh strict --refresh-idle-ttl 7d',
    'mintmark client update ops --no-admin',
    'mintmark client update deploy --federated',
  ]).argument('<client_id>')
  addProperties(update, 'update', ['access', 'power', 'proof', 'sessions', 'pages', 'people'])
  update.action(
    command(terminal, async (run, id, _, self) => {
      const admin = await run.open()
      const { differences, warnings, algChange } = await updateClient(admin, id, givenProperties(self))
      for (const warning of warnings) run.note(`note: ${warning}`)
      const { text, json } = answerUpdate('client', id, differences)
      return {
        text: algChange ? `${text}\n${drawAlgChange(algChange)}` : text,
        json: { ...json, ...describeAlgChange(algChange) },
      }
    }),
  )
}
