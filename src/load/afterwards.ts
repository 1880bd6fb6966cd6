/**
 * Protects people from who asks, clock in hand, whether they have an account: what depends on that is done
 * when the answer is on its way. It waits in a bounded queue, of which no source has more than its part.
 * Where that is full the caller sees 503 with Retry-After, and may send the same again.
 */

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

interface Task {
  readonly work: () => Promise<unknown>
  readonly source: string | undefined
}

/**
 * Opens the queue. Its job does what waits, one by one; what is left when the server closes is done then.
 */
export function openAfterwards(waitingMax = 10_000): {
  readonly afterwards: Afterwards
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const tasks: Task[] = []
  const quota = openSourceQuota(waitingMax)

  /** A failure is told, and stops nothing else: people ask again for what they wait for. */
  const doAll = async () => {
    const failures: unknown[] = []
    for (let task = tasks.shift(); task; task = tasks.shift()) {
      quota.giveBack(task.source)
      await task.work().catch((error: unknown) => failures.push(error))
    }
    if (failures.length > 0) throw failures[0]
  }
  const afterwards: Afterwards = {
    add: (work, source) => {
      if (tasks.length >= waitingMax || !quota.take(source)) throw tooMuch
      tasks.push({ work, source })
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
