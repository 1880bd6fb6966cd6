import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { startFleet } from '../helpers/fleet.ts'
import { freePort } from '../helpers/free-port.ts'
import { isReady, readMetrics, twoWorkers, workersOf } from '../helpers/workers.ts'

const minutes = Number(process.env['SOAK_MINUTES'] ?? 10)

await forEachEngine(t, 'workers are killed at random, and no session is lost', async (t, env) => {
  const fleet = await startFleet(t, env)
  const port = await freePort()
  const server = await fleet.start({ ...twoWorkers, MINTMARK_METRICS_PORT: String(port) })
  const clients = await fleet.logIn(20)
  const load = fleet.load(clients)
  const endsAt = performance.now() + minutes * 60_000
  let kills = 0
  while (performance.now() < endsAt) {
    await sleep(500 + Math.random() * 4000)
    // Else it would end, where it is killed faster than it can start.
    while (!(await isReady(server))) await sleep(50)
    const workers = workersOf(server)
    const unlucky = workers[Math.floor(Math.random() * workers.length)]
    if (unlucky === undefined) continue
    process.kill(unlucky, 'SIGKILL')
    kills++
    if (kills % 20 === 0) t.comment(`${kills} kills, ${load.refreshed()} refreshes`)
  }
  while (!(await isReady(server))) await sleep(50)
  t.strictSame(await load.stop(), [], 'no honest client was ever refused')
  const shown = await readMetrics(port)
  t.equal(shown('mintmark_workers_replaced_total'), kills)
  const counted = shown('mintmark_refresh_verdicts_total{verdict="rotated"}')
  const answered = load.refreshed()
  // A worker that is killed takes what it has counted since it last told, up to a second ago, with it.
  t.ok(counted <= answered + load.delayed(), `${counted} were counted, ${answered} answered`)
  t.ok(counted >= answered * (1 - kills / (minutes * 60)), `${counted} were counted, ${answered} answered`)

  // While none dies, each is counted.
  const calm = fleet.load(clients)
  await calm.progress(20)
  t.strictSame(await calm.stop(), [])
  const after = (await readMetrics(port))('mintmark_refresh_verdicts_total{verdict="rotated"}')
  t.equal(after - counted, calm.refreshed())
  await server.kill('SIGTERM')
  t.equal(server.process.exitCode, 0)
})

t.test('workers that cannot start end the server, with a reason', async t => {
  const cli = commandLine(t)
  const server = await cli.serve(twoWorkers)
  while (!(await isReady(server))) await sleep(20)
  writeFileSync(join(cli.home, 'keys/root.key'), 'no key')
  process.kill(workersOf(server)[0] ?? 0, 'SIGKILL')
  const [code] = await once(server.process, 'exit')
  t.equal(code, 1)
  t.match(server.said(), /root key/)
  const lines = server.said().split('\n')
  const own = lines.filter(line => line.startsWith('{')).map(line => JSON.parse(line))
  t.ok(own.filter(({ event }) => event === 'worker_ended').length >= 10)
  const reason = '10 workers in a row ended as soon as they had started: the server ends'
  t.match(
    own.findLast(({ level }) => level === 60),
    { msg: reason },
  )
})
