import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../../src/clock.ts'

/** A clock that a test moves. */
export interface HandClock extends Clock {
  /** Lets time pass. */
  readonly tick: (seconds: number) => void
  /** Sets the time of day, while no time passes. */
  readonly setClock: (seconds: number) => void
}

/** Rests for no longer than a turn of the event loop. */
export function handClock(firstNow = 1_900_000_000): HandClock {
  let now = firstNow
  let steady = 0
  return {
    now: () => now,
    steady: () => steady,
    pause: async () => void (await setImmediate()),
    tick: seconds => {
      now += seconds
      steady += seconds
    },
    setClock: seconds => void (now = seconds),
  }
}
