import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import t from 'tap'
import { openDatabase } from '../../db/open-database.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import { startFleet } from '../helpers/fleet.ts'
import { sessionUpdates, startPostgres } from '../helpers/postgres.ts'
import { addSessions, beginSession, madeAt, rotationOf, seed } from '../helpers/records.ts'

t.test(
  'PostgreSQL is stopped for ten seconds, five times: nobody is refused, and nothing is lost (1, 9)',
  async t => {
    const cluster = await startPostgres(t, { fsync: 'on' })
    const name = await cluster.createDatabase()
    const fleet = await startFleet(t, { MINTMARK_DATABASE_URL: cluster.url(name) })
    const instances = [await fleet.start(), await fleet.start()]
    const clients = await fleet.logIn(20)
    const load = fleet.load(clients)
    await load.progress()
    for (const how of ['fast', 'immediate', 'kill', 'fast', 'immediate'] as const) {
      await cluster.stop(how)
      await sleep(10_000)
      for (const instance of instances)
        t.notOk(await instance.isReady(), 'an instance says that it cannot work')
      const delayed = load.delayed()
      await cluster.start()
      await load.progress()
      for (const instance of instances) while (!(await instance.isReady())) await sleep(50)
      t.comment(
        `after ${how}: ${load.refreshed()} refreshes so far, ${delayed} requests were told to come back`,
      )
      // One complaint of each job, not one for each time that it was tried.
      const complaints = instances.flatMap(({ log }) => log.filter(({ level }) => Number(level) >= 50))
      t.ok(
        complaints.length < load.delayed() + 100 * instances.length,
        `${complaints.length} lines in the log`,
      )
    }
    t.strictSame(await load.stop(), [], 'no client was ever refused')
    const healed = instances.flatMap(({ log }) => log.filter(({ event }) => event === 'session_healed'))
    t.strictSame(healed, [], 'and no refresh was lost')
  },
)

t.test('a soak: more than 95 % of refreshes touch no index, and the table does not grow', async t => {
  const cluster = await startPostgres(t, { autovacuum: 'on', autovacuum_naptime: '1s' })
  const name = await cluster.createDatabase()
  const db = openDatabase({ engine: 'postgres', url: cluster.url(name) })
  t.teardown(() => db.close())
  const userId = await seed(db)
  await addSessions(db, await beginSession(db, userId), 9999)
  const ids = (await db.sql.selectFrom('sessions').select('id').execute()).map(({ id }) => id)
  const bytes = async () => {
    const { rows } = await sql<{ bytes: number }>`select pg_total_relation_size('sessions') as bytes`.execute(
      db.sql,
    )
    return rows[0]?.bytes ?? 0
  }
  const rounds = 60
  let settled = 0
  for (let generation = 0; generation < rounds; generation++) {
    const shuffled = ids.toSorted(() => Math.random() - 0.5)
    // As many at once as a busy server has, and all of them in the end.
    for (let i = 0; i < shuffled.length; i += 500) {
      const some = shuffled.slice(i, i + 500)
      const now = madeAt + 10 + generation
      const moved = await Promise.all(some.map(id => rotateSession(db, rotationOf(id, { generation, now }))))
      if (moved.includes(undefined)) t.fail('a session was not moved on')
    }
    if (generation === 10) settled = await bytes()
    if (generation % 10 === 0) t.comment(`round ${generation}: ${Math.round((await bytes()) / 1e6)} MB`)
  }
  const grown = (await bytes()) / settled
  await db.close()
  const { updated, hot } = await sessionUpdates(cluster, name, ids.length * rounds)
  t.ok(hot / updated > 0.95, `${((100 * hot) / updated).toFixed(2)} % of ${updated} stayed in their page`)
  t.ok(grown < 1.5, `it has ${grown.toFixed(2)} times the size that it had after ten rounds`)
})
