import type { StreamStatus, StreamTable } from '../../db/schema.ts'
import { findStreamDeliveries, type StreamDeliveries } from '../../db/push/stream-deliveries.ts'
import { findStream, listStreams as listStreamRows } from '../../db/push/streams.ts'
import { isAdmin } from '../clients/registry.ts'
import { Refusal } from '../errors.ts'
import { formatUuid, parseUuid } from '../protocol/secrets.ts'
import { eventTypeNames, eventTypes, type EventTypeName } from '../protocol/security-events.ts'
import {
  endpointProblem,
  isAuthorization,
  isText,
  takesAuthorization,
  takesText,
  type StreamDelivery,
} from '../protocol/stream-configuration.ts'
import type { Changes } from '../record/events.ts'
import { deliveredEvents, pollUrl } from '../streams/document.ts'
import * as streams from '../streams/streams.ts'
import { networks } from '../values/networks.ts'
import type { Admin } from './admin.ts'
import { clientToChange } from './clients.ts'
import { heedPrecondition } from './precondition.ts'

/** The parts of a stream that may be changed; those that are undefined stay. */
export interface StreamChanges {
  /** Where events are pushed to; null where the receiver fetches them. */
  readonly push?: string | null | undefined
  /** The `Authorization` of each push; null for none. It stays for the same address alone. */
  readonly authorization?: string | null | undefined
  /** null for all that there are. */
  readonly events?: readonly EventTypeName[] | null | undefined
  readonly description?: string | null | undefined
}

export interface NewStream extends StreamChanges {
  /** The client of the receiver. */
  readonly clientId: string
  /** The `aud` of its events; the id of the client, if undefined. */
  readonly audience?: string | undefined
  /** Whether it is about all users but those that are removed, or about those alone that are added. */
  readonly subjects?: StreamTable['default_subjects'] | undefined
}

/** Adds a stream. Refuses one of a client that may hear nothing, and an address that is none. */
export async function createStream(
  admin: Admin,
  { clientId, audience = clientId, subjects = 'ALL', ...changes }: NewStream,
): Promise<StreamTable> {
  const client = await clientToChange({ ...admin, precondition: undefined }, clientId)
  if (client.introspects === '' && !isAdmin(client)) {
    throw new Refusal(
      'invalid',
      `the client ${clientId} serves no API, so there is nothing that it may hear of`,
      '`mintmark client update ID --resource-server URI` makes it the client of a resource server',
      'client_id',
    )
  }
  if (!isText(audience)) throw new Refusal('invalid', `audience takes ${takesText}`, undefined, 'audience')
  const { delivery = { method: 'poll' }, ...settings } = settingsOf(admin, undefined, changes)
  const { eventsRequested = null, description = null } = settings
  const stream = await streams.createStream(admin, {
    clientId,
    audience,
    defaultSubjects: subjects,
    delivery,
    eventsRequested,
    description,
  })
  if (stream) return stream
  throw new Refusal(
    'conflict',
    `the client ${clientId} has ${streams.streamsMax} streams already, which is the most`,
    '`mintmark stream list --client ID` shows them',
  )
}

/** Changes a stream. Events that wait for it go the new way. */
export async function updateStream(
  admin: Admin,
  id: string,
  changes: StreamChanges,
): Promise<{ readonly stream: StreamTable; readonly differences: Changes }> {
  const before = await streamToChange(admin, id)
  const stream = await streams.changeStream(admin, before, settingsOf(admin, before, changes))
  if (!stream) throw noStream(id)
  return { stream, differences: streams.differencesOf(admin, before, stream) }
}

function settingsOf(
  { config }: Pick<Admin, 'config'>,
  before: StreamTable | undefined,
  { push, authorization, events, description }: StreamChanges,
): Parameters<typeof streams.changeStream>[2] {
  if (description && !isText(description))
    throw new Refusal('invalid', `description takes ${takesText}`, undefined, 'description')
  const url = push === undefined ? before?.endpoint_url : push
  const isOfDelivery = push !== undefined || authorization !== undefined
  return {
    ...(isOfDelivery && { delivery: deliveryOf({ config }, url ?? undefined, authorization) }),
    ...(events !== undefined && { eventsRequested: events && events.map(name => eventTypes[name]) }),
    ...(description !== undefined && { description }),
  }
}

function deliveryOf(
  { config }: Pick<Admin, 'config'>,
  endpointUrl: string | undefined,
  authorization: string | null | undefined,
): StreamDelivery {
  if (endpointUrl === undefined) {
    if (!authorization) return { method: 'poll' }
    throw new Refusal('invalid', 'authorization is of pushes: it goes with push', undefined, 'authorization')
  }
  const problem = endpointProblem(endpointUrl, networks(config.deliveryNetworks))
  if (problem !== undefined) {
    const advice = 'MINTMARK_DELIVERY_NETWORKS says which private networks may be pushed to'
    throw new Refusal('invalid', problem.replace('endpoint_url', 'push'), advice, 'push')
  }
  if (authorization && !isAuthorization(authorization))
    throw new Refusal('invalid', `authorization takes ${takesAuthorization}`, undefined, 'authorization')
  return { method: 'push', endpointUrl, authorization }
}

/** Pauses a stream, which holds what happens for a week; or goes on with it. Its receiver is told. */
export async function setStreamStatus(
  admin: Admin,
  id: string,
  status: StreamStatus,
  reason: string | undefined,
): Promise<StreamTable> {
  const before = await streamToChange(admin, id)
  if (reason !== undefined && !isText(reason))
    throw new Refusal('invalid', `reason takes ${takesText}`, undefined, 'reason')
  const stream = await streams.setStatus(admin, before, { status, reason: reason ?? null, isTold: true })
  if (!stream) throw noStream(id)
  return stream
}

/** Has a verification delivered: `stream show` says whether it arrives. */
export async function verifyStream(admin: Admin, id: string): Promise<StreamTable> {
  const stream = await streamToChange({ ...admin, precondition: undefined }, id)
  if (stream.status === 'disabled')
    throw new Refusal('conflict', 'the stream is disabled', `\`mintmark stream resume ${id}\` enables it`)
  if (await streams.requestVerification(admin, stream, undefined)) return stream
  throw new Refusal('conflict', 'it was verified within the last minute', 'try again soon')
}

/** Deletes a stream, with all that waits for it. */
export async function deleteStream(admin: Admin, id: string): Promise<StreamTable> {
  const stream = await streamToChange(admin, id)
  if (!(await streams.deleteStream(admin, stream))) throw noStream(id)
  return stream
}

/** All streams in the order in which they were made, or those of one client. */
export async function listStreams(
  { db }: Pick<Admin, 'db'>,
  filter: { readonly clientId?: string | undefined } = {},
): Promise<readonly StreamTable[]> {
  return listStreamRows(db, filter)
}

/** The stream of this id. Refuses an unknown one, and one that is not as the precondition says. */
export async function existingStream(
  admin: Pick<Admin, 'db' | 'precondition' | 'config'>,
  id: string,
): Promise<StreamTable> {
  const uuid = parseUuid(id)
  const found = uuid && (await findStream(admin.db, uuid))
  if (!found) throw noStream(id)
  heedPrecondition(admin, () => describeStream(admin, found))
  return found
}

/** The same, for an act that only some administrators may do to the streams of some clients. */
async function streamToChange(admin: Admin, id: string): Promise<StreamTable> {
  const stream = await existingStream(admin, id)
  await clientToChange({ ...admin, precondition: undefined }, stream.client_id)
  return stream
}

/** A stream, and how its delivery goes. */
export async function showStream(
  admin: Pick<Admin, 'db' | 'precondition' | 'config'>,
  id: string,
): Promise<{ readonly stream: StreamTable; readonly deliveries: StreamDeliveries }> {
  const stream = await existingStream(admin, id)
  return { stream, deliveries: await findStreamDeliveries(admin.db, stream.id) }
}

/** The document of a stream. Of its authorization it says whether there is one. */
export function describeStream({ config }: Pick<Admin, 'config'>, stream: StreamTable) {
  const { id, client_id, audience, method, endpoint_url, sealed_authorization } = stream
  return {
    stream_id: formatUuid(id),
    client_id,
    aud: audience,
    method,
    endpoint_url: endpoint_url ?? pollUrl(config.issuer, id),
    has_authorization: sealed_authorization !== null,
    events: eventNamesOf(stream),
    status: stream.status,
    status_reason: stream.status_reason,
    description: stream.description,
    subjects: stream.default_subjects,
    created_at: stream.created_at,
  }
}

/** The document of how the delivery goes. */
export function describeDeliveries({ waiting, oldestAt, failingSince, lastError }: StreamDeliveries) {
  return { waiting, oldest_at: oldestAt, failing_since_at: failingSince, last_error: lastError }
}

/** The events that are delivered, by the last part of their URIs. */
export function eventNamesOf(stream: StreamTable): readonly EventTypeName[] {
  const delivered = deliveredEvents(stream)
  return eventTypeNames.filter(name => delivered.includes(eventTypes[name]))
}

const noStream = (id: string) =>
  new Refusal('not_found', `there is no stream ${id}`, '`mintmark stream list` shows all')
