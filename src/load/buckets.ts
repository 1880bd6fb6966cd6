/**
 * Leaky buckets: they protect accounts from guesses, and the audit trail from noise. One more point that
 * would make a bucket overflow is too much. Buckets refuse nothing themselves: a guesser sees 429 with
 * Retry-After (users/throttle.ts), and of noise the audit trail has a count (record/audit-trail.ts).
 */

import type { Clock } from '../clock.ts'

/**
 * How much of something is let through: a bucket that each adds a point to, and that loses one every so many
 * seconds. One more that would make it overflow is refused.
 */
export interface BucketLimit {
  readonly points: number
  readonly everySeconds: number
  /** How many points the bucket holds, where others may fill it higher than this limit does. */
  readonly holds?: number
}

/**
 * How many seconds a bucket takes to empty that is full. No bucket takes longer, unless a clock went wrong.
 */
export function secondsWhenFull(limit: BucketLimit): number {
  return secondsToFill(limit.holds ?? limit.points, limit)
}

/** How many seconds a bucket takes to empty that holds so many points. */
export function secondsToFill(points: number, { everySeconds }: BucketLimit): number {
  return points * everySeconds
}

/**
 * For how many seconds one more guess is too many; 0 when it is not. `fill` is how many the bucket takes to
 * empty.
 */
export function secondsToWait(fill: number, limit: BucketLimit): number {
  return Math.max(0, fill - secondsToFill(limit.points - 1, limit))
}

/** How full a bucket is: it is empty at that time, in seconds since the epoch. */
export interface Fill {
  readonly key: string
  readonly emptyAt: number
}

/** By how many seconds a bucket is to be filled, and how many it takes to empty when it is full. */
export interface Filling {
  readonly key: string
  readonly seconds: number
  readonly secondsWhenFull: number
}

/** Buckets by their names, in bounded memory, which several servers fill together. */
export interface Buckets {
  /** How many seconds a bucket takes to empty. */
  fillOf(key: string, limit: BucketLimit): number
  /** Adds a point to a bucket, and does not tell the others. */
  fill(key: string, limit: BucketLimit): void
  /** Adds a point for a guess that is under way. */
  take(key: string): void
  /** The guess was right, or was never judged: takes the point back. */
  giveBack(key: string): void
  /** The guess was wrong: the point stays, and the other servers will be told. */
  keep(key: string, limit: BucketLimit): void
  /** Learns how full buckets are by what all servers have told. */
  hear(throttles: readonly Fill[]): void
  /**
   * Tells of the points kept since the last time, unless there are none, and learns how full those buckets
   * are in all. After an outage those of `tellingMax` buckets at once, the rest with the next call.
   */
  share(tell: (fillings: readonly Filling[]) => Promise<readonly Fill[]>): Promise<void>
  /** How many buckets are in memory, and what is to be told of them. */
  size(): number
}

/** So many rows are written in a moment, and no other write waits long. */
const tellingMax = 5000

interface Bucket {
  /** When it is empty, but for the guesses under way. */
  emptyAt: number
  /** Guesses under way here. */
  taken: number
}

/**
 * When there are `bucketsMax`, those that are empty and those that were not used for longest make room. A
 * bucket that was pushed out is remembered where it was shared.
 */
export function openBuckets(clock: Clock, bucketsMax: number): Buckets {
  const buckets = new Map<string, Bucket>()
  const untold = openUntold(bucketsMax)

  const makeRoom = () => {
    if (buckets.size < bucketsMax) return
    const time = clock.now()
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
  /** The rest of a bucket. A wrong clock has filled one that is fuller than it can be: it counts as full. */
  const left = (bucket: Bucket, limit: BucketLimit) => {
    const time = clock.now()
    bucket.emptyAt = Math.min(bucket.emptyAt, time + secondsWhenFull(limit))
    return Math.max(0, bucket.emptyAt - time)
  }
  const fill = (key: string, limit: BucketLimit) => {
    const bucket = use(key)
    bucket.emptyAt = clock.now() + left(bucket, limit) + secondsToFill(1, limit)
  }
  const giveBack = (key: string) => {
    const bucket = buckets.get(key)
    if (bucket) bucket.taken = Math.max(0, bucket.taken - 1)
  }

  return {
    fillOf: (key, limit) => {
      const bucket = buckets.get(key)
      return bucket ? left(bucket, limit) + secondsToFill(bucket.taken, limit) : 0
    },
    fill,
    take: key => {
      use(key).taken++
    },
    giveBack,
    keep: (key, limit) => {
      giveBack(key)
      fill(key, limit)
      untold.note({ key, seconds: secondsToFill(1, limit), secondsWhenFull: secondsWhenFull(limit) })
    },
    hear: throttles => {
      for (const { key, emptyAt } of throttles) {
        const bucket = use(key)
        // Never less than what is known here: some of it may be on its way.
        bucket.emptyAt = Math.max(bucket.emptyAt, emptyAt + untold.secondsOf(key))
      }
    },
    share: async tell => {
      if (untold.size() === 0) return
      for (const { key, emptyAt } of await untold.tell(tell)) {
        const bucket = buckets.get(key)
        if (bucket) bucket.emptyAt = emptyAt + untold.secondsOf(key)
      }
    },
    size: () => buckets.size + untold.size(),
  }
}

/** By how many seconds buckets were filled here since the others were told. */
function openUntold(bucketsMax: number) {
  const untold = new Map<string, Filling>()
  const secondsOf = (key: string) => untold.get(key)?.seconds ?? 0
  const note = ({ key, seconds, secondsWhenFull }: Filling) => {
    const sum = secondsOf(key) + seconds
    untold.delete(key)
    // The others could not be told for so long that this no longer fits: the oldest one counts here alone.
    const [first] = untold.size >= bucketsMax ? untold.keys() : []
    if (first !== undefined) untold.delete(first)
    untold.set(key, { key, seconds: sum, secondsWhenFull })
  }
  return {
    secondsOf,
    note,
    tell: async (tell: (fillings: readonly Filling[]) => Promise<readonly Fill[]>) => {
      const telling = [...untold.values()].slice(0, tellingMax)
      for (const { key } of telling) untold.delete(key)
      try {
        return await tell(telling)
      } catch (error) {
        // They are told with the next ones.
        for (const filling of telling) note(filling)
        throw error
      }
    },
    size: () => untold.size,
  }
}
