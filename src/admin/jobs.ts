import { latestSessionId } from '../../db/sessions/pages.ts'
import { addJob, findJob, listJobs, stopJob as stopJobRow } from '../../db/sessions/jobs.ts'
import type { JobTable } from '../../db/schema.ts'
import { writeFilter } from '../endings/session-jobs.ts'
import { Refusal } from '../errors.ts'
import { formatUuid, newUuid } from '../protocol/secrets.ts'
import { nameOf, originOf } from '../record/actor.ts'
import { record } from '../record/record.ts'
import { timeText } from '../values/formats.ts'
import { cutPage } from '../values/list.ts'
import type { Admin } from './admin.ts'
import { isWhole, revokeWhole, type ChosenSessions, type PageChoice } from './sessions.ts'

/** So many sessions get their end before the answer; a server sees to the rest. */
const stepsBefore = 5

/**
 * Ends the chosen sessions, and returns the job that tells how far that has come. All of a user, of a client,
 * or all there are have ended when it returns; of any others those that have begun by now end one after the
 * other. Refuses a user that was deleted since the choice.
 */
export async function startEnding(admin: Admin, chosen: ChosenSessions): Promise<JobTable> {
  const { filter } = chosen
  const job = await newJob(admin, chosen)
  if (isWhole(filter)) await revokeWhole(admin, filter, { stepsMax: stepsBefore, job })
  else {
    const { userId = null, clientId = null } = filter
    const detail = { job: formatUuid(job.id), act: job.act, choice: JSON.parse(job.choice) as object }
    const created = { event: 'job_created', userId, clientId, detail } as const
    await record(admin, created, writer => addJob(writer, job))
  }
  return existingJob(admin, job.id)
}

async function newJob(
  admin: Admin,
  { choice: { olderThan, before, idleFor }, filter, document }: ChosenSessions,
): Promise<JobTable> {
  const choice = {
    ...document,
    ...(olderThan !== undefined && { older_than: olderThan }),
    ...(before !== undefined && { before: timeText(before) }),
    ...(idleFor !== undefined && { idle_for: idleFor }),
  }
  const ends = isWhole(filter) ? [] : [filter.upTo, await latestSessionId(admin.db)]
  const [upTo] = ends.filter(end => end !== undefined).sort(Buffer.compare)
  return newJobRow(admin, {
    act: 'end_sessions',
    choice,
    filter: isWhole(filter) ? null : writeFilter({ ...filter, ...(upTo && { upTo }) }),
  })
}

/** The row of a job that is not begun. */
export function newJobRow(
  { clock, actor }: Pick<Admin, 'clock' | 'actor'>,
  { act, choice, filter }: Pick<JobTable, 'act' | 'filter'> & { readonly choice: object },
): JobTable {
  const now = clock.now()
  const origin = originOf(actor)
  return {
    id: newUuid(now),
    act,
    choice: JSON.stringify(choice),
    filter,
    ending_id: null,
    actor: nameOf(actor),
    address: origin?.address ?? null,
    request_id: origin?.requestId ?? null,
    created_at: now,
    state: 'running',
    cursor: null,
    done: 0,
    refused: act === 'import_users' ? 0 : null,
    total: null,
    claimed_until: 0,
    ended_at: null,
    problem: null,
  }
}

/** What jobs may do. */
export type JobAct = JobTable['act']

export const jobActs: readonly JobAct[] = ['end_sessions', 'import_users']

/** Refuses one that does something else as if it were not there. */
export async function existingJob(
  { db }: Pick<Admin, 'db'>,
  id: Buffer,
  acts: readonly JobAct[] = jobActs,
): Promise<JobTable> {
  const job = await findJob(db, id)
  if (job && acts.includes(job.act)) return job
  throw new Refusal('not_found', `there is no job ${formatUuid(id)}`, 'it is deleted 7 days after its end')
}

export interface JobPage {
  readonly jobs: readonly JobTable[]
  readonly next: Buffer | undefined
}

/** One page of the jobs that do one of these, the newest first. */
export async function pageOfJobs(
  { db }: Pick<Admin, 'db'>,
  { acts, after, limit }: PageChoice & { readonly acts: readonly JobAct[] },
): Promise<JobPage> {
  const { page, last } = cutPage(await listJobs(db, { acts, before: after, limit: limit + 1 }), limit)
  return { jobs: page, next: last?.id }
}

/** Stops a job after the step that is under way. Refuses one that has ended, and one that ends at once. */
export async function stopJob(admin: Admin, id: Buffer, acts: readonly JobAct[]): Promise<JobTable> {
  const job = await existingJob(admin, id, acts)
  const stopped = { event: 'job_stopped', detail: { job: formatUuid(id) } } as const
  const isStopped = await record(admin, stopped, writer => stopJobRow(writer, id, admin.clock.now()))
  if (isStopped) return existingJob(admin, id)
  throw new Refusal(
    'conflict',
    job.ending_id === null
      ? 'the job has ended'
      : 'these sessions have ended already: only the status lists have to learn of each',
  )
}

/** The document of a job. */
export function describeJob(job: JobTable) {
  const { id, act, choice, actor, state, done, refused, total, problem, created_at, ended_at } = job
  return {
    id: formatUuid(id),
    act,
    choice: JSON.parse(choice) as object,
    actor,
    state,
    done,
    refused,
    total,
    result: ended_at === null ? null : resultOf(job),
    problem,
    created_at,
    ended_at,
  }
}

function resultOf({ act, choice, done, refused }: JobTable) {
  if (act === 'end_sessions') return { sessions_revoked: done }
  const { dry_run: isDryRun = false } = JSON.parse(choice) as { readonly dry_run?: boolean }
  const rest = { entries_refused: refused ?? 0 }
  const users = done - rest.entries_refused
  return isDryRun ? { users_to_create: users, ...rest } : { users_created: users, ...rest }
}
