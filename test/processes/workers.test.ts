import { once } from 'node:events'
import { copyFileSync, renameSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { hashesAtOnce } from '../../src/users/passwords.ts'
import * as count from '../../src/workers/count.ts'
import { openSums } from '../../src/workers/sums.ts'
import { commandLine, type RunningServer } from '../helpers/cli.ts'
import { freePort } from '../helpers/free-port.ts'
import { until } from '../helpers/server.ts'
import { isReady, readMetrics, twoWorkers, workersOf } from '../helpers/workers.ts'

/** The lines of the log so far. */
function linesOf(server: RunningServer): readonly Readonly<Record<string, unknown>>[] {
  const whole = server.said().split('\n').slice(0, -1)
  return whole.map(line => JSON.parse(line))
}

async function untilReady(server: RunningServer): Promise<void> {
  while (!(await isReady(server))) await sleep(20)
}

t.test('a connection that a worker was handed and has not taken is closed when it dies', async t => {
  const server = await commandLine(t).serve(twoWorkers)
  await untilReady(server)
  const [first = 0] = workersOf(server)
  process.kill(first, 'SIGSTOP')
  const { hostname, port } = new URL(server.url)
  const sockets = Array.from({ length: 4 }, () => connect(Number(port), hostname))
  const gone = sockets.map(socket => {
    socket.write('GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
    return Promise.race([text(socket), sleep(20_000, 'it waits', { ref: false })]).catch(() => '')
  })
  await Promise.race(gone)
  await sleep(200)
  process.kill(first, 'SIGKILL')
  const answers = await Promise.all(gone)
  t.equal(answers.filter(answer => answer === '').length, 1, 'one had been handed to the worker that stood')
  t.equal(answers.filter(answer => answer.startsWith('HTTP/1.1 200')).length, 3)
  for (const socket of sockets) socket.destroy()
})

t.test(
  'two workers are one server: one port, one readiness, one sum, and one that dies is replaced',
  async t => {
    const port = await freePort()
    const cli = commandLine(t)
    const server = await cli.serve({
      ...twoWorkers,
      MINTMARK_METRICS_PORT: String(port),
      MINTMARK_DRAIN: '1s',
    })
    await untilReady(server)
    const made = await cli.call(
      'client create --id ops --admin --grant client_credentials --scope admin:read --json',
    )
    const { client_id, client_secret } = made.json()
    const mint = async () => {
      const authorization = `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`
      const body = new URLSearchParams({ grant_type: 'client_credentials' })
      // A connection for each, so that each worker has some.
      return (
        await fetch(`${server.url}/token`, {
          method: 'POST',
          body,
          headers: { authorization, connection: 'close' },
        })
      ).status
    }
    while ((await mint()) !== 200) await sleep(50) // until both know the client
    await sleep(1100)
    const before = (await readMetrics(port))('mintmark_token_requests_total')
    for (let i = 0; i < 20; i++) t.equal(await mint(), 200)
    const counted = await readMetrics(port)
    t.equal(counted('mintmark_token_requests_total'), before + 20, 'what each has counted is added up')
    t.equal(counted('mintmark_workers'), 2)
    t.equal(counted('mintmark_signing_keys{alg="ES256",state="active"}'), 1, 'what both see is not')

    await sleep(1100) // workers tell their counts each second
    const [first = 0] = workersOf(server)
    process.kill(first, 'SIGKILL')
    await until(() => linesOf(server).some(({ event }) => event === 'worker_ended'))
    t.match(
      linesOf(server).find(({ event }) => event === 'worker_ended'),
      { level: 50, process_id: first, signal: 'SIGKILL', msg: /another one is started/ },
    )
    t.equal(await isReady(server), false, 'a server with a worker less is not ready')
    t.equal(await mint(), 200, 'and serves')
    await untilReady(server)
    const after = await readMetrics(port)
    t.equal(
      after('mintmark_token_requests_total'),
      before + 21,
      'what the dead one had counted is not forgotten',
    )
    t.strictSame([after('mintmark_workers '), after('mintmark_workers_replaced_total')], [2, 1])

    const workers = workersOf(server)
    t.equal(workers.length, 2)
    server.process.kill('SIGTERM')
    await until(() => linesOf(server).filter(({ msg }) => /^closing/.test(String(msg))).length === 2)
    t.equal(await isReady(server), false)
    t.equal(await mint(), 200, 'it serves while it drains')
    const [code] = await once(server.process, 'exit')
    t.equal(code, 0)
    t.equal(linesOf(server).filter(({ msg }) => msg === 'closed').length, 2)
    for (const worker of workers) t.throws(() => process.kill(worker, 0), { code: 'ESRCH' })
  },
)

/** Asks on a connection that is there before the answer is waited for. */
async function ask(server: RunningServer): Promise<{ readonly answer: Promise<string> }> {
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  socket.write('GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
  return { answer: text(socket).catch((error: unknown) => String(error)) }
}

t.test('a worker that starts takes no connection away, and one that cannot start ends nothing', async t => {
  const cli = commandLine(t)
  const node = join(cli.home, 'node')
  copyFileSync(process.execPath, node)
  const server = await cli.serve(twoWorkers, [node])
  await untilReady(server)
  const [busy = 0, dead = 0] = workersOf(server)
  // One worker takes nothing while the other is replaced: connections wait for the new one.
  process.kill(busy, 'SIGSTOP')
  process.kill(dead, 'SIGKILL')
  await until(() => linesOf(server).some(({ event }) => event === 'worker_ended'))
  const asked = []
  for (let i = 0; i < 4; i++) asked.push((await ask(server)).answer)
  const first = await Promise.race([sleep(20_000, 'nothing'), Promise.any(asked.slice(1))])
  t.match(first, /^HTTP\/1.1 200/, 'a worker that starts answers what it takes')
  process.kill(busy, 'SIGCONT')
  for (const answer of await Promise.all(asked)) t.match(answer, /^HTTP\/1.1 200/)
  await untilReady(server)

  // No process can be started for a moment.
  renameSync(node, `${node}-away`)
  process.kill(workersOf(server)[0] ?? 0, 'SIGKILL')
  await until(() => linesOf(server).some(({ msg }) => msg === 'a worker cannot be reached'))
  renameSync(`${node}-away`, node)
  // Told to end, while another worker starts.
  await until(() => workersOf(server).length === 2)
  server.process.kill('SIGTERM')
  const [code] = await once(server.process, 'exit')
  t.equal(code, 0)
})

t.test('a signal ends a server that starts, and waits for nothing', async t => {
  const settings = { ...twoWorkers, MINTMARK_PORT: '0', MINTMARK_METRICS_PORT: '0' }
  const child = commandLine(t).start(['serve'], settings)
  t.teardown(() => child.kill('SIGKILL'))
  const said = text(child.stderr)
  await until(() => workersOf({ process: child }).length === 1)
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
  t.equal(await said, '')
})

t.test('what keeps the first worker from serving is said once', async t => {
  const cli = commandLine(t)
  const server = await cli.serve(twoWorkers)
  const { port } = new URL(server.url)
  const second = await cli.run('serve', {
    env: { ...twoWorkers, MINTMARK_PORT: port, MINTMARK_METRICS_PORT: '0' },
  })
  t.equal(second.code, 1)
  t.match(second.stderr, /^mintmark serve: [^\n]*the address is in use[^\n]*\n$/)
})

t.test('the workers of a primary that is gone end too', async t => {
  const server = await commandLine(t).serve(twoWorkers)
  await untilReady(server)
  const workers = workersOf(server)
  server.process.kill('SIGKILL')
  for (const worker of workers) {
    await until(() => {
      try {
        return !process.kill(worker, 0)
      } catch {
        return true
      }
    })
  }
  t.equal(workers.length, 2)
})

t.test('as many workers as there are cores, as far as the database gains by it', async t => {
  const config = (env: Record<string, string>) =>
    loadConfig(
      Object.fromEntries(Object.entries(env).map(([name, value]) => [`MINTMARK_${name}`, value])),
      '/',
    )
  const postgres = { DATABASE_URL: 'postgres://mintmark@localhost/mintmark' }
  t.equal(count.workersOf(config({}), 1), 1)
  t.equal(count.workersOf(config({}), 8), 1)
  t.equal(count.workersOf(config(postgres), 3), 2)
  t.equal(count.workersOf(config(postgres), 1), 1)
  t.equal(count.workersOf(config(postgres), 64), 4)
  t.equal(count.workersOf(config({ ...postgres, DATABASE_POOL_SIZE: '20' }), 64), 10)
  t.equal(count.workersOf(config({ WORKERS: '5' }), 1), 5)
  t.equal(hashesAtOnce(1, 2), 1)
  t.equal(hashesAtOnce(1, 64), 3)
  t.equal(hashesAtOnce(4, 64), 3)
  t.equal(hashesAtOnce(4, 8), 1)
  t.equal(count.shareOf(config({ ...postgres, DATABASE_POOL_SIZE: '20' }), 5).databasePoolSize, 4)
  t.equal(count.shareOf(config(postgres), 5).databasePoolSize, 2)
})

t.test('what a worker that has ended was doing is not added to what others do', async t => {
  const sums = openSums()
  const metric = (name: string, type: string, value: number) =>
    ({ name, help: name, type, aggregator: 'sum', values: [{ value, labels: {} }] }) as never
  sums.note(1, [metric('done', 'counter', 3), metric('doing', 'gauge', 2)])
  sums.note(2, [metric('done', 'counter', 4), metric('doing', 'gauge', 5)])
  await sums.leave(1)
  await sums.leave(1)
  const text = await sums.text([metric('done', 'counter', 10)])
  t.match(text, /^done 17$/m)
  t.match(text, /^doing 5$/m)
})
