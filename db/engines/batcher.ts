import { setImmediate } from 'node:timers'

export interface BatcherOptions<Entry, Result> {
  /** Two entries with one key never are in one batch (unless they are the same). */
  readonly keyOf: (entry: Entry) => string
  /** Whether one answer serves both. */
  readonly isSame: (a: Entry, b: Entry) => boolean
  /**
   * Commits together what it takes. All or none; rejects when nothing was done, or with `UnknownOutcome`. A
   * result that is a promise is of an entry that could not come along, and is on its way by itself.
   */
  readonly commit: (take: Take<Entry>) => Promise<readonly (Result | Promise<Result>)[]>
  /**
   * Whether a failure may be the fault of one entry alone, so that the others are worth a try of their own.
   */
  readonly mayBeOneEntry: (error: unknown) => boolean
  /** How many entries one commit takes at the most. */
  readonly limit: number
  /** How long an entry waits for its batch, in milliseconds; then it is refused, and nothing was done. */
  readonly patienceMs: number
  /**
   * How long a batch waits for more at the most, in milliseconds: in a flood of other requests a turn is
   * long.
   */
  readonly gatherMs: number
}

/**
 * The entries of a batch, and those that have come since it was made. So a commit that has waited for a lock
 * takes along what came in that time, when it asks as late as it can.
 */
export type Take<Entry> = () => readonly Entry[]

export interface Batcher<Entry, Result> {
  (entry: Entry): Promise<Result>
  /** How many entries wait for their batch. */
  waiting(): number
}

/** How many turns of the event loop a batch waits for more: none waits in vain more than once. */
const turnsMax = 8

/** The commit may have happened or not: the entries must not be judged again as if it had not. */
export class UnknownOutcome extends Error {
  override readonly name = 'UnknownOutcome'
}

interface Waiting<Entry, Result> {
  readonly entry: Entry
  /** By the clock of `performance.now`. */
  readonly since: number
  readonly answers: {
    resolve: (result: Result | Promise<Result>) => void
    reject: (error: unknown) => void
  }[]
}

/** By their keys. */
type Batch<Entry, Result> = Map<string, Waiting<Entry, Result>>

/**
 * Commits together what arrives together, so that a commit's cost is shared. While one batch is on its way,
 * the next one gathers. No caller is answered before the commit; a batch that fails is tried entry by entry,
 * so that a bad one does not fail its neighbours, except where the commit may have happened.
 */
export function batcher<Entry, Result>(options: BatcherOptions<Entry, Result>): Batcher<Entry, Result> {
  const { keyOf, isSame, commit, mayBeOneEntry, limit, patienceMs, gatherMs } = options
  let queue: Waiting<Entry, Result>[] = []
  let isScheduled = false

  const schedule = () => {
    if (isScheduled || queue.length === 0) return
    isScheduled = true
    setImmediate(gather, 0, turnsMax, performance.now() + gatherMs)
  }

  /** As long as each turn of the event loop brings more, that belongs to the batch. */
  const gather = (before: number, turns: number, until: number) => {
    const isComplete = queue.length === before || queue.length >= limit
    if (isComplete || turns === 0 || performance.now() >= until) void flush()
    else setImmediate(gather, queue.length, turns - 1, until)
  }

  const flush = async () => {
    const batch: Batch<Entry, Result> = new Map()
    takeInto(batch)
    if (batch.size > 0) await commitBatch(batch)
    isScheduled = false
    schedule()
  }

  /** The first entries with different keys; the others keep their order for the next batch. */
  const takeInto = (batch: Batch<Entry, Result>) => {
    const rest: Waiting<Entry, Result>[] = []
    const tooLong = performance.now() - patienceMs
    for (const waiting of queue) {
      // A caller that has waited so long asks again: otherwise the queue would outlive its cause.
      if (waiting.since < tooLong) {
        reject([waiting], new Error('the database was too slow for all that waited for it'))
        continue
      }
      const key = keyOf(waiting.entry)
      const earlier = batch.get(key)
      if (earlier && isSame(earlier.entry, waiting.entry)) earlier.answers.push(...waiting.answers)
      else if (earlier || batch.size >= limit) rest.push(waiting)
      else batch.set(key, waiting)
    }
    queue = rest
  }

  const commitBatch = async (batch: Batch<Entry, Result>, mayGrow = true): Promise<void> => {
    const take = () => {
      if (mayGrow) takeInto(batch)
      return Array.from(batch.values(), ({ entry }) => entry)
    }
    try {
      resolve(batch.values(), await commit(take))
    } catch (error) {
      if (batch.size > 1 && !(error instanceof UnknownOutcome) && mayBeOneEntry(error)) {
        for (const one of batch) await commitBatch(new Map([one]), false)
        return
      }
      reject(batch.values(), error)
    }
  }

  const add = (entry: Entry) =>
    new Promise<Result>((resolve, reject) => {
      queue.push({ entry, since: performance.now(), answers: [{ resolve, reject }] })
      schedule()
    })
  return Object.assign(add, { waiting: () => queue.length })
}

/** Each of the batch with its result, in their order. */
function resolve<Entry, Result>(
  batch: Iterable<Waiting<Entry, Result>>,
  results: readonly (Result | Promise<Result>)[],
): void {
  let i = 0
  for (const { answers } of batch) {
    const result = results[i++] as Result | Promise<Result>
    for (const answer of answers) answer.resolve(result)
  }
}

function reject<Entry, Result>(refused: Iterable<Waiting<Entry, Result>>, error: unknown): void {
  for (const { answers } of refused) for (const answer of answers) answer.reject(error)
}
