import type { Insertable, Transaction } from 'kysely'
import type { Database } from './database.ts'
import { keptStatement } from './kept-query.ts'
import type { AuditTable, OutboxTable, Tables } from './schema.ts'
import { someRowsAtOnce } from './some-at-once.ts'

/** One thing that happened, or several of one kind (`count`). */
export type NewAuditEntry = Omit<Insertable<AuditTable>, 'id'>

/** Changes the database in transactions, and in no other way. Each says whether, or what, it has changed. */
export interface Writer {
  readonly engine: Database['engine']
  transact<T extends object | number | boolean | undefined>(
    work: (transaction: Transaction<Tables>) => Promise<T>,
  ): Promise<T>
}

/**
 * The same database, except that each transaction which has changed something also writes what happened, and
 * the mails that tell of it: all are durable or none is. A transaction whose result is `false` or `undefined`
 * has changed nothing; where `entriesOf` is a function, it says what to write for a result.
 */
export function withAuditEntries(
  { engine, transact }: Writer,
  entriesOf: NewAuditEntry | ((result: unknown) => readonly NewAuditEntry[]),
  mails: readonly OutboxTable[] = [],
): Writer {
  return {
    engine,
    transact: work =>
      transact(async transaction => {
        const result = await work(transaction)
        if (result === false || result === undefined) return result
        const entries = typeof entriesOf === 'function' ? entriesOf(result) : [entriesOf]
        await addAuditEntries(transaction, entries)
        await addMails(transaction, mails)
        return result
      }),
  }
}

const addAuditEntry = keptStatement((sql, entry: NewAuditEntry) => sql.insertInto('audit').values(entry))

/** Writes the entries, in the transaction of what they are about. */
export async function addAuditEntries(
  transaction: Transaction<Tables>,
  entries: readonly NewAuditEntry[],
): Promise<void> {
  const [entry] = entries
  if (entry && entries.length === 1) return void (await addAuditEntry(transaction, entry))
  for (const some of someRowsAtOnce(entries)) await transaction.insertInto('audit').values(some).execute()
}

/** Puts mails into the outbox, in the transaction of what they tell of; an act of several tells it once. */
export async function addMails(
  transaction: Transaction<Tables>,
  mails: readonly OutboxTable[],
): Promise<void> {
  for (const some of someRowsAtOnce(mails)) {
    await transaction
      .insertInto('outbox')
      .values(some)
      .onConflict(conflict => conflict.column('id').doNothing())
      .execute()
  }
}
