import type { Database } from '../../db/database.ts'
import { schemaStatus } from '../../db/installation/migrate.ts'
import { lastVerifyUntil } from '../../db/keys/token-promises.ts'
import { databaseClock, type Clock } from '../clock.ts'
import type { Log } from '../record/log.ts'
import { followSeconds, type Job } from '../upkeep/job.ts'
import { askPulse } from './pulse.ts'

/** Tells by the database what time it is, and whether this server may go on. */
export interface Standing {
  /** On PostgreSQL its server's, so that all instances compare the same times. */
  readonly clock: Clock
  /** Why nothing may be served any more; undefined while all is well. */
  refusal(): string | undefined
  /**
   * Where that is because the installation has been moved to another database, and nothing else is wrong:
   * until when verifiers need the keys of this one. In seconds since the epoch.
   */
  keysNeededUntil(): number | undefined
}

export interface StandingOptions {
  readonly db: Database
  /**
   * The clock of this machine, which counts for an embedded database, and until the server's has been read.
   */
  readonly clock: Clock
  readonly log: Log
}

const moved = 'the installation has been moved to another database'

export interface OpenStanding {
  readonly standing: Standing
  /** Asks anew. Rejects when the database does not answer or takes no writes. */
  readonly follow: () => Promise<void>
  readonly jobs: readonly Job[]
}

/** Knows nothing until it has followed for the first time. */
export function openStanding({ db, clock: local, log }: StandingOptions): OpenStanding {
  const clock = databaseClock(local)
  let revision: number | undefined
  let refusal: string | undefined
  let keysNeededUntil: number | undefined
  let timeline: number | undefined
  let wasSynchronous = false

  const refuse = (reason: string, but = '') => {
    if (refusal === undefined) log.fatal(`${reason}: every request is refused from now on${but}`)
    refusal = reason
  }

  const tellFailover = () => {
    const newest = db.timeline()
    if (newest !== undefined && timeline !== undefined && newest > timeline) {
      log.warn(
        { event: 'failover', timeline: newest, timeline_before: timeline, synchronous: wasSynchronous },
        wasSynchronous
          ? 'another PostgreSQL has become the primary; replication was synchronous, so nothing is lost'
          : 'another PostgreSQL has become the primary; replication was not synchronous, so the log-ins and revocations ' +
              'of its last moments may be lost: `mintmark db revive --revocations LOG` repeats what the logs have of them',
      )
    }
    timeline = newest
  }

  const follow = async () => {
    const pulse = await askPulse(db, clock)
    tellFailover()
    wasSynchronous = pulse.is_synchronous ?? false
    // Of no account any more is then what becomes of its file.
    if (pulse.moved_at !== null) {
      keysNeededUntil ??= await lastVerifyUntil(db)
      refuse(moved, ', but for the key set until its last token has expired')
    } else if (!pulse.is_in_place) {
      refuse(
        'the database file was moved, replaced or deleted while it was open; put it back and start again',
      )
    }
    if (pulse.revision === revision) return
    const { isTooNew } = await schemaStatus(db)
    // Not before: where that fails, it is asked again.
    revision = pulse.revision
    if (isTooNew) refuse('the database has been migrated by a newer Mintmark, which this one is too old for')
  }

  const standing: Standing = {
    clock,
    refusal: () => refusal,
    keysNeededUntil: () => (refusal === moved ? keysNeededUntil : undefined),
  }
  const job: Job = {
    name: 'asking the database',
    everySeconds: followSeconds,
    follows: true,
    run: follow,
  }
  return { standing, follow, jobs: [job] }
}
