/**
 * Protects people from who asks, clock in hand, whether they have an account: what depends on that is done
 * when the answer is on its way. It waits in a bounded queue, of which no source has more than its part.
 * Where that is full the caller sees 503 with Retry-After, and may send the same again.
 */

import type { Clock } from '../clock.ts'
import { OAuthError } from '../errors.ts'
import type { Job } from '../upkeep/job.ts'
import { queueLength, type Metric } from '../upkeep/metric.ts'
import { openSourceQuota } from './source-quota.ts'

/** What is done after an answer. */
export interface Afterwards {
  /** Has it done soon, or throws `temporarily_unavailable` (503) where too much waits already. */
  add(work: () => Promise<unknown>, source: string | undefined): void
  /** How many wait. */
  waiting(): number
}

/** The rest between two runs: a mail is on its way a moment after it was asked for. */
const everySeconds = 0.2

/** What fails is tried again for so long. Who waits for it asks again. */
const triedSeconds = 60

interface Task {
  readonly work: () => Promise<unknown>
  readonly source: string | undefined
  readonly addedAt: number
}

/**
 * Opens the queue. Its job does what waits, one by one; what is left when the server closes is done then.
 */
export function openAfterwards(
  clock: Clock,
  waitingMax = 10_000,
): {
  readonly afterwards: Afterwards
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const tasks: Task[] = []
  const quota = openSourceQuota(waitingMax)

  /** What has failed goes to the end, so that it is in nobody's way. */
  const doAll = async () => {
    let failure: { readonly error: unknown } | undefined
    for (let left = tasks.length; left > 0; left--) {
      const task = tasks.shift()
      if (!task) return
      try {
        await task.work()
      } catch (error) {
        failure = { error }
        if (clock.steady() - task.addedAt < triedSeconds) {
          tasks.push(task)
          continue
        }
      }
      quota.giveBack(task.source)
    }
    if (failure) throw failure.error
  }
  const afterwards: Afterwards = {
    add: (work, source) => {
      if (tasks.length >= waitingMax || !quota.take(source)) throw tooMuch
      tasks.push({ work, source, addedAt: clock.steady() })
    },
    waiting: () => tasks.length,
  }
  return {
    afterwards,
    jobs: [{ name: 'doing what was asked for', everySeconds, run: doAll, last: doAll }],
    metrics: [queueLength('afterwards', afterwards.waiting)],
  }
}

/** Always the same one, without a new stack each time. */
const tooMuch = new OAuthError(
  'temporarily_unavailable',
  'the server has too much to do, send the same request again',
  { cause: new Error('too much waits to be done after its answer'), retryAfter: 2 },
)
