import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import type { KyselyPlugin } from 'kysely'
import t, { type Test } from 'tap'
import { changeClient } from '../../db/clients/clients.ts'
import { buildApp } from '../../src/app.ts'
import { openKnownClients } from '../../src/clients/known-clients.ts'
import { openRegistry } from '../../src/clients/registry.ts'
import { systemClock } from '../../src/clock.ts'
import { refuseExcessConnections } from '../../src/http/connections.ts'
import { sharedFor } from '../../src/installation/readiness.ts'
import { admissionLimits, openAdmission, sampleSeconds, type Rank } from '../../src/load/admission.ts'
import { openRefusalDelay, promptRefusalsPerSecond } from '../../src/load/refusal-delay.ts'
import { openSourceQuota } from '../../src/load/source-quota.ts'
import { pairLimit } from '../../src/users/guess-limits.ts'
import { openPasswords } from '../../src/users/passwords.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { runJob } from '../helpers/run-job.ts'
import { isOAuthError, startServer, until, type TestServer } from '../helpers/server.ts'

/** What each rank is asked for with. */
async function openRanks(server: TestServer) {
  const client = await server.client('web', {
    grant_types: 'password refresh_token client_credentials authorization_code',
    redirect_uris: 'https://app.example/callback',
    pkce: 'optional',
  })
  const user = await server.user()
  const { refresh_token, access_token } = await server.logIn(client, user)
  const { username, password } = user
  const forms: [path: string, rank: Rank, form: Record<string, string>][] = [
    ['/token', 'log_in', { grant_type: 'password', username, password }],
    ['/token', 'other', { grant_type: 'client_credentials' }],
    ['/introspect', 'other', { token: access_token }],
    ['/par', 'other', { response_type: 'code' }],
    ['/token', 'refresh', { grant_type: 'refresh_token', refresh_token }],
    ['/revoke', 'refresh', { token: 'unknown' }],
  ]
  return { client, forms }
}

const ranks = ['log_in', 'other', 'refresh'] as const

t.test('when there is too much to do, log-ins are refused first and refreshes last', async t => {
  const server = await startServer(t)
  const { client, forms } = await openRanks(server)
  const clock = handClock()
  const { admission, jobs } = openAdmission(clock)
  const app = buildApp({ ...server.ctx, load: { ...server.ctx.load, admission } })
  t.teardown(() => app.close())
  const check = async (refused: readonly Rank[], title: string) => {
    for (const [url, rank, form] of forms) {
      const payload = new URLSearchParams({ ...form, ...client.form }).toString()
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      const answer = await app.inject({ method: 'POST', url, payload, headers })
      const full = `${title}: ${url} ${form['grant_type'] ?? ''}`
      if (refused.includes(rank)) isOAuthError(t, answer, 503, 'temporarily_unavailable', full)
      else t.equal(answer.statusCode, url === '/par' ? 201 : 200, full)
    }
    for (const url of ['/.well-known/jwks.json', '/health/live'])
      t.equal((await app.inject({ url })).statusCode, 200, `${title}: ${url}`)
  }
  const late = (seconds: number) => {
    clock.tick(sampleSeconds + seconds)
    void runJob({ jobs }, 'measuring the event loop')
  }

  await check([], 'calm')
  late(0)
  ranks.forEach(() => late(0))
  late(60)
  t.equal(Math.round(admission.stalled() * 1000), 60_000)
  await check([], 'a pause of the whole machine is over when it is seen')
  late(0)
  for (const [i, rank] of ranks.entries()) {
    late(admissionLimits[rank].lateSeconds - 0.001)
    late(admissionLimits[rank].lateSeconds - 0.001)
    await check(ranks.slice(0, i), `not yet too late for ${rank}`)
    late(admissionLimits[rank].lateSeconds + 0.001)
    late(admissionLimits[rank].lateSeconds + 0.001)
    await check(ranks.slice(0, i + 1), `too late for ${rank}`)
  }
  late(0)
  await check([], 'over')

  const held: (() => void)[] = []
  const hold = () => admission.admit('refresh', () => new Promise<void>(done => held.push(done)))
  const holding: Promise<void>[] = []
  for (const [i, rank] of ranks.entries()) {
    while (admission.underWay() < admissionLimits[rank].underWay - 1) holding.push(hold())
    await check(ranks.slice(0, i), `not yet too many for ${rank}`)
    holding.push(hold())
    await check(ranks.slice(0, i + 1), `too many under way for ${rank}`)
  }
  for (const done of held) done()
  await Promise.all(holding)
  t.equal(admission.underWay(), 0, 'also those that were refused are not counted for ever')
  await check([], 'done')
})

t.test('in a flood of log-ins, those that are refused wait a moment, and refreshes do not', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const user = await server.user()
  const { refresh_token } = await server.logIn(client, user)
  const { rootKeys } = server.ctx
  const { passwords } = openPasswords({ rootKeys, concurrency: 0, waitingMax: 0 })
  const clock = handClock()
  const delayRefusal = openRefusalDelay({ ...clock, pause: systemClock().pause })
  const app = buildApp({
    ...server.ctx,
    users: { ...server.ctx.users, passwords },
    load: { ...server.ctx.load, delayRefusal },
  })
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
  const flood = Array.from({ length: promptRefusalsPerSecond + 5 }, (_, i) => logIn(`log-in ${i}`))
  await send('refresh', { grant_type: 'refresh_token', refresh_token }, 200)
  clock.tick(1)
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

t.test('whoever waits to be refused takes no place, so one throttled address keeps nobody out', async t => {
  const server = await startServer(t)
  const app = await server.client('app', { isPublic: true })
  const user = await server.user()
  const { throttle } = server.ctx.users
  const thief = '198.51.100.9'
  for (let i = 0; i < pairLimit.points; i++) {
    const attempt = await throttle.take(
      { username: 'victim', source: thief, device: undefined },
      async () => true,
    )
    if (attempt.kind === 'taken') attempt.fail()
  }
  const held: (() => void)[] = []
  const delayRefusal = () => new Promise<void>(done => held.push(done))
  const { admission } = server.ctx.load
  const built = buildApp({ ...server.ctx, load: { ...server.ctx.load, delayRefusal } })
  t.teardown(() => built.close())
  const logIn = (username: string, password: string, remoteAddress: string) =>
    built.inject({
      method: 'POST',
      url: '/token',
      payload: new URLSearchParams({ grant_type: 'password', username, password, ...app.form }).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      remoteAddress,
    })
  const connections = admissionLimits.log_in.underWay + 50
  const guesses = Array.from({ length: connections }, () => logIn('victim', 'wrong', thief))
  await until(() => held.length === connections)
  t.equal(admission.underWay(), 0)
  t.equal((await logIn(user.username, user.password, '192.0.2.1')).statusCode, 200, 'everybody else')
  for (const done of held) done()
  for (const { statusCode } of await Promise.all(guesses)) t.ok(statusCode === 429 || statusCode === 503)
})

t.test('where half of all places are taken, no source has more than a tenth of them', async t => {
  const quota = openSourceQuota(40)
  const take = (source: string | undefined, count: number) =>
    Array.from({ length: count }, () => quota.take(source)).filter(taken => taken).length
  t.equal(take('a', 40), 20, 'one alone has half')
  t.equal(take('b', 40), 4)
  t.equal(take('c', 40), 4)
  t.equal(take(undefined, 5), 5, 'one that is not told is not limited here')
  t.strictSame([quota.taken(), quota.taken('a'), quota.taken('b')], [33, 20, 4])
  for (let i = 0; i < 20; i++) quota.giveBack('a')
  t.strictSame([quota.taken(), quota.taken('a')], [13, 0])
  t.equal(take('b', 40), 7, 'until half are taken again')
  t.equal(openSourceQuota(3).take('a'), true)

  const { admission } = openAdmission(handClock())
  const limit = admissionLimits.log_in.underWay
  const held: (() => void)[] = []
  const hold = (source: string) =>
    admission.admit('log_in', () => new Promise<void>(done => held.push(done)), source).catch(() => {})
  const holding: Promise<void>[] = []
  for (const [source, count] of [
    ['a', limit / 2],
    ['b', limit / 10],
    ['c', limit / 10],
  ] as const) {
    const before = admission.underWay()
    for (let i = 0; i < limit; i++) holding.push(hold(source))
    t.equal(admission.underWay() - before, count, `${source} is admitted`)
  }
  await t.rejects(
    admission.admit('log_in', async () => {}, 'a'),
    { message: /too much to do/ },
  )
  await admission.admit('log_in', async () => {}, 'd')
  await admission.admit('other', async () => {}, 'a')
  for (const done of held) done()
  await Promise.all(holding)
  await admission.admit('log_in', async () => {}, 'a')
  t.equal(admission.underWay(), 0)

  const server = await startServer(t)
  const { rootKeys } = server.ctx
  const { passwords } = openPasswords({ rootKeys, concurrency: 1, waitingMax: 20 })
  const queue = async (source: string | undefined, count: number) => {
    const before = passwords.load().waiting
    for (let i = 0; i < count; i++) waiting.push(passwords.verify(undefined, 'x', source).catch(() => false))
    await Promise.resolve()
    return passwords.load().waiting - before
  }
  const waiting: Promise<boolean>[] = [passwords.verify(undefined, 'x')]
  t.equal(await queue('a', 30), 10, 'in the queue of passwords too')
  t.throws(() => passwords.refuseIfQueueFull('a'), { message: /too many log-ins/ })
  t.equal(await queue('b', 30), 2)
  passwords.refuseIfQueueFull('c')
  passwords.refuseIfQueueFull()
  t.equal(await queue(undefined, 30), 8)
  t.throws(() => passwords.refuseIfQueueFull('c'), { message: /too many log-ins/ })
  await Promise.all(waiting.splice(0))
  waiting.push(passwords.verify(undefined, 'x'))
  t.equal(await queue('a', 30), 10, 'and whoever has had his turn is not counted any more')
  await Promise.all(waiting)
})

t.test('log-ins count against the quota of their source', async t => {
  const server = await startServer(t)
  const app = await server.client('app', { isPublic: true })
  const web = await server.client('web')
  const { username, password } = await server.user()
  const seen: unknown[] = []
  const { passwords } = server.ctx.users
  const { admission } = server.ctx.load
  const built = buildApp({
    ...server.ctx,
    load: {
      ...server.ctx.load,
      admission: {
        ...admission,
        admit: (rank, work, source) => {
          seen.push([rank, source])
          return admission.admit(rank, work, source)
        },
      },
    },
    users: {
      ...server.ctx.users,
      passwords: {
        ...passwords,
        refuseIfQueueFull: source => void seen.push(source),
        verify: (user, text, source) => {
          seen.push(source)
          return passwords.verify(user, text, source)
        },
      },
    },
  })
  t.teardown(() => built.close())
  const network = '2001:db8:0:0::/64'
  for (const [title, client, more, expected] of [
    ['on the device of its user', app, { grant_type: 'password' }, [['log_in', network], network, network]],
    // All users come from there: it is let alone in the queue, where it is known who it is.
    ['on a server', web, { grant_type: 'password' }, [['log_in', network], undefined, undefined]],
    ['for itself', web, { grant_type: 'client_credentials' }, [['other', network]]],
    ['a refresh', web, { grant_type: 'refresh_token', refresh_token: 'x' }, [['refresh', undefined]]],
  ] as const) {
    seen.length = 0
    await built.inject({
      method: 'POST',
      url: '/token',
      payload: new URLSearchParams({ username, password, ...more, ...client.form }).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      remoteAddress: '2001:db8::1',
    })
    t.strictSame(seen, expected, title)
  }
})

/** The server's app on a database that counts its statements. */
async function counted(t: Test, server: TestServer) {
  const count = { statements: 0 }
  const counting: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      count.statements++
      return result
    },
  }
  const db = { ...server.ctx.db, sql: server.ctx.db.sql.withPlugin(counting) }
  const { registry, jobs } = openRegistry(db)
  const follow = () => runJob({ jobs }, 'following the registry')
  await follow()
  const app = buildApp({ ...server.ctx, db, clients: { ...server.ctx.clients, registry } })
  t.teardown(() => app.close())
  const post = (form: Record<string, string>) =>
    app.inject({
      method: 'POST',
      url: '/token',
      payload: new URLSearchParams({ grant_type: 'client_credentials', ...form }).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
  return { count, follow, app, post }
}

await forEachEngine(
  t,
  'invariant 8: ids of clients that strangers make up cost the database a few statements in all',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await server.client('web')
    const others = await Promise.all(Array.from({ length: 20 }, (_, i) => server.client(`other ${i}`)))
    const { count, follow, post } = await counted(t, server)
    const madeUp = (i: number) => post({ client_id: `made up ${i}`, client_secret: 'x' })
    for (const [title, first, send] of [
      [
        'one after the other',
        0,
        async () => {
          for (let i = 0; i < 250; i++) t.equal((await madeUp(i)).statusCode, 401)
        },
      ],
      [
        'all at once',
        250,
        async () => {
          for (const { statusCode } of await Promise.all(
            Array.from({ length: 250 }, (_, i) => madeUp(250 + i)),
          ))
            t.equal(statusCode, 401)
        },
      ],
    ] as const) {
      count.statements = 0
      await send()
      t.ok(count.statements <= 9, `${title}, from ${first}: ${count.statements}`)
      t.equal((await post(web.form)).statusCode, 200, 'a client that there is, is known all the same')
      count.statements = 0
      t.equal((await madeUp(first)).statusCode, 401)
      t.equal(count.statements, 0, 'and what is not is known too')
      await changeClient(server.ctx.db, 'web', { scope: 'read' })
      await follow()
    }

    await madeUp(0)
    await Promise.all(Array.from({ length: 20 }, (_, i) => madeUp(i)))
    const id = 'made up 0'
    isOAuthError(
      t,
      await post({ client_id: id, client_secret: 'x' }),
      401,
      'invalid_client',
      'before it is made',
    )
    const made = await server.client(id)
    t.equal((await post(made.form)).statusCode, 401, 'no server has heard of it')
    await follow()
    t.equal(
      (await post(made.form)).statusCode,
      200,
      'whoever is told that there is none hears of it within a second',
    )
    for (const answer of await Promise.all(others.map(({ form }) => post(form))))
      t.equal(answer.statusCode, 200)
  },
)

t.test('whatever is read of the clients before a change counts for nobody after it', async t => {
  const server = await startServer(t)
  const arrivals: (() => void)[] = []
  const slow: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      if (result.rows.length === 0 || !('id' in (result.rows[0] ?? {}))) return result
      await new Promise<void>(done => arrivals.push(done))
      return result
    },
  }
  await server.client('web')
  const known = openKnownClients({ ...server.ctx.db, sql: server.ctx.db.sql.withPlugin(slow) })
  const doubt = async () => {
    for (let i = 0; i < 8; i++) t.equal(await known.find(`made up ${i}`), undefined)
  }
  await doubt()
  const before = known.find('late')
  await until(() => arrivals.length === 1)
  await server.client('late')
  await server.client('later')
  known.forget()
  await doubt()
  const after = known.find('late')
  await until(() => arrivals.length === 2)
  const [old, current] = arrivals.splice(0)
  current?.()
  await until(() => arrivals.length === 1)
  arrivals.shift()?.()
  t.equal((await after)?.id, 'late')
  old?.()
  t.equal(await before, undefined, 'it was asked for before')
  const later = known.find('later')
  await until(() => arrivals.length === 1)
  arrivals.shift()?.()
  t.equal((await later)?.id, 'later', 'and that answer counts for nobody else')
})

t.test('whoever asks whether the server is ready shares what the database has told the first', async t => {
  const server = await startServer(t)
  const { count, app } = await counted(t, server)
  const answers = await Promise.all(Array.from({ length: 400 }, () => app.inject({ url: '/health/ready' })))
  for (const { statusCode } of answers) t.equal(statusCode, 200)
  t.ok(count.statements <= 10, String(count.statements))

  const { tick, ...clock } = handClock()
  let asked = 0
  let isAway = false
  const ask = sharedFor(0.5, clock, async () => {
    asked++
    if (isAway) throw new Error('away')
    return asked
  })
  t.strictSame(await Promise.all([ask(), ask()]), [1, 1])
  isAway = true
  tick(0.499)
  t.equal(await ask(), 1)
  tick(0.001)
  await t.rejects(ask(), { message: 'away' }, 'it is known half a second later')
  isAway = false
  tick(0.499)
  await t.rejects(ask(), { message: 'away' }, 'an error is shared too')
  tick(0.001)
  t.equal(await ask(), 3)
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
  refuseExcessConnections(server, ctx, max)
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
  const clock = handClock()
  const { admission, jobs } = openAdmission(clock)
  const app = buildApp(
    { ...ctx, load: { ...ctx.load, admission } },
    { requestTimeout: 50, http: { headersTimeout: 50, connectionsCheckingInterval: 10 } },
  )
  t.teardown(() => app.close())
  const { port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
  void runJob({ jobs }, 'measuring the event loop')
  clock.tick(5)
  const form = 'Content-Type: application/x-www-form-urlencoded\r\n\r\n'
  const socket = await openSocket(t, Number(port), '127.0.0.1')
  socket.write('POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n' + form)
  const answer = await text(socket)
  t.match(answer, /^HTTP\/1\.1 503 Service Unavailable\r\n(.*\r\n)*retry-after: 1\r\n/)
  t.match(answer, /"error":"temporarily_unavailable"/)
})
