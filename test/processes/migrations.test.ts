import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import type { Database } from '../../db/database.ts'
import { latestAuditEntries } from '../../db/installation/audit.ts'
import {
  migrate,
  schemaStatus,
  thisProgram,
  type Migration,
  type Program,
} from '../../db/installation/migrate.ts'
import { openDatabase } from '../../db/open-database.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import { openStanding } from '../../src/installation/standing.ts'
import { openLog } from '../../src/record/log.ts'
import { commandLine } from '../helpers/cli.ts'
import { postgresEnv, type EngineEnv } from '../helpers/engines.ts'
import { sharedPostgres } from '../helpers/shared-postgres.ts'
import { startAllAtOnce } from '../helpers/first-starts.ts'
import { startFleet } from '../helpers/fleet.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { lintMigration } from '../helpers/migration-lint.ts'
import { beginSession, madeAt, openSeeded, rotationOf, seed } from '../helpers/records.ts'

const addition: Migration = {
  up: async (db, { bytes }) => {
    await db.schema.alterTable('sessions').addColumn('colour', 'text').execute()
    await db.schema
      .alterTable('clients')
      .addColumn('weight', 'bigint', c => c.notNull().defaultTo(0))
      .execute()
    await db.schema
      .createTable('devices')
      .addColumn('id', bytes, c => c.primaryKey().notNull())
      .execute()
    await db.schema.createIndex('devices_by_id').on('devices').column('id').execute()
  },
}

/** The program after this one. */
const nextProgram: Program = {
  migrations: new Map([...thisProgram.migrations, ['9999-next', addition]]),
  oldestProgram: thisProgram.oldestProgram,
}

for (const [engine, emptyEnv] of [
  ['SQLite', async () => ({})],
  ['PostgreSQL', postgresEnv],
] as const) {
  t.test(`of ten processes that start at once on an empty database, one makes it (${engine})`, async t => {
    const env: EngineEnv = await emptyEnv()
    const cli = commandLine(t)
    if (env['MINTMARK_DATABASE_URL'] !== undefined) await cli.call('key new-root', { env })
    else await cli.call('db migrate')
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => cli.call('db migrate --json', { env })),
    )
    t.strictSame(
      outcomes.map(({ code, stderr }) => [code, stderr]),
      outcomes.map(() => [0, '']),
    )
    if (env['MINTMARK_DATABASE_URL'] === undefined) return
    const made = outcomes.filter(outcome => outcome.json().migrated.length > 0)
    t.equal(made.length, 1, 'each migration ran once')
  })
}

t.test('servers that start at once in an empty directory have one ring', async t => {
  await startAllAtOnce(t, 3)
})

t.test('a migration that must wait for a lock lets the others pass', async t => {
  const { MINTMARK_DATABASE_URL: url = '' } = await postgresEnv()
  const db = openDatabase({ engine: 'postgres', url })
  const patient = openDatabase({ engine: 'postgres', url }, { isPatient: true })
  const other = new pg.Client(url)
  await other.connect()
  t.teardown(() => Promise.all([db.close(), patient.close(), other.end()]))
  const userId = await seed(db)
  const [id, held] = [await beginSession(db, userId), await beginSession(db, userId)]
  await other.query('begin')
  await other.query('update sessions set late_history = 0 where id = $1', [held])

  let isMigrated = false
  const migrating = migrate(patient, madeAt, nextProgram).then(names => {
    isMigrated = true
    return names
  })
  let generation = 0
  const end = performance.now() + 3000
  while (performance.now() < end) {
    const moved = await rotateSession(db, rotationOf(id, { generation: generation++ }))
    if (!moved) t.fail('a refresh was not answered')
  }
  t.ok(generation > 1, `${generation} refreshes passed meanwhile`)
  t.equal(isMigrated, false)
  await other.query('commit')
  t.strictSame(await migrating, ['9999-next'])
})

t.test(
  'a server goes on beside and after the migration of the next version, until that says that it may not',
  async t => {
    const env = await postgresEnv()
    const fleet = await startFleet(t, { ...env })
    const instance = await fleet.start()
    const load = fleet.load(await fleet.logIn(3))
    await load.progress()
    const patient = openDatabase(
      { engine: 'postgres', url: env['MINTMARK_DATABASE_URL'] ?? '' },
      { isPatient: true },
    )
    t.teardown(() => patient.close())
    t.strictSame(await migrate(patient, madeAt, nextProgram), ['9999-next'])
    t.match(await latestAuditEntries(patient, { events: ['database_migrated'] }, 2), [
      { actor: 'server', at: madeAt, detail: '{"applied":["9999-next"]}' },
    ])
    await load.progress()
    await fleet.start()
    await load.progress()
    await fleet.logIn(1)
    t.strictSame(await load.stop(), [])
    t.equal(load.delayed(), 0, 'nobody has noticed')
    t.match(await schemaStatus(patient), { pending: [], isTooNew: false })

    const removal: Migration = {
      up: async db => db.schema.alterTable('sessions').dropColumn('colour').execute(),
    }
    const later: Program = {
      migrations: new Map([...nextProgram.migrations, ['9999-removal', removal]]),
      oldestProgram: nextProgram.migrations.size,
    }
    await migrate(patient, madeAt, later)
    while (await instance.isReady()) await sleep(50)
    t.equal((await fetch(`${instance.url}/.well-known/jwks.json`)).status, 503)
    t.ok(instance.log.some(({ msg }) => /migrated by a newer Mintmark/.test(String(msg))))
    const { code, stderr } = await commandLine(t, fleet.home).run('serve', { env: { ...env } })
    t.match(
      [code, stderr],
      [1, /migrated by a newer Mintmark, which this one is too old for: upgrade this one\n$/],
    )
  },
)

t.test('what is called migrations in another schema is not ours', async t => {
  const cluster = await sharedPostgres()
  const name = await cluster.createDatabase()
  await cluster.query('create schema other create table migrations (id int)', name)
  const db = openDatabase({ engine: 'postgres', url: cluster.url(name) })
  t.teardown(() => db.close())
  t.match(await schemaStatus(db), { applied: [], isTooNew: false })
})

t.test('a schema that is too new is noticed, though the database fails while a server looks', async t => {
  const { db } = await openSeeded(t, {})
  let looksUntilAway = Infinity
  const failing: Database = {
    ...db,
    get sql() {
      if (--looksUntilAway === 0) throw new Error('away')
      return db.sql
    },
  }
  const { standing, follow } = openStanding({
    db: failing,
    clock: handClock(madeAt),
    log: openLog('silent', process.stderr),
  })
  await follow()
  await migrate(db, madeAt, {
    migrations: new Map([...thisProgram.migrations, ['9999-next', addition]]),
    oldestProgram: thisProgram.migrations.size + 1,
  })
  // After the pulse, which tells that something has changed.
  looksUntilAway = 2
  await t.rejects(follow(), { message: 'away' })
  t.equal(standing.refusal(), undefined)
  await follow()
  t.match(standing.refusal(), /migrated by a newer Mintmark/)
})

t.test('migrations only add', async t => {
  for (const [name, migration] of thisProgram.migrations) {
    t.strictSame(await lintMigration(migration, name === '0001-start'), [], name)
  }
  t.strictSame(await lintMigration(addition), [])

  const alter = (statement: string): Migration => ({
    up: async db => void (await sql.raw(statement).execute(db)),
  })
  const refused: readonly (readonly [string, RegExp])[] = [
    ['alter table sessions drop column scope', /only adding/],
    ['alter table sessions rename column scope to scopes', /only adding/],
    ['alter table sessions rename to logins', /only adding/],
    ['alter table sessions alter column scope type varchar', /only adding/],
    ['alter table sessions alter column resource set not null', /only adding/],
    ['alter table sessions add constraint x check (generation > 0)', /only adding/],
    ['drop table sessions', /only adding/],
    ['drop index sessions_by_user', /only adding/],
    ['update sessions set scope = 1', /only adding/],
    ['delete from sessions', /only adding/],
    ['truncate sessions', /only adding/],
    ['create index x on sessions (scope)', /stops its writers/],
    ['create unique index x on sessions (scope)', /stops its writers/],
    ['insert into clients (id) values (1)', /belong to the program/],
    ['alter table sessions add column x text not null', /let it be null or have a default/],
    ['alter table sessions add column x uuid default gen_random_uuid()', /rewrites the table/],
    ['alter table sessions add column x text unique', /checked for all its rows/],
    ['create trigger x after update on sessions for each row execute function y()', /what older programs do/],
  ]
  for (const [statement, problem] of refused) {
    const problems = await lintMigration(alter(statement))
    t.equal(problems.length, 1, statement)
    t.match(problems[0], problem)
  }
})
