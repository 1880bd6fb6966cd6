import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pino } from 'pino'
import { makeFolder } from '../../db/engines/files.ts'
import type { Config } from '../../src/config/load.ts'
import { openInstallation } from '../../src/installation/open.ts'
import { openKeyRing } from '../../src/keys/ring/key-ring.ts'
import { handClock } from './hand-clock.ts'
import { makeMigrated } from './migrated.ts'
import { scratchFolder } from './scratch.ts'

interface Files {
  readonly database: Buffer
  readonly rootKey: Buffer
}

const started = new Map<string, Promise<Files>>()

/** Tests that have had their installation; another one of theirs is made anew, with keys of its own. */
const served = new WeakSet<object>()

/**
 * Puts an embedded database and its root key there, as the first start at that moment makes them: which it
 * does once in a process for the same settings, since that takes as long as all else that a start does.
 */
export async function makeStarted(t: object, config: Config, firstNow: number): Promise<void> {
  const { databaseUrl: location, rootKeyFile, rootKeyIsMounted } = config
  if (location.engine !== 'sqlite' || rootKeyIsMounted) return
  if (existsSync(location.file) || existsSync(rootKeyFile)) return
  if (served.has(t)) return makeMigrated(location)
  served.add(t)
  const { issuer, keyRotationSeconds, jwksMaxAgeSeconds, clockSkewSeconds, keyPolicySet } = config
  const settings = [issuer, keyRotationSeconds, jwksMaxAgeSeconds, clockSkewSeconds, keyPolicySet, firstNow]
  const key = JSON.stringify(settings)
  const making = started.get(key) ?? startOnce(config, firstNow)
  started.set(key, making)
  const { database, rootKey } = await making
  makeFolder(dirname(location.file))
  makeFolder(dirname(rootKeyFile), 0o700)
  writeFileSync(location.file, database, { mode: 0o600 })
  writeFileSync(rootKeyFile, rootKey, { mode: 0o600 })
}

async function startOnce(config: Config, firstNow: number): Promise<Files> {
  const works: (() => unknown)[] = []
  const folder = scratchFolder({ teardown: work => void works.push(work) })
  const file = join(folder, 'mintmark.sqlite')
  const rootKeyFile = join(folder, 'root-key')
  await makeMigrated({ engine: 'sqlite', file })
  const clock = handClock(firstNow)
  const own = { ...config, databaseUrl: { engine: 'sqlite' as const, file }, rootKeyFile }
  const { db, rootKeys } = await openInstallation(own, clock, { mayCreate: true })
  await openKeyRing({ db, rootKeys, clock, log: pino({ level: 'silent' }) })
  await db.close()
  const files = { database: readFileSync(file), rootKey: readFileSync(rootKeyFile) }
  for (const work of works) work()
  return files
}
