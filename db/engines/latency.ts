/** How long something took, each time: plain numbers, which cost next to nothing to keep. */
export interface Latency {
  /**
   * How many took at most so long as `latencyBounds` says, and longer than the bound before; the last one:
   * still longer.
   */
  readonly counts: readonly number[]
  readonly sumSeconds: number
}

/** The upper bounds of the buckets, in seconds. */
export const latencyBounds: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

export interface Stopwatch extends Latency {
  /** Does the work, and notes how long that took, also when it fails. */
  time<T>(work: () => Promise<T>): Promise<T>
}

/** How busy a database keeps this process. */
export interface DatabaseLoad {
  /** Of the commits of refreshes, each of which may hold many. */
  readonly commits: Stopwatch
  /** Of the small question that each server asks twice a second. */
  readonly polls: Stopwatch
  /** How many refreshes wait for a commit. */
  readonly waitingRotations: () => number
  /** How many wait for a connection, or for their turn on the only one. */
  readonly waitingForConnection: () => number
}

export function openStopwatch(): Stopwatch {
  const counts = latencyBounds.map(() => 0).concat(0)
  const latency: { sumSeconds: number } & Stopwatch = {
    counts,
    sumSeconds: 0,
    time: async <T>(work: () => Promise<T>): Promise<T> => {
      const startedAt = performance.now()
      try {
        return await work()
      } finally {
        const seconds = (performance.now() - startedAt) / 1000
        let bucket = 0
        while (seconds > (latencyBounds[bucket] ?? Infinity)) bucket++
        counts[bucket] = (counts[bucket] ?? 0) + 1
        latency.sumSeconds += seconds
      }
    },
  }
  return latency
}
