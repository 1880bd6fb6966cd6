import type { Insertable, Kysely, Transaction } from 'kysely'
import type { Database } from './database.ts'
import { keptStatement } from './kept-query.ts'
import { addAnnouncements, type Announcement } from './push/announcements.ts'
import type { AuditTable, OutboxTable, Tables } from './schema.ts'
import { someRowsAtOnce } from './some-at-once.ts'
import { step, take, type Steps, type WorkInSteps } from './steps.ts'

/** One thing that happened, or several of one kind (`count`). */
export type NewAuditEntry = Omit<Insertable<AuditTable>, 'id'>

/** Changes the database in transactions, and in no other way. Each says whether, or what, it has changed. */
export interface Writer {
  readonly engine: Database['engine']
  transact<T extends Change>(work: (transaction: Transaction<Tables>) => Promise<T>): Promise<T>
  /** The same for work in steps: cheaper, where many requests do it. */
  transactAtOnce<T extends Change>(work: WorkInSteps<T>): Promise<T>
}

type Change = object | number | boolean | undefined

/** What is written of a change, with it. */
export interface Told {
  readonly entries: readonly NewAuditEntry[]
  readonly announcements?: readonly Announcement[]
  readonly mails?: readonly OutboxTable[]
}

/**
 * The same database, except that each transaction which has changed something also writes what happened, for
 * the audit trail, for those who follow, and the mails that tell of it: all are durable or none is. A
 * transaction whose result is `false` or `undefined` has changed nothing; `toldOf` says what to write for any
 * other.
 */
export function withTold(
  { engine, transact, transactAtOnce }: Writer,
  toldOf: (result: unknown) => Told,
): Writer {
  function* tell(sql: Kysely<Tables>, result: Change): Steps<void> {
    if (result === false || result === undefined) return
    const { entries, announcements = [], mails = [] } = toldOf(result)
    yield* auditEntries(sql, entries)
    yield* addMails(sql, mails)
    yield* addAnnouncements(sql, announcements)
  }
  return {
    engine,
    transact: work =>
      transact(async transaction => {
        const result = await work(transaction)
        await take(transaction, tell(transaction, result))
        return result
      }),
    transactAtOnce: work =>
      transactAtOnce(function* (sql) {
        const result = yield* work(sql)
        yield* tell(sql, result)
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
  await take(transaction, auditEntries(transaction, entries))
}

function* auditEntries(sql: Kysely<Tables>, entries: readonly NewAuditEntry[]): Steps<void> {
  const [entry] = entries
  if (entry && entries.length === 1) return void (yield* addAuditEntry(sql, entry))
  for (const some of someRowsAtOnce(entries)) yield* step(sql.insertInto('audit').values(some).compile())
}

/** Puts mails into the outbox, in the transaction of what they tell of; an act of several tells it once. */
function* addMails(sql: Kysely<Tables>, mails: readonly OutboxTable[]): Steps<void> {
  for (const some of someRowsAtOnce(mails)) {
    const insert = sql
      .insertInto('outbox')
      .values(some)
      .onConflict(conflict => conflict.column('id').doNothing())
    yield* step(insert.compile())
  }
}
