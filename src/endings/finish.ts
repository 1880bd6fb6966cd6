import type { Database } from '../../db/database.ts'
import { claimEnding, endNextSessions, releaseEnding, type Ending } from '../../db/sessions/endings.ts'
import type { Clock } from '../clock.ts'
import { longestTokenSeconds } from '../protocol/access-token.ts'
import { followSeconds, type Job } from '../upkeep/job.ts'

export interface FinishOptions {
  readonly clock: Clock
  /** How many steps are taken at the most. The rest is for a server that looks for it. */
  readonly stepsMax?: number
  /** Ends the work after the step that is under way. The rest is for a server that looks for it. */
  readonly signal?: AbortSignal
  /** Told after each step how many sessions have got their end so far. */
  readonly onProgress?: (ended: number) => void
}

export interface FinishedWork {
  /** How many sessions got their end. */
  readonly ended: number
  /** False when some are left, which a server will finish. */
  readonly isDone: boolean
}

/**
 * Writes the end of each session that a raised epoch has ended, step by step. After each step it rests as
 * long as the step took, so refreshes and log-ins get at least half of the database's time.
 */
export async function finishEnding(
  db: Database,
  ending: Ending,
  { clock, stepsMax = Infinity, signal, onProgress }: FinishOptions,
): Promise<FinishedWork> {
  let ended = 0
  let rest: Ending | undefined = ending
  for (let step = 0; step < stepsMax && !signal?.aborted; step++) {
    const startedAt = clock.steady()
    const done = await endNextSessions(db, rest, { now: clock.now(), longestTokenSeconds })
    ended += done.ended
    onProgress?.(ended)
    rest = done.rest
    if (!rest) return { ended, isDone: true }
    await clock.pause(clock.steady() - startedAt, signal)
  }
  await releaseEnding(db, rest)
  return { ended, isDone: false }
}

/** Has finished, again and again, whatever ending nothing is working on. */
export function oldEndings(db: Database, clock: Clock): { readonly jobs: readonly Job[] } {
  const run = (signal: AbortSignal) => finishOldEndings(db, { clock, signal })
  return {
    jobs: [{ name: 'writing the end of sessions', everySeconds: followSeconds, run }],
  }
}

/**
 * Finishes what nothing is working on: what was left over, and what a process has left behind that is gone.
 */
export async function finishOldEndings(
  db: Database,
  { clock, signal }: Pick<FinishOptions, 'clock' | 'signal'>,
): Promise<void> {
  while (!signal?.aborted) {
    const ending = await claimEnding(db, clock.now())
    if (!ending) return
    await finishEnding(db, ending, { clock, ...(signal && { signal }) })
  }
}
