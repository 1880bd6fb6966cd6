import type { Database } from '../../db/database.ts'
import { listRevokeReasons, type Revocation } from '../../db/sessions/revocations.ts'
import type { Counts } from './counts.ts'

/** Why servers end sessions; each counts those that it has ended itself. Any other reason is a command's. */
const reasonsOfServers: ReadonlySet<string | null> = new Set(['client', 'admin', 'theft', 'limit'])

/** Counts the sessions that commands have ended, of which a server hears by the feed alone. */
export function countCommands(
  db: Database,
  { revocations: counts }: Counts,
): (revocations: readonly Revocation[]) => Promise<void> {
  return async revocations => {
    const reasons = await listRevokeReasons(
      db,
      revocations.map(({ session_id }) => session_id),
    )
    counts.command += reasons.filter(reason => !reasonsOfServers.has(reason)).length
  }
}
