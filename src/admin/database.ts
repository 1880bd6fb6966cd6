import { existsSync, statSync } from 'node:fs'
import { backupDatabase, type OnProgress } from '../../db/backups/backup.ts'
import { insertAuditEntries } from '../../db/installation/audit.ts'
import { countRows, findInstallation } from '../../db/installation/installation.ts'
import { schemaStatus } from '../../db/installation/migrate.ts'
import { openDatabase } from '../../db/open-database.ts'
import type { InstallationTable } from '../../db/schema.ts'
import { describeDatabaseUrl } from '../config/database-url.ts'
import type { Config } from '../config/load.ts'
import { Refusal } from '../errors.ts'
import { databaseOptions } from '../installation/open.ts'
import { auditEntry } from '../record/record.ts'
import type { Admin } from './admin.ts'
import { describeFault } from './faults.ts'

/** Describes a database, and whether it fits this program. */
export interface DatabaseStatus {
  /** The path, or the server without user and password. */
  readonly place: string
  readonly engine: 'sqlite' | 'postgres'
  /** Of an embedded database, with the log beside it. */
  readonly bytes: number | undefined
  readonly schema: 'too_new' | 'pending' | 'current'
  readonly applied: readonly string[]
  readonly pending: readonly string[]
  /** Undefined where nothing was ever migrated. */
  readonly record: InstallationTable | undefined
  /** Undefined where the schema is not the present one. */
  readonly counts: Awaited<ReturnType<typeof countRows>> | undefined
}

/**
 * Looks at the database without serving it: it may be older, newer or another issuer's. Throws `Refusal`
 * where there is none.
 */
export async function databaseStatus(config: Config): Promise<DatabaseStatus> {
  const { databaseUrl } = config
  const place = describeDatabaseUrl(databaseUrl)
  if (databaseUrl.engine === 'sqlite' && !existsSync(databaseUrl.file)) {
    throw new Refusal(
      'not_found',
      `there is no database at ${place}`,
      '`mintmark db migrate` makes one, or set MINTMARK_HOME',
    )
  }
  const db = openDatabase(databaseUrl, { ...databaseOptions(config), isPatient: true })
  try {
    const { applied, pending, isTooNew } = await schemaStatus(db)
    const record = applied.length === 0 ? undefined : await findInstallation(db)
    const schema = isTooNew ? 'too_new' : pending.length > 0 ? 'pending' : 'current'
    return {
      place,
      engine: db.engine,
      bytes: databaseUrl.engine === 'sqlite' ? sizeOf(databaseUrl.file) : undefined,
      schema,
      applied,
      pending,
      record,
      counts: record && schema === 'current' ? await countRows(db) : undefined,
    }
  } finally {
    await db.close()
  }
}

/** The size of an embedded database in bytes, with the log beside it. */
export function sizeOf(file: string): number {
  const log = `${file}-wal`
  return statSync(file).size + (existsSync(log) ? statSync(log).size : 0)
}

export interface Backup {
  /** The database that was copied. */
  readonly source: string
  readonly bytes: number
}

/** Refuses where the database has its own tools for it. The file of an embedded database. */
export function backupSource({ config }: Pick<Admin, 'config'>): string {
  const { databaseUrl } = config
  if (databaseUrl.engine === 'sqlite') return databaseUrl.file
  throw new Refusal(
    'invalid',
    'PostgreSQL has its own tools for this',
    'pg_dump, or a base backup with its log',
  )
}

/**
 * Copies the embedded database, as it is at this moment, to a new file, while servers go on; one that exists
 * throws `EEXIST`.
 */
export async function backUp(admin: Admin, file: string, onProgress: OnProgress): Promise<Backup> {
  const source = backupSource(admin)
  const bytes = await backupDatabase(source, file, admin.clock.now(), onProgress)
  const entry = auditEntry(admin, { event: 'database_backed_up', detail: { file, bytes } })
  await insertAuditEntries(admin.db, [entry]).catch((error: unknown) => {
    throw new Refusal(
      'unavailable',
      `${file} is complete and may be used, but the audit trail does not tell of it: ${describeFault(error)}`,
    )
  })
  return { source, bytes }
}
