import type { Command } from '@commander-js/extra-typings'
import type { Database } from '../../db/database.ts'
import {
  latestAuditEntries,
  listAuditEntries,
  type AuditFilter,
  type ListedAuditEntry,
} from '../../db/installation/audit.ts'
import { findUser } from '../../db/users/users.ts'
import type { Clock } from '../clock.ts'
import { formatUuid, parseUuid } from '../protocol/secrets.ts'
import { formatTime } from '../values/formats.ts'
import { isObject } from '../values/json.ts'
import { differencesOf } from '../admin/differences.ts'
import { drawDifferences } from './shell/differences.ts'
import { command, verb, type Terminal } from './shell/command.ts'
import { CommandError } from './shell/failures.ts'
import { events, pastTime, sessionId, wholeNumber } from './shell/options.ts'
import { type Row } from './shell/output.ts'

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
    .action(
      command(terminal, async (run, options) => {
        const { db } = await run.open()
        const filter = await filterOf(db, options)
        return {
          columns: ['TIME', 'EVENT', 'USER', 'CLIENT_ID', 'FROM', 'BY', 'MORE'],
          rows: rowsOf(listAuditEntries(db, filter)),
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
      command(terminal, async (run, { lines, json, ...options }) => {
        const { db } = await run.open()
        const filter = await filterOf(db, options)
        for await (const entry of follow(db, filter, { lines, clock: run.clock })) {
          const { cells, json: document } = rowOf(entry)
          const line = json ? JSON.stringify(document) : cells.filter(cell => cell !== '').join('  ')
          terminal.stdout.write(`${line}\n`)
        }
      }),
    )
}

interface Choice {
  readonly since?: number | undefined
  readonly until?: number | undefined
  readonly user?: string | undefined
  readonly client?: string | undefined
  readonly session?: Buffer | undefined
  readonly event?: readonly string[] | undefined
}

/** A client or a user with a `sub` may be gone by now: entries about them are shown all the same. */
async function filterOf(
  db: Database,
  { since, until, user, client, session, event }: Choice,
): Promise<AuditFilter> {
  const userId = user === undefined ? undefined : await userIdOf(db, user)
  return {
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
    ...(userId !== undefined && { userId }),
    ...(client !== undefined && { clientId: client }),
    ...(session !== undefined && { sessionId: session }),
    ...(event !== undefined && { events: event }),
  }
}

async function userIdOf(db: Database, text: string): Promise<Buffer> {
  const id = parseUuid(text.toLowerCase()) ?? (await findUser(db, text.normalize('NFC')))?.id
  if (!id) throw new CommandError(`there is no user ${text}: of one that was deleted, name the sub`)
  return id
}

/** How often it is looked for new entries. */
const pauseSeconds = 0.5

/** A count of a flood is written up to a minute after what it counts, and transactions may overtake each other. */
const latestSeconds = 90

/** The last entries and, without end, each one that is written from then on. */
async function* follow(
  db: Database,
  filter: AuditFilter,
  { lines, clock }: { readonly lines: number; readonly clock: Clock },
): AsyncGenerator<ListedAuditEntry> {
  let since = clock.now() - latestSeconds
  const seen = new Map<number, number>()
  for await (const { id, at } of listAuditEntries(db, { ...filter, since })) seen.set(id, at)
  const latest = await latestAuditEntries(db, filter, lines)
  // One that has come in between is new.
  yield* latest.filter(({ id, at }) => at < since || seen.has(id))
  for (;;) {
    for await (const entry of listAuditEntries(db, { ...filter, since })) {
      if (!seen.has(entry.id)) yield entry
      seen.set(entry.id, entry.at)
    }
    since = clock.now() - latestSeconds
    for (const [id, at] of seen) if (at < since) seen.delete(id)
    await clock.pause(pauseSeconds)
  }
}

async function* rowsOf(entries: AsyncIterable<ListedAuditEntry>): AsyncGenerator<Row> {
  for await (const entry of entries) yield rowOf(entry)
}

function rowOf(entry: ListedAuditEntry): Row {
  const { at, event, actor, user_id, username, client_id, session_id, address, request_id, count } = entry
  const sub = user_id && formatUuid(user_id)
  const detail: unknown = entry.detail === null ? {} : JSON.parse(entry.detail)
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
    json: {
      at,
      event,
      actor,
      sub,
      username,
      client_id,
      sid: session_id && formatUuid(session_id),
      address,
      request_id,
      count,
      detail,
    },
  }
}

/** `reason: the password is wrong`, `scope: read -> read write`. What is false or empty goes without saying; the JSON has all. */
function wordsOf(detail: unknown): string[] {
  if (isDifference(detail) && isObject(detail.from) && isObject(detail.to))
    return drawDifferences(differencesOf(detail.from, detail.to))
  return Object.entries(Object(detail) as object).flatMap(([name, value]: [string, unknown]) => {
    // What was made anew has no `from`.
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
