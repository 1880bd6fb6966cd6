import { sql as fragment, type Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { JobPieceTable, JobTable, Tables } from '../schema.ts'
import { claimSeconds, insertJob } from '../sessions/jobs.ts'
import type { Writer } from '../writer.ts'
import { addPart, type AddedPart, type ImportedPart } from './imports.ts'

/** A file of which nothing has arrived for so long, in seconds, arrives no more. */
const arrivalSeconds = 60

/**
 * Notes a file that begins to arrive, unless so many others are under way already: then false, and nothing is
 * done.
 */
export async function addUpload(
  { transact, engine }: Writer,
  job: JobTable,
  { now, max }: { readonly now: number; readonly max: number },
): Promise<boolean> {
  return transact(async transaction => {
    // On PostgreSQL two at once would not see each other: so they come one after the other, as on SQLite.
    if (engine === 'postgres') await fragment`select pg_advisory_xact_lock(6025346003)`.execute(transaction)
    const { count } = await transaction
      .selectFrom('jobs')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('ended_at', 'is', null)
      .where('act', '=', job.act)
      .executeTakeFirstOrThrow()
    if (Number(count) >= max) return false
    await insertJob(transaction, { ...job, state: 'receiving', claimed_until: now + arrivalSeconds })
    return true
  })
}

/** Keeps a piece of a file that arrives; false where it was stopped, or has taken too long. */
export async function addUploadPiece(
  { transact }: Pick<Database, 'transact'>,
  piece: JobPieceTable,
  now: number,
): Promise<boolean> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('jobs')
      .set({ claimed_until: now + arrivalSeconds })
      .where('id', '=', piece.job_id)
      .where('state', '=', 'receiving')
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return false
    await transaction.insertInto('job_pieces').values(piece).execute()
    return true
  })
}

/** Begins the import of a file that has arrived; false where it was stopped since. */
export async function beginImportJob(
  { transact }: Writer,
  job: Pick<JobTable, 'id' | 'choice' | 'filter' | 'total'>,
  progress: { readonly digest: string; readonly now: number },
): Promise<boolean> {
  return transact(async transaction => {
    const { id, ...begun } = job
    const { numUpdatedRows } = await transaction
      .updateTable('jobs')
      .set({ ...begun, state: 'running', claimed_until: 0 })
      .where('id', '=', id)
      .where('state', '=', 'receiving')
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return false
    const { digest, now } = progress
    const fresh = { lines: 0, created: 0, refused: 0, began_at: now, ended_at: null }
    await transaction
      .insertInto('imports')
      .values({ digest, ...fresh })
      .execute()
    return true
  })
}

/** Forgets a file that was not wanted. Its pieces go with those of others. */
export async function dropUpload({ sql }: Database, id: Buffer): Promise<void> {
  await sql.deleteFrom('jobs').where('id', '=', id).where('state', '=', 'receiving').execute()
}

/** A piece of a file that is imported, while its job is under way, which is claimed anew with it. */
export async function readUploadPiece(
  { transact }: Database,
  { id: job_id, number }: { readonly id: Buffer; readonly number: number },
  now: number,
): Promise<JobPieceTable | 'stopped' | undefined> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('jobs')
      .set({ claimed_until: now + claimSeconds })
      .where('id', '=', job_id)
      .where('ended_at', 'is', null)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return 'stopped'
    return transaction
      .selectFrom('job_pieces')
      .selectAll()
      .where('job_id', '=', job_id)
      .where('kind', '=', 'upload')
      .where('number', '=', number)
      .executeTakeFirst()
  })
}

/** Entries of a part that are no users now. */
export interface StepRefusals {
  readonly count: number
  /** Undefined where there are none. */
  readonly piece: JobPieceTable | undefined
}

/**
 * Adds the users of one part of the file, and keeps what `refusedOf` makes of those that are not added, in
 * one transaction. Undefined, and nothing is done, where the job was stopped, or another process has come
 * further.
 */
export async function stepImportJob(
  { transact, engine }: Writer,
  { id }: JobTable,
  part: ImportedPart,
  refusedOf: (added: AddedPart) => StepRefusals,
  now: number,
): Promise<AddedPart | undefined> {
  return transact(async transaction => {
    if (!(await advance(transaction, id, part, now))) return undefined
    const added = await addPart(transaction, engine, part)
    if (!added) throw new Error('unreachable: both tell the same progress')
    await keepRefusals(transaction, id, refusedOf(added))
    return added
  })
}

/** The same of a dry run, which adds no user; false where nothing is done. */
export async function stepDryRun(
  { transact }: Pick<Database, 'transact'>,
  { id }: JobTable,
  part: Pick<ImportedPart, 'from' | 'to'>,
  refusals: StepRefusals,
  now: number,
): Promise<boolean> {
  return transact(async transaction => {
    if (!(await advance(transaction, id, part, now))) return false
    await keepRefusals(transaction, id, refusals)
    return true
  })
}

/** The row is locked from here on: a stop comes before the step, or after it. */
async function advance(
  transaction: Transaction<Tables>,
  id: Buffer,
  { from, to }: Pick<ImportedPart, 'from' | 'to'>,
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable('jobs')
    .set({ claimed_until: now + claimSeconds, done: to })
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .where('done', '=', from)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

async function keepRefusals(
  transaction: Transaction<Tables>,
  id: Buffer,
  { count, piece }: StepRefusals,
): Promise<void> {
  if (piece) await transaction.insertInto('job_pieces').values(piece).execute()
  if (count === 0) return
  await transaction
    .updateTable('jobs')
    .set({ refused: fragment`refused + ${count}` })
    .where('id', '=', id)
    .execute()
}

/** Forgets how far a dry run has come that was interrupted. Returns where it begins: at 0. */
export async function restartDryRun({ transact }: Pick<Database, 'transact'>, id: Buffer): Promise<number> {
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('jobs')
      .set({ done: 0, refused: 0 })
      .where('id', '=', id)
      .where('ended_at', 'is', null)
      .where('done', '>', 0)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows === 1n)
      await transaction
        .deleteFrom('job_pieces')
        .where('job_id', '=', id)
        .where('kind', '=', 'refused')
        .execute()
    return 0
  })
}

/** Ends an import, where it has not ended yet: with a problem, as failed. */
export async function endImportJob(
  { transact }: Pick<Database, 'transact'>,
  { id, digest }: { readonly id: Buffer; readonly digest: string },
  { now, problem }: { readonly now: number; readonly problem: string | undefined },
): Promise<void> {
  await transact(async transaction => {
    const state = problem === undefined ? 'done' : 'failed'
    await transaction
      .updateTable('jobs')
      .set({ state, problem: problem ?? null, ended_at: now })
      .where('id', '=', id)
      .where('ended_at', 'is', null)
      .execute()
    await transaction.updateTable('imports').set({ ended_at: now }).where('digest', '=', digest).execute()
  })
}

/** Gives up files that have stopped to arrive. */
export async function failLostUploads({ sql }: Database, now: number, problem: string): Promise<void> {
  await sql
    .updateTable('jobs')
    .set({ state: 'failed', problem, ended_at: now })
    .where('ended_at', 'is', null)
    .where('state', '=', 'receiving')
    .where('claimed_until', '<=', now)
    .execute()
}
