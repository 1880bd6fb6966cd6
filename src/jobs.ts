import type { Context } from './context.ts'

/** How often a server asks whether something has changed: so that a change takes effect within a second. */
const followMilliseconds = 500

/** Starts all timers; the answer stops them and waits for what is under way. */
export function startJobs(ctx: Context): () => Promise<void> {
  const jobs = [
    repeat(ctx, 'following the registry', followMilliseconds, () => ctx.registry.follow()),
    repeat(ctx, 'following the key ring', followMilliseconds, () => ctx.keys.follow()),
  ]
  return async () => {
    await Promise.all(jobs.map(stop => stop()))
  }
}

/** Runs the job again and again, with a pause in between. A failure is logged once, until it succeeds again. */
function repeat(
  ctx: Context,
  name: string,
  milliseconds: number,
  job: () => Promise<unknown>,
): () => Promise<void> {
  let isFailing = false
  let isStopped = false
  let timer: NodeJS.Timeout
  let running = Promise.resolve()

  const run = async () => {
    try {
      await job()
      if (isFailing) ctx.log.info(`${name} works again`)
      isFailing = false
    } catch (error) {
      if (!isFailing) ctx.log.error({ err: error }, `${name} failed, and is tried again`)
      isFailing = true
    }
    if (!isStopped) schedule()
  }
  const schedule = () => {
    timer = setTimeout(() => {
      running = run()
    }, milliseconds)
  }
  schedule()
  return async () => {
    isStopped = true
    clearTimeout(timer)
    await running
  }
}
