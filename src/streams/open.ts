import type { Database } from '../../db/database.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import type { KeyRing } from '../keys/ring/key-ring.ts'
import type { RootKeys } from '../keys/root/root-key.ts'
import type { DeliveryKind } from '../push/outgoing/kind.ts'
import type { Log } from '../record/log.ts'
import type { Job } from '../upkeep/job.ts'
import type { Metric } from '../upkeep/metric.ts'
import { streamDeliveries } from './kind.ts'
import { openPolls, type Polls } from './polls.ts'
import { streamUpkeep } from './upkeep.ts'

export interface StreamsOptions {
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  readonly rootKeys: RootKeys
  readonly keys: Pick<KeyRing, 'sign'>
  readonly config: Pick<Config, 'issuer'>
}

/** Opens what brings security events to the receivers of streams: by pushes, and to those who fetch them. */
export function openStreams(options: StreamsOptions): {
  readonly kinds: readonly DeliveryKind[]
  readonly polls: Polls
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const own = { ...options, issuer: options.config.issuer }
  const { polls, jobs, metrics } = openPolls(own)
  const upkeep = streamUpkeep(options)
  return {
    kinds: [streamDeliveries(own)],
    polls,
    jobs: [...jobs, ...upkeep.jobs],
    metrics: [...metrics, ...upkeep.metrics],
  }
}
