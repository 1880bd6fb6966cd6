import type { Database } from '../../db/database.ts'
import type { Log } from '../record/log.ts'
import { followSeconds, type Job } from '../upkeep/job.ts'
import { repeat } from './repeat.ts'

/**
 * Starts the jobs, whatever they do; the answer stops them, waits for what is under way, and tells what is
 * left to tell. Where the database tells of changes, what follows it is done at once: its pause is for what
 * the database did not tell.
 */
export function startJobs(jobs: readonly Job[], db: Pick<Database, 'watch'>, log: Log): () => Promise<void> {
  const running = jobs.map(job => ({ job, ...repeat(job, log) }))
  const watch = db.watch(() => {
    for (const { job, hurry } of running) if (job.follows) hurry()
  })
  const listening = {
    name: 'listening to the database',
    everySeconds: followSeconds,
    run: () => watch.keep(),
  }
  const { stop: stopListening } = repeat(listening, log)
  return async () => {
    await Promise.all([stopListening(), ...running.map(({ stop }) => stop())])
    await watch.close()
    // What was opened later uses what was opened before it, and may leave something there to tell.
    for (const { last } of jobs.toReversed()) {
      // The server closes all the same.
      await last?.().catch((error: unknown) =>
        log.error({ err: error }, 'the last notes of this server are lost'),
      )
    }
  }
}
