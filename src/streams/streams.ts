import type { NewDelivery } from '../../db/push/deliveries.ts'
import { laneOf, lanesOf } from '../../db/push/stream-lanes.ts'
import { setSubject, type SubjectChange } from '../../db/push/stream-subjects.ts'
import {
  addVerification,
  changeStream as changeStreamRow,
  deleteStream as deleteStreamRow,
  insertStream,
  setStreamStatus,
  type StreamChange,
} from '../../db/push/streams.ts'
import type { StreamStatus, StreamTable } from '../../db/schema.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import { formatUuid, newUuid } from '../protocol/secrets.ts'
import { streamEventTypes } from '../protocol/security-events.ts'
import type { StreamDelivery, StreamSettings } from '../protocol/stream-configuration.ts'
import type { Changes, Event } from '../record/events.ts'
import { record, type Recorder } from '../record/record.ts'
import { openAuthorization, sealAuthorization } from './authorization.ts'
import { contentOf } from './content.ts'
import { heldSeconds, verificationSeconds } from './document.ts'

/*
 * What may be done with the streams of Shared Signals (SSF 1.0 §8), by their receivers and by administrators.
 * Each returns false or undefined where the stream is gone.
 */

/** How many streams a client may have, and how many users may be added to one, or removed from it. */
export const streamsMax = 10
export const subjectsMax = 10_000

export interface StreamRecorder extends Recorder {
  readonly rootKeys: Pick<RootKeys, 'seal' | 'open'>
}

export interface NewStream extends StreamSettings {
  readonly clientId: string
  readonly audience: string
  readonly defaultSubjects: StreamTable['default_subjects']
}

/** Adds a stream; undefined where its client is gone, or has as many as it may. */
export async function createStream(
  by: StreamRecorder,
  settings: NewStream,
): Promise<StreamTable | undefined> {
  const stream = newStreamRow(by, settings)
  const isDone = await record(by, creationOf(stream), db => insertStream(db, stream, streamsMax))
  return isDone ? stream : undefined
}

/** The row of a new stream, which delivers from now on. */
export function newStreamRow(
  by: Pick<StreamRecorder, 'clock' | 'rootKeys'>,
  { clientId, audience, defaultSubjects, delivery, eventsRequested, description }: NewStream,
): StreamTable {
  const now = by.clock.now()
  const id = newUuid(now)
  return {
    id,
    client_id: clientId,
    audience,
    ...deliveryColumns(by, { id }, delivery),
    events_requested: eventsRequested && eventsRequested.join(' '),
    status: 'enabled',
    status_reason: null,
    description,
    default_subjects: defaultSubjects,
    created_at: now,
    verified_at: null,
  }
}

/** What the audit trail has of a new stream. */
export function creationOf(stream: StreamTable): Event {
  const { client_id: clientId, method, endpoint_url } = stream
  const detail = { ...factsOf(stream), method, ...(endpoint_url !== null && { endpoint_url }) }
  return { event: 'stream_created', clientId, detail }
}

/** What it has of a changed one. */
export function changeOf(stream: StreamTable, differences: Changes): Event {
  return {
    event: 'stream_changed',
    clientId: stream.client_id,
    detail: { ...factsOf(stream), ...differences },
  }
}

/** The columns of a delivery. Where its authorization stays, that is for the same address alone. */
function deliveryColumns(
  { rootKeys }: Pick<StreamRecorder, 'rootKeys'>,
  before: Pick<StreamTable, 'id'> & Partial<StreamTable>,
  delivery: StreamDelivery,
): Pick<StreamTable, 'method' | 'endpoint_url' | 'sealed_authorization' | 'root_key_id'> {
  const { id, endpoint_url, sealed_authorization = null, root_key_id = null } = before
  const { method } = delivery
  if (method === 'poll') return { method, endpoint_url: null, ...sealAuthorization(rootKeys, id, null) }
  const { endpointUrl, authorization } = delivery
  const stays = authorization === undefined && endpointUrl === endpoint_url
  return {
    method,
    endpoint_url: endpointUrl,
    ...(stays
      ? { sealed_authorization, root_key_id }
      : sealAuthorization(rootKeys, id, authorization ?? null)),
  }
}

/** Changes what is told of a stream; the rest stays. Returns it as it is then. */
export async function changeStream(
  by: StreamRecorder,
  before: StreamTable,
  { delivery, eventsRequested, description }: Partial<StreamSettings>,
): Promise<StreamTable | undefined> {
  const told: StreamChange = {
    ...(delivery && deliveryColumns(by, before, delivery)),
    ...(eventsRequested !== undefined && { events_requested: eventsRequested && eventsRequested.join(' ') }),
    ...(description !== undefined && { description }),
  }
  const after = { ...before, ...told }
  const differences = differencesOf(by, before, after)
  if (Object.keys(differences).length === 0) return before
  const changed = changeOf(before, differences)
  const isDone = await record(by, changed, db => changeStreamRow(db, before, told, by.clock.now()))
  return isDone ? after : undefined
}

const comparedColumns = ['method', 'endpoint_url', 'events_requested', 'description'] as const

/** Of the authorization it is told whether there is one, or another one, and no more. */
export function differencesOf(
  { rootKeys }: Pick<StreamRecorder, 'rootKeys'>,
  before: StreamTable,
  after: StreamTable,
): Changes {
  const columns = comparedColumns
    .filter(name => before[name] !== after[name])
    .map(name => [name, { from: before[name], to: after[name] }])
  const wordOf = (is: boolean) => (is ? 'set' : 'none')
  const [old, now] = [before, after].map(({ sealed_authorization }) => sealed_authorization !== null)
  const isSame =
    before.sealed_authorization === after.sealed_authorization ||
    (old === true &&
      now === true &&
      openAuthorization(rootKeys, before) === openAuthorization(rootKeys, after))
  return Object.fromEntries([
    ...columns,
    ...(isSame
      ? []
      : [
          [
            'authorization',
            { from: wordOf(old === true), to: old && now ? 'another one' : wordOf(now === true) },
          ],
        ]),
  ])
}

export interface NewStatus {
  readonly status: StreamStatus
  readonly reason: string | null
  /** Whether its receiver is to be told: where it has not asked for it (SSF 1.0 §8.1.5). */
  readonly isTold: boolean
}

/** Changes the status of a stream, and returns it as it is then. */
export async function setStatus(
  by: Recorder,
  before: StreamTable,
  { status, reason, isTold }: NewStatus,
): Promise<StreamTable | undefined> {
  const now = by.clock.now()
  const after: StreamTable = { ...before, status, status_reason: reason }
  const isSame = status === before.status && reason === before.status_reason
  const changed: Event = {
    event: 'stream_changed',
    clientId: before.client_id,
    detail: {
      ...factsOf(before),
      ...(!isSame && { status: { from: before.status, to: status } }),
      ...(reason !== null && { reason }),
    },
  }
  const told = isTold && status !== before.status ? statusNews(after, now) : undefined
  const work = (db: Parameters<typeof setStreamStatus>[0]) =>
    setStreamStatus(db, before.id, { status, reason, told }, now)
  return (await record(by, changed, work)) ? after : undefined
}

/** What tells a receiver of the status of its stream. */
export function statusNews(stream: StreamTable, now: number): NewDelivery {
  const { id, status, status_reason: reason } = stream
  const [, lane] = lanesOf(id)
  const members = { status, ...(reason !== null && { reason }) }
  return deliveryOf(stream, { now, lane, type: streamEventTypes['stream-updated'], members })
}

/** Deletes a stream, with all that waits for it. */
export async function deleteStream(by: Recorder, stream: StreamTable): Promise<boolean> {
  const deleted: Event = {
    event: 'stream_deleted',
    clientId: stream.client_id,
    detail: factsOf(stream),
  }
  return record(by, deleted, db => deleteStreamRow(db, stream.id))
}

/**
 * Has a verification delivered (SSF 1.0 §8.1.4), with the text that its receiver has sent; false where the
 * stream is gone or disabled, or one was asked for less than a minute ago. Changes nothing, so the trail does
 * not have it.
 */
export async function requestVerification(
  { db, clock }: Pick<Recorder, 'db' | 'clock'>,
  stream: StreamTable,
  state: string | undefined,
): Promise<boolean> {
  const now = clock.now()
  const type = streamEventTypes.verification
  const members = state === undefined ? {} : { state }
  const verification = deliveryOf(stream, { now, lane: laneOf(stream.id), type, members })
  return addVerification(db, stream.id, verification, { now, since: now - verificationSeconds })
}

/** A delivery about a stream itself: its subject is the stream, whatever its subjects are. */
function deliveryOf(
  { id, method }: StreamTable,
  {
    now,
    lane,
    type,
    members,
  }: {
    readonly now: number
    readonly lane: ReturnType<typeof laneOf>
    readonly type: string
    readonly members: Readonly<Record<string, unknown>>
  },
): NewDelivery {
  const subject = { format: 'opaque', id: formatUuid(id) } as const
  const content = { type, subject, members, txn: formatUuid(newUuid(now)), at: now, audiences: undefined }
  return {
    kind: lane.kind,
    receiver: lane.id,
    subject: id,
    token_id: newUuid(now),
    content: contentOf(content),
    created_at: now,
    expires_at: now + heldSeconds,
    isFetched: method === 'poll',
  }
}

/** Whether a stream is about a user, from now on. */
export async function setSubjectOf(
  by: Recorder,
  stream: StreamTable,
  userId: Buffer,
  isWanted: boolean,
): Promise<SubjectChange> {
  const changed: Event = {
    event: isWanted ? 'stream_subject_added' : 'stream_subject_removed',
    clientId: stream.client_id,
    userId,
    detail: factsOf(stream),
  }
  const { kind } = await record(
    by,
    ({ kind }: { readonly kind: SubjectChange }) => (kind === 'changed' ? [changed] : []),
    db => setSubject(db, { streamId: stream.id, userId }, { isWanted, subjectsMax }),
  )
  return kind
}

const factsOf = ({ id }: StreamTable) => ({ stream: formatUuid(id) })
