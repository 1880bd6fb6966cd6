import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openDestination, openLog } from '../../src/record/log.ts'
import { bareEnv } from '../helpers/bare-env.ts'
import { builtProgram } from '../helpers/built-program.ts'
import { commandLine, issuer } from '../helpers/cli.ts'
import { freePort, holdPort } from '../helpers/free-port.ts'
import { startKeepingProxy } from '../helpers/keeping-proxy.ts'
import { isTurn, shareOf } from '../helpers/runs.ts'
import { scratchFolder } from '../helpers/scratch.ts'

const source = join(import.meta.dirname, '../../src')

/** Starts `mintmark` with streams of the test's own, and kills it in the end. */
function start(t: Test, args: readonly string[], { env = {}, stdio }: StartOptions): ChildProcess {
  const home = join(t.testdir({}), 'home')
  mkdirSync(home)
  const child = spawn(process.execPath, [builtProgram(), ...args], {
    env: {
      ...bareEnv,
      MINTMARK_HOME: home,
      MINTMARK_ISSUER: issuer,
      MINTMARK_METRICS_PORT: '0',
      MINTMARK_DRAIN: '0',
      ...env,
    },
    stdio,
  })
  t.teardown(() => void child.kill('SIGKILL'))
  return child
}

interface StartOptions {
  readonly env?: Record<string, string>
  readonly stdio: ('pipe' | 'ignore' | number)[]
}

async function answers(url: string): Promise<number | undefined> {
  const response = await fetch(url).catch(() => undefined)
  await response?.text()
  return response?.status
}

async function served(url: string): Promise<void> {
  while ((await answers(url)) === undefined) await sleep(20)
}

/** How it ended, as `exit 0` or `SIGTERM`. */
async function end(child: ChildProcess): Promise<string> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.signalCode ?? `exit ${child.exitCode}`
}

t.test('a log that nobody reads, or no disk takes, costs lines and never the server', async t => {
  const cases = [
    {
      title: 'its reader has gone away',
      stderr: 'pipe',
      then: (child: ChildProcess) => child.stderr?.destroy(),
    },
    { title: 'its reader is stuck', stderr: 'pipe', then: (child: ChildProcess) => child.stderr?.pause() },
    { title: 'the disk is full', stderr: openSync('/dev/full', 'w'), then: () => {} },
  ] as const
  for (const { title, stderr, then } of cases) {
    await t.test(title, async t => {
      const [port, metrics] = [await freePort(), await freePort()]
      const child = start(t, ['serve'], {
        env: {
          MINTMARK_PORT: String(port),
          MINTMARK_METRICS_PORT: String(metrics),
          MINTMARK_LOG_LEVEL: 'trace',
        },
        stdio: ['ignore', 'ignore', stderr],
      })
      then(child)
      const url = `http://127.0.0.1:${port}/health/live`
      await served(url)
      // A stuck reader has a pipe of 64 KiB, and what waits in memory is bounded.
      const lost = async () =>
        Number(
          /^mintmark_log_lines_lost_total (\d+)$/m.exec(
            await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text(),
          )?.[1],
        )
      while (!((await lost()) > 0)) {
        const statuses = await Promise.all(Array.from({ length: 200 }, () => answers(url)))
        if (statuses.some(status => status !== 200)) return t.fail('every request is answered')
      }
      t.equal(await answers(url), 200, 'it serves on')
      child.kill('SIGTERM')
      t.equal(await end(child), 'exit 0', 'and ends when it is told to')
    })
  }
})

t.test('lines that are lost are told of when lines can be written again, and none is torn', async t => {
  let written = ''
  let room = Infinity
  let failure: string | undefined
  const write = (_fd: number, bytes: Buffer) => {
    if (failure !== undefined) throw Object.assign(new Error(failure), { code: failure })
    if (room === 0) throw Object.assign(new Error('full'), { code: 'EAGAIN' })
    const taken = bytes.subarray(0, room)
    written += String(taken)
    room -= taken.length
    return taken.length
  }
  const destination = openDestination(2, write)
  const told: number[] = []
  destination.onRecovery(lost => told.push(lost))

  room = 5
  destination.write('one line\n')
  destination.write('two\n')
  t.equal(written, 'one l', 'as much as the reader takes')
  room = Infinity
  destination.flush()
  t.equal(written, 'one line\ntwo\n', 'and the rest when it takes more')
  t.strictSame(told, [])

  room = 3
  destination.write('three\n')
  failure = 'ENOSPC'
  destination.write('four\n')
  destination.write('five\n')
  t.equal(destination.linesLost(), 3)
  failure = undefined
  room = Infinity
  destination.write('six\n')
  t.equal(written, 'one line\ntwo\nthr\nsix\n', 'a line of its own after one that was torn')
  t.strictSame(told, [3], 'told once')
  destination.write('seven\n')
  t.strictSame(told, [3])

  room = 0
  const long = `${'x'.repeat(99_999)}\n`
  for (let i = 0; i < 20; i++) destination.write(long)
  t.equal(destination.linesLost(), 3 + 10, 'what waits is bounded: 1 MiB')
  room = Infinity
  destination.flush()
  t.ok(written.endsWith(`seven\n${long.repeat(10)}`))
  t.strictSame(told, [3, 10])
})

t.test('how many lines are lost is told in the end, though the line that tells it be lost too', async t => {
  let [written, isFull] = ['', true]
  const destination = openDestination(2, (_fd, bytes) => {
    if (isFull) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    written += bytes.toString()
    return bytes.length
  })
  destination.onRecovery(lost => void destination.write(`${lost} lost\n`))
  destination.write('one\n')
  destination.flush() // again and again, also while nothing waits
  destination.flush()
  t.equal(destination.linesLost(), 3)
  isFull = false
  destination.flush()
  t.equal(written, '3 lost\n')
  destination.flush()
  t.equal(written, '3 lost\n', 'once')
})

t.test('the log itself says how many of its lines are lost', async t => {
  const file = join(t.testdir({ log: '' }), 'log')
  const log = openLog('info', {
    fd: openSync(file, 'a'),
    write: () => t.fail('the descriptor is written to'),
  })
  log.info('kept')
  t.equal(log.linesLost(), 0)
  t.match(readFileSync(file, 'utf8'), /^\{.*"msg":"kept"\}\n$/)
})

t.test('what a command prints to nobody does not end what it does', async t => {
  for (const stdio of [
    ['ignore', 'pipe', 'ignore'],
    ['ignore', openSync('/dev/full', 'w'), 'ignore'],
  ] as const) {
    const port = await freePort()
    const child = start(t, ['dev'], { env: { MINTMARK_PORT: String(port) }, stdio: [...stdio] })
    child.stdout?.destroy()
    const url = `http://127.0.0.1:${port}/health/ready`
    await served(url)
    await sleep(100)
    t.equal(await answers(url), 200, 'dev serves')
    child.kill('SIGTERM')
    t.match(await end(child), /^exit [01]$/)
  }
})

t.test('signals: four ask it to end, two mean nothing, and no debugger is opened', async t => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) {
    const { serve } = commandLine(t, join(scratchFolder(t), signal))
    const { process: child, url, said } = await serve()
    for (const nothing of ['SIGUSR1', 'SIGUSR2'] as const) child.kill(nothing)
    await sleep(50)
    t.equal(await answers(`${url}/health/ready`), 200, 'SIGUSR1 and SIGUSR2 are ignored')
    const slow = connect(Number(new URL(url).port), '127.0.0.1')
    const body = 'client_id=nobody&grant_type=password'
    slow.write(`POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n`)
    slow.write(`Content-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`)
    const answer = text(slow)
    await sleep(100)
    child.kill(signal)
    while (!said().includes('"closing:')) await sleep(10)
    slow.write(body.slice(5))
    t.match(await answer, /^HTTP\/1\.1 401 .*connection: close.*"invalid_client"/is, `${signal}: in flight`)
    t.equal(await end(child), 'exit 0', `${signal} ends it`)
    t.match(said(), new RegExp(`"signal":"${signal}".*"closed"`, 's'))
    t.notMatch(said(), /Debugger/)
  }
})

t.test('a second signal ends it at once, but one that npm has passed on is the same', async t => {
  const { serve } = commandLine(t)
  const { process: child, url, said } = await serve({ MINTMARK_DRAIN: '10m' })
  // Until it has answered, a signal may still be one of the start.
  t.equal(await answers(`${url}/health/live`), 200)
  child.kill('SIGINT')
  child.kill('SIGINT')
  while (!said().includes('"closing:')) await sleep(10)
  child.kill('SIGINT')
  t.equal(await answers(`${url}/health/live`), 200, 'it drains')
  await sleep(600)
  child.kill('SIGINT')
  t.equal(await end(child), 'SIGINT')
})

t.test(
  'a signal while it starts, or to a command, ends it, also as the first process of a container',
  async t => {
    // A database that takes connections and never answers keeps the start waiting, past its first line.
    const sockets = new Set<Socket>()
    const silent = createServer(socket => void sockets.add(socket)).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    t.teardown(() => {
      for (const socket of sockets) socket.destroy()
      silent.close()
    })
    const { port } = silent.address() as AddressInfo
    const env = {
      ...bareEnv,
      MINTMARK_HOME: t.testdir(),
      MINTMARK_ISSUER: issuer,
      MINTMARK_DATABASE_URL: `postgres://a@127.0.0.1:${port}/a`,
    }
    const mayUnshare = spawn('unshare', ['--pid', '--fork', 'true'])
    const [code] = await once(mayUnshare, 'close').catch(() => [1])
    if (code !== 0) t.comment('this system lets us make no process 1: only others are looked at')
    for (const asFirst of code === 0 ? [false, true] : [false]) {
      for (const [i, args] of [['serve'], ['client', 'list']].entries()) {
        for (const [way, signal] of (['SIGTERM', 'SIGINT'] as const).entries()) {
          if (!isTurn(i + Number(asFirst), way, 2)) continue
          const connected = once(silent, 'connection')
          const command = [process.execPath, builtProgram(), ...args]
          const child = asFirst
            ? spawn('unshare', ['--pid', '--fork', ...command], { env, stdio: 'ignore' })
            : spawn(process.execPath, command.slice(1), { env, stdio: 'ignore' })
          t.teardown(() => void child.kill('SIGKILL'))
          await connected
          const pid = asFirst
            ? Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8'))
            : Number(child.pid)
          process.kill(pid, signal)
          const ended = asFirst ? (signal === 'SIGTERM' ? 'exit 143' : 'exit 130') : signal
          t.equal(await end(child), ended, `${asFirst ? 'process 1: ' : ''}${args.join(' ')} and ${signal}`)
        }
      }
    }
  },
)

t.test('whoever is connected, it ends: without a request, and byte by byte', async t => {
  const { serve } = commandLine(t)
  const { process: child, url } = await serve()
  const port = Number(new URL(url).port)
  const head = 'POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n'
  const openings = ['', head, `${head}Content-Length: 1000\r\n\r\n`]
  const sockets = openings.map(opening => {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    if (opening !== '') socket.write(opening)
    return socket
  })
  const dripping = setInterval(() => {
    for (const socket of sockets.slice(1)) socket.write('a')
  }, 500)
  t.teardown(() => clearInterval(dripping))
  await Promise.all(sockets.map(socket => once(socket, 'connect')))
  await sleep(600)
  child.kill('SIGTERM')
  t.equal(await end(child), 'exit 0')
})

t.test('a command is ended in the middle of a step that holds up its event loop', async t => {
  const busy = `import { writeSync } from 'node:fs'
    import { obeySignals } from ${JSON.stringify(join(source, 'signals.ts'))}
    import { systemClock } from ${JSON.stringify(join(source, 'clock.ts'))}
    obeySignals(systemClock())(() => {})()
    writeSync(1, 'busy')
    for (;;);`
  // By another program, since tap puts handlers of its own into each Node.js that a test starts.
  const command = ['-u', 'NODE_OPTIONS', process.execPath, '--input-type=module', '--eval', busy]
  const child = spawn('env', command, { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => void child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  child.kill('SIGTERM')
  t.equal(await end(child), 'SIGTERM')
})

t.test('dev --json says what there is to try', async t => {
  const { start } = commandLine(t)
  const child = start(['dev', '--json'], { MINTMARK_PORT: '0', MINTMARK_METRICS_PORT: '0' })
  child.stderr.resume()
  let said = ''
  for await (const chunk of child.stdout) {
    said += String(chunk)
    if (said.endsWith('}\n')) break
  }
  const { url, demo } = JSON.parse(said)
  const form = { grant_type: 'password', ...demo }
  const answer = await fetch(`${url}/token`, { method: 'POST', body: new URLSearchParams(form) })
  t.match(await answer.json(), { token_type: 'Bearer' })
  t.match(demo.curl, `curl -sS ${url}/token -u demo:${demo.client_secret} `)
  t.equal(demo.log_in_url, 'http://127.0.0.1:3000')
  const [{ private_key_file }] = demo.apps
  t.match(JSON.parse(readFileSync(private_key_file, 'utf8')), { kty: 'EC', d: /./ })
  child.kill('SIGTERM')
  t.equal(await end(child), 'exit 0')
})

t.test('serve --json says where it listens', async t => {
  const { start } = commandLine(t)
  const child = start(['serve', '--json'], {
    MINTMARK_PORT: '0',
    MINTMARK_METRICS_PORT: '0',
    MINTMARK_DRAIN: '0',
  })
  child.stderr.resume()
  let said = ''
  for await (const chunk of child.stdout) {
    said += String(chunk)
    if (said.endsWith('}\n')) break
  }
  const { url, ...rest } = JSON.parse(said)
  t.strictSame(rest, {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    metrics_url: null,
    process_id: child.pid,
  })
  t.equal(await answers(`${url}/health/ready`), 200)
  child.kill('SIGTERM')
  await end(child)
})

t.test(
  'servers are restarted in turn behind a proxy that keeps connections, and nobody sees a 502',
  async t => {
    const { serve } = commandLine(t)
    const proxy = await startKeepingProxy(t)
    const begin = () => serve({ MINTMARK_DRAIN: '1s' })
    const first = await begin()
    let running = [first, await begin()]
    proxy.servers = running.map(({ url }) => url)
    while ((await answers(`${proxy.url}/health/ready`)) !== 200) await sleep(20)

    const statuses = new Map<number | undefined, number>()
    let isOver = false
    const load = Array.from({ length: 16 }, async () => {
      while (!isOver) {
        const status = await answers(`${proxy.url}/.well-known/jwks.json`)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        // A machine that has nothing left takes long to start the next.
        await sleep(40)
      }
    })
    for (let restart = 0; restart < shareOf(8); restart++) {
      const [oldest, other] = running
      if (!oldest || !other) throw new Error('unreachable: there are two')
      oldest.process.kill('SIGTERM')
      t.equal(await end(oldest.process), 'exit 0')
      running = [other, await begin()]
      proxy.servers = running.map(({ url }) => url)
      while ((await answers(`${running[1]?.url}/health/ready`)) !== 200) await sleep(20)
      await sleep(300)
    }
    isOver = true
    await Promise.all(load)
    t.strictSame([...statuses.keys()], [200], `${statuses.get(200)} requests, each answered`)
  },
)

t.test('where the system allows for too few files, the start says how many it takes', async t => {
  const home = t.testdir()
  const child = spawn(
    'sh',
    ['-c', `ulimit -n 150; exec "$0" "$@"`, process.execPath, builtProgram(), 'serve'],
    {
      env: { ...bareEnv, MINTMARK_HOME: home, MINTMARK_METRICS_PORT: '0', MINTMARK_PORT: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  t.match(
    await text(child.stderr),
    /^mintmark serve: this process may open 150 files, but needs 200 for 100 connections: raise/m,
  )
  t.equal(await end(child), 'exit 1')
})

t.test('a command whose reader has gone away does what it was told to', async t => {
  const { home, call, start } = commandLine(t)
  await call('db migrate')
  const child = start(['db', 'adopt', '--moved', '--yes'], { MINTMARK_ISSUER: 'https://new.example' })
  child.stderr.destroy()
  child.stdout.destroy()
  child.stdin.end()
  t.match(await end(child), /^exit [01]$/)
  const status = await call('db status --json', { env: { MINTMARK_ISSUER: 'https://new.example' } })
  t.match(status.json(), { issuer: 'https://new.example' }, home)
})

t.test(
  'a start on a port that is taken makes nothing, and the port of before is named where another is set',
  async t => {
    const { port, release } = await holdPort()
    t.teardown(release)
    const { home, run, call } = commandLine(t, join(scratchFolder(t), 'home'))
    const env = (port: number | string) => ({
      MINTMARK_ISSUER: '',
      MINTMARK_PORT: String(port),
      MINTMARK_METRICS_PORT: '0',
    })
    for (const command of ['serve', 'dev']) {
      const outcome = await run(command, { env: env(port) })
      t.match(outcome, { code: 1, stderr: /the address is in use/ }, command)
    }
    t.notOk(existsSync(home), 'there is no installation yet')
    await call('db migrate', { env: env(9415) })
    t.match(await call('client list', { env: env(9417) }), {
      code: 1,
      stderr:
        /belongs to the issuer http:\/\/127\.0\.0\.1:9415, .* set MINTMARK_PORT=9415, which it follows, or/,
    })
  },
)
