import type { Database } from '../../db/database.ts'
import { take } from '../../db/steps.ts'
import type { Writer } from '../../db/writer.ts'

/** A writer whose transactions have done their work, and do not commit before `commit` is called. */
export function slowWriter(db: Database): {
  readonly slow: Writer
  /** Resolves when the work of a transaction is done. */
  readonly isDone: Promise<void>
  readonly commit: () => void
} {
  const [done, committed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const transact: Writer['transact'] = work =>
    db.transact(async transaction => {
      const result = await work(transaction)
      done.resolve()
      await committed.promise
      return result
    })
  return {
    slow: {
      engine: db.engine,
      transact,
      transactAtOnce: work => transact(transaction => take(transaction, work(transaction))),
    },
    isDone: done.promise,
    commit: committed.resolve,
  }
}
