import type { Kysely, Selectable } from 'kysely'
import type { Database } from '../database.ts'
import type { RevocationTable, Tables } from '../schema.ts'
import { someAtOnce } from '../some-at-once.ts'
import { step, type Steps } from '../steps.ts'
import type { ToldEnd } from './end-reasons.ts'

/** One entry of the feed that tells every instance what was revoked. */
export type Revocation = Selectable<RevocationTable>

/**
 * Part of the transaction that ends sessions: writes their end and tells the feed. Returns those that had not
 * ended before.
 */
export function* writeEnds(
  sql: Kysely<Tables>,
  ids: readonly Buffer[],
  end: ToldEnd,
): Steps<readonly Buffer[]> {
  const ended: Buffer[] = []
  // A log may name any number of sessions in one line.
  for (const some of someAtOnce(ids)) ended.push(...(yield* writeSomeEnds(sql, some, end)))
  return ended
}

function* writeSomeEnds(
  sql: Kysely<Tables>,
  ids: readonly Buffer[],
  { now, reason }: ToldEnd,
): Steps<readonly Buffer[]> {
  const end = sql
    .updateTable('sessions')
    .set({ revoked_at: now, revoke_reason: reason })
    .where('id', 'in', ids)
    .where('revoked_at', 'is', null)
    .returning(['id', 'status_position'])
  const { rows } = yield* step(end.compile())
  const told = rows.map(({ id, status_position }) => ({ session_id: id, status_position, revoked_at: now }))
  if (told.length > 0) yield* step(sql.insertInto('revocations').values(told).compile())
  return rows.map(({ id }) => id)
}

/** Entries in the order of their numbers, from `seq` on. */
export async function listRevocations(
  { sql }: Database,
  { from, limit }: { readonly from: number; readonly limit: number },
): Promise<Revocation[]> {
  return sql
    .selectFrom('revocations')
    .selectAll()
    .where('seq', '>=', from)
    .orderBy('seq')
    .limit(limit)
    .execute()
}

/** Why these sessions have ended, one reason for each of them that is still there. */
export async function listRevokeReasons(
  { sql }: Database,
  ids: readonly Buffer[],
): Promise<readonly (string | null)[]> {
  const rows = await sql.selectFrom('sessions').select('revoke_reason').where('id', 'in', ids).execute()
  return rows.map(({ revoke_reason }) => revoke_reason)
}

/**
 * Deletes entries of before that time, at most `limit`, and returns how many there were. Never the latest of
 * all: its number is not given out again, which a reader has noted that comes later.
 */
export async function deleteRevocations(
  { sql }: Database,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<number> {
  const { numDeletedRows } = await sql
    .deleteFrom('revocations')
    .where('seq', 'in', ({ selectFrom }) =>
      selectFrom('revocations')
        .select('seq')
        .where('revoked_at', '<', before)
        .orderBy('revoked_at')
        .limit(limit),
    )
    .where('seq', '<', ({ selectFrom }) =>
      selectFrom('revocations').select(({ fn }) => fn.max('seq').as('last')),
    )
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}
