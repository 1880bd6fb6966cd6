import type { Database } from '../../db/database.ts'
import { giveBackPages, sweepSessions } from '../../db/sessions/sweeper.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../record/log.ts'
import type { Job } from '../upkeep/job.ts'
import { keepSeconds } from './retention.ts'

/**
 * How often a step is made, and how much it does: a fraction of what a server does for its clients in a
 * second.
 */
const stepSeconds = 1
const limits = { rowsMax: 1000, deletedMax: 200, keepSeconds, restSeconds: 3600 }

/** A page is 4 KiB. */
const pagesAtOnce = 128

/** The sweeper's time follows the clock by at most a day in an hour. */
const clockRate = 24

/** How often a long pass tells how far it has got. */
const tellSeconds = 60

export interface SweeperOptions {
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
}

/** Opens the sweeper, which makes a step in each second. */
export function openSweeper({ db, clock, log }: SweeperOptions): { readonly jobs: readonly Job[] } {
  let steppedAt = clock.steady()
  let toldAt = clock.steady()
  const sweep = async () => {
    const elapsedSeconds = Math.floor(clock.steady() - steppedAt)
    const clockSeconds = clockRate * Math.max(stepSeconds, elapsedSeconds)
    const step = await sweepSessions(db, { now: clock.now(), clockSeconds, ...limits })
    await giveBackPages(db, pagesAtOnce)
    if (!step) return
    steppedAt = clock.steady()

    const { isPassed, examined, swept, beganAt } = step
    const isLong = clock.steady() - toldAt >= tellSeconds
    if (!isLong && !(isPassed && swept > 0)) return
    toldAt = clock.steady()
    const facts = { examined, swept, seconds: clock.now() - beganAt }
    if (isPassed)
      log.info(
        { event: 'swept', ...facts },
        'all sessions were looked at, and those deleted that ended long ago',
      )
    else
      log.info(
        { event: 'sweeping', ...facts },
        'sessions are looked at, and those deleted that ended long ago',
      )
  }
  return {
    jobs: [{ name: 'sweeping ended sessions', everySeconds: stepSeconds, run: sweep }],
  }
}
