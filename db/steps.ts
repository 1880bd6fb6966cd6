import type { CompiledQuery, Kysely, QueryResult } from 'kysely'
import type { Tables } from './schema.ts'

/**
 * Work that waits for nothing but its statements, one after the other: so SQLite can do all of it in one turn
 * of the event loop, and that of many requests in one transaction.
 */
export type Steps<T> = Generator<CompiledQuery, T, QueryResult<unknown>>

/** The work of a transaction, in steps; from `sql` it has nothing but its statements. */
export type WorkInSteps<T> = (sql: Kysely<Tables>) => Steps<T>

/** One statement, and its result. */
export function* step<Row>(query: CompiledQuery<Row>): Steps<QueryResult<Row>> {
  return (yield query) as QueryResult<Row>
}

/** Takes the steps in a transaction that is open. */
export async function take<T>(transaction: Kysely<Tables>, steps: Steps<T>): Promise<T> {
  let next = steps.next()
  while (!next.done) next = steps.next(await transaction.executeQuery(next.value))
  return next.value
}

/** The same where a statement is not waited for. */
export function takeAtOnce<T>(run: (query: CompiledQuery) => QueryResult<unknown>, steps: Steps<T>): T {
  let next = steps.next()
  while (!next.done) next = steps.next(run(next.value))
  return next.value
}
