import type { Clock } from '../clock.ts'
import { OAuthError } from '../errors.ts'
import type { Job } from '../upkeep/job.ts'
import { gauge, type Metric } from '../upkeep/metric.ts'
import { openShares } from './shares.ts'

/** Kinds of work, in the order in which they are given up when the server cannot do it all. */
export type Rank = 'log_in' | 'other' | 'refresh'

/** How much the server has to do, and whether more of it may begin. */
export interface Pressure {
  /**
   * Does the work, or throws `temporarily_unavailable` (503) at once where there is too much of it already,
   * or too much of this rank for a source that is named. It costs two additions: the event loop is measured
   * elsewhere.
   */
  admit<T>(rank: Rank, work: () => Promise<T>, source?: string): Promise<T>
  /** For how many seconds nothing could be done until a moment ago. */
  stalled(): number
  /** How many requests are under way. */
  underWay(): number
}

/** How often the event loop is measured. */
export const sampleSeconds = 0.1

interface Limit {
  /** By how many seconds the event loop may be late. */
  readonly late: number
  /** How many requests may be under way. */
  readonly underWay: number
}

/**
 * A refused log-in is a user who tries again; a refused refresh is an app that stands still. A user's next
 * page needs them long before the server is of no use: so refreshes, and revocations with them, are the last
 * to go.
 */
export const pressureLimits: Readonly<Record<Rank, Limit>> = {
  log_in: { late: 0.3, underWay: 1000 },
  other: { late: 0.8, underWay: 2000 },
  refresh: { late: 2, underWay: 5000 },
}

/** Opens the measure of the pressure; its job is to measure by how much the event loop is late. */
export function openPressure(clock: Clock): {
  readonly pressure: Pressure
  readonly jobs: readonly Job[]
  readonly metrics: readonly Metric[]
} {
  const shares = { log_in: sharesOf('log_in'), other: sharesOf('other'), refresh: sharesOf('refresh') }
  let underWay = 0
  let sampledAt: number | undefined
  let last = 0
  let before = 0

  const overdue = () =>
    sampledAt === undefined ? 0 : Math.max(0, clock.steady() - sampledAt - sampleSeconds)

  const pressure: Pressure = {
    admit: async (rank, work, source) => {
      const limit = pressureLimits[rank]
      // Twice in a row: a single hold-up of the loop is over by the time it is seen.
      if (underWay >= limit.underWay || Math.min(last, before) >= limit.late) throw tooMuch
      if (source !== undefined && !shares[rank].take(source)) throw tooMuchOfOne
      underWay++
      try {
        return await work()
      } finally {
        underWay--
        if (source !== undefined) shares[rank].giveBack(source)
      }
    },
    stalled: () => Math.max(last, overdue()),
    underWay: () => underWay,
  }
  const sample = async () => {
    before = last
    last = overdue()
    sampledAt = clock.steady()
  }
  return {
    pressure,
    jobs: [{ name: 'measuring the event loop', everySeconds: sampleSeconds, run: sample }],
    metrics: [gauge('mintmark_requests_under_way', 'Requests being answered', pressure.underWay)],
  }
}

const sharesOf = (rank: Rank) => openShares(pressureLimits[rank].underWay)

/** Always the same ones, without a new stack each time. */
const refusalFor = (cause: string) =>
  new OAuthError('temporarily_unavailable', 'the server has too much to do, send the same request again', {
    cause: new Error(cause),
    retryAfter: 2,
  })
const tooMuch = refusalFor('too much is under way, or the event loop is late')
const tooMuchOfOne = refusalFor('too much of what is under way is of one source')
