import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { commandLine } from '../helpers/cli.ts'
import { startFleet } from '../helpers/fleet.ts'
import { startPooler } from '../helpers/pooler.ts'
import { sharedPostgres } from '../helpers/shared-postgres.ts'

t.test(
  'behind a pooler in transaction mode nothing is left in a session, and all goes on as without',
  async t => {
    const cluster = await sharedPostgres()
    const database = await cluster.createDatabase()
    await cluster.query(`alter database ${database} set synchronous_commit = on`)
    const port = await startPooler(t, { port: cluster.port, database })
    const url = `postgres://postgres@127.0.0.1:${port}/${database}`

    const fleet = await startFleet(t, { MINTMARK_DATABASE_URL: url, MINTMARK_DATABASE_POOLER: 'transaction' })
    await fleet.start()
    await fleet.start()
    const load = fleet.load(await fleet.logIn(5))
    await load.progress(5)
    t.equal(load.delayed(), 0)

    // Seen through the pooler, whose connections take turns.
    const client = new pg.Client(url)
    await client.connect()
    t.teardown(() => client.end())
    const left: unknown[] = []
    const looked = new Set<number>()
    // Until it was the turn of all three: one may be busy for a while.
    while (left.length < 12 || looked.size < 3) {
      const { rows } = await client.query(`select pg_backend_pid() as pid,
      (select count(*)::int from pg_prepared_statements) as statements,
      (select count(*)::int from pg_listening_channels()) as channels,
      (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
      current_setting('statement_timeout') as limits`)
      left.push(rows[0])
      looked.add(rows[0].pid)
    }
    for (const row of left) t.match(row, { statements: 0, channels: 0, locks: 0, limits: '0' })

    const cli = commandLine(t, fleet.home)
    await cli.call('client disable app', { env: fleet.env })
    await sleep(1000)
    const refusals = await load.stop()
    t.equal(refusals.length, 5, 'every instance has heard of a change within a second')

    const { code, stderr } = await cli.call('serve', { env: { MINTMARK_DATABASE_URL: url } })
    t.match(
      [code, stderr],
      [1, /a pooler .*: set MINTMARK_DATABASE_POOLER=transaction\n$/],
      'without the setting it is said',
    )

    await cluster.query(`alter database ${database} set synchronous_commit = off`)
    const late = await startPooler(t, { port: cluster.port, database })
    const lazy = await cli.call('serve', {
      env: { ...fleet.env, MINTMARK_DATABASE_URL: `postgres://postgres@127.0.0.1:${late}/${database}` },
    })
    t.match(
      [lazy.code, lazy.stderr],
      [1, /answers before a commit is durable: `alter role … set synchronous_commit = on`/],
      'what cannot be set in a session must be right before',
    )
  },
)
