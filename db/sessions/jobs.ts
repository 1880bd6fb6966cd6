import { sql as fragment, type ExpressionBuilder, type Kysely, type Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { JobTable, Tables } from '../schema.ts'
import { take } from '../steps.ts'
import type { Writer } from '../writer.ts'
import type { ToldEnd } from './end-reasons.ts'
import { writeEnds } from './revocations.ts'

/** So long after its last sign of life somebody else takes a job over, in seconds. */
export const claimSeconds = 10

/** Part of a transaction, or a statement of its own. */
export async function insertJob(sql: Kysely<Tables>, job: JobTable): Promise<void> {
  await sql.insertInto('jobs').values(job).execute()
}

/** Notes a job that is not begun. */
export async function addJob({ transact }: Writer, job: JobTable): Promise<true> {
  return transact(async transaction => {
    await insertJob(transaction, job)
    return true
  })
}

export async function findJob({ sql }: Database, id: Buffer): Promise<JobTable | undefined> {
  return sql.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst()
}

/** Those of these kinds, the newest first. */
export async function listJobs(
  { sql }: Database,
  {
    acts,
    before,
    limit,
  }: {
    readonly acts: readonly JobTable['act'][]
    readonly before: Buffer | undefined
    readonly limit: number
  },
): Promise<readonly JobTable[]> {
  return sql
    .selectFrom('jobs')
    .selectAll()
    .where('act', 'in', acts)
    .$if(before !== undefined, query => query.where('id', '<', before ?? Buffer.alloc(16)))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
}

/**
 * Takes over the oldest job of this kind that is not claimed, and that no ending does; undefined when there
 * is none. Of several callers one gets it.
 */
export async function claimJob(
  { sql }: Database,
  act: JobTable['act'],
  now: number,
): Promise<JobTable | undefined> {
  // No claim lasts longer: then a clock was ahead.
  const isFree = (eb: ExpressionBuilder<Tables, 'jobs'>) =>
    eb.and([
      eb('act', '=', act),
      eb('ended_at', 'is', null),
      eb('state', '=', 'running'),
      eb('ending_id', 'is', null),
      eb.or([eb('claimed_until', '<=', now), eb('claimed_until', '>', now + claimSeconds)]),
    ])
  return sql
    .updateTable('jobs')
    .set({ claimed_until: now + claimSeconds })
    .where(isFree)
    .where('id', '=', ({ selectFrom }) =>
      selectFrom('jobs').select('id').where(isFree).orderBy('id').limit(1),
    )
    .returningAll()
    .executeTakeFirst()
}

/** Leaves the job to the next caller that asks. */
export async function releaseJob({ sql }: Database, { id }: JobTable): Promise<void> {
  await sql.updateTable('jobs').set({ claimed_until: 0 }).where('id', '=', id).execute()
}

/** The sessions of one step, and the last one that was looked at; undefined once all were. */
export interface JobStep {
  readonly ids: readonly Buffer[]
  readonly cursor: Buffer | undefined
}

/**
 * Ends the sessions of the next step, in one transaction that also remembers how far the job has come.
 * Undefined, and nothing is done, where it was stopped, or another process has come further.
 */
export async function stepJob(
  { transact }: Writer,
  job: JobTable,
  { ids, cursor }: JobStep,
  end: ToldEnd,
): Promise<{ readonly revoked: readonly Buffer[]; readonly job: JobTable } | undefined> {
  const { now } = end
  const isDone = cursor === undefined
  return transact(async transaction => {
    // The row is locked from here on: a stop comes before the step, or after it.
    const moved = await transaction
      .updateTable('jobs')
      .set({ claimed_until: now + claimSeconds, cursor: cursor ?? job.cursor })
      .$if(isDone, query => query.set({ state: 'done', ended_at: now }))
      .where('id', '=', job.id)
      .where('ended_at', 'is', null)
      .where('cursor', job.cursor === null ? 'is' : '=', job.cursor)
      .returning('id')
      .executeTakeFirst()
    if (!moved) return undefined
    const revoked = await take(transaction, writeEnds(transaction, ids, end))
    const told = await transaction
      .updateTable('jobs')
      .set({ done: fragment`done + ${revoked.length}` })
      .where('id', '=', job.id)
      .returningAll()
      .executeTakeFirstOrThrow()
    return { revoked, job: told }
  })
}

/** Part of each step of an ending: its job, if it has one, shows how far it has come. */
export async function tellJobOf(
  transaction: Transaction<Tables>,
  endingId: number,
  { ended, endedAt }: { readonly ended: number; readonly endedAt: number | undefined },
): Promise<void> {
  await transaction
    .updateTable('jobs')
    .set({ done: fragment`done + ${ended}` })
    .$if(endedAt !== undefined, query => query.set({ state: 'done', ended_at: endedAt ?? null }))
    .where('ending_id', '=', endingId)
    .where('ended_at', 'is', null)
    .execute()
}

/** Stops a job after the step that is under way; false where it has ended, or is that of an ending. */
export async function stopJob({ transact }: Writer, id: Buffer, now: number): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('jobs')
      .set({ state: 'stopped', ended_at: now })
      .where('id', '=', id)
      .where('ended_at', 'is', null)
      .where('ending_id', 'is', null)
      .executeTakeFirstOrThrow()
    return numUpdatedRows === 1n
  })
}

/** Deletes jobs that have ended before that time, at most `limit`. */
export async function deleteJobs(
  { sql }: Database,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<void> {
  await sql
    .deleteFrom('jobs')
    .where('id', 'in', ({ selectFrom }) =>
      selectFrom('jobs').select('id').where('ended_at', '<', before).orderBy('id').limit(limit),
    )
    .execute()
}
