import type { JobTable } from '../../db/schema.ts'
import { pageOfSessions, type SessionFilter } from '../../db/sessions/pages.ts'
import { claimJob, deleteJobs, releaseJob, stepJob } from '../../db/sessions/jobs.ts'
import { lastUuidOf } from '../protocol/secrets.ts'
import { actorNamed } from '../record/actor.ts'
import { record, type Recorder } from '../record/record.ts'
import { followSeconds, forgetSeconds, type Job } from '../upkeep/job.ts'
import { day } from '../values/duration.ts'
import { factsOf } from './end-chosen.ts'
import { eventsOfSessions } from './ended-events.ts'

/** Few enough that no refresh waits long for them. */
const sessionsAtOnce = 200

/** How long a job can be seen after its end. */
const keepSeconds = 7 * day

const deletedAtOnce = 500

/** Ends the sessions that administrators have chosen: rows of `jobs`, of which each server takes some. */
export function sessionJobs(on: Omit<Recorder, 'actor'>): { readonly jobs: readonly Job[] } {
  const { db, clock } = on
  return {
    jobs: [
      {
        name: 'ending sessions that were chosen',
        everySeconds: followSeconds,
        run: signal => workOnJobs(on, signal),
      },
      {
        name: 'forgetting old jobs',
        everySeconds: forgetSeconds,
        run: () => deleteJobs(db, { before: clock.now() - keepSeconds, limit: deletedAtOnce }),
      },
    ],
  }
}

async function workOnJobs(on: Omit<Recorder, 'actor'>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const job = await claimJob(on.db, 'end_sessions', on.clock.now())
    if (!job) return
    await workOn(on, job, signal)
  }
}

/** Step by step. Rests after each as long as it took, so others get at least half of the database's time. */
async function workOn(on: Omit<Recorder, 'actor'>, job: JobTable, signal: AbortSignal): Promise<void> {
  const { db, clock } = on
  let rest: JobTable = job
  while (!signal.aborted) {
    const startedAt = clock.steady()
    const stepped = await takeStep(on, rest)
    if (!stepped || stepped.ended_at !== null) return
    rest = stepped
    await clock.pause(clock.steady() - startedAt, signal)
  }
  await releaseJob(db, rest)
}

/** The job after its next step; undefined where it was stopped, or another process has come further. */
export async function takeStep(on: Omit<Recorder, 'actor'>, job: JobTable): Promise<JobTable | undefined> {
  const { address, request_id, cursor } = job
  const caller = { address: address ?? '', requestId: request_id ?? '' }
  const by: Recorder = { ...on, actor: actorNamed(job.actor, caller) }
  const end = { now: on.clock.now(), reason: 'command' } as const
  const filter = { ...readFilter(job.filter ?? '{}'), livingAt: end.now }
  const page = await pageOfSessions(on.db, filter, { after: cursor ?? undefined, limit: sessionsAtOnce })
  const step = { ids: page.sessions.map(({ id }) => id), cursor: page.next }
  const isOneOfMany = cursor !== null || page.next !== undefined
  const stepped = await record(
    by,
    ({ revoked }: { readonly revoked: readonly Buffer[] }) =>
      eventsOfSessions(factsOf(page.sessions, revoked), end, isOneOfMany),
    writer => stepJob(writer, job, step, end),
  )
  return stepped?.job
}

/** Which sessions are meant, as a row of `jobs` has it. */
export function writeFilter(filter: SessionFilter): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(filter).map(([name, value]) => [name, writeId(value)])),
  )
}

function readFilter(text: string): SessionFilter {
  const { id, userId, upTo, beganBy, ...rest } = JSON.parse(text) as StoredFilter
  const ends = [
    ...(upTo === undefined ? [] : [Buffer.from(upTo, 'hex')]),
    ...(beganBy === undefined ? [] : [lastUuidOf(beganBy)]),
  ]
  const [end] = ends.sort(Buffer.compare)
  return {
    ...rest,
    ...(id !== undefined && { id: Buffer.from(id, 'hex') }),
    ...(userId !== undefined && { userId: Buffer.from(userId, 'hex') }),
    ...(end && { upTo: end }),
  }
}

type StoredFilter = Omit<SessionFilter, 'id' | 'userId' | 'upTo'> & {
  readonly id?: string
  readonly userId?: string
  readonly upTo?: string
  /** That began at this time or earlier: servers of version 0.1 have written so. */
  readonly beganBy?: number
}

const writeId = (value: unknown) => (Buffer.isBuffer(value) ? value.toString('hex') : value)
