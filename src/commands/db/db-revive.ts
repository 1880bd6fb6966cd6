import type { Command } from '@commander-js/extra-typings'
import { forgetLost, markAsBackup, reviveBackup } from '../../../db/backups/restored.ts'
import type { Admin } from '../../admin/admin.ts'
import { endAllSessions } from '../../endings/end.ts'
import { unusedPosition } from '../../endings/restored.ts'
import { formatTime } from '../../values/formats.ts'
import { record } from '../../record/record.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { showEnding } from '../shell/ending.ts'
import { CommandError, UsageError } from '../shell/failures.ts'
import { pastTime } from '../shell/options.ts'
import { agreedPlan, readLogs, replay, type Agreement } from './restore-logs.ts'
import { replayedJson, revivedLines } from './restore-report.ts'

interface Options extends Agreement {
  readonly revocations?: readonly string[] | undefined
  readonly madeAt?: number | undefined
  readonly acceptUnrevoked?: true | undefined
  readonly endSessions?: true | undefined
}

/** `mintmark db revive`: for a database that has gone back in time without `mintmark db restore`. */
export function reviveCommand(db: Command, terminal: Terminal): void {
  verb(db, 'revive', 'revoke again what was revoked, in a database that has gone back in time', [
    'mintmark db revive --revocations /var/log/mintmark/*.log --made-at 2026-11-22T03:00:00Z',
    'mintmark db revive --end-sessions',
  ])
    .option('--revocations <log...>', 'logs of servers and commands: revoke again what they tell of')
    .option('--made-at <time>', 'when the backup was made', pastTime(terminal.clock))
    .option('--yes', 'with --revocations: do all that the logs tell of')
    .option('--sessions-only', 'with --revocations: end sessions again, and do nothing else')
    .option('--accept-unrevoked', 'let live again what was revoked')
    .option('--end-sessions', 'end all sessions: everybody has to sign in again')
    .addHelpText('after', howItGoes)
    .action(command(terminal, (run, options) => revive(run, options)))
}

const howItGoes = `
For what \`mintmark db restore\` does not see: PostgreSQL after pg_restore, point-in-time recovery or a failover that has lost
writes, and a backup that was put in place by hand. Servers may run meanwhile. It may be done any number of times, also with
logs of before: what the database knows already changes nothing.

With --made-at, sessions that nobody has refreshed here since get the time back that they were away for, and a next signing
key is published for its whole lead again, once.`

async function revive(run: Run, options: Options) {
  const { revocations: logs, acceptUnrevoked, endSessions } = options
  if (acceptUnrevoked && endSessions) {
    throw new UsageError('--accept-unrevoked and --end-sessions contradict each other')
  }
  const isDecided = acceptUnrevoked === true || endSessions === true
  const admin = await run.open()
  const { db, rootKeys, config, installation } = admin
  const madeAt = options.madeAt ?? installation.backed_up_at ?? undefined
  const since = madeAt ?? installation.lost_since ?? undefined
  if (!logs && !isDecided) {
    throw new CommandError(
      `what was revoked ${since === undefined ? 'since the backup' : `after ${formatTime(since)}`} lives again. ` +
        'Nothing was changed. Say what to do: --revocations LOG revokes it again, as the logs of servers and commands ' +
        'tell; --accept-unrevoked lets it live; --end-sessions ends all sessions',
    )
  }
  const revocations = logs && (await readLogs(run, logs, since, isDecided))
  const plan = revocations && (await agreedPlan(run, db, revocations, options))
  const replayed = plan && (await replay(run, { by: admin, rootKeys, file: config }, plan))
  const ended = endSessions ? await showEnding(run, to => endAllSessions(admin, 'restored', to)) : null
  await makeFit(admin, madeAt)
  run.log.warn(
    { event: 'database_revived', made_at: madeAt, ...replayedJson(replayed) },
    'what was lost with a database that had gone back in time was seen to',
  )
  const sessionsEnded = ended && ended.ended
  return {
    text: revivedLines({ replayed, sessionsEnded }).join('\n'),
    json: {
      made_at: madeAt ?? null,
      sessions_ended: sessionsEnded,
      ...(replayed && { replayed: replayedJson(replayed) }),
    },
  }
}

/** What has to be done once, after which the database is like any other. */
async function makeFit(admin: Admin, madeAt: number | undefined): Promise<void> {
  const { db, installation } = admin
  const now = admin.clock.now()
  const event = { event: 'database_restored', detail: { made_at: madeAt, revived: true } } as const
  // Whatever was revived after it was made has got its time back.
  if (madeAt === undefined || (installation.revived_at !== null && installation.revived_at > madeAt)) {
    return record(admin, event, writer => forgetLost(writer, now))
  }
  await markAsBackup(db, madeAt)
  const nextPosition = await unusedPosition(db)
  const revival = { madeAt, now, nextPosition, isSeenTo: true, hasServed: true }
  await record(admin, event, writer => reviveBackup(writer, revival))
}
