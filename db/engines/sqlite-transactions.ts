import { CompiledQuery, type Kysely, type Transaction } from 'kysely'
import type { Tables } from '../schema.ts'
import { batcher } from './batcher.ts'

type Work<T> = (transaction: Transaction<Tables>) => Promise<T>

export interface Transactions {
  /** Does the work in a transaction; rejects with its error, or with that of the commit. */
  transact<T>(work: Work<T>): Promise<T>
  /** How many wait for their turn. */
  waiting(): number
}

/** How many are committed together at the most: refreshes wait for them. */
const togetherMax = 64

/**
 * Transactions that arrive together are committed together: on disk a commit costs ten times what a row does.
 * They run one after the other, each in a savepoint of its own, so that one which fails leaves nothing behind
 * and takes no other with it. No caller is answered before the commit; where that fails, nothing was done.
 */
export function sqliteTransactions(sql: Kysely<Tables>): Transactions {
  const run = batcher<{ readonly work: Work<unknown>; readonly name: string }, unknown>({
    keyOf: ({ name }) => name,
    isSame: () => false,
    limit: togetherMax,
    patienceMs: 5000,
    gatherMs: 2,
    mayBeOneEntry: () => false,
    commit: async ([first, ...others]) => {
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
  let count = 0
  return {
    transact: async <T>(work: Work<T>) => (await run({ work, name: String(count++) })) as T,
    waiting: run.waiting,
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
