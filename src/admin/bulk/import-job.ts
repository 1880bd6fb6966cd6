import type { JobTable } from '../../../db/schema.ts'
import { claimJob, releaseJob } from '../../../db/sessions/jobs.ts'
import {
  beginImportJob,
  endImportJob,
  failLostUploads,
  readUploadPiece,
  restartDryRun,
  stepDryRun,
  stepImportJob,
  type StepRefusals,
} from '../../../db/users/import-jobs.ts'
import { deleteUnneededPieces } from '../../../db/users/job-pieces.ts'
import { findTaken, type AddedPart, type ImportedPart, type TakenEntry } from '../../../db/users/imports.ts'
import { Refusal } from '../../errors.ts'
import type { RootKeys } from '../../keys/root/root-key.ts'
import { formatUuid } from '../../protocol/secrets.ts'
import { actorNamed } from '../../record/actor.ts'
import { record, type Recorder } from '../../record/record.ts'
import { followSeconds, forgetSeconds, type Job } from '../../upkeep/job.ts'
import type { Passwords } from '../../users/passwords.ts'
import type { Admin } from '../admin.ts'
import { existingJob } from '../jobs.ts'
import type { UsersForm } from './entries.ts'
import { openPiece, resealPieces, sealPiece } from './job-pieces.ts'
import { addAgain, importEvents, partsOf, refusedOf, type FilePart } from './parts.ts'
import type { Upload } from './upload.ts'

/** Few enough that no refresh waits long for them. */
const entriesAtOnce = 200

/** How long it rests after each step, as a multiple of the step: refreshes have the rest of the time. */
const restShare = 5

/** A document is parsed in one go, for which everybody waits. */
const documentMax = 8 * 1024 * 1024

/** How often it is looked whether pieces are sealed under an older root key. */
const lookSeconds = 10

const deletedAtOnce = 16

/** How the work is done, as its row has it. */
interface Plan {
  readonly form: UsersForm
  readonly pieces: number
  /** SHA-256 of the file, for the audit trail. */
  readonly file: string
  readonly isLimited: boolean
  /** Changes no user; rows of before it was there lack it. */
  readonly isDryRun?: boolean
}

/** A trial remembers all names of its file, in memory that requests need too. */
const dryRunMaxBytes = 32 * 1024 * 1024

/**
 * Begins to import a file that has arrived, or to find out what that would refuse, and returns the job, which
 * any server does.
 */
export async function startImport(
  admin: Admin,
  { id, form, digest: file, bytes, pieces, lines }: Upload,
  { isDryRun }: { readonly isDryRun: boolean },
): Promise<JobTable> {
  if (isDryRun && bytes > dryRunMaxBytes)
    throw new Refusal(
      'too_large',
      `a dry run takes files of up to ${dryRunMaxBytes / 1024 / 1024} MiB: \`mintmark user import FILE --dry-run\` ` +
        'on the host takes any',
    )
  const choice = { file, bytes, ...(isDryRun && { dry_run: true }) }
  const plan: Plan = { form, pieces, file, isLimited: admin.isLimited ?? false, isDryRun }
  const detail = { job: formatUuid(id), act: 'import_users', choice }
  const created = { event: 'job_created', userId: null, clientId: null, detail } as const
  const job = {
    id,
    choice: JSON.stringify(choice),
    filter: JSON.stringify(plan),
    total: form === 'lines' ? lines : null,
  }
  const progress = { digest: progressOf(id), now: admin.clock.now() }
  if (!(await record(admin, created, db => beginImportJob(db, job, progress))))
    throw new Refusal('conflict', 'the import was stopped before it began')
  return existingJob(admin, id)
}

/** Where its progress is noted among other imports: a file that is sent twice is two works. */
const progressOf = (id: Buffer) => `job ${formatUuid(id)}`

interface Importing extends Omit<Recorder, 'actor'> {
  readonly rootKeys: RootKeys
  readonly passwords: Passwords
}

/** Imports files that administrators have sent: rows of `jobs`, of which each server takes some. */
export function importJobs(on: Importing): { readonly jobs: readonly Job[] } {
  const { db, clock } = on
  return {
    jobs: [
      { name: 'importing users', everySeconds: followSeconds, run: signal => workOnJobs(on, signal) },
      {
        name: 'deleting files that were imported',
        everySeconds: forgetSeconds,
        run: async signal => {
          await failLostUploads(db, clock.now(), 'the file did not arrive to its end')
          await deletePieces(on, signal)
        },
      },
      { name: 'sealing files anew', everySeconds: lookSeconds, run: () => resealPieces(on) },
    ],
  }
}

async function deletePieces({ db, clock }: Importing, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const startedAt = clock.steady()
    if ((await deleteUnneededPieces(db, deletedAtOnce)) < deletedAtOnce) return
    await clock.pause(restShare * (clock.steady() - startedAt), signal)
  }
}

async function workOnJobs(on: Importing, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const job = await claimJob(on.db, 'import_users', on.clock.now())
    if (!job) return
    await workOn(on, job, signal)
  }
}

/** The work was stopped, or goes on elsewhere. */
class Interrupted extends Error {}

async function workOn(on: Importing, job: JobTable, signal: AbortSignal): Promise<void> {
  const { db, clock, passwords } = on
  const { id } = job
  const plan = JSON.parse(job.filter ?? '{}') as Plan
  const end = (problem?: string) =>
    endImportJob(db, { id, digest: progressOf(id) }, { now: clock.now(), problem })
  const rest = resting(on, signal)
  const chunks = () => chunksOf(on, job, plan, rest)
  const source = { name: 'the file', form: plan.form, chunks, documentMax }
  const reading = { db, passwords, clock, isLimited: plan.isLimited }
  // A dry run begins anew: the names of entries before are in no table.
  const from = plan.isDryRun ? await restartDryRun(db, id) : job.done
  const earlier = new Set<string>()
  try {
    for await (const part of partsOf(reading, source, { from, entriesAtOnce })) {
      const isDone = plan.isDryRun
        ? await tryStep(on, job, part, earlier)
        : (await addAgain(may => takeStep(on, job, { ...part, ...may }))) !== undefined
      if (!isDone) throw new Interrupted()
      await rest()
    }
    await end()
  } catch (error) {
    if (error instanceof Interrupted) return signal.aborted ? releaseJob(db, job) : undefined
    if (!(error instanceof Refusal)) throw error
    await end(error.text)
  }
  await deletePieces(on, signal)
}

/** Leaves most of the time to others: from the last call on. Throws once the work is to be interrupted. */
function resting({ clock }: Pick<Importing, 'clock'>, signal: AbortSignal): () => Promise<void> {
  let since = clock.steady()
  return async () => {
    await clock.pause(restShare * (clock.steady() - since), signal)
    since = clock.steady()
    if (signal.aborted) throw new Interrupted()
  }
}

async function* chunksOf(
  on: Importing,
  { id }: JobTable,
  { pieces }: Plan,
  rest: () => Promise<void>,
): AsyncGenerator<Buffer> {
  for (let number = 0; number < pieces; number++) {
    const piece = await readUploadPiece(on.db, { id, number }, on.clock.now())
    if (piece === 'stopped') throw new Interrupted()
    const content = piece && openPiece(on, piece)
    if (!content)
      throw new Refusal(
        'unavailable',
        'the file is not there to its end, or its root key is not in the file of root keys any more: send it again; ' +
          'those who were added are refused then, and nobody is there twice',
      )
    yield content
    await rest()
  }
}

/** Undefined where the job was stopped, or another process has come further. */
function takeStep(
  on: Importing,
  job: JobTable,
  part: FilePart & Pick<ImportedPart, 'mayBeTaken'>,
): Promise<AddedPart | undefined> {
  const { address, request_id } = job
  const { file } = JSON.parse(job.filter ?? '{}') as Plan
  const caller = { address: address ?? '', requestId: request_id ?? '' }
  const by: Recorder = { ...on, actor: actorNamed(job.actor, caller) }
  const now = on.clock.now()
  const imported = { ...part, digest: progressOf(job.id), refused: part.refused.length }
  return record(by, importEvents(file), db =>
    stepImportJob(db, job, imported, ({ taken }) => refusalsOf(on, job, part, taken), now),
  )
}

/** The same of a dry run, which adds no user. `earlier` remembers the names of entries before. */
async function tryStep(on: Importing, job: JobTable, part: FilePart, earlier: Set<string>): Promise<boolean> {
  const taken = await findTaken(on.db, part.users, earlier)
  return stepDryRun(on.db, job, part, refusalsOf(on, job, part, taken), on.clock.now())
}

/** What is kept of the entries of a part that are no users now. */
function refusalsOf(
  on: Importing,
  { id: job_id }: JobTable,
  part: FilePart,
  taken: readonly TakenEntry[],
): StepRefusals {
  const refused = refusedOf(part, taken)
  if (refused.length === 0) return { count: 0, piece: undefined }
  const content = Buffer.from(JSON.stringify(refused))
  const name = { job_id, kind: 'refused', number: part.from } as const
  return { count: refused.length, piece: sealPiece(on, name, { content, now: on.clock.now() }) }
}
