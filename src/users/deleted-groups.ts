import type { Database } from '../../db/database.ts'
import type { GroupTable } from '../../db/schema.ts'
import { emptyDeletedGroup } from '../../db/users/group-members.ts'
import { findDeletedGroup } from '../../db/users/groups.ts'
import type { Clock } from '../clock.ts'
import type { Job } from '../upkeep/job.ts'

export interface EmptyOptions {
  readonly clock: Clock
  /** How many steps are taken at the most. The rest is for a server that looks for it. */
  readonly stepsMax?: number
  readonly signal?: AbortSignal
  /** Told after each step how many members have left so far. */
  readonly onProgress?: (left: number) => void
}

/**
 * Takes the members out of a group that was deleted, step by step. After each step it rests as long as the
 * step took, so refreshes get at least half of the database's time. False where some are left.
 */
export async function emptyDeleted(
  db: Database,
  group: Pick<GroupTable, 'id' | 'name'>,
  { clock, stepsMax = Infinity, signal, onProgress }: EmptyOptions,
): Promise<boolean> {
  let gone = 0
  for (let step = 0; step < stepsMax && !signal?.aborted; step++) {
    const startedAt = clock.steady()
    const { left, isDone } = await emptyDeletedGroup(db, group)
    gone += left
    onProgress?.(gone)
    if (isDone) return true
    await clock.pause(clock.steady() - startedAt, signal)
  }
  return false
}

/** How often it is looked for, in seconds. There is no hurry: it gives its members nothing. */
const lookSeconds = 10

/** Has emptied whatever deleted group still has members. */
export function deletedGroups(db: Database, clock: Clock): { readonly jobs: readonly Job[] } {
  const run = async (signal: AbortSignal) => {
    while (!signal.aborted) {
      const group = await findDeletedGroup(db)
      if (!group) return
      await emptyDeleted(db, group, { clock, signal })
    }
  }
  return { jobs: [{ name: 'emptying deleted groups', everySeconds: lookSeconds, run }] }
}
