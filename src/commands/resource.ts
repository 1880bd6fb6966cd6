import { Option, type Command } from '@commander-js/extra-typings'
import {
  algs,
  createResource,
  deleteResource,
  describeResource,
  listResources,
  resourceKinds,
  updateResource,
} from '../admin/resources.ts'
import { parseYaml } from '../admin/yaml.ts'
import type { DetailTypes } from '../protocol/detail-types.ts'
import { formatDuration } from '../values/duration.ts'
import { describeAlgChange } from '../admin/pending-algs.ts'
import { drawAlgChange } from './alg-change.ts'
import { command, verb, type Run, type Terminal } from './shell/command.ts'
import { answerUpdate } from './shell/differences.ts'
import { CommandError } from './shell/failures.ts'
import { readInput } from './shell/input.ts'
import {
  accessTokenTtl,
  resourceScopes,
  resourceUri,
  toChange,
  toScopeChanges,
  wantedClaims,
} from './shell/options.ts'
import { facts } from './shell/output.ts'

const scopeHelp = 'all scopes it knows; with "read=Read it" what people are told that one means'

const claimsHelp =
  'what its tokens say of people beside who they are: roles, groups; lists even where they are empty'

const openHelp =
  'clients that no administrator has made, as agents are, may ask people for tokens for it (docs/mcp.md)'
const typesHelp =
  'a YAML or JSON file with the types of authorization details that it takes (docs/rich-authorization-requests.md)'

/** The types in the file of `--authorization-details-types`; undefined where nothing was said of them. */
async function toDetailTypes(run: Run, file: string | boolean | undefined): Promise<DetailTypes | undefined> {
  if (typeof file !== 'string') return file === false ? {} : undefined
  const { name, text } = await readInput(run, file)
  const types = resourceKinds.authorization_details_types.fromFile(await parseYaml(name, text))
  if (types) return types
  throw new CommandError(`${name} has no object with types by their names`)
}

/** `payment account`; undefined where it has none. */
function drawDetailTypes(resource: Parameters<typeof describeResource>[0]): string | undefined {
  return Object.keys(describeResource(resource).authorization_details_types).join(' ') || undefined
}

const personalHelp = 'take personal access tokens for it (docs/personal-access-tokens.md)'

/** The claims that `--claims` and `--no-claims` ask for; undefined where neither was given. */
function toClaims(given: readonly string[] | boolean | undefined): readonly string[] | undefined {
  if (typeof given === 'object') return given
  return given === false ? [] : undefined
}

/** `roles groups`; of a resource that has not said, what is so then. */
function drawClaims(resource: Parameters<typeof describeResource>[0]): string {
  const { claims } = describeResource(resource)
  return claims === null ? 'roles, if any' : claims.join(' ') || 'none'
}

const columns = ['URI', 'ALG', 'TOKENS LIVE', 'STATUS LIST', 'CLAIMS', 'OPEN', 'PERSONAL', 'DETAILS', 'SCOPE']

/** `mintmark resource`: the APIs that access tokens are for (RFC 8707). */
export function resourceCommands(program: Command, terminal: Terminal): void {
  const resource = program.command('resource').description('APIs that access tokens are for')

  verb(resource, 'create', 'add an API', [
    'mintmark resource create https://api.example --scope read write',
    'mintmark resource create https://api.example --scope "read=Read your orders" write',
    'mintmark resource create https://old.example --scope read --alg RS256 --access-token-ttl 1m',
  ])
    .argument('<uri>', 'its absolute URI, which becomes the aud of its tokens', resourceUri)
    .requiredOption('--scope <scope...>', scopeHelp, resourceScopes)
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
    .option('--claims <claim...>', claimsHelp, wantedClaims)
    .option('--no-claims', 'none of them')
    .option('--open', openHelp)
    .option('--personal-access-tokens', personalHelp)
    .option('--authorization-details-types <file>', typesHelp)
    .action(
      command(terminal, async (run, uri, { scope, alg, accessTokenTtl, status, claims, ...more }) => {
        const { note } = run
        const types = await toDetailTypes(run, more.authorizationDetailsTypes)
        const admin = await run.open()
        const settings = {
          alg,
          access_token_ttl: accessTokenTtl ?? null,
          status,
          claims: toClaims(claims) ?? null,
          open: more.open ?? false,
          personal_access_tokens: more.personalAccessTokens ?? false,
          authorization_details_types: types ?? {},
        }
        const declared = { uri, ...settings, ...toScopeChanges(scope) }
        const { resource, warning, algChange } = await createResource(admin, declared)
        if (warning !== undefined) note(`note: ${warning}`)
        const ttl = formatDuration(resource.access_token_seconds ?? admin.config.accessTokenSeconds)
        const told = {
          scope: drawScopes(resource),
          alg,
          'access tokens live': ttl,
          'status list': status ? 'named in its tokens' : 'not named in its tokens',
          claims: drawClaims(resource),
          open: more.open ? 'to clients that no administrator has made' : undefined,
          'personal access tokens': more.personalAccessTokens ? 'may be made' : undefined,
          'authorization details': drawDetailTypes(resource),
        }
        const lines = [`Created the resource ${uri}`, facts(told)]
        if (algChange) lines.push(drawAlgChange(algChange))
        return { text: lines.join('\n'), json: describeResource(resource, algChange) }
      }),
    )

  verb(resource, 'update', 'change an API; what is not given stays', [
    'mintmark resource update https://api.example --scope read write "delete=Delete your orders"',
    'mintmark resource update https://api.example --alg RS256 --no-access-token-ttl',
  ])
    .argument('<uri>', 'its URI', resourceUri)
    .option(
      '--scope <scope...>',
      `${scopeHelp}; those that it had are kept, empty ones removed`,
      resourceScopes,
    )
    .addOption(new Option('--alg <alg>', 'the algorithm that signs its tokens').choices(algs))
    .option('--access-token-ttl <duration>', 'how long its tokens live', accessTokenTtl)
    .option('--no-access-token-ttl', "as long as the server's setting says")
    .option('--status', 'say in its tokens where their status is listed')
    .option('--no-status', 'leave that out of its tokens')
    .option('--claims <claim...>', claimsHelp, wantedClaims)
    .option('--no-claims', 'none of them')
    .option('--open', openHelp)
    .option('--personal-access-tokens', personalHelp)
    .option('--authorization-details-types <file>', `${typesHelp}; all that it had are replaced`)
    .option('--no-open', 'only clients that an administrator has made')
    .option('--no-personal-access-tokens', 'take none, not those that there are either')
    .option('--no-authorization-details-types', 'none of them')
    .action(
      command(terminal, async (run, uri, { scope, alg, accessTokenTtl, status, claims, ...more }) => {
        const { open, note } = run
        const access_token_ttl = toChange(accessTokenTtl)
        const { open: isOpen, personalAccessTokens: personal_access_tokens } = more
        const ofPeople = { claims: toClaims(claims), open: isOpen, personal_access_tokens }
        const authorization_details_types = await toDetailTypes(run, more.authorizationDetailsTypes)
        const settings = { alg, access_token_ttl, status, authorization_details_types, ...ofPeople }
        const changes = { ...settings, ...(scope && toScopeChanges(scope)) }
        const { differences, warning, algChange } = await updateResource(await open(), uri, changes)
        if (warning !== undefined) note(`note: ${warning}`)
        const { text, json } = answerUpdate('resource', uri, differences)
        return {
          text: algChange ? `${text}\n${drawAlgChange(algChange)}` : text,
          json: { ...json, ...describeAlgChange(algChange) },
        }
      }),
    )

  verb(resource, 'list', 'show all APIs', ['mintmark resource list']).action(
    command(terminal, async ({ open }) => {
      const admin = await open()
      const resources = await listResources(admin)
      return {
        columns,
        rows: resources.map(row => ({
          cells: [
            row.uri,
            row.previous_alg === null ? row.alg : `${row.alg} (still ${row.previous_alg})`,
            formatDuration(row.access_token_seconds ?? admin.config.accessTokenSeconds),
            row.has_status === 1 ? 'yes' : 'no',
            drawClaims(row),
            row.is_open === 1 ? 'yes' : 'no',
            row.personal_access_tokens === 1 ? 'yes' : 'no',
            drawDetailTypes(row) ?? 'none',
            drawScopes(row),
          ],
          json: describeResource(row),
        })),
        none: 'There is no resource yet: `mintmark resource create URI --scope …` adds one.',
      }
    }),
  )

  verb(resource, 'delete', 'remove an API', ['mintmark resource delete https://api.example'])
    .argument('<uri>', 'its URI', resourceUri)
    .option('--force', 'take it from the clients that use it')
    .action(
      command(terminal, async ({ open }, uri, { force = false }) => {
        const admin = await open()
        const { resource, takenFrom } = await deleteResource(admin, uri, { force })
        const ttl = formatDuration(resource.access_token_seconds ?? admin.config.accessTokenSeconds)
        const lines = [`Deleted the resource ${uri}. Tokens for it run out by themselves, within ${ttl}.`]
        if (takenFrom.length > 0) {
          lines.push(
            `It was taken from ${takenFrom.join(', ')}. A client left without any gets tokens for the issuer.`,
          )
        }
        return { text: lines.join('\n'), json: { uri, deleted: true, taken_from: takenFrom } }
      }),
    )
}

/** `read (Read your orders) write` */
function drawScopes(resource: Parameters<typeof describeResource>[0]): string {
  const { scope, scope_words: words } = describeResource(resource)
  return scope.map(name => (Object.hasOwn(words, name) ? `${name} (${words[name]})` : name)).join(' ')
}
