import { setTimeout } from 'node:timers/promises'

/** Two faces of time, so that one is never compared with the other. All is in seconds. */
export interface Clock {
  /**
   * Whole seconds since the epoch by the database's clock: what is stored, and what others compare. May be
   * set back.
   */
  readonly now: () => number
  /**
   * Seconds, with fractions, from any beginning, by a clock that is never set: how long something lasts in
   * this process.
   */
  readonly steady: () => number
  /** Rests for so many seconds; a signal ends it early. A test's clock rests in no time. */
  readonly pause: (seconds: number, signal?: AbortSignal) => Promise<void>
}

/** The clocks of this machine. */
export function systemClock(): Clock {
  return {
    now: () => Math.floor(Date.now() / 1000),
    steady: () => performance.now() / 1000,
    pause: (seconds, signal) => setTimeout(seconds * 1000, undefined, { signal }).catch(() => {}),
  }
}

/**
 * The clock of a database's server, once it has been asked; until then, and for an embedded database, the
 * local one.
 */
export interface DatabaseClock extends Clock {
  /** Takes the answer in: seconds since the epoch, with fractions, and when it was asked for, by `steady`. */
  readonly adjust: (seconds: number, askedAt: number) => void
}

/** Goes on by the local steady clock: how far the two are apart is measured with each answer. */
export function databaseClock({ now, steady, pause }: Clock): DatabaseClock {
  let offset: number | undefined
  return {
    now: () => (offset === undefined ? now() : Math.floor(steady() + offset)),
    steady,
    pause,
    adjust: (seconds, askedAt) => {
      const answeredAt = steady()
      const measured = seconds - (askedAt + answeredAt) / 2
      // An answer that took long fits many offsets. While the one we have is among them, it is the better
      // one.
      const uncertainty = (answeredAt - askedAt) / 2
      if (offset === undefined || Math.abs(measured - offset) > uncertainty) offset = measured
    },
  }
}
