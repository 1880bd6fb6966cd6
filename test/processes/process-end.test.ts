import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { commandLine } from '../helpers/cli.ts'
import { postgresEnv } from '../helpers/engines.ts'
import { freePort } from '../helpers/free-port.ts'
import { startProxy } from '../helpers/proxy.ts'

t.jobs = 3

/** How it ended, and after how many milliseconds. */
async function end(child: ChildProcess): Promise<[code: number | null, milliseconds: number]> {
  const startedAt = performance.now()
  child.kill('SIGTERM')
  await once(child, 'exit')
  return [child.exitCode, performance.now() - startedAt]
}

async function open(t: Test, port: number, sent = ''): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  if (sent !== '') socket.write(sent)
  return socket
}

t.test('who reads the metrics byte by byte does not keep a server from its end', async t => {
  const metrics = await freePort()
  const server = await commandLine(t).serve({ MINTMARK_METRICS_PORT: String(metrics) })
  const isShown = () =>
    fetch(`http://127.0.0.1:${metrics}/metrics`).then(
      () => true,
      () => false,
    )
  while (!(await isShown())) await sleep(20)
  await open(t, metrics)
  const socket = await open(t, metrics, 'GET /metrics HTTP/1.1\r\nHost: x\r\nX: ')
  const dripping = setInterval(() => socket.write('x'), 300)
  t.teardown(() => clearInterval(dripping))
  await sleep(600)
  const [code, milliseconds] = await end(server.process)
  t.equal(code, 0)
  t.ok(milliseconds < 15_000, `it took ${Math.round(milliseconds)} ms`)
})

t.test('a connection on which nothing was ever asked is not waited for', async t => {
  const server = await commandLine(t).serve()
  await open(t, Number(new URL(server.url).port))
  await sleep(100)
  const [code, milliseconds] = await end(server.process)
  t.equal(code, 0)
  t.ok(milliseconds < 10_000, `it took ${Math.round(milliseconds)} ms`)
})

t.test('a server that drains is not ready, and the log has no error about it', async t => {
  const server = await commandLine(t).serve({ MINTMARK_DRAIN: '1s' })
  const ended = once(server.process, 'exit')
  // Until it has answered, a signal may still be one of the start.
  await (await fetch(`${server.url}/health/live`)).text()
  server.process.kill('SIGTERM')
  while (!server.said().includes('"closing:')) await sleep(5)
  const response = await fetch(`${server.url}/health/ready`)
  t.strictSame(
    [response.status, response.headers.get('retry-after'), response.headers.get('connection')],
    [503, '1', 'close'],
  )
  t.match(await response.json(), { error: 'temporarily_unavailable', error_description: /about to end/ })
  await ended
  t.notMatch(server.said(), /"level":[456]0/)
})

t.test('a PostgreSQL that does not answer any more does not keep a server from its end', async t => {
  const env = await postgresEnv()
  const url = new URL(env['MINTMARK_DATABASE_URL'] ?? '')
  const proxy = await startProxy(t, Number(url.port))
  url.host = `127.0.0.1:${proxy.port}`
  const cli = commandLine(t)
  const settings = { ...env, MINTMARK_DATABASE_URL: url.href }
  await cli.call('key new-root', { env: settings })
  const server = await cli.serve(settings)
  proxy.freeze()
  await sleep(1500)
  const [code, milliseconds] = await end(server.process)
  t.comment(`exit ${code} after ${Math.round(milliseconds)} ms`)
  t.ok(milliseconds < 21_000, `it took ${Math.round(milliseconds)} ms`)
  t.match(server.said(), /did not come to its end|"msg":"closed"/)
})
