import t from 'tap'
import { forEachEngine } from '../helpers/engines.ts'
import { deliver } from '../helpers/receivers.ts'
import { runJob } from '../helpers/run-job.ts'
import { isOAuthError, until } from '../helpers/server.ts'
import {
  caep,
  orders,
  poll,
  push,
  risc,
  sidOf,
  ssf,
  streamWorld,
  type StreamWorld,
} from '../helpers/streams.ts'

const day = 86_400
const supported = [
  `${caep}session-revoked`,
  `${caep}credential-change`,
  `${caep}assurance-level-change`,
  `${risc}account-disabled`,
  `${risc}account-enabled`,
  `${risc}account-purged`,
]

/** What a receiver fetches at once, by its `jti`, verified. */
async function fetchAll(
  w: StreamWorld,
  receiver: Awaited<ReturnType<StreamWorld['receiver']>>,
  id: string,
  more: object = {},
) {
  const response = await receiver.ask('POST', `/ssf/poll/${id}`, { returnImmediately: true, ...more })
  const { sets, ...rest } = response.json()
  const tokens = await Promise.all(Object.values<string>(sets).map(jwt => w.verify(jwt, receiver.id)))
  return { jtis: Object.keys(sets), tokens, rest }
}

await forEachEngine(t, 'SE-13 SE-15 a receiver sees to its streams, and to no others', async (t, env) => {
  const w = await streamWorld(t, env)
  const [receiver, other] = [await w.receiver('orders', orders), await w.receiver('other', orders)]
  t.strictSame((await receiver.ask('GET', '/ssf/streams')).json(), [])
  const created = await receiver.ask('POST', '/ssf/streams', {
    events_requested: [supported[0], 'urn:example:unknown'],
    description: `${'é'.repeat(250)}`,
  })
  t.equal(created.statusCode, 201)
  const stream = created.json()
  const { stream_id: id } = stream
  const expected = {
    stream_id: id,
    iss: 'https://as.example',
    aud: 'orders',
    events_supported: supported,
    events_delivered: [supported[0]],
    min_verification_interval: 60,
    delivery: { method: poll, endpoint_url: `https://as.example/ssf/poll/${id}` },
    events_requested: [supported[0], 'urn:example:unknown'],
    description: 'é'.repeat(200),
  }
  t.strictSame(stream, expected, 'without a delivery it is polled')
  t.strictSame((await receiver.ask('GET', `/ssf/streams?stream_id=${id}`)).json(), expected)
  t.strictSame((await receiver.ask('GET', '/ssf/streams')).json(), [expected])
  t.strictSame((await other.ask('GET', '/ssf/streams')).json(), [])

  const patched = await receiver.ask('PATCH', '/ssf/streams', { ...stream, description: 'of orders' })
  t.strictSame(
    patched.json(),
    { ...expected, description: 'of orders' },
    'what is as it is may be sent along',
  )
  const nested: unknown = JSON.parse('['.repeat(40) + ']'.repeat(40))
  for (const wrong of [
    { aud: 'mail' },
    { aud: nested },
    { iss: 'https://evil.example' },
    { events_delivered: [] },
    { delivery: { method: push, endpoint_url: 'https://api.example/\0' } },
  ])
    isOAuthError(
      t,
      await receiver.ask('PATCH', '/ssf/streams', { stream_id: id, ...wrong }),
      400,
      'invalid_request',
      JSON.stringify(wrong),
    )
  const endpoint_url = `${w.receivers.origin}/orders`
  const delivery = { method: push, endpoint_url }
  const put = await receiver.ask('PUT', '/ssf/streams', { stream_id: id, delivery })
  const { events_requested: _, description: __, ...fixed } = expected
  t.strictSame(put.json(), { ...fixed, events_delivered: supported, delivery }, 'what is left out is gone')
  isOAuthError(
    t,
    await receiver.ask('PUT', '/ssf/streams', { stream_id: id }),
    400,
    'invalid_request',
    'without a delivery',
  )

  const subject = { format: 'iss_sub', iss: 'https://as.example', sub: w.ada.sub }
  const asks: readonly Parameters<typeof other.ask>[] = [
    ['GET', `/ssf/streams?stream_id=${id}`],
    ['PATCH', '/ssf/streams', { stream_id: id }],
    ['PUT', '/ssf/streams', { stream_id: id, delivery }],
    ['DELETE', `/ssf/streams?stream_id=${id}`],
    ['GET', `/ssf/status?stream_id=${id}`],
    ['POST', '/ssf/status', { stream_id: id, status: 'paused' }],
    ['POST', '/ssf/subjects/add', { stream_id: id, subject }],
    ['POST', '/ssf/subjects/remove', { stream_id: id, subject }],
    ['POST', '/ssf/verify', { stream_id: id }],
    ['POST', `/ssf/poll/${id}`, {}],
  ]
  for (const ask of asks) {
    const what = ask.slice(0, 2).join(' ')
    isOAuthError(t, await other.ask(...ask), 404, 'invalid_request', `another's: ${what}`)
    const unknown = ask.map(part => JSON.parse(JSON.stringify(part).replaceAll(id, 'not-a-stream')))
    isOAuthError(t, await receiver.ask(...(unknown as typeof ask)), 404, 'invalid_request', `none: ${what}`)
  }
  t.match(await receiver.ask('DELETE', `/ssf/streams?stream_id=${id}`), { statusCode: 204, body: '' })
  isOAuthError(
    t,
    await receiver.ask('GET', `/ssf/streams?stream_id=${id}`),
    404,
    'invalid_request',
    'deleted',
  )
  for (let i = 0; i < 10; i++) t.equal((await receiver.ask('POST', '/ssf/streams', {})).statusCode, 201)
  isOAuthError(t, await receiver.ask('POST', '/ssf/streams', {}), 409, 'invalid_request', 'one too many')
  const { sql } = w.server.ctx.db
  const trail = await sql
    .selectFrom('audit')
    .select(['event', 'actor'])
    .where('client_id', '=', 'orders')
    .execute()
  t.strictSame(
    trail.filter(({ event }) => event.startsWith('stream_')).slice(0, 4),
    ['stream_created', 'stream_changed', 'stream_changed', 'stream_deleted'].map(event => ({
      event,
      actor: 'client orders',
    })),
  )
})

t.test('SE-14 who may see to streams, and what is no request', async t => {
  const w = await streamWorld(t)
  const { server } = w
  const receiver = await w.receiver('orders', orders)
  const reader = await w.receiver('reader', orders, { scope: 'ssf.read' })
  const unscoped = await w.receiver('unscoped', orders, { scope: '' })
  const ofNone = await w.receiver('none', '')
  t.equal((await reader.ask('GET', '/ssf/streams')).statusCode, 200)
  isOAuthError(t, await reader.ask('POST', '/ssf/streams', {}), 403, 'insufficient_scope', 'ssf.read alone')
  isOAuthError(t, await unscoped.ask('GET', '/ssf/streams'), 403, 'insufficient_scope', 'no scope')
  isOAuthError(t, await ofNone.ask('GET', '/ssf/streams'), 403, 'insufficient_scope', 'no API')
  const bare = await server.request({
    method: 'POST',
    url: '/ssf/streams',
    payload: '{}',
    headers: { 'content-type': 'application/json' },
  })
  isOAuthError(t, bare, 401, 'invalid_token', 'nobody')
  const app = await server.client('machine', {
    resources: orders,
    introspects: orders,
    scope: 'ssf.manage read',
  })
  const { access_token } = (
    await server.post('/token', { grant_type: 'client_credentials', ...app.form, scope: 'read' })
  ).json()
  const authorization = `Bearer ${access_token}`
  isOAuthError(
    t,
    await receiver.ask('GET', '/ssf/streams', undefined, { authorization }),
    401,
    'invalid_token',
    'for an API',
  )
  isOAuthError(
    t,
    await receiver.ask('POST', '/ssf/streams', 'x=1', {
      'content-type': 'application/x-www-form-urlencoded',
    }),
    415,
    'invalid_request',
    'a form',
  )
  for (const method of ['PATCH', 'PUT', 'DELETE'] as const)
    t.match(await receiver.ask(method, '/ssf/status'), { statusCode: 405, headers: { allow: 'GET, POST' } })
  t.match(await server.request({ method: 'OPTIONS', url: '/ssf/streams' }), { statusCode: 405 })
  t.match(await server.request({ method: 'PATCH', url: '/token' }), {
    statusCode: 405,
    headers: { allow: 'POST' },
  })

  const wrong: readonly unknown[] = [
    '{',
    '[]',
    { delivery: 'x' },
    { delivery: { method: 'urn:x' } },
    { delivery: { method: push } },
    { delivery: { method: push, endpoint_url: 'http://receiver.example/x' } },
    { delivery: { method: push, endpoint_url: 'https://user:pw@receiver.example/x' } },
    {
      delivery: {
        method: push,
        endpoint_url: 'https://receiver.example/x',
        authorization_header: 'a\r\nb: c',
      },
    },
    { delivery: { method: push, endpoint_url: 'https://receiver.example/x', authorization_header: 1 } },
    { events_requested: 'x' },
    { events_requested: ['a b'] },
    { events_requested: Array.from({ length: 51 }, (_, i) => `urn:${i}`) },
    { description: 'a\u0000b' },
    { description: 1 },
  ]
  for (const body of wrong)
    isOAuthError(
      t,
      await receiver.ask('POST', '/ssf/streams', body as object),
      400,
      'invalid_request',
      JSON.stringify(body),
    )
  t.strictSame((await receiver.ask('GET', '/ssf/streams')).json(), [])
  const { stream_id } = (await receiver.ask('POST', '/ssf/streams', {})).json()
  const wrongHere: readonly [path: string, body: object][] = [
    ['/ssf/status', { stream_id, status: 'gone' }],
    ['/ssf/status', { stream_id, status: 'paused', reason: 1 }],
    ['/ssf/status', { status: 'paused' }],
    ['/ssf/verify', { stream_id, state: 1 }],
    ['/ssf/verify', { stream_id, state: 'x'.repeat(1001) }],
    ['/ssf/subjects/add', { stream_id }],
    ['/ssf/subjects/add', { stream_id, subject: { format: 'email', email: 'ada@example.com' } }],
    [`/ssf/poll/${stream_id}`, { maxEvents: -1 }],
    [`/ssf/poll/${stream_id}`, { returnImmediately: 'yes' }],
    [`/ssf/poll/${stream_id}`, { ack: 'x' }],
    [`/ssf/poll/${stream_id}`, { setErrs: [] }],
  ]
  for (const [path, body] of wrongHere)
    isOAuthError(
      t,
      await receiver.ask('POST', path, body),
      400,
      'invalid_request',
      `${path} ${JSON.stringify(body)}`,
    )
  await receiver.ask('POST', '/ssf/status', { stream_id, status: 'disabled' })
  isOAuthError(
    t,
    await receiver.ask('POST', '/ssf/verify', { stream_id }),
    400,
    'invalid_request',
    'disabled',
  )
})

await forEachEngine(t, 'SE-16 a stream is about the users that its receiver wants', async (t, env) => {
  const w = await streamWorld(t, env)
  const { server, ada } = w
  const receiver = await w.receiver('orders', orders)
  const stream_id = await w.pushTo(receiver, '/orders')
  const subject = { format: 'iss_sub', iss: 'https://as.example', sub: ada.sub }
  const set = (verb: 'add' | 'remove', more: object = { subject }) =>
    receiver.ask('POST', `/ssf/subjects/${verb}`, { stream_id, ...more })
  const hears = async () => {
    await w.endOne()
    return (await w.arrived('/orders')).length
  }
  t.match(await set('remove'), { statusCode: 204, body: '' })
  t.equal((await set('remove')).statusCode, 204, 'once more')
  t.equal(await hears(), 0)
  const bob = await server.user('bob')
  const ofBob = await server.logIn(w.app, bob, { resource: orders })
  await server.revoke(w.app, ofBob.refresh_token)
  t.match(await w.arrived('/orders'), [{ sub_id: { session: { id: sidOf(ofBob.access_token) } } }])
  t.match(await set('add', { subject: { format: 'complex', user: subject } }), { statusCode: 200, body: '' })
  t.equal(await hears(), 1)

  await server.ctx.db.sql.updateTable('streams').set({ default_subjects: 'NONE' }).execute()
  t.equal(await hears(), 0, 'of a stream about none, nothing is told')
  await set('add')
  t.equal(await hears(), 1)
  await set('remove')
  t.equal(await hears(), 0)
  const nobody = { ...subject, sub: '01890000-0000-7000-8000-000000000000' }
  t.match(
    await set('add', { subject: nobody }),
    { statusCode: 200, body: '' },
    'whether there is such a user is not told',
  )
  isOAuthError(
    t,
    await set('add', { subject: { ...subject, iss: 'https://x.example' } }),
    404,
    'invalid_request',
    'of another issuer',
  )
  const rows = await server.ctx.db.sql.selectFrom('stream_subjects').selectAll().execute()
  t.equal(rows.length, 1)
  const trail = await server.ctx.db.sql
    .selectFrom('audit')
    .select('event')
    .where('event', 'like', 'stream_subject%')
    .execute()
  t.strictSame(
    trail.map(({ event }) => event.replace('stream_subject_', '')),
    ['removed', 'added', 'added', 'removed', 'added'],
    'what changes nothing is not in the trail',
  )
  await receiver.ask('DELETE', `/ssf/streams?stream_id=${stream_id}`)
  t.strictSame(await server.ctx.db.sql.selectFrom('stream_subjects').selectAll().execute(), [])
})

await forEachEngine(t, 'SE-17 a receiver fetches events, and says what it has got', async (t, env) => {
  const w = await streamWorld(t, env)
  const receiver = await w.receiver('orders', orders)
  const { stream_id: id } = (await receiver.ask('POST', '/ssf/streams', {})).json()
  const ended = [await w.endOne(), await w.endOne(), await w.endOne()]
  await deliver(w.server)
  const sessions = ({ tokens }: Awaited<ReturnType<typeof fetchAll>>) =>
    tokens.map(({ sub_id }) => Object(sub_id['session']).id)
  const first = await fetchAll(w, receiver, id, { maxEvents: 2 })
  t.strictSame([sessions(first), first.rest], [ended.slice(0, 2), { moreAvailable: true }])
  t.strictSame(
    first.tokens.map(({ jti }) => jti),
    first.jtis,
  )
  const again = await fetchAll(w, receiver, id)
  t.strictSame([sessions(again), again.rest], [ended, {}], 'what is not answered to comes again')
  t.strictSame(again.jtis.slice(0, 2), first.jtis, 'as the same events')

  const [one = '', two = '', three = ''] = again.jtis
  const told = await receiver.ask('POST', `/ssf/poll/${id}`, {
    maxEvents: 0,
    ack: [one, one, 'unknown'],
    setErrs: { [two]: { err: 'invalid_audience', description: 'not us' } },
  })
  t.strictSame(told.json(), { sets: {}, moreAvailable: true })
  t.strictSame((await fetchAll(w, receiver, id)).jtis, [three])
  const { sql } = w.server.ctx.db
  const refused = await sql.selectFrom('audit').selectAll().where('event', '=', 'delivery_refused').execute()
  t.match(
    refused.map(({ client_id, actor, detail }) => [client_id, actor, JSON.parse(detail ?? '')]),
    [['orders', 'client orders', { receiver: id, reason: `${two}: invalid_audience: not us` }]],
  )
  t.strictSame((await fetchAll(w, receiver, id, { ack: [three] })).jtis, [])
  t.strictSame(await sql.selectFrom('deliveries').selectAll().execute(), [])

  await w.endOne()
  await deliver(w.server)
  await receiver.ask('POST', '/ssf/status', { stream_id: id, status: 'paused' })
  t.strictSame((await fetchAll(w, receiver, id)).jtis, [], 'nothing while it is paused')
  await receiver.ask('POST', '/ssf/status', { stream_id: id, status: 'enabled' })
  t.equal((await fetchAll(w, receiver, id)).jtis.length, 1)
  w.server.tick(3 * day)
  await runJob(w.server, 'looking after streams')
  const status = await receiver.ask('GET', `/ssf/status?stream_id=${id}`)
  t.match(status.json(), { status: 'paused', reason: 'nothing was fetched for three days' })
  const { tokens } = await fetchAll(w, receiver, id)
  t.match(tokens, [{ events: { [`${ssf}stream-updated`]: { status: 'paused' } } }])
})

await forEachEngine(t, 'SE-18 a receiver waits for an event, at one of few places', async (t, env) => {
  const w = await streamWorld(t, env)
  const { server } = w
  const receiver = await w.receiver('orders', orders)
  const { stream_id: id } = (await receiver.ask('POST', '/ssf/streams', {})).json()
  const waiting = () => {
    const metric = server.metrics.find(({ name }) => name === 'mintmark_polls_waiting')
    if (!metric || metric.kind === 'histogram') throw new Error('there is no such metric')
    return [...metric.samples()][0]?.[1] ?? 0
  }
  const wait = async () => {
    const before = waiting()
    const answer = receiver.ask('POST', `/ssf/poll/${id}`, {})
    await until(() => waiting() > before)
    return answer.then(response => response.json())
  }
  const begin = async () => ({ answer: wait() })
  const { answer } = await begin()
  await until(() => waiting() === 1)
  await runJob(server, 'waking who polls')
  t.equal(waiting(), 1, 'there is nothing yet')
  await w.endOne()
  await deliver(server)
  await runJob(server, 'waking who polls')
  const [jti] = Object.keys((await answer).sets)
  t.ok(jti)
  await fetchAll(w, receiver, id, { ack: [jti] })

  const { answer: late } = await begin()
  await until(() => waiting() === 1)
  server.tick(21)
  await runJob(server, 'waking who polls')
  t.strictSame(await late, { sets: {} }, 'for a while')

  const { answer: paused } = await begin()
  await until(() => waiting() === 1)
  await receiver.ask('POST', '/ssf/status', { stream_id: id, status: 'paused' })
  await w.endOne()
  await deliver(server)
  await runJob(server, 'waking who polls')
  t.strictSame(await paused, { sets: {} }, 'what came after the stream was paused is held')

  const { answer: last } = await begin()
  await until(() => waiting() === 1)
  server.ctx.polls.close()
  t.strictSame(await last, { sets: {} }, 'a server that ends lets all go')
  t.strictSame((await receiver.ask('POST', `/ssf/poll/${id}`, {})).json(), { sets: {} }, 'and has none wait')
})
