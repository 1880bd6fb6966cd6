import { findLostEndings, type LostEndings } from '../../../db/backups/lost-endings.ts'
import { latestMoment, readNextPosition } from '../../../db/backups/restored.ts'
import type { Database } from '../../../db/database.ts'
import { findInstallation } from '../../../db/installation/installation.ts'
import { schemaStatus } from '../../../db/installation/migrate.ts'
import type { Installation } from '../../installation/open.ts'
import type { Talk } from './talk.ts'

/** Facts that only the present database has; undefined if it cannot tell, or is of another installation. */
export async function presentFacts(
  { note, showProgress }: Talk,
  present: Database | undefined,
  { db, record }: Installation,
  times: { readonly madeAt: number; readonly now: number },
): Promise<{ readonly lost: LostEndings; readonly nextPosition: number } | undefined> {
  if (!present) return undefined
  const progress = showProgress('session')
  try {
    const { pending, isTooNew } = await schemaStatus(present)
    if (isTooNew || pending.length > 0) return undefined
    const own = await findInstallation(present)
    if (own?.created_at !== record.created_at || own.founding_issuer !== record.founding_issuer)
      return undefined
    if ((await latestMoment(present)) < (await latestMoment(db))) return undefined
    return {
      lost: await findLostEndings(present, db, times, progress.at),
      nextPosition: await readNextPosition(present),
    }
  } catch (error) {
    note(`The present database cannot be read to the end: ${String(error)}`)
    return undefined
  } finally {
    progress.end()
  }
}

/** Endings that only the present database has, not the logs. The end tells what no log could bring back. */
export async function untoldEndings(
  { showProgress }: Talk,
  present: Database,
  db: Database,
  times: { readonly madeAt: number; readonly now: number },
): Promise<LostEndings> {
  const progress = showProgress('session')
  try {
    const lost = await findLostEndings(present, db, times, progress.at)
    return {
      ...lost,
      users: lost.users.filter(({ since }) => since !== 'password changed'),
      clients: lost.clients.filter(({ since }) => since !== 'secret replaced'),
    }
  } finally {
    progress.end()
  }
}
