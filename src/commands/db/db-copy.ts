import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { copyInstallation, giveUpCopy, type CopyOutcome } from '../../admin/database-copy.ts'
import {
  describeDatabaseUrl,
  parseDatabaseUrl,
  readDatabaseUrlFile,
  type DatabaseUrl,
} from '../../config/database-url.ts'
import type { Config } from '../../config/load.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { UsageError } from '../shell/failures.ts'
import { facts } from '../shell/output.ts'
import { openProgress } from '../shell/progress.ts'
import { confirm } from '../shell/prompt.ts'

interface Options {
  readonly to?: string | undefined
  readonly toFile?: string | undefined
  readonly cancel?: true | undefined
  readonly yes?: true | undefined
}

/** `mintmark db copy`: the way from one machine to a fleet, or back. */
export function copyCommand(db: Command, terminal: Terminal): void {
  verb(db, 'copy', 'move the installation to another database, while servers go on until the last moment', [
    'mintmark db copy --to-file new-database.url',
    'mintmark db copy --to postgres://mintmark@db.example/mintmark --yes',
    'mintmark db copy --cancel',
  ])
    .option('--to <url>', 'the other database, which must be empty (a password in it shows in process lists)')
    .option('--to-file <file>', 'a file that holds the URL of the other database')
    .option('--cancel', 'give up a copy that was begun; the other database stays as it is')
    .option('--yes', 'do not ask')
    .action(command(terminal, (run, options) => copy(run, options)))
}

async function copy(run: Run, options: Options) {
  const config = run.config()
  if (options.cancel) return tellCancelled(await giveUpCopy(config))
  const outcome = await copyInstallation(
    {
      ...run,
      config,
      showProgress: (noun, total) => openProgress(run, noun, total),
      confirm: question => confirm(run, question, { yes: options.yes }),
    },
    targetOf(run, config, options),
  )
  return tell(config, outcome)
}

function targetOf(run: Run, config: Config, { to, toFile }: Options): DatabaseUrl {
  if ((to === undefined) === (toFile === undefined)) {
    throw new UsageError('name the other database with either --to or --to-file')
  }
  const location =
    to === undefined
      ? readDatabaseUrlFile(resolve(run.workingDirectory, toFile ?? ''), run.workingDirectory)
      : parseDatabaseUrl(to, run.workingDirectory)
  if (!('engine' in location)) {
    throw new UsageError(to === undefined ? `--to-file is ${location.problem}` : `--to ${location.problem}`)
  }
  if (JSON.stringify(location) === JSON.stringify(config.databaseUrl)) {
    throw new UsageError('this is the database that the settings name: name another one')
  }
  return location
}

function tellCancelled(isCancelled: boolean) {
  return {
    text: isCancelled
      ? 'Gave the copy up. The other database has a part of it: drop it before another copy goes there.'
      : 'There was no copy to give up.',
    json: { cancelled: isCancelled },
  }
}

function tell(config: Config, outcome: CopyOutcome) {
  const { place } = outcome
  if (outcome.kind === 'finished') {
    return { text: `${place} has everything, and may be served now.`, json: { to: place, moved: true } }
  }
  const { rows, stoppedSeconds } = outcome
  const { users = 0, sessions = 0, clients = 0 } = rows
  return {
    text: [
      `Moved the installation to ${place}; nobody could write for ${stoppedSeconds.toFixed(1)} s.`,
      facts({ users, clients, sessions, compared: 'every row, and the number of rows of every table' }),
      'Now set MINTMARK_DATABASE_URL (or MINTMARK_DATABASE_URL_FILE) to it, and restart the servers, with the same',
      `root key: ${config.rootKeyFile} belongs on each machine. This database never serves again; keep it as a backup.`,
    ].join('\n'),
    json: {
      from: describeDatabaseUrl(config.databaseUrl),
      to: place,
      rows,
      stopped_ms: Math.round(stoppedSeconds * 1000),
      moved: true,
    },
  }
}
