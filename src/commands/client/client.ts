import type { Command } from '@commander-js/extra-typings'
import {
  createClient,
  deleteClient,
  describeClient,
  disableClient,
  enableClient,
  listClients,
  methodName,
  type CreatedClient,
  type ListedClient,
} from '../../admin/clients.ts'
import { describeAlgChange } from '../../admin/pending-algs.ts'
import { withDefaults } from '../../clients/client-defaults.ts'
import { authMethodOf } from '../../clients/judge-client.ts'
import type { ClientMetadata } from '../../clients/properties.ts'
import { formatTime } from '../../values/formats.ts'
import { drawAlgChange } from '../alg-change.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { showEnding } from '../shell/ending.ts'
import { UsageError } from '../shell/failures.ts'
import { facts, type Row } from '../shell/output.ts'
import { credentialCommands } from './client-credentials.ts'
import { noteKeysAt, withKeys } from './client-keys.ts'
import { clientUpdateCommand } from './client-update.ts'
import { pathOf, secretAdvice } from './new-secret.ts'
import { addProperties, givenProperties } from './property-options.ts'
import { registrationTokenCommands } from './registration-token.ts'

const choosing = `
Which client?
  app                                       authentication                 refresh
  single-page, mobile or desktop app        --public --dpop required       rotate (the default)
  web app or other program with a back end  --new-key FILE                 rotate
  any of these, with log-ins at our pages   and --redirect-uri URI         the same
  any that is held to FAPI 2.0              --profile fapi2 --new-key FILE reuse
  nightly job, no user                      --new-key FILE                 none: --grant client_credentials
  program that cannot do DPoP or keys       a secret (the default)         rotate
  mail program that keeps its first token   a secret                       reuse
  service with certificates of your CA      --tls-subject --tls-bound      rotate
  API that introspects tokens               --new-key FILE, or a secret    none: --resource-server URI
docs/clients.md has a few lines of code for each, docs/log-in.md has those to which people log in.`

/** `mintmark client`: the apps that ask for tokens, and the resource servers that introspect them. */
export function clientCommands(program: Command, terminal: Terminal): void {
  const client = program.command('client').description('apps that ask for tokens')

  const create = verb(client, 'create', 'add a client, and show its secret once', [
    'mintmark client create --id app --public --grant authorization_code refresh_token --redirect-uri https://app.example/in --scope read',
    'mintmark client create --id nightly --new-key nightly.jwk --grant client_credentials --resource https://api.example --scope read',
    'mintmark client create --id api --resource-server https://api.example --secret-file api.secret',
    'mintmark client create --id gw --grant token-exchange --resource-server https://gw.example --resource https://api.example',
    'mintmark client create --id ops --admin --grant client_credentials',
  ]).requiredOption('--id <client_id>', 'its client_id')
  const withKeyOptions = addProperties(create, 'create', ['identity', 'access'])
    .option('--jwks <file>', 'its public keys (private_key_jwt): a JWK Set, or one JWK')
    .option('--jwks-uri <url>', 'where it publishes them')
    .option('--new-key <file>', 'make a key for it, and write its private half there (mode 0600)')
  addProperties(withKeyOptions, 'create', ['proof', 'power', 'sessions', 'pages', 'people'])
    .option('--secret-file <file>', 'write the secret there (mode 0600) instead of showing it')
    .addHelpText('after', choosing)
    .action(
      command(terminal, async (run, options, self) => {
        const admin = await run.open()
        const declared = { client_id: options.id, ...withDefaults(givenProperties(self)) }
        return withKeys(run, options, async ({ private_key_file: keyFile, ...keys }) => {
          const metadata = { ...declared, ...keys }
          const { secretFile } = options
          if (authMethodOf(metadata) !== 'client_secret' && secretFile !== undefined) {
            throw new UsageError(
              `a ${metadata.public ? 'public client' : 'client with keys'} has no secret to write to a file`,
            )
          }
          const created = await createClient(admin, metadata, { secretFile: pathOf(run, secretFile) })
          for (const warning of created.warnings) run.note(`note: ${warning}`)
          if (keys.jwks_uri !== null) await noteKeysAt(run, admin, keys.jwks_uri)
          return answerCreated(metadata, created, keyFile)
        })
      }),
    )

  clientUpdateCommand(client, terminal)

  verb(client, 'list', 'show all clients', ['mintmark client list']).action(
    command(terminal, async ({ open }) => ({
      columns: ['CLIENT_ID', 'KIND', 'GRANTS', 'SCOPE', 'RESOURCES', 'REFRESH', 'DISABLED'],
      rows: (await listClients(await open())).map(rowOf),
      none: 'There is no client yet: `mintmark client create --id ID …` adds one.',
    })),
  )

  credentialCommands(client, terminal)
  registrationTokenCommands(client, terminal)

  verb(client, 'disable', 'refuse a client from now on, and end its sessions', [
    'mintmark client disable web',
  ])
    .argument('<client_id>')
    .action(
      command(terminal, async (run, id) => {
        const admin = await run.open()
        const ended = await showEnding(run, to => disableClient(admin, id, to))
        return {
          text: `Disabled the client ${id}. Its sessions have ended; \`mintmark client enable ${id}\` allows new ones.`,
          json: describeClient(ended.client),
        }
      }),
    )

  verb(client, 'enable', 'let a disabled client ask for tokens again', ['mintmark client enable web'])
    .argument('<client_id>')
    .action(
      command(terminal, async ({ open }, id) => {
        const enabled = await enableClient(await open(), id)
        return { text: `Enabled the client ${id}.`, json: describeClient(enabled) }
      }),
    )

  verb(client, 'delete', 'remove a client for good, and end its sessions', ['mintmark client delete web'])
    .argument('<client_id>')
    .action(
      command(terminal, async (run, id) => {
        const admin = await run.open()
        const ended = await showEnding(run, to => deleteClient(admin, id, to))
        return {
          text: `Deleted the client ${id}. Its sessions have ended.`,
          json: { ...describeClient(ended.client), deleted: true },
        }
      }),
    )
}

function answerCreated(
  metadata: ClientMetadata,
  { secret, client: { created_at }, algChange }: CreatedClient,
  keyFile: string | undefined,
) {
  const { client_id: id, ...settings } = metadata
  const { grant_types, scope, resources, resource_server, admin, refresh } = settings
  return {
    text: [
      `Created the ${metadata.public ? 'public' : 'confidential'} client ${id}`,
      facts({
        client_id: id,
        ...secret,
        'authenticates with': secret ? undefined : authMethodOf(metadata),
        private_key_file: keyFile,
        profile: settings.profile === 'none' ? undefined : settings.profile,
        dpop: settings.dpop_bound_access_tokens ? 'required' : undefined,
        grants: grant_types.join(' '),
        ...peopleFacts(settings),
        scope: scope.join(' '),
        resources: resources.join(' '),
        'resource server of': resource_server.join(' '),
        admin: admin ? 'yes' : undefined,
        refresh: grant_types.includes('refresh_token') ? refresh : undefined,
      }),
      ...(secret ? [secretAdvice(secret)] : []),
      ...(algChange ? [drawAlgChange(algChange)] : []),
    ].join('\n'),
    json: {
      client_id: id,
      ...secret,
      ...(keyFile !== undefined && { private_key_file: keyFile }),
      ...settings,
      token_endpoint_auth_method: methodName(authMethodOf(metadata)),
      created_at,
      disabled_at: null,
      ...describeAlgChange(algChange),
    },
  }
}

/** What a log-in at the pages depends on. */
function peopleFacts({ redirect_uris: uris, ...settings }: Omit<ClientMetadata, 'client_id'>) {
  if (uris.length === 0) return {}
  return {
    'leads back to': uris.join(' '),
    'logs out to': settings.post_logout_redirect_uris.join(' '),
    'is told of log-outs at': settings.backchannel_logout_uri,
    name: settings.client_name,
    consent: settings.consent,
  }
}

function rowOf(row: ListedClient): Row {
  const { grant_types, scope, resources, introspects, refresh_policy, auth_method, disabled_at } = row
  const kind = [
    ...(row.made_by === 'administrator' ? [] : [`by its ${row.made_by}`]),
    auth_method === 'none' ? 'public' : row.is_admin ? 'admin' : 'confidential',
    ...(auth_method === 'none' || auth_method === 'client_secret' ? [] : [auth_method]),
    ...(row.dpop_bound ? ['dpop'] : []),
    ...(row.tls_bound ? ['tls-bound'] : []),
  ].join(' ')
  const refresh = grant_types.split(' ').includes('refresh_token') ? refresh_policy : ''
  const serves = introspects === '' ? [] : [`serves ${introspects}`]
  return {
    cells: [
      row.id,
      kind,
      grant_types,
      scope,
      [resources, ...serves].join(' ').trim(),
      refresh,
      formatTime(disabled_at),
    ],
    json: describeClient(row),
  }
}
