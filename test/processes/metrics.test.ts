import t, { type Test } from 'tap'
import { systemClock } from '../../src/clock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { openMetrics, openMetricsListener } from '../../src/jobs/metrics.ts'
import { formatUuid, parseUuid } from '../../src/protocol/secrets.ts'
import { openCounts, otherClients } from '../../src/record/counts.ts'
import { openLog } from '../../src/record/log.ts'
import { startServer as serve } from '../../src/server.ts'
import { commandLine } from '../helpers/cli.ts'
import { onSqlite } from '../helpers/engines.ts'
import { freePort, holdPort } from '../helpers/free-port.ts'
import { runJob } from '../helpers/run-job.ts'
import { scratchFolder } from '../helpers/scratch.ts'
import { besideEnv, isOAuthError, startServer, startedAt, testClient } from '../helpers/server.ts'

const day = 86_400

/** A server, and what its metrics say: each sample by its name and labels. */
async function world(t: Test) {
  const port = await freePort()
  // Its clock is the test's; with PostgreSQL it would be that of the database.
  const server = await startServer(t, { ...onSqlite, MINTMARK_METRICS_PORT: String(port) })
  const metrics = openMetricsListener(openMetrics(server.metrics).text, { host: '127.0.0.1', port })
  t.teardown(() => metrics.close())
  await metrics.keepListening()
  await metrics.keepListening() // it does already
  const url = `http://127.0.0.1:${port}/metrics`
  const text = async () => (await fetch(url)).text()
  return {
    server,
    url,
    text,
    samples: async () => {
      const lines = (await text()).split('\n').filter(line => line !== '' && !line.startsWith('#'))
      return Object.fromEntries(
        lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
      )
    },
  }
}

t.test('answers of /token are counted by grant, client and outcome, and refreshes by verdict', async t => {
  const { server, samples, text } = await world(t)
  const web = await server.client('web')
  const admin = await server.client('admin', { is_admin: 1 })
  const user = await server.user()
  const refreshWith = (refresh_token: string, client = web) =>
    server.post('/token', { grant_type: 'refresh_token', refresh_token, ...client.form })

  const first = await server.logIn(web, user)
  const second = await server.refresh(web, first.refresh_token)
  await server.refresh(web, first.refresh_token) // repeated
  server.tick(60)
  await server.refresh(web, first.refresh_token) // late
  const third = await server.refresh(web, second.refresh_token)
  server.tick(60)
  isOAuthError(t, await refreshWith(first.refresh_token), 400, 'invalid_grant', 'theft')
  isOAuthError(t, await refreshWith(third.refresh_token), 400, 'invalid_grant', 'after it')

  await server.revoke(web, (await server.logIn(web, user)).refresh_token)
  await server.revoke(admin, (await server.logIn(web, user)).refresh_token)
  await server.revoke(web, 'nothing')
  isOAuthError(
    t,
    await refreshWith('x', testClient('web', 'wrong')),
    401,
    'invalid_client',
    'another secret than its own',
  )
  const nonsense = { ...web.form, grant_type: 'drop table' }
  isOAuthError(t, await server.post('/token', nonsense), 400, 'unsupported_grant_type', 'no grant')
  const wrong = { ...web.form, grant_type: 'password', username: user.username, password: 'wrong' }
  isOAuthError(t, await server.post('/token', wrong), 400, 'invalid_grant', 'a wrong password')

  const token = (grant: string, client_id: string, outcome: string) =>
    `mintmark_token_requests_total{grant="${grant}",client_id="${client_id}",outcome="${outcome}"}`
  const all = await samples()
  t.match(all, {
    [token('password', 'web', 'granted')]: 3,
    [token('password', 'web', 'invalid_grant')]: 1,
    [token('refresh_token', 'web', 'granted')]: 4,
    [token('refresh_token', 'web', 'invalid_grant')]: 2,
    [token('', 'web', 'unsupported_grant_type')]: 1,
    [token('', '', 'invalid_client')]: 1,
    'mintmark_refresh_verdicts_total{verdict="rotated"}': 2,
    'mintmark_refresh_verdicts_total{verdict="repeated"}': 1,
    'mintmark_refresh_verdicts_total{verdict="late"}': 1,
    'mintmark_refresh_verdicts_total{verdict="theft"}': 1,
    'mintmark_refresh_verdicts_total{verdict="healed"}': 0,
    'mintmark_revocations_total{by="client"}': 1,
    'mintmark_revocations_total{by="admin"}': 1,
    'mintmark_revocations_total{by="theft"}': 1,
    'mintmark_errors_total{error="invalid_client",status="401"}': 1,
    'mintmark_errors_total{error="invalid_grant",status="400"}': 3,
    mintmark_database_commit_seconds_count: 6,
  })
  t.notMatch(await text(), /drop table/, 'what a stranger has sent is no label')
})

t.test('what commands have ended is counted by each server, and what servers have ended by one', async t => {
  const { server, samples } = await world(t)
  const other = await startServer(t, besideEnv(server))
  const web = await server.client('web')
  const admin = await server.client('admin', { is_admin: 1 })
  const ada = await server.user()
  const bob = await server.user('bob')
  const { call } = commandLine(t, server.ctx.config.home)
  const run = async (command: string) =>
    t.match(await call(command, { env: { MINTMARK_ISSUER: 'https://as.example' } }), { code: 0 }, command)

  await server.logIn(web, ada)
  await run('session revoke --client web --yes')
  await server.follow()
  t.match(await samples(), { 'mintmark_revocations_total{by="command"}': 0 }, 'what was before the start')

  for (const user of [ada, ada, bob]) await server.logIn(web, user)
  const mine = await server.logIn(web, bob)
  const bobs = await server.logIn(web, bob)
  await other.follow()
  await server.revoke(web, mine.refresh_token)
  await server.revoke(admin, bobs.refresh_token)
  await run('session revoke --user bob --client web --yes')
  await run('user disable ada')
  for (let i = 0; i < 3; i++) {
    await server.follow()
    await other.follow()
  }
  t.match(await samples(), {
    'mintmark_revocations_total{by="client"}': 1,
    'mintmark_revocations_total{by="admin"}': 1,
    'mintmark_revocations_total{by="command"}': 3,
    'mintmark_revocations_total{by="theft"}': 0,
    'mintmark_revocations_total{by="limit"}': 0,
  })
  t.match(other.ctx.counts.revocations, { client: 0, admin: 0, command: 3 }, 'as the other server has it')
})

t.test('a healed session, one that has expired and reused tokens have counts of their own', async t => {
  const { server, samples } = await world(t)
  const web = await server.client('web')
  const keep = await server.client('keep', { refresh_policy: 'reuse' })
  const user = await server.user()
  const { access_token, refresh_token } = await server.logIn(web, user)
  const second = await server.refresh(web, refresh_token)
  const { sid } = await server.introspect(web, access_token)
  const id = parseUuid(String(sid)) ?? Buffer.alloc(0)
  await server.ctx.db.sql.updateTable('sessions').set({ generation: 0 }).where('id', '=', id).execute()
  t.equal(formatUuid(id), sid)
  const last = await server.refresh(web, second.refresh_token)
  const kept = await server.logIn(keep, user)
  await server.refresh(keep, kept.refresh_token)
  server.tick(31 * day)
  const form = { grant_type: 'refresh_token', refresh_token: last.refresh_token, ...web.form }
  isOAuthError(t, await server.post('/token', form), 400, 'invalid_grant', 'after it has expired')
  t.match(await samples(), {
    'mintmark_refresh_verdicts_total{verdict="healed"}': 1,
    'mintmark_refresh_verdicts_total{verdict="rotated"}': 2,
    'mintmark_refresh_verdicts_total{verdict="reused"}': 1,
    'mintmark_refresh_verdicts_total{verdict="expired"}': 1,
  })
})

t.test('keys, queues, latencies and the event loop are shown', async t => {
  const { server, samples, url } = await world(t)
  await server.follow()
  server.tick(day)
  await runJob(server, 'asking the database')
  const all = await samples()
  t.match(all, {
    'mintmark_signing_keys{alg="ES256",state="active"}': 1,
    'mintmark_signing_keys{alg="ES256",state="next"}': 1,
    'mintmark_signing_keys{alg="ES256",state="retiring"}': 0,
    'mintmark_signing_key_next_step_seconds{alg="ES256",state="active"}': 29 * day,
    'mintmark_signing_key_next_step_seconds{alg="RS256",state="next"}': 29 * day,
    mintmark_jwks_confirmed: 0,
    'mintmark_queue_length{queue="password_hash"}': 0,
    'mintmark_queue_length{queue="refresh_commit"}': 0,
    'mintmark_queue_length{queue="database_connection"}': 0,
    'mintmark_queue_length{queue="audit_entry"}': 0,
    'mintmark_queue_length{queue="afterwards"}': 0,
    'mintmark_database_poll_seconds_bucket{le="+Inf"}': 1,
    mintmark_database_poll_seconds_count: 1,
    mintmark_refresh_outage: 0,
    mintmark_throttle_buckets: 0,
  })
  t.type(all['nodejs_eventloop_lag_p99_seconds'], 'number')
  t.type(all['process_resident_memory_bytes'], 'number')

  const buckets = Object.entries(all).filter(([name]) => name.startsWith('mintmark_database_poll_seconds_b'))
  const counts = buckets.map(([, count]) => count)
  t.strictSame(counts, counts.toSorted(), 'each bucket holds those below it')

  const response = await fetch(url)
  t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  t.equal(response.headers.get('cache-control'), 'no-store')
  const elsewhere = await fetch(new URL('/secrets?x=1', url))
  t.equal(elsewhere.status, 404)
  t.notMatch(await elsewhere.text(), /secrets/)
  t.equal((await server.request({ url: '/metrics' })).statusCode, 404, 'the public listener has none')
})

t.test('however many clients there are, the labels are bounded', t => {
  const counts = openCounts()
  for (let i = 0; i < 2000; i++) counts.ofGrant(`client-${i}`, 'refresh_token').granted++
  t.equal(counts.tokens.size, 501)
  t.equal(counts.tokens.get(otherClients)?.get('refresh_token')?.granted, 1500)
  counts.ofGrant('client-3', 'refresh_token').granted++
  t.equal(counts.tokens.get('client-3')?.get('refresh_token')?.granted, 2, 'those known keep theirs')
  t.end()
})

t.test('a server whose metrics have no port serves all the same, and shows them when it is free', async t => {
  const { port, release } = await holdPort()
  const env = { MINTMARK_PORT: '0', MINTMARK_METRICS_PORT: String(port) }
  const lines: string[] = []
  const log = openLog('info', { write: (line: string) => void lines.push(line) })
  const { url, close } = await serve(
    loadConfig(env, scratchFolder(t)),
    { ...systemClock(), now: () => startedAt },
    log,
  )
  t.equal((await fetch(`${url}/health/live`)).status, 200)
  const isLogged = (text: RegExp) => lines.some(line => text.test(line))
  while (!isLogged(/showing the metrics failed.*/)) await new Promise(resolve => setTimeout(resolve, 20))
  t.ok(isLogged(/set MINTMARK_METRICS_PORT to another port, or to 0 for none/), 'it says what to do')
  await release()
  while (!isLogged(/showing the metrics works again/)) await new Promise(resolve => setTimeout(resolve, 20))
  t.equal((await fetch(`http://127.0.0.1:${port}/metrics`)).status, 200)
  await close()
  await t.rejects(fetch(`http://127.0.0.1:${port}/metrics`), 'and ends with the server')
})
