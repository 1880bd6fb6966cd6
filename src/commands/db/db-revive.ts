import type { Command } from '@commander-js/extra-typings'
import { describeRevived, reviveDatabase } from '../../admin/restore/revive.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { pastTime } from '../shell/options.ts'
import { tellRevived } from './restore-report.ts'
import { choiceOf, talkAt, type ChoiceOptions } from './restore-talk.ts'

interface Options extends ChoiceOptions {
  readonly madeAt?: number | undefined
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
    .option('--end-sessions', 'end all sessions: everybody has to log in again')
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
  const choice = choiceOf(run, options)
  const { madeAt } = options
  const revived = await reviveDatabase(await run.open(), talkAt(run, options), { ...choice, madeAt })
  return { text: tellRevived(revived), json: describeRevived(revived) }
}
