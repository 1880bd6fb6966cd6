import { createHash } from 'node:crypto'
import type { JobTable } from '../../../db/schema.ts'
import { addUpload, addUploadPiece, dropUpload as dropUploadRow } from '../../../db/users/import-jobs.ts'
import { Refusal } from '../../errors.ts'
import type { Admin } from '../admin.ts'
import { newJobRow } from '../jobs.ts'
import { lineFeed, type UsersForm } from './entries.ts'
import { sealPiece } from './job-pieces.ts'

/** A file of users that has arrived, and waits in the database for its import, sealed. */
export interface Upload {
  readonly id: Buffer
  readonly form: UsersForm
  /** SHA-256, in hexadecimal digits. */
  readonly digest: string
  readonly bytes: number
  /** How many pieces it is kept in. */
  readonly pieces: number
  /** How many line feeds it has. */
  readonly lines: number
}

/** A file that arrives. */
export interface SentFile {
  readonly form: UsersForm
  /** Its size in bytes, as far as its sender has told it. */
  readonly length: number | undefined
  readonly body: AsyncIterable<Buffer>
}

/** A file that is larger is sent in several. */
export const uploadMaxBytes = 512 * 1024 * 1024

/** Few enough that no refresh waits long for one, and that a copy of the database holds many at once. */
const pieceBytes = 64 * 1024

/** So many imports may be under way, since their files are in the database. */
const importsMax = 3

/**
 * Keeps a file that arrives, piece by piece, so that any server can import it. Refuses one that is empty or
 * too large, and one too many.
 */
export async function receiveUpload(admin: Admin, sent: SentFile): Promise<Upload> {
  const { db, clock } = admin
  if (sent.length !== undefined && sent.length > uploadMaxBytes) throw tooLarge()
  const job = newJobRow(admin, { act: 'import_users', choice: {}, filter: null })
  if (!(await addUpload(db, job, { now: clock.now(), max: importsMax })))
    throw new Refusal(
      'conflict',
      `${importsMax} imports are under way, which is as many as there may be: wait for one of them, or stop it`,
    )
  try {
    return await keepPieces(admin, job, sent)
  } catch (error) {
    await dropUpload(admin, job)
    throw error
  }
}

/** Forgets a file that is not imported. Where this fails, it is given up a minute later. */
export async function dropUpload({ db }: Pick<Admin, 'db'>, { id }: { readonly id: Buffer }): Promise<void> {
  await dropUploadRow(db, id).catch(() => {})
}

async function keepPieces(
  { db, rootKeys, clock }: Admin,
  { id }: JobTable,
  { form, body }: SentFile,
): Promise<Upload> {
  const hash = createHash('sha256')
  let [bytes, lines, pieces] = [0, 0, 0]
  const keep = async (content: Buffer) => {
    const now = clock.now()
    const name = { job_id: id, kind: 'upload', number: pieces++ } as const
    if (!(await addUploadPiece(db, sealPiece({ rootKeys }, name, { content, now }), now))) throw givenUp()
  }
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > uploadMaxBytes) throw tooLarge()
    hash.update(chunk)
    for (let i = chunk.indexOf(lineFeed); i >= 0; i = chunk.indexOf(lineFeed, i + 1)) lines++
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (; rest.length >= pieceBytes; rest = rest.subarray(pieceBytes))
      await keep(rest.subarray(0, pieceBytes))
  }
  if (bytes === 0) throw new Refusal('invalid', 'the body is empty: it is the file of users')
  if (rest.length > 0) await keep(rest)
  return { id, form, digest: hash.digest('hex'), bytes, pieces, lines }
}

const tooLarge = () =>
  new Refusal(
    'too_large',
    `the file is larger than ${uploadMaxBytes / 1024 / 1024} MiB: send it in several, or import it on the host by ` +
      '`mintmark user import`, which takes any',
  )

const givenUp = () =>
  new Refusal('conflict', 'the import was stopped, or nothing of its file has arrived for a minute')
