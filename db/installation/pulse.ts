import { sql as fragment } from 'kysely'
import type { Database } from '../database.ts'
import { PostgresUnavailable } from '../engines/postgres-errors.ts'

/** The answer to the question that a running server asks its database twice a second. */
export interface Pulse {
  readonly revision: number
  /** Set when the installation has been moved to another database. */
  readonly moved_at: number | null
  /** Whether the file is still where it was opened. Writes to one that was moved or deleted are lost. */
  readonly is_in_place: boolean
  /** The rest is of a server; null for an embedded database, whose clock is that of the process. */
  readonly clock_ms: number | null
  /** Whether a commit is answered only when a standby has it too. */
  readonly is_synchronous: boolean | null
}

/** Rejects when the database cannot be read, or is known to take no writes. */
export function readPulse(db: Database): Promise<Pulse> {
  return db.load.polls.time(() => askPulse(db))
}

async function askPulse({ sql, engine, isInPlace }: Database): Promise<Pulse> {
  const is_in_place = isInPlace()
  const installation = sql.selectFrom('installation').select(['revision', 'moved_at'])
  if (engine === 'sqlite') {
    const row = await installation.executeTakeFirstOrThrow()
    return { ...row, is_in_place, clock_ms: null, is_synchronous: null }
  }
  const { is_read_only, ...pulse } = await installation
    .select([
      fragment<number>`(date_part('epoch', clock_timestamp()) * 1000)::bigint`.as('clock_ms'),
      fragment<boolean>`current_setting('synchronous_standby_names') <> ''`.as('is_synchronous'),
      fragment<boolean>`current_setting('transaction_read_only') = 'on'`.as('is_read_only'),
    ])
    .executeTakeFirstOrThrow()
  if (is_read_only) throw new PostgresUnavailable('PostgreSQL takes no writes any more')
  return { ...pulse, is_in_place }
}
