/**
 * Load shedding: protects refreshes from whatever else the server has to do. Work is refused before it
 * begins when too many requests are under way, when the event loop is late, or when one source has too many
 * of them: log-ins first, refreshes last. The caller sees 503 `temporarily_unavailable` with Retry-After,
 * and may send the same again.
 */

import type { Clock } from '../clock.ts'
import { OAuthError } from '../errors.ts'
import type { Job } from '../upkeep/job.ts'
import { gauge, type Metric } from '../upkeep/metric.ts'
import { openSourceQuota } from './source-quota.ts'

/** Kinds of work, in the order in which they are given up when the server cannot do it all. */
export type Rank = 'log_in' | 'other' | 'refresh'

/** Whether more work may begin, by how much the server has to do. */
export interface Admission {
  /**
   * Does the work, or throws `temporarily_unavailable` (503) at once where there is too much of it already,
   * or too much of this rank for a source that is named. It costs three additions: the event loop is measured
   * by a job.
   */
  admit<T>(rank: Rank, work: () => Promise<T>, source?: string): Promise<T>
  /** For how many seconds nothing could be done until a moment ago. */
  stalled(): number
  /** How many requests are under way. */
  underWay(): number
  /** How many have begun so far. */
  begun(): number
}

/** How often the event loop is measured. */
export const sampleSeconds = 0.1

interface Limit {
  /** By how many seconds the event loop may be late. */
  readonly lateSeconds: number
  /** How many requests may be under way. */
  readonly underWay: number
}

/**
 * A refused log-in is a user who tries again; a refused refresh is an app that stands still. A user's next
 * page needs them long before the server is of no use: so refreshes, and revocations with them, are the last
 * to go.
 */
export const admissionLimits: Readonly<Record<Rank, Limit>> = {
  log_in: { lateSeconds: 0.3, underWay: 1000 },
  other: { lateSeconds: 0.8, underWay: 2000 },
  refresh: { lateSeconds: 2, underWay: 5000 },
}

/** Opens the admission; its job is to measure by how much the event loop is late. */
export function openAdmission(clock: Clock): {
  readonly admission: Admission
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const quotas = { log_in: quotaOf('log_in'), other: quotaOf('other'), refresh: quotaOf('refresh') }
  let underWay = 0
  let begun = 0
  let sampledAt: number | undefined
  let last = 0
  let before = 0

  const overdue = () =>
    sampledAt === undefined ? 0 : Math.max(0, clock.steady() - sampledAt - sampleSeconds)

  const admission: Admission = {
    admit: async (rank, work, source) => {
      const limit = admissionLimits[rank]
      // Twice in a row: a single hold-up of the loop is over by the time it is seen.
      if (underWay >= limit.underWay || Math.min(last, before) >= limit.lateSeconds) throw tooMuch
      if (source !== undefined && !quotas[rank].take(source)) throw tooMuchOfOne
      underWay++
      begun++
      try {
        return await work()
      } finally {
        underWay--
        if (source !== undefined) quotas[rank].giveBack(source)
      }
    },
    stalled: () => Math.max(last, overdue()),
    underWay: () => underWay,
    begun: () => begun,
  }
  const sample = async () => {
    before = last
    last = overdue()
    sampledAt = clock.steady()
  }
  return {
    admission,
    jobs: [{ name: 'measuring the event loop', everySeconds: sampleSeconds, run: sample }],
    metrics: [gauge('mintmark_requests_under_way', 'Requests being answered', admission.underWay)],
  }
}

const quotaOf = (rank: Rank) => openSourceQuota(admissionLimits[rank].underWay)

/** Always the same ones, without a new stack each time. */
const refusalFor = (cause: string) =>
  new OAuthError('temporarily_unavailable', 'the server has too much to do, send the same request again', {
    cause: new Error(cause),
    retryAfter: 2,
  })
const tooMuch = refusalFor('too much is under way, or the event loop is late')
const tooMuchOfOne = refusalFor('too much of what is under way is of one source')
