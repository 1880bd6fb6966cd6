import { Option, type Command } from '@commander-js/extra-typings'
import {
  changeResource,
  deleteResource,
  findResource,
  insertResource,
  listResources,
  type ResourceDeletion,
} from '../../../db/clients/resources.ts'
import type { ResourceTable } from '../../../db/schema.ts'
import { audited } from '../../../db/writer.ts'
import { algs, type ResourceMetadata } from '../../admin/declaration.ts'
import { changedColumns, resourceMetadata, resourceSettings } from '../../clients/registration.ts'
import { defaultAlg } from '../../keys/algorithms.ts'
import { formatDuration } from '../../values/duration.ts'
import { differencesOf, updated } from '../apply/difference.ts'
import { pendingAlgs, wordsForAlg, wordsForNewRing, type AlgChange } from '../key/rings.ts'
import { command, verb, type Terminal } from '../shell/command.ts'
import { CommandError } from '../shell/failures.ts'
import { accessTokenTtl, optional, resourceUri, scopes } from '../shell/options.ts'
import { facts, type Row, type TextAnswer } from '../shell/output.ts'

/** `mintmark resource`: the APIs that access tokens are for (RFC 8707). */
export function resourceCommands(program: Command, terminal: Terminal): void {
  const resource = program.command('resource').description('APIs that access tokens are for')

  verb(resource, 'create', 'add an API', [
    'mintmark resource create https://api.example --scope read write',
    'mintmark resource create https://old.example --scope read --alg RS256 --access-token-ttl 1m',
  ])
    .argument('<uri>', 'its absolute URI, which becomes the aud of its tokens', resourceUri)
    .requiredOption('--scope <scope...>', 'the scopes it knows', scopes)
    .addOption(
      new Option('--alg <alg>', 'the algorithm that signs its tokens')
        .choices(algs)
        .default('ES256' as const),
    )
    .option(
      '--access-token-ttl <duration>',
      "how long its tokens live, instead of the server's setting",
      accessTokenTtl,
    )
    .option('--no-status', 'leave out of its tokens where their status is listed')
    .action(
      command(terminal, async ({ open, clock, entry, note }, uri, { scope, alg, accessTokenTtl, status }) => {
        const installation = await open()
        const { config, db } = installation
        const aboutAlg = wordsForNewRing(alg, await listResources(db))
        if (uri === config.issuer) {
          throw new CommandError(
            'the issuer itself is the audience of tokens for no particular resource: name another URI',
          )
        }
        const created = {
          uri,
          scope: scope.join(' '),
          alg,
          access_token_seconds: accessTokenTtl ?? null,
          has_status: status ? 1 : 0,
          created_at: clock.now(),
        }
        const recorded = entry('resource_created', { detail: describe(created) })
        if (!(await insertResource(audited(db, recorded), { ...created, previous_alg: defaultAlg }))) {
          throw new CommandError(`the resource ${uri} exists already: \`mintmark resource list\` shows it`)
        }
        if (aboutAlg !== undefined) note(`note: ${aboutAlg}`)
        const ttl = formatDuration(created.access_token_seconds ?? config.accessTokenSeconds)
        const told = {
          scope: created.scope,
          alg,
          'access tokens live': ttl,
          'status list': status ? 'named in its tokens' : 'not named in its tokens',
        }
        const text = `Created the resource ${uri}\n${facts(told)}`
        return withAlgChange(
          { text, json: describe(created) },
          (await pendingAlgs(installation, clock.now())).get(uri),
        )
      }),
    )

  verb(resource, 'update', 'change an API; what is not given stays', [
    'mintmark resource update https://api.example --scope read write delete',
    'mintmark resource update https://api.example --alg RS256 --no-access-token-ttl',
  ])
    .argument('<uri>', 'its URI', resourceUri)
    .option('--scope <scope...>', 'the scopes it knows', scopes)
    .addOption(new Option('--alg <alg>', 'the algorithm that signs its tokens').choices(algs))
    .option('--access-token-ttl <duration>', 'how long its tokens live', accessTokenTtl)
    .option('--no-access-token-ttl', "as long as the server's setting says")
    .option('--status', 'say in its tokens where their status is listed')
    .option('--no-status', 'leave that out of its tokens')
    .action(
      command(terminal, async ({ open, clock, entry, note }, uri, { scope, alg, accessTokenTtl, status }) => {
        const installation = await open()
        const { db } = installation
        const found = await findResource(db, uri)
        if (!found) throw noResource(uri)
        const before = resourceMetadata(found)
        const after: ResourceMetadata = {
          uri,
          scope: scope ?? before.scope,
          alg: alg ?? before.alg,
          access_token_ttl: optional(accessTokenTtl, before.access_token_ttl),
          status: status ?? before.status,
        }
        const aboutAlg = wordsForNewRing(after.alg, await listResources(db))
        const settings = changedColumns(resourceSettings(before), resourceSettings(after))
        const differences = differencesOf(before, after)
        const changed = audited(db, entry('resource_changed', { detail: { uri, ...differences } }))
        if (Object.keys(settings).length > 0 && !(await changeResource(changed, uri, settings)))
          throw noResource(uri)
        if (aboutAlg !== undefined) note(`note: ${aboutAlg}`)
        const answer = updated('resource', uri, differences)
        return withAlgChange(answer, (await pendingAlgs(installation, clock.now())).get(uri))
      }),
    )

  verb(resource, 'list', 'show all APIs', ['mintmark resource list']).action(
    command(terminal, async ({ open }) => {
      const { config, db } = await open()
      const rowOf = (row: ResourceTable): Row => ({
        cells: [
          row.uri,
          row.previous_alg === null ? row.alg : `${row.alg} (still ${row.previous_alg})`,
          formatDuration(row.access_token_seconds ?? config.accessTokenSeconds),
          row.has_status === 1 ? 'yes' : 'no',
          row.scope,
        ],
        json: describe(row),
      })
      return {
        columns: ['URI', 'ALG', 'TOKENS LIVE', 'STATUS LIST', 'SCOPE'],
        rows: (await listResources(db)).map(rowOf),
        none: 'There is no resource yet: `mintmark resource create URI --scope …` adds one.',
      }
    }),
  )

  verb(resource, 'delete', 'remove an API', ['mintmark resource delete https://api.example'])
    .argument('<uri>', 'its URI', resourceUri)
    .option('--force', 'take it from the clients that use it')
    .action(
      command(terminal, async ({ open, entry }, uri, { force = false }) => {
        const { config, db } = await open()
        const found = await findResource(db, uri)
        const entriesOf = (result: unknown) =>
          (result as ResourceDeletion).kind === 'deleted'
            ? [entry('resource_deleted', { detail: { uri } })]
            : []
        const { kind, clients } = await deleteResource(audited(db, entriesOf), uri, { force })
        if (!found || kind === 'unknown') throw noResource(uri)
        const users = clients.join(', ')
        if (kind === 'used') {
          throw new CommandError(`${uri} is used by ${users}: --force takes it from them and deletes it`)
        }
        const ttl = formatDuration(found.access_token_seconds ?? config.accessTokenSeconds)
        const lines = [`Deleted the resource ${uri}. Tokens for it run out by themselves, within ${ttl}.`]
        if (users !== '')
          lines.push(`It was taken from ${users}. A client left without any gets tokens for the issuer.`)
        return { text: lines.join('\n'), json: { uri, deleted: true, taken_from: clients } }
      }),
    )
}

function describe({ access_token_seconds, has_status, ...resource }: Omit<ResourceTable, 'previous_alg'>) {
  return { ...resource, access_token_ttl: access_token_seconds, status: has_status === 1 }
}

/** An answer that also says when another algorithm signs, if it does not yet. */
function withAlgChange(answer: TextAnswer & { readonly json: object }, change: AlgChange | undefined) {
  if (!change) return answer
  return {
    text: `${answer.text}\n${wordsForAlg(change)}`,
    json: { ...answer.json, signs_with: change.previousAlg, alg_signs_from: change.at },
  }
}

const noResource = (uri: string) =>
  new CommandError(`there is no resource ${uri}: \`mintmark resource list\` shows all`)
