import type { ExpressionBuilder, Selectable, Transaction } from 'kysely'
import type { Database } from '../database.ts'
import type { ClientTable, EndingTable, Tables } from '../schema.ts'
import type { ToldEnd } from './end-reasons.ts'
import { take } from '../steps.ts'
import { endEverySignIn } from '../users/sign-ins.ts'
import { insertJob, tellJobOf } from './jobs.ts'
import { writeEnds } from './revocations.ts'

/**
 * Sessions that have ended because an epoch was raised. Nothing can be done with them any more, but those
 * who follow the feed of revocations learn of each one only when its row says so: a work that is left over
 * until it is done, by any instance.
 */
export type Ending = Selectable<EndingTable>

/** The work, and the epoch of the user or client from which on sessions live. */
export type EpochEnding = Ending & { readonly epoch: number }

/** Whose sessions have ended: a user's, a client's or, with neither, everybody's. */
export type EndingScope = Partial<Pick<EndingTable, 'user_id' | 'client_id'>>

/** So long after its last sign of life somebody else takes the work over, in seconds. */
const claimSeconds = 10

/**
 * Notes the work, in the transaction that raises the epoch, and leaves it to the caller for the next ten
 * seconds.
 */
export async function insertEnding(
  transaction: Transaction<Tables>,
  { user_id = null, client_id = null }: EndingScope,
  { reason, now, job }: ToldEnd,
): Promise<Ending> {
  const ending = await transaction
    .insertInto('endings')
    .values({ user_id, client_id, reason, ended_at: now, cursor: null, claimed_until: now + claimSeconds })
    .returningAll()
    .executeTakeFirstOrThrow()
  if (job) await insertJob(transaction, { ...job, ending_id: ending.id })
  return ending
}

/** A client, and the epoch from which on its sessions live. */
export type RaisedClient = Pick<ClientTable, 'id' | 'epoch'>

export interface EveryEnding {
  readonly clients: readonly RaisedClient[]
  readonly ending: Ending
}

/**
 * Ends every session that there is, by raising the epoch of every client, and every sign-in, in the
 * transaction of what that is for.
 */
export async function endEverySession(transaction: Transaction<Tables>, end: ToldEnd): Promise<EveryEnding> {
  const clients = await transaction
    .updateTable('clients')
    .set(eb => ({ epoch: eb('epoch', '+', 1) }))
    .returning(['id', 'epoch'])
    .execute()
  await endEverySignIn(transaction)
  return { clients, ending: await insertEnding(transaction, {}, end) }
}

/**
 * Takes over the oldest work that is not claimed; undefined when there is none. Of several callers one gets
 * it.
 */
export async function claimEnding({ sql }: Database, now: number): Promise<Ending | undefined> {
  // No claim lasts longer: then a clock was ahead.
  const isFree = (eb: ExpressionBuilder<Tables, 'endings'>) =>
    eb.or([eb('claimed_until', '<=', now), eb('claimed_until', '>', now + claimSeconds)])
  return sql
    .updateTable('endings')
    .set({ claimed_until: now + claimSeconds })
    .where(isFree)
    .where('id', '=', ({ selectFrom }) =>
      selectFrom('endings').select('id').where(isFree).orderBy('id').limit(1),
    )
    .returningAll()
    .executeTakeFirst()
}

/** Leaves the work to the next caller that asks. */
export async function releaseEnding({ sql }: Database, { id }: Ending): Promise<void> {
  await sql.updateTable('endings').set({ claimed_until: 0 }).where('id', '=', id).execute()
}

export interface EndingStep {
  /** How many sessions got their end. */
  readonly ended: number
  /** The work that is left; undefined when all is done. */
  readonly rest: Ending | undefined
}

/** Few enough that no refresh waits long for them. */
const sessionsAtOnce = 200

/** How many rows are looked at in one statement, and how many statements there are in one step. */
const rowsAtOnce = 1000
const pagesAtOnce = 5

/**
 * Writes the next sessions' end, in one transaction that also remembers how far it got: a step done once
 * more after a crash changes nothing. A session without any token that could be alive
 * (`longestTokenSeconds`) is left as it is.
 */
export async function endNextSessions(
  db: Database,
  ending: Ending,
  { now, longestTokenSeconds }: { readonly now: number; readonly longestTokenSeconds: number },
): Promise<EndingStep> {
  const ids: Buffer[] = []
  let cursor = ending.cursor
  let isDone = false
  for (let page = 0; page < pagesAtOnce && ids.length < sessionsAtOnce && !isDone; page++) {
    const limit = sessionsAtOnce - ids.length
    const found = await nextPage(db, { ...ending, cursor }, { limit, longestTokenSeconds })
    ids.push(...found.ids)
    cursor = found.cursor
    isDone = found.isLast
  }
  const claimed_until = now + claimSeconds
  const ended = await db.transact(async transaction => {
    if (isDone) await transaction.deleteFrom('endings').where('id', '=', ending.id).execute()
    else {
      await transaction
        .updateTable('endings')
        .set({ cursor, claimed_until })
        .where('id', '=', ending.id)
        .execute()
    }
    const end = { now: ending.ended_at, reason: ending.reason }
    const ended = (await take(transaction, writeEnds(transaction, ids, end))).length
    await tellJobOf(transaction, ending.id, { ended, endedAt: isDone ? now : undefined })
    return ended
  })
  return { ended, rest: isDone ? undefined : { ...ending, cursor, claimed_until } }
}

/** Looks through a bounded number of rows, however few of them count. */
async function nextPage(
  { sql }: Database,
  { user_id, client_id, ended_at, cursor }: Ending,
  { limit, longestTokenSeconds }: { readonly limit: number; readonly longestTokenSeconds: number },
) {
  const rows = sql
    .selectFrom('sessions')
    .$if(cursor !== null, query => query.where('sessions.id', '>', cursor))
    .$if(user_id !== null, query =>
      query.where('sessions.user_id', '=', user_id).where('sessions.revoked_at', 'is', null),
    )
  const last = await rows
    .select('sessions.id')
    .orderBy('sessions.id')
    .offset(rowsAtOnce - 1)
    .limit(1)
    .executeTakeFirst()
  const found = await rows
    .leftJoin('users', 'users.id', 'sessions.user_id')
    .leftJoin('clients', 'clients.id', 'sessions.client_id')
    .select('sessions.id')
    .$if(last !== undefined, query => query.where('sessions.id', '<=', last?.id ?? Buffer.alloc(16)))
    .$if(client_id !== null, query => query.where('sessions.client_id', '=', client_id ?? ''))
    .where('sessions.revoked_at', 'is', null)
    .where('sessions.expires_at', '>', ended_at - longestTokenSeconds)
    .where(({ or, and, eb }) =>
      or([
        eb('clients.epoch', 'is', null),
        eb('clients.epoch', '!=', eb.ref('sessions.client_epoch')),
        and([eb('sessions.user_id', 'is not', null), eb('users.epoch', 'is', null)]),
        and([eb('sessions.user_id', 'is not', null), eb('users.epoch', '!=', eb.ref('sessions.user_epoch'))]),
      ]),
    )
    .orderBy('sessions.id')
    .limit(limit)
    .execute()
  const ids = found.map(({ id }) => id)
  // A full hand may leave some of the page for the next time.
  const isFull = ids.length === limit
  return { ids, cursor: (isFull ? ids.at(-1) : last?.id) ?? cursor, isLast: !isFull && !last }
}
