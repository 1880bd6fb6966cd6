import { listUnusedClients } from '../../db/clients/open-clients.ts'
import type { Recorder } from '../record/record.ts'
import type { Job } from '../upkeep/job.ts'
import { day } from '../values/duration.ts'
import { endSessionsOfClient } from './end.ts'

/** How long a client is kept that has no consent of any user, in seconds. */
const keepSeconds = 30 * day
const lookSeconds = 3600
/** In each hour. */
const clientsMax = 1000

/** Deletes clients that no administrator has made, and that no user allows anything any more. */
export function unusedClients(by: Omit<Recorder, 'actor'>): { readonly jobs: readonly Job[] } {
  const run = async () => {
    const madeBefore = by.clock.now() - keepSeconds
    for (const { id, epoch: _, ...seen } of await listUnusedClients(by.db, { madeBefore, limit: clientsMax }))
      await endSessionsOfClient({ ...by, actor: { kind: 'server' } }, id, 'client deleted', {
        seen: { client: seen },
      })
  }
  return { jobs: [{ name: 'deleting unused clients', everySeconds: lookSeconds, run }] }
}
