import { listStreams } from '../../db/push/streams.ts'
import type { StreamTable } from '../../db/schema.ts'
import type { ClientMetadata } from '../clients/properties.ts'
import { choice, list, text, type JsonKind } from '../clients/property-kinds.ts'
import { eventTypeNames, eventTypes, type EventTypeName } from '../protocol/security-events.ts'
import { endpointProblem, isText, takesText } from '../protocol/stream-configuration.ts'
import type { Changes } from '../record/events.ts'
import { streamsMax } from '../streams/streams.ts'
import { networks } from '../values/networks.ts'
import type { Admin } from './admin.ts'
import { refuseClientUnlessUnlimited } from './administrators.ts'
import { differencesOf } from './differences.ts'
import { eventNamesOf } from './streams.ts'

/**
 * A stream as a file declares it: it is known by its client and by where it is pushed to. The authorization
 * of its pushes, which is a secret, is set by `mintmark stream update`.
 */
export interface DeclaredStream {
  readonly client_id: string
  /** Null where its receiver fetches. */
  readonly push: string | null
  /** Null for the id of the client. */
  readonly audience: string | null
  readonly subjects: StreamTable['default_subjects']
  /** Null for all that there are. */
  readonly events: readonly EventTypeName[] | null
  readonly description: string | null
}

const isEventName = (name: string): name is EventTypeName => Object.hasOwn(eventTypes, name)

const eventList = list(isEventName, { takes: `events, of ${eventTypeNames.join(', ')}`, sentence: '' })

/** The forms of what a file says of a stream, beside its client. */
export const streamKinds = {
  push: text('the https URL that events are pushed to'),
  audience: text(takesText),
  subjects: choice(['ALL', 'NONE'], 'ALL'),
  events: {
    ...eventList,
    fallback: null,
    fromFile: declared => {
      const names = declared === null ? [] : eventList.fromFile(declared)
      return names && (names.length === 0 ? null : eventTypeNames.filter(name => names.includes(name)))
    },
  } satisfies JsonKind<readonly EventTypeName[] | null>,
  description: text(takesText),
}

/** What a plan calls a stream. */
export const streamName = ({ client_id, push }: Pick<DeclaredStream, 'client_id' | 'push'>) =>
  `${client_id} ${push ?? '(fetched)'}`

/** A stream as declared, and as it is. */
export interface PlannedStream {
  readonly name: string
  readonly declared: DeclaredStream
  readonly found: StreamTable | undefined
  readonly differences: Changes
}

/** Plans what changes of streams. `clients` are all clients, as they are then, by their ids. */
export async function planStreams(
  admin: Admin,
  declared: readonly DeclaredStream[],
  clients: ReadonlyMap<string, ClientMetadata>,
): Promise<{ readonly streams: readonly PlannedStream[]; readonly problems: readonly string[] }> {
  if (declared.length === 0) return { streams: [], problems: [] }
  const rows = await listStreams(admin.db)
  const problems: string[] = []
  const streams = declared.map(stream => {
    const name = streamName(stream)
    const same = rows.filter(row => row.client_id === stream.client_id && row.endpoint_url === stream.push)
    const found = same[0]
    if (same.length > 1)
      problems.push(`${name}: there are ${same.length} such streams, so which one is meant cannot be known`)
    const differences = differencesOf(found && declaredBy(found), withAudience(stream))
    problems.push(
      ...[...problemsOf(admin, stream, clients), ...fixedProblems(found, differences)].map(
        problem => `${name}: ${problem}`,
      ),
    )
    return { name, declared: stream, found, differences }
  })
  for (const [id, own] of Map.groupBy(streams, ({ declared }) => declared.client_id)) {
    const before = rows.filter(row => row.client_id === id).length
    if (before + own.filter(({ found }) => !found).length > streamsMax)
      problems.push(`${id}: a client has ${streamsMax} streams at the most`)
  }
  return { streams, problems }
}

const withAudience = (stream: DeclaredStream) => ({
  ...stream,
  audience: stream.audience ?? stream.client_id,
})

function declaredBy(row: StreamTable): DeclaredStream {
  return {
    client_id: row.client_id,
    push: row.endpoint_url,
    audience: row.audience,
    subjects: row.default_subjects,
    events: row.events_requested === null ? null : eventNamesOf(row),
    description: row.description,
  }
}

function problemsOf(
  admin: Admin,
  { client_id: id, push, ...stream }: DeclaredStream,
  clients: ReadonlyMap<string, ClientMetadata>,
): readonly string[] {
  const client = clients.get(id)
  if (!client) return [`there is no client ${id}`]
  refuseClientUnlessUnlimited(admin, client)
  const problem = push === null ? undefined : endpointProblem(push, networks(admin.config.deliveryNetworks))
  const texts = (['audience', 'description'] as const).filter(
    key => stream[key] !== null && !isText(stream[key]),
  )
  return [
    ...(client.resource_server.length === 0 && !client.admin
      ? [`the client ${id} serves no API (resource_server), so there is nothing that it may hear of`]
      : []),
    ...(problem === undefined ? [] : [problem.replace('endpoint_url', 'push')]),
    ...texts.map(key => `${key} takes ${takesText}`),
  ]
}

/** A stream keeps what its receiver has been told once. */
function fixedProblems(found: StreamTable | undefined, differences: Changes): readonly string[] {
  if (!found) return []
  return ['audience', 'subjects']
    .filter(name => name in differences)
    .map(name => `a stream keeps its ${name}: delete it first`)
}
