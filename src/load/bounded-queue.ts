import { openSourceQuota } from './source-quota.ts'

/*
 * Protects the threads of the process from work that takes long, such as hashing passwords: signatures are
 * made in the same ones.
 */

/**
 * Runs at most `concurrency` at once, first come, first served. Turns a source away when `waitingMax` wait
 * already, or it has its quota of those who wait: it sees `tooMany`.
 */
export function boundedQueue(concurrency: number, waitingMax: number, tooMany: Error) {
  const waiting: (() => void)[] = []
  const quota = openSourceQuota(waitingMax)
  let running = 0
  const refuseIfQueueFull = (source?: string) => {
    if (running < concurrency) return
    if (waiting.length >= waitingMax || !quota.hasRoomFor(source)) throw tooMany
  }
  return {
    refuseIfQueueFull,
    load: () => ({ running, waiting: waiting.length }),
    run: async <T>(work: () => Promise<T>, source?: string): Promise<T> => {
      refuseIfQueueFull(source)
      if (running < concurrency) running++
      else {
        quota.take(source)
        // The one that ends hands its turn on, so the turn stays counted.
        await new Promise<void>(turn => waiting.push(turn))
        quota.giveBack(source)
      }
      try {
        return await work()
      } finally {
        const next = waiting.shift()
        if (next) next()
        else running--
      }
    },
  }
}
