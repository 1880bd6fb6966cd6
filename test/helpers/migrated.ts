import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { migrate } from '../../db/installation/migrate.ts'
import { openDatabase, type DatabaseLocation } from '../../db/open-database.ts'
import { makeFolder } from '../../db/engines/files.ts'
import { scratchFolder } from './scratch.ts'

let template: Promise<Buffer> | undefined

/**
 * Puts a database there that has all tables and no rows, unless one is there. On PostgreSQL, does nothing.
 */
export async function makeMigrated(location: DatabaseLocation): Promise<void> {
  if (location.engine !== 'sqlite' || existsSync(location.file)) return
  const bytes = await (template ??= migratedFile())
  makeFolder(dirname(location.file))
  writeFileSync(location.file, bytes, { mode: 0o600 })
}

/** What the migrations make of an empty file. They run once in a process. */
async function migratedFile(): Promise<Buffer> {
  const works: (() => unknown)[] = []
  const folder = scratchFolder({ teardown: work => void works.push(work) })
  const file = join(folder, 'migrated.sqlite')
  const db = openDatabase({ engine: 'sqlite', file })
  await migrate(db, 0)
  await db.close()
  const bytes = readFileSync(file)
  for (const work of works) work()
  return bytes
}
