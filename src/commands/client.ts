import { Option, type Command } from '@commander-js/extra-typings'
import {
  deleteClient,
  disableClient,
  enableClient,
  findClient,
  insertClient,
  listClients,
  rotateClientSecret,
} from '../../db/clients.ts'
import { audited } from '../../db/audit.ts'
import type { ClientTable, Database } from '../../db/database.ts'
import type { Ending } from '../../db/endings.ts'
import { logRevocation } from '../audit.ts'
import { grantTypes, refreshPolicies, type ClientMetadata } from '../protocol/client-metadata.ts'
import { formatDuration } from '../protocol/duration.ts'
import { clientMetadata, judgeNewClient, newClientRow } from '../registration.ts'
import { clientUpdateCommand } from './client-update.ts'
import { command, verb, type Run, type Terminal } from './command.ts'
import { CommandError, UsageError } from './failures.ts'
import { duration, grants, origins, refreshTtl, resourceUris, scopes } from './options.ts'
import { handOutSecret, secretAdvice } from './new-secret.ts'
import { facts, formatTime, type Row } from './output.ts'
import { writeEnds } from './revocation.ts'

const day = 86_400

/** `mintmark client`: the apps that ask for tokens, and the resource servers that introspect them. */
export function clientCommands(program: Command, terminal: Terminal): void {
  const client = program.command('client').description('apps that ask for tokens')

  verb(client, 'create', 'add a client, and show its secret once', [
    'mintmark client create --id web --public --grant password refresh_token --resource https://api.example --scope read',
    'mintmark client create --id nightly --grant client_credentials --resource https://api.example --scope read',
    'mintmark client create --id api --resource-server https://api.example --secret-file api.secret',
    'mintmark client create --id ops --admin --grant client_credentials',
  ])
    .requiredOption('--id <client_id>', 'its client_id')
    .option('--public', 'it cannot keep a secret: a browser or mobile app')
    .option('--grant <grant...>', `what it may ask tokens with: ${grantTypes.join(', ')}`, grants)
    .option('--scope <scope...>', 'the scopes it may ask for', scopes)
    .option('--resource <uri...>', 'the APIs it may ask tokens for; the first is the default', resourceUris)
    .option('--resource-server <uri...>', 'the APIs it serves: it may introspect their tokens', resourceUris)
    .option('--admin', "it may introspect and revoke everybody's tokens")
    .addOption(
      new Option('--refresh <policy>', 'rotate, strict (no retry), or reuse (no rotation)')
        .choices(refreshPolicies)
        .default('rotate' as const),
    )
    .option('--refresh-idle-ttl <duration>', 'how long a session lives without a refresh', refreshTtl)
    .option('--refresh-absolute-ttl <duration>', 'how long a session lives at the most', refreshTtl)
    .option('--forwards-user-address', "it sends its user's address with each log-in (header Forwarded)")
    .option('--cors-origin <origin...>', 'the origins of its pages, if not those of the server', origins)
    .option('--secret-file <file>', 'write the secret there (mode 0600) instead of showing it')
    .action(
      command(terminal, async (run, options) => {
        const { db } = await run.open()
        const metadata: ClientMetadata = {
          client_id: options.id,
          public: options.public ?? false,
          grant_types: options.grant ?? [],
          scope: options.scope ?? [],
          resources: options.resource ?? [],
          resource_server: options.resourceServer ?? [],
          admin: options.admin ?? false,
          refresh: options.refresh,
          refresh_idle_ttl: options.refreshIdleTtl ?? null,
          refresh_absolute_ttl: options.refreshAbsoluteTtl ?? null,
          forwards_user_address: options.forwardsUserAddress ?? false,
          cors_origins: options.corsOrigin ?? [],
        }
        if (metadata.public && options.secretFile !== undefined) {
          throw new UsageError('a public client has no secret to write to a file')
        }
        return createClient(run, db, metadata, options.secretFile)
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

  verb(client, 'rotate-secret', 'give a client a new secret, and show it once', [
    'mintmark client rotate-secret nightly --keep-old 24h',
    'mintmark client rotate-secret nightly --keep-old 1h --secret-file nightly.secret',
  ])
    .argument('<client_id>')
    .option(
      '--keep-old <duration>',
      'how long the old secret still works; without it ends now',
      duration(1, 90 * day),
    )
    .option('--secret-file <file>', 'write the secret there (mode 0600) instead of showing it')
    .action(
      command(terminal, async (run, id, { keepOld, secretFile }) => {
        const { db } = await run.open()
        const found = await existingClient(db, id)
        if (!found.secret_hash) throw new CommandError(`the client ${id} is public, so it has no secret`)
        const oldExpiresAt = keepOld === undefined ? null : run.now() + keepOld
        const secret = await handOutSecret(run, secretFile, async secretHash => {
          const entry = run.entry('client_secret_rotated', {
            clientId: id,
            detail: { old_secret_expires_at: oldExpiresAt },
          })
          if (!(await rotateClientSecret(audited(db, entry), id, { secretHash, oldExpiresAt })))
            throw noClient(id)
        })
        const oldWorks =
          keepOld === undefined
            ? 'The old secret is refused from now on.'
            : `The old secret works for another ${formatDuration(keepOld)}, until ${formatTime(oldExpiresAt)}.`
        return {
          text: [
            `Gave the client ${id} a new secret.`,
            facts({ client_id: id, ...secret }),
            oldWorks,
            secretAdvice(secret),
          ].join('\n'),
          json: { client_id: id, ...secret, old_secret_expires_at: oldExpiresAt },
        }
      }),
    )

  verb(client, 'disable', 'refuse a client from now on, and end its sessions', [
    'mintmark client disable web',
  ])
    .argument('<client_id>')
    .action(
      command(terminal, async (run, id) => {
        const { db } = await run.open()
        const found = await existingClient(db, id)
        const disabledAt = run.now()
        const entry = run.entry('client_disabled', { clientId: id })
        const ending = await disableClient(audited(db, entry), id, disabledAt)
        if (!ending) throw noClient(id)
        tellRevoked(run, id, ending)
        await writeEnds(run, db, ending)
        return {
          text: `Disabled the client ${id}. Its sessions have ended; \`mintmark client enable ${id}\` allows new ones.`,
          json: describe({ ...found, disabled_at: disabledAt }),
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
        const { db } = await run.open()
        const found = await existingClient(db, id)
        const entry = run.entry('client_deleted', { clientId: id })
        const ending = await deleteClient(audited(db, entry), id, run.now())
        if (!ending) throw noClient(id)
        tellRevoked(run, id, ending)
        await writeEnds(run, db, ending)
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
  secretFile: string | undefined,
) {
  const { client_id: id, ...settings } = metadata
  const { refusals, warnings } = await judgeNewClient(db, metadata)
  if (refusals.length > 0) throw new CommandError(refusals.join('\n'))
  if (await findClient(db, id)) throw idTaken(id)

  const now = run.now()
  const insert = async (secretHash: Buffer | null) => {
    const entry = run.entry('client_created', { clientId: id, detail: settings })
    if (!(await insertClient(audited(db, entry), newClientRow(metadata, { secretHash, now }))))
      throw idTaken(id)
  }
  const secret = metadata.public ? undefined : await handOutSecret(run, secretFile, insert)
  if (!secret) await insert(null)

  for (const warning of warnings) run.note(`note: ${warning}`)
  const { grant_types, scope, resources, resource_server, admin, refresh } = settings
  return {
    text: [
      `Created the ${metadata.public ? 'public' : 'confidential'} client ${id}`,
      facts({
        client_id: id,
        ...secret,
        grants: grant_types.join(' '),
        scope: scope.join(' '),
        resources: resources.join(' '),
        'resource server of': resource_server.join(' '),
        admin: admin ? 'yes' : undefined,
        refresh: grant_types.includes('refresh_token') ? refresh : undefined,
      }),
      ...(secret ? [secretAdvice(secret)] : []),
    ].join('\n'),
    json: { client_id: id, ...secret, ...settings, created_at: now, disabled_at: null },
  }
}

function rowOf(row: ClientTable): Row {
  const { grant_types, scope, resources, introspects, refresh_policy, disabled_at } = row
  const kind = row.is_admin ? 'admin' : row.secret_hash ? 'confidential' : 'public'
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
  const { created_at, disabled_at, old_secret_expires_at } = row
  return { ...clientMetadata(row), created_at, disabled_at, old_secret_expires_at }
}

async function existingClient(db: Database, id: string): Promise<ClientTable> {
  const found = await findClient(db, id)
  if (!found) throw noClient(id)
  return found
}

const idTaken = (id: string) =>
  new CommandError(`there is a client ${id} already: \`mintmark client list\` shows it`)

function tellRevoked({ log }: Run, id: string, { reason, ended_at }: Ending): void {
  logRevocation(log, { event: 'client_revoked', client_id: id }, { reason, at: ended_at })
}

const noClient = (id: string) =>
  new CommandError(`there is no client ${id}: \`mintmark client list\` shows all`)
