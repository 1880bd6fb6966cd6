import type { Context } from './context.ts'

/** How often a server asks whether something has changed: so that a change takes effect within a second. */
const followMilliseconds = 500

/** Starts all timers; the answer stops them and waits for what is under way. */
export function startJobs(ctx: Context): () => Promise<void> {
  const followers = [
    repeat(ctx, 'asking the database', followMilliseconds, () => ctx.standing.follow()),
    repeat(ctx, 'following the registry', followMilliseconds, () => ctx.registry.follow()),
    repeat(ctx, 'following the key ring', followMilliseconds, () => ctx.keys.follow()),
  ]
  // Where the database tells of changes, they are followed at once; the pause above is for what it did not tell.
  const watch = ctx.db.watch(() => {
    for (const { hurry } of followers) hurry()
  })
  const listener = repeat(ctx, 'listening to the database', followMilliseconds, () => watch.keep())
  return async () => {
    await Promise.all([...followers, listener].map(({ stop }) => stop()))
    await watch.close()
  }
}

interface Job {
  /** Does not wait for the pause to end; after what is under way, it is done once more. */
  hurry(): void
  stop(): Promise<void>
}

/** Runs the job again and again, with a pause in between. A failure is logged once, until it succeeds again. */
function repeat(ctx: Context, name: string, milliseconds: number, job: () => Promise<unknown>): Job {
  let isFailing = false
  let isStopped = false
  let isHurried = false
  let timer: NodeJS.Timeout | undefined
  let running = Promise.resolve()

  const run = async () => {
    timer = undefined
    isHurried = false
    try {
      await job()
      if (isFailing) ctx.log.info(`${name} works again`)
      isFailing = false
    } catch (error) {
      if (!isFailing) ctx.log.error({ err: error }, `${name} failed, and is tried again`)
      isFailing = true
    }
    if (!isStopped) schedule(isHurried ? 0 : milliseconds)
  }
  const schedule = (pause: number) => {
    timer = setTimeout(() => {
      running = run()
    }, pause)
  }
  schedule(milliseconds)
  return {
    hurry: () => {
      isHurried = true
      if (!timer || isStopped) return
      clearTimeout(timer)
      schedule(0)
    },
    stop: async () => {
      isStopped = true
      clearTimeout(timer)
      await running
    },
  }
}
