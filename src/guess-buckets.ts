import { secondsToFill, type GuessLimit } from './protocol/guess-limits.ts'

/** Buckets by their names, in bounded memory, which several servers fill together. */
export interface GuessBuckets {
  /** How many seconds a bucket takes to empty. */
  fillOf(key: string, limit: GuessLimit): number
  /** Makes a bucket fuller, and tells nobody. */
  fill(key: string, seconds: number): void
  /** Adds a point for a guess that is under way. */
  take(key: string): void
  /** The guess was right, or was never judged: takes the point back. */
  giveBack(key: string): void
  /** The guess was wrong: the point stays, and the other servers will be told. */
  keep(key: string, limit: GuessLimit): void
  /** Tells of all points kept since the last time, unless there are none, and learns how full those buckets are in all. */
  share(tell: (fillings: readonly Filling[]) => Promise<readonly Filled[]>): Promise<void>
  size(): number
}

export interface Filling {
  readonly key: string
  /** How much fuller the bucket is. */
  readonly seconds: number
}

export interface Filled {
  readonly key: string
  /** When it is empty, in seconds since the epoch. */
  readonly emptyAt: number
}

interface Bucket {
  /** When it is empty, but for the guesses under way. */
  emptyAt: number
  /** Guesses under way here. */
  taken: number
}

/**
 * When there are `bucketsMax`, those that are empty and those that were not used for longest make room. A bucket that was
 * pushed out is remembered where it was shared, and heard of again within a second of the next guess.
 */
export function openGuessBuckets(now: () => number, bucketsMax: number): GuessBuckets {
  const buckets = new Map<string, Bucket>()
  /** By how many seconds the buckets were filled here since the others were told. */
  let untold = new Map<string, number>()

  const makeRoom = () => {
    if (buckets.size < bucketsMax) return
    const time = now()
    for (const [key, { emptyAt, taken }] of buckets) if (taken === 0 && emptyAt <= time) buckets.delete(key)
    // A tenth at once, so that the walk above is rare. Those that were used last are at the end.
    for (const key of buckets.keys()) {
      if (buckets.size <= bucketsMax * 0.9) return
      buckets.delete(key)
    }
  }
  /** The bucket, which is now the one that was used last. */
  const use = (key: string): Bucket => {
    makeRoom()
    const bucket = buckets.get(key) ?? { emptyAt: 0, taken: 0 }
    buckets.delete(key)
    buckets.set(key, bucket)
    return bucket
  }
  const fill = (key: string, seconds: number) => {
    const bucket = use(key)
    bucket.emptyAt = Math.max(bucket.emptyAt, now()) + seconds
  }
  const giveBack = (key: string) => {
    const bucket = buckets.get(key)
    if (bucket) bucket.taken = Math.max(0, bucket.taken - 1)
  }
  const note = (key: string, seconds: number) => untold.set(key, seconds + (untold.get(key) ?? 0))

  return {
    fillOf: (key, limit) => {
      const bucket = buckets.get(key)
      return bucket ? Math.max(0, bucket.emptyAt - now()) + secondsToFill(bucket.taken, limit) : 0
    },
    fill,
    take: key => {
      use(key).taken++
    },
    giveBack,
    keep: (key, limit) => {
      const seconds = secondsToFill(1, limit)
      giveBack(key)
      fill(key, seconds)
      note(key, seconds)
    },
    share: async tell => {
      if (untold.size === 0) return
      const telling = untold
      untold = new Map()
      try {
        for (const { key, emptyAt } of await tell([...telling].map(([key, seconds]) => ({ key, seconds })))) {
          const bucket = buckets.get(key)
          if (bucket) bucket.emptyAt = emptyAt + (untold.get(key) ?? 0)
        }
      } catch (error) {
        // They are told with the next ones.
        for (const [key, seconds] of telling) note(key, seconds)
        throw error
      }
    },
    size: () => buckets.size,
  }
}
