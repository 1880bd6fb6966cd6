import { once } from 'node:events'
import { request } from 'node:http'
import { fastify, type FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import { endAllSessions, endSessionsOfClient, endSessionsOfUser } from '../../src/endings/end.ts'
import { openEventStream } from '../../src/http/event-stream.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { byCommand } from '../helpers/by-command.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { apiClient, listenAt, settled, tell } from '../helpers/listening.ts'
import type { Listener } from '../../src/push/deliveries.ts'
import { openListeners } from '../../src/push/listeners.ts'
import { openPresent } from '../../src/push/present.ts'
import { besideEnv, isOAuthError, startServer, until } from '../helpers/server.ts'
import { runJob } from '../helpers/run-job.ts'

const orders = 'https://orders.example'
const mail = 'https://mail.example'

/** Two APIs, each with its client; an app with tokens for both; and a user. */
async function world(t: Test, env: EngineEnv = {}) {
  const server = await startServer(t, env)
  await server.resource(orders)
  await server.resource(mail)
  const app = await server.client('app', { resources: `${orders} ${mail}` })
  const [ordersApi, mailApi] = [
    await apiClient(server, 'orders', orders),
    await apiClient(server, 'mail', mail),
  ]
  const ada = await server.user()
  const origin = await server.listen()
  const listen = (client: { readonly headers: object }, lastEventId?: string) =>
    listenAt(t, origin, { ...client.headers }, lastEventId)
  const sidOf = (token: string) =>
    JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sid
  return { server, app, ordersApi, mailApi, ada, origin, listen, sidOf }
}

await forEachEngine(
  t,
  'an API hears of the end of a session that had tokens for it, and no other does',
  async (t, env) => {
    const { server, app, ordersApi, mailApi, ada, listen, sidOf } = await world(t, env)
    const root = await server.client('root', { is_admin: 1 })
    const [atOrders, atMail, atRoot] = [await listen(ordersApi), await listen(mailApi), await listen(root)]
    t.match(atOrders.response, {
      statusCode: 200,
      headers: {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
        'x-content-type-options': 'nosniff',
      },
    })
    const ofOrders = await server.logIn(app, ada, { resource: orders })
    const ofAny = await server.logIn(app, ada)
    await server.revoke(app, ofOrders.refresh_token)
    await server.revoke(app, ofAny.refresh_token)
    await server.revoke(app, ofAny.refresh_token)
    await tell(server)
    const [first, second] = await atOrders.events(2)
    t.match(first, {
      event: 'session',
      data: {
        sid: sidOf(ofOrders.access_token),
        sub: ada.sub,
        client_id: 'app',
        reason: 'client',
        at: 1_900_000_000,
      },
    })
    t.equal(second?.data['sid'], sidOf(ofAny.access_token), 'in their order; a session ends once')
    await settled(server, atOrders, atMail, atRoot)
    t.equal(atOrders.heard.length, 2)
    t.strictSame(
      atMail.heard.map(({ data }) => data['sid']),
      [sidOf(ofAny.access_token)],
      'a session of no resource in particular may have had tokens for all',
    )
    t.notMatch(atMail.text(), sidOf(ofOrders.access_token))
    t.equal(atRoot.heard.length, 2, 'an administrator, who may introspect every token, hears all')
  },
)

t.test('who may listen, and who may not', async t => {
  const { server, app, ordersApi, ada, origin } = await world(t)
  const open = await server.client('open', { isPublic: true, introspects: orders })
  await server.client('web-api', {
    introspects: orders,
    resources: orders,
    grant_types: 'client_credentials',
  })
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  const tokenOf = async (client: typeof app, more = {}) =>
    (await server.post('/token', { grant_type: 'client_credentials', ...client.form, ...more })).json()
      .access_token
  const get = (headers: object) => server.request({ method: 'GET', url: '/events', headers: { ...headers } })

  isOAuthError(t, await get({}), 401, 'invalid_token', 'nobody in particular')
  isOAuthError(t, await get(bearer('x')), 401, 'invalid_token', 'a token that is none')
  const { access_token: ofUser } = await server.logIn(app, ada)
  isOAuthError(t, await get(bearer(ofUser)), 401, 'invalid_token', 'a token of a user')
  const ofApp = await tokenOf(app)
  isOAuthError(
    t,
    await get(bearer(ofApp)),
    401,
    'invalid_token',
    'a token for an API, which that API has too',
  )
  isOAuthError(t, await get(app.headers), 403, 'insufficient_scope', 'the client of an app')
  const basic = `Basic ${Buffer.from(`${open.id}:`).toString('base64')}`
  isOAuthError(t, await get({ authorization: basic }), 401, 'invalid_client', 'a public client')
  const wrong = `Basic ${Buffer.from(`${ordersApi.id}:wrong`).toString('base64')}`
  isOAuthError(t, await get({ authorization: wrong }), 401, 'invalid_client', 'a wrong secret')
  const head = await server.request({ method: 'HEAD', url: '/events', headers: ordersApi.headers })
  t.match(head, { statusCode: 405, headers: { allow: 'GET' } })

  const ofApi = await tokenOf(ordersApi)
  const heard = await listenAt(t, origin, bearer(ofApi))
  t.equal(heard.response.statusCode, 200, 'its own token, for this server')
})

await forEachEngine(t, 'who comes back goes on where it was cut off', async (t, env) => {
  const { server, app, ordersApi, ada, listen, sidOf } = await world(t, env)
  const revoke = async () => {
    const { access_token, refresh_token } = await server.logIn(app, ada, { resource: orders })
    await server.revoke(app, refresh_token)
    return sidOf(access_token)
  }
  const old = await revoke()
  server.tick(61)
  const lately = await revoke()
  const first = await listen(ordersApi)
  await settled(server, first)
  t.notMatch(first.text(), old, 'a status list of today has it')
  t.match(first.text(), lately, 'who comes from nowhere hears what the status list it has may lack')
  const idle = first.lastId()
  t.not(idle, '')
  first.stop()
  const missed = [await revoke(), await revoke()]
  const again = await listen(ordersApi, idle)
  const sids = async (stream: typeof again) => {
    await settled(server, stream)
    return stream.heard.map(({ data }) => data['sid'])
  }
  t.strictSame(await sids(again), missed)
  const between = await listen(ordersApi, again.heard[0]?.id)
  t.strictSame(await sids(between), missed.slice(1))
  const done = await listen(ordersApi, between.lastId())
  t.strictSame(await sids(done), [])
  for (const stream of [again, between, done]) stream.stop()

  const isReset = async (id: string, title: string) => {
    const stream = await listen(ordersApi, id)
    await settled(server, stream)
    t.match(stream.heard[0], { event: 'reset', data: {} }, title)
    t.ok(
      stream.heard.some(({ data }) => data['sid'] === missed[1]),
      'and what is lately',
    )
    stream.stop()
  }
  await isReset('7', 'an id that is not of this server')

  const others = Array.from({ length: 2300 }, () => ({
    id: newUuid(1),
    at: server.ctx.clock.now(),
    kind: 'session' as const,
    reason: 'client',
    audiences: mail,
  }))
  await server.ctx.db.sql.insertInto('events').values(others).execute()
  const last = await revoke()
  const late = await listen(ordersApi, idle)
  await late.events(3)
  t.strictSame(await sids(late), [...missed, last], 'also from before what is in memory')
})

await forEachEngine(
  t,
  'a cursor of before a restored backup, or older than the week, is told so',
  async (t, env) => {
    const { server, app, ordersApi, ada, listen, sidOf } = await world(t, env)
    const { db, clock } = server.ctx
    const revoke = async () => {
      const { access_token, refresh_token } = await server.logIn(app, ada, { resource: orders })
      await server.revoke(app, refresh_token)
      return sidOf(access_token)
    }
    await revoke()
    const first = await listen(ordersApi)
    await settled(server, first)
    const cursor = first.lastId()
    // As in a standby that had not received the last one: another event has its number.
    await db.sql
      .updateTable('events')
      .set({ id: newUuid(clock.now()) })
      .execute()
    await tell(server)
    await until(first.hasEnded)
    t.pass('who listens while the database goes back has to come again')
    const again = await listen(ordersApi, cursor)
    await settled(server, again)
    t.equal(again.heard[0]?.event, 'reset')
    const next = again.lastId()
    again.stop()
    await runJob(server, 'telling listeners')

    await revoke()
    await db.sql.updateTable('sweeper').set({ clock: clock.now() }).execute()
    await runJob(server, 'forgetting what was told')
    t.equal((await db.sql.selectFrom('events').select('seq').execute()).length, 2, 'they are kept for a week')
    server.tick(7 * 86_400 + 1)
    await db.sql.updateTable('sweeper').set({ clock: clock.now() }).execute()
    await runJob(server, 'forgetting what was told')
    t.equal((await db.sql.selectFrom('events').select('seq').execute()).length, 1, 'but for the last one')
    // One that does not have it in memory.
    const beside = await startServer(t, { ...env, ...besideEnv(server) }, clock.now())
    const late = await listenAt(t, await beside.listen(), { ...ordersApi.headers }, next)
    await settled(beside, late)
    t.strictSame(
      late.heard.map(({ event }) => event),
      ['reset'],
    )
  },
)

t.test('a stream ends with what it was opened with', async t => {
  const { server, ordersApi, mailApi, listen, origin } = await world(t)
  const { db } = server.ctx
  const after = async (stream: Awaited<ReturnType<typeof listen>>, title: string) => {
    await tell(server)
    await runJob(server, 'looking after listeners')
    await until(stream.hasEnded)
    t.pass(title)
  }
  const token = async () => {
    const form = { grant_type: 'client_credentials', ...ordersApi.form }
    return (await server.post('/token', form)).json().access_token
  }
  const withToken = async () => listenAt(t, origin, { authorization: `Bearer ${await token()}` })

  const expiring = await withToken()
  const longer = await listen(ordersApi)
  for (let i = 0; i < 30; i++) {
    server.tick(10)
    await tell(server)
  }
  await after(expiring, 'with its token')
  t.notOk(longer.hasEnded())

  const revoked = await withToken()
  await server.revoke(ordersApi, await token())
  await after(revoked, "with its token's session")
  t.notOk(longer.hasEnded(), 'a secret is good for longer')
  for (let i = 0; i < 360; i++) {
    server.tick(10)
    await tell(server)
  }
  await after(longer, 'but not for ever')

  const changed = await listen(ordersApi)
  const other = await listen(mailApi)
  await db.sql.updateTable('clients').set({ introspects: mail }).where('id', '=', ordersApi.id).execute()
  await db.sql.updateTable('installation').set({ revision: 99 }).execute()
  await server.follow()
  await after(changed, 'with what its client may know')
  t.notOk(other.hasEnded())
  const { secret_hash } = await db.sql
    .selectFrom('clients')
    .select('secret_hash')
    .where('id', '=', mailApi.id)
    .executeTakeFirstOrThrow()
  const stolen = await listen(mailApi)
  await db.sql
    .updateTable('clients')
    .set({ secret_hash: Buffer.alloc(32, 1) })
    .where('id', '=', mailApi.id)
    .execute()
  await db.sql.updateTable('installation').set({ revision: 100 }).execute()
  await server.follow()
  await after(stolen, 'with its secret')
  await after(other, 'as all of that client do')
  await db.sql.updateTable('clients').set({ secret_hash }).where('id', '=', mailApi.id).execute()
  await db.sql.updateTable('installation').set({ revision: 101 }).execute()
  await server.follow()
  const others = await listen(mailApi)
  const disabled = await listen(ordersApi)
  await endSessionsOfClient(byCommand(server.ctx), ordersApi.id, 'client disabled')
  await server.follow()
  await after(disabled, 'with its client')
  t.notOk(others.hasEnded())
})

await forEachEngine(
  t,
  'the stream of a token ends within a second of its session, however that ends, and at every instance',
  async (t, env) => {
    const { server, ordersApi, app, ada, origin, listen } = await world(t, env)
    const other = await startServer(t, { ...env, ...besideEnv(server) })
    const origins = [origin, await other.listen()]
    const ask = await adminClient(server, 'admin:sessions')
    const token = async () => {
      const form = { grant_type: 'client_credentials', ...ordersApi.form }
      return (await server.post('/token', form)).json().access_token
    }
    const bySecret = await listen(ordersApi)
    const lookAtAll = async () => {
      for (const instance of [server, other]) {
        await tell(instance)
        await runJob(instance, 'looking after listeners')
      }
    }
    const ended = async (end: () => Promise<unknown>, title: string) => {
      const authorization = `Bearer ${await token()}`
      const streams = await Promise.all(origins.map(origin => listenAt(t, origin, { authorization })))
      await lookAtAll()
      const { refresh_token } = await server.logIn(app, ada)
      await server.revoke(app, refresh_token)
      await lookAtAll()
      await Promise.all(streams.map(({ events }) => events(1)))
      t.notOk(
        streams.some(({ hasEnded }) => hasEnded()),
        'the end of another session is none of it',
      )
      await end()
      await lookAtAll()
      await until(() => streams.every(({ hasEnded }) => hasEnded()))
      t.pass(title)
    }
    await ended(async () => server.revoke(ordersApi, await token()), 'by a revocation')
    await ended(async () => {
      server.tick(2)
      const { statusCode, body } = await ask('POST', '/sessions/end', {
        ...{ client_id: ordersApi.id, older_than: 1 },
      })
      if (statusCode !== 202) throw new Error(body)
      await runJob(server, 'ending sessions that were chosen')
    }, 'by the job of an administrator')
    t.notOk(bySecret.hasEnded(), 'a secret has no session')
    await ended(() => endAllSessions(byCommand(server.ctx), 'command'), 'with all others')
  },
)

t.test('a server that closes ends all streams, and takes no others', async t => {
  const { server, ordersApi, listen } = await world(t)
  const stream = await listen(ordersApi)
  server.ctx.listeners.close()
  await until(stream.hasEnded)
  const response = await server.request({ method: 'GET', url: '/events', headers: ordersApi.headers })
  isOAuthError(t, response, 503, 'temporarily_unavailable', 'closing')
})

t.test(
  'a server that cannot read its database gives no sign of life, and then sends listeners elsewhere',
  async t => {
    const { server, ordersApi, listen } = await world(t)
    const stream = await listen(ordersApi)
    await settled(server, stream)
    const before = stream.text()
    server.tick(16)
    await runJob(server, 'looking after listeners')
    server.tick(16)
    await runJob(server, 'looking after listeners')
    await until(stream.hasEnded)
    t.equal(stream.text(), before)
  },
)

/** As many as fill all buffers between a server and one who reads nothing. */
async function tellMuch({ server }: Awaited<ReturnType<typeof world>>): Promise<number> {
  const { db, clock } = server.ctx
  const sessions = Array.from({ length: 5000 }, (_, i) => [newUuid(i).toString('hex'), orders])
  const detail = JSON.stringify({ before: 1, sessions })
  const event = () => ({ id: newUuid(1), at: clock.now(), kind: 'all' as const, reason: 'command', detail })
  const count = 80
  for (let i = 0; i < count; i++) await db.sql.insertInto('events').values(event()).execute()
  return count
}

t.test('invariant 26: who takes nothing is cut off, and disturbs no others', async t => {
  const w = await world(t)
  const { server, ordersApi, listen, origin } = w
  const silent = await Promise.all(Array.from({ length: 20 }, () => listen(ordersApi)))
  for (const { response } of silent) response.pause()
  const good = await listen(ordersApi)
  const count = await tellMuch(w)
  await tell(server)
  await good.events(count)
  t.equal(good.heard.length, count)
  const sampled = () =>
    server.metrics.flatMap(metric =>
      metric.kind === 'histogram'
        ? []
        : [...metric.samples()].map(([labels, value]) => [metric.name, labels['reason'], value] as const),
    )
  const ended = (reason: string) =>
    sampled().find(([name, of]) => name === 'mintmark_listeners_ended_total' && of === reason)?.[2] ?? 0
  for (let i = 0; i < 5 && ended('slow') === 0; i++) {
    server.tick(9)
    await tell(server)
    await runJob(server, 'looking after listeners')
  }
  t.equal(ended('slow'), 20, 'after half a minute')
  t.notOk(good.hasEnded())
  const back = await listenAt(t, origin, { ...ordersApi.headers })
  await back.events(count)
  t.equal(back.heard.length, count, 'and hears the rest when it comes back')
})

t.test('there are places for so many', async t => {
  const present = openPresent(2)
  const come = () => {
    const [client, stream] = [{ id: 'a' }, { end: () => {} }]
    const listener = { client, stream } as unknown as Listener
    present.add(listener)
    return Promise.resolve(listener)
  }
  await present.admit('a', come)
  await t.rejects(
    present.admit('b', () => Promise.reject(new Error('the database is away'))),
    { message: /away/ },
  )
  await present.admit('b', come)
  await t.rejects(present.admit('c', come), { code: 'temporarily_unavailable', status: 503 })
  for (const one of present.all()) present.end(one, 'closed')
  await present.admit('c', come)
  t.equal(present.all().size, 1)
  const few = openPresent(20)
  for (let i = 0; i < 10; i++) await few.admit('a', come)
  await t.rejects(few.admit('a', come), { code: 'temporarily_unavailable' }, 'none has all of them')
  await few.admit('b', come)
})

await forEachEngine(t, 'invariant 27: of many sessions an API hears the names of its own', async (t, env) => {
  const { server, app, ordersApi, mailApi, ada, listen, sidOf } = await world(t, env)
  const [atOrders, atMail] = [await listen(ordersApi), await listen(mailApi)]
  const begin = async (resource: string) => sidOf((await server.logIn(app, ada, { resource })).access_token)
  const [ofOrders, ofMail] = [await begin(orders), await begin(mail)]
  await endSessionsOfUser(byCommand(server.ctx), ada.id, { reason: 'command' })
  const [ordersLater, mailLater] = [await begin(orders), await begin(mail)]
  await endSessionsOfClient(byCommand(server.ctx), app.id, 'command')
  await endAllSessions(byCommand(server.ctx), 'command')
  await settled(server, atOrders, atMail)
  const named = ({ heard }: typeof atOrders) => heard.map(({ event, data }) => [event, data['sids']])
  const expected = (first: string, later: string) => [
    ['user', [first]],
    ['client', [later]],
    ['all', [later]],
  ]
  const others = (rows: ReturnType<typeof named>) =>
    rows.map(([event, sids]) => [
      event,
      (sids as string[]).filter(sid => [ofOrders, ofMail, ordersLater, mailLater].includes(sid)),
    ])
  t.notMatch(atOrders.text(), ofMail)
  t.notMatch(atOrders.text(), mailLater)
  t.notMatch(atMail.text(), ofOrders)
  t.strictSame(others(named(atOrders)).slice(0, 2), expected(ofOrders, ordersLater).slice(0, 2))
  t.strictSame(others(named(atMail)).slice(0, 2), expected(ofMail, mailLater).slice(0, 2))
})

/** A small generator, so that a story that fails can be told again. */
function random(seed: number) {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

t.test('whatever comes in between, each hears all of its own, in order, from its cursor on', async t => {
  const stories = process.env['TEST_SHORT'] ? 3 : 20
  const { server, ordersApi, mailApi, listen } = await world(t)
  const { db, clock } = server.ctx
  for (let seed = 1; seed <= stories; seed++) {
    const below = random(seed)
    // From here on, none hears of the stories before.
    server.tick(1000)
    const told: { readonly reason: string; readonly audience: string }[] = []
    const listeners = [
      { api: ordersApi, audience: orders },
      { api: mailApi, audience: mail },
      { api: ordersApi, audience: orders },
    ].map(one => ({
      ...one,
      cursor: '',
      heard: [] as string[],
      stream: undefined as Awaited<ReturnType<typeof listen>> | undefined,
    }))
    const happen = async () => {
      const audience = below(2) ? orders : mail
      const reason = `${seed}.${told.length}`
      told.push({ reason, audience })
      const row = {
        id: newUuid(below(1e9)),
        at: clock.now(),
        kind: 'session' as const,
        reason,
        audiences: audience,
      }
      await db.sql.insertInto('events').values(row).execute()
    }
    const come = async (one: (typeof listeners)[number]) => {
      one.stream ??= await listen(one.api, one.cursor === '' ? undefined : one.cursor)
    }
    const go = async (one: (typeof listeners)[number]) => {
      if (!one.stream) return
      const { heard } = one.stream
      // It may be cut off anywhere: it goes on from what it has read.
      const read = heard.slice(0, below(heard.length + 1))
      if (read.length === heard.length && below(2)) await settled(server, one.stream)
      const all = read.length === heard.length ? one.stream.heard : read
      one.heard.push(...all.map(({ data }) => String(data['reason'])))
      one.cursor = all.at(-1)?.id ?? one.cursor
      one.stream.stop()
      one.stream = undefined
    }
    for (const one of listeners) {
      await come(one)
      if (one.stream) await settled(server, one.stream)
      // That of a sign of life.
      one.cursor = one.stream?.lastId() ?? ''
    }
    for (let i = 0; i < 40; i++) {
      const one = listeners[below(listeners.length)] ?? listeners[0]
      const act = below(6)
      if (act < 3) await happen()
      else if (act === 3) await tell(server)
      else if (act === 4 && one) await come(one)
      else if (one) await go(one)
    }
    for (const one of listeners) {
      await come(one)
      if (one.stream) await settled(server, one.stream)
      one.heard.push(...(one.stream?.heard ?? []).map(({ data }) => String(data['reason'])))
      one.stream?.stop()
      const own = told.filter(({ audience }) => audience === one.audience).map(({ reason }) => reason)
      t.strictSame([...new Set(one.heard)], own, `story ${seed}: nothing is lost, in the order of the acts`)
    }
  }
})

t.test('one that is gone before its stream begins keeps no place', async t => {
  const { server, ordersApi } = await world(t)
  const { db, clock, clients } = server.ctx
  const client = await clients.registry.findClient(ordersApi.id)
  if (!client) throw new Error('unreachable')
  let asking: ReturnType<typeof request> | undefined
  let answer: FastifyReply | undefined
  const cursors = {
    write: () => '',
    read: async () => {
      const gone = answer && once(answer.raw, 'close')
      asking?.destroy()
      await gone
      return undefined
    },
  }
  const { listeners, metrics } = openListeners({
    db,
    clock,
    registry: clients.registry,
    cursors,
    statusListDelaySeconds: 1,
    everySeconds: 1,
  })
  const app = fastify()
  t.teardown(() => app.close())
  let isAdded = false
  app.get('/', async (_request, reply) => {
    answer = reply
    const listener = { client, session: undefined, seconds: 3600, lastEventId: 'any' }
    await listeners.add(listener, () => openEventStream(reply))
    isAdded = true
    return reply
  })
  asking = request(await app.listen({ host: '127.0.0.1', port: 0 }), { agent: false }).end()
  asking.on('error', () => {})
  await until(() => isAdded)
  const places = metrics.find(({ name }) => name === 'mintmark_listeners')
  t.strictSame(places && 'samples' in places && [...places.samples()], [[{}, 0]])
})
