import type { Command } from '@commander-js/extra-typings'
import { describeAuditEntry, followAudit, listAudit } from '../admin/audit.ts'
import { differencesOf } from '../admin/differences.ts'
import { formatTime } from '../values/formats.ts'
import { isObject } from '../values/json.ts'
import { command, verb, type Terminal } from './shell/command.ts'
import { drawDifferences } from './shell/differences.ts'
import { events, pastTime, sessionId, wholeNumber } from './shell/options.ts'
import type { Row } from './shell/output.ts'

/** `mintmark audit`: what has happened that matters to security. */
export function auditCommands(program: Command, terminal: Terminal): void {
  const audit = program
    .command('audit')
    .description('what has happened: log-ins, thefts, revocations, changes')

  verb(audit, 'list', 'show entries of the audit trail, the oldest first', [
    'mintmark audit list --since 24h',
    'mintmark audit list --since 2026-03-09 --user alice',
    'mintmark audit list --event session_theft client_secret_rotated --json',
  ])
    .option('--since <time>', 'from then on: an age like 24h, or a time', pastTime(terminal.clock))
    .option('--until <time>', 'before then', pastTime(terminal.clock))
    .option('--user <name>', 'about this user: the name or the sub')
    .option('--client <client_id>', 'about this client')
    .option('--session <sid>', 'about this session', sessionId)
    .option('--event <event...>', 'of these kinds', events)
    .option('--actor <name>', 'by this one, as the column BY has it')
    .option('--request <id>', 'of the request with this id')
    .action(
      command(terminal, async ({ open }, { event, request, ...choice }) => {
        const entries = await listAudit(await open(), { ...choice, events: event, requestId: request })
        return {
          columns: ['TIME', 'EVENT', 'USER', 'CLIENT_ID', 'FROM', 'BY', 'MORE'],
          rows: rowsOf(entries),
          none: 'There is no such entry.',
        }
      }),
    )

  verb(audit, 'tail', 'show the last entries, and each new one until it is interrupted', [
    'mintmark audit tail',
    'mintmark audit tail --event session_theft log_in_throttled --json',
  ])
    .option('--lines <count>', 'how many of the last ones', wholeNumber(0, 10_000), 10)
    .option('--user <name>', 'about this user: the name or the sub')
    .option('--client <client_id>', 'about this client')
    .option('--session <sid>', 'about this session', sessionId)
    .option('--event <event...>', 'of these kinds', events)
    .addHelpText('after', '\nWith --json, each entry is a document on a line of its own.')
    .action(
      command(terminal, async ({ open, stdout }, { lines, json, event, ...choice }) => {
        const entries = await followAudit(await open(), { ...choice, events: event }, { last: lines })
        for await (const { cells, json: document } of rowsOf(entries)) {
          const line = json ? JSON.stringify(document) : cells.filter(cell => cell !== '').join('  ')
          stdout.write(`${line}\n`)
        }
      }),
    )
}

/** An entry on one line, in words. */
export function auditLine(entry: ReturnType<typeof describeAuditEntry>): string {
  const [at = '', event = '', ...rest] = rowOf(entry).cells
  return [at, event.replaceAll('_', ' '), ...rest].filter(cell => cell !== '').join('  ')
}

type Entries = Awaited<ReturnType<typeof listAudit>>

async function* rowsOf(entries: Entries): AsyncGenerator<Row> {
  for await (const entry of entries) yield rowOf(describeAuditEntry(entry))
}

function rowOf(entry: ReturnType<typeof describeAuditEntry>): Row {
  const { at, event, actor, sub, username, client_id, address, count, detail } = entry
  const more = [...(count > 1 ? [`${count} times`] : []), ...wordsOf(detail)]
  return {
    cells: [
      formatTime(at),
      event,
      username ?? sub ?? '',
      client_id ?? '',
      address ?? '',
      actor,
      more.join(', '),
    ],
    json: entry,
  }
}

/**
 * `reason: the password is wrong`, `scope: read -> read write`. False and empty values go without saying;
 * the JSON has all.
 */
function wordsOf(detail: unknown): string[] {
  if (isDifference(detail) && isObject(detail.from) && isObject(detail.to))
    return drawDifferences(differencesOf(detail.from, detail.to))
  return Object.entries(Object(detail) as object).flatMap(([name, value]: [string, unknown]) => {
    // A new value has no `from`.
    const isNew = isDifference(value) && value.from === null
    if (isDifference(value) && !isNew) return drawDifferences({ [name]: value })
    const text = textOf(name, isNew ? value.to : value)
    return text === '' ? [] : [`${name.replaceAll('_', ' ')}: ${text}`]
  })
}

function textOf(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map(item => textOf(name, item)).join(' ')
  if (typeof value === 'number' && name.endsWith('_at')) return formatTime(value)
  return value === false || value === null || typeof value === 'object' ? '' : String(value)
}

function isDifference(value: unknown): value is { readonly from: unknown; readonly to: unknown } {
  return isObject(value) && 'from' in value && 'to' in value
}
