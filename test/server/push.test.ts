import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { fastify } from 'fastify'
import t, { type Test } from 'tap'
import { endAllSessions, endSessionsOfClient, endSessionsOfUser } from '../../src/endings/end.ts'
import { openEnded } from '../../src/resource-server/ended.ts'
import { readEvents, type ServerSentEvent } from '../../src/values/event-source.ts'
import { resourceServer } from '../../src/resource-server/connect.ts'
import { resourceServer as fastifyPlugin } from '../../src/resource-server/fastify.ts'
import { followEvents } from '../../src/resource-server/push.ts'
import { settingsOf } from '../../src/resource-server/settings.ts'
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/resource-server/verifier.ts'
import { byCommand } from '../helpers/by-command.ts'
import { apiClient, tell } from '../helpers/listening.ts'
import { besideEnv, startServer, until, type TestServer } from '../helpers/server.ts'

const issuer = 'https://as.example'
const audience = 'https://api.example'

/** A server, and an API beside it whose verifier follows the events. */
async function world(t: Test) {
  const server = await startServer(t)
  await server.resource(audience)
  const app = await server.client('app', { resources: audience })
  const api = await apiClient(server, 'api', audience)
  const ada = await server.user()
  const way = { server, origin: await server.listen(), asked: [] as string[] }
  const changes: string[] = []
  const options: VerifierOptions = {
    issuer,
    audience,
    push: true,
    client: { id: api.id, secret: api.secret ?? '' },
    now: () => way.server.ctx.clock.now() * 1000,
    onPush: isLive => changes.push(isLive ? 'live' : 'cut off'),
    fetch: (input, init) => {
      const path = String(input).slice(issuer.length)
      way.asked.push(path)
      return fetch(way.origin + path, init)
    },
  }
  const kit = (more: Partial<VerifierOptions> = {}) => {
    const verifier = createVerifier({ ...options, ...more })
    t.teardown(() => verifier.close())
    return verifier
  }
  const isGood = (verifier: Verifier, { access_token }: { readonly access_token: string }) =>
    verifier.verify(access_token).then(
      () => true,
      (error: unknown) => {
        if ((error as { code?: unknown }).code === 'invalid_token') return false
        throw error
      },
    )
  return { server, app, api, ada, way, changes, options, kit, isGood, logIn: () => server.logIn(app, ada) }
}

/** Resolves once the verifier refuses the token, without any time going by. */
async function refused(
  verifier: Verifier,
  { access_token }: { readonly access_token: string },
): Promise<void> {
  for (;;) {
    try {
      await verifier.verify(access_token)
    } catch {
      return
    }
    await setImmediate()
  }
}

t.test('a verifier with push refuses a token when its session has ended, and no other', async t => {
  const { server, app, ada, way, changes, kit, isGood, logIn } = await world(t)
  const { ctx } = server
  const verifier = kit()
  const [one, other, third] = [await logIn(), await logIn(), await logIn()]
  await until(() => changes.length > 0)
  for (const token of [one, other, third]) t.ok(await isGood(verifier, token))
  const lists = () => way.asked.filter(path => path.startsWith('/status-lists')).length
  const before = lists()

  await server.revoke(app, one.refresh_token)
  await tell(server)
  await refused(verifier, one)
  t.ok(await isGood(verifier, other))

  await endSessionsOfUser(byCommand(ctx), ada.id, { reason: 'command' })
  await tell(server)
  await refused(verifier, other)
  t.notOk(await isGood(verifier, third))
  const after = await logIn()
  t.ok(await isGood(verifier, after), 'a session of the same second, but of after that')

  const early = await logIn()
  server.tick(5)
  const late = await logIn()
  await endSessionsOfClient(byCommand(ctx), app.id, 'command')
  await server.follow()
  const next = await logIn()
  await tell(server)
  await refused(verifier, early)
  t.notOk(await isGood(verifier, late))
  t.ok(await isGood(verifier, next))
  await endAllSessions(byCommand(ctx), 'command')
  await server.follow()
  await tell(server)
  await refused(verifier, next)
  t.ok(await isGood(verifier, await logIn()))
  t.equal(lists(), before, 'all of it without a status list')
  t.strictSame(changes, ['live'])
})

t.test('a verifier that starts knows what its status list does not', async t => {
  const { server, app, changes, kit, isGood, logIn } = await world(t)
  const [one, two] = [await logIn(), await logIn()]
  const first = kit({ push: false })
  t.ok(await isGood(first, one), 'the list is signed')
  await server.revoke(app, one.refresh_token)
  t.ok(await isGood(first, one), 'and is the same for a while')
  const verifier = kit()
  await until(() => changes.length > 0)
  await refused(verifier, one)
  t.ok(await isGood(verifier, two))
})

t.test('while it is cut off the status list counts, and then it catches up', async t => {
  const { server, app, way, changes, kit, isGood, logIn } = await world(t)
  const verifier = kit()
  await until(() => changes.length > 0)
  const [one, two, three] = [await logIn(), await logIn(), await logIn()]
  t.ok(await isGood(verifier, one))
  const { origin } = way
  way.origin = 'http://127.0.0.1:1'
  server.ctx.listeners.close()
  await until(() => changes.at(-1) === 'cut off')
  await server.revoke(app, one.refresh_token)
  t.ok(await isGood(verifier, one))
  way.origin = origin
  server.tick(70)
  await refused(verifier, one)
  t.ok(await isGood(verifier, two), 'by its list')

  const beside = await startServer(t, besideEnv(server), server.ctx.clock.now())
  await server.revoke(app, two.refresh_token)
  way.origin = await beside.listen()
  await refused(verifier, two)
  t.equal(changes.at(-1), 'live')
  t.ok(await isGood(verifier, three))
})

t.test('a reset has the status lists fetched anew', async t => {
  const { server, app, changes, way, kit, isGood, logIn } = await world(t)
  const verifier = kit({ client: { accessToken: async () => tokenOf(server) } })
  const one = await logIn()
  await until(() => changes.length > 0)
  t.ok(await isGood(verifier, one), 'with an access token instead of a secret')
  const lists = () => way.asked.filter(path => path.startsWith('/status-lists')).length
  const before = lists()
  await server.revoke(app, one.refresh_token)
  const { db } = server.ctx
  await tell(server)
  await refused(verifier, one)
  await db.sql
    .updateTable('events')
    .set({ id: Buffer.alloc(16, 7) })
    .execute()
  await tell(server)
  await until(() => lists() > before)
  t.pass('the database had gone back in time')
})

async function tokenOf(server: TestServer): Promise<string> {
  const client = await apiClient(server, `api-${server.log.length}`, audience)
  const form = { grant_type: 'client_credentials', ...client.form }
  return (await server.post('/token', form)).json().access_token
}

t.test('a proxy that keeps everything, or that falls silent, is as good as none', async t => {
  const { options } = await world(t)
  let requests = 0
  let first = ''
  const proxy = createServer((_request, response) => {
    requests++
    if (first !== '') response.write(first)
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  await until(() => proxy.listening)
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const heard: [boolean, unknown][] = []
  const settings = settingsOf({
    ...options,
    fetch: (_, init) => fetch(url, init),
    onPush: (isLive, cause) => {
      heard.push([isLive, cause])
      throw new Error('of the API, which has to go on')
    },
  })
  const push = followEvents(settings, () => {}, { beginning: 50, silence: 50, retry: 5, retryMax: 20 })
  t.teardown(push.close)
  await until(() => requests >= 3)
  t.strictSame(heard, [], 'it never was live')
  first = ':\n\n'
  await until(() => heard.length >= 2)
  t.match(heard, [
    [true, undefined],
    [false, { message: 'there was no sign of life' }],
  ])
  push.close()
  const last = requests
  for (let i = 0; i < 50; i++) await setImmediate()
  t.ok(requests <= last + 1, 'and none is asked after the end')
})

t.test('a token that is never there is asked for again', async t => {
  const { options } = await world(t)
  let asked = 0
  const accessToken = () => {
    asked++
    return new Promise<string>(() => {})
  }
  const settings = settingsOf({ ...options, client: { accessToken } })
  const push = followEvents(settings, () => {}, { beginning: 20, silence: 20, retry: 2, retryMax: 4 })
  t.teardown(push.close)
  await until(() => asked >= 3)
  t.pass('and so is a stream that could begin by now')
})

t.test('a stream that is refused is tried again, more and more seldom', async t => {
  const { options } = await world(t)
  const at: number[] = []
  const causes: unknown[] = []
  const settings = settingsOf({
    ...options,
    fetch: async () => {
      at.push(performance.now())
      return new Response('{}', { status: 403 })
    },
    onPush: (_, cause) => causes.push(cause),
  })
  const push = followEvents(settings, () => {}, { beginning: 500, silence: 500, retry: 8, retryMax: 64 })
  await until(() => at.length >= 7)
  push.close()
  const pauses = at.slice(1).map((time, i) => time - (at[i] ?? 0))
  t.ok((pauses.at(-1) ?? 0) >= 30, `${pauses}`)
  t.ok((pauses[0] ?? 0) >= 3)
})

t.test('what has ended is remembered within bounds', async t => {
  let now = 0
  const ended = openEnded(() => now, 3)
  const learn = (event: string, data: object) => ended.learn({ event, data: JSON.stringify(data) })
  const token = (sid: string, client_id = 'a') => ({ sid, client_id, iat: 100 })
  for (const sid of ['1', '2', '3', '4']) t.ok(learn('session', { sid }))
  t.equal(ended.size(), 3)
  t.strictSame(
    ['1', '2', '4'].map(sid => ended.hasEnded(token(sid))),
    [false, true, true],
    'the oldest is left to the status list',
  )
  now = 26 * 3_600_000
  learn('session', { sid: '5' })
  t.equal(ended.size(), 1, 'no token lives so long')
  for (const data of ['', 'null', '{', '[]', '{"sid":7}', '{"sids":7,"before":"x"}', '{"sids":[7]}']) {
    for (const event of ['session', 'user', 'client', 'all', 'credential', 'other'])
      ended.learn({ event, data })
  }
  t.equal(ended.size(), 1, 'what makes no sense says nothing')
  t.notOk(ended.hasEnded(token('00000000-0000-7000-8000-000000000000')))
  learn('client', { client_id: 'a', before: 50 })
  t.ok(ended.hasEnded(token('00000000-0000-7000-8000-000000000000')))
  t.notOk(ended.hasEnded({ client_id: 'a', iat: 50 }), 'of a token without a session, when it was issued')
  t.ok(ended.hasEnded({ client_id: 'a', iat: 49 }))
  learn('client', { client_id: 'a', before: 40 })
  t.ok(ended.hasEnded({ client_id: 'a', iat: 49 }), 'an earlier one changes nothing')
})

t.test('events are read wherever they are cut', async t => {
  const text =
    ':\nretry: 1000\n\nid: 1\nevent: session\ndata: {"sid":"ä"}\n\r\nid:2\r\ndata:a\r\ndata: b\r\n\r\n:\rid: 3\r\revent: x\n\nid\ndata\n\n'
  const read = (sizes: readonly number[]) => {
    const events: ServerSentEvent[] = []
    const reader = readEvents(event => events.push(event), '0')
    const ids: string[] = []
    const bytes = new TextEncoder().encode(text)
    for (let i = 0, part = 0; i < bytes.length; part++) {
      const size = sizes[part % sizes.length] ?? 1
      reader.take(bytes.subarray(i, i + size))
      ids.push(reader.lastEventId())
      i += size
    }
    return { events, ids: [...new Set(ids)], last: reader.lastEventId() }
  }
  const whole = read([1000])
  t.strictSame(whole.events, [
    { event: 'session', data: '{"sid":"ä"}' },
    { event: 'message', data: 'a\nb' },
    { event: 'message', data: '' },
  ])
  t.equal(whole.last, '')
  t.strictSame(read([1]).ids, ['0', '1', '2', '3', ''], 'a sign of life may have an id too')
  for (const sizes of [[1], [2], [3, 1], [7], [5, 11]]) t.strictSame(read(sizes).events, whole.events)
  const endless = readEvents(() => {})
  const megabyte = new Uint8Array(2 ** 20).fill(97)
  t.throws(
    () => {
      for (let i = 0; i < 10; i++) endless.take(megabyte)
    },
    { message: 'an event of the stream is too long' },
  )
  const many = readEvents(() => {})
  const line = new TextEncoder().encode(`data: ${'a'.repeat(2 ** 20)}\n`)
  t.throws(
    () => {
      for (let i = 0; i < 10; i++) many.take(line)
    },
    { message: 'an event of the stream is too long' },
  )
})

t.test('push needs to know the client of the API', async t => {
  const { options } = await world(t)
  const { client: _, ...without } = options
  t.throws(() => createVerifier(without), { name: 'TypeError', message: /push needs client/ })
  t.throws(() => createVerifier({ ...options, client: { id: 'api', secret: '' } }), TypeError)
  const requireScope = resourceServer({ verifier: createVerifier({ ...without, push: false }) })
  t.equal(requireScope.close(), undefined)
})

t.test('the plugin for Fastify follows until its app closes, and says so in the log', async t => {
  const { server, options } = await world(t)
  const lines: string[] = []
  const { onPush: _, ...quiet } = options
  const app = fastify({ logger: { stream: { write: (line: string) => void lines.push(line) } } })
  await app.register(fastifyPlugin, quiet)
  const said = (text: string) => lines.some(line => line.includes(text))
  await until(() => said('events of the issuer come in'))
  const listening = () =>
    server.metrics.flatMap(metric =>
      metric.kind === 'gauge' && metric.name === 'mintmark_listeners' ? [...metric.samples()] : [],
    )
  t.strictSame(listening(), [[{}, 1]])
  server.ctx.listeners.close()
  await until(() => said('events of the issuer are cut off'))
  await app.close()
  t.strictSame(listening(), [[{}, 0]])
})
