import type { Database } from '../../db/database.ts'
import { schemaStatus } from '../../db/installation/migrate.ts'
import { readPulse } from '../../db/installation/pulse.ts'
import { lastVerifyUntil } from '../../db/keys/token-promises.ts'
import type { Context } from '../context.ts'

/** What the database says about this server: what time it is, and whether it may go on. */
export interface Standing {
  /** Whole seconds since the epoch. On PostgreSQL by the server's clock, so that all instances compare the same times. */
  now(): number
  /** Why nothing may be served any more; undefined while all is well. */
  refusal(): string | undefined
  /**
   * Where that is because the installation has been moved to another database, and nothing else is wrong: until when
   * verifiers need the keys of this one. In seconds since the epoch.
   */
  keysNeededUntil(): number | undefined
  /** Asks anew. Rejects when the database does not answer or takes no writes. */
  follow(): Promise<void>
}

export interface StandingOptions {
  readonly db: Database
  /** The clock of this machine, which counts for an embedded database, and until the server's has been read. */
  readonly now: () => number
  readonly log: Context['log']
}

const moved = 'the installation has been moved to another database'

export function openStanding({ db, now, log }: StandingOptions): Standing {
  const clock = remoteClock()
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

  return {
    now: () => clock.seconds() ?? now(),
    refusal: () => refusal,
    keysNeededUntil: () => (refusal === moved ? keysNeededUntil : undefined),
    follow: async () => {
      const askedAt = performance.now()
      const pulse = await readPulse(db)
      if (pulse.clock_ms !== null) clock.adjust(pulse.clock_ms, askedAt, performance.now())
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
      if (isTooNew)
        refuse('the database has been migrated by a newer Mintmark, which this one is too old for')
    },
  }
}

/** A clock elsewhere, by our own steady one: how far they are apart is measured with each answer. */
function remoteClock() {
  let offsetMs: number | undefined
  return {
    seconds: () => (offsetMs === undefined ? undefined : Math.floor((performance.now() + offsetMs) / 1000)),
    adjust: (clockMs: number, askedAt: number, answeredAt: number) => {
      const measured = clockMs - (askedAt + answeredAt) / 2
      // An answer that took long fits many offsets. While the one we have is among them, it is the better one.
      const uncertainty = (answeredAt - askedAt) / 2
      if (offsetMs === undefined || Math.abs(measured - offsetMs) > uncertainty) offsetMs = measured
    },
  }
}
