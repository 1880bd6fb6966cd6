import type { EndOptions } from '../../endings/end.ts'
import type { FinishedWork } from '../../endings/finish.ts'
import type { Run } from './command.ts'
import { CommandError } from './failures.ts'
import { openProgress } from './progress.ts'

/**
 * Ends sessions, and shows how far the work has come. A signal ends it after the step that is under way: all
 * of the sessions have ended then, and a server tells the status lists of the rest.
 */
export async function showEnding<T extends FinishedWork | undefined>(
  run: Run,
  work: (options: EndOptions) => Promise<T>,
): Promise<T> {
  const done = await showWork(run, work)
  if (done === undefined || done.isDone) return done
  throw stoppedEnding(done)
}

/** A signal has stopped the command after all sessions had ended, by an epoch. */
export const stoppedEnding = ({ ended }: FinishedWork) =>
  new CommandError(
    `stopped: all of them have ended, but the status lists tell of ${ended.toLocaleString('en-US')} so far; ` +
      'a server that runs tells of the rest by itself, or run it again',
  )

/**
 * The options of a long work: when to stop, how to say how far it has come, and what to do before the log has
 * a line.
 */
export interface WorkOptions {
  readonly signal: AbortSignal
  readonly onProgress: (ended: number) => void
  readonly beforeLines: () => void
}

/** Shows how far the work has come. A signal ends it after the step that is under way. */
export async function showWork<T>(
  run: Run,
  work: (options: WorkOptions) => Promise<T>,
  total?: number,
  noun = 'session',
): Promise<T> {
  const progress = openProgress(run, noun, total)
  const stopping = new AbortController()
  const giveBack = run.onSignal(() => stopping.abort())
  try {
    return await work({ signal: stopping.signal, onProgress: progress.at, beforeLines: progress.end })
  } finally {
    giveBack()
    progress.end()
  }
}
