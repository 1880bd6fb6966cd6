import type { Database } from '../../db/database.ts'
import { forgetDeviceAuthorizations } from '../../db/grants/device-authorizations.ts'
import type { Clock } from '../clock.ts'
import { forgetSeconds, type Job } from '../upkeep/job.ts'

/** How many are deleted at once. */
const limit = 1000

/** How long they stay when they have expired, in seconds: so pages can say it, also by a clock set back. */
const keepSeconds = 3600

/** Forgets what devices have asked for long ago. */
export function oldDevices(db: Database, clock: Clock): { readonly jobs: readonly Job[] } {
  const forget = async (signal: AbortSignal) => {
    const expired = () => ({ expiredBy: clock.now() - keepSeconds, limit })
    while (!signal.aborted && (await forgetDeviceAuthorizations(db, expired())) === limit);
  }
  return {
    jobs: [{ name: 'forgetting devices that asked', everySeconds: forgetSeconds, run: forget }],
  }
}
