import type { Database } from '../database.ts'
import type { StatusListTable } from '../schema.ts'

/** Makes sure that there is a list, and that it is kept at least until then (epoch seconds). */
export async function keepStatusList({ sql }: Database, number: number, liveUntil: number): Promise<void> {
  await sql
    .insertInto('status_lists')
    .values({ number, live_until: liveUntil, version: 0, jwt: null, signed_at: null, fresh_until: null })
    .onConflict(conflict =>
      conflict
        .column('number')
        .doUpdateSet({ live_until: liveUntil })
        .where('status_lists.live_until', '<', liveUntil),
    )
    .execute()
}

/** The numbers of all lists, the lowest first. */
export async function listStatusListNumbers({ sql }: Database): Promise<readonly number[]> {
  const rows = await sql.selectFrom('status_lists').select('number').orderBy('number').execute()
  return rows.map(({ number }) => number)
}

export async function findStatusList(
  { sql }: Database,
  number: number,
): Promise<StatusListTable | undefined> {
  return sql.selectFrom('status_lists').selectAll().where('number', '=', number).executeTakeFirst()
}

export type SignedForm = { readonly jwt: string; readonly signed_at: number; readonly fresh_until: number }

/**
 * Stores the signed form of a list, unless somebody has stored another one since that version; whether it
 * did.
 */
export async function signStatusList(
  { sql }: Database,
  { number, version }: Pick<StatusListTable, 'number' | 'version'>,
  signed: SignedForm,
): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable('status_lists')
    .set({ ...signed, version: version + 1 })
    .where('number', '=', number)
    .where('version', '=', version)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Forgets the lists whose sessions had all ended by that time, and returns their numbers. */
export async function deleteStatusLists({ sql }: Database, endedBy: number): Promise<readonly number[]> {
  const rows = await sql
    .deleteFrom('status_lists')
    .where('live_until', '<=', endedBy)
    .returning('number')
    .execute()
  return rows.map(({ number }) => number)
}
