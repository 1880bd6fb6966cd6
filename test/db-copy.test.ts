import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { beginCopy, type Copy } from '../db/copy.ts'
import { drainChanges } from '../db/copy-drain.ts'
import { moveInstallation } from '../db/copy-finish.ts'
import { copyLarge, verifyLarge } from '../db/copy-walk.ts'
import type { Database } from '../db/database.ts'
import { openDatabase, type DatabaseLocation } from '../db/open-database.ts'
import { migrate } from '../db/migrate.ts'
import { findSession, revokeSession } from '../db/sessions.ts'
import { deleteUser, insertUser } from '../db/users.ts'
import { newUuid } from '../src/protocol/secrets.ts'
import { commandLine, issuer, mainFile } from './cli.ts'
import { sharedCluster } from './engines.ts'
import { refresh, startFleet } from './fleet.ts'
import { beginSession, madeAt, rotationOf, seed } from './records.ts'

/** Adds so many sessions of the one that is there, quickly. */
async function multiply(db: Database, count: number): Promise<void> {
  const session = await db.sql.selectFrom('sessions').selectAll().limit(1).executeTakeFirstOrThrow()
  for (let i = 0; i < count; i += 500) {
    const rows = Array.from({ length: Math.min(500, count - i) }, (_, j) => ({
      ...session,
      id: newUuid(madeAt),
      status_position: i + j,
    }))
    await db.sql.insertInto('sessions').values(rows).execute()
  }
}

async function keysOf(url: string): Promise<string[]> {
  const response = await fetch(`${url}/.well-known/jwks.json`)
  const { keys } = (await response.json()) as { keys: { kid: string }[] }
  return keys.map(({ kid }) => kid).sort()
}

t.test(
  'an installation moves from SQLite to PostgreSQL under load: nobody is logged out, and no verifier sees a difference',
  async t => {
    const cluster = await sharedCluster(t)
    const url = cluster.url(await cluster.createDatabase())
    const fleet = await startFleet(t, {})
    const cli = commandLine(t, fleet.home)
    const old = await fleet.start()
    const clients = await fleet.logIn(5)
    const file = join(fleet.home, 'db/mintmark.sqlite')
    const db = openDatabase({ engine: 'sqlite', file })
    await multiply(db, 3000)
    await db.close()
    const load = fleet.load(clients)
    await load.progress()
    const keys = await keysOf(old.url)

    writeFileSync(join(fleet.home, 'url'), `${url}\n`)
    const args = ['db', 'copy', '--to-file', join(fleet.home, 'url'), '--yes', '--json']
    const { stdout, stderr } = await cli.succeed(args)
    const report = JSON.parse(stdout)
    t.match(report, { moved: true, rows: { users: 1, clients: 1 } })
    t.equal(report.rows.sessions, 3000 + clients.length)
    t.match(stderr, /servers go on/)

    t.match(
      await refresh(old.url, clients[0]?.refreshToken ?? ''),
      { kind: 'later' },
      'the old server answers 503',
    )
    t.equal((await fetch(`${old.url}/.well-known/jwks.json`)).status, 503)
    t.equal((await fetch(`${old.url}/health/live`)).status, 200)
    t.ok(old.log.some(line => /has been moved to another database/.test(String(line['msg']))))
    const delayed = load.delayed()

    const fresh = await fleet.start({ MINTMARK_DATABASE_URL: url })
    await old.kill()
    await load.progress()
    t.strictSame(await load.stop(), [], 'no client was refused')
    t.ok(load.delayed() >= delayed)
    t.strictSame(await keysOf(fresh.url), keys, 'the same keys')
    t.equal((await fleet.logIn(1)).length, 1, 'the same users and clients')
    t.strictSame(
      fresh.log.filter(line => line['event'] === 'session_healed'),
      [],
      'every refresh had come along',
    )

    const again = await cli.run('serve')
    t.match([again.code, again.stderr], [1, /this database was moved to another one, and serves no more/])
    const twice = await cli.run(args)
    t.match([twice.code, twice.stderr], [1, /this database was moved to another one/])
  },
)

t.test('a copy that is interrupted goes on, and until it is done nobody can serve from it', async t => {
  const cluster = await sharedCluster(t)
  const url = cluster.url(await cluster.createDatabase())
  const cli = commandLine(t)
  const file = join(cli.home, 'db/mintmark.sqlite')
  await cli.succeed('db migrate')
  const from = openDatabase({ engine: 'sqlite', file })
  t.teardown(() => from.close())
  await addRecords(from)
  await multiply(from, 30_000)

  const to = openDatabase({ engine: 'postgres', url })
  t.teardown(() => to.close())
  const rowsThere = async () => {
    const { rows } = await sql<{ count: number }>`select count(*) as count from sessions`.execute(to.sql)
    return rows[0]?.count ?? 0
  }
  const args = ['db', 'copy', '--to', url, '--yes']
  const child = spawn(process.execPath, [mainFile, ...args], {
    env: { PATH: process.env['PATH'], MINTMARK_HOME: cli.home, MINTMARK_ISSUER: issuer },
    stdio: 'ignore',
  })
  while ((await rowsThere().catch(() => 0)) < 2000) await sleep(5)
  child.kill('SIGKILL')
  await once(child, 'close')
  const copied = await rowsThere()
  t.ok(copied < 30_000, `it was killed after ${copied} rows`)

  const env = { MINTMARK_DATABASE_URL: url }
  const early = await cli.run('serve', { env })
  t.match([early.code, early.stderr], [1, /was not copied to the end: `mintmark db copy` .* goes on with it/])
  const elsewhere = cluster.url(await cluster.createDatabase())
  const other = await cli.run(['db', 'copy', '--to', elsewhere, '--yes'])
  t.match([other.code, other.stderr], [1, /a copy of this database to another one is not finished/])

  // What changed while nobody was copying.
  const [first] = await from.sql.selectFrom('sessions').select('id').orderBy('id').limit(1).execute()
  const id = first?.id ?? Buffer.alloc(0)
  await revokeSession(from, id, madeAt, 'meanwhile')
  const { json } = await cli.succeed([...args, '--json'])
  t.equal(json().rows.sessions, 30_001)
  t.equal((await findSession(to, id))?.revoke_reason, 'meanwhile')
  t.equal((await cli.run('db status', { env })).code, 0)
})

/** The records of records.ts in an installation that is there already. */
async function addRecords(db: Database): Promise<Buffer> {
  const { issuer: own } = await db.sql.selectFrom('installation').select('issuer').executeTakeFirstOrThrow()
  const userId = await seed(db)
  await db.sql.updateTable('installation').set({ issuer: own }).execute()
  await beginSession(db, userId)
  return userId
}

async function openPair(t: Test, from: DatabaseLocation, to: DatabaseLocation) {
  const [source, target] = [openDatabase(from), openDatabase(to)]
  t.teardown(() => Promise.all([source.close(), target.close()]))
  const userId = await seed(source)
  await migrate(target, madeAt)
  return { source, target, userId }
}

async function copyAll(copy: Copy): Promise<void> {
  await copyLarge(copy, () => {})
  await verifyLarge(copy, () => {})
}

for (const engine of ['sqlite', 'postgres'] as const) {
  t.test(`what changes while a copy is under way comes along, row by row (from ${engine})`, async t => {
    const cluster = await sharedCluster(t)
    const there = { engine: 'postgres', url: cluster.url(await cluster.createDatabase()) } as const
    const here = { engine: 'sqlite', file: join(t.testdir(), 'x.sqlite') } as const
    const { source, target, userId } = await openPair(
      t,
      engine === 'sqlite' ? here : there,
      engine === 'sqlite' ? there : here,
    )
    const ids: Buffer[] = []
    for (let i = 0; i < 30; i++) ids.push(await beginSession(source, userId, i))
    const [kept, rotated, revoked, deleted] = ids as [Buffer, Buffer, Buffer, Buffer]
    await revokeSession(source, kept, madeAt, 'before')

    const ada = await source.sql
      .selectFrom('users')
      .selectAll()
      .where('id', '=', userId)
      .executeTakeFirstOrThrow()
    const [carol, successor] = [newUuid(madeAt), newUuid(madeAt)]
    await insertUser(source, { ...ada, id: carol, username: 'carol' })

    const copy = await beginCopy(source, target, madeAt)
    await copyAll(copy)
    await source.rotateSession(rotationOf(rotated))
    await revokeSession(source, revoked, madeAt, 'during')
    await source.sql.deleteFrom('sessions').where('id', '=', deleted).execute()
    // Another user takes the name of one that is gone.
    await deleteUser(source, carol, madeAt)
    await insertUser(source, { ...ada, id: successor, username: 'carol' })
    const late = newUuid(madeAt)
    await source.sql
      .insertInto('sessions')
      .values({
        ...(await source.sql
          .selectFrom('sessions')
          .selectAll()
          .where('id', '=', kept)
          .executeTakeFirstOrThrow()),
        id: late,
      })
      .execute()

    const { rows } = await moveInstallation(copy, madeAt)
    t.match(rows, { sessions: 30, users: 2, clients: 1 })
    t.equal((await findSession(target, rotated))?.generation, 1)
    t.equal((await findSession(target, revoked))?.revoke_reason, 'during')
    t.equal(await findSession(target, deleted), undefined)
    t.ok(await findSession(target, late))
    const found = await target.sql.selectFrom('users').select('id').where('username', '=', 'carol').execute()
    t.strictSame(found, [{ id: successor }])
    const seqs = (db: Database) => db.sql.selectFrom('revocations').selectAll().orderBy('seq').execute()
    t.strictSame(await seqs(target), await seqs(source))

    await revokeSession(target, rotated, madeAt, 'after')
    t.equal((await seqs(target)).length, (await seqs(source)).length + 1, 'numbers go on there')
    await t.rejects(
      source.rotateSession(rotationOf(rotated, { generation: 1 })),
      'and here nobody writes any more',
    )
    await t.rejects(revokeSession(source, ids[9] ?? kept, madeAt, 'too late'))
    t.equal((await findSession(source, ids[9] ?? kept))?.revoked_at, null)
  })
}

t.test('a copy that is not like the original is not moved to', async t => {
  const cluster = await sharedCluster(t)
  const begin = async () => {
    const { source, target, userId } = await openPair(
      t,
      { engine: 'sqlite', file: join(t.testdir(), `${Math.random()}.sqlite`) },
      { engine: 'postgres', url: cluster.url(await cluster.createDatabase()) },
    )
    const id = await beginSession(source, userId)
    const copy = await beginCopy(source, target, madeAt)
    await copyLarge(copy, () => {})
    return { copy, source, target, id }
  }
  const spoilt = await begin()
  await spoilt.target.sql.updateTable('sessions').set({ generation: 7 }).execute()
  await t.rejects(
    verifyLarge(spoilt.copy, () => {}),
    /1 rows of sessions differ .* though nothing has changed them/,
  )

  const lacking = await begin()
  await verifyLarge(lacking.copy, () => {})
  await lacking.target.sql.deleteFrom('sessions').execute()
  await t.rejects(moveInstallation(lacking.copy, madeAt), /sessions has 1 rows here and 0 in the other/)
  t.ok(await lacking.source.rotateSession(rotationOf(lacking.id)), 'and the servers go on')

  const deaf = await begin()
  await sql`create function forget() returns trigger language plpgsql as $$ begin return null; end $$`.execute(
    deaf.target.sql,
  )
  await sql`create trigger forget before update on sessions for each row execute function forget()`.execute(
    deaf.target.sql,
  )
  await deaf.source.rotateSession(rotationOf(deaf.id))
  await t.rejects(drainChanges(deaf.copy), /rows of sessions are not what was written/)
  await t.rejects(
    beginCopy(deaf.copy.to, deaf.copy.from, madeAt),
    /a copy into this database is not finished/,
  )
})
