import { existsSync, rmSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { copyDatabaseFile } from '../../../db/backups/backup.ts'
import { findLostEndings, type LostEndings } from '../../../db/backups/lost-endings.ts'
import { replaceDatabase, stateOfFile } from '../../../db/backups/replace.ts'
import { latestMoment, markAsBackup, readNextPosition, reviveBackup } from '../../../db/backups/restored.ts'
import type { Database } from '../../../db/database.ts'
import { makeFolder } from '../../../db/engines/files.ts'
import { findInstallation } from '../../../db/installation/installation.ts'
import { schemaStatus } from '../../../db/installation/migrate.ts'
import { openDatabase } from '../../../db/open-database.ts'
import type { Config } from '../../config/load.ts'
import type { Replayed } from '../../endings/replay.ts'
import { unusedPosition } from '../../endings/restored.ts'
import { openInstallation, type Installation } from '../../installation/open.ts'
import type { RootKeys } from '../../keys/root/root-key.ts'
import { formatTime } from '../../values/formats.ts'
import { endAllSessions } from '../../endings/end.ts'
import { record } from '../../record/record.ts'
import { openHeldLog, type LineLog } from '../../record/restore-log.ts'
import { showEnding } from '../shell/ending.ts'
import { command, verb, type Run, type Terminal } from '../shell/command.ts'
import { CommandError, UsageError } from '../shell/failures.ts'
import { openProgress } from '../shell/progress.ts'
import { confirm } from '../shell/prompt.ts'
import { agreedPlan, readLogs, replay, type Agreement } from './restore-logs.ts'
import { describeLost, describeRestored, lostJson, replayedJson } from './restore-report.ts'

interface Options extends Agreement {
  readonly revocations?: readonly string[] | undefined
  readonly acceptUnrevoked?: true | undefined
  readonly endSessions?: true | undefined
}

/** `mintmark db restore`: back to a backup, without logging anybody out, and without letting anybody in again. */
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
    .option('--end-sessions', 'end all sessions of before: everybody has to sign in again')
    .addHelpText('after', howItGoes)
    .action(command(terminal, (run, file, options) => restore(run, file, options)))
}

const howItGoes = `
The present database is kept beside the restored one. Sessions that were there when the backup was made go on, whatever was
refreshed since: a refresh token that is newer than the backup is believed, because only this server can have made it.
Log-ins, users and clients of after the backup are lost; passwords and secrets are those of the backup.`

async function restore(run: Run, path: string, options: Options) {
  const config = run.config()
  const { databaseUrl } = config
  if (databaseUrl.engine === 'postgres') {
    throw new CommandError('PostgreSQL has its own tools for this: pg_restore, or point-in-time recovery')
  }
  if (options.acceptUnrevoked && options.endSessions) {
    throw new UsageError('--accept-unrevoked and --end-sessions contradict each other')
  }
  const source = resolve(run.workingDirectory, path)
  if (!statSync(source, { throwIfNoEntry: false })?.isFile())
    throw new CommandError(`there is no file ${source}`)
  const { file } = databaseUrl
  refuseUsed(file)
  makeFolder(dirname(file))
  const copy = `${file}.restoring`
  // What a restore has left behind that was interrupted.
  for (const beside of ['', '-wal', '-shm']) rmSync(copy + beside, { force: true })
  try {
    await copyDatabaseFile(source, copy, progressOf(run)).catch(error => {
      throw isUnsound(error) ? noBackup(source) : error
    })
    // What is done to the copy is true when it is in the place of the database.
    const log = openHeldLog(run.log)
    const restored = await prepare(run, { config, file, copy, source, log }, options)
    const kept = freeName(`${file}.before-restore-${formatTime(run.clock.now()).replace(/\D/g, '')}`)
    const state = replaceDatabase(file, copy, kept, restored.rootKeys.keepDrafts)
    if (state === 'used') throw stillUsed(file)
    const keptAt = state === 'missing' ? null : kept
    run.log.warn(
      {
        event: 'database_restored',
        file: source,
        made_at: restored.madeAt,
        ...replayedJson(restored.replayed),
      },
      'the database was restored from a backup',
    )
    log.release()
    return {
      text: describeRestored({ ...restored, source, file, kept: keptAt, isDamaged: state === 'damaged' }),
      json: {
        restored: file,
        from: source,
        made_at: restored.madeAt,
        kept: keptAt,
        sessions_ended: restored.sessionsEnded,
        ...(restored.lost && { unrevoked: lostJson(restored.lost) }),
        ...(restored.replayed && { replayed: replayedJson(restored.replayed) }),
      },
    }
  } finally {
    for (const beside of ['', '-wal', '-shm']) rmSync(copy + beside, { force: true })
  }
}

function refuseUsed(file: string): void {
  if (stateOfFile(file) === 'used') throw stillUsed(file)
}

function freeName(path: string): string {
  for (let i = 1; ; i++) {
    const name = i === 1 ? path : `${path}-${i}`
    if (!existsSync(name)) return name
  }
}

const isUnsound = (error: unknown) => /^SQLITE_(NOTADB|CORRUPT)/.test(String(Object(error).code))

const noBackup = (source: string) =>
  new CommandError(
    `${source} is damaged, or no SQLite database: restore another backup; the database itself was not looked at`,
  )

const stillUsed = (file: string) =>
  new CommandError(`${file} is in use: stop every server and command first; nothing was changed`)

function progressOf(run: Run): (copied: { readonly part: number }) => void {
  const progress = openProgress(run, 'percent', 100)
  return ({ part }) => progress.at(Math.floor(part * 100))
}

interface Places {
  readonly config: Config
  readonly file: string
  readonly copy: string
  readonly source: string
  readonly log: LineLog
}

export interface Restored {
  readonly madeAt: number
  /** What lives again; undefined where nobody knows. */
  readonly lost: LostEndings | undefined
  readonly replayed: Replayed | undefined
  /** By --end-sessions; null without. */
  readonly sessionsEnded: number | null
  /** May hold a new one that is in no file yet. */
  readonly rootKeys: RootKeys
}

/** Makes the copy what will serve. Nothing of the present database has been changed when it throws. */
async function prepare(
  run: Run,
  { config, file, copy, source, log }: Places,
  options: Options,
): Promise<Restored> {
  const installation = await openBackup(
    run,
    { ...config, databaseUrl: { engine: 'sqlite', file: copy } },
    source,
  )
  const { db } = installation
  const present = openPresent(file)
  try {
    const now = run.clock.now()
    const { backed_up_at } = installation.record
    const madeAt = backed_up_at ?? (await latestMoment(db))
    if (backed_up_at === null) await markAsBackup(db, madeAt)
    const known = await presentFacts(run, present, installation, { madeAt, now })
    const isDecided = options.acceptUnrevoked === true || options.endSessions === true
    const revocations = options.revocations && (await readLogs(run, options.revocations, madeAt, isDecided))
    if (!revocations && !isDecided) await ask(run, madeAt, known?.lost)
    const plan = revocations && (await agreedPlan(run, db, revocations, options))
    const nextPosition = known?.nextPosition ?? (await unusedPosition(db))
    const by = { db, clock: run.clock, log, actor: run.actor }
    const event = { event: 'database_restored', detail: { made_at: madeAt, from: source } } as const
    await record(by, event, writer => reviveBackup(writer, { madeAt, now, nextPosition, isSeenTo: true }))
    const { rootKeys } = installation
    const addRootKey = rootKeys.draft
    const replayed = plan && (await replay(run, { by, rootKeys, file: config, addRootKey }, plan))
    const untold = replayed && known && present && (await untoldEndings(run, present, db, { madeAt, now }))
    if (!isDecided) await askAboutUntold(run, madeAt, untold)
    const ended = options.endSessions ? await showEnding(run, to => endAllSessions(by, 'restored', to)) : null
    const remaining = replayed ? untold : known?.lost
    const lost = remaining && ended ? { ...remaining, sessions: 0 } : remaining
    const sessionsEnded = ended && ended.ended
    return { madeAt, lost, replayed, sessionsEnded, rootKeys }
  } finally {
    await present?.close()
    await db.close()
  }
}

/** The copy must be a database of this installation, as far as can be seen. */
async function openBackup(run: Run, config: Config, source: string): Promise<Installation> {
  const probe = openDatabase(config.databaseUrl)
  try {
    const { applied } = await schemaStatus(probe)
    if (applied.length === 0) throw new CommandError(`${source} is no database of Mintmark`)
  } finally {
    await probe.close()
  }
  return openInstallation(config, run.clock, { mayCreate: true, isPatient: true })
}

/** The database that is to be replaced, if it can be read. */
function openPresent(file: string): Database | undefined {
  return stateOfFile(file) === 'unused' ? openDatabase({ engine: 'sqlite', file }) : undefined
}

/** What the present database knows and the backup does not; undefined where it cannot tell, or is of another installation. */
async function presentFacts(
  run: Run,
  present: Database | undefined,
  { db, record }: Installation,
  times: { readonly madeAt: number; readonly now: number },
): Promise<{ readonly lost: LostEndings; readonly nextPosition: number } | undefined> {
  if (!present) return undefined
  const progress = openProgress(run, 'session')
  try {
    const { pending, isTooNew } = await schemaStatus(present)
    if (isTooNew || pending.length > 0) return undefined
    const own = await findInstallation(present)
    if (own?.created_at !== record.created_at || own.founding_issuer !== record.founding_issuer)
      return undefined
    if ((await latestMoment(present)) < (await latestMoment(db))) return undefined
    return {
      lost: await findLostEndings(present, db, times, progress.at),
      nextPosition: await readNextPosition(present),
    }
  } catch (error) {
    run.note(`The present database cannot be read to the end: ${String(error)}`)
    return undefined
  } finally {
    progress.end()
  }
}

/** Nothing is asked where the present database shows that there is nothing to lose. */
async function ask(run: Run, madeAt: number, lost: LostEndings | undefined): Promise<void> {
  const facts = describeLost(madeAt, lost)
  if (facts === undefined) return
  const first = '--revocations LOG revokes it again, as the logs of servers and commands tell'
  await askNevertheless(run, facts, first)
}

/** What the logs do not tell of, and the present database does. What no log could bring back is told at the end. */
async function untoldEndings(
  run: Run,
  present: Database,
  db: Database,
  times: { readonly madeAt: number; readonly now: number },
): Promise<LostEndings> {
  const progress = openProgress(run, 'session')
  try {
    const lost = await findLostEndings(present, db, times, progress.at)
    return {
      ...lost,
      users: lost.users.filter(({ since }) => since !== 'password changed'),
      clients: lost.clients.filter(({ since }) => since !== 'secret replaced'),
    }
  } finally {
    progress.end()
  }
}

async function askAboutUntold(run: Run, madeAt: number, untold: LostEndings | undefined): Promise<void> {
  const facts = untold && describeLost(madeAt, untold)
  if (facts === undefined) return
  const first = 'more of --revocations LOG, since each command writes its own to stderr'
  await askNevertheless(run, `The logs do not tell of all that had ended. ${facts}`, first)
}

async function askNevertheless(run: Run, facts: string, first: string): Promise<void> {
  if (run.stdin.isTTY) {
    run.note(facts)
    await confirm(run, 'Restore it nevertheless?', { yes: undefined })
    return
  }
  throw new CommandError(
    `${facts}\n` +
      `Nothing was changed. Say what to do: ${first}; ` +
      '--accept-unrevoked lets it live; --end-sessions ends all sessions of before',
  )
}
