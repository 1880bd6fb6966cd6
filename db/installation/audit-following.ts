import { sql as fragment } from 'kysely'
import type { Database } from '../database.ts'
import { selectEntries, type AuditPlace, type ListedAuditEntry } from './audit.ts'

/** Entries in the order of their ids, from this one on. */
export async function auditEntriesFrom(
  db: Database,
  id: number,
  limit: number,
): Promise<readonly ListedAuditEntry[]> {
  return selectEntries(db).where('audit.id', '>=', id).orderBy('audit.id').limit(limit).execute()
}

/** The entry with the largest id; undefined where there is none. */
export async function lastAuditPlace({ sql }: Database): Promise<AuditPlace | undefined> {
  return sql.selectFrom('audit').select(['at', 'id']).orderBy('id', 'desc').limit(1).executeTakeFirst()
}

/** Whether this very entry is there: after a restored backup another one may have its id. */
export async function hasAuditPlace({ sql }: Database, { at, id }: AuditPlace): Promise<boolean> {
  const found = await sql.selectFrom('audit').select('at').where('id', '=', id).executeTakeFirst()
  return found?.at === at
}

/** The first entry of this time or a later one. */
export async function firstAuditPlaceSince({ sql }: Database, at: number): Promise<AuditPlace | undefined> {
  return sql
    .selectFrom('audit')
    .select(['at', 'id'])
    .where('at', '>=', at)
    .orderBy('at')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst()
}

/** The next transaction of PostgreSQL: all that are under way now are before it. */
export async function nextTransaction({ sql }: Database): Promise<string> {
  const { rows } = await fragment<{ next: string }>`
    select pg_snapshot_xmax(pg_current_snapshot())::text as next
  `.execute(sql)
  return rows[0]?.next ?? ''
}

/** Whether all transactions before this one have ended, so that what they have written can be seen. */
export async function haveEnded({ sql }: Database, before: string): Promise<boolean> {
  const { rows } = await fragment<{ ended: boolean }>`
    select pg_snapshot_xmin(pg_current_snapshot()) >= ${before}::xid8 as ended
  `.execute(sql)
  return rows[0]?.ended === true
}
