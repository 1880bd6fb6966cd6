import type { CompiledQuery, Kysely, Transaction } from 'kysely'
import type { Batches } from './batches.ts'
import type { DatabaseLoad } from './engines/latency.ts'
import type { ValueType } from './engines/postgres-reads.ts'
import type { Watch } from './engines/postgres-watch.ts'
import type { WriteFault } from './engines/write-fault.ts'
import type { Tables } from './schema.ts'
import type { WorkInSteps } from './steps.ts'

/** An open database, whichever engine it has. */
export interface Database {
  readonly engine: 'sqlite' | 'postgres'
  readonly sql: Kysely<Tables>
  /**
   * Runs a query that changes nothing, outside all transactions. With the types of its parameters PostgreSQL
   * gets those that arrive together as one statement.
   */
  read<Row>(query: CompiledQuery<Row>, types?: readonly ValueType[]): Promise<readonly Row[]>
  /**
   * Runs `work` in a transaction; again from the start when the database undid it for the sake of another
   * one.
   */
  transact<T>(work: (transaction: Transaction<Tables>) => Promise<T>): Promise<T>
  /** The same for work in steps, which SQLite does in one turn of the event loop. */
  transactAtOnce<T>(work: WorkInSteps<T>): Promise<T>
  /**
   * Does work whose statements need no transaction: on SQLite in a commit that it shares with others, on
   * PostgreSQL each by itself, which is one way there and back less.
   */
  writeAtOnce<T>(work: WorkInSteps<T>): Promise<T>
  /** Writes of many requests at the same moment, in commits that they share. */
  readonly batches: Batches
  /**
   * Calls `wake` when another process may have changed something, as long as `keep` is called from time to
   * time.
   */
  watch(wake: () => void): Watch
  readonly load: DatabaseLoad
  /**
   * Which of PostgreSQL's timelines the newest primary had; undefined where there are none. A failover begins
   * another.
   */
  timeline(): number | undefined
  /** Whether the file of an embedded database is still where it was opened; true where there is none. */
  isInPlace(): boolean
  /** Whether it refuses to write, as `writeAgain` finds out. */
  readonly writeFault: Pick<WriteFault, 'last' | 'clear'>
  close(): Promise<void>
}
