import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { describeRestored, restoreBackup } from '../../admin/restore/restore.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { tellRestored } from './restore-report.ts'
import { choiceOf, talkAt, type ChoiceOptions } from './restore-talk.ts'

/**
 * `mintmark db restore`: back to a backup, without logging anybody out, and without letting anybody in again.
 */
export function restoreCommand(db: Command, terminal: Terminal): void {
  verb(db, 'restore', 'put a backup in the place of the database; every server must be stopped', [
    'mintmark db restore /backups/mintmark-2026-11-22.sqlite --revocations /var/log/mintmark/*.log',
    'mintmark db restore /backups/mintmark-2026-11-22.sqlite --end-sessions',
  ])
    .argument('<file>', 'what `mintmark db backup` has made')
    .option(
      '--revocations <log...>',
      'logs of servers and commands: revoke again what was revoked since the backup',
    )
    .option('--yes', 'with --revocations: do all that the logs tell of')
    .option('--sessions-only', 'with --revocations: end sessions again, and do nothing else')
    .option('--accept-unrevoked', 'let live again what was revoked since the backup')
    .option('--end-sessions', 'end all sessions of before: everybody has to log in again')
    .addHelpText('after', howItGoes)
    .action(command(terminal, (run, file, options) => restore(run, file, options)))
}

const howItGoes = `
The present database is kept beside the restored one. Sessions that were there when the backup was made go on, whatever was
refreshed since: a refresh token that is newer than the backup is believed, because only this server can have made it.
Log-ins, users and clients of after the backup are lost; passwords and secrets are those of the backup.`

async function restore(run: Run, path: string, options: ChoiceOptions) {
  const restoring = { ...run, config: run.config(), talk: talkAt(run, options) }
  const source = resolve(run.workingDirectory, path)
  const restored = await restoreBackup(restoring, source, choiceOf(run, options))
  return { text: tellRestored(restored), json: describeRestored(restored) }
}
