import t from 'tap'
import { decodeProtectedHeader } from 'jose'
import { takeNext } from '../../db/push/delivery-cursors.ts'
import { listEvents, type EventRow } from '../../db/push/events.ts'
import { endChosenSessions } from '../../src/endings/end-chosen.ts'
import { endAllSessions, endSessionsOfClient, endSessionsOfUser } from '../../src/endings/end.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { messageOf } from '../../src/push/messages.ts'
import { recordAlone } from '../../src/record/record.ts'
import { byCommand } from '../helpers/by-command.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { deliver, status } from '../helpers/receivers.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, startServer } from '../helpers/server.ts'
import {
  accepted,
  caep,
  eventOf,
  mail,
  orders,
  poll,
  push,
  sidOf,
  ssf,
  streamWorld,
  type EventToken,
  type StreamWorld,
} from '../helpers/streams.ts'

const day = 86_400

/** The types of what has arrived, in its order. */
const typesAt = async (w: StreamWorld, path: string) => (await w.arrived(path)).map(set => eventOf(set)[0])

const audited = async ({ server }: StreamWorld, event: string) =>
  (
    await server.ctx.db.sql.selectFrom('audit').selectAll().where('event', '=', event).orderBy('id').execute()
  ).map(({ client_id, actor, detail }) => ({ client_id, actor, ...JSON.parse(detail ?? '{}') }))

await forEachEngine(
  t,
  'SE-1 SE-2 the end of a session is pushed as a security event token',
  async (t, env) => {
    const w = await streamWorld(t, env)
    const receiver = await w.receiver('orders', orders)
    await w.pushTo(receiver, '/orders', {})
    const sid = await w.endOne()
    const [set, ...others] = await w.arrived('/orders')
    t.strictSame(others, [])
    const now = w.server.ctx.clock.now()
    const { jti, txn, ...claims } = set ?? ({} as Partial<EventToken>)
    t.strictSame(claims, {
      iss: 'https://as.example',
      aud: 'orders',
      iat: now,
      toe: now,
      sub_id: {
        format: 'complex',
        user: { format: 'iss_sub', iss: 'https://as.example', sub: w.ada.sub },
        session: { format: 'opaque', id: sid },
      },
      events: {
        [`${caep}session-revoked`]: {
          event_timestamp: now,
          initiating_entity: 'system',
          reason_admin: { en: 'the application has ended the session' },
        },
      },
    })
    t.match([jti, txn], [/^[0-9a-f-]{36}$/, /^[0-9a-f-]{36}$/])
    t.not(jti, txn)
    const [{ request, body } = { request: undefined, body: '' }] = w.receivers.at('/orders')
    t.match(request?.headers, { 'content-type': 'application/secevent+jwt', accept: 'application/json' })
    t.equal(request?.headers.authorization, undefined)
    t.match(decodeProtectedHeader(body), { typ: 'secevent+jwt', alg: 'RS256', kid: /./ })
    t.strictSame(await w.arrived('/orders'), [], 'and only once')
  },
)

await forEachEngine(t, 'invariant 27: a receiver hears of its own API, and of no other', async (t, env) => {
  const w = await streamWorld(t, env)
  await w.pushTo(await w.receiver('orders', orders), '/orders')
  await w.pushTo(await w.receiver('mail', mail), '/mail')
  await w.pushTo(await w.receiver('root', '', { is_admin: 1 }), '/root')
  const { server } = w
  const sid = await w.endOne()
  const ofMail = await server.logIn(w.app, w.ada, { resource: mail })
  const ofOrders = await server.logIn(w.app, w.ada, { resource: orders })
  await endSessionsOfUser(byCommand(server.ctx), w.ada.id, {
    reason: 'password changed',
    password: await server.ctx.users.passwords.hash('another one, and long'),
  })
  const sids = async (path: string) =>
    (await w.arrived(path)).flatMap(({ sub_id }) => Object(sub_id['session']).id ?? [])
  const [atOrders, atMail, atRoot] = [await sids('/orders'), await sids('/mail'), await sids('/root')]
  t.strictSame(atOrders, [sid, sidOf(ofOrders.access_token)])
  t.strictSame(atMail, [sidOf(ofMail.access_token)])
  t.strictSame(atRoot.sort(), [...atOrders, ...atMail].sort(), 'an administrator hears all')
  for (const { body } of w.receivers.at('/mail')) {
    const text = Buffer.from(body.split('.')[1] ?? '', 'base64url').toString()
    t.notMatch(text, sid)
    t.notMatch(text, sidOf(ofOrders.access_token))
  }
})

await forEachEngine(t, 'of a choice of very many sessions each is told, to its own API', async (t, env) => {
  const w = await streamWorld(t, { ...env, MINTMARK_SESSIONS_PER_USER: '1000' })
  const { server, ada } = w
  const by = byCommand(server.ctx)
  const begun = async (resource: string) => sidOf((await server.logIn(w.app, ada, { resource })).access_token)
  const choose = () => endChosenSessions(by, { userId: ada.id }, { total: 1001 })
  await begun(orders)
  await choose()
  const { db } = server.ctx
  const eventsOf = () => listEvents(db, { from: 1, limit: 10 })
  t.match(await eventsOf(), [{ kind: 'sessions', detail: null }], 'without streams nothing is kept of them')

  await w.pushTo(await w.receiver('orders', orders), '/orders')
  await w.pushTo(await w.receiver('mail', mail), '/mail')
  const atOrders = [await begun(orders), await begun(orders)]
  const atMail = await begun(mail)
  await choose()
  t.equal((await eventsOf()).length, 2, 'one row for all')
  const told = await w.arrived('/orders')
  const user = { format: 'iss_sub', iss: 'https://as.example', sub: ada.sub }
  t.strictSame(
    new Set(told.map(({ sub_id }) => sub_id)),
    new Set(atOrders.map(id => ({ format: 'complex', user, session: { format: 'opaque', id } }))),
  )
  t.match(told[0] && eventOf(told[0]), ['session-revoked', { initiating_entity: 'admin' }])
  t.match(await w.arrived('/mail'), [{ sub_id: { session: { id: atMail } } }])

  // Others wait for the transaction in which they become deliveries.
  const [, row] = await eventsOf()
  const { sessions } = JSON.parse(row?.detail ?? '{}')
  const everything = { key: ' ', isAmong: () => true }
  const listened = row && messageOf(row, () => 'x').textFor(everything)
  t.match(listened, /^id: x\nevent: sessions\n/)
  t.notMatch(listened, /"sessions"/, 'a listener is told no names')
  const detail = JSON.stringify({ sessions: Array.from({ length: 900 }, () => sessions[0]) })
  const { seq: _, ...more } = row ?? ({} as EventRow)
  for (let i = 0; i < 3; i++)
    await db.sql
      .insertInto('events')
      .values({ ...more, id: newUuid(i), detail })
      .execute()
  const steps: number[] = []
  while (true) {
    const taken = await takeNext(db, 'events', 200, async (_sql, rows) => void steps.push(rows.length))
    if (taken === 0) break
  }
  t.strictSame(steps, [1, 1, 1], 'a few at once')
})

await forEachEngine(t, 'what was held for an API is not told to who serves it no more', async (t, env) => {
  const w = await streamWorld(t, env)
  const receiver = await w.receiver('orders', orders)
  const id = await w.pushTo(receiver, '/orders')
  await receiver.ask('POST', '/ssf/status', { stream_id: id, status: 'paused' })
  await w.endOne()
  t.strictSame(await w.arrived('/orders'), [])
  const { db } = w.server.ctx
  await db.sql.updateTable('clients').set({ introspects: mail }).where('id', '=', 'orders').execute()
  await receiver.ask('POST', '/ssf/status', { stream_id: id, status: 'enabled' })
  t.strictSame(await w.arrived('/orders'), [])
  t.strictSame(await db.sql.selectFrom('deliveries').selectAll().execute(), [], 'it is dropped')
})

await forEachEngine(t, 'SE-3 each event that a stream asks for, and no other', async (t, env) => {
  const w = await streamWorld(t, env)
  const receiver = await w.receiver('orders', orders)
  const types = [`${caep}credential-change`, 'https://example.com/unknown']
  await w.pushTo(receiver, '/all')
  await w.pushTo(receiver, '/few', { events_requested: types })
  const { server, ada } = w
  const by = byCommand(server.ctx)
  await server.logIn(w.app, ada, { resource: orders })
  await recordAlone(by, { event: 'totp_added', userId: ada.id })
  t.strictSame(await typesAt(w, '/all'), ['credential-change'])
  const [set] = await w.arrived('/few')
  t.strictSame(set && eventOf(set), [
    'credential-change',
    {
      credential_type: 'app',
      change_type: 'create',
      event_timestamp: server.ctx.clock.now(),
      reason_admin: { en: 'a credential was changed' },
    },
  ])
  t.strictSame(set?.sub_id, { format: 'iss_sub', iss: 'https://as.example', sub: ada.sub })

  await endSessionsOfClient(by, 'app', 'command')
  await endAllSessions(by, 'command')
  t.strictSame(
    (await w.arrived('/all')).map(({ sub_id }) => sub_id),
    [
      { format: 'complex', application: { format: 'iss_sub', iss: 'https://as.example', sub: 'app' } },
      { format: 'complex', tenant: { format: 'opaque', id: 'https://as.example' } },
    ],
    'many at once are one event',
  )
  t.strictSame(await typesAt(w, '/few'), [])
})

await forEachEngine(t, 'who was told that a user is disabled is told of the end of that', async (t, env) => {
  const w = await streamWorld(t, env)
  await w.pushTo(await w.receiver('orders', orders), '/orders')
  await w.pushTo(await w.receiver('mail', mail), '/mail')
  const { server, ada } = w
  const by = byCommand(server.ctx)
  const disable = () => endSessionsOfUser(by, ada.id, { reason: 'user disabled' })
  await server.logIn(w.app, ada, { resource: orders })
  await disable()
  t.strictSame(await typesAt(w, '/orders'), ['account-disabled', 'session-revoked'])
  // The sessions are long gone.
  await server.ctx.db.sql.deleteFrom('sessions').execute()
  await disable()
  await recordAlone(by, { event: 'user_enabled', userId: ada.id })
  t.strictSame(await typesAt(w, '/orders'), ['account-enabled'])
  await recordAlone(by, { event: 'user_enabled', userId: ada.id })
  await disable()
  await endSessionsOfUser(by, ada.id, { reason: 'user deleted', username: ada.username })
  t.strictSame(await typesAt(w, '/orders'), [], 'it is over then')
  t.strictSame(await typesAt(w, '/mail'), [], 'another API never heard of the user')
  t.strictSame(await server.ctx.db.sql.selectFrom('disabled_users').selectAll().execute(), [])

  const bob = await server.user('bob')
  await server.logIn(w.app, bob, { resource: orders })
  await endSessionsOfUser(by, bob.id, { reason: 'user disabled' })
  await endSessionsOfUser(by, bob.id, { reason: 'user deleted', username: 'bob' })
  t.strictSame(await typesAt(w, '/orders'), [
    'account-disabled',
    'session-revoked',
    'account-purged',
    'session-revoked',
  ])
})

await forEachEngine(t, 'SE-4 only 202 says that an event is taken', async (t, env) => {
  const w = await streamWorld(t, env)
  const receiver = await w.receiver('orders', orders)
  await w.pushTo(receiver, '/orders')
  const refusing: readonly [what: string, answer: ReturnType<typeof status>][] = [
    ['200', status(200)],
    ['204', status(204)],
    ['a redirect', status(307, '', { location: '/elsewhere' })],
    ['401', status(401)],
    ['403', status(403)],
    ['400 without an error', status(400, '<html>')],
    ['400 with an error that is of no one event', status(400, '{"err":"invalid_key"}')],
    ['503', status(503)],
    ['nothing', response => void response.destroy()],
  ]
  for (const [what, answer] of refusing) {
    const before = w.receivers.at('/orders').length
    w.receivers.answer('/orders', answer)
    const sid = await w.endOne()
    await deliver(w.server)
    t.equal(w.receivers.at('/orders').length, before + 1, `${what}: it was tried`)
    w.receivers.answer('/orders', accepted)
    await deliver(w.server)
    t.equal(w.receivers.at('/orders').length, before + 1, `${what}: not again at once`)
    w.server.tick(7200)
    const sets = (await w.arrived('/orders')).slice(-1)
    t.match(sets, [{ sub_id: { session: { id: sid } } }], `${what}: but later`)
    const [first, second] = w.receivers.at('/orders').slice(-2)
    const jtis = [first, second].map(
      one => JSON.parse(Buffer.from(one?.body.split('.')[1] ?? '', 'base64url').toString()).jti,
    )
    t.equal(jtis[0], jtis[1], `${what}: as the same event`)
  }
  t.strictSame(w.receivers.at('/elsewhere'), [])
})

await forEachEngine(
  t,
  'SE-5 an event that is refused is told to the trail, and not sent again',
  async (t, env) => {
    const w = await streamWorld(t, env)
    const id = await w.pushTo(await w.receiver('orders', orders), '/orders')
    const error = JSON.stringify({ err: 'invalid_request', description: 'what is\u0007 this' })
    w.receivers.answer('/orders', status(400, error, { 'content-type': 'application/json' }))
    await w.endOne()
    await deliver(w.server)
    w.receivers.answer('/orders', accepted)
    w.server.tick(day)
    const next = await w.endOne()
    const sets = await w.arrived('/orders')
    t.match(sets.slice(1), [{ sub_id: { session: { id: next } } }])
    t.equal(sets.length, 2)
    t.strictSame(await audited(w, 'delivery_refused'), [
      {
        client_id: 'orders',
        actor: 'server',
        kind: 'stream',
        receiver: id,
        reason: 'invalid_request: what is this',
      },
    ])
  },
)

await forEachEngine(
  t,
  'SE-6 a receiver that is away for two days misses nothing, in its order',
  async (t, env) => {
    const w = await streamWorld(t, env)
    await w.pushTo(await w.receiver('orders', orders), '/orders')
    w.receivers.answer('/orders', response => void response.destroy())
    const ended: string[] = []
    for (let i = 0; i < 20; i++) {
      ended.push(await w.endOne())
      await deliver(w.server)
      w.server.tick((2 * day) / 20)
    }
    w.receivers.answer('/orders', accepted)
    const from = w.receivers.at('/orders').length
    const told: string[] = []
    for (let i = 0; i < 4; i++) {
      w.server.tick(2 * 3600)
      await deliver(w.server)
    }
    for (const { body } of w.receivers.at('/orders').slice(from)) {
      const { sub_id } = await w.verify(body, 'orders')
      told.push(Object(sub_id['session']).id)
    }
    t.strictSame(told, ended)
  },
)

await forEachEngine(
  t,
  'SE-7 after three days a stream is paused, and goes on when it is resumed',
  async (t, env) => {
    const w = await streamWorld(t, env)
    const receiver = await w.receiver('orders', orders)
    const id = await w.pushTo(receiver, '/orders')
    w.receivers.answer('/orders', status(503))
    const first = await w.endOne()
    for (let hours = 0; hours < 80; hours++) {
      await deliver(w.server)
      w.server.tick(3600)
    }
    const stateOf = async () => (await receiver.ask('GET', `/ssf/status?stream_id=${id}`)).json()
    t.strictSame(await stateOf(), {
      stream_id: id,
      status: 'paused',
      reason: 'nothing could be delivered for three days',
    })
    t.match(await audited(w, 'receiver_paused'), [{ client_id: 'orders', receiver: id, reason: /503/ }])
    const tried = w.receivers.at('/orders').length
    const second = await w.endOne()
    w.receivers.answer('/orders', accepted)
    w.server.tick(7200)
    await w.arrived('/orders').catch(() => {})
    const types = []
    for (const { body } of w.receivers.at('/orders').slice(tried))
      types.push(eventOf(await w.verify(body, 'orders')))
    t.match(types, [['stream-updated', { status: 'paused' }]], 'that alone is told meanwhile')
    const resumed = await receiver.ask('POST', '/ssf/status', { stream_id: id, status: 'enabled' })
    t.strictSame(resumed.json(), { stream_id: id, status: 'enabled' })
    t.match(
      (await w.arrived('/orders')).map(({ sub_id }) => sub_id),
      [{ session: { id: first } }, { session: { id: second } }],
      'what was held comes first',
    )
  },
)

await forEachEngine(
  t,
  'SE-8 a stream that is paused holds events for a week, and no longer',
  async (t, env) => {
    const w = await streamWorld(t, env)
    const receiver = await w.receiver('orders', orders)
    const id = await w.pushTo(receiver, '/orders')
    await receiver.ask('POST', '/ssf/status', { stream_id: id, status: 'paused', reason: 'moving' })
    await w.endOne()
    await deliver(w.server)
    w.server.tick(4 * day)
    const late = await w.endOne()
    await deliver(w.server)
    w.server.tick(3 * day)
    await runJob(w.server, 'looking after streams')
    t.match(await audited(w, 'delivery_given_up'), [
      { client_id: 'orders', receiver: id, deliveries: 1, reason: 'the stream is paused' },
    ])
    await receiver.ask('POST', '/ssf/status', { stream_id: id, status: 'enabled' })
    t.match(await w.arrived('/orders'), [{ sub_id: { session: { id: late } } }])

    await receiver.ask('POST', '/ssf/status', { stream_id: id, status: 'disabled' })
    await w.endOne()
    await deliver(w.server)
    await receiver.ask('POST', '/ssf/status', { stream_id: id, status: 'enabled' })
    t.strictSame(await w.arrived('/orders'), [], 'one that is disabled holds nothing')
  },
)

await forEachEngine(
  t,
  'SE-9 the receiver chooses the Authorization of pushes, which is never told',
  async (t, env) => {
    const w = await streamWorld(t, env)
    const receiver = await w.receiver('orders', orders)
    const secret = 'Bearer 4d1c8ff0ae'
    const id = await w.pushTo(receiver, '/orders')
    const url = `${w.receivers.origin}/orders`
    const change = (delivery: object) =>
      receiver.ask('PATCH', '/ssf/streams', { stream_id: id, delivery: { method: push, ...delivery } })
    const sent = async (path = '/orders') => {
      await w.endOne()
      await w.arrived(path)
      return w.receivers.at(path).at(-1)?.request.headers.authorization
    }
    const changed = await change({ endpoint_url: url, authorization_header: secret })
    t.notMatch(changed.body, '4d1c8ff0ae')
    t.equal(await sent(), secret)
    await change({ endpoint_url: url })
    t.equal(await sent(), secret, 'it stays for the same address')
    w.receivers.answer('/other', accepted)
    await change({ endpoint_url: `${w.receivers.origin}/other` })
    t.equal(await sent('/other'), undefined, 'and for no other')
    await change({ endpoint_url: url, authorization_header: secret })
    await change({ endpoint_url: url, authorization_header: '' })
    t.equal(await sent(), undefined, 'it can be taken away')
    const { db } = w.server.ctx
    await change({ endpoint_url: url, authorization_header: secret })
    const stored = await db.sql.selectFrom('streams').selectAll().executeTakeFirstOrThrow()
    t.notMatch(JSON.stringify(Object.values(stored).map(String)), '4d1c8ff0ae', 'nor is it stored in clear')
    const trail = await db.sql.selectFrom('audit').selectAll().where('event', '=', 'stream_changed').execute()
    t.match(trail.map(({ detail }) => JSON.parse(detail ?? '').authorization).filter(Boolean), [
      { from: 'none', to: 'set' },
      { from: 'set', to: 'none' },
      { from: 'none', to: 'set' },
      { from: 'set', to: 'none' },
      { from: 'none', to: 'set' },
    ])
    t.notMatch(JSON.stringify(trail.map(({ detail }) => detail)), '4d1c8ff0ae')
  },
)

await forEachEngine(t, 'SE-10 a stream is verified on demand, once a minute', async (t, env) => {
  const w = await streamWorld(t, env)
  const receiver = await w.receiver('orders', orders)
  const id = await w.pushTo(receiver, '/orders', { events_requested: [`${caep}session-revoked`] })
  const verify = (body: object) => receiver.ask('POST', '/ssf/verify', { stream_id: id, ...body })
  t.match(await verify({ state: 'opaque "state"' }), { statusCode: 204, body: '' })
  const [set, ...others] = await w.arrived('/orders')
  t.strictSame(others, [])
  t.match(set, {
    aud: 'orders',
    txn: /./,
    sub_id: { format: 'opaque', id },
    events: { [`${ssf}verification`]: { state: 'opaque "state"' } },
  })
  t.match(await verify({}), { statusCode: 429, headers: { 'retry-after': '60' } })
  w.server.tick(61)
  t.equal((await verify({})).statusCode, 204)
  const [second] = await w.arrived('/orders')
  t.strictSame(second?.events, { [`${ssf}verification`]: {} }, 'without a state, there is none')
})

await forEachEngine(
  t,
  'invariant 25: an event has its deliveries once, whatever is killed',
  async (t, env) => {
    const w = await streamWorld(t, env)
    await w.pushTo(await w.receiver('orders', orders), '/orders')
    const beside = await startServer(t, { ...besideEnv(w.server), MINTMARK_DELIVERY_NETWORKS: '127.0.0.0/8' })
    const ended = []
    for (let i = 0; i < 5; i++) ended.push(await w.endOne())
    // A server that ends between the act and its deliveries leaves the events to the others.
    t.equal((await listEvents(w.server.ctx.db, { from: 1, limit: 100 })).length, 5)
    await Promise.all([deliver(w.server), deliver(beside), deliver(w.server), deliver(beside)])
    await deliver(beside)
    const sids = await Promise.all(
      w.receivers
        .at('/orders')
        .map(async ({ body }) => Object((await w.verify(body, 'orders')).sub_id['session']).id),
    )
    t.strictSame(sids, ended)
  },
)

t.test('a stream leads to no private address that is not allowed', async t => {
  const w = await streamWorld(t, { MINTMARK_DELIVERY_NETWORKS: '127.0.0.1' })
  const receiver = await w.receiver('orders', orders)
  const make = (endpoint_url: string) =>
    receiver.ask('POST', '/ssf/streams', { delivery: { method: push, endpoint_url } })
  for (const host of [
    '10.0.0.1',
    '[::1]',
    '169.254.169.254',
    '[::ffff:10.0.0.1]',
    '127.1.2.3',
    '192.168.0.1',
  ])
    t.match(await make(`https://${host}/events`), { statusCode: 400 }, host)
  t.match(await make('http://localhost/events'), { statusCode: 201 })
})

t.test('SE-11 a receiver changes from pushes to polls and back, and loses nothing', async t => {
  const w = await streamWorld(t)
  const receiver = await w.receiver('orders', orders)
  const id = await w.pushTo(receiver, '/orders')
  w.receivers.answer('/orders', status(503))
  const first = await w.endOne()
  await deliver(w.server)
  const change = (delivery: object) => receiver.ask('PATCH', '/ssf/streams', { stream_id: id, delivery })
  const changed = await change({ method: poll })
  const { endpoint_url } = changed.json().delivery
  t.equal(endpoint_url, `https://as.example/ssf/poll/${id}`)
  const ask = { returnImmediately: true }
  const polled = (await receiver.ask('POST', `/ssf/poll/${id}`, ask)).json()
  const [jwt = ''] = Object.values<string>(polled.sets)
  t.match(await w.verify(jwt, 'orders'), { sub_id: { session: { id: first } } })
  const second = await w.endOne()
  await deliver(w.server)
  w.receivers.answer('/orders', accepted)
  await change({ method: push, endpoint_url: `${w.receivers.origin}/orders` })
  const tried = w.receivers.at('/orders').length
  await deliver(w.server)
  await deliver(w.server)
  const told = await Promise.all(
    w.receivers
      .at('/orders')
      .slice(tried)
      .map(async ({ body }) => Object((await w.verify(body, 'orders')).sub_id['session']).id),
  )
  t.strictSame(told, [first, second])
  t.equal((await receiver.ask('POST', `/ssf/poll/${id}`, ask)).statusCode, 404)
})
