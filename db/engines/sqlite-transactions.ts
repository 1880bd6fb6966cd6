import { CompiledQuery, type Kysely, type Transaction } from 'kysely'
import type { Tables } from '../schema.ts'
import { takeAtOnce, type WorkInSteps } from '../steps.ts'
import { batcher } from './batcher.ts'
import { isBusy, type Sqlite } from './sqlite.ts'

type Work<T> = (transaction: Transaction<Tables>) => Promise<T>

export interface Transactions {
  /** Does the work in a transaction; rejects with its error, or with that of the commit. */
  transact<T>(work: Work<T>): Promise<T>
  transactAtOnce<T>(work: WorkInSteps<T>): Promise<T>
  /** How many wait for their turn. */
  waiting(): number
}

/** How many are committed together at the most: refreshes wait for them. */
const togetherMax = 64

const grouping = {
  keyOf: ({ name }: { readonly name: string }) => name,
  isSame: () => false,
  limit: togetherMax,
  patienceMs: 5000,
  gatherMs: 2,
}

/**
 * Transactions that arrive together are committed together: on disk a commit costs ten times what a row does.
 * They run one after the other, each in a savepoint of its own, so that one which fails leaves nothing behind
 * and takes no other with it. No caller is answered before the commit; where that fails, nothing was done.
 *
 * Those in steps need no savepoints: nothing else is under way between two of their statements, so where one
 * fails, all are undone and tried one by one.
 */
export function sqliteTransactions(sql: Kysely<Tables>, sqlite: Sqlite): Transactions {
  const inTurns = batcher<{ readonly work: Work<unknown>; readonly name: string }, unknown>({
    ...grouping,
    mayBeOneEntry: () => false,
    commit: async take => {
      const [first, ...others] = take()
      if (!first) return []
      if (others.length === 0) return [await sql.transaction().execute(first.work)]
      const outcomes = await sql.transaction().execute(async transaction => {
        const found: Outcome[] = []
        for (const { work } of [first, ...others]) found.push(await tryOut(transaction, work))
        return found
      })
      // Only now: a work that has failed may have seen what was not to last.
      return outcomes.map(outcome => ('error' in outcome ? Promise.reject(outcome.error) : outcome.result))
    },
  })
  const inSteps = batcher<{ readonly work: WorkInSteps<unknown>; readonly name: string }, unknown>({
    ...grouping,
    mayBeOneEntry: error => !isBusy(error),
    commit: take => sqlite.transact((_prepare, run) => take().map(({ work }) => takeAtOnce(run, work(sql)))),
  })
  let count = 0
  const newName = () => String(count++)
  return {
    transact: async <T>(work: Work<T>) => (await inTurns({ work, name: newName() })) as T,
    transactAtOnce: async <T>(work: WorkInSteps<T>) => (await inSteps({ work, name: newName() })) as T,
    waiting: () => inTurns.waiting() + inSteps.waiting(),
  }
}

type Outcome = { readonly result: unknown } | { readonly error: unknown }

const savepoint = CompiledQuery.raw('savepoint work')
const release = CompiledQuery.raw('release work')
const rollback = CompiledQuery.raw('rollback to work')

async function tryOut(transaction: Transaction<Tables>, work: Work<unknown>): Promise<Outcome> {
  await transaction.executeQuery(savepoint)
  try {
    const result = await work(transaction)
    await transaction.executeQuery(release)
    return { result }
  } catch (error) {
    await transaction.executeQuery(rollback).catch(() => {
      // The error has ended the whole transaction, as a full disk does: it is that of all of them.
      throw error
    })
    await transaction.executeQuery(release)
    return { error }
  }
}
