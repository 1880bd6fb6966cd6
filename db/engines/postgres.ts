import { setTimeout as sleep } from 'node:timers/promises'
import {
  CompiledQuery,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
} from 'kysely'
import type pg from 'pg'
import { UnknownOutcome } from './batcher.ts'
import { isConflict, isDeadConnection, isDefinite, isStaleStatement } from './postgres-errors.ts'
import { openPrimary, type Primary } from './postgres-primary.ts'
import type { PostgresOptions } from './postgres-session.ts'
import { parsePostgresUrl } from './postgres-url.ts'
import { openWriteFault, type WriteFault } from './write-fault.ts'

export interface Postgres {
  readonly dialect: Dialect
  readonly primary: Primary
  readonly writeFault: WriteFault
  /** How many wait for a connection. */
  waiting(): number
  /**
   * One statement by itself, on any connection. Tries again if another transaction undid it. Rejects with
   * `UnknownOutcome` when it may have been committed or not.
   */
  query<Row>(sql: string, values: readonly unknown[]): Promise<Row[]>
}

/** How often a statement or transaction that others undid is tried again. */
const attemptsMax = 6

/** Does not connect yet. Throws when the URL is not valid. */
export function openPostgres(url: string, options: PostgresOptions): Postgres {
  const parsed = parsePostgresUrl(url)
  if ('problem' in parsed) throw new Error(`the URL of the database ${parsed.problem}`)
  const primary = openPrimary(parsed, options)
  const names = options.isPooled ? { get: () => undefined, renew: () => {} } : statementNames()

  // disk_full and io_error; a server that takes no writes at all says so when it is asked.
  const writeFault = openWriteFault(/^(53100|58030)$/)
  let waiting = 0
  const acquire = async (): Promise<Connection> => {
    waiting++
    const client = await primary.connect().finally(() => waiting--)
    const connection: Connection = {
      client,
      isDead: false,
      isInTransaction: false,
      send: async (sql, values) => {
        try {
          return await client.query(queryOf(names.get(sql), sql, values))
        } catch (error) {
          if (isStaleStatement(error)) names.renew(sql)
          if (isDeadConnection(error)) connection.isDead = true
          writeFault.note(error)
          throw error
        }
      },
    }
    return connection
  }
  const release = ({ client, isDead }: Connection) => primary.release(client, isDead)

  return {
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => driverOf(acquire, release, primary),
      createIntrospector: db => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
    primary,
    writeFault,
    waiting: () => waiting,
    query: async <Row>(sql: string, values: readonly unknown[]) => {
      const connection = await acquire()
      try {
        return (await execute(connection, sql, values)).rows as Row[]
      } catch (error) {
        throw isDefinite(error) ? error : new UnknownOutcome('the answer was lost', { cause: error })
      } finally {
        release(connection)
      }
    },
  }
}

/**
 * Kysely's own driver for PostgreSQL sends each statement to be planned anew, and knows nothing of a primary
 * that moves to another host, nor of statements that are worth another try. This one does.
 */
function driverOf(
  acquire: () => Promise<Connection>,
  release: (connection: Connection) => void,
  primary: Primary,
): Driver {
  const connections = new WeakMap<DatabaseConnection, Connection>()
  const use = (face: DatabaseConnection): Connection => {
    const found = connections.get(face)
    if (!found) throw new Error('unreachable: every connection is made by acquireConnection')
    return found
  }
  return {
    init: async () => {},
    acquireConnection: async () => {
      const connection = await acquire()
      const face: DatabaseConnection = {
        executeQuery: async <R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> =>
          kyselyResult(await execute(connection, sql, parameters)),
        streamQuery: () => {
          throw new Error('unreachable: no query of ours is streamed')
        },
      }
      connections.set(face, connection)
      return face
    },
    beginTransaction: async face => {
      const connection = use(face)
      await connection.send('begin', [])
      connection.isInTransaction = true
    },
    commitTransaction: async face => {
      const connection = use(face)
      try {
        await connection.send('commit', [])
      } catch (error) {
        throw isDefinite(error)
          ? error
          : new UnknownOutcome('the answer to COMMIT was lost', { cause: error })
      }
      connection.isInTransaction = false
    },
    rollbackTransaction: async face => {
      const connection = use(face)
      // A connection that is gone has rolled back by itself, and the error that says so is already on its
      // way.
      if (!connection.isDead) await connection.send('rollback', [])
      connection.isInTransaction = false
    },
    releaseConnection: async face => release(use(face)),
    destroy: () => primary.close(),
  }
}

/** Within a transaction it is the whole that must be tried again. */
function execute({ isInTransaction, send }: Connection, sql: string, values: readonly unknown[]) {
  return isInTransaction ? send(sql, values) : retryingConflicts(() => send(sql, values))
}

interface Connection {
  readonly client: pg.PoolClient
  readonly send: (sql: string, values: readonly unknown[]) => Promise<pg.QueryResult>
  isDead: boolean
  isInTransaction: boolean
}

/**
 * Does it again while it is undone for the sake of another transaction, or fails for a plan that is out of
 * date.
 */
export async function retryingConflicts<T>(attempt: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt()
    } catch (error) {
      if (attempts === attemptsMax || !(isConflict(error) || isStaleStatement(error))) throw error
      await sleep(Math.random() * 10 * 2 ** attempts)
    }
  }
}

function queryOf(name: string | undefined, text: string, values: readonly unknown[]): pg.QueryConfig {
  return { ...(name === undefined ? {} : { name }), text, values: [...values] }
}

function kyselyResult<R>({ command, rowCount, rows }: pg.QueryResult): QueryResult<R> {
  const isChange = ['INSERT', 'UPDATE', 'DELETE', 'MERGE'].includes(command)
  return isChange ? { rows: rows as R[], numAffectedRows: BigInt(rowCount ?? 0) } : { rows: rows as R[] }
}

/**
 * So many statements are planned once for each connection. Those with lists of values come in too many
 * lengths.
 */
const namesMax = 300

/** Names for prepared statements, the same on every connection. */
function statementNames() {
  const names = new Map<string, string>()
  let number = 0
  return {
    get: (sql: string): string | undefined => {
      const known = names.get(sql)
      if (known !== undefined || names.size >= namesMax || !/^(select|insert|update|delete|with)/.test(sql)) {
        return known
      }
      const name = `mintmark_${++number}`
      names.set(sql, name)
      return name
    },
    /** The old name stands for a plan that is out of date. */
    renew: (sql: string): void => void names.set(sql, `mintmark_${++number}`),
  }
}
