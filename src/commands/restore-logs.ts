import { resolve } from 'node:path'
import type { Config } from '../config.ts'
import type { Installation } from '../installation.ts'
import { replayRevocations, type Replayed } from '../revocation/replay-revocations.ts'
import { readRevocationLog, type LoggedRevocation } from '../revocation/revocation-log.ts'
import type { Run } from './command.ts'
import { CommandError } from './failures.ts'
import { counted, formatTime } from './output.ts'
import { openProgress } from './progress.ts'

/** For clocks that were set back. */
const marginSeconds = 3600

const isForGood: ReadonlySet<LoggedRevocation['event']> = new Set([
  'sessions_revoked',
  'key_revoked',
  'all_keys_revoked',
])

/** Reads the logs; refuses those that begin too late, unless it was said what to do about that. */
export async function readLogs(
  run: Run,
  paths: readonly string[],
  madeAt: number,
  isDecided: boolean,
): Promise<readonly LoggedRevocation[]> {
  const logs = []
  for (const path of paths) logs.push(await readRevocationLog(resolve(run.workingDirectory, path)))
  const beginsAt = Math.min(...logs.map(log => log.beginsAt ?? Infinity))
  if (beginsAt > madeAt && !isDecided) {
    const told = beginsAt === Infinity ? 'tell nothing' : `begin at ${formatTime(beginsAt)}`
    throw new CommandError(
      `the logs ${told}, but the backup was made at ${formatTime(madeAt)}: what was revoked in between lives again. ` +
        'Add older logs, or --accept-unrevoked, or --end-sessions; nothing was changed',
    )
  }
  const unreadable = logs.reduce((sum, log) => sum + log.unreadable, 0)
  if (unreadable > 0)
    run.note(`${counted(unreadable, 'line')} about revocations cannot be read, and do not count.`)
  // What is about a user or a client may be older than the backup, and undone before it; the rest is for good.
  return logs
    .flatMap(log => log.revocations)
    .filter(({ event, at }) => isForGood.has(event) || at >= madeAt - marginSeconds)
}

/** Revokes again what the logs tell of. */
export async function replay(
  run: Run,
  { db, rootKeys }: Installation,
  file: Config,
  revocations: readonly LoggedRevocation[],
): Promise<Replayed> {
  const progress = openProgress(run, 'revocation', revocations.length)
  try {
    const options = { db, rootKeys, file, now: run.now, entry: run.entry }
    return await replayRevocations(options, revocations, progress.at)
  } finally {
    progress.end()
  }
}
