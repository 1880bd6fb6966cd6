import { closeSync, existsSync, openSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import SqliteFile, { type Database as File, type Statement } from 'better-sqlite3'
import {
  CompiledQuery,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
} from 'kysely'
import { isNamed, openNewFile } from './files.ts'
import { openWriteFault, type WriteFault } from './write-fault.ts'

export interface Sqlite {
  readonly dialect: Dialect
  /** Runs `work` in one transaction that takes no turn of the event loop, when no other is open. */
  transact<T>(work: (prepare: Prepare, run: Run) => T): Promise<T>
  /**
   * Reads without a turn while the turn is free: then no transaction is open either. Undefined while it is
   * taken.
   */
  readAtOnce<Row>(query: CompiledQuery<Row>): readonly Row[] | undefined
  /** How many wait for their turn. */
  waiting(): number
  readonly writeFault: WriteFault
  /** Whether the file is still the one that its path names. */
  isInPlace(): boolean
  close(): void
}

/** A statement that is kept for the next time. */
export type Prepare = (sql: string) => Statement<unknown[]>

/** Runs a statement that Kysely has compiled. */
export type Run = <R>(query: CompiledQuery<R>) => QueryResult<R>

/** How long a query waits for another process's lock, before the caller is told to come back. */
const requestPatienceMs = 2000
/**
 * The same for the command line, with no client behind it: a long work should not fail for one bad moment.
 */
const commandPatienceMs = 15_000

/** How long it waits for its turn in this process, where nothing takes long but such a wait. */
const turnPatienceMs = 5000

/**
 * The embedded database: one connection, whose statements are prepared once and kept.
 *
 * Kysely's own dialect prepares each statement anew, begins its transactions as readers (which cannot wait
 * for another writer), and would block the event loop while another process holds the lock. This one does
 * none of that.
 */
export function openSqlite(file: string, isPatient: boolean): Sqlite {
  // No other user of this machine may read it. SQLite gives the files beside it the same mode, and owner.
  if (!existsSync(file)) makeEmpty(file)
  // Nothing runs yet that could not wait, while another process opens or closes the same file.
  const database = new SqliteFile(file, { timeout: 5 * requestPatienceMs })
  // Counts only before the first table is made; after that it would be a write, each time that somebody opens
  // the file.
  if (database.pragma('page_count', { simple: true }) === 0) database.pragma('auto_vacuum = incremental')
  for (const pragma of [
    'journal_mode = wal',
    'synchronous = full', // a commit is on disk before its answer is sent
    'fullfsync = on', // on macOS an fsync alone does not reach the disk
    'checkpoint_fullfsync = on',
    'journal_size_limit = 67108864',
    // In bytes. Of a million sessions few pages are in our own cache, so they are read where the system has
    // them in memory. The price: where the disk fails to read one, the process ends, instead of answering
    // 503.
    'mmap_size = 1073741824',
    'foreign_keys = on',
    'trusted_schema = off',
    // SQLite's own wait blocks the whole process, so from now on there is none: `retryWhileBusy` waits.
    'busy_timeout = 0',
  ]) {
    database.pragma(pragma)
  }

  const opened = identityOf(file)
  const prepare = statementCache(database)
  const patienceMs = isPatient ? commandPatienceMs : requestPatienceMs
  const joinReads = readTogether(database, prepare)
  const mutex = fifoMutex()
  const writeFault = openWriteFault(/^SQLITE_(FULL|IOERR|READONLY|CANTOPEN)/)
  const runQuery: Run = ({ sql, parameters }) => run(prepare(sql), parameters)
  const patiently = <T>(attempt: () => T) => retryWhileBusy(patienceMs, attempt, writeFault.note)

  const connection: DatabaseConnection = {
    executeQuery: async <R>(query: CompiledQuery) => patiently(() => runQuery(query as CompiledQuery<R>)),
    streamQuery: () => {
      throw new Error('unreachable: no query of ours is streamed')
    },
  }
  const raw = (sql: string) => async () => void (await connection.executeQuery(CompiledQuery.raw(sql)))
  const driver: Driver = {
    init: async () => {},
    acquireConnection: async () => {
      await mutex.acquire()
      return connection
    },
    beginTransaction: raw('begin immediate'),
    commitTransaction: raw('commit'),
    rollbackTransaction: async () => {
      // Some errors (a full disk) have ended the transaction already.
      if (database.inTransaction) await connection.executeQuery(CompiledQuery.raw('rollback'))
    },
    releaseConnection: async () => mutex.release(),
    destroy: async () => {}, // `close` does: Kysely would not, if it has run no query itself
  }

  return {
    dialect: {
      createAdapter: () => new OurAdapter(),
      createDriver: () => driver,
      createIntrospector: db => new SqliteIntrospector(db),
      createQueryCompiler: () => new OurCompiler(),
    },
    readAtOnce: query => {
      if (mutex.isHeld()) return undefined
      try {
        joinReads()
        return runQuery(query).rows
      } catch (error) {
        if (isBusy(error)) return undefined
        throw error
      }
    },
    waiting: mutex.waiting,
    writeFault,
    isInPlace: () => identityOf(file) === opened,
    close: () => void database.close(),
    transact: async work => {
      await mutex.acquire()
      try {
        return await patiently(() => {
          prepare('begin immediate').run()
          try {
            const result = work(prepare, runQuery)
            prepare('commit').run()
            return result
          } catch (error) {
            if (database.inTransaction) prepare('rollback').run()
            throw error
          }
        })
      } finally {
        mutex.release()
      }
    },
  }
}

/**
 * Has reads that follow one another at once be of one moment: a read by itself locks the file and unlocks it,
 * which takes the system longer than the read. Makes what is called before each read, while the turn is free.
 */
function readTogether(database: File, prepare: Prepare): () => void {
  let count = 0
  const end = () => {
    if (count > 1 && database.inTransaction) prepare('commit').run()
    count = 0
  }
  return () => {
    count++
    // A microtask: it is over before anything arrives that could know of a later moment, and before the next
    // one to take the turn has it.
    if (count === 1) queueMicrotask(end)
    // A single one would only be the slower for it.
    else if (count === 2) prepare('begin').run()
  }
}

function makeEmpty(file: string): void {
  try {
    closeSync(openNewFile(file))
  } catch (error) {
    if (!isNamed(error, 'EEXIST')) throw error
    closeSync(openSync(file, 'a', 0o600)) // another process was first, or it is a link to what is not there
  }
}

/** Tells a file from another one of the same name; undefined when there is no file. */
function identityOf(file: string): string | undefined {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stat && `${stat.dev} ${stat.ino}`
}

class OurAdapter extends SqliteAdapter {
  /** Our driver hands the one connection out in turn. */
  override get supportsMultipleConnections() {
    return true
  }
}

class OurCompiler extends SqliteQueryCompiler {
  /**
   * Not a bare `?`: with one in a join SQLite would look whether its new value calls for another plan, and
   * plan anew each time, which takes several times as long as the join itself.
   */
  override getCurrentParameterPlaceholder() {
    return '+?'
  }
}

function run<R>(statement: Statement<unknown[]>, parameters: readonly unknown[]): QueryResult<R> {
  if (statement.reader) return { rows: statement.all(parameters) as R[] }
  const { changes, lastInsertRowid } = statement.run(parameters)
  return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
}

/** Our statements are few, but those with lists of values come in many lengths: so the cache has a limit. */
function statementCache(database: File): Prepare {
  const statements = new Map<string, Statement<unknown[]>>()
  return sql => {
    let statement = statements.get(sql)
    if (!statement) {
      statement = database.prepare<unknown[]>(sql)
      if (statements.size >= 500) statements.clear()
      statements.set(sql, statement)
    }
    return statement
  }
}

/** Tries again while another process holds the lock, without blocking the event loop. */
async function retryWhileBusy<T>(
  patienceMs: number,
  attempt: () => T,
  onFailure: (error: unknown) => void,
): Promise<T> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    try {
      return attempt()
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) {
        onFailure(error)
        throw error
      }
      // Others hold it for about so long; and who tries seldom is seldom lucky.
      await sleep(1 + Math.random() * 2)
    }
  }
}

/** Whether another process holds the lock. */
export function isBusy(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' && /^SQLITE_(BUSY|LOCKED)/.test(code)
}

/**
 * First come, first served. Refuses callers that waited longer than the patience: no queue outlives a lock.
 */
function fifoMutex() {
  const waiting: { turn: () => void; refuse: (error: Error) => void; since: number }[] = []
  let isHeld = false
  return {
    acquire: (): Promise<void> => {
      if (!isHeld) {
        isHeld = true
        return Promise.resolve()
      }
      return new Promise((turn, refuse) => waiting.push({ turn, refuse, since: performance.now() }))
    },
    release: (): void => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        if (performance.now() - next.since <= turnPatienceMs) return next.turn()
        next.refuse(Object.assign(new Error('the database was busy for too long'), { code: 'SQLITE_BUSY' }))
      }
      isHeld = false
    },
    isHeld: () => isHeld,
    waiting: () => waiting.length,
  }
}
