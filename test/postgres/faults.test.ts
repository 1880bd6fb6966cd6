import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { raceForTokens } from '../helpers/code-races.ts'
import { startFleet, type Instance } from '../helpers/fleet.ts'
import { startPostgres } from '../helpers/postgres.ts'
import { startProxy } from '../helpers/proxy.ts'
import { shareOf } from '../helpers/runs.ts'

/** Waits until it is so; the test's own time limit is the bound. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(50)
}

t.test(
  'whatever happens to PostgreSQL or an instance, clients are told to come back, and no session is lost (1, 9)',
  async t => {
    const cluster = await startPostgres(t)
    const name = await cluster.createDatabase()
    const fleet = await startFleet(t, { MINTMARK_DATABASE_URL: cluster.url(name) })
    const proxy = await startProxy(t, cluster.port)
    const first = await fleet.start()
    const second = await fleet.start({
      MINTMARK_DATABASE_URL: `postgres://postgres@127.0.0.1:${proxy.port}/${name}`,
    })
    let last = second
    const clients = await fleet.logIn(6)
    const load = fleet.load(clients)
    const ready = (instance: Instance) => until(() => instance.isReady())
    const unready = (instance: Instance) => until(async () => !(await instance.isReady()))
    await load.progress()
    t.equal(load.delayed(), 0, 'nobody waits while all is well')

    t.comment('an instance is killed')
    last = await fleet.start()
    await first.kill('SIGKILL')
    await load.progress()

    t.comment('connections are cut by an administrator, and by the network')
    for (let i = 0; i < shareOf(5); i++) {
      await cluster.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mintmark'",
      )
      await load.progress(1)
      proxy.cut()
      await load.progress(1)
    }

    t.comment('answers of statements and commits are lost')
    for (let i = 0; i < shareOf(10); i++) {
      proxy.loseNextAnswer()
      await load.progress(1)
    }

    t.comment('transactions fail to serialise, and deadlock')
    await cluster.query(
      `create function clash() returns trigger language plpgsql as $$ begin
      if random() < 0.2 then raise exception using errcode = case when random() < 0.5 then '40001' else '40P01' end; end if;
      return new; end $$;
    create trigger clash before update on sessions for each row execute function clash()`,
      name,
    )
    const before = load.delayed()
    await load.progress(10)
    t.equal(load.delayed(), before, 'which no client notices')
    await cluster.query('drop trigger clash on sessions', name)

    t.comment('invariant 12: one code at three processes at once')
    const third = await fleet.start()
    const fleetOfThree = { fleet, instances: [second, last, third] }
    await raceForTokens(t, fleetOfThree, { parallel: 50, rounds: 3 })
    await third.kill('SIGTERM')

    t.comment('PostgreSQL crashes and recovers')
    await cluster.stop('immediate')
    await unready(last)
    await cluster.start()
    await Promise.all([load.progress(), ready(last), ready(second)])

    t.comment('PostgreSQL is stopped for a while')
    await cluster.stop('fast')
    await unready(second)
    await sleep(1000)
    await cluster.start()
    await Promise.all([load.progress(), ready(last), ready(second)])

    t.comment('PostgreSQL takes no writes for a while')
    const readOnly = async (value: string) => {
      await cluster.query(`alter system set default_transaction_read_only = ${value}`)
      await cluster.query('select pg_reload_conf()')
    }
    await readOnly('on')
    await Promise.all([unready(last), unready(second)])
    await readOnly('off')
    await Promise.all([load.progress(), ready(last), ready(second)])

    t.ok(load.delayed() > 0, `${load.delayed()} requests had to be sent again`)
    t.strictSame(await load.stop(), [], 'no client was ever refused')
    const [{ count } = { count: 0 }] = await cluster.query(
      "select count(*)::int as count from sessions where revoked_at is null and client_id = 'app'",
      name,
    )
    t.equal(count, clients.length, 'every session lives')
  },
)
