import type { Database } from '../../db/database.ts'
import { latencyBounds } from '../../db/engines/latency.ts'
import { writeAgain } from '../../db/engines/write-again.ts'
import { tellSeconds, type Job } from '../upkeep/job.ts'
import { queueLength, type Metric } from '../upkeep/metric.ts'

/** The jobs and the metrics of the database itself. */
export function databaseUpkeep(db: Database): {
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const { load } = db
  return {
    jobs: [
      {
        name: 'writing to the database',
        everySeconds: tellSeconds,
        run: () => writeAgain(db),
      },
    ],
    metrics: [
      queueLength('refresh_commit', load.waitingRotations),
      queueLength('database_connection', load.waitingForConnection),
      {
        kind: 'histogram',
        name: 'mintmark_database_commit_seconds',
        help: 'Commits of refreshes',
        latency: load.commits,
        bounds: latencyBounds,
      },
      {
        kind: 'histogram',
        name: 'mintmark_database_poll_seconds',
        help: 'The question each server asks its database twice a second',
        latency: load.polls,
        bounds: latencyBounds,
      },
    ],
  }
}
