import type { Database } from '../../db/database.ts'
import { listExpiredDeliveries, type ReceiverKey } from '../../db/push/deliveries.ts'
import { listFetchable, removeAnswered } from '../../db/push/fetched.ts'
import { laneOf, lanesOf } from '../../db/push/stream-lanes.ts'
import { listStreams, listStreamsUnderOlderKeys, resealStream } from '../../db/push/streams.ts'
import type { StreamTable } from '../../db/schema.ts'
import type { Clock } from '../clock.ts'
import { rowsUnderOlderKeys } from '../keys/root/older-keys.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import { triedSeconds } from '../push/outgoing/back-off.ts'
import type { Log } from '../record/log.ts'
import { record, type Recorder } from '../record/record.ts'
import { forgetSeconds, type Job } from '../upkeep/job.ts'
import type { Metric } from '../upkeep/metric.ts'
import { openAuthorization, sealAuthorization } from './authorization.ts'
import { setStatus } from './streams.ts'

export interface StreamUpkeepOptions {
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  readonly rootKeys: RootKeys
}

const expiredAtOnce = 1000

/** Looks after streams: pauses those that are not fetched, and drops what was held for too long. */
export function streamUpkeep(options: StreamUpkeepOptions): {
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const { db, clock, log } = options
  const by: Recorder = { db, clock, log, actor: { kind: 'server' } }
  let streams: readonly StreamTable[] = []
  const run = async (signal: AbortSignal) => {
    await resealAll(options)
    streams = await listStreams(db)
    for (const stream of streams) {
      if (signal.aborted) return
      for (const lane of lanesOf(stream.id)) await dropExpired(by, stream, lane)
      await pauseUnfetched(by, log, stream)
    }
  }
  return {
    jobs: [{ name: 'looking after streams', everySeconds: forgetSeconds, run }],
    metrics: [
      {
        kind: 'gauge',
        name: 'mintmark_streams',
        help: 'Streams of Shared Signals, by status',
        labels: ['status'],
        samples: () =>
          (['enabled', 'paused', 'disabled'] as const).map(status => [
            { status },
            streams.filter(stream => stream.status === status).length,
          ]),
      },
    ],
  }
}

async function dropExpired(by: Recorder, stream: StreamTable, lane: ReceiverKey): Promise<void> {
  for (;;) {
    const now = by.clock.now()
    const expired = await listExpiredDeliveries(by.db, lane, { now, limit: expiredAtOnce })
    if (expired.length === 0) return
    const ids = new Set(expired.map(({ token_id }) => token_id.toString('hex')))
    const detail = { kind: lane.kind, receiver: lane.id, reason: `the stream is ${stream.status}` }
    await record(
      by,
      ({ length }: readonly object[]) => [
        { event: 'delivery_given_up', clientId: stream.client_id, detail: { ...detail, deliveries: length } },
      ],
      db => removeAnswered(db, [lane], ids),
    )
  }
}

/** As one that is pushed to and cannot be reached. */
async function pauseUnfetched(by: Recorder, log: Log, stream: StreamTable): Promise<void> {
  if (stream.method !== 'poll' || stream.status !== 'enabled') return
  const [oldest] = await listFetchable(by.db, [laneOf(stream.id)], 1)
  if (!oldest || by.clock.now() - oldest.created_at < triedSeconds) return
  const reason = 'nothing was fetched for three days'
  await setStatus(by, stream, { status: 'paused', reason, isTold: true })
  const { receiver } = oldest
  log.warn({ event: 'receiver_paused', kind: 'stream', receiver }, 'a stream was paused: nothing was fetched')
}

/** Under the current root key, so that the others can leave the file. */
async function resealAll({ db, rootKeys }: StreamUpkeepOptions): Promise<void> {
  for (const stream of await rowsUnderOlderKeys(rootKeys, currentId =>
    listStreamsUnderOlderKeys(db, currentId),
  )) {
    if (stream.root_key_id === null || !rootKeys.has(stream.root_key_id)) continue
    const sealed = sealAuthorization(rootKeys, stream.id, openAuthorization(rootKeys, stream))
    await resealStream(db, stream, sealed)
  }
}
