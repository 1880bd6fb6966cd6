import type { Clock } from '../clock.ts'

/** So many different texts are told apart. */
const textsMax = 100

/** Whether this has not been said within the last second: for a log that an outage would flood. */
export function oncePerSecond(clock: Clock): (text: string) => boolean {
  const saidAt = new Map<string, number>()
  return text => {
    const present = clock.steady()
    if (present - (saidAt.get(text) ?? -Infinity) < 1) return false
    if (saidAt.size >= textsMax) saidAt.clear()
    saidAt.set(text, present)
    return true
  }
}

/** So many refused log-ins a second are answered at once: more than honest users cause on any morning. */
export const refusalsAtOnce = 50

const holdSeconds = 0.5

/**
 * Waits a moment before a log-in is refused, if it is one of a flood. A flood's connections each send their
 * next guess when the last one was answered: so they are slow, instead of leaving refreshes no time.
 */
export function openBrake(clock: Clock): () => Promise<void> {
  let second = -1
  let count = 0
  return async () => {
    const present = Math.floor(clock.steady())
    if (present !== second) count = 0
    second = present
    if (++count > refusalsAtOnce) await clock.pause(holdSeconds)
  }
}
