import { Kysely, type CompiledQuery } from 'kysely'
import type { Database } from './database.ts'
import { openStopwatch } from './engines/latency.ts'
import { readsTogether } from './engines/postgres-reads.ts'
import { noWatch, watchPostgres } from './engines/postgres-watch.ts'
import { openPostgres, retryingConflicts } from './engines/postgres.ts'
import { sqliteTransactions } from './engines/sqlite-transactions.ts'
import { openSqlite } from './engines/sqlite.ts'
import { postgresReplays, sqliteReplays } from './grants/replays.ts'
import type { Tables } from './schema.ts'
import { postgresRotations, sqliteRotations } from './sessions/rotations.ts'
import { take } from './steps.ts'

export type DatabaseLocation =
  { readonly engine: 'sqlite'; readonly file: string } | { readonly engine: 'postgres'; readonly url: string }

export interface DatabaseOptions {
  /** Connections to PostgreSQL at the most. */
  readonly poolSize?: number
  /** Whether a pooler in transaction mode stands before PostgreSQL. */
  readonly isPooled?: boolean
  /** Whether statements may take and wait as long as they like: for the command line, not for requests. */
  readonly isPatient?: boolean
}

/**
 * Opens the database; does not create its tables (`migrate`). The file of an embedded one is made when it is
 * missing; a server is first spoken to by the first statement, which rejects with `PostgresUnavailable` if it
 * cannot be.
 */
export function openDatabase(location: DatabaseLocation, options: DatabaseOptions = {}): Database {
  return location.engine === 'sqlite'
    ? openEmbedded(location.file, options)
    : openServer(location.url, options)
}

function openEmbedded(file: string, { isPatient = false }: DatabaseOptions): Database {
  const sqlite = openSqlite(file, isPatient)
  const sql = new Kysely<Tables>({ dialect: sqlite.dialect })
  const commits = openStopwatch()
  const rotations = sqliteRotations(sql, sqlite, commits)
  const transactions = sqliteTransactions(sql, sqlite)
  return {
    engine: 'sqlite',
    sql,
    // At once where it can be: waiting for a turn would cost more than the read does.
    read: async query => sqlite.readAtOnce(query) ?? (await sql.executeQuery(query)).rows,
    transact: transactions.transact,
    transactAtOnce: transactions.transactAtOnce,
    writeAtOnce: transactions.transactAtOnce,
    batches: { rotations, uses: sqliteReplays(sqlite) },
    load: {
      commits,
      polls: openStopwatch(),
      waitingRotations: rotations.waiting,
      waitingForConnection: () => sqlite.waiting() + transactions.waiting(),
    },
    watch: () => noWatch,
    timeline: () => undefined,
    isInPlace: sqlite.isInPlace,
    writeFault: sqlite.writeFault,
    close: async () => {
      await sql.destroy()
      sqlite.close()
    },
  }
}

function openServer(
  url: string,
  { poolSize = 8, isPooled = false, isPatient = false }: DatabaseOptions,
): Database {
  const postgres = openPostgres(url, { poolSize, isPooled, isPatient })
  const sql = new Kysely<Tables>({ dialect: postgres.dialect })
  const commits = openStopwatch()
  const rotations = postgresRotations(postgres, commits)
  const readAlone = async <Row>(query: CompiledQuery<Row>) => (await sql.executeQuery(query)).rows
  const readTogether = readsTogether(readAlone)
  const transact: Database['transact'] = work => retryingConflicts(() => sql.transaction().execute(work))
  return {
    engine: 'postgres',
    sql,
    read: (query, types) => (types ? readTogether(query, types) : readAlone(query)),
    transact,
    transactAtOnce: work => transact(transaction => take(transaction, work(transaction))),
    writeAtOnce: work => take(sql, work(sql)),
    batches: { rotations, uses: postgresReplays(postgres) },
    load: {
      commits,
      polls: openStopwatch(),
      waitingRotations: rotations.waiting,
      waitingForConnection: postgres.waiting,
    },
    watch: wake => (isPooled ? noWatch : watchPostgres(postgres.primary, wake)),
    timeline: postgres.primary.timeline,
    isInPlace: () => true,
    writeFault: postgres.writeFault,
    close: async () => {
      await sql.destroy()
      await postgres.primary.close()
    },
  }
}
