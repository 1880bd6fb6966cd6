import type { Test } from 'tap'
import type { Ending } from './postgres.ts'
import { migratedDatabase } from './recycled.ts'
import { isInFull } from './runs.ts'
import { sharedPostgres } from './shared-postgres.ts'

/** The environment that makes a server use the engine: pass it to `startServer`, or to a process. */
export type EngineEnv = Readonly<Record<string, string>>

/** `TEST_ENGINE=sqlite` leaves PostgreSQL out, where nothing else needs a process. */
const withPostgres = process.env['TEST_ENGINE'] !== 'sqlite'

/**
 * Adds a test for each engine: `body` gets an environment that names a database of its own, in which nothing
 * is, or on PostgreSQL all tables without a row.
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
  await onPostgres(t, title, body)
}

/**
 * The same where each engine costs seconds, as starts of processes do: on SQLite `npm run test:long` does it,
 * and a run without PostgreSQL.
 */
export async function forPostgresFirst(
  t: Test,
  title: string,
  body: (t: Test, env: EngineEnv) => Promise<void>,
): Promise<void> {
  if (isInFull || !withPostgres) await t.test(`${title} (SQLite)`, t => body(t, {}))
  await onPostgres(t, title, body)
}

/** Adds a test of what is true of PostgreSQL alone. */
export async function onPostgres(
  t: Test,
  title: string,
  body: (t: Test, env: EngineEnv) => Promise<void>,
): Promise<void> {
  if (withPostgres) await t.test(`${title} (PostgreSQL)`, async t => body(t, await migratedEnv(t)))
}

/**
 * The engine of the tests that name none: SQLite, unless `TEST_ENGINE=postgres` asks for the other one. So
 * any test file can be run on both (test/long/engines.test.ts does that), while most of them start no
 * PostgreSQL every day.
 */
export async function defaultEnv(t: Ending): Promise<EngineEnv> {
  return process.env['TEST_ENGINE'] === 'postgres' ? migratedEnv(t) : {}
}

/** For tests of what is true of SQLite alone. */
export const onSqlite: EngineEnv = { MINTMARK_DATABASE_URL: 'sqlite:db/mintmark.sqlite' }

/** The environment for a database of the test's own on the PostgreSQL of this run, with all tables. */
async function migratedEnv(t: Ending): Promise<EngineEnv> {
  const postgres = await sharedPostgres()
  return { MINTMARK_DATABASE_URL: postgres.url(await migratedDatabase(t, postgres)) }
}

/** The environment for a new database on the PostgreSQL of this run, in which nothing is. */
export async function postgresEnv(): Promise<EngineEnv> {
  const postgres = await sharedPostgres()
  return { MINTMARK_DATABASE_URL: postgres.url(await postgres.createDatabase()) }
}
