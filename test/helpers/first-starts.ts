import type { Test } from 'tap'
import { schemaStatus, thisProgram } from '../../db/installation/migrate.ts'
import { listRootKeys } from '../../db/keys/root-keys.ts'
import { listSigningKeys } from '../../db/keys/signing-keys.ts'
import { openDatabase } from '../../db/open-database.ts'
import { phaseOf } from '../../src/keys/ring/key-life.ts'
import { commandLine } from './cli.ts'

/**
 * So many processes of `mintmark serve` start at once in an empty directory: all of them serve the one ring
 * that one of them has made, in the database that one has migrated, under the root key that one has written.
 */
export async function startAllAtOnce(t: Test, count: number): Promise<void> {
  const { home, serve } = commandLine(t)
  const servers = await Promise.all(Array.from({ length: count }, () => serve()))
  const keySets = await Promise.all(
    servers.map(async ({ url }) => (await fetch(`${url}/.well-known/jwks.json`)).text()),
  )
  t.equal(new Set(keySets).size, 1, 'all have the same key set')

  const db = openDatabase({ engine: 'sqlite', file: `${home}/db/mintmark.sqlite` })
  t.teardown(() => db.close())
  const phases = (await listSigningKeys(db)).map(row => `${row.alg} ${phaseOf(row)}`)
  t.strictSame(phases.sort(), ['ES256 active', 'ES256 next', 'RS256 active', 'RS256 next'], 'of one ring')
  const { applied, pending } = await schemaStatus(db)
  t.strictSame([applied, pending], [[...thisProgram.migrations.keys()], []], 'each migration ran once')
  t.equal((await listRootKeys(db)).length, 1, 'under one root key')
  for (const { process: child } of servers) t.equal(child.exitCode, null, 'none has given up')
}
