import { audited } from '../../db/audit.ts'
import { readNextPosition, reviveBackup } from '../../db/backups/restored.ts'
import type { Database, InstallationTable } from '../../db/database.ts'
import { auditEntry } from '../audit-trail.ts'
import type { Context } from '../context.ts'
import { formatDuration } from '../protocol/duration.ts'
import { statusListSize } from '../protocol/status-list.ts'

/** For a backup that somebody has put in the place of the database without `mintmark db restore`, before it serves. */
export async function reviveByHand(
  db: Database,
  { backed_up_at }: Pick<InstallationTable, 'backed_up_at'>,
  { now, log }: Pick<Context, 'now' | 'log'>,
): Promise<void> {
  if (backed_up_at === null) return
  const nextPosition = await unusedPosition(db)
  const entry = auditEntry({
    at: now(),
    event: 'database_restored',
    actor: 'server',
    detail: { made_at: backed_up_at },
  })
  const isFirst = await reviveBackup(audited(db, entry), { madeAt: backed_up_at, now: now(), nextPosition })
  if (!isFirst) return
  log.warn(
    { event: 'database_restored', made_at: backed_up_at },
    `this database is a backup, made ${formatDuration(Math.max(0, now() - backed_up_at))} ago: sessions go on, and what was ` +
      'revoked since lives again; `mintmark db restore` would have revoked it',
  )
}

/** Who had a position after the backup was made is not known without the database of then: so a new list is begun. */
export async function unusedPosition(db: Database): Promise<number> {
  return Math.ceil((await readNextPosition(db)) / statusListSize) * statusListSize
}
