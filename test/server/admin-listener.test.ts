import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { systemClock } from '../../src/clock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { openLog } from '../../src/record/log.ts'
import { startServer as serve } from '../../src/server.ts'
import { adminClient, adminPerson } from '../helpers/admin-api.ts'
import { freePort } from '../helpers/free-port.ts'
import { scratchFolder } from '../helpers/scratch.ts'
import { isOAuthError, startServer } from '../helpers/server.ts'

t.test('the admin API can be off: then there is nothing at its address', async t => {
  const server = await startServer(t, { MINTMARK_ADMIN_API: 'off' })
  const ask = await adminClient(server)
  for (const path of ['/users', '/openapi.json', ''])
    isOAuthError(t, await ask('GET', path), 404, 'invalid_request', path)
})

t.test('the admin API can have a listener of its own, and is there alone', async t => {
  const server = await startServer(t, {
    MINTMARK_ADMIN_PORT: '9002',
    MINTMARK_ADMIN_URL: 'https://admin.example',
  })
  const { adminApp } = server
  const there = { ...server, request: async (options: object) => adminApp?.inject(options) } as typeof server
  const ask = await adminClient(server)
  isOAuthError(t, await ask('GET', '/users'), 404, 'invalid_request', 'not beside all else')
  t.equal((await ask.at(there)('GET', '/users')).statusCode, 200)
  for (const url of ['/token', '/.well-known/jwks.json', '/log-in', '/health/live'])
    isOAuthError(t, await there.request({ url }), 404, 'invalid_request', `no ${url}`)
  const root = await server.user('root', 'mintmark:admin')
  for (const base of ['https://admin.example', 'https://as.example']) {
    const person = await adminPerson(server, root, { base })
    t.equal((await person.at(there)('GET', '/users')).statusCode, 200, `a proof for ${base}`)
  }
  const elsewhere = await adminPerson(server, root, { base: 'https://other.example' })
  t.equal((await elsewhere.at(there)('GET', '/users')).statusCode, 401)
  const { servers } = (await ask.at(there)('GET', '/openapi.json')).json()
  t.strictSame(servers, [{ url: 'https://admin.example' }])
})

t.test('a listener for the admin API begins and ends with the server', async t => {
  const [port, adminPort] = [await freePort(), await freePort()]
  const env = {
    MINTMARK_PORT: String(port),
    MINTMARK_ADMIN_PORT: String(adminPort),
    MINTMARK_METRICS_PORT: '0',
    MINTMARK_DRAIN: '0',
  }
  const config = loadConfig(env, scratchFolder(t))
  const log = openLog('silent', { write: () => {} })
  const server = await serve(config, systemClock(), log)
  const url = `http://127.0.0.1:${adminPort}/admin/v1/users`
  t.equal((await fetch(url)).status, 401)
  t.equal((await fetch(url.replace(String(adminPort), String(port)))).status, 404)
  await t.rejects(serve(config, systemClock(), log), { code: 'EADDRINUSE' })
  await server.close()
  await t.rejects(fetch(url), 'nothing listens there any more')
})

t.test('bodies of another type, too long, or that never end', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  const long = 'x'.repeat(256 * 1024)
  const tooLong = await ask('POST', '/users', { username: long, password: 'y' })
  t.match(tooLong.json(), { status: 413, code: 'too_large', detail: /262144 bytes/ })
  const justLong = await ask('POST', '/users', `{"username":"${'x'.repeat(256 * 1024 - 15)}"}`)
  t.match(justLong.json(), { status: 400, code: 'invalid' }, 'exactly 256 KiB is read')
  for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'application/xml', 'x']) {
    const answer = await ask('POST', '/users', 'username=ada', { 'content-type': type })
    t.match(answer.json(), { status: 415, code: 'unsupported_media_type', detail: /JSON/ }, type)
  }
  t.match((await ask('POST', '/users', '')).json(), { status: 400 })
  t.match((await ask('POST', '/users', '[]')).json(), { status: 400 })
  t.match((await ask('POST', '/users', '{"__proto__":{"username":"x"}}')).json(), { status: 400 })
  t.match((await ask('GET', '/users/x?access_token=y')).json(), { status: 400 })

  const { port } = new URL(await server.listen())
  const socket = connect(Number(port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write(
    'POST /admin/v1/users HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{',
  )
  const [answered] = await once(socket, 'data')
  socket.destroy()
  t.match(String(answered), /^HTTP\/1\.1 401 /, 'who has no token is answered before the body')
  t.notOk(
    server.log.some(({ level }) => Number(level) >= 50),
    'nothing of it is a fault of ours',
  )
})

t.test('HEAD, conditional requests and other methods', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  const { sub } = await server.user()
  const got = await ask('GET', `/users/${sub}`)
  const head = await ask('HEAD', `/users/${sub}`)
  t.equal(head.statusCode, 200)
  t.equal(head.body, '')
  t.equal(head.headers.etag, got.headers.etag)
  t.equal(head.headers['content-length'], got.headers['content-length'])
  for (const method of ['GET', 'HEAD'] as const) {
    for (const named of [String(got.headers.etag), '*', `W/${got.headers.etag}`, `"x", ${got.headers.etag}`])
      t.equal((await ask(method, `/users/${sub}`, undefined, { 'if-none-match': named })).statusCode, 304)
  }
  t.equal((await ask('GET', `/users/${sub}`, undefined, { 'if-none-match': '"x"' })).statusCode, 200)
  const other = await ask('POST', `/users/${sub}`, {})
  t.match(other.json(), { status: 405, code: 'method_not_allowed' })
  t.equal(other.headers.allow, 'GET, HEAD, PATCH, DELETE')
  for (const method of ['TRACE', 'QUERY', 'PROPFIND'] as const)
    t.equal((await ask(method as 'GET', `/users/${sub}`)).statusCode, 405, method)
})

t.test('each refusal is in the log under its id, and counted; so is each answer', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  const narrow = await adminClient(server, 'admin:keys:read')
  const sub = '0a1b2c3d-0000-4000-8000-000000000001'
  const refusals = [
    await ask('GET', `/users/${sub}`),
    await ask('GET', '/users?limit=0'),
    await narrow('GET', '/users'),
    await server.request({ url: '/admin/v1/users' }),
    await ask('POST', '/users/invitations', { username: 'a', email: 'a@example.com' }),
    await ask('POST', '/users', { username: 'a', password: 'short' }, { 'idempotency-key': 'k' }),
  ]
  for (const answer of refusals) {
    const { code, status, request_id } = answer.json()
    t.equal(answer.headers['x-request-id'], request_id)
    const [line] = server.log.filter(({ reqId, error }) => reqId === request_id && error !== undefined)
    t.match(line, { error: code, status, address: '127.0.0.1' }, `${code} is in the log`)
    t.ok((server.ctx.counts.errors.get(`${code} ${status}`) ?? 0) > 0, `${code} is counted`)
  }
  t.equal((await ask('GET', '/users')).statusCode, 200)
  t.equal((await ask('GET', '/nothing')).statusCode, 404)
  t.strictSame(Object.fromEntries(server.ctx.counts.adminRequests), {
    'readUser 404': 1,
    'listUsers 400': 1,
    'listUsers 403': 1,
    'listUsers 401': 1,
    'inviteUser 409': 1,
    'createUser 400': 1,
    'listUsers 200': 1,
    '(none) 404': 1,
  })
})
