import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { findCopy } from '../../db/copy/copy.ts'
import type { Database } from '../../db/database.ts'
import { makeFolder } from '../../db/engines/files.ts'
import { findInstallation, insertInstallation } from '../../db/installation/installation.ts'
import { migrate, schemaStatus, thisProgram, type BeforeMigration } from '../../db/installation/migrate.ts'
import { NamesAlikeError } from '../../db/installation/names-alike.ts'
import { listRootKeys } from '../../db/keys/root-keys.ts'
import { openDatabase, type DatabaseOptions } from '../../db/open-database.ts'
import type { InstallationTable } from '../../db/schema.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/load.ts'
import { ConfigError } from '../errors.ts'
import { makeRootKeyFile, readRootKeyFile } from '../keys/root/root-key-file.ts'
import { readRootKeys, type RootKeys } from '../keys/root/root-key.ts'
import { refuseNamesAlike } from './names-alike.ts'

/** A database, the root keys that fit it, and what the database says of itself. */
export interface Installation {
  readonly db: Database
  readonly rootKeys: RootKeys
  readonly record: InstallationTable
  /** The migrations that ran on the way. */
  readonly migrated: readonly string[]
}

export interface OpenOptions {
  /** Whether what does not exist yet is made, and an older schema migrated. */
  readonly mayCreate: boolean
  /** Whether statements may take as long as they like. */
  readonly isPatient?: boolean
  /** Whether the database of another issuer is opened too. */
  readonly isAdopted?: boolean
  /** Whether the database's own root key may be missing: it is about to get another one. */
  readonly isRootKeyLost?: boolean
  /** What is done in the transaction of the migrations before them. */
  readonly before?: BeforeMigration
}

/**
 * Opens the database and the root key, and makes sure that they belong together and to this issuer. Throws a
 * `ConfigError` that says what to do, and has then changed nothing.
 *
 * With `mayCreate`, what does not exist yet is made and an older schema is migrated; without, it is refused.
 * A root key is only invented for a new embedded database: for any other, a missing one has been lost.
 * `isPatient` is for commands, whose statements may take as long as they like.
 */
export async function openInstallation(
  config: Config,
  clock: Clock,
  { mayCreate, isPatient = false, isAdopted = false, isRootKeyLost = false, before }: OpenOptions,
): Promise<Installation> {
  const { databaseUrl, rootKeyFile } = config
  const isNewFile = databaseUrl.engine === 'sqlite' && !existsSync(databaseUrl.file)
  if (isNewFile && !mayCreate) {
    throw new ConfigError(
      `there is no database at ${databaseUrl.file}: \`mintmark db migrate\` makes one, or set MINTMARK_HOME`,
    )
  }
  // Before anything is made: a root key that is there may be wrong.
  if (isNewFile && existsSync(rootKeyFile)) readRootKeyFile(config)
  if (isNewFile) makeFolder(dirname(databaseUrl.file))
  const db = openDatabase(databaseUrl, { ...databaseOptions(config), isPatient })
  try {
    const { pending, isTooNew, applied } = await schemaStatus(db)
    if (isTooNew)
      throw new ConfigError(
        'the database was migrated by a newer Mintmark, which this one is too old for: upgrade this one',
      )
    if (pending.length > 0 && !mayCreate) {
      throw new ConfigError('the database has an older schema: `mintmark db migrate` brings it up to date')
    }
    const earlier = applied.length === 0 ? undefined : await findInstallation(db)
    if (earlier) refuseMoved(earlier)
    if (earlier && !isAdopted) refuseStranger(config, earlier)
    if (pending.length === 0) await refuseUnfinishedCopy(db)

    if (!existsSync(rootKeyFile) && !isRootKeyLost) {
      const mayMake = !earlier && mayCreate && databaseUrl.engine === 'sqlite'
      if (!mayMake) throw missingRootKey(config, earlier)
      makeRootKeyFile(rootKeyFile)
    }
    const rootKeys = readRootKeys({
      ...config,
      mayBeMissing: isRootKeyLost,
      ...(earlier && { foundingIssuer: earlier.founding_issuer }),
    })
    if (earlier && !isRootKeyLost) await refuseOtherRootKey(db, config, rootKeys, earlier)
    // Nothing is locked for a command that finds all up to date.
    const migrated = pending.length > 0 ? await migratePatiently(config, db, clock.now(), before) : []
    const known = migrated.length > 0 ? await findInstallation(db) : earlier
    const record = known ?? (await recordInstallation(db, config, rootKeys, clock.now()))
    rootKeys.follow(record.root_key_id)
    rootKeys.bindTo(record.seal_secret)
    return { db, rootKeys, record, migrated }
  } catch (error) {
    await db.close()
    throw error
  }
}

/** The settings for connections to a server. */
export function databaseOptions({ databasePoolSize, databasePooler }: Config): DatabaseOptions {
  return { poolSize: databasePoolSize, isPooled: databasePooler === 'transaction' }
}

/** A migration may take longer than any request. */
async function migratePatiently(
  config: Config,
  db: Database,
  now: number,
  before: BeforeMigration | undefined,
): Promise<readonly string[]> {
  const patient =
    db.engine === 'sqlite'
      ? db
      : openDatabase(config.databaseUrl, { ...databaseOptions(config), isPatient: true })
  try {
    return await migrate(patient, now, thisProgram, before)
  } catch (error) {
    throw error instanceof NamesAlikeError ? refuseNamesAlike(error.alike) : error
  } finally {
    if (patient !== db) await patient.close()
  }
}

async function recordInstallation(
  db: Database,
  config: Config,
  rootKeys: RootKeys,
  now: number,
): Promise<InstallationTable> {
  await insertInstallation(db, {
    issuer: config.issuer,
    created_at: now,
    root_key_id: rootKeys.currentId,
    key_rotation_seconds: config.keyRotationSeconds,
    jwks_max_age_seconds: config.jwksMaxAgeSeconds,
    clock_skew_seconds: config.clockSkewSeconds,
  })
  const record = await findInstallation(db)
  if (!record) throw new Error('unreachable: the installation was recorded just now')
  // Another process may have been first.
  refuseStranger(config, record)
  await refuseOtherRootKey(db, config, rootKeys, record)
  return record
}

const ifLost = 'If it is lost for good, see `mintmark key revoke --help`, with --all'

function missingRootKey({ rootKeyFile }: Config, earlier: InstallationTable | undefined): ConfigError {
  return new ConfigError(
    earlier
      ? `there is no root key at ${rootKeyFile}, and the database is of no use without the one that it was made with: ` +
          `put it back from your backup. ${ifLost}`
      : `there is no root key at ${rootKeyFile}: \`mintmark key new-root\` makes one`,
  )
}

async function refuseOtherRootKey(
  db: Database,
  { rootKeyFile }: Config,
  rootKeys: RootKeys,
  record: InstallationTable,
): Promise<void> {
  if (rootKeys.has(record.root_key_id)) return
  // Then nothing is lost: the file has only not come along.
  if ((await listRootKeys(db)).some(({ id }) => rootKeys.has(id))) {
    throw new ConfigError(
      `the database is under another root key by now (${record.root_key_id}), which ${rootKeyFile} lacks: copy the file ` +
        'from the machine where `mintmark key rotate-root` was run, or from another one that serves',
    )
  }
  throw new ConfigError(
    `the root key in ${rootKeyFile} is not the one that this database was made with ` +
      `(${record.root_key_id}): copy the file from another machine that serves, or put that one back from your backup. ${ifLost}`,
  )
}

/** An installation that is being copied into a database is not served before all of it is there. */
async function refuseUnfinishedCopy(db: Database): Promise<void> {
  const copy = await findCopy(db)
  if (copy?.role !== 'target') return
  throw new ConfigError(
    'an installation is being copied into this database, or was not copied to the end: ' +
      '`mintmark db copy` on the machine where it comes from goes on with it',
  )
}

function refuseMoved(record: InstallationTable): void {
  if (record.moved_at !== null) {
    throw new ConfigError(
      'this database was moved to another one, and serves no more: set MINTMARK_DATABASE_URL to that one',
    )
  }
}

function refuseStranger(config: Config, record: InstallationTable): void {
  if (record.issuer === config.issuer) return
  // An issuer that is not set follows the port.
  const port = /^http:\/\/127\.0\.0\.1:(\d+)$/.exec(record.issuer)?.[1]
  const isOfPort = port !== undefined && config.issuer === `http://127.0.0.1:${config.port}`
  throw new ConfigError(
    `this database belongs to the issuer ${record.issuer}, but MINTMARK_ISSUER is ${config.issuer}: ` +
      `${isOfPort ? `set MINTMARK_PORT=${port}, which it follows` : 'set it back'}, ` +
      'or if the installation has a new name, see `mintmark db adopt --help`',
  )
}
