import type { Database } from '../../db/database.ts'
import {
  forgetCounts,
  insertCounts,
  newCounts,
  rollUpCounts,
  type Counted,
  type CountRow,
} from '../../db/installation/counts.ts'
import type { Clock } from '../clock.ts'
import { grantFacts, isGrantType } from '../protocol/grant-types.ts'
import { forgetSeconds, tellSeconds, type Job } from '../upkeep/job.ts'
import type { Counts } from './counts.ts'

/**
 * Charts need counts of all servers together, over a month and over restarts: so each server writes a row
 * of what it has counted, whenever a minute is over. They are the counts that the metrics show. A process
 * that is killed takes those of its last minute with it.
 */

/** The lengths of spans, each with the age at which its rows are made part of longer ones, in seconds. */
const spans = [
  { seconds: 60, keptSeconds: 2 * 3600 },
  { seconds: 600, keptSeconds: 26 * 3600 },
  { seconds: 3600, keptSeconds: 31 * 86_400 },
] as const

/** What was counted at a moment: the sessions that live. */
export const momentSeconds = 0

/** So many minutes wait for a database that is away, each for itself; later ones are counted as one. */
const dueMax = 60

/** Few enough at once that nothing waits for them. */
const roundsMax = 20

/** Opens what writes them. */
export function openCountRows({
  db,
  clock,
  counts,
}: {
  readonly db: Database
  readonly clock: Clock
  readonly counts: Counts
}): { readonly jobs: readonly Job[] } {
  let told: Counted = {}
  let minute = minuteOf(clock.now())
  let due: readonly CountRow[] = []
  const cut = () => {
    const totals = totalsOf(counts)
    const counted = differenceOf(totals, told)
    told = totals
    if (Object.keys(counted).length > 0) due = [...due, newCounts(60, minute, counted)]
  }
  const write = async () => {
    const rows = due
    if (rows.length === 0) return
    await db.transact(transaction => insertCounts(transaction, rows))
    due = due.slice(rows.length)
  }
  return {
    jobs: [
      {
        name: 'writing the counts',
        everySeconds: tellSeconds,
        run: async () => {
          const now = minuteOf(clock.now())
          if (now !== minute) {
            if (due.length < dueMax) cut()
            minute = now
          }
          await write()
        },
        last: async () => {
          cut()
          await write()
        },
      },
      {
        name: 'rolling up the counts',
        everySeconds: forgetSeconds,
        run: async signal => rollUp(db, clock.now(), signal),
      },
    ],
  }
}

async function rollUp(db: Database, now: number, signal: AbortSignal): Promise<void> {
  for (const [i, { seconds: from, keptSeconds }] of spans.entries()) {
    const to = spans[i + 1]?.seconds
    if (to === undefined) {
      for (const seconds of [from, momentSeconds]) await forgetCounts(db, seconds, now - keptSeconds)
      return
    }
    // None that is not over yet.
    const before = Math.floor((now - keptSeconds) / to) * to
    for (let round = 0; round < roundsMax && !signal.aborted; round++)
      if (!(await rollUpCounts(db, { from, to, before }))) break
  }
}

/** What a refusal is counted as: `refused`, of what, and why. */
export const refusalName = (of: string, reason: string) => `refused ${of} ${reason}`

/** The counts that charts show, of those that there are. */
function totalsOf({ tokens, verdicts, signIns }: Counts): Counted {
  const totals: Record<string, number> = {}
  const add = (name: string, count: number) => {
    if (count > 0) totals[name] = (totals[name] ?? 0) + count
  }
  for (const grants of tokens.values()) {
    for (const [grant, { granted, refused }] of grants) {
      const of = kindOf(grant)
      if (of === 'log_in') add('log_ins', granted)
      if (of === 'refresh') add('refreshes', granted)
      for (const [reason, count] of refused) add(refusalName(of, reason), count)
    }
  }
  add('late', verdicts.late)
  add('thefts', verdicts.theft)
  add(refusalName('page', 'failed'), signIns.failed)
  add(refusalName('page', 'throttled'), signIns.throttled)
  return totals
}

function kindOf(grant: string): 'log_in' | 'refresh' | 'other' {
  if (grant === 'refresh_token') return 'refresh'
  return isGrantType(grant) && grantFacts[grant].startsUserSession ? 'log_in' : 'other'
}

function differenceOf(totals: Counted, before: Counted): Counted {
  return Object.fromEntries(
    Object.entries(totals)
      .map(([name, count]) => [name, count - (before[name] ?? 0)] as const)
      .filter(([, count]) => count > 0),
  )
}

function minuteOf(now: number): number {
  return Math.floor(now / 60) * 60
}
