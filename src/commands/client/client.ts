import type { Command } from '@commander-js/extra-typings'
import { enableClient, findClient, insertClient, listClients } from '../../../db/clients/clients.ts'
import type { Database } from '../../../db/database.ts'
import type { ClientTable } from '../../../db/schema.ts'
import { audited } from '../../../db/writer.ts'
import { authMethodOf, type AuthMethod } from '../../clients/judge-client.ts'
import { plainProperties, type ClientMetadata } from '../../clients/properties.ts'
import { clientMetadata, judgeNewClient, newClientRow } from '../../clients/registration.ts'
import { endSessionsOfClient } from '../../endings/end.ts'
import { formatTime } from '../../values/formats.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { showEnding } from '../shell/ending.ts'
import { CommandError, UsageError } from '../shell/failures.ts'
import { facts, type Row } from '../shell/output.ts'
import { credentialCommands } from './client-credentials.ts'
import { noteKeysAt, withKeys } from './client-keys.ts'
import { clientUpdateCommand } from './client-update.ts'
import { existingClient, noClient } from './existing-client.ts'
import { handOutSecret, secretAdvice } from './new-secret.ts'
import { addProperties, givenProperties } from './property-options.ts'

const choosing = `
Which client?
  app                                       authentication                 refresh
  browser or mobile app                     --public --dpop required       rotate (the default)
  web app or other program with a back end  --new-key FILE                 rotate
  nightly job, no user                      --new-key FILE                 none: --grant client_credentials
  program that cannot do DPoP or keys       a secret (the default)         rotate
  mail program that keeps its first token   a secret                       reuse
  service with certificates of your CA      --tls-subject --tls-bound      rotate
  API that introspects tokens               --new-key FILE, or a secret    none: --resource-server URI
docs/clients.md has a few lines of code for each.`

/** `mintmark client`: the apps that ask for tokens, and the resource servers that introspect them. */
export function clientCommands(program: Command, terminal: Terminal): void {
  const client = program.command('client').description('apps that ask for tokens')

  const create = verb(client, 'create', 'add a client, and show its secret once', [
    'mintmark client create --id app --public --dpop required --grant password refresh_token --resource https://api.example --scope read',
    'mintmark client create --id nightly --new-key nightly.jwk --grant client_credentials --resource https://api.example --scope read',
    'mintmark client create --id api --resource-server https://api.example --secret-file api.secret',
    'mintmark client create --id ops --admin --grant client_credentials',
  ]).requiredOption('--id <client_id>', 'its client_id')
  const withKeyOptions = addProperties(create, 'create', ['identity', 'access'])
    .option('--jwks <file>', 'its public keys (private_key_jwt): a JWK Set, or one JWK')
    .option('--jwks-uri <url>', 'where it publishes them')
    .option('--new-key <file>', 'make a key for it, and write its private half there (mode 0600)')
  addProperties(withKeyOptions, 'create', ['proof', 'power', 'sessions', 'pages'])
    .option('--secret-file <file>', 'write the secret there (mode 0600) instead of showing it')
    .addHelpText('after', choosing)
    .action(
      command(terminal, async (run, options, self) => {
        const { db, config } = await run.open()
        const declared = { client_id: options.id, ...givenProperties(self, plainProperties) }
        return withKeys(run, options, async ({ private_key_file: keyFile, ...keys }) => {
          const metadata = { ...declared, ...keys }
          const files = { secretFile: options.secretFile, keyFile }
          if (authMethodOf(metadata) !== 'client_secret' && files.secretFile !== undefined) {
            throw new UsageError(
              `a ${metadata.public ? 'public client' : 'client with keys'} has no secret to write to a file`,
            )
          }
          const created = await createClient(run, db, metadata, files)
          if (keys.jwks_uri !== null) await noteKeysAt(run, config, keys.jwks_uri)
          return created
        })
      }),
    )

  clientUpdateCommand(client, terminal)

  verb(client, 'list', 'show all clients', ['mintmark client list']).action(
    command(terminal, async ({ open }) => {
      const { db } = await open()
      return {
        columns: ['CLIENT_ID', 'KIND', 'GRANTS', 'SCOPE', 'RESOURCES', 'REFRESH', 'DISABLED'],
        rows: (await listClients(db)).map(rowOf),
        none: 'There is no client yet: `mintmark client create --id ID …` adds one.',
      }
    }),
  )

  credentialCommands(client, terminal)

  verb(client, 'disable', 'refuse a client from now on, and end its sessions', [
    'mintmark client disable web',
  ])
    .argument('<client_id>')
    .action(
      command(terminal, async (run, id) => {
        const admin = await run.open()
        const found = await existingClient(admin.db, id)
        const ended = await showEnding(run, to => endSessionsOfClient(admin, id, 'client disabled', to))
        if (!ended) throw noClient(id)
        return {
          text: `Disabled the client ${id}. Its sessions have ended; \`mintmark client enable ${id}\` allows new ones.`,
          json: describe({ ...found, disabled_at: ended.at }),
        }
      }),
    )

  verb(client, 'enable', 'let a disabled client ask for tokens again', ['mintmark client enable web'])
    .argument('<client_id>')
    .action(
      command(terminal, async ({ open, entry }, id) => {
        const { db } = await open()
        const found = await existingClient(db, id)
        if (!(await enableClient(audited(db, entry('client_enabled', { clientId: id })), id)))
          throw noClient(id)
        return { text: `Enabled the client ${id}.`, json: describe({ ...found, disabled_at: null }) }
      }),
    )

  verb(client, 'delete', 'remove a client for good, and end its sessions', ['mintmark client delete web'])
    .argument('<client_id>')
    .action(
      command(terminal, async (run, id) => {
        const admin = await run.open()
        const found = await existingClient(admin.db, id)
        const ended = await showEnding(run, to => endSessionsOfClient(admin, id, 'client deleted', to))
        if (!ended) throw noClient(id)
        return {
          text: `Deleted the client ${id}. Its sessions have ended.`,
          json: { ...describe(found), deleted: true },
        }
      }),
    )
}

async function createClient(
  run: Run,
  db: Database,
  metadata: ClientMetadata,
  { secretFile, keyFile }: { secretFile: string | undefined; keyFile: string | undefined },
) {
  const { client_id: id, ...settings } = metadata
  const { refusals, warnings } = await judgeNewClient(db, metadata)
  if (refusals.length > 0) throw new CommandError(refusals.join('\n'))
  if (await findClient(db, id)) throw idTaken(id)

  const now = run.clock.now()
  const insert = async (secretHash: Buffer | null) => {
    const entry = run.entry('client_created', { clientId: id, detail: settings })
    if (!(await insertClient(audited(db, entry), newClientRow(metadata, { secretHash, now }))))
      throw idTaken(id)
  }
  const hasSecret = authMethodOf(metadata) === 'client_secret'
  const secret = hasSecret ? await handOutSecret(run, secretFile, insert) : undefined
  if (!secret) await insert(null)

  for (const warning of warnings) run.note(`note: ${warning}`)
  const { grant_types, scope, resources, resource_server, admin, refresh } = settings
  return {
    text: [
      `Created the ${metadata.public ? 'public' : 'confidential'} client ${id}`,
      facts({
        client_id: id,
        ...secret,
        'authenticates with': secret ? undefined : authMethodOf(metadata),
        private_key_file: keyFile,
        dpop: settings.dpop_bound_access_tokens ? 'required' : undefined,
        grants: grant_types.join(' '),
        scope: scope.join(' '),
        resources: resources.join(' '),
        'resource server of': resource_server.join(' '),
        admin: admin ? 'yes' : undefined,
        refresh: grant_types.includes('refresh_token') ? refresh : undefined,
      }),
      ...(secret ? [secretAdvice(secret)] : []),
    ].join('\n'),
    json: {
      client_id: id,
      ...secret,
      ...(keyFile !== undefined && { private_key_file: keyFile }),
      ...settings,
      token_endpoint_auth_method: methodName(authMethodOf(metadata)),
      created_at: now,
      disabled_at: null,
    },
  }
}

function rowOf(row: ClientTable): Row {
  const { grant_types, scope, resources, introspects, refresh_policy, auth_method, disabled_at } = row
  const kind = [
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
    json: describe(row),
  }
}

function describe(row: ClientTable) {
  const { auth_method, created_at, disabled_at, old_secret_expires_at, keys_expire_at } = row
  const token_endpoint_auth_method = methodName(auth_method)
  return {
    ...clientMetadata(row),
    token_endpoint_auth_method,
    created_at,
    disabled_at,
    old_secret_expires_at,
    keys_expire_at,
  }
}

/** RFC 7591 §2 has two names for what is one here. */
function methodName(method: AuthMethod): string {
  return method === 'client_secret' ? 'client_secret_basic' : method
}

const idTaken = (id: string) =>
  new CommandError(`there is a client ${id} already: \`mintmark client list\` shows it`)
