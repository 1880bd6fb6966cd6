import { day } from '../../values/duration.ts'

/** So long it is tried to deliver something. */
export const triedSeconds = 3 * day

const firstPauseSeconds = 1
const pauseSecondsMax = 3600

/**
 * How long to wait after so many failures, at least one, in seconds: one second, then twice as long each
 * time, up to an hour; and up to a half more by chance (0 to 1), so that not all come back at once.
 */
export function pauseSeconds(failures: number, chance: number): number {
  const pause = Math.min(pauseSecondsMax, firstPauseSeconds * 2 ** Math.min(failures - 1, 12))
  return Math.round(pause * (1 + chance / 2))
}

/** About as many attempts as there are in that time. */
export const attemptsMax = 69
