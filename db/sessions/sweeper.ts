import { sql as fragment, type Transaction } from 'kysely'
import type { Database } from '../database.ts'
import { insertCounts, newCounts } from '../installation/counts.ts'
import type { SweeperTable, Tables } from '../schema.ts'
import { sweepSignIns, type Sweep } from '../users/sign-in-sweep.ts'
import { keepInStep, lastId } from './session-index.ts'

export interface SweepLimits {
  /** How many rows are looked at in one step, and how many of them deleted. */
  readonly rowsMax: number
  readonly deletedMax: number
  /**
   * How long a session stays after its end, and how long the sweeper rests after it has seen all rows; in
   * seconds.
   */
  readonly keepSeconds: number
  readonly restSeconds: number
}

export interface SweepStep {
  /** Sessions looked at and deleted since the pass began. */
  readonly examined: number
  readonly swept: number
  readonly beganAt: number
  /** Whether this was the last step of the pass. */
  readonly isPassed: boolean
}

/** How far the sweeper has walked; a table of one row. */
export async function readSweeper({ sql }: Database): Promise<SweeperTable> {
  return sql.selectFrom('sweeper').selectAll().executeTakeFirstOrThrow()
}

/**
 * Looks at the next rows in the order of their ids, deletes the sessions whose end was long ago, and
 * remembers how far it got, in one short transaction; once it has seen all sessions, the same with sign-ins.
 * Undefined when it rests, or another instance has made a step in this second: however many instances there
 * are, they look at `rowsMax` rows of each a second.
 *
 * A clock of its own tells which ends are long ago. It follows `now` by at most `clockSeconds` a step: a
 * clock that jumps ahead by a year, until somebody notices, deletes nothing before its time.
 */
export async function sweepSessions(
  db: Database,
  { now, clockSeconds, ...limits }: SweepLimits & { readonly now: number; readonly clockSeconds: number },
): Promise<SweepStep | undefined> {
  const { restSeconds } = limits
  // The usual case: nothing is written.
  if (!isDue(await readSweeper(db), now, restSeconds)) return undefined
  return db.transact(async transaction => {
    // The row is locked from here on, so of several instances one makes this step.
    const sweeper = await transaction
      .updateTable('sweeper')
      .set({
        stepped_at: now,
        clock: fragment`case when clock is null or ${now} < clock + ${clockSeconds} then ${now} else clock + ${clockSeconds} end`,
      })
      .returningAll()
      .where(fragment<boolean>`(stepped_at is null or stepped_at <> ${now})`)
      .executeTakeFirst()
    return sweeper && step(transaction, { ...sweeper, clock: sweeper.clock ?? now }, now, limits)
  })
}

/**
 * A pass that has begun goes on, once a second; the next one begins after a rest. A clock that was set back
 * ends it.
 */
function isDue(
  { cursor, sign_in_cursor, passed_at }: SweeperTable,
  now: number,
  restSeconds: number,
): boolean {
  return (
    cursor !== null ||
    sign_in_cursor !== null ||
    passed_at === null ||
    Math.abs(now - passed_at) >= restSeconds
  )
}

async function step(
  transaction: Transaction<Tables>,
  sweeper: SweeperTable & { readonly clock: number },
  now: number,
  { keepSeconds, ...limits }: SweepLimits,
): Promise<SweepStep> {
  const endedBy = sweeper.clock - keepSeconds
  const walk = { ...limits, endedBy }
  const isBeginning = sweeper.cursor === null && sweeper.sign_in_cursor === null
  const hasSeenSessions = sweeper.sign_in_cursor !== null
  const { cursor, examined, swept, living } = hasSeenSessions
    ? { cursor: null, examined: 0, swept: 0, living: 0 }
    : await walkSessions(transaction, { ...walk, cursor: sweeper.cursor }, now)
  const signInCursor =
    cursor === null ? await sweepSignIns(transaction, { ...walk, cursor: sweeper.sign_in_cursor }) : null
  const isPassed = cursor === null && signInCursor === null
  const progress = {
    began_at: isBeginning ? now : (sweeper.began_at ?? now),
    examined: (isBeginning ? 0 : sweeper.examined) + examined,
    swept: (isBeginning ? 0 : sweeper.swept) + swept,
    living: (isBeginning ? 0 : sweeper.living) + living,
  }
  // It has looked at all of them: so they are counted, at no other cost.
  if (cursor === null && !hasSeenSessions)
    await insertCounts(transaction, [newCounts(0, now, { sessions: progress.living })])
  await transaction
    .updateTable('sweeper')
    .set({ ...progress, swept_ever: sweeper.swept_ever + swept, cursor, sign_in_cursor: signInCursor })
    .$if(isPassed, query => query.set({ passed_at: now }))
    .execute()
  return { examined: progress.examined, swept: progress.swept, beganAt: progress.began_at, isPassed }
}

interface Walked {
  /** Where it has come to; null once it has seen all sessions. */
  readonly cursor: Buffer | null
  readonly examined: number
  readonly swept: number
  /** The sessions of people that live at the time `now`, of those that it has looked at. */
  readonly living: number
}

async function walkSessions(
  transaction: Transaction<Tables>,
  { cursor, endedBy, rowsMax, deletedMax }: Sweep,
  now: number,
): Promise<Walked> {
  const after = cursor ?? Buffer.alloc(16)
  const rows = await transaction
    .selectFrom('sessions')
    .select(['id', 'user_id', 'expires_at', 'revoked_at'])
    .where('id', '>', after)
    .orderBy('id')
    .limit(rowsMax)
    .execute()
  const dead = rows.filter(row => Math.min(row.expires_at, row.revoked_at ?? Infinity) <= endedBy)
  const ids = dead.slice(0, deletedMax).map(row => row.id)
  // The next step looks again at dead rows beyond the limit.
  const isCut = dead.length > deletedMax
  const examined = isCut ? rows.findIndex(row => row.id === ids.at(-1)) + 1 : rows.length
  const swept = ids.length === 0 ? 0 : await deleteEnded(transaction, ids, endedBy)
  const isLast = !isCut && rows.length < rowsMax
  const reached = isLast ? undefined : rows[examined - 1]?.id
  await keepInStep(transaction, { after, upTo: reached ?? lastId })
  const living = rows
    .slice(0, examined)
    .filter(row => row.user_id !== null && row.revoked_at === null && row.expires_at > now).length
  return { cursor: reached ?? null, examined, swept, living }
}

/** One that was refreshed since it was looked at stays. */
async function deleteEnded(
  transaction: Transaction<Tables>,
  ids: readonly Buffer[],
  endedBy: number,
): Promise<number> {
  const deleted = await transaction
    .deleteFrom('sessions')
    .where('id', 'in', ids)
    .where(({ or, eb }) => or([eb('expires_at', '<=', endedBy), eb('revoked_at', '<=', endedBy)]))
    .returning('id')
    .execute()
  if (deleted.length > 0) {
    const gone = deleted.map(({ id }) => id)
    await transaction.deleteFrom('sign_in_sessions').where('session_id', 'in', gone).execute()
    await transaction.deleteFrom('offline_sessions').where('session_id', 'in', gone).execute()
    await transaction.deleteFrom('personal_access_tokens').where('session_id', 'in', gone).execute()
  }
  return deleted.length
}

/**
 * Gives unused pages of the embedded database back to the file system, at most so many, when they are more
 * than a tenth of the file; returns how many. (PostgreSQL's own vacuum keeps its tables small.)
 */
export async function giveBackPages(db: Database, pagesMax: number): Promise<number> {
  if (db.engine !== 'sqlite') return 0
  const { pages, free } = await countPages(db)
  const count = Math.min(pagesMax, free - Math.ceil(pages / 10))
  if (count <= 0) return 0
  await db.transact(async transaction => {
    // Each run of this statement gives one page back, whatever its argument says.
    for (let i = 0; i < count; i++) await fragment`pragma incremental_vacuum(1)`.execute(transaction)
  })
  return count
}

/** The size of the embedded database's file in pages, and how many of them hold nothing. */
export async function countPages({
  sql,
}: Database): Promise<{ readonly pages: number; readonly free: number }> {
  const { rows } = await fragment<{ pages: number; free: number }>`
    select (select page_count from pragma_page_count) as pages, (select freelist_count from pragma_freelist_count) as free
  `.execute(sql)
  return rows[0] ?? { pages: 0, free: 0 }
}
