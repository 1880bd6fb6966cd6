import type { Command } from '@commander-js/extra-typings'
import { explainRequest } from '../admin/explain-request.ts'
import { describeExplained, explainLogIn } from '../admin/explain.ts'
import { formatTime } from '../values/formats.ts'
import { auditLine } from './audit.ts'
import { command, verb, type Run, type Terminal } from './shell/command.ts'
import { CommandError, UsageError } from './shell/failures.ts'
import type { TextAnswer } from './shell/output.ts'

const help = `
With a user and a client, and perhaps a resource: the claims of the tokens that such a log-in would get, made by what makes
those, and the rule that has put each there. Nothing is stored, and no token made.

With the id of a request, as each answer has it in \`x-request-id\` and each page of an error shows it: what the audit trail
knows of it, and with --log what those logs of servers do.`

const titles = { access_token: 'Access token', id_token: 'ID token', userinfo: '/userinfo' } as const

/** `mintmark explain`: what a log-in would get, and what became of a request. */
export function explainCommand(program: Command, terminal: Terminal): void {
  verb(
    program,
    'explain',
    'say what the tokens of a log-in would tell and why, or what became of a request',
    [
      'mintmark explain alice web',
      'mintmark explain alice web https://api.example --scope "openid profile read"',
      'mintmark explain req-1f --log server.log',
    ],
  )
    .argument('<user-or-request-id>', 'a name to log in with, or the id of a request')
    .argument('[client]', 'the client_id, for a user')
    .argument('[resource]', 'the URI of one of its resources; the default without it')
    .option('--scope <scope>', "what is asked for; all of the client's without it")
    .option('--log <file...>', 'logs of servers, for a request')
    .addHelpText('after', help)
    .action(
      command(terminal, async (run, first, client, resource, { scope, log = [] }) => {
        if (client === undefined) {
          if (scope !== undefined) throw new UsageError('--scope goes with a user and a client')
          return explainOne(run, first, log)
        }
        if (log.length > 0) throw new UsageError('--log goes with the id of a request')
        const explained = await explainLogIn(await run.open(), { user: first, client, resource, scope })
        const drawn = explained.tokens.map(({ place, claims }) => {
          const width = Math.max(...claims.map(({ name }) => name.length))
          const lines = claims.map(
            ({ name, value, rule }) =>
              `  ${name.padEnd(width)}  ${JSON.stringify(value)}\n  ${' '.repeat(width)}    ${rule}`,
          )
          return [titles[place], ...lines].join('\n')
        })
        const notes = explained.notes.map(note => `note: ${note}`)
        return { text: [...drawn, ...notes].join('\n\n'), json: describeExplained(explained) }
      }),
    )
}

async function explainOne(run: Run, id: string, logs: readonly string[]): Promise<TextAnswer> {
  const { audit, log } = await explainRequest(await run.open(), id, logs)
  if (audit.length + log.length === 0) {
    const where = logs.length > 0 ? 'the logs given, or the audit trail,' : 'the audit trail'
    throw new CommandError(
      `${where} knows no request ${id}: the log of the server that answered may: --log FILE; of a user, name the client too`,
    )
  }
  const lines = [
    ...log.map(entry => `${timeOf(entry['time'])}  ${logWords(entry)}`),
    ...audit.map(entry => auditLine(entry)),
  ]
  return { text: lines.join('\n'), json: { request_id: id, audit, log } }
}

function timeOf(time: unknown): string {
  return typeof time === 'number' ? formatTime(Math.floor(time / 1000)) : ''
}

/** What a line says, and the facts that go with it. */
function logWords(entry: Readonly<Record<string, unknown>>): string {
  const { level: _, time: __, reqId: ___, msg, ...facts } = entry
  const told = Object.entries(facts).map(
    ([name, value]) =>
      `${name.replaceAll('_', ' ')}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return [String(msg ?? ''), ...told].join(', ')
}
