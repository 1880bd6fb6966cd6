import { sql as fragment } from 'kysely'
import type { Database } from '../database.ts'

/** How commits survive the loss of a PostgreSQL. */
export interface Replication {
  /** How many standbys follow by streaming replication now. */
  readonly standbys: number
  /** Whether a commit is answered only when a standby has it too. */
  readonly isSynchronous: boolean
  /** The settings without which a power cut loses what was committed, or breaks the database. */
  readonly unsafeSettings: readonly string[]
}

/**
 * Undefined for an embedded database, and for engines that only speak PostgreSQL's protocol and do not tell.
 */
export async function readReplication({ sql, engine }: Database): Promise<Replication | undefined> {
  if (engine === 'sqlite') return undefined
  const { rows } = await fragment<{ standbys: number; names: string | null; unsafe: string | null }>`select
    (select count(*) from pg_stat_replication) as standbys,
    current_setting('synchronous_standby_names', true) as names,
    (select string_agg(name, ' ' order by name) from pg_settings
      where name in ('fsync', 'full_page_writes') and setting = 'off') as unsafe`.execute(sql)
  const [row] = rows
  if (!row || row.names === null) return undefined
  return {
    standbys: row.standbys,
    isSynchronous: row.names !== '',
    unsafeSettings: row.unsafe?.split(' ') ?? [],
  }
}
