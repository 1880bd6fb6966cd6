import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { beginCopy, cancelCopy, CopyError, findCopy, type Copy } from '../../../db/copy/copy.ts'
import { drainChanges } from '../../../db/copy/drain.ts'
import { moveInstallation, openMoved, type Moved } from '../../../db/copy/finish.ts'
import { copyLarge, countLarge, verifyLarge } from '../../../db/copy/walk.ts'
import type { Database } from '../../../db/database.ts'
import { findInstallation } from '../../../db/installation/installation.ts'
import { migrate, schemaStatus } from '../../../db/installation/migrate.ts'
import { openDatabase } from '../../../db/open-database.ts'
import { audited } from '../../../db/writer.ts'
import type { Config } from '../../config/load.ts'
import {
  describeDatabaseUrl,
  parseDatabaseUrl,
  readDatabaseUrlFile,
  type DatabaseUrl,
} from '../../config/database-url.ts'
import { databaseOptions } from '../../installation/open.ts'
import { pause } from '../../pause.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { CommandError, UsageError } from '../shell/failures.ts'
import { facts } from '../shell/output.ts'
import { openProgress } from '../shell/progress.ts'
import { confirm } from '../shell/prompt.ts'

/** Longer than a server takes to hear that its database has been moved away. */
const hearsayMilliseconds = 1200

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
  const { databaseUrl } = config
  if (databaseUrl.engine === 'sqlite' && !existsSync(databaseUrl.file)) {
    throw new CommandError(`there is no database at ${databaseUrl.file}: set MINTMARK_HOME`)
  }
  const from = openDatabase(databaseUrl, { ...databaseOptions(config), isPatient: true })
  const opened = [from]
  try {
    const movedAt = await judgeSource(from, config)
    if (options.cancel) return await cancel(from)
    const location = targetOf(run, config, options)
    const place = describeDatabaseUrl(location)
    const to = openDatabase(location, { isPatient: true })
    opened.push(to)
    if ((await schemaStatus(to)).isTooNew) {
      throw new CommandError(`${place} was migrated by a newer Mintmark, which this one is too old for`)
    }
    await migrate(to, run.now())
    if (movedAt !== null) return await finish(run, { from, to }, place)
    await confirm(
      run,
      `${describeDatabaseUrl(databaseUrl)} is copied to ${place}, and never serves again after that. Go on?`,
      { yes: options.yes },
    )
    const begun = await beginCopy(from, to, run.now())
    await copyWhileServed(run, begun)
    run.note('Stopping writes: servers answer 503 until the last changes are over.')
    const moved = await moveInstallation(begun, run.now())
    await pause(hearsayMilliseconds)
    await openMoved({ to: audited(to, movedEntry(run, from)) })
    return tell(config, place, moved)
  } catch (error) {
    throw error instanceof CopyError ? new CommandError(error.message) : error
  } finally {
    for (const database of opened) await database.close()
  }
}

/** Refuses what cannot be copied; returns when it was moved before, if it was. */
async function judgeSource(from: Database, config: Config): Promise<number | null> {
  const { pending, isTooNew } = await schemaStatus(from)
  if (isTooNew) throw new CommandError('the database was migrated by a newer Mintmark: upgrade this one')
  if (pending.length > 0) {
    throw new CommandError('the database has an older schema: `mintmark db migrate` brings it up to date')
  }
  const record = await findInstallation(from)
  if (!record) throw new CommandError('there is no installation in this database: there is nothing to copy')
  if (record.issuer !== config.issuer) {
    throw new CommandError(
      `this database belongs to the issuer ${record.issuer}, but MINTMARK_ISSUER is ${config.issuer}`,
    )
  }
  return record.moved_at
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

async function cancel(from: Database) {
  const isCancelled = await cancelCopy(from)
  return {
    text: isCancelled
      ? 'Gave the copy up. The other database has a part of it: drop it before another copy goes there.'
      : 'There was no copy to give up.',
    json: { cancelled: isCancelled },
  }
}

async function copyWhileServed(run: Run, begun: Copy): Promise<void> {
  const total = await countLarge(begun.from)
  const shown = async (work: (tell: (rows: number) => void) => Promise<void>) => {
    const progress = openProgress(run, 'row', total)
    try {
      await work(progress.at)
    } finally {
      progress.end()
    }
  }
  run.note('Copying while servers go on. If this is interrupted, the same command goes on with it.')
  await shown(tell => copyLarge(begun, tell))
  await drainChanges(begun)
  run.note('Comparing.')
  await shown(tell => verifyLarge(begun, tell))
  await drainChanges(begun)
}

/** The move was made, but the command was interrupted before it had said so to the other database. */
async function finish(run: Run, { from, to }: Pick<Copy, 'from' | 'to'>, place: string) {
  const [source, target] = [await findCopy(from), await findCopy(to)]
  if (!source || source.id !== target?.id) {
    throw new CommandError(
      'this database was moved to another one, and serves no more: set MINTMARK_DATABASE_URL to that one',
    )
  }
  await openMoved({ to: audited(to, movedEntry(run, from)) })
  return { text: `${place} has everything, and may be served now.`, json: { to: place, moved: true } }
}

/** In the database that serves from now on: the other one takes no writes any more. */
const movedEntry = ({ entry }: Run, from: Database) =>
  entry('database_moved', { detail: { from: from.engine } })

function tell(config: Config, place: string, { rows, stoppedMs }: Moved) {
  const { users = 0, sessions = 0, clients = 0 } = rows
  return {
    text: [
      `Moved the installation to ${place}; nobody could write for ${(stoppedMs / 1000).toFixed(1)} s.`,
      facts({ users, clients, sessions, compared: 'every row, and the number of rows of every table' }),
      'Now set MINTMARK_DATABASE_URL (or MINTMARK_DATABASE_URL_FILE) to it, and restart the servers, with the same',
      `root key: ${config.rootKeyFile} belongs on each machine. This database never serves again; keep it as a backup.`,
    ].join('\n'),
    json: {
      from: describeDatabaseUrl(config.databaseUrl),
      to: place,
      rows,
      stopped_ms: Math.round(stoppedMs),
      moved: true,
    },
  }
}
