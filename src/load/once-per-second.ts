/**
 * Protects the log from an outage or a flood, in which each request would write the same line. The first of a
 * second is written; answers to callers are not touched.
 */

import type { Clock } from '../clock.ts'

/** So many different texts are told apart. */
const textsMax = 100

/** Makes the test whether a text has not been said within the last second. */
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
