import type { Test } from 'tap'
import { startPostgres, type Cluster } from './postgres.ts'

/** The environment that makes a server use the engine: pass it to `startServer`, or to a process. */
export type EngineEnv = Readonly<Record<string, string>>

const clusters = new WeakMap<Test, Promise<Cluster>>()

/**
 * Adds a test for each engine: `body` gets an environment that names an empty database of its own. The file's tests share
 * one PostgreSQL, started by the first that needs it.
 *
 *   await forEachEngine(t, 'twenty requests racing …', async (t, env) => {
 *     const server = await startServer(t, env)
 */
export async function forEachEngine(
  t: Test,
  title: string,
  body: (t: Test, env: EngineEnv) => Promise<void>,
): Promise<void> {
  await t.test(`${title} (SQLite)`, t => body(t, {}))
  await t.test(`${title} (PostgreSQL)`, async t => body(t, await postgresEnv(t)))
}

/**
 * The engine of the tests that name none: SQLite, unless `TEST_ENGINE=postgres` asks for the other one. So any test file
 * can be run on both (test/long/engines.test.ts does that), while most of them start no PostgreSQL every day.
 */
export async function defaultEnv(t: Test): Promise<EngineEnv> {
  return process.env['TEST_ENGINE'] === 'postgres' ? postgresEnv(t) : {}
}

/** For tests of what is true of SQLite alone. */
export const onSqlite: EngineEnv = { MINTMARK_DATABASE_URL: 'sqlite:db/mintmark.sqlite' }

/** The environment for a new database on the file's PostgreSQL. */
export async function postgresEnv(t: Test): Promise<EngineEnv> {
  const cluster = await sharedCluster(t)
  return { MINTMARK_DATABASE_URL: cluster.url(await cluster.createDatabase()) }
}

/** The PostgreSQL of this file. */
export function sharedCluster(t: Test): Promise<Cluster> {
  const file = rootOf(t)
  const cluster = clusters.get(file) ?? startPostgres(file)
  clusters.set(file, cluster)
  return cluster
}

function rootOf(t: Test): Test {
  let test = t
  while (test.parent) test = test.parent as Test
  return test
}
