import { Option, type Command } from '@commander-js/extra-typings'
import {
  createStream,
  deleteStream,
  describeDeliveries,
  describeStream,
  listStreams,
  setStreamStatus,
  showStream,
  updateStream,
  verifyStream,
} from '../admin/streams.ts'
import { eventTypeNames } from '../protocol/security-events.ts'
import { formatCount, formatTime } from '../values/formats.ts'
import { command, verb, type Run, type Terminal } from './shell/command.ts'
import { answerUpdate } from './shell/differences.ts'
import { readInput } from './shell/input.ts'
import { facts } from './shell/output.ts'

const eventsHelp = `the events that it gets, of ${eventTypeNames.join(', ')}`
const authorizationHelp = 'read the Authorization header of each push from a file, or with - from stdin'
const idHelp = 'its id, as `mintmark stream list` shows it'

/** `mintmark stream`: what other servers are told by Shared Signals (SSF 1.0). */
export function streamCommands(program: Command, terminal: Terminal): void {
  const stream = program.command('stream').description('what other servers are told (Shared Signals)')

  verb(stream, 'create', 'have a receiver told of what happens to the users of its API', [
    'mintmark stream create --client orders-api --push https://orders.example/events --authorization-file token.txt',
    'mintmark stream create --client orders-api --event session-revoked account-disabled',
  ])
    .requiredOption('--client <client_id>', 'the client of the receiver, made with --resource-server')
    .option('--push <url>', 'where events are pushed to; without it the receiver fetches them')
    .option('--authorization-file <file>', authorizationHelp)
    .addOption(new Option('--event <event...>', `${eventsHelp}; all unless told`).choices(eventTypeNames))
    .option('--audience <aud>', 'the aud of its events; the client_id unless told')
    .addOption(
      new Option('--subjects <which>', 'which users it is about, before its receiver adds or removes some')
        .choices(['all', 'none'])
        .default('all' as const),
    )
    .option('--description <text>', 'what it is for')
    .action(
      command(terminal, async (run, { client, subjects, event, authorizationFile, ...given }) => {
        const authorization = await readAuthorization(run, authorizationFile)
        const admin = await run.open()
        const created = await createStream(admin, {
          ...given,
          clientId: client,
          events: event,
          authorization,
          subjects: subjects === 'all' ? 'ALL' : 'NONE',
        })
        const json = describeStream(admin, created)
        const { stream_id, endpoint_url, method, events } = json
        const way = method === 'push' ? { 'pushed to': endpoint_url } : { 'fetched at': endpoint_url }
        return {
          text: `Created the stream ${stream_id}\n${facts({ client, ...way, events: events.join(' ') })}`,
          json,
        }
      }),
    )

  verb(stream, 'list', 'show all streams, and which of them get nothing', [
    'mintmark stream list',
    'mintmark stream list --client orders-api',
  ])
    .option('--client <client_id>', 'of this client alone')
    .action(
      command(terminal, async ({ open }, { client }) => {
        const admin = await open()
        return {
          columns: ['ID', 'CLIENT', 'METHOD', 'STATUS', 'DESCRIPTION'],
          rows: (await listStreams(admin, { clientId: client })).map(row => {
            const json = describeStream(admin, row)
            const status = json.status_reason === null ? json.status : `${json.status}: ${json.status_reason}`
            return {
              cells: [json.stream_id, json.client_id, json.method, status, json.description ?? ''],
              json,
            }
          }),
          none: 'There is no stream yet: `mintmark stream create` makes one, or a receiver does by itself.',
        }
      }),
    )

  verb(stream, 'show', 'show one stream, and how its delivery goes', ['mintmark stream show ID'])
    .argument('<id>', idHelp)
    .action(
      command(terminal, async ({ open }, id) => {
        const admin = await open()
        const { stream, deliveries } = await showStream(admin, id)
        const json = { ...describeStream(admin, stream), ...describeDeliveries(deliveries) }
        return { text: `The stream ${id}\n${facts(factsOf(json))}`, json }
      }),
    )

  verb(stream, 'update', 'change a stream; what is not given stays', [
    'mintmark stream update ID --push https://orders.example/v2/events --authorization-file token.txt',
    'mintmark stream update ID --event session-revoked',
    'mintmark stream update ID --no-push',
  ])
    .argument('<id>', idHelp)
    .option('--push <url>', 'where events are pushed to')
    .option('--no-push', 'the receiver fetches them')
    .option('--authorization-file <file>', authorizationHelp)
    .option('--no-authorization', 'push without one')
    .addOption(new Option('--event <event...>', eventsHelp).choices(eventTypeNames))
    .option('--all-events', 'all that there are')
    .option('--description <text>', 'what it is for')
    .action(
      command(terminal, async (run, id, { push, event, allEvents, description, ...given }) => {
        const read = await readAuthorization(run, given.authorizationFile)
        const { differences } = await updateStream(await run.open(), id, {
          push: typeof push === 'string' ? push : push === false ? null : undefined,
          authorization: read ?? (given.authorization === false ? null : undefined),
          events: allEvents ? null : event,
          description,
        })
        return answerUpdate('stream', id, differences)
      }),
    )

  statusCommand(stream, terminal, 'pause', 'hold what happens back, for a week')
  statusCommand(stream, terminal, 'resume', 'deliver again, and what was held first')

  verb(stream, 'verify', 'send a verification, to see whether events arrive', ['mintmark stream verify ID'])
    .argument('<id>', idHelp)
    .action(
      command(terminal, async ({ open }, id) => {
        await verifyStream(await open(), id)
        return {
          text: `A verification is on its way. \`mintmark stream show ${id}\` says whether it waits, and why.`,
          json: { stream_id: id, requested: true },
        }
      }),
    )

  verb(stream, 'delete', 'remove a stream, with all that waits for it', ['mintmark stream delete ID'])
    .argument('<id>', idHelp)
    .action(
      command(terminal, async ({ open }, id) => {
        await deleteStream(await open(), id)
        return { text: `Deleted the stream ${id}.`, json: { stream_id: id, deleted: true } }
      }),
    )
}

function statusCommand(
  stream: ReturnType<Command['command']>,
  terminal: Terminal,
  name: 'pause' | 'resume',
  description: string,
): void {
  const isPause = name === 'pause'
  verb(stream, name, description, [`mintmark stream ${name} ID${isPause ? ' --reason "moving house"' : ''}`])
    .argument('<id>', idHelp)
    .option('--reason <text>', 'why, as its receiver is told')
    .action(
      command(terminal, async ({ open }, id, { reason }) => {
        const admin = await open()
        const json = describeStream(
          admin,
          await setStreamStatus(admin, id, isPause ? 'paused' : 'enabled', reason),
        )
        const done = isPause
          ? `Paused the stream ${id}. What happens is held for a week: \`mintmark stream resume ${id}\` delivers it.`
          : `The stream ${id} goes on.`
        return { text: done, json }
      }),
    )
}

/** One line break at the end of the file does not count. */
async function readAuthorization(run: Run, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  return (await readInput(run, file)).text.replace(/\r?\n$/, '')
}

type Shown = ReturnType<typeof describeStream> & ReturnType<typeof describeDeliveries>

function factsOf(json: Shown): Readonly<Record<string, string | null>> {
  return {
    client: json.client_id,
    aud: json.aud,
    [json.method === 'push' ? 'pushed to' : 'fetched at']: json.endpoint_url,
    authorization: json.has_authorization ? 'set' : null,
    events: json.events.join(' '),
    subjects: json.subjects === 'ALL' ? 'all users' : 'those that were added',
    status: json.status,
    because: json.status_reason,
    description: json.description,
    waiting: formatCount(json.waiting, 'event'),
    'oldest since': json.oldest_at === null ? null : formatTime(json.oldest_at),
    'failing since': json.failing_since_at === null ? null : formatTime(json.failing_since_at),
    'last error': json.last_error,
  }
}
