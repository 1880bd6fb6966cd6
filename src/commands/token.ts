import type { Command } from '@commander-js/extra-typings'
import {
  createToken,
  describePersonalToken,
  endToken,
  endTokensOf,
  listTokensOf,
} from '../admin/personal-tokens.ts'
import { personalTokenSeconds } from '../sessions/personal-tokens.ts'
import { formatCount, formatTime, printable } from '../values/formats.ts'
import { command, verb, type Terminal } from './shell/command.ts'
import { UsageError } from './shell/failures.ts'
import { duration, resourceUri, scopes, tokenId, username } from './shell/options.ts'
import { facts } from './shell/output.ts'

const { usual, least, most } = personalTokenSeconds

/** `mintmark token`: what users have made for their scripts. */
export function tokenCommands(program: Command, terminal: Terminal): void {
  const token = program
    .command('token')
    .description('personal access tokens: what users call an API with from scripts')

  verb(token, 'list', 'show the tokens of a user that live, the newest first', [
    'mintmark token list --user alice',
  ])
    .requiredOption('--user <name>', 'the name, or the sub', username)
    .action(
      command(terminal, async ({ open }, { user }) => {
        const tokens = (await listTokensOf(await open(), user)).map(describePersonalToken)
        return {
          columns: ['ID', 'NAME', 'API', 'SCOPE', 'CREATED', 'LAST USED', 'EXPIRES'],
          rows: tokens.map(json => ({
            cells: [
              json.id,
              printable(json.name),
              json.resource ?? '',
              json.scope.join(' '),
              formatTime(json.created_at),
              formatTime(json.last_used_at) || 'never',
              formatTime(json.expires_at),
            ],
            json,
          })),
          none: `The user ${user} has no personal access token.`,
        }
      }),
    )

  verb(token, 'create', 'make a token for a user, who is told by mail; it is shown this once', [
    'mintmark token create --user alice --name "nightly report" --resource https://api.example --scope read',
    'mintmark token create --user alice --name ci --resource https://api.example --scope read --expires-in 7d --json',
  ])
    .requiredOption('--user <name>', 'the name, or the sub', username)
    .requiredOption('--name <name>', 'what it is for')
    .requiredOption('--resource <uri>', 'the API that it is for, which must take such tokens', resourceUri)
    .option('--scope <scope...>', 'scopes of that API', scopes)
    .option(
      '--expires-in <duration>',
      'how long it lives: 90 days unless told, a year at the most',
      duration(least, most),
    )
    .addHelpText('after', '\nNo scope of administrators: that takes a second factor, which no command shows.')
    .action(
      command(terminal, async ({ open }, { scope = [], expiresIn = usual, ...wanted }) => {
        const created = await createToken(await open(), { ...wanted, scope, seconds: expiresIn })
        const { id, resource, expires_at } = created.token
        const told = {
          id,
          API: resource,
          scope: created.token.scope.join(' '),
          expires: formatTime(expires_at),
        }
        return {
          text: [
            `Created a personal access token of ${wanted.user}`,
            facts({ ...told, token: created.text }),
            'Keep the token now: it is not shown again, and only its hash is stored.',
          ].join('\n'),
          json: { ...created.token, token: created.text },
        }
      }),
    )

  verb(token, 'revoke', 'end one token of a user for good, or all of them', [
    'mintmark token revoke --user alice --id 01920e5c-9f3d-7c51-8a4e-0d7d7a3c2b11',
    'mintmark token revoke --user alice --all',
  ])
    .requiredOption('--user <name>', 'the name, or the sub', username)
    .option('--id <id>', 'this one', tokenId)
    .option('--all', 'all that the user has')
    .addHelpText(
      'after',
      '\nIt ends at once everywhere: introspection says so, and the status list and push tell of what was exchanged for it.',
    )
    .action(
      command(terminal, async ({ open }, { user, id, all = false }) => {
        if (all === (id !== undefined))
          throw new UsageError('say which tokens: one by --id, or --all of them')
        const admin = await open()
        if (id) {
          const json = await endToken(admin, user, id)
          return { text: `Ended the token ${json.id} of ${user}, ${printable(json.name)}.`, json }
        }
        const ended = await endTokensOf(admin, user)
        return { text: `Ended ${formatCount(ended, 'token')} of ${user}.`, json: { tokens_revoked: ended } }
      }),
    )
}
