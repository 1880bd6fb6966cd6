import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { announceThrough, type Trouble } from '../helpers/announced.ts'
import { commandLine } from '../helpers/cli.ts'
import { startFleet, refresh, type Fleet, type Instance } from '../helpers/fleet.ts'
import { startPostgres, type Cluster } from '../helpers/postgres.ts'

/** Waits until it is so; the test's own time limit is the bound. */
async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await sleep(50)
}

interface Pair {
  readonly primary: Cluster
  readonly standby: Cluster
  readonly name: string
  readonly fleet: Fleet
  readonly instance: Instance
}

/** What doctor finds out about the database. */
async function doctorOf(t: Test, { home, env }: Fleet): Promise<readonly object[]> {
  const { json } = await commandLine(t, home).call('doctor --json', { env: { ...env } })
  return json().findings.filter((finding: { check: string }) => finding.check === 'database')
}

/** A primary, a standby that follows it by streaming replication, and an instance that knows both. */
async function startPair(t: Test, isSynchronous: boolean): Promise<Pair> {
  const primary = await startPostgres(t, { wal_sender_timeout: '2s', wal_receiver_timeout: '2s' })
  const name = await primary.createDatabase()
  await primary.stop('fast')
  const standby = await primary.copy(t, { standby: true })
  await primary.start()
  await standby.start()
  const isStreaming = async () =>
    (await primary.query("select 1 from pg_stat_replication where state = 'streaming'")).length === 1
  await until(isStreaming)
  if (isSynchronous) {
    await primary.query("alter system set synchronous_standby_names = '*'")
    await primary.query('select pg_reload_conf()')
    await until(
      async () =>
        (await primary.query("select 1 from pg_stat_replication where sync_state = 'sync'")).length === 1,
    )
  }
  const hosts = `127.0.0.1:${primary.port},127.0.0.1:${standby.port}`
  const fleet = await startFleet(t, {
    MINTMARK_DATABASE_URL: `postgres://postgres@${hosts}/${name}?target_session_attrs=read-write`,
  })
  return { primary, standby, name, fleet, instance: await fleet.start() }
}

async function promote(standby: Cluster): Promise<void> {
  await standby.query('select pg_promote(wait => true)')
}

const events = (instance: Instance, event: string) => instance.log.filter(line => line['event'] === event)

t.test(
  'a standby is promoted after the primary was killed: synchronous replication loses nothing (4, 5)',
  async t => {
    const { primary, standby, name, fleet, instance } = await startPair(t, true)
    t.match(await doctorOf(t, fleet), [{}, { verdict: 'ok', text: /replication is synchronous/ }, {}, {}])
    const alone = { MINTMARK_DATABASE_URL: standby.url(name) }
    t.match(
      await commandLine(t, fleet.home).call('serve', { env: alone }),
      { code: 1, stderr: /is a standby, which takes no writes: add the primary to the hosts in the URL\n$/ },
      'and a standby is not what a URL may name alone',
    )
    const clients = await fleet.logIn(5)
    const load = fleet.load(clients)
    await load.progress()

    // As late as possible before the end.
    const [revoked, newest] = await fleet.logIn(2)
    const answer = await instance.post('/revoke', { client_id: 'app', token: revoked?.refreshToken ?? '' })
    await primary.stop('kill')
    t.equal(answer.status, 200)
    await until(async () => !(await instance.isReady()))
    await promote(standby)
    await Promise.all([load.progress(), until(() => instance.isReady())])
    t.strictSame(await load.stop(), [], 'no client was refused')

    t.match(
      await refresh(instance.url, revoked?.refreshToken ?? ''),
      { kind: 'refused' },
      'a revocation that was answered holds',
    )
    t.match(
      await refresh(instance.url, newest?.refreshToken ?? ''),
      { kind: 'token' },
      'and so does a log-in',
    )
    t.strictSame(events(instance, 'session_healed'), [], 'nothing had to be healed')
    await until(() => events(instance, 'failover').length > 0)
    t.match(
      events(instance, 'failover'),
      [{ synchronous: true, timeline: 2, timeline_before: 1 }],
      'and the log says so',
    )

    await t.test('an old primary that comes back is not written to', async t => {
      await primary.start()
      const written = async () =>
        (await primary.query('select sum(generation)::int as sum from sessions', name))[0]?.['sum']
      const before = await written()
      await standby.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mintmark'",
      )
      const [client] = clients
      const second = fleet.load([client ?? { refreshToken: '' }])
      await second.progress()
      const late = await fleet.start()
      await second.progress()
      t.strictSame(
        await second.stop(),
        [],
        'neither by who has seen the new one, nor by who has just been started',
      )
      t.ok(await late.isReady())
      const sessions = await primary.query(
        `select 1 from pg_stat_activity where application_name = 'mintmark'`,
      )
      t.strictSame(sessions, [])
      t.equal(await written(), before, 'and none of their refreshes went there')

      await standby.stop('kill')
      await until(async () => !(await instance.isReady()))
      t.match(
        await refresh(instance.url, client?.refreshToken ?? ''),
        { kind: 'later' },
        'not even when it is all there is',
      )
      t.ok(
        instance.log.some(line =>
          JSON.stringify(line).includes('is an old primary: its timeline is 1, but 2 has begun'),
        ),
        'and the log says why',
      )
    })
  },
)

t.test('invariant 25: revocations are announced through a failover, and no others', async t => {
  const { primary, standby, fleet, instance } = await startPair(t, true)
  await instance.kill('SIGTERM')
  const failOver = async ({ answered }: Trouble) => {
    await until(() => answered() > 5)
    await primary.stop('kill')
    const before = answered()
    await promote(standby)
    await until(() => answered() > before + 5)
  }
  await announceThrough(t, fleet, { revocations: 30, trouble: failOver })
})

t.test(
  'asynchronous replication loses the last writes: refreshes heal, and what is lost is said (1, 2)',
  async t => {
    const { primary, standby, fleet, instance } = await startPair(t, false)
    t.match(
      await doctorOf(t, fleet),
      [
        { verdict: 'ok' },
        {
          verdict: 'warning',
          text: /^replication to 1 standby is asynchronous: a failover loses .* revocations/,
        },
        { verdict: 'problem', text: /fsync = off/ },
        { verdict: 'problem', text: /full_page_writes = off/ },
      ],
      'doctor has said so beforehand',
    )
    const clients = await fleet.logIn(5)
    const load = fleet.load(clients)
    await load.progress()
    // From here on the standby is sent nothing any more.
    const [sender] = await primary.query('select pid from pg_stat_replication')
    process.kill(Number(sender?.['pid']), 'SIGSTOP')
    await load.progress()
    const [lost] = await fleet.logIn(1)
    await load.progress()
    await primary.stop('kill')
    process.kill(Number(sender?.['pid']), 'SIGKILL')
    await promote(standby)
    await Promise.all([load.progress(), until(() => instance.isReady())])
    t.strictSame(await load.stop(), [], 'no client was refused')
    t.ok(
      events(instance, 'session_healed').length >= clients.length,
      'each session went on from what its client had',
    )
    t.match(
      await refresh(instance.url, lost?.refreshToken ?? ''),
      { kind: 'refused' },
      'a log-in of the lost moments is lost',
    )
    await until(() => events(instance, 'failover').length > 0)
    t.match(
      events(instance, 'failover'),
      [{ synchronous: false, msg: /log-ins and revocations of its last moments may be lost/ }],
      'and the log says so',
    )
  },
)
