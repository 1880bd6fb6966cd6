import type { ExpressionBuilder } from 'kysely'
import type { Database } from '../database.ts'
import type { JobPieceTable, Tables } from '../schema.ts'

/** Deletes the pieces that no job needs any more, at most `limit`; how many it were. */
export async function deleteUnneededPieces({ sql }: Database, limit: number): Promise<number> {
  const job = (eb: ExpressionBuilder<Tables, 'job_pieces'>) =>
    eb.selectFrom('jobs').select('jobs.id').whereRef('jobs.id', '=', 'job_pieces.job_id')
  const { numDeletedRows } = await sql
    .deleteFrom('job_pieces')
    .where('id', 'in', query =>
      query
        .selectFrom('job_pieces')
        .select('id')
        .where(eb =>
          eb.or([
            eb.not(eb.exists(job(eb))),
            eb.and([
              eb('kind', '=', 'upload'),
              eb.not(eb.exists(job(eb).where('jobs.ended_at', 'is', null))),
            ]),
          ]),
        )
        .limit(limit),
    )
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}

/**
 * The pieces of what a job has refused, in the order of the file: from the one on that may have an entry
 * after this one.
 */
export async function listRefusedPieces(
  { sql }: Database,
  id: Buffer,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<readonly JobPieceTable[]> {
  const pieces = sql.selectFrom('job_pieces').where('job_id', '=', id).where('kind', '=', 'refused')
  const first = await pieces
    .select('number')
    .where('number', '<=', after)
    .orderBy('number', 'desc')
    .limit(1)
    .executeTakeFirst()
  return pieces
    .selectAll()
    .where('number', '>=', first?.number ?? 0)
    .orderBy('number')
    .limit(limit)
    .execute()
}

/** Those that are sealed under another root key than this one. */
export async function listPiecesUnderOlderKeys(
  { sql }: Database,
  rootKeyId: string,
  limit: number,
): Promise<readonly JobPieceTable[]> {
  return sql.selectFrom('job_pieces').selectAll().where('root_key_id', '!=', rootKeyId).limit(limit).execute()
}

/** Seals one anew; nothing happens where another instance has done so. */
export async function resealPiece(
  { sql }: Database,
  { id, root_key_id }: Pick<JobPieceTable, 'id' | 'root_key_id'>,
  sealed: Pick<JobPieceTable, 'sealed' | 'root_key_id'>,
): Promise<void> {
  await sql
    .updateTable('job_pieces')
    .set(sealed)
    .where('id', '=', id)
    .where('root_key_id', '=', root_key_id)
    .execute()
}
