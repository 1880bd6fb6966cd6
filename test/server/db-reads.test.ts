import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { sql as fragment } from 'kysely'
import t, { type Test } from 'tap'
import type { Database } from '../../db/database.ts'
import { keptQuery } from '../../db/kept-query.ts'
import { openDatabase } from '../../db/open-database.ts'
import type { Tables } from '../../db/schema.ts'
import { findMachineSession } from '../../db/sessions/sessions.ts'
import { sharedRead } from '../../db/shared-read.ts'
import { findUserById } from '../../db/users/users.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { forEachEngine, onPostgres, type EngineEnv } from '../helpers/engines.ts'
import { makeMigrated } from '../helpers/migrated.ts'
import { madeAt, openSeeded } from '../helpers/records.ts'
import { scratchFolder } from '../helpers/scratch.ts'
import { startServer } from '../helpers/server.ts'

const tenth = keptQuery(
  (sql, number: number) =>
    sql.selectFrom('installation').select(fragment<number>`10 / ${number}::bigint`.as('tenth')),
  ['bigint'],
)

/** Keeps all others from a table until `release` is called. */
async function hold(t: Test, env: EngineEnv, table: keyof Tables) {
  const db = openDatabase({ engine: 'postgres', url: env['MINTMARK_DATABASE_URL'] ?? '' })
  t.teardown(() => db.close())
  const released = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const work = db.transact(async transaction => {
    await fragment`lock table ${fragment.table(table)} in access exclusive mode`.execute(transaction)
    held.resolve()
    await released.promise
  })
  await held.promise
  return {
    release: async () => {
      released.resolve()
      await work
    },
    /** How many statements wait for the table, once so many do. */
    waiting: async (atLeast: number) => {
      while ((await countWaiting(db)) < atLeast) await sleep(5)
      await sleep(50) // for those that may come after them
      return countWaiting(db)
    },
  }
}

async function countWaiting({ sql }: Database): Promise<number> {
  const { rows } = await fragment<{ count: number }>`select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`.execute(sql)
  return Number(rows[0]?.count)
}

await forEachEngine(t, 'each of many reads at once gets its own answer', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const ids = Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? userId : newUuid(madeAt)))
  const users = await Promise.all(ids.map(id => findUserById(db, id)))
  const ada = await findUserById(db, userId)
  t.match(ada, { username: 'ada' })
  t.strictSame(
    users,
    ids.map((_, i) => (i % 3 === 0 ? ada : undefined)),
  )
})

await onPostgres(t, 'reads that arrive together are one statement, up to 128 of them', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const { waiting, release } = await hold(t, env, 'users')
  const users = Array.from({ length: 300 }, () => findUserById(db, userId))
  t.equal(await waiting(3), 3)
  await release()
  t.equal((await Promise.all(users)).filter(user => user?.username === 'ada').length, 300)
})

await onPostgres(t, 'a read waits for none that is under way', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const { waiting, release } = await hold(t, env, 'users')
  const some = Array.from({ length: 20 }, () => findUserById(db, userId))
  t.equal(await waiting(1), 1)
  t.equal(await findMachineSession(db, 'web', 0), undefined, 'one of another table is answered')
  const one = findUserById(db, userId)
  t.equal(await waiting(2), 2, 'one of the same table is sent')
  await release()
  t.equal((await Promise.all([...some, one])).filter(user => user?.username === 'ada').length, 21)
})

await onPostgres(t, 'a read that fails for its values fails none beside it', async (t, env) => {
  const { db } = await openSeeded(t, env)
  const reads = await Promise.allSettled([1, 0, 5].map(number => tenth(db, number)))
  t.match(reads, [
    { value: [{ tenth: 10 }] },
    { status: 'rejected', reason: { code: '22012' } },
    { value: [{ tenth: 2 }] },
  ])
})

await onPostgres(
  t,
  'a read that fails is 503 for those who asked for it, and for nobody else',
  async (t, env) => {
    const server = await startServer(t, env)
    const client = await server.client('machine', { grant_types: 'client_credentials' })
    const mint = () => server.post('/token', { grant_type: 'client_credentials' }, client.headers)
    const token: string = (await mint()).json().access_token
    const introspect = () => server.post('/introspect', { token }, client.headers)
    const atOnce = async () => {
      const both = Array.from({ length: 10 }, () => [introspect(), mint()] as const)
      const statuses = await Promise.all(both.map(pair => Promise.all(pair)))
      return statuses.map(([introspected, minted]) => [introspected.statusCode, minted.statusCode])
    }

    await fragment`alter table users rename to users_away`.execute(server.ctx.db.sql)
    t.same(await atOnce(), Array(10).fill([503, 200]))
    await fragment`alter table users_away rename to users`.execute(server.ctx.db.sql)
    t.same(await atOnce(), Array(10).fill([200, 200]))
  },
)

await t.test('who waits for the lock of another process keeps no other work waiting', async t => {
  const file = join(scratchFolder(t), 'mintmark.sqlite')
  await makeMigrated({ engine: 'sqlite', file })
  const [db, ...others] = Array.from({ length: 11 }, () => openDatabase({ engine: 'sqlite', file }))
  t.teardown(async () => {
    for (const one of [db, ...others]) await one?.close()
  })
  const write = (to: Database) => to.transact(async () => 'written')
  const longest: number[] = []
  const waiting = await db?.transact(async () => {
    const started = []
    for (const other of others) {
      started.push(write(other))
      longest.push(await longestTurn(20))
    }
    return started
  })
  t.ok(Math.min(...longest) < 4, 'a try is over at once')
  t.same(await Promise.all(waiting ?? []), Array(10).fill('written'))
})

/** The longest of the next turns of the event loop, in milliseconds. */
async function longestTurn(turns: number): Promise<number> {
  let longest = 0
  for (let i = 0; i < turns; i++) {
    const before = performance.now()
    await nextTurn()
    longest = Math.max(longest, performance.now() - before)
  }
  return longest
}

await forEachEngine(t, 'a shared read is done once in a turn, and anew in the next', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  let reads = 0
  const find = sharedRead((of, id: string, epoch: number) => {
    reads++
    return findUserById(of, Buffer.from(id, 'hex')).then(user => user && { ...user, epoch })
  })
  const id = userId.toString('hex')
  const [first, same, other] = await Promise.all([find(db, id, 1), find(db, id, 1), find(db, id, 2)])
  t.equal(same, first)
  t.match([first?.epoch, other?.epoch, reads], [1, 2, 2])
  await nextTurn()
  t.not(await find(db, id, 1), first)
  t.equal(reads, 3)
})

await forEachEngine(t, 'a database shares no read with another', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const elsewhere = await openSeeded(t, {})
  const find = sharedRead((of, id: string) => findUserById(of, Buffer.from(id, 'hex')))
  const found = await Promise.all([db, elsewhere.db].map(of => find(of, userId.toString('hex'))))
  t.match(found, [{ username: 'ada' }, undefined])
})
