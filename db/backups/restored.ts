import { sql as fragment } from 'kysely'
import type { Database } from '../database.ts'
import { raiseRevision } from '../installation/installation.ts'
import { endEverySignIn } from '../users/sign-ins.ts'
import type { Writer } from '../writer.ts'

/** The latest time that anything in the database tells of, in seconds since the epoch. */
export async function latestMoment({ sql }: Database): Promise<number> {
  const { at } = await sql
    .selectFrom('sessions')
    .select(({ fn }) => [fn.max('rotated_at').as('rotated_at'), fn.max('revoked_at').as('revoked_at')])
    .executeTakeFirstOrThrow()
    .then(({ rotated_at, revoked_at }) => ({ at: Math.max(rotated_at ?? 0, revoked_at ?? 0) }))
  const { created_at } = await sql.selectFrom('installation').select('created_at').executeTakeFirstOrThrow()
  const { stepped_at } = await sql.selectFrom('sweeper').select('stepped_at').executeTakeFirstOrThrow()
  return Math.max(at, created_at, stepped_at ?? 0)
}

/**
 * Notes that the database has gone back in time, to some moment after `since`: of several, the latest counts.
 * Whether that was not known. A change that goes back further than the last revival is that which was
 * revived.
 */
export async function noteLost({ transact }: Database, since: number): Promise<boolean> {
  return transact(async transaction => {
    const noting = transaction
      .updateTable('installation')
      .set({ lost_since: since })
      .where(({ or, eb }) => or([eb('revived_at', 'is', null), eb('revived_at', '<', since)]))
    const { numUpdatedRows } = await noting.where('lost_since', 'is', null).executeTakeFirstOrThrow()
    if (numUpdatedRows === 1n) return true
    await noting.where('lost_since', '<', since).execute()
    return false
  })
}

/** Notes that the revocations which the backup had lost have been seen to, and ends all sign-ins. */
export async function forgetLost({ transact }: Writer, now: number): Promise<void> {
  await transact(async transaction => {
    await transaction.updateTable('installation').set({ lost_since: null, revived_at: now }).execute()
    await endEverySignIn(transaction)
    return true
  })
}

/**
 * Makes a backup fit to serve again.
 *
 * The idle limits of the sessions that lived when it was made (`madeAt`) move by its age, never past the
 * absolute ones: those that were refreshed since then have later ones, which are lost. A next signing key
 * has to be published for its whole lead again. Positions in the status lists begin at `nextPosition`, if
 * that is later. All sign-ins end: no log tells which of them have ended since. False, and nothing is
 * changed, when it is no backup any more, since another process was first.
 */
export async function reviveBackup(
  { transact }: Writer,
  {
    madeAt,
    now,
    nextPosition,
    isSeenTo,
    hasServed = false,
  }: {
    readonly madeAt: number
    readonly now: number
    readonly nextPosition: number
    /** Whether somebody has decided what becomes of what was revoked since. */
    readonly isSeenTo: boolean
    /** Whether servers have gone on with it: then the limits of sessions that were refreshed are right. */
    readonly hasServed?: boolean
  },
): Promise<boolean> {
  const age = Math.max(0, now - madeAt)
  return transact(async transaction => {
    const { numUpdatedRows } = await transaction
      .updateTable('installation')
      .set({ backed_up_at: null, revived_at: now, lost_since: isSeenTo ? null : madeAt })
      .where('backed_up_at', 'is not', null)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return false
    await transaction
      .updateTable('sessions')
      .set({
        expires_at: fragment`case when expires_at + ${age} < absolute_expires_at then expires_at + ${age} else absolute_expires_at end`,
      })
      .where('expires_at', '>', madeAt)
      // Elsewhere a time after the backup is that of a clock which was set back.
      .$if(hasServed, query => query.where('rotated_at', '<=', madeAt))
      .where('revoked_at', 'is', null)
      .where('user_id', 'is not', null)
      .execute()
    await transaction
      .updateTable('signing_keys')
      .set({ witnessed_seconds: 0 })
      .where('activated_at', 'is', null)
      .execute()
    await transaction
      .updateTable('status_positions')
      .set({ next: nextPosition })
      .where('next', '<', nextPosition)
      .execute()
    await endEverySignIn(transaction)
    await raiseRevision(transaction)
    return true
  })
}

/** Says when a file was made that is a copy of the database, where it does not say so by itself. */
export async function markAsBackup({ sql }: Database, madeAt: number): Promise<void> {
  await sql.updateTable('installation').set({ backed_up_at: madeAt }).execute()
}

/** The next position in the status lists that is not taken. */
export async function readNextPosition({ sql }: Database): Promise<number> {
  const { next } = await sql.selectFrom('status_positions').select('next').executeTakeFirstOrThrow()
  return next
}
