import type { Database } from '../../../db/database.ts'
import { planRevocations, sessionsAlone, type RevocationPlan } from '../../endings/plan.ts'
import { replayRevocations, type Replayed, type ReplayOptions } from '../../endings/replay.ts'
import { Refusal } from '../../errors.ts'
import { readRevocationLog, type LoggedRevocation } from '../../record/restore-log.ts'
import { formatCount, formatTime } from '../../values/formats.ts'
import { isDecided, type Choice, type Talk } from './talk.ts'

/** For clocks that were set back. */
const marginSeconds = 3600

const isForGood: ReadonlySet<LoggedRevocation['event']> = new Set([
  'session_revoked',
  'sessions_revoked',
  'key_revoked',
  'all_keys_revoked',
])

/** Reads the logs; refuses those that begin too late, unless it was said what to do about that. */
async function readLogs(
  { note }: Talk,
  { logs: files = [], ...choice }: Choice,
  madeAt: number | undefined,
): Promise<readonly LoggedRevocation[]> {
  const logs = []
  for (const file of files) logs.push(await readRevocationLog(file))
  const beginsAt = Math.min(...logs.map(log => log.beginsAt ?? Infinity))
  if (!isDecided(choice) && (beginsAt === Infinity || (madeAt !== undefined && beginsAt > madeAt))) {
    const told = beginsAt === Infinity ? 'tell nothing' : `begin at ${formatTime(beginsAt)}`
    const gap = madeAt === undefined ? '' : `, but the backup was made at ${formatTime(madeAt)}`
    throw new Refusal(
      'conflict',
      `the logs ${told}${gap}: what was revoked in between lives again. ` +
        'Add older logs, or --accept-unrevoked, or --end-sessions; nothing was changed',
    )
  }
  const unreadable = logs.reduce((sum, log) => sum + log.unreadable, 0)
  if (unreadable > 0)
    note(`${formatCount(unreadable, 'line')} about revocations cannot be read, and do not count.`)
  // A line about a user or client may be older than the backup, and undone before it; the rest is for good.
  return logs
    .flatMap(log => log.revocations)
    .filter(({ event, at }) => isForGood.has(event) || at >= (madeAt ?? 0) - marginSeconds)
}

/** Plans what the logs tell of, and has it agreed to; undefined without logs. */
export async function planFromLogs(
  talk: Talk,
  db: Database,
  choice: Choice,
  { madeAt, now }: { readonly madeAt: number | undefined; readonly now: number },
): Promise<RevocationPlan | undefined> {
  if (!choice.logs) return undefined
  const plan = await planRevocations(db, await readLogs(talk, choice, madeAt), now)
  if (plan.implausible > 0) {
    const lines = formatCount(plan.implausible, 'line')
    talk.note(`${lines} about revocations cannot be true (an epoch or a time far ahead), and do not count.`)
  }
  if (choice.sessionsOnly) return sessionsAlone(plan)
  await talk.agree(plan)
  return plan
}

/** Revokes again what was planned. */
export async function replay(
  { showProgress }: Talk,
  options: ReplayOptions,
  plan: RevocationPlan,
): Promise<Replayed> {
  const progress = showProgress('revocation', plan.revocations.length)
  try {
    return await replayRevocations(options, plan, progress.at)
  } finally {
    progress.end()
  }
}

/** The document of what was revoked again. */
export function describeReplayed(replayed: Replayed) {
  return {
    sessions_revoked: replayed.sessions,
    users_disabled: [...replayed.usersDisabled],
    clients_disabled: [...replayed.clientsDisabled],
    old_passwords: [...replayed.oldPasswords],
    keys_revoked: [...replayed.keys],
  }
}
