import { noteLost, readNextPosition, reviveBackup } from '../../db/backups/restored.ts'
import type { Database } from '../../db/database.ts'
import type { InstallationTable } from '../../db/schema.ts'
import type { Clock } from '../clock.ts'
import { statusListSize } from '../protocol/status-list.ts'
import type { Log } from '../record/log.ts'
import { record } from '../record/record.ts'
import { formatDuration } from '../values/duration.ts'

/** The advice about revocations that were lost. */
export const revivalAdvice = '`mintmark db revive --revocations LOG` revokes again what the logs tell of'

/**
 * For a backup that somebody has put in the place of the database without `mintmark db restore`, before it
 * serves.
 */
export async function reviveByHand(
  db: Database,
  { backed_up_at, lost_since }: Pick<InstallationTable, 'backed_up_at' | 'lost_since'>,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<void> {
  if (backed_up_at === null) {
    if (lost_since !== null) tellLost(log, lost_since)
    return
  }
  const nextPosition = await unusedPosition(db)
  const revival = { madeAt: backed_up_at, now: clock.now(), nextPosition, isSeenTo: false }
  const isRevived = await record(
    { db, clock, log, actor: { kind: 'server' } },
    { event: 'database_restored', detail: { made_at: backed_up_at } },
    writer => reviveBackup(writer, revival),
  )
  if (!isRevived) return
  log.warn(
    { event: 'database_restored', made_at: backed_up_at },
    `this database is a backup, made ${formatDuration(Math.max(0, clock.now() - backed_up_at))} ago: sessions go on, and what was ` +
      `revoked since lives again; ${revivalAdvice}`,
  )
}

/**
 * A session whose client shows a generation that the database has not had was refreshed after the moment that
 * the database is of, and that is after `rotatedAt`, when it was last refreshed before it: a backup was
 * restored, or a failover has lost writes. Revocations since then are lost with it, and only the logs know of
 * it.
 */
export async function tellWentBack(
  { db, log }: { readonly db: Database; readonly log: Log },
  rotatedAt: number,
): Promise<void> {
  if (await noteLost(db, rotatedAt)) tellLost(log, rotatedAt)
}

function tellLost(log: Log, since: number): void {
  log.error(
    { event: 'database_went_back', since },
    `the database has gone back in time, and what was revoked since then may live again: ${revivalAdvice}`,
  )
}

/**
 * Positions handed out after the backup are unknown without the database of then, so a new list begins.
 */
export async function unusedPosition(db: Database): Promise<number> {
  return Math.ceil((await readNextPosition(db)) / statusListSize) * statusListSize
}
