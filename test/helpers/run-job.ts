import type { Job } from '../../src/upkeep/job.ts'

/** What has jobs: a service that was opened, or a server whose jobs are run by hand. */
interface Worker {
  readonly jobs: readonly Job[]
}

/** Does one of the jobs, as if its time had come; `signal` stops it in the middle. */
export function runJob(
  worker: Worker,
  name: string,
  signal: AbortSignal = new AbortController().signal,
): Promise<unknown> {
  return jobOf(worker, name).run(signal)
}

/** Tells what a job has left to tell, as if all jobs had stopped. */
export async function runLast(worker: Worker, name: string): Promise<void> {
  await jobOf(worker, name).last?.()
}

function jobOf({ jobs }: Worker, name: string): Job {
  const job = jobs.find(one => one.name === name)
  if (!job) throw new Error(`there is no job "${name}"`)
  return job
}
