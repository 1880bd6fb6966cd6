import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import type { InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { changeClient } from '../../db/clients/clients.ts'
import { buildApp } from '../../src/app.ts'
import { openLog } from '../../src/record/log.ts'
import { isOAuthError, startServer, until } from '../helpers/server.ts'
import { runJob } from '../helpers/run-job.ts'
import { proofClaims, proofHeader, signJwt, testKey } from '../helpers/proofs.ts'

const form = { 'content-type': 'application/x-www-form-urlencoded' }
const formEndpoints = ['/token', '/par', '/introspect', '/revoke']
const documents = [
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
  '/.well-known/jwks.json',
  '/health/live',
  '/health/ready',
]

t.test(
  'every error is RFC 6749 JSON, never cached, with a challenge where it is 401 (H-4 H-5 H-7 H-9 T-5 T-6)',
  async t => {
    const server = await startServer(t)
    const { headers } = await server.client('web')
    const cases: [title: string, request: InjectOptions, status: number, code?: string][] = [
      ['an unknown path', { url: '/' }, 404],
      ['an unknown path, posted to', { method: 'POST', url: '/nothing', payload: 'a=%', headers: form }, 404],
      ['M-12 a path below an endpoint', { url: '/token/x' }, 404],
      ['a path with a slash too much', { method: 'POST', url: '/token/' }, 404],
      ['a path in capitals', { method: 'POST', url: '/TOKEN' }, 404],
      ['a malformed URL', { url: '/%zz' }, 400],
      ['H-14 a token in the URL of an unknown path', { url: '/nothing?access_token=x' }, 404],
    ]
    for (const path of formEndpoints) {
      const request = (more: InjectOptions): InjectOptions => ({ method: 'POST', url: path, ...more })
      cases.push(
        [`H-8 JSON at ${path}`, request({ payload: { token: 'x' } }), 415],
        [
          `H-8 plain text at ${path}`,
          request({ payload: 'token=x', headers: { 'content-type': 'text/plain' } }),
          415,
        ],
        [`H-8 no type at ${path}`, request({ payload: 'token=x' }), 415],
        [`H-8 no body at ${path}`, request({ headers }), 400],
        [
          `H-8 multipart at ${path}`,
          request({ payload: '--a--', headers: { 'content-type': 'multipart/form-data; boundary=a' } }),
          415,
        ],
        [
          `H-8 a broken type at ${path}`,
          request({ payload: 'token=x', headers: { 'content-type': ';' } }),
          415,
        ],
        [
          `H-8 a compressed form at ${path}`,
          request({ payload: 'x', headers: { ...form, 'content-encoding': 'gzip' } }),
          415,
        ],
        [
          `H-9 17 KiB at ${path}`,
          request({ payload: `token=${'x'.repeat(17 * 1024)}`, headers: { ...form, ...headers } }),
          413,
        ],
        [
          `P-3 a repeated parameter at ${path}`,
          request({ payload: 'token=x&token=x', headers: { ...form, ...headers } }),
          400,
        ],
        [
          `P-7 a malformed form at ${path}`,
          request({ payload: 'token=%', headers: { ...form, ...headers } }),
          400,
        ],
        [
          `P-7 a body that is not UTF-8 at ${path}`,
          request({ payload: Buffer.from('token=\xff', 'latin1'), headers: { ...form, ...headers } }),
          400,
        ],
        [`an empty form at ${path}`, request({ payload: '', headers: form }), 401, 'invalid_client'],
      )
      for (const name of [
        'access_token',
        'client_secret',
        'password',
        'refresh_token',
        'token',
        'client%5Fsecret',
      ]) {
        cases.push([
          `H-14 P-5 ${name} in the URL of ${path}`,
          request({ url: `${path}?${name}=x`, payload: 'token=x', headers: { ...form, ...headers } }),
          400,
        ])
      }
    }
    for (const [title, request, status, code = 'invalid_request'] of cases) {
      isOAuthError(t, await server.request(request), status, code, title)
    }
  },
)

t.test('H-6 another method is 405, and Allow says which there is', async t => {
  const { request } = await startServer(t)
  const payload = 'grant_type=%'
  for (const url of formEndpoints) {
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const) {
      const response = await request({ method, url, ...(method === 'PUT' && { payload, headers: form }) })
      isOAuthError(t, response, 405, 'invalid_request', `${method} ${url}`)
      t.equal(response.headers.allow, 'POST')
    }
    const head = await request({ method: 'HEAD', url })
    t.equal(head.statusCode, 405, `HEAD ${url}`)
    t.equal(head.headers.allow, 'POST')
  }
  for (const url of documents) {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const) {
      const response = await request({ method, url })
      isOAuthError(t, response, 405, 'invalid_request', `${method} ${url}`)
      t.equal(response.headers.allow, 'GET, HEAD')
    }
    const get = await request({ url })
    const head = await request({ method: 'HEAD', url })
    t.equal(head.statusCode, 200, `HEAD ${url}`)
    t.equal(head.body, '')
    t.equal(head.headers['content-length'], get.headers['content-length'])
  }
})

t.test('a form is a form whatever its type is called (P-13)', async t => {
  const server = await startServer(t)
  const client = await server.client('app', { isPublic: true })
  for (const type of [
    'application/x-www-form-urlencoded',
    'application/x-www-form-urlencoded; charset=UTF-8',
    'application/x-www-form-urlencoded;charset="utf-8"',
    'APPLICATION/X-WWW-Form-Urlencoded',
  ]) {
    const response = await server.post('/revoke', { token: 'x', ...client.form }, { 'content-type': type })
    t.equal(response.statusCode, 200, type)
  }
})

t.test('a fault of ours is 503 that can be tried again, without a word about it (invariant 9)', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const user = await server.user()
  const tokens = await server.logIn(client, user)
  await server.ctx.db.sql.schema.alterTable('sessions').renameTo('elsewhere').execute()
  for (const [path, form] of [
    ['/token', { grant_type: 'password', username: user.username, password: user.password }],
    ['/token', { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }],
    ['/token', { grant_type: 'client_credentials' }],
    ['/introspect', { token: tokens.access_token }],
    ['/introspect', { token: tokens.refresh_token }],
    ['/revoke', { token: tokens.access_token }],
    ['/revoke', { token: tokens.refresh_token }],
  ] as const) {
    const response = await server.post(path, { ...form, ...client.form })
    isOAuthError(t, response, 503, 'temporarily_unavailable', path)
    t.notMatch(response.body, /sessions|sqlite|table/i)
  }
  t.ok(
    server.log.some(line => /no such table|does not exist/.test(JSON.stringify(line))),
    'the log knows',
  )
  await server.ctx.db.sql.schema.alterTable('elsewhere').renameTo('sessions').execute()
  t.ok(await server.refresh(client, tokens.refresh_token), 'and the token is still good')

  await server.ctx.db.sql.schema.alterTable('clients').renameTo('elsewhere').execute()
  await server.ctx.db.sql.updateTable('installation').set({ revision: 1000 }).execute()
  await runJob(server, 'following the registry')
  isOAuthError(t, await server.post('/token', client.form), 503, 'temporarily_unavailable', 'clients away')
  await server.ctx.db.sql.schema.alterTable('installation').renameTo('gone').execute()
  isOAuthError(t, await server.request({ url: '/health/ready' }), 503, 'temporarily_unavailable', 'not ready')
  t.equal((await server.request({ url: '/health/live' })).statusCode, 200, 'but live')
})

t.test('H-14 the log has one line for each request, and nothing of it that could be secret', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const user = await server.user()
  await server.logIn(client, user)
  await server.post('/token', {
    grant_type: 'password',
    username: 'ada',
    password: 'wrong-password',
    ...client.form,
  })
  await server.post('/token?password=in-the-url', client.form)
  await server.post('/token', { client_id: 'web', client_secret: 'wrong-secret' })
  await server.post('/introspect', { token: 'some-token' }, client.headers)
  await server.request({
    url: '/nothing/secret-path?token=secret-query',
    headers: { authorization: 'Bearer secret-header' },
  })
  await server.request({ url: '/%zz?secret-query' })
  await server.request({ method: 'DELETE', url: '/token' })
  await server.request({ method: 'DELETE', url: '/nothing' })
  const answered = () => server.log.filter(line => line['msg'] === 'answered')
  await until(() => answered().length === 8)
  const text = JSON.stringify(server.log)
  for (const secret of [
    'wrong-password',
    'in-the-url',
    'wrong-secret',
    'some-token',
    'secret-path',
    'secret-query',
    'secret-header',
  ]) {
    t.notMatch(text, secret)
  }
  t.match(answered(), [
    { method: 'POST', route: '/token', status: 200 },
    { method: 'POST', route: '/token', status: 400 },
    { method: 'POST', route: '/token', status: 400 },
    { method: 'POST', route: '/token', status: 401 },
    { method: 'POST', route: '/introspect', status: 200 },
    { method: 'GET', status: 404 },
    { method: 'DELETE', route: '/token', status: 405 },
    { method: 'DELETE', status: 404 },
  ])
})

t.test(
  'each answer has a request id that the log has too, and headers that keep browsers from guessing',
  async t => {
    const server = await startServer(t)
    const ids = new Set()
    for (const url of ['/health/live', '/nothing', '/%zz']) {
      const { headers } = await server.request({
        url,
        headers: { 'x-request-id': 'chosen', 'request-id': 'chosen' },
      })
      t.match(headers, {
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'content-security-policy': /none/,
        'referrer-policy': 'no-referrer',
        'strict-transport-security': /^max-age=\d{8}$/,
      })
      t.notOk('server' in headers || 'x-powered-by' in headers, 'nothing says what this is')
      t.not(headers['x-request-id'], 'chosen')
      ids.add(headers['x-request-id'])
    }
    t.equal(ids.size, 3)
    await until(() => [...ids].every(id => server.log.some(line => line['reqId'] === id)))
  },
)

t.test(
  'H-11 CORS headers are on every answer to the origins that are configured, errors included',
  async t => {
    const server = await startServer(t, {
      MINTMARK_CORS_ORIGINS: 'https://app.example https://other.example',
    })
    const client = await server.client('app', { isPublic: true })
    const origin = 'https://app.example'
    const allowed = 'access-control-allow-origin'
    const answers: [title: string, request: InjectOptions, status: number][] = [
      ['a success', { url: '/.well-known/jwks.json' }, 200],
      ['metadata', { url: '/.well-known/oauth-authorization-server' }, 200],
      [
        'a revocation',
        { method: 'POST', url: '/revoke', payload: `token=x&client_id=${client.id}`, headers: form },
        200,
      ],
      ['a refusal', { method: 'POST', url: '/token', payload: 'client_id=x', headers: form }, 401],
      ['a malformed form', { method: 'POST', url: '/token', payload: 'a=%', headers: form }, 400],
      ['no form', { method: 'POST', url: '/token', payload: {} }, 415],
      ['too much', { method: 'POST', url: '/token', payload: 'x'.repeat(17_000), headers: form }, 413],
      [
        'a secret in the URL',
        { method: 'POST', url: '/token?password=x', payload: 'a=b', headers: form },
        400,
      ],
      ['an unknown path', { url: '/nothing' }, 404],
      ['another method', { method: 'GET', url: '/token' }, 405],
    ]
    for (const [title, request, status] of answers) {
      const response = await server.request({ ...request, headers: { ...request.headers, origin } })
      t.equal(response.statusCode, status, title)
      t.equal(response.headers[allowed], origin, title)
      t.match(response.headers['vary'], /Origin/, title)
      t.match(response.headers['access-control-expose-headers'], /retry-after.*www-authenticate/)
      const stranger = await server.request({
        ...request,
        headers: { ...request.headers, origin: 'https://evil.example' },
      })
      t.notOk(allowed in stranger.headers, `${title}, but not for strangers`)
      t.match(stranger.headers['vary'], /Origin/, title)
    }

    const preflight = (url: string, origin: string) =>
      server.request({ method: 'OPTIONS', url, headers: { origin, 'access-control-request-method': 'POST' } })
    const { statusCode, headers } = await preflight('/token', 'https://other.example')
    t.equal(statusCode, 204)
    t.equal(headers[allowed], 'https://other.example')
    t.match(headers['access-control-allow-methods'], /POST/)
    t.match(headers['access-control-allow-headers'], /authorization.*content-type/)
    t.notOk(allowed in (await preflight('/token', 'https://evil.example')).headers)
    t.notOk(allowed in (await preflight('/token', 'null')).headers)
    t.notOk('access-control-allow-credentials' in headers, 'there are no cookies')
    t.equal(
      (await server.request({ method: 'OPTIONS', url: '/token' })).statusCode,
      204,
      'no preflight, and no error',
    )

    t.equal((await preflight('/introspect', origin)).statusCode, 405, 'introspection is not for browsers')
    const introspection = await server.post('/introspect', { token: 'x', ...client.form }, { origin })
    t.notOk(allowed in introspection.headers)
  },
)

t.test('H-11 a page may send what its libraries add to each request', async t => {
  const server = await startServer(t, { MINTMARK_CORS_ORIGINS: 'https://app.example' })
  const names = [
    ...['authorization', 'content-type', 'dpop'],
    ...[
      'x-requested-with',
      'traceparent',
      'tracestate',
      'baggage',
      'sentry-trace',
      'cache-control',
      'pragma',
    ],
    // They cannot all be named.
    ...['x-datadog-trace-id', 'b3', 'newrelic', 'uber-trace-id', 'request-id', 'if-none-match'],
  ]
  const preflight = async (url: string, method: string, origin: string) => {
    const asked = {
      'access-control-request-method': method,
      'access-control-request-headers': names.join(','),
    }
    return (await server.request({ method: 'OPTIONS', url, headers: { origin, ...asked } })).headers
  }
  const listOf = (field: unknown) => String(field).split(/ *, */)
  const cases: [url: string, method: string, origin: string, allowed: string | undefined][] = [
    ['/token', 'POST', 'https://app.example', 'https://app.example'],
    ['/revoke', 'POST', 'https://app.example', 'https://app.example'],
    ['/.well-known/jwks.json', 'GET', 'https://app.example', 'https://app.example'],
    ['/.well-known/oauth-authorization-server', 'GET', 'https://app.example', 'https://app.example'],
    ['/token', 'POST', 'https://evil.example', undefined],
    // For everybody.
    ['/status-lists', 'GET', 'https://evil.example', '*'],
    ['/status-lists/0', 'GET', 'https://evil.example', '*'],
    // For no page.
    ['/introspect', 'POST', 'https://app.example', undefined],
    ['/global-token-revocation', 'POST', 'https://app.example', undefined],
  ]
  for (const [url, method, origin, allowed] of cases) {
    const headers = await preflight(url, method, origin)
    t.equal(headers['access-control-allow-origin'], allowed, `${url} from ${origin}`)
    if (allowed === undefined) continue
    t.ok(listOf(headers['access-control-allow-methods']).includes(method), url)
    // Fetch, CORS-preflight fetch: `*` is any header but authorization.
    const may = listOf(headers['access-control-allow-headers'])
    const refused = names.filter(
      name => !may.includes(name) && (name === 'authorization' || !may.includes('*')),
    )
    t.strictSame(refused, allowed === '*' ? ['authorization'] : [], `${url}: what may not be sent`)
    t.strictSame(
      names.slice(0, 10).filter(name => !may.includes(name) && allowed !== '*'),
      [],
      'by name',
    )
  }
  const { headers } = await server.post('/token', {}, { origin: 'https://app.example' })
  for (const name of ['dpop-nonce', 'www-authenticate', 'retry-after', 'date', 'x-request-id', 'etag'])
    t.ok(listOf(headers['access-control-expose-headers']).includes(name), `a page may read ${name}`)
})

t.test('H-11 a client with origins of its own is for their pages alone, and errors say so too', async t => {
  const server = await startServer(t, { MINTMARK_CORS_ORIGINS: 'https://app.example' })
  const cors_origins = 'https://shop.example https://shop.example:8443'
  const shop = await server.client('shop', { isPublic: true, cors_origins })
  const app = await server.client('app', { isPublic: true })
  const user = await server.user()
  const { refresh_token } = await server.logIn(shop, user)
  const allowed = 'access-control-allow-origin'

  const cases: [title: string, client: typeof shop, origin: string, status: number, reads: boolean][] = [
    ['its own origin', shop, 'https://shop.example', 200, true],
    ['its own other origin', shop, 'https://shop.example:8443', 200, true],
    ['its own origin with another port', shop, 'https://shop.example:8444', 400, false],
    ['its own origin with another scheme', shop, 'http://shop.example', 400, false],
    ['an origin below its own', shop, 'https://a.shop.example', 400, false],
    ['an origin that starts like its own', shop, 'https://shop.example.evil.example', 400, false],
    ['the origin null', shop, 'null', 400, false],
    ["the server's origin", shop, 'https://app.example', 400, false],
    ["the server's origin for a client without", app, 'https://app.example', 200, true],
    ["another client's origin for a client without", app, 'https://shop.example', 200, false],
  ]
  for (const [title, client, origin, status, reads] of cases) {
    for (const path of ['/token', '/revoke']) {
      const form =
        path === '/token'
          ? { grant_type: 'password', username: user.username, password: user.password }
          : { token: 'x' }
      const response = await server.post(path, { ...form, ...client.form }, { origin })
      t.equal(response.statusCode, status, `${path} from ${title}`)
      t.equal(response.headers[allowed], reads ? origin : undefined, `${path} from ${title}`)
    }
  }
  const refused = await server.post(
    '/token',
    { grant_type: 'refresh_token', refresh_token, ...shop.form },
    { origin: 'https://app.example' },
  )
  isOAuthError(t, refused, 400, 'invalid_request', 'a refresh from another origin')
  t.ok(await server.refresh(shop, refresh_token), 'which has cost the session nothing')

  const preflight = async (origin: string) => {
    const headers = { origin, 'access-control-request-method': 'POST' }
    return (await server.request({ method: 'OPTIONS', url: '/token', headers })).headers[allowed]
  }
  const origin = 'https://shop.example'
  t.equal(await preflight(origin), origin, 'a preflight does not say which client it is of')
  t.equal(
    (await server.post('/token', { ...shop.form }, { origin })).headers[allowed],
    origin,
    'an error after it is known',
  )
  t.equal((await server.post('/token', [], { origin })).headers[allowed], origin, 'an error before')
  t.equal(
    (await server.request({ url: '/.well-known/jwks.json', headers: { origin } })).headers[allowed],
    origin,
  )

  await changeClient(server.ctx.db, 'shop', { cors_origins: '' })
  await server.follow()
  t.equal(await preflight(origin), undefined, 'an origin that was taken away is known to nobody')

  await changeClient(server.ctx.db, 'shop', { cors_origins })
  await server.follow()
  t.equal(await preflight(origin), origin)
  // The copy in memory is forgotten, and cannot be read again.
  await changeClient(server.ctx.db, 'app', { scope: 'read' })
  await server.follow()
  await server.ctx.db.close()
  const form = { grant_type: 'refresh_token', refresh_token, ...shop.form }
  const fault = await server.post('/token', form, { origin })
  isOAuthError(t, fault, 503, 'temporarily_unavailable', 'a fault of ours')
  t.equal(fault.headers[allowed], origin, 'is told to the page too')
})

t.test('without configured origins there is no CORS', async t => {
  const { request } = await startServer(t, { MINTMARK_ISSUER: 'http://127.0.0.1:9000' })
  const response = await request({
    url: '/.well-known/jwks.json',
    headers: { origin: 'https://app.example' },
  })
  t.notOk('access-control-allow-origin' in response.headers)
  const options = await request({
    method: 'OPTIONS',
    url: '/token',
    headers: { origin: 'https://app.example' },
  })
  t.equal(options.statusCode, 405)
  t.notOk('strict-transport-security' in response.headers, 'nor does plain http speak of https')
})

t.test('H-12 X-Forwarded-For is believed from configured proxies only, from right to left', async t => {
  const cases: [proxies: string, remoteAddress: string, forwarded: string, ip: string][] = [
    ['', '10.0.0.1', '1.2.3.4', '10.0.0.1'],
    ['10.0.0.0/8', '10.0.0.1', '1.2.3.4', '1.2.3.4'],
    ['10.0.0.0/8', '10.0.0.1', '6.6.6.6, 1.2.3.4', '1.2.3.4'],
    ['10.0.0.0/8', '10.0.0.1', '6.6.6.6, 1.2.3.4, 10.0.0.2', '1.2.3.4'],
    ['10.0.0.0/8', '11.0.0.1', '1.2.3.4', '11.0.0.1'],
    ['10.0.0.1,::1', '::1', '1.2.3.4', '1.2.3.4'],
    ['', '::ffff:10.0.0.1', '1.2.3.4', '10.0.0.1'],
    // The address alone, in its one spelling.
    ['10.0.0.0/8', '::ffff:10.0.0.1', '203.0.113.8:50001', '203.0.113.8'],
    ['10.0.0.0/8', '10.0.0.1', '"203.0.113.8:50001"', '203.0.113.8'],
    ['10.0.0.0/8', '10.0.0.1', '[2001:DB8::1]:50001', '2001:db8::1'],
    ['10.0.0.0/8', '10.0.0.1', '"[2001:db8:0::1]"', '2001:db8::1'],
    ['10.0.0.0/8', '10.0.0.1', '2001:db8:0:0::1', '2001:db8::1'],
    ['10.0.0.0/8', '10.0.0.1', '::ffff:1.2.3.4', '1.2.3.4'],
    ['10.0.0.0/8', '10.0.0.1', 'fe80::1%eth0', 'fe80::1'],
    ['10.0.0.0/8', '10.0.0.1', '6.6.6.6, 1.2.3.4:80, [::ffff:10.0.0.3]:80, 10.0.0.2:443', '1.2.3.4'],
    ['10.0.0.0/8', '10.0.0.1', ' , 1.2.3.4, ,', '1.2.3.4'],
    // A text that is no address counts as absent, and so do those that it hides.
    ['10.0.0.0/8', '10.0.0.1', 'unknown', '10.0.0.1'],
    ['10.0.0.0/8', '10.0.0.1', '_hidden', '10.0.0.1'],
    ['10.0.0.0/8', '10.0.0.1', 'unknown, 1.2.3.4', '1.2.3.4'],
    ['10.0.0.0/8', '10.0.0.1', '6.6.6.6, unknown', '10.0.0.1'],
    ['10.0.0.0/8', '10.0.0.1', '6.6.6.6, unknown, 10.0.0.2', '10.0.0.2'],
    ['10.0.0.0/8', '10.0.0.1', '1.2.3.4.5', '10.0.0.1'],
    ['10.0.0.0/8', '10.0.0.1', '', '10.0.0.1'],
  ]
  for (const MINTMARK_TRUST_PROXY of new Set(cases.map(([proxies]) => proxies))) {
    const server = await startServer(t, { MINTMARK_TRUST_PROXY })
    const answered = () => server.log.filter(({ msg }) => msg === 'answered')
    for (const [proxies, remoteAddress, forwarded, ip] of cases) {
      if (proxies !== MINTMARK_TRUST_PROXY) continue
      const { length } = answered()
      await server.request({ url: '/health/live', remoteAddress, headers: { 'x-forwarded-for': forwarded } })
      await until(() => answered().length > length)
      t.equal(answered().at(-1)?.['ip'], ip, `${remoteAddress} says ${forwarded}`)
    }
  }
})

t.test('what is not HTTP is answered in JSON all the same', async t => {
  const server = await startServer(t)
  const { port, hostname } = new URL(await server.listen())
  const answerTo = async (bytes: string) => {
    const socket = connect(Number(port), hostname)
    socket.write(bytes)
    const answer = await text(socket)
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    t.match(JSON.parse(body), {
      error: 'invalid_request',
      error_description: /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/,
    })
    t.match(head, /content-type: application\/json/i)
    t.match(head, /cache-control: no-store/i)
    t.match(head, new RegExp(`content-length: ${body.length}\\b`, 'i'))
    return head.split('\r\n')[0]
  }
  t.equal(await answerTo('nonsense\r\n\r\n'), 'HTTP/1.1 400 Bad Request')
  t.equal(
    await answerTo('GET / HTTP/1.1\r\nConnection: close\r\n\r\n'),
    'HTTP/1.1 400 Bad Request',
    'without a Host',
  )
  t.equal(
    await answerTo(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`),
    'HTTP/1.1 431 Request Header Fields Too Large',
  )
  t.equal(
    await answerTo(
      'POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    ),
    'HTTP/1.1 400 Bad Request',
    'a smuggled request',
  )
  t.equal(
    await answerTo('GET http://x/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'),
    'HTTP/1.1 404 Not Found',
    'an absolute URL is one of ours',
  )
  t.equal(
    await answerTo('GET /nothing HTTP/1.1\r\nHost: x\r\nExpect: the-best\r\nConnection: close\r\n\r\n'),
    'HTTP/1.1 404 Not Found',
    'nothing is expected of an Expect',
  )
})

/** Answers to raw requests, each on a connection of its own, until the server closes it. */
async function openRaw(t: Test, env: Record<string, string> = {}) {
  const server = await startServer(t, env)
  const { port, hostname } = new URL(await server.listen())
  const send = async (bytes: string) => {
    const socket = connect(Number(port), hostname)
    socket.write(bytes)
    const answer = await text(socket)
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    const [, status] = /^HTTP\/1\.1 (\d+) /.exec(head) ?? []
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.trim()
    return { status: Number(status), body, field }
  }
  return { server, send }
}

const formHead = 'Content-Type: application/x-www-form-urlencoded\r\n'
const close = 'Connection: close\r\n'

t.test(
  'a request is understood as HTTP has it, and what is none is refused in JSON (RFC 9110, 9112)',
  async t => {
    const { send } = await openRaw(t)
    const live = (more: string) => `GET /health/live HTTP/1.1\r\n${close}${more}\r\n`
    const body = 'Content-Length: 1\r\n\r\na'
    const chunk = '\r\n1\r\na\r\n0\r\n\r\n'
    const at = (path: string, more: string) =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\n${close}${formHead}${more}`
    const all = 'GET, HEAD, POST, OPTIONS'
    const cases: [title: string, request: string, status: number, allow?: string][] = [
      ['CONNECT', 'CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n', 405, all],
      ['a method that there is not', `FOO /token HTTP/1.1\r\nHost: x\r\n${close}\r\n`, 400],
      ['OPTIONS *', `OPTIONS * HTTP/1.1\r\nHost: x\r\n${close}\r\n`, 204, all],
      ['OPTIONS of the whole server', `OPTIONS http://x HTTP/1.1\r\nHost: x\r\n${close}\r\n`, 204, all],
      ['GET *', `GET * HTTP/1.1\r\nHost: x\r\n${close}\r\n`, 404],
      ['an unknown path with a rare method', `PROPFIND /nothing HTTP/1.1\r\nHost: x\r\n${close}\r\n`, 404],
      ['an upgrade to HTTP/2', live('Host: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'), 200],
    ]
    for (const host of [
      '',
      'x',
      'a_b',
      'x:',
      'x:80',
      '[::1]:90',
      '[fe80::1%25eth0]',
      'a%20b',
      "a~!$&'()*+,;=-.",
    ])
      cases.push([`the host ${host}`, live(`Host: ${host}\r\n`), 200])
    for (const host of [
      'a b',
      'a/b',
      'http://a',
      'a@b',
      'a:b',
      '[::1',
      'a\\b',
      'a%zz',
      '\u00e9',
      'a"b',
      'a?b',
      'a#b',
    ])
      cases.push([`the host ${host}`, live(`Host: ${host}\r\n`), 400])
    for (const method of ['PROPFIND', 'TRACE', 'QUERY', 'MKCOL', 'SEARCH', 'LINK', 'M-SEARCH', 'PURGE']) {
      for (const [path, allow] of [
        ['/token', 'POST'],
        ['/status-lists/0', 'GET, HEAD'],
        ['/.well-known/jwks.json', 'GET, HEAD'],
      ] as const) {
        cases.push([`${method} ${path}`, `${method} ${path} HTTP/1.1\r\nHost: x\r\n${close}\r\n`, 405, allow])
      }
    }
    for (const path of formEndpoints) {
      for (const coding of ['Identity', 'IDENTITY', 'identity, Identity', ''])
        cases.push([`${path} coded as ${coding}`, at(path, `Content-Encoding: ${coding}\r\n${body}`), 401])
      for (const coding of ['gzip', 'identity, gzip', 'br', 'x'])
        cases.push([`${path} coded as ${coding}`, at(path, `Content-Encoding: ${coding}\r\n${body}`), 415])
      cases.push(
        [`${path} in chunks`, at(path, `Transfer-Encoding: Chunked\r\n${chunk}`), 401],
        [`${path} in chunks of gzip`, at(path, `Transfer-Encoding: gzip, chunked\r\n${chunk}`), 415],
        [`${path} in chunks, twice`, at(path, `Transfer-Encoding: chunked, chunked\r\n${chunk}`), 400],
        [`${path} in gzip without chunks`, at(path, `Transfer-Encoding: gzip\r\n${chunk}`), 415],
        [
          `${path} in chunks over HTTP/1.0`,
          `POST ${path} HTTP/1.0\r\n${formHead}Transfer-Encoding: chunked\r\n${chunk}`,
          400,
        ],
      )
    }
    for (const [title, request, status, allow] of cases) {
      const answer = await send(request)
      t.equal(answer.status, status, title)
      t.equal(answer.field('allow'), allow, `${title}: Allow`)
      if (status >= 400) t.match(JSON.parse(answer.body), { error: /^invalid_(request|client)$/ }, title)
    }
  },
)

t.test('whoever asks for a tunnel and goes away costs nothing', async t => {
  const { server } = await openRaw(t)
  const { port, hostname } = new URL(server.app.listeningOrigin)
  for (let i = 0; i < 5; i++) {
    // Half open: it never says that it has no more to say.
    const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
    socket.on('error', () => {})
    socket.write('CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n')
    if (i === 0) socket.resetAndDestroy()
    else await once(socket.resume(), 'end')
  }
  const count = () =>
    new Promise<number>((resolve, reject) =>
      server.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    )
  while ((await count()) > 0) await setImmediate()
  t.equal((await fetch(`${server.app.listeningOrigin}/health/live`)).status, 200)
})

t.test(
  'a whole URL as the target is served as its path, wherever the issuer is (RFC 9112 §3.2.2)',
  async t => {
    const cases: [issuer: string, method: string, target: string, status: number][] = [
      ['https://as.example/tenant', 'POST', 'http://as.example/tenant/token', 200],
      ['https://as.example/tenant', 'POST', 'HTTPS://AS.example:443/tenant/token?x=y', 200],
      ['https://as.example/tenant', 'POST', 'http://10.0.0.1:9000/token', 200],
      ['https://as.example/tenant', 'POST', 'http://[::1]:9000/tenant/token', 200],
      ['https://as.example/tenant', 'POST', 'http://as.example/tenant/token?client_secret=x', 400],
      ['https://as.example/tenant', 'POST', 'http://as.example/other/token', 404],
      ['https://as.example/tenant', 'POST', 'http://as.example/tenant', 404],
      ['https://as.example/tenant', 'POST', 'http://as.example', 404],
      ['https://as.example/tenant', 'POST', 'http://as.example?/tenant/token', 404],
      ['https://as.example/tenant', 'POST', '/tenant/http://as.example/tenant/token', 404],
      ['https://as.example/tenant', 'GET', 'http://as.example/tenant/.well-known/jwks.json', 200],
      ['https://as.example/tenant', 'GET', 'http://x/.well-known/oauth-authorization-server/tenant', 200],
      ['https://as.example', 'POST', 'https://as.example/token', 200],
      ['https://as.example', 'POST', 'ftp://as.example/token', 404],
      ['https://as.example', 'POST', '//as.example/token', 404],
    ]
    for (const issuer of new Set(cases.map(([issuer]) => issuer))) {
      const { server, send } = await openRaw(t, { MINTMARK_ISSUER: issuer })
      const { form } = await server.client('app')
      const key = await testKey()
      const body = new URLSearchParams({ grant_type: 'client_credentials', ...form }).toString()
      const post = async (target: string, more = '') =>
        send(
          `POST ${target} HTTP/1.1\r\nHost: x\r\n${close}${formHead}${more}Content-Length: ${body.length}\r\n\r\n${body}`,
        )
      for (const [of, method, target, status] of cases) {
        if (of !== issuer) continue
        const answer =
          method === 'POST'
            ? await post(target)
            : await send(`GET ${target} HTTP/1.1\r\nHost: x\r\n${close}\r\n`)
        t.equal(answer.status, status, `${method} ${target} for ${issuer}`)
      }
      // Whatever the target looks like, a proof is for the URL in the metadata.
      const absolute = `${issuer}/token`
      for (const [htu, status] of [
        [absolute, 200],
        ['http://x/token', 400],
      ] as const) {
        const claims = (nonce?: string) => ({
          ...proofClaims(server.ctx.clock.now(), nonce === undefined ? {} : { nonce }),
          htu,
        })
        const proof = async (nonce?: string) =>
          `DPoP: ${await signJwt(key, proofHeader(key), claims(nonce))}\r\n`
        const { field } = await post(absolute, await proof())
        t.equal((await post(absolute, await proof(field('dpop-nonce')))).status, status, `a proof for ${htu}`)
      }
    }
  },
)

t.test('H-14 should a secret get into a line of the log all the same, it is cut out', async t => {
  let line = ''
  const write = (text: string) => void (line = text)
  const log = openLog('info', { write })
  const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl-_'
  const cases: [title: string, logged: object, text: string, rest: object][] = [
    ['a refresh token in the text', {}, 'got mm_rt_abc-_123 here', { msg: 'got [cut] here' }],
    ['a sealed request', {}, 'a urn:x:mm_pr_a-_1 b', { msg: 'a urn:x:[cut] b' }],
    ['what pages pass on', { url: '/log-in?request=mm_ar_a-_1' }, 'x', { url: '/log-in?request=[cut]' }],
    ['a code and a cookie', {}, 'mm_ac_a mm_si_b mm_lo_c', { msg: '[cut] [cut] [cut]' }],
    ['a JWT in an error', { err: new Error(`bad ${jwt}!`) }, 'x', { err: { message: 'bad [cut]!' } }],
    ['a password', { body: { password: 'pa"ss\\', id: 'a' } }, 'x', { body: { password: '[cut]', id: 'a' } }],
    ['a header', { headers: { authorization: 'Basic abc' } }, 'x', { headers: { authorization: '[cut]' } }],
    [
      'a client secret',
      { client_secret: 's', client_id: 'web' },
      'x',
      { client_secret: '[cut]', client_id: 'web' },
    ],
    ['nothing', { token_type: 'refresh_token', tokens: 2 }, 'x', { token_type: 'refresh_token', tokens: 2 }],
  ]
  for (const [title, logged, text, rest] of cases) {
    log.child({ reqId: '1' }).info(logged, text)
    t.match(JSON.parse(line), rest, title)
  }
})

const head = 'POST /token HTTP/1.1\r\nHost: x\r\n'

t.test('whoever sends too slowly is told so, and cut off (H-9)', async t => {
  const { ctx } = await startServer(t)
  const app = buildApp(ctx, {
    requestTimeout: 50,
    http: { headersTimeout: 50, connectionsCheckingInterval: 10 },
  })
  t.teardown(() => app.close())
  const { port, hostname } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
  for (const [title, bytes] of [
    ['headers that do not end', head],
    [
      'a body that does not end',
      `${head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\ntoken`,
    ],
  ] as const) {
    const socket = connect(Number(port), hostname)
    socket.write(bytes)
    const answer = await text(socket)
    t.match(answer, /^HTTP\/1\.1 408 Request Timeout\r\n/, title)
    t.match(
      answer,
      /{"error":"invalid_request","error_description":"the request took too long to arrive"}$/,
      title,
    )
  }
})

t.test('a field that is sent once is refused when it comes twice (C-4)', async t => {
  const server = await startServer(t)
  const { headers } = await server.client('web')
  const { port, hostname } = new URL(await server.listen())
  const once = {
    Host: 'x',
    Authorization: headers?.authorization ?? '',
    'Content-Type': form['content-type'],
  }
  const body = 'grant_type=client_credentials'
  const post = async (more: string) => {
    const fields = Object.entries(once).map(([name, value]) => `${name}: ${value}\r\n`)
    const socket = connect(Number(port), hostname)
    socket.write(
      `POST /token HTTP/1.1\r\n${fields.join('')}${more}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    return text(socket)
  }
  t.match(await post(''), /^HTTP\/1\.1 200 /)
  t.match(await post('Accept: a\r\nAccept: b\r\n'), /^HTTP\/1\.1 200 /, 'others may come twice')
  for (const [name, value] of Object.entries(once)) {
    const answer = await post(`${name.toLowerCase()}: ${value}\r\n`)
    t.match(answer, /^HTTP\/1\.1 400 [^]*"error":"invalid_request"/, name)
  }
})

t.test('whoever goes away in the middle of a request is no fault of ours', async t => {
  const server = await startServer(t)
  const { port, hostname } = new URL(await server.listen())
  for (const path of formEndpoints) {
    const socket = connect(Number(port), hostname)
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n` +
        'Content-Length: 10\r\n\r\ntoken',
      () => setTimeout(() => socket.resetAndDestroy(), 20),
    )
    await once(socket, 'close')
  }
  await until(() => server.ctx.counts.errors.get('invalid_request 400') === formEndpoints.length)
  t.strictSame([...server.ctx.counts.errors.keys()], ['invalid_request 400'])
  t.strictSame(
    server.log.filter(({ level }) => Number(level) >= 40),
    [],
  )
})

t.test(
  'a server that closes answers what it has begun to hear, and closes the connection with that',
  async t => {
    const server = await startServer(t)
    const { form } = await server.client('app', { isPublic: true })
    const { port, hostname } = new URL(await server.listen())
    const body = new URLSearchParams({ token: 'x', ...form }).toString()
    const request =
      'POST /revoke HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n' +
      `Content-Length: ${body.length}\r\n\r\n${body}`

    // One has sent its headers and a bit more, the other has just had an answer, and begun its next headers.
    const [inBody, inHeaders] = [connect(Number(port), hostname), connect(Number(port), hostname)]
    const heard = once(server.app.server, 'request')
    inBody.write(request.slice(0, -3))
    await heard
    inHeaders.write(request + request.slice(0, 20))
    await once(inHeaders, 'data')

    const closed = server.app.close()
    for (const [socket, rest] of [
      [inBody, request.slice(-3)],
      [inHeaders, request.slice(20)],
    ] as const) {
      socket.write(rest)
      const answer = await text(socket)
      t.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
      t.match(answer, /\r\nconnection: close\r\n/i)
      t.match(answer, /{}$/)
    }
    await closed
  },
)

t.test('a server that closes does not wait for ever for a request that does not end', async t => {
  const { ctx } = await startServer(t)
  const app = buildApp(ctx, { connectionTimeout: 50 })
  const { port, hostname } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
  for (const bytes of [
    head,
    `${head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\n`,
  ]) {
    const connected = once(app.server, 'connection')
    const socket = connect(Number(port), hostname).on('error', () => {})
    socket.write(bytes)
    await connected
  }
  await app.close()
  t.pass('it closes')
})
