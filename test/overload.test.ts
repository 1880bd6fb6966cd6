import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { buildApp } from '../src/app.ts'
import { limitConnections } from '../src/http/connections.ts'
import { openBrake, refusalsAtOnce } from '../src/http/flood.ts'
import { openPressure, pressureLimits, sampleMilliseconds, type Rank } from '../src/http/pressure.ts'
import { openPasswords } from '../src/log-ins/passwords.ts'
import { isOAuthError, startServer, type TestServer } from './helper.ts'

/** What each rank is asked for with. */
async function openRanks(server: TestServer) {
  const client = await server.client('web')
  const user = await server.user()
  const { refresh_token, access_token } = await server.logIn(client, user)
  const { username, password } = user
  const forms: [path: string, rank: Rank, form: Record<string, string>][] = [
    ['/token', 'log_in', { grant_type: 'password', username, password }],
    ['/token', 'other', { grant_type: 'client_credentials' }],
    ['/introspect', 'other', { token: access_token }],
    ['/token', 'refresh', { grant_type: 'refresh_token', refresh_token }],
    ['/revoke', 'refresh', { token: 'unknown' }],
  ]
  return { client, forms }
}

const ranks = ['log_in', 'other', 'refresh'] as const

t.test('when there is too much to do, log-ins are refused first and refreshes last', async t => {
  const server = await startServer(t)
  const { client, forms } = await openRanks(server)
  let now = 0
  const pressure = openPressure(() => now)
  const app = buildApp({ ...server.ctx, pressure })
  t.teardown(() => app.close())
  const check = async (refused: readonly Rank[], title: string) => {
    for (const [url, rank, form] of forms) {
      const payload = new URLSearchParams({ ...form, ...client.form }).toString()
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      const answer = await app.inject({ method: 'POST', url, payload, headers })
      const full = `${title}: ${url} ${form['grant_type'] ?? ''}`
      if (refused.includes(rank)) isOAuthError(t, answer, 503, 'temporarily_unavailable', full)
      else t.equal(answer.statusCode, 200, full)
    }
    for (const url of ['/.well-known/jwks.json', '/health/live'])
      t.equal((await app.inject({ url })).statusCode, 200, `${title}: ${url}`)
  }
  const late = (milliseconds: number) => {
    now += sampleMilliseconds + milliseconds
    pressure.sample()
  }

  await check([], 'calm')
  late(0)
  ranks.forEach(() => late(0))
  late(60_000)
  t.equal(pressure.stalled(), 60_000)
  await check([], 'a pause of the whole machine is over when it is seen')
  late(0)
  for (const [i, rank] of ranks.entries()) {
    late(pressureLimits[rank].late - 1)
    late(pressureLimits[rank].late - 1)
    await check(ranks.slice(0, i), `not yet too late for ${rank}`)
    late(pressureLimits[rank].late)
    late(pressureLimits[rank].late)
    await check(ranks.slice(0, i + 1), `too late for ${rank}`)
  }
  late(0)
  await check([], 'over')

  const held: (() => void)[] = []
  const hold = () => pressure.admit('refresh', () => new Promise<void>(done => held.push(done)))
  const holding: Promise<void>[] = []
  for (const [i, rank] of ranks.entries()) {
    while (pressure.underWay() < pressureLimits[rank].underWay - 1) holding.push(hold())
    await check(ranks.slice(0, i), `not yet too many for ${rank}`)
    holding.push(hold())
    await check(ranks.slice(0, i + 1), `too many under way for ${rank}`)
  }
  for (const done of held) done()
  await Promise.all(holding)
  t.equal(pressure.underWay(), 0, 'also those that were refused are not counted for ever')
  await check([], 'done')
})

t.test('in a flood of log-ins, those that are refused wait a moment, and refreshes do not', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const user = await server.user()
  const { refresh_token } = await server.logIn(client, user)
  const { rootKeys } = server.ctx
  const full = { pepperOf: rootKeys.pepperOf, currentRootKeyId: () => rootKeys.currentId }
  const passwords = openPasswords({ ...full, concurrency: 0, waitingMax: 0 })
  let now = 0
  const app = buildApp({ ...server.ctx, passwords, brake: openBrake(() => now) })
  t.teardown(() => app.close())
  const answered: string[] = []
  const send = async (name: string, form: Record<string, string>, status: number) => {
    const payload = new URLSearchParams({ ...form, ...client.form }).toString()
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const answer = await app.inject({ method: 'POST', url: '/token', payload, headers })
    t.equal(answer.statusCode, status, name)
    answered.push(name)
  }
  const logIn = (name: string) =>
    send(name, { grant_type: 'password', username: user.username, password: user.password }, 503)
  const flood = Array.from({ length: refusalsAtOnce + 5 }, (_, i) => logIn(`log-in ${i}`))
  await send('refresh', { grant_type: 'refresh_token', refresh_token }, 200)
  now += 1000
  await logIn('the next second')
  await Promise.all(flood)
  const held = answered.slice(answered.indexOf('refresh')).filter(name => name.startsWith('log-in'))
  t.equal(held.length, 5, 'as many as honest users cause are told at once')
  t.strictSame(
    answered.slice(-5),
    held,
    'the others after the refresh, and after who is refused when the flood is over',
  )
})

/** Connects from an address of the loopback network, all of which lead to the same server. */
async function openSocket(t: Test, port: number, localAddress: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress }).on('error', () => {})
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

const get = 'GET / HTTP/1.1\r\nHost: x\r\n'

/** The status of one request on a connection of its own; undefined when it is cut off. */
async function statusFrom(t: Test, port: number, localAddress: string): Promise<string | undefined> {
  const socket = await openSocket(t, port, localAddress)
  socket.write(`${get}Connection: close\r\n\r\n`)
  return /^HTTP\/1\.1 (\d+)/.exec(await text(socket).catch(() => ''))?.[1]
}

t.test('half-open connections of one source leave room for others, and idle ones make room', async t => {
  const { ctx } = await startServer(t, { MINTMARK_TRUST_PROXY: '127.0.0.9' })
  const server = createServer((_request, response) => response.end('ok'))
  const max = 40
  limitConnections(server, ctx, max)
  server.listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const count = () =>
    new Promise<number>((resolve, reject) =>
      server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    )

  const attackers = await Promise.all(Array.from({ length: 2 * max }, () => openSocket(t, port, '127.0.0.2')))
  for (const socket of attackers) socket.write(get)
  while ((await count()) !== max / 2) await setImmediate()
  t.equal(
    await statusFrom(t, port, '127.0.0.2'),
    undefined,
    'slowloris has half of all connections, and no more',
  )
  t.equal(await statusFrom(t, port, '127.0.0.1'), '200', 'so others are answered')
  const proxied = await Promise.all(Array.from({ length: max / 4 }, () => openSocket(t, port, '127.0.0.9')))
  while ((await count()) !== max / 2 + max / 4) await setImmediate()
  for (const socket of [...attackers, ...proxied]) socket.destroy()
  while ((await count()) !== 0) await setImmediate()
  t.equal(await statusFrom(t, port, '127.0.0.2'), '200', 'and when they are gone, nobody is limited')

  // From many sources: each has been answered, and then says nothing any more.
  for (let i = 0; i < max; i++) {
    const socket = await openSocket(t, port, `127.0.1.${i + 1}`)
    socket.write(`${get}\r\n`)
    await once(socket, 'data')
  }
  t.equal(await count(), max)
  t.equal(await statusFrom(t, port, '127.0.0.1'), undefined, 'there is no room')
  while ((await count()) !== 0) await setImmediate()
  t.equal(await statusFrom(t, port, '127.0.0.1'), '200', 'until the idle ones have made it')
})

t.test('connections that send nothing, or their headers byte by byte, are closed in time (H-9)', async t => {
  const { ctx } = await startServer(t)
  const app = buildApp(ctx, {
    requestTimeout: 100,
    connectionTimeout: 5000,
    keepAliveTimeout: 100,
    http: { headersTimeout: 50, connectionsCheckingInterval: 10 },
  })
  t.teardown(() => app.close())
  const { port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
  const silent = await openSocket(t, Number(port), '127.0.0.2')
  const dripping = await openSocket(t, Number(port), '127.0.0.3')
  dripping.write('GET /health/live HTTP/1.1\r\nHost: x\r\nX: ')
  let isOpen = true
  dripping.on('close', () => (isOpen = false))
  const drip = async () => {
    while (isOpen) {
      if (dripping.writable) dripping.write('x')
      await setImmediate()
    }
  }
  const idle = await openSocket(t, Number(port), '127.0.0.4')
  idle.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n')
  t.match(await text(silent), /^HTTP\/1\.1 408 /, 'nothing at all')
  const [answer] = await Promise.all([text(dripping).catch(() => ''), drip()])
  t.match(answer, /^(HTTP\/1\.1 408 .*)?/, 'byte by byte')
  t.match(await text(idle), /^HTTP\/1\.1 200 /, 'and who is answered, and sends no more')
})

t.test('a request that came in pieces while the server was blocked is a fault of the server', async t => {
  const { ctx } = await startServer(t)
  let now = 0
  const pressure = openPressure(() => now)
  const app = buildApp(
    { ...ctx, pressure },
    { requestTimeout: 50, http: { headersTimeout: 50, connectionsCheckingInterval: 10 } },
  )
  t.teardown(() => app.close())
  const { port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
  pressure.sample()
  now += 5000
  const form = 'Content-Type: application/x-www-form-urlencoded\r\n\r\n'
  const socket = await openSocket(t, Number(port), '127.0.0.1')
  socket.write('POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n' + form)
  const answer = await text(socket)
  t.match(answer, /^HTTP\/1\.1 503 Service Unavailable\r\n(.*\r\n)*retry-after: 1\r\n/)
  t.match(answer, /"error":"temporarily_unavailable"/)
})
