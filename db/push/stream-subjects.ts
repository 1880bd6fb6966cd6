import type { Kysely } from 'kysely'
import { someAtOnce } from '../some-at-once.ts'
import type { StreamTable, Tables } from '../schema.ts'
import type { Writer } from '../writer.ts'

/** A stream that is there, and a user. */
export interface StreamSubject {
  readonly streamId: Buffer
  readonly userId: Buffer
}

export function subjectId({ streamId, userId }: StreamSubject): Buffer {
  return Buffer.concat([streamId, userId])
}

/** Of these, those that are in the table, in hexadecimal digits. */
export async function findSubjects(
  sql: Kysely<Tables>,
  subjects: readonly StreamSubject[],
): Promise<ReadonlySet<string>> {
  const found = new Set<string>()
  for (const some of someAtOnce(subjects.map(subjectId))) {
    const rows = await sql.selectFrom('stream_subjects').select('id').where('id', 'in', some).execute()
    for (const { id } of rows) found.add(id.toString('hex'))
  }
  return found
}

export type SubjectChange = 'changed' | 'as it was' | 'gone' | 'too many'

/** Whether a stream is about a user from now on: a row says the other one of what the stream says of all. */
export async function setSubject(
  { transact }: Writer,
  subject: StreamSubject,
  { isWanted, subjectsMax }: { readonly isWanted: boolean; readonly subjectsMax: number },
): Promise<{ readonly kind: SubjectChange }> {
  return transact(async (sql): Promise<{ readonly kind: SubjectChange }> => {
    const stream = await keepStream(sql, subject.streamId)
    if (!stream) return { kind: 'gone' }
    const id = subjectId(subject)
    if (isWanted === (stream.default_subjects === 'ALL')) {
      const { numDeletedRows } = await sql
        .deleteFrom('stream_subjects')
        .where('id', '=', id)
        .executeTakeFirstOrThrow()
      return { kind: numDeletedRows === 1n ? 'changed' : 'as it was' }
    }
    const found = await findSubjects(sql, [subject])
    if (found.size > 0) return { kind: 'as it was' }
    if ((await countSubjects(sql, subject.streamId)) >= subjectsMax) return { kind: 'too many' }
    await sql.insertInto('stream_subjects').values({ id }).execute()
    return { kind: 'changed' }
  })
}

/** Keeps the row: others who change the subjects of the stream wait, and so does who deletes it. */
async function keepStream(
  sql: Kysely<Tables>,
  id: Buffer,
): Promise<Pick<StreamTable, 'default_subjects'> | undefined> {
  return sql
    .updateTable('streams')
    .set(({ ref }) => ({ id: ref('id') }))
    .where('id', '=', id)
    .returning('default_subjects')
    .executeTakeFirst()
}

/** How many users were added to a stream, or removed from it. */
export async function countSubjects(sql: Kysely<Tables>, streamId: Buffer): Promise<number> {
  const { count } = await ofStream(sql, streamId)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}

export async function forgetSubjects(sql: Kysely<Tables>, streamId: Buffer): Promise<void> {
  await sql
    .deleteFrom('stream_subjects')
    .where('id', '>', streamId)
    .where('id', '<=', lastOf(streamId))
    .execute()
}

const lastOf = (streamId: Buffer) => subjectId({ streamId, userId: Buffer.alloc(16, 0xff) })

function ofStream(sql: Kysely<Tables>, streamId: Buffer) {
  return sql.selectFrom('stream_subjects').where('id', '>', streamId).where('id', '<=', lastOf(streamId))
}
