import type { Database } from '../../db/database.ts'
import { forgetUses } from '../../db/grants/replays.ts'
import type { Clock } from '../clock.ts'
import { forgetSeconds, type Job } from '../upkeep/job.ts'

/** How many are deleted at once. */
const limit = 1000

/** Forgets the proofs and assertions that are refused for their age by now. */
export function usedProofs(db: Database, clock: Clock): { readonly jobs: readonly Job[] } {
  const forget = async (signal: AbortSignal) => {
    while (!signal.aborted && (await forgetUses(db, clock.now(), limit)) === limit);
  }
  return {
    jobs: [{ name: 'forgetting used proofs', everySeconds: forgetSeconds, run: forget }],
  }
}
