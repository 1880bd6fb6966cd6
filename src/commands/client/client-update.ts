import type { CommandUnknownOpts } from '@commander-js/extra-typings'
import { changeClient } from '../../../db/clients/clients.ts'
import type { Database } from '../../../db/database.ts'
import { audited } from '../../../db/writer.ts'
import { changedColumns, differencesOf } from '../../admin/differences.ts'
import { authMethodOf } from '../../clients/judge-client.ts'
import type { ClientMetadata } from '../../clients/properties.ts'
import { clientMetadata, clientSettings, judgeNewClient } from '../../clients/registration.ts'
import { answerUpdate } from '../shell/differences.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { CommandError } from '../shell/failures.ts'
import { existingClient, noClient } from './existing-client.ts'
import { addProperties, givenProperties } from './property-options.ts'

/** `mintmark client update`: its sessions live on, and get what it may have from now on. */
export function clientUpdateCommand(client: CommandUnknownOpts, terminal: Terminal): void {
  const update = verb(client, 'update', 'change a client; what is not given stays', [
    'mintmark client update web --scope read write --resource https://api.example https://files.example',
    'mintmark client update web --refresh strict --refresh-idle-ttl 7d',
    'mintmark client update ops --no-admin',
  ]).argument('<client_id>')
  addProperties(update, 'update', ['access', 'power', 'proof', 'sessions', 'pages'])
  update.action(
    command(terminal, async (run, id, _, self) => {
      const { db } = await run.open()
      const before = clientMetadata(await existingClient(db, id))
      return change(run, db, before, { ...before, ...givenProperties(self, before) })
    }),
  )
}

/** Changes the client, if there can be such a one. */
async function change(run: Run, db: Database, before: ClientMetadata, after: ClientMetadata) {
  const { client_id: id } = before
  const { refusals, warnings } = await judgeNewClient(db, after)
  if (refusals.length > 0) throw new CommandError(refusals.join('\n'))
  if (authMethodOf(before) !== authMethodOf(after)) {
    throw new CommandError(`${id} authenticates with ${authMethodOf(before)}, not with a name`)
  }
  const settings = changedColumns(clientSettings(before), clientSettings(after))
  const differences = differencesOf(before, after)
  if (Object.keys(settings).length > 0) {
    const entry = run.entry('client_changed', { clientId: id, detail: differences })
    if (!(await changeClient(audited(db, entry), id, settings))) throw noClient(id)
    for (const warning of warnings) run.note(`note: ${warning}`)
  }
  return answerUpdate('client', id, differences)
}
