import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bareEnv } from '../helpers/bare-env.ts'
import { builtProgram } from '../helpers/built-program.ts'
import { issuer } from '../helpers/cli.ts'
import { freePort } from '../helpers/free-port.ts'
import { skipSmallDisk, smallDisk } from '../helpers/small-disk.ts'

t.jobs = 2

/** A server whose stderr is this. Its port cannot be read from its log. */
async function serveInto(
  t: Test,
  stderr: number | 'ignore',
  home = t.testdir(),
  [command = process.execPath, ...args]: readonly string[] = [process.execPath],
) {
  const [port, metricsPort] = [await freePort(), await freePort()]
  const child = spawn(command, [...args, builtProgram(), 'serve', '--json'], {
    env: {
      ...bareEnv,
      MINTMARK_HOME: home,
      MINTMARK_ISSUER: issuer,
      MINTMARK_PORT: String(port),
      MINTMARK_METRICS_PORT: String(metricsPort),
      MINTMARK_DRAIN: '0',
    },
    stdio: ['ignore', 'pipe', stderr],
  })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  const lost = async () => {
    // It shows its metrics a moment later.
    const text = await fetch(`http://127.0.0.1:${metricsPort}/metrics`).then(
      response => response.text(),
      () => '',
    )
    return Number(/^mintmark_log_lines_lost_total (\d+)$/m.exec(text)?.[1] ?? NaN)
  }
  while (Number.isNaN(await lost())) await sleep(20)
  return {
    child,
    lost,
    /** Sends so many requests that are refused, each of which the log has a line for. */
    refuse: async (count: number) => {
      for (let i = 0; i < count; i++) {
        const response = await fetch(`http://127.0.0.1:${port}/nothing`)
        t.equal(response.status, 404)
        await response.text()
      }
    },
    end: async () => {
      child.kill('SIGTERM')
      await once(child, 'exit')
      t.equal(child.exitCode, 0, 'it ends when it is told to')
    },
  }
}

t.test('when the log can be written again, one line says how much was lost', async t => {
  const fifo = join(t.testdir(), 'log')
  if (spawnSync('mkfifo', [fifo]).status !== 0) return t.pass('there are no named pipes here')
  const open = () => openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const first = open()
  const writer = openSync(fifo, 'w')
  const { lost, refuse, end } = await serveInto(t, writer, join(t.testdirName, 'home'))
  closeSync(writer)
  closeSync(first)
  await refuse(5)
  // A server that is slow may have had something to say by itself.
  t.ok((await lost()) >= 5)
  const second = open()
  await refuse(2)
  const buffer = Buffer.alloc(65_536)
  const lines = buffer
    .toString('utf8', 0, readSync(second, buffer))
    .trimEnd()
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))
  const told = { event: 'log_lines_lost', lost: await lost() }
  t.match(lines.slice(-3), [{ status: 404 }, told, { status: 404 }])
  closeSync(second)
  await end()
})

t.test(
  'a full disk takes the log, and not the server; with room again, the log goes on with a whole line',
  { skip: skipSmallDisk },
  async t => {
    const home = t.testdir({ disk: {} })
    const disk = smallDisk(join(home, 'disk'))
    const { child, lost, refuse, end } = await serveInto(t, 'ignore', home, disk.start('exec "$@" 2>log'))
    disk.fill(child)
    while (!((await lost()) > 20)) await refuse(10)
    disk.free(child)
    await refuse(1)
    const missing = await lost()
    await refuse(1)
    const lines = disk.read(child, 'log').split('\n')
    const whole = lines.flatMap(line => (line.endsWith('}') ? [JSON.parse(line)] : []))
    t.match(whole.at(-3), { status: 404 })
    t.match(whole.at(-2), { event: 'log_lines_lost' })
    t.match(whole.at(-1), { status: 404 })
    // While the room comes back, a short line may fit before a long one does.
    const told = whole.filter(({ event }) => event === 'log_lines_lost').map(({ lost }) => Number(lost))
    t.equal(
      told.reduce((sum, lost) => sum + lost, 0),
      missing,
      'all that were lost are told of',
    )
    await end()
  },
)
