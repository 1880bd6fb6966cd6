import type { Database } from '../../db/database.ts'
import { fillIndex } from '../../db/sessions/session-index.ts'
import type { Clock } from '../clock.ts'
import type { Job } from '../upkeep/job.ts'

/** Few enough that no refresh waits long for them. */
const rowsAtOnce = 500

/** After each step it rests so many times as long as that took. */
const restFactor = 4

/** How often it is looked whether there is something to do, until nothing is. */
const lookSeconds = 10

/** Has the sessions of before there was an index of them put into it, by any server that runs. */
export function sessionIndex(db: Database, clock: Clock): { readonly jobs: readonly Job[] } {
  let isFilled = false
  const run = async (signal: AbortSignal) => {
    while (!isFilled && !signal.aborted) {
      const startedAt = clock.steady()
      isFilled = await fillIndex(db, rowsAtOnce)
      await clock.pause(restFactor * (clock.steady() - startedAt), signal)
    }
  }
  return { jobs: [{ name: 'filling the index of sessions', everySeconds: lookSeconds, run }] }
}
