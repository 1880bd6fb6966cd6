import { existsSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { copyDatabaseFile } from '../../../db/backups/backup.ts'
import type { LostEndings } from '../../../db/backups/lost-endings.ts'
import { replaceDatabase, stateOfFile } from '../../../db/backups/replace.ts'
import { latestMoment, markAsBackup, reviveBackup } from '../../../db/backups/restored.ts'
import type { Database } from '../../../db/database.ts'
import { makeFolder } from '../../../db/engines/files.ts'
import { schemaStatus } from '../../../db/installation/migrate.ts'
import { openDatabase } from '../../../db/open-database.ts'
import type { Clock } from '../../clock.ts'
import type { Config } from '../../config/load.ts'
import { endAllSessions } from '../../endings/end.ts'
import type { Replayed } from '../../endings/replay.ts'
import { unusedPosition } from '../../endings/restored.ts'
import { Refusal } from '../../errors.ts'
import { openInstallation, type Installation } from '../../installation/open.ts'
import type { RootKeys } from '../../keys/root/root-key.ts'
import type { Actor } from '../../record/actor.ts'
import type { Log } from '../../record/log.ts'
import { record } from '../../record/record.ts'
import { openHeldLog, type LineLog } from '../../record/restore-log.ts'
import { formatTime } from '../../values/formats.ts'
import { describeReplayed, planFromLogs, replay } from './logs.ts'
import { presentFacts, untoldEndings } from './present.ts'
import { isDecided, type Choice, type Talk } from './talk.ts'

export type { LostEndings }

/** The caller. The database is opened here: it need not be one that can be served. */
export interface Restoring {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly actor: Actor
  readonly talk: Talk
}

export interface Restored {
  /** When the backup was made, in seconds since the epoch. */
  readonly madeAt: number
  /** Endings that are lost, so that these live again; undefined if unknown. */
  readonly lost: LostEndings | undefined
  /** Undefined without logs. */
  readonly replayed: Replayed | undefined
  /** How many sessions have ended; null where they go on. */
  readonly sessionsEnded: number | null
}

export interface RestoredPlaces {
  readonly source: string
  readonly file: string
  /** Where the database of before is; null when there was none. */
  readonly kept: string | null
  /** Whether the database of before is damaged. */
  readonly isDamaged: boolean
}

/**
 * Puts a backup in the place of the embedded database, which is kept beside it. `source` is an absolute path.
 * Throws `Refusal`, or what the talk throws; the present database is then as it was.
 */
export async function restoreBackup(
  restoring: Restoring,
  source: string,
  choice: Choice,
): Promise<Restored & RestoredPlaces> {
  const { config, clock, log, talk } = restoring
  const file = fileOf(config)
  if (!statSync(source, { throwIfNoEntry: false })?.isFile())
    throw new Refusal('not_found', `there is no file ${source}`)
  if (stateOfFile(file) === 'used') throw stillUsed(file)
  makeFolder(dirname(file))
  const copy = `${file}.restoring`
  const removeCopy = () => {
    for (const beside of ['', '-wal', '-shm']) rmSync(copy + beside, { force: true })
  }
  // An interrupted restore has left it behind.
  removeCopy()
  try {
    await copyShown(talk, source, copy)
    // Changes to the copy take effect when it is in the place of the database.
    const held = openHeldLog(log)
    const { rootKeys, ...restored } = await prepare(restoring, { file, copy, source, log: held }, choice)
    const kept = freeName(`${file}.before-restore-${formatTime(clock.now()).replace(/\D/g, '')}`)
    const state = replaceDatabase(file, copy, kept, rootKeys.keepDrafts)
    if (state === 'used') throw stillUsed(file)
    const { madeAt, replayed } = restored
    const told = { event: 'database_restored', file: source, made_at: madeAt }
    log.warn(
      { ...told, ...(replayed && describeReplayed(replayed)) },
      'the database was restored from a backup',
    )
    held.release()
    return {
      ...restored,
      source,
      file,
      kept: state === 'missing' ? null : kept,
      isDamaged: state === 'damaged',
    }
  } finally {
    removeCopy()
  }
}

function fileOf({ databaseUrl }: Config): string {
  if (databaseUrl.engine === 'sqlite') return databaseUrl.file
  throw new Refusal(
    'invalid',
    'PostgreSQL has its own tools for this',
    'pg_restore, or point-in-time recovery',
  )
}

function freeName(path: string): string {
  for (let i = 1; ; i++) {
    const name = i === 1 ? path : `${path}-${i}`
    if (!existsSync(name)) return name
  }
}

async function copyShown({ showProgress }: Talk, source: string, copy: string): Promise<void> {
  const progress = showProgress('percent', 100)
  const onProgress = ({ part }: { readonly part: number }) => progress.at(Math.floor(part * 100))
  await copyDatabaseFile(source, copy, onProgress).catch(error => {
    throw isUnsound(error) ? noBackup(source) : error
  })
}

const isUnsound = (error: unknown) => /^SQLITE_(NOTADB|CORRUPT)/.test(String(Object(error).code))

const noBackup = (source: string) =>
  new Refusal(
    'invalid',
    `${source} is damaged, or no SQLite database`,
    'restore another backup; the database itself was not looked at',
  )

const stillUsed = (file: string) =>
  new Refusal('conflict', `${file} is in use`, 'stop every server and command first; nothing was changed')

interface Preparation {
  readonly file: string
  readonly copy: string
  readonly source: string
  readonly log: LineLog
}

/** With the root keys, which may hold a new one that is in no file yet. */
type Prepared = Restored & { readonly rootKeys: RootKeys }

/** Makes the copy what will serve. Nothing of the present database has been changed when it throws. */
async function prepare(
  { config, clock, actor, talk }: Restoring,
  { file, copy, source, log }: Preparation,
  choice: Choice,
): Promise<Prepared> {
  const copyConfig: Config = { ...config, databaseUrl: { engine: 'sqlite', file: copy } }
  const installation = await openBackup(copyConfig, clock, source)
  const { db, rootKeys } = installation
  const present = openPresent(file)
  try {
    const now = clock.now()
    const { backed_up_at } = installation.record
    const madeAt = backed_up_at ?? (await latestMoment(db))
    if (backed_up_at === null) await markAsBackup(db, madeAt)
    const times = { madeAt, now }
    const known = await presentFacts(talk, present, installation, times)
    const mustAsk = !isDecided(choice)
    if (mustAsk && !choice.logs) await talk.askLost(madeAt, known?.lost)
    const plan = await planFromLogs(talk, db, choice, times)
    const nextPosition = known?.nextPosition ?? (await unusedPosition(db))
    const by = { db, clock, log, actor }
    const event = { event: 'database_restored', detail: { made_at: madeAt, from: source } } as const
    await record(by, event, writer => reviveBackup(writer, { ...times, nextPosition, isSeenTo: true }))
    const addRootKey = rootKeys.draft
    const replayed = plan && (await replay(talk, { by, rootKeys, file: config, addRootKey }, plan))
    const untold = replayed && known && present && (await untoldEndings(talk, present, db, times))
    if (mustAsk && untold) await talk.askUntold(madeAt, untold)
    const ended = choice.endSessions ? await talk.showEnding(to => endAllSessions(by, 'restored', to)) : null
    const remaining = replayed ? untold : known?.lost
    const lost = remaining && ended ? { ...remaining, sessions: 0 } : remaining
    return { madeAt, lost, replayed, sessionsEnded: ended && ended.ended, rootKeys }
  } finally {
    await present?.close()
    await db.close()
  }
}

/** The copy must be a database of this installation, as far as can be seen. */
async function openBackup(config: Config, clock: Clock, source: string): Promise<Installation> {
  const probe = openDatabase(config.databaseUrl)
  try {
    const { applied } = await schemaStatus(probe)
    if (applied.length === 0) throw new Refusal('invalid', `${source} is no database of Mintmark`)
  } finally {
    await probe.close()
  }
  return openInstallation(config, clock, { mayCreate: true, isPatient: true })
}

/** The database that is to be replaced, if it can be read. */
function openPresent(file: string): Database | undefined {
  return stateOfFile(file) === 'unused' ? openDatabase({ engine: 'sqlite', file }) : undefined
}

/** The document of what lives again. */
export function describeLostEndings({ sessions, users, clients, keys }: LostEndings) {
  return {
    sessions,
    users: users.map(({ username, since }) => ({ username, since })),
    clients: clients.map(({ id, since }) => ({ client_id: id, since })),
    keys: keys.map(({ kid }) => kid),
  }
}

/** The document of a restore. */
export function describeRestored({
  file,
  source,
  madeAt,
  kept,
  sessionsEnded,
  lost,
  replayed,
}: Restored & RestoredPlaces) {
  return {
    restored: file,
    from: source,
    made_at: madeAt,
    kept,
    sessions_ended: sessionsEnded,
    ...(lost && { unrevoked: describeLostEndings(lost) }),
    ...(replayed && { replayed: describeReplayed(replayed) }),
  }
}
