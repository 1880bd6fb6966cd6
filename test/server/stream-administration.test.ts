import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { applyPlan } from '../../src/admin/apply.ts'
import { deleteClient } from '../../src/admin/clients.ts'
import { parseDeclaration } from '../../src/admin/declaration.ts'
import { examineServed } from '../../src/admin/doctor/examine.ts'
import { planDeclaration } from '../../src/admin/plan.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { endAllOfCopy } from '../../src/endings/restart.ts'
import { hashSecret } from '../../src/protocol/secrets.ts'
import { adminClient, type Ask } from '../helpers/admin-api.ts'
import { byCommand } from '../helpers/by-command.ts'
import { applier, commandLine } from '../helpers/cli.ts'
import { deliver, status } from '../helpers/receivers.ts'
import { startServer } from '../helpers/server.ts'
import { accepted, eventOf, orders, streamWorld } from '../helpers/streams.ts'

t.test('administrators see to streams by HTTP', async t => {
  const w = await streamWorld(t)
  const { server, receivers } = w
  await w.receiver('orders', orders)
  // A token lives for five minutes, and this takes hours.
  const admin = async (...ask: Parameters<Ask>) => (await adminClient(server))(...ask)
  receivers.answer('/orders', accepted)
  const body = {
    client_id: 'orders',
    push: `${receivers.origin}/orders`,
    authorization: 'Bearer s3cr3t-of-orders',
    events: ['session-revoked'],
    audience: 'https://orders.example/events',
    description: 'of orders',
  }
  const created = await admin('POST', '/streams', body)
  t.equal(created.statusCode, 201)
  t.notMatch(created.body, 's3cr3t')
  const { stream_id: id, created_at: _, ...rest } = created.json()
  t.strictSame(rest, {
    client_id: 'orders',
    aud: 'https://orders.example/events',
    method: 'push',
    endpoint_url: body.push,
    has_authorization: true,
    events: ['session-revoked'],
    status: 'enabled',
    status_reason: null,
    description: 'of orders',
    subjects: 'ALL',
  })
  await w.endOne()
  t.match(await w.arrived('/orders'), [{ aud: 'https://orders.example/events' }])
  t.equal(receivers.at('/orders')[0]?.request.headers.authorization, body.authorization)

  const refusals: readonly [code: number, body: object][] = [
    [404, { client_id: 'nobody' }],
    [422, { client_id: 'app' }],
    [422, { client_id: 'orders', push: 'http://receiver.example' }],
    [422, { client_id: 'orders', push: 'https://10.0.0.1/' }],
    [422, { client_id: 'orders', authorization: 'Bearer x' }],
    [422, { client_id: 'orders', push: 'https://receiver.example', authorization: 'a\nb' }],
  ]
  for (const [, sent] of refusals) {
    const { statusCode } = await admin('POST', '/streams', sent)
    t.ok(statusCode >= 400 && statusCode < 500, `${statusCode} ${JSON.stringify(sent)}`)
  }
  t.equal((await admin('GET', '/streams')).json().items.length, 1, 'none of these was made')

  receivers.answer('/orders', status(503))
  await w.endOne()
  await deliver(server)
  const shown = (await admin('GET', `/streams/${id}`)).json()
  t.match(shown, { waiting: 1, last_error: /503/, oldest_at: /T/, failing_since_at: /T/ })
  const admins = servedAdmin(server.ctx, { actor: { kind: 'server' }, isLimited: false }, server.ctx.log)
  const findings = async () => (await examineServed(admins)).filter(({ check }) => check === 'streams')
  server.tick(700)
  t.match(await findings(), [{ verdict: 'warning', text: /1 event wait.*orders.*503/ }])

  receivers.answer('/orders', accepted)
  const paused = await admin('POST', `/streams/${id}/status`, { status: 'paused', reason: 'moving' })
  t.match(paused.json(), { status: 'paused', status_reason: 'moving' })
  server.tick(7200)
  const told = await w.arrived('/orders')
  t.match(told.slice(-1).map(eventOf), [['stream-updated', { status: 'paused', reason: 'moving' }]])
  t.match(await findings(), [{ verdict: 'warning', text: /is paused: moving/ }])
  await admin('POST', `/streams/${id}/status`, { status: 'enabled' })
  t.strictSame((await w.arrived('/orders')).map(set => eventOf(set)[0]).sort(), [
    'session-revoked',
    'stream-updated',
  ])
  t.match(await findings(), [{ verdict: 'ok' }])
  t.equal((await admin('POST', `/streams/${id}/verify`)).statusCode, 204)
  t.match((await w.arrived('/orders')).map(eventOf), [['verification', {}]])
  t.equal((await admin('POST', `/streams/${id}/verify`)).statusCode, 409, 'once a minute')

  const read = await admin('GET', `/streams/${id}`)
  const change = (etag: string) => admin('PATCH', `/streams/${id}`, { events: null }, { 'if-match': etag })
  t.equal((await change('"other"')).statusCode, 412)
  t.equal((await change(String(read.headers.etag))).json().events.length, 6)
  t.equal((await admin('DELETE', `/streams/${id}`)).statusCode, 204)
  t.equal((await admin('GET', `/streams/${id}`)).statusCode, 404)

  await w.receiver('root', '', { is_admin: 1, scope: 'admin:write ssf.manage' })
  const limited = await adminClient(server, 'admin:clients')
  t.equal(
    (await limited('POST', '/streams', { client_id: 'root' })).statusCode,
    403,
    'it would hear everything',
  )
  t.equal((await limited('POST', '/streams', { client_id: 'orders' })).statusCode, 201)
  await admin('DELETE', '/clients/orders')
  t.strictSame((await admin('GET', '/streams')).json().items, [], 'a client that is deleted leaves none')
})

t.test('a copy tells no receiver of the original', async t => {
  const w = await streamWorld(t)
  const receiver = await w.receiver('orders', orders)
  await w.pushTo(receiver, '/orders')
  await w.endOne()
  const { ctx } = w.server
  await endAllOfCopy({
    by: byCommand(ctx),
    rootKeys: ctx.rootKeys,
    file: ctx.config,
    algs: ['ES256', 'RS256'],
    from: 'https://as.example',
    to: 'https://copy.example',
    secretHashOf: id => hashSecret(id),
  })
  await deliver(w.server)
  t.strictSame(w.receivers.at('/orders'), [])
  t.strictSame(await ctx.db.sql.selectFrom('streams').selectAll().execute(), [])
})

t.test('administrators see to streams at a shell', async t => {
  const { home, call } = commandLine(t)
  await call('db migrate')
  await call('resource create https://orders.example --scope read')
  await call(
    'client create --id orders-api --grant client_credentials --scope ssf.read ssf.manage --resource-server https://orders.example',
  )
  const none = await call('stream list')
  t.match(none, { code: 0, stdout: /no stream yet/ })
  writeFileSync(join(home, 'token.txt'), 'Bearer s3cr3t-of-orders\n')
  const made = await call(
    `stream create --client orders-api --push https://orders.example/events --authorization-file ${join(home, 'token.txt')} --event session-revoked account-disabled`,
  )
  t.match(made, {
    code: 0,
    stdout: /^Created the stream [0-9a-f-]{36}\n.*pushed to +https:\/\/orders\.example\/events/s,
  })
  t.notMatch(made.stdout, 's3cr3t')
  const [, id = ''] = /stream ([0-9a-f-]{36})/.exec(made.stdout) ?? []
  t.match((await call('stream list --json')).json(), [{ stream_id: id, has_authorization: true }])
  t.match(await call(`stream show ${id}`), { code: 0, stdout: /waiting +0 events/ })
  t.match(await call(`stream update ${id} --all-events --description x`), {
    code: 0,
    stdout: /Changed the stream .*events_requested: .*description: default -> x/s,
  })
  t.match(await call(`stream update ${id} --no-push`), { code: 0, stdout: /method: push -> poll/ })
  t.match((await call(`stream show ${id} --json`)).json(), { method: 'poll', has_authorization: false })
  t.match(await call(`stream pause ${id} --reason moving`), { code: 0, stdout: /Paused/ })
  t.match((await call('stream list')).stdout, /paused: moving/)
  t.match(await call(`stream resume ${id}`), { code: 0, stdout: /goes on/ })
  t.match(await call(`stream verify ${id}`), { code: 0, stdout: /on its way/ })
  t.match(await call('stream create --client orders-api --push ftp://x'), {
    code: 1,
    stderr: /push must be an https URL/,
  })
  t.match(await call('stream create --client nobody'), { code: 1, stderr: /no client nobody/ })
  t.match(await call('stream show nonsense'), { code: 1, stderr: /there is no stream nonsense/ })
  t.match(await call(`stream delete ${id}`), { code: 0, stdout: /Deleted/ })
})

t.test('apply declares streams, with their clients, and leaves alone what it does not name', async t => {
  const commands = commandLine(t)
  const { home, call } = commands
  await call('db migrate')
  const apply = applier(commands)
  const clients = `
resources: [{ uri: https://orders.example, scope: [read] }]
clients:
  - { client_id: api, grant_types: [client_credentials], resource_server: [https://orders.example] }
  - { client_id: app, public: true, grant_types: [password] }
`
  const declared = `${clients}
streams:
  - client_id: api
    push: https://orders.example/events
    events: [account-disabled, session-revoked]
    description: Orders
  - { client_id: api, subjects: NONE, audience: https://orders.example }
`
  const dry = await apply(declared, ['--dry-run'])
  t.match(
    dry.stdout,
    /\+ stream api https:\/\/orders\.example\/events\n(?: +.*\n)* +events: session-revoked account-/,
  )
  t.match(dry.stdout, /\+ stream api \(fetched\)\n/)
  t.match((await apply(declared)).json(), { applied: true })
  const streams = async (): Promise<any[]> => {
    const listed: any[] = (await call('stream list --json')).json()
    return listed.sort((a, b) => b.method.localeCompare(a.method))
  }
  const [pushed, fetched] = await streams()
  t.match(pushed, {
    endpoint_url: 'https://orders.example/events',
    events: ['session-revoked', 'account-disabled'],
    subjects: 'ALL',
    aud: 'api',
    status: 'enabled',
  })
  t.match(fetched, { method: 'poll', subjects: 'NONE', aud: 'https://orders.example', description: null })
  t.match((await apply(declared)).json(), { applied: false })

  writeFileSync(join(home, 'token.txt'), 'Bearer of-orders\n')
  await call(`stream update ${pushed.stream_id} --authorization-file ${join(home, 'token.txt')}`)
  await call(`stream pause ${pushed.stream_id}`)
  const changed = declared.replace('description: Orders', 'description: Bills').replace(/events:.*\n/, '\n')
  t.match(
    (await apply(changed, ['--dry-run'])).stdout,
    /~ stream api https:\/\/orders\.example\/events\n +events: session-revoked account-disabled -> default\n +description: Orders -> Bills/,
  )
  t.match((await apply(changed)).json(), { applied: true })
  t.match(
    (await streams())[0],
    { stream_id: pushed.stream_id, description: 'Bills', has_authorization: true, status: 'paused' },
    'what a file does not say of it stays',
  )
  t.equal((await streams())[0].events.length, 6)
  const events = (await call('audit list --json')).json().map(({ event }: any) => event)
  t.equal(events.filter((event: string) => event === 'stream_created').length, 2)
  t.equal(events.filter((event: string) => event === 'stream_changed').length, 3)
  t.match((await apply(clients)).json(), { applied: false })
  t.equal((await streams()).length, 2)

  const before = await streams()
  const many = Array.from({ length: 9 }, (_, i) => `{ client_id: api, push: https://orders.example/${i} }`)
  for (const [content, reason] of [
    ['{ push: https://x.example/ }', /streams\[0\]\.client_id is missing/],
    ['{ client_id: api, url: https://x.example/ }', /"url", which is not known/],
    [
      '{ client_id: api, events: [session-ended] }',
      /streams\[0\]\.events takes a list of events, of session-/,
    ],
    ['{ client_id: nobody }', /nobody \(fetched\): there is no client nobody/],
    ['{ client_id: app }', /app \(fetched\): the client app serves no API/],
    ['{ client_id: api, push: "ftp://x" }', /push must be an https URL/],
    ['{ client_id: api, push: https://10.0.0.1/ }', /push leads to a private address/],
    ['{ client_id: api, push: https://x.example/, description: "" }', /description takes 1 to 200/],
    ['{ client_id: api, subjects: ALL }', /a stream keeps its audience.*\n.*a stream keeps its subjects/],
    ['{ client_id: api }, { client_id: api }', /the stream api \(fetched\) is declared more than once/],
    [many.join(), /api: a client has 10 streams at the most/],
  ] as const) {
    const { code, stderr } = await apply(`streams: [${content}]`)
    t.equal(code, 1, content)
    t.match(stderr, reason, content)
  }
  t.strictSame(await streams(), before, 'and nothing is changed by any of it')

  await call('stream create --client api')
  const { stderr } = await apply(
    'streams: [{ client_id: api, subjects: NONE, audience: https://orders.example }]',
  )
  t.match(stderr, /there are 2 such streams, so which one is meant cannot be known/)
})

t.test('a stream that somebody else changes meanwhile is not overwritten by apply', async t => {
  const server = await startServer(t)
  const { ctx } = server
  await server.client('api', { introspects: 'https://orders.example' })
  const admin = servedAdmin(ctx, { actor: { kind: 'command', user: 'root' }, isLimited: false }, ctx.log)
  const planned = async (stream: string) =>
    planDeclaration(admin, await parseDeclaration('a test', `{ streams: [${stream}] }`))
  const conflict = { code: 'conflict', text: /somebody else has changed/ }
  const creation = await planned('{ client_id: api, push: "https://orders.example/a" }')
  await applyPlan(admin, creation)
  const change = await planned('{ client_id: api, push: "https://orders.example/a", description: one }')
  await ctx.db.sql.updateTable('streams').set({ description: 'two' }).execute()
  await t.rejects(applyPlan(admin, change), conflict)
  const [row] = await ctx.db.sql.selectFrom('streams').selectAll().execute()
  t.equal(row?.description, 'two')
  const another = await planned('{ client_id: api }')
  await deleteClient(admin, 'api')
  await t.rejects(applyPlan(admin, another), conflict)
  t.strictSame(await ctx.db.sql.selectFrom('streams').selectAll().execute(), [])

  await server.client('root-api', { is_admin: 1 })
  const limited = { ...admin, isLimited: true }
  const declaration = await parseDeclaration('a test', '{ streams: [{ client_id: root-api }] }')
  await t.rejects(planDeclaration(limited, declaration), { code: 'forbidden' })
})
