import type { Log } from '../record/log.ts'
import type { Job } from '../upkeep/job.ts'

/** A job under way. */
export interface Repeated {
  /** Does not wait for the pause to end. A run that is under way is followed by another at once. */
  hurry(): void
  /** Asks a run that takes long to come to an end, by its signal, and waits for it. */
  stop(): Promise<void>
}

/**
 * Runs the job again and again, with a pause in between. A failure is logged once, until it succeeds again.
 */
export function repeat({ name, everySeconds, run }: Job, log: Log): Repeated {
  const stopping = new AbortController()
  let isFailing = false
  let isHurried = false
  let timer: NodeJS.Timeout | undefined
  let running = Promise.resolve()

  const runOnce = async () => {
    timer = undefined
    isHurried = false
    try {
      await run(stopping.signal)
      if (isFailing) log.info(`${name} works again`)
      isFailing = false
    } catch (error) {
      if (!isFailing) log.error({ err: error }, `${name} failed, and is tried again`)
      isFailing = true
    }
    if (!stopping.signal.aborted) schedule(isHurried ? 0 : everySeconds)
  }
  const schedule = (seconds: number) => {
    timer = setTimeout(() => {
      running = runOnce()
    }, seconds * 1000)
  }
  schedule(everySeconds)
  return {
    hurry: () => {
      isHurried = true
      if (!timer || stopping.signal.aborted) return
      clearTimeout(timer)
      schedule(0)
    },
    stop: async () => {
      stopping.abort()
      clearTimeout(timer)
      await running
    },
  }
}
