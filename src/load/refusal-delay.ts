/**
 * Protects refreshes from a flood of guesses, whose connections each send the next guess when the last one
 * was answered. Refuses nothing itself: where more log-ins are refused in a second than honest users cause,
 * their answer (429 or 503 with Retry-After) comes half a second later.
 */

import type { Clock } from '../clock.ts'

/** So many refusals a second are answered without delay: more than honest users cause on any morning. */
export const promptRefusalsPerSecond = 50

const delaySeconds = 0.5

/** Makes what is awaited before a log-in is refused: it takes a moment if the log-in is one of a flood. */
export function openRefusalDelay(clock: Clock): () => Promise<void> {
  let second = -1
  let count = 0
  return async () => {
    const present = Math.floor(clock.steady())
    if (present !== second) count = 0
    second = present
    if (++count > promptRefusalsPerSecond) await clock.pause(delaySeconds)
  }
}
