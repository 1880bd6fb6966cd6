import { resolve } from 'node:path'
import type { Database } from '../../../db/database.ts'
import { replayRevocations, type Replayed, type ReplayOptions } from '../../endings/replay.ts'
import { planRevocations, sessionsAlone, type RevocationPlan } from '../../endings/plan.ts'
import { readRevocationLog, type LoggedRevocation } from '../../record/restore-log.ts'
import { counted, formatTime } from '../../values/formats.ts'
import type { Run } from '../shell/command.ts'
import { CommandError } from '../shell/failures.ts'
import { openProgress } from '../shell/progress.ts'
import { confirm } from '../shell/prompt.ts'
import { describePlan } from './restore-report.ts'

/** For clocks that were set back. */
const marginSeconds = 3600

const isForGood: ReadonlySet<LoggedRevocation['event']> = new Set([
  'session_revoked',
  'sessions_revoked',
  'key_revoked',
  'all_keys_revoked',
])

/** Reads the logs; refuses those that begin too late, unless it was said what to do about that. */
export async function readLogs(
  run: Run,
  paths: readonly string[],
  madeAt: number | undefined,
  isDecided: boolean,
): Promise<readonly LoggedRevocation[]> {
  const logs = []
  for (const path of paths) logs.push(await readRevocationLog(resolve(run.workingDirectory, path)))
  const beginsAt = Math.min(...logs.map(log => log.beginsAt ?? Infinity))
  if (!isDecided && (beginsAt === Infinity || (madeAt !== undefined && beginsAt > madeAt))) {
    const told = beginsAt === Infinity ? 'tell nothing' : `begin at ${formatTime(beginsAt)}`
    const gap = madeAt === undefined ? '' : `, but the backup was made at ${formatTime(madeAt)}`
    throw new CommandError(
      `the logs ${told}${gap}: what was revoked in between lives again. ` +
        'Add older logs, or --accept-unrevoked, or --end-sessions; nothing was changed',
    )
  }
  const unreadable = logs.reduce((sum, log) => sum + log.unreadable, 0)
  if (unreadable > 0)
    run.note(`${counted(unreadable, 'line')} about revocations cannot be read, and do not count.`)
  // What is about a user or a client may be older than the backup, and undone before it; the rest is for good.
  return logs
    .flatMap(log => log.revocations)
    .filter(({ event, at }) => isForGood.has(event) || at >= (madeAt ?? 0) - marginSeconds)
}

/** Revokes again what was planned. */
export async function replay(run: Run, options: ReplayOptions, plan: RevocationPlan): Promise<Replayed> {
  const progress = openProgress(run, 'revocation', plan.revocations.length)
  try {
    return await replayRevocations(options, plan, progress.at)
  } finally {
    progress.end()
  }
}

export interface Agreement {
  /** Whether everything that the logs tell of is agreed to. */
  readonly yes?: true | undefined
  /** Whether nothing but sessions shall end. */
  readonly sessionsOnly?: true | undefined
}

/**
 * What is to be done of what the logs tell. Who can write to a log could have more done than ends of sessions, so all of
 * that is shown, and has to be agreed to; nothing has been changed where it is not.
 */
export async function agreedPlan(
  run: Run,
  db: Database,
  revocations: readonly LoggedRevocation[],
  { yes, sessionsOnly }: Agreement,
): Promise<RevocationPlan> {
  const plan = await planRevocations(db, revocations, run.clock.now())
  if (plan.implausible > 0) {
    const lines = counted(plan.implausible, 'line')
    run.note(`${lines} about revocations cannot be true (an epoch or a time far ahead), and do not count.`)
  }
  if (sessionsOnly) return sessionsAlone(plan)
  const more = describePlan(plan)
  if (more.length === 0 || yes) return plan
  const facts = [
    'The logs tell of more than sessions that have ended. This is done once more:',
    ...more,
  ].join('\n')
  if (run.stdin.isTTY) {
    run.note(facts)
    await confirm(run, 'Do all of it?', { yes: undefined })
    return plan
  }
  throw new CommandError(
    `${facts}\nNothing was changed. Say what to do: --yes does all of it; --sessions-only ends sessions, and does nothing else`,
  )
}
