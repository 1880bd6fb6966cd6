import { giveBackPages, sweepSessions } from '../../db/sessions/sweeper.ts'
import type { Context } from '../context.ts'
import { keepSeconds } from '../sessions/retention.ts'

/** How often a step is made, and how much it does: a fraction of what a server does for its clients in a second. */
const stepSeconds = 1
const limits = { rowsMax: 1000, deletedMax: 200, keepSeconds, restSeconds: 3600 }

/** A page is 4 KiB. */
const pagesAtOnce = 128

/** The sweeper's time follows the clock by at most a day in an hour. */
const clockRate = 24

/** How often a long pass tells how far it has got. */
const tellSeconds = 60

/** One step of the sweeper, to be made once a second. */
export function openSweeper({ db, clock, log }: Pick<Context, 'db' | 'clock' | 'log'>): () => Promise<void> {
  let steppedAt = clock.steady()
  let toldAt = clock.steady()
  return async () => {
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
}
