import { Option, type CommandUnknownOpts } from '@commander-js/extra-typings'
import { changeClient } from '../../../db/clients/clients.ts'
import type { Database } from '../../../db/database.ts'
import { audited } from '../../../db/writer.ts'
import { changedColumns, differencesOf } from '../../admin/differences.ts'
import { clientMetadata, clientSettings, judgeNewClient } from '../../clients/registration.ts'
import { authMethodOf, refreshPolicies, type ClientMetadata } from '../../protocol/client-metadata.ts'
import { answerUpdate } from '../shell/differences.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { CommandError } from '../shell/failures.ts'
import {
  dpopPolicies,
  grants,
  optional,
  optionalList,
  origins,
  refreshTtl,
  resourceUris,
  scopes,
} from '../shell/options.ts'
import { existingClient, noClient } from './existing-client.ts'

/** `mintmark client update`: its sessions live on, and get what it may have from now on. */
export function clientUpdateCommand(client: CommandUnknownOpts, terminal: Terminal): void {
  verb(client, 'update', 'change a client; what is not given stays', [
    'mintmark client update web --scope read write --resource https://api.example https://files.example',
    'mintmark client update web --refresh strict --refresh-idle-ttl 7d',
    'mintmark client update ops --no-admin',
  ])
    .argument('<client_id>')
    .option('--grant <grant...>', 'what it may ask tokens with', grants)
    .option('--no-grant', 'nothing')
    .option('--scope <scope...>', 'the scopes it may ask for', scopes)
    .option('--no-scope', 'none')
    .option('--resource <uri...>', 'the APIs it may ask tokens for; the first is the default', resourceUris)
    .option('--no-resource', 'none')
    .option('--resource-server <uri...>', 'the APIs it serves: it may introspect their tokens', resourceUris)
    .option('--no-resource-server', 'none')
    .option('--admin', "it may introspect and revoke everybody's tokens")
    .option('--no-admin', 'only its own')
    .option('--tls-subject <kind:name>', 'the name in its TLS certificate, where it is known by one')
    .option('--tls-bound', 'its access tokens work only together with its certificate')
    .option('--no-tls-bound', 'they are bearer tokens')
    .addOption(
      new Option('--dpop <policy>', 'required: its access tokens work only together with a key').choices(
        dpopPolicies,
      ),
    )
    .addOption(
      new Option('--refresh <policy>', 'rotate, strict (no retry), or reuse (no rotation)').choices(
        refreshPolicies,
      ),
    )
    .option('--refresh-idle-ttl <duration>', 'how long a session lives without a refresh', refreshTtl)
    .option('--no-refresh-idle-ttl', "as long as the server's setting says")
    .option('--refresh-absolute-ttl <duration>', 'how long a session lives at the most', refreshTtl)
    .option('--no-refresh-absolute-ttl', "as long as the server's setting says")
    .option('--forwards-user-address', "it sends its user's address with each log-in (header Forwarded)")
    .option('--no-forwards-user-address', 'it does not')
    .option('--cors-origin <origin...>', 'the origins of its pages, if not those of the server', origins)
    .option('--no-cors-origin', 'those of the server')
    .action(
      command(terminal, async (run, id, given) => {
        const { db } = await run.open()
        const before = clientMetadata(await existingClient(db, id))
        const after: ClientMetadata = {
          ...before,
          grant_types: optionalList(given.grant, before.grant_types),
          scope: optionalList(given.scope, before.scope),
          resources: optionalList(given.resource, before.resources),
          resource_server: optionalList(given.resourceServer, before.resource_server),
          tls_subject: given.tlsSubject ?? before.tls_subject,
          tls_client_certificate_bound_access_tokens:
            given.tlsBound ?? before.tls_client_certificate_bound_access_tokens,
          dpop_bound_access_tokens: given.dpop ? given.dpop === 'required' : before.dpop_bound_access_tokens,
          admin: given.admin ?? before.admin,
          refresh: given.refresh ?? before.refresh,
          refresh_idle_ttl: optional(given.refreshIdleTtl, before.refresh_idle_ttl),
          refresh_absolute_ttl: optional(given.refreshAbsoluteTtl, before.refresh_absolute_ttl),
          forwards_user_address: given.forwardsUserAddress ?? before.forwards_user_address,
          cors_origins: optionalList(given.corsOrigin, before.cors_origins),
        }
        return update(run, db, before, after)
      }),
    )
}

/** Changes the client, if there can be such a one. */
async function update(run: Run, db: Database, before: ClientMetadata, after: ClientMetadata) {
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
