import { existsSync } from 'node:fs'
import { beginCopy, cancelCopy, CopyError, findCopy, type Copy } from '../../db/copy/copy.ts'
import { drainChanges } from '../../db/copy/drain.ts'
import { moveInstallation, openMoved } from '../../db/copy/finish.ts'
import { copyLarge, countLarge, verifyLarge } from '../../db/copy/walk.ts'
import type { Database } from '../../db/database.ts'
import { findInstallation } from '../../db/installation/installation.ts'
import { migrate, schemaStatus } from '../../db/installation/migrate.ts'
import { openDatabase } from '../../db/open-database.ts'
import type { Clock } from '../clock.ts'
import { describeDatabaseUrl, type DatabaseUrl } from '../config/database-url.ts'
import type { Config } from '../config/load.ts'
import { Refusal } from '../errors.ts'
import { databaseOptions } from '../installation/open.ts'
import { record, type Recorder } from '../record/record.ts'
import type { ShowProgress } from './progress.ts'

/** Longer than a server takes to hear that its database has been moved away. */
const hearsaySeconds = 1.2

/** The caller, and its callbacks. The databases are opened here: neither need be one that can be served. */
export interface Copying extends Omit<Recorder, 'db'> {
  readonly clock: Clock
  readonly config: Config
  /** Told before each part that takes long. */
  readonly note: (text: string) => void
  readonly showProgress: ShowProgress
  /** Asked before anything is copied; rejects when the answer is no. */
  readonly confirm: (question: string) => Promise<void>
}

/**
 * All is in the other database, and was compared; or the move was made before, and only had to be said there.
 */
export type CopyOutcome = { readonly place: string } & (
  | {
      readonly kind: 'moved'
      readonly rows: Readonly<Record<string, number>>
      /** For how long writes were refused. */ readonly stoppedSeconds: number
    }
  | { readonly kind: 'finished' }
)

/**
 * Moves the installation to another database, while servers go on until the last moment. After an
 * interruption the same call goes on with it. Throws `Refusal`; the installation is then served where it
 * was, unless the text says that it was moved.
 */
export async function copyInstallation(copying: Copying, target: DatabaseUrl): Promise<CopyOutcome> {
  const { config, clock } = copying
  return withSource(config, async (from, movedAt) => {
    const place = describeDatabaseUrl(target)
    const to = openDatabase(target, { isPatient: true })
    try {
      if ((await schemaStatus(to)).isTooNew) {
        throw new Refusal(
          'conflict',
          `${place} was migrated by a newer Mintmark, which this one is too old for`,
        )
      }
      await migrate(to, clock.now())
      if (movedAt !== null) {
        await refuseOtherCopy({ from, to })
        await openOther(copying, { from, to })
        return { kind: 'finished', place }
      }
      await copying.confirm(
        `${describeDatabaseUrl(config.databaseUrl)} is copied to ${place}, and never serves again after that. Go on?`,
      )
      const copy = await beginCopy(from, to, clock.now())
      await copyWhileServed(copying, copy)
      copying.note('Stopping writes: servers answer 503 until the last changes are over.')
      let stoppedAt = 0
      const rows = await moveInstallation(copy, clock.now(), () => (stoppedAt = clock.steady()))
      const stoppedSeconds = clock.steady() - stoppedAt
      await clock.pause(hearsaySeconds)
      await openOther(copying, copy)
      return { kind: 'moved', place, rows, stoppedSeconds }
    } finally {
      await to.close()
    }
  })
}

/** Gives a copy up; whether there was one. Throws `Refusal` once the installation has been moved. */
export async function giveUpCopy(config: Config): Promise<boolean> {
  return withSource(config, from => cancelCopy(from))
}

async function withSource<T>(
  config: Config,
  work: (from: Database, movedAt: number | null) => Promise<T>,
): Promise<T> {
  const { databaseUrl } = config
  if (databaseUrl.engine === 'sqlite' && !existsSync(databaseUrl.file)) {
    throw new Refusal('not_found', `there is no database at ${databaseUrl.file}`, 'set MINTMARK_HOME')
  }
  const from = openDatabase(databaseUrl, { ...databaseOptions(config), isPatient: true })
  try {
    return await work(from, await judgeSource(from, config))
  } catch (error) {
    throw error instanceof CopyError ? new Refusal('conflict', error.message) : error
  } finally {
    await from.close()
  }
}

/** Refuses what cannot be copied; when it was moved before, if it was. */
async function judgeSource(from: Database, config: Config): Promise<number | null> {
  const { pending, isTooNew } = await schemaStatus(from)
  if (isTooNew)
    throw new Refusal('conflict', 'the database was migrated by a newer Mintmark', 'upgrade this one')
  if (pending.length > 0) {
    throw new Refusal(
      'conflict',
      'the database has an older schema',
      '`mintmark db migrate` brings it up to date',
    )
  }
  const found = await findInstallation(from)
  if (!found) {
    throw new Refusal('not_found', 'there is no installation in this database', 'there is nothing to copy')
  }
  if (found.issuer !== config.issuer) {
    throw new Refusal(
      'conflict',
      `this database belongs to the issuer ${found.issuer}, but MINTMARK_ISSUER is ${config.issuer}`,
    )
  }
  return found.moved_at
}

async function copyWhileServed({ note, showProgress }: Copying, copy: Copy): Promise<void> {
  const total = await countLarge(copy.from)
  const show = async (work: (tell: (rows: number) => void) => Promise<void>) => {
    const progress = showProgress('row', total)
    try {
      await work(progress.at)
    } finally {
      progress.end()
    }
  }
  note('Copying while servers go on. If this is interrupted, the same command goes on with it.')
  await show(tell => copyLarge(copy, tell))
  await drainChanges(copy)
  note('Comparing.')
  await show(tell => verifyLarge(copy, tell))
  await drainChanges(copy)
}

/** A move that was interrupted before it was said at both ends has left the same copy's name in both. */
async function refuseOtherCopy({ from, to }: Pick<Copy, 'from' | 'to'>): Promise<void> {
  const [source, target] = [await findCopy(from), await findCopy(to)]
  if (source && source.id === target?.id) return
  throw new Refusal(
    'conflict',
    'this database was moved to another one, and serves no more',
    'set MINTMARK_DATABASE_URL to that one',
  )
}

/** Told in the database that serves from now on: the other one takes no writes any more. */
async function openOther(copying: Copying, { from, to }: Pick<Copy, 'from' | 'to'>): Promise<void> {
  await record(
    { ...copying, db: to },
    { event: 'database_moved', detail: { from: from.engine } },
    async db => {
      await openMoved({ to: db })
      return true
    },
  )
}
