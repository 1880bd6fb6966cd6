import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { changeClient, findClient } from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import { UnknownOutcome } from '../../db/engines/batcher.ts'
import { raiseRevision, readRevision } from '../../db/installation/installation.ts'
import { readPulse } from '../../db/installation/pulse.ts'
import { openDatabase, type DatabaseOptions } from '../../db/open-database.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import { findSession, revokeSession } from '../../db/sessions/sessions.ts'
import { findUserById } from '../../db/users/users.ts'
import { systemClock } from '../../src/clock.ts'
import { openStanding } from '../../src/installation/standing.ts'
import { sharedPostgres } from '../helpers/shared-postgres.ts'
import { startPostgres, type Cluster, type Databases } from '../helpers/postgres.ts'
import { startProxy } from '../helpers/proxy.ts'
import { beginSession, madeAt, rotationOf, seed } from '../helpers/records.ts'

interface Opened {
  readonly cluster: Databases
  readonly name: string
  readonly db: Database
  readonly userId: Buffer
  /** A connection that does not go through our code. */
  readonly other: pg.Client
}

async function open(t: Test, options: DatabaseOptions = {}, more = '', own?: Cluster): Promise<Opened> {
  const cluster = own ?? (await sharedPostgres())
  const name = await cluster.createDatabase()
  const db = openDatabase({ engine: 'postgres', url: cluster.url(name) + more }, options)
  t.teardown(() => db.close())
  const userId = await seed(db)
  const other = new pg.Client(cluster.url(name))
  other.on('error', () => {}) // it is there no more when the server has stopped
  await other.connect()
  t.teardown(() => other.end())
  return { cluster, name, db, userId, other }
}

/** Waits for what must happen sooner or later. */
async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await sleep(10)
}

t.test('values go in and come out as on SQLite: ids are 16 bytes, numbers are numbers', async t => {
  const { db, userId } = await open(t)
  const user = await findUserById(db, userId)
  t.strictSame(user?.id, userId)
  t.equal(user?.created_at, madeAt)
  const id = await beginSession(db, userId, 2 ** 40)
  const session = await findSession(db, id)
  t.match(session, { id, user_id: userId, username: 'ada', roles: 'editor', status_position: 2 ** 40 })
  t.strictSame(session?.secret_hash, rotationOf(id).secretHash)
  t.equal(session?.revoked_at, null)
})

t.test(
  'each connection commits durably, has a name and a limit for everything, and is told once what a statement is',
  async t => {
    const { db, cluster, name } = await open(t, { poolSize: 1 })
    const show = async (setting: string, { sql: on } = db) => {
      const { rows } = await sql<{ value: string }>`select current_setting(${setting}) as value`.execute(on)
      return rows[0]?.value
    }
    t.equal(await show('synchronous_commit'), 'on', 'though the server says off')
    t.equal(await show('application_name'), 'mintmark')
    t.equal(await show('statement_timeout'), '5s')
    t.equal(await show('lock_timeout'), '2s')
    t.equal(await show('idle_in_transaction_session_timeout'), '1min')

    for (let i = 0; i < 5; i++) await findClient(db, 'web')
    const { rows } = await sql<{ executed: number }>`
    select generic_plans + custom_plans as executed from pg_prepared_statements
    where statement like '%from "clients" where "id"%'`.execute(db.sql)
    t.ok(Number(rows[0]?.executed) >= 5, 'a statement is prepared once and used again')

    const stricter = openDatabase(
      {
        engine: 'postgres',
        url: `${cluster.url(name)}?options=-c%20synchronous_commit%3Dremote_apply&application_name=as-1`,
      },
      { isPatient: true },
    )
    t.teardown(() => stricter.close())
    t.equal(await show('synchronous_commit', stricter), 'remote_apply', 'more than on is never lowered')
    t.equal(await show('application_name', stricter), 'as-1')
    t.equal(await show('statement_timeout', stricter), '0', 'a command may take its time')
  },
)

t.test(
  'a transaction that deadlocks or fails to serialise is done again, and nobody hears of it',
  async t => {
    const { db, userId } = await open(t)
    const ids = [await beginSession(db, userId), await beginSession(db, userId)]
    let attempts = 0
    let touched = 0
    const haveOneEach = Promise.withResolvers<void>()
    const touchBoth = (order: readonly Buffer[]) =>
      db.transact(async transaction => {
        attempts++
        for (const id of order) {
          await transaction
            .updateTable('sessions')
            .set(eb => ({ late_history: eb('late_history', '+', 1) }))
            .where('id', '=', id)
            .execute()
          if (++touched === 2) haveOneEach.resolve()
          await haveOneEach.promise
        }
      })
    await Promise.all([touchBoth(ids), touchBoth([...ids].reverse())])
    t.ok(attempts >= 3, 'one of the two was undone')
    for (const id of ids)
      t.equal((await findSession(db, id))?.late_history, 2, 'and both were done in the end')

    const { db: serializable } = await open(
      t,
      {},
      '?options=-c%20default_transaction_isolation%3Dserializable',
    )
    attempts = 0
    const before = await readRevision(serializable)
    await Promise.all(
      Array.from({ length: 3 }, () =>
        serializable.transact(async transaction => {
          attempts++
          await transaction.selectFrom('installation').select('revision').execute()
          await sleep(20)
          await raiseRevision(transaction)
        }),
      ),
    )
    t.ok(attempts > 3, 'some could not be serialised')
    t.equal(await readRevision(serializable), before + 3)
  },
)

t.test(
  'a lost answer to COMMIT is an unknown outcome: nothing is judged as if it had not happened',
  async t => {
    const { cluster, name, userId, db } = await open(t)
    const proxy = await startProxy(t, cluster.port)
    const far = openDatabase({
      engine: 'postgres',
      url: `postgres://postgres@127.0.0.1:${proxy.port}/${name}`,
    })
    t.teardown(() => far.close())
    const id = await beginSession(db, userId)
    await rotateSession(far, rotationOf(await beginSession(db, userId)))

    proxy.loseNextAnswer()
    await t.rejects(rotateSession(far, rotationOf(id)), UnknownOutcome)
    await until(async () => (await findSession(db, id))?.generation === 1)
    t.pass('though the session has moved on')
    t.equal(await rotateSession(far, rotationOf(id)), undefined, 'the next statement finds a new connection')

    const lost = far.transact(async transaction => {
      await raiseRevision(transaction)
      proxy.loseNextAnswer()
    })
    await t.rejects(lost, UnknownOutcome)
    await until(async () => (await readRevision(db)) === 2)
    proxy.cut()
    const definite = rotateSession(far, rotationOf(id, { generation: 1 }))
    await definite.catch(() => {})
  },
)

t.test('times are those of the database, whatever the clock of the instance says', async t => {
  const { db } = await open(t)
  const { standing, follow } = openStanding({
    db,
    clock: { ...systemClock(), now: () => 1000 },
    log: pino({ level: 'silent' }),
  })
  t.equal(standing.clock.now(), 1000, 'until it has been asked')
  const before = Math.floor(Date.now() / 1000)
  await follow()
  const after = Math.ceil(Date.now() / 1000)
  t.ok(before - 1 <= standing.clock.now() && standing.clock.now() <= after + 1)
})

t.test(
  'a server that takes no writes any more is given up, even by those who are connected already',
  async t => {
    const { db, cluster, userId } = await open(t, { poolSize: 1 }, '', await startPostgres(t))
    const id = await beginSession(db, userId)
    t.match(await readPulse(db), { moved_at: null })
    const set = async (value: 'on' | 'off') => {
      await cluster.query(`alter system set default_transaction_read_only = ${value}`)
      await cluster.query('select pg_reload_conf()')
    }
    await set('on')
    t.teardown(() => set('off'))
    await until(() =>
      readPulse(db).then(
        () => false,
        (error: Error) => /takes no writes any more/.test(error.message),
      ),
    )
    t.pass('reading alone tells it')
    await t.rejects(rotateSession(db, rotationOf(id)), { code: '25006' })
    await t.rejects(
      rotateSession(db, rotationOf(id)),
      /is read-only: set default_transaction_read_only = off there/,
      'and the next one looks for a primary anew',
    )
    await set('off')
    await until(() =>
      rotateSession(db, rotationOf(id)).then(
        () => true,
        () => false,
      ),
    )
    t.equal((await findSession(db, id))?.generation, 1)
  },
)

t.test('a migration that adds a column disturbs no statement that was prepared before', async t => {
  const { db, other, userId } = await open(t, { poolSize: 2 })
  const id = await beginSession(db, userId)
  const both = () => Promise.all([findSession(db, id), findSession(db, id)])
  await both()
  await other.query('alter table sessions add column colour text')
  t.ok((await both()).every(session => session !== undefined))

  await findClient(db, 'web')
  await other.query('alter table clients add column colour text')
  const found = await db.transact(async transaction => {
    await raiseRevision(transaction)
    return findClient({ ...db, sql: transaction }, 'web')
  })
  t.equal(found?.id, 'web', 'nor one within a transaction')
})

t.test(
  'a host that cannot be used any more is left for another of the URL within the same request',
  async t => {
    const { cluster, name, other } = await open(t)
    const [first, second] = [await startProxy(t, cluster.port), await startProxy(t, cluster.port)]
    const hosts = `127.0.0.1:${first.port},127.0.0.1:${second.port}`
    const far = openDatabase({
      engine: 'postgres',
      url: `postgres://postgres@${hosts}/${name}?application_name=far`,
    })
    t.teardown(() => far.close())
    await readRevision(far)
    first.replace('180004', '130022')
    first.cut()
    await until(async () => {
      const { rows } = await other.query(
        "select 1 from pg_stat_activity where application_name = 'far' and datname = current_database()",
      )
      return rows.length === 0
    })
    // Only who is quicker than the news that the connection was cut is told of it.
    await readRevision(far).catch(error => t.match(String(error), /terminated unexpectedly/))
    t.equal(await readRevision(far), await readRevision(far), 'nobody has noticed')
  },
)

t.test(
  'when all connections are in use, whoever waits is told so, and those who have one keep it',
  async t => {
    const { db } = await open(t, { poolSize: 1 }, '?connect_timeout=1')
    const before = await readRevision(db)
    await db.transact(async transaction => {
      await raiseRevision(transaction)
      await t.rejects(readRevision(db), /all connections to PostgreSQL are in use/)
      await raiseRevision(transaction)
    })
    t.equal(await readRevision(db), before + 2)
    const { rows } = await sql<{ count: number }>`select count(*) from pg_stat_activity
    where application_name = 'mintmark' and datname = current_database()`.execute(db.sql)
    t.equal(Number(rows[0]?.count), 1, 'for no other was opened')
  },
)

t.test(
  'rotations that arrive together are one statement; a row that another holds goes by itself',
  async t => {
    const { db, other, userId } = await open(t)
    const ids = await Promise.all(Array.from({ length: 5 }, () => beginSession(db, userId)))
    const [held = Buffer.alloc(0), ...free] = ids
    await other.query('begin')
    await other.query('update sessions set generation = generation + 1 where id = $1', [held])

    let isAnswered = false
    const waiting = rotateSession(db, rotationOf(held)).finally(() => {
      isAnswered = true
    })
    const moved = await Promise.all(free.map(id => rotateSession(db, rotationOf(id))))
    t.ok(
      moved.every(session => session?.roles === 'editor'),
      'the others do not wait',
    )
    t.equal(isAnswered, false, 'and the one that is held does')
    await other.query('commit')
    t.equal(await waiting, undefined, 'until its holder has moved it on: then it is judged anew')

    await other.query('begin')
    await other.query('select 1 from sessions where id = $1 for update', [held])
    const again = rotateSession(db, rotationOf(held, { generation: 1 }))
    await sleep(50)
    await other.query('rollback')
    t.equal((await again)?.expires_at, madeAt + 1010, 'or let it go')
    t.equal((await findSession(db, held))?.generation, 2)
  },
)

t.test(
  'a batch and two instances: each session moves on once, and one that fails spoils it for nobody',
  async t => {
    const { db, cluster, name, other, userId } = await open(t)
    const second = openDatabase({ engine: 'postgres', url: cluster.url(name) })
    t.teardown(() => second.close())
    const ids = await Promise.all(Array.from({ length: 60 }, () => beginSession(db, userId)))
    const answers = await Promise.all(
      ids.flatMap(id => [
        rotateSession(db, rotationOf(id)),
        rotateSession(db, rotationOf(id, { mayCoalesce: false })),
        rotateSession(second, rotationOf(id)),
      ]),
    )
    t.equal(answers.filter(answer => answer !== undefined).length, ids.length)
    for (const id of ids) t.equal((await findSession(db, id))?.generation, 1)

    const [cursed = Buffer.alloc(0)] = ids
    await other.query(`create function curse() returns trigger language plpgsql as
    $$ begin if new.id = '${cursed.toString('hex')}' then raise 'cursed'; end if; return new; end $$;
    create trigger curse before update on sessions for each row execute function curse()`)
    const outcomes = await Promise.allSettled(
      ids.map(id => rotateSession(db, rotationOf(id, { generation: 1 }))),
    )
    t.strictSame(
      outcomes.map(({ status }) => status),
      ids.map(id => (id === cursed ? 'rejected' : 'fulfilled')),
    )
  },
)

t.test('a feed is numbered in the order in which its rows become visible', async t => {
  const { db, other, userId } = await open(t)
  const ids = await Promise.all(Array.from({ length: 2 }, (_, i) => beginSession(db, userId, i)))
  const seen = async () =>
    (await db.sql.selectFrom('revocations').select('seq').orderBy('seq').execute()).map(r => r.seq)
  // A transaction that has taken its number, and commits late.
  await other.query('begin')
  await other.query(
    `insert into revocations (session_id, status_position, revoked_at) values ('${ids[0]?.toString('hex')}', 0, ${madeAt})`,
  )
  let isRevoked = false
  const revoked = revokeSession(db, ids[1] ?? Buffer.alloc(0), madeAt, 'command').then(() => {
    isRevoked = true
  })
  await sleep(100)
  t.strictSame(
    [isRevoked, await seen()],
    [false, []],
    'a later number waits, so that no reader can pass over the earlier',
  )
  await other.query('commit')
  await revoked
  t.strictSame(await seen(), [1, 2])
})

t.test(
  'every change is told at once to those who listen, and told again after the connection was cut',
  async t => {
    const { db, other, userId, name } = await open(t)
    let woken = 0
    const watch = db.watch(() => void woken++)
    t.teardown(() => watch.close())
    await watch.keep()
    t.equal(woken, 1, 'what happened before may have been missed')
    await changeClient(db, 'web', { scope: 'read write' })
    await until(() => woken === 2)
    await revokeSession(db, await beginSession(db, userId), madeAt, 'command')
    await until(() => woken === 3)

    await watch.keep()
    t.equal(woken, 3, 'who listens is left in peace')
    await other.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}' and query like 'listen%'`,
    )
    await until(async () => {
      await watch.keep().catch(() => {})
      return woken === 4
    })
    await changeClient(db, 'web', { scope: 'read' })
    await until(() => woken === 5)
    t.pass('and hears again')
  },
)
