import t from 'tap'
import { propertyNames } from '../../src/clients/properties.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { asDescribed } from '../helpers/described.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { assertionClaims, assertionForm, signJwt, testKey } from '../helpers/proofs.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

const machine = { grant_types: ['client_credentials'], scope: ['read'] }

async function tokenBy(server: TestServer, client_id: string, client_secret: string): Promise<number> {
  await server.follow()
  const form = { grant_type: 'client_credentials', client_id, client_secret }
  return (await server.post('/token', form)).statusCode
}

await forEachEngine(t, 'clients are made, changed and ended, as by the command line', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await asDescribed(t, await adminClient(server))
  const api = 'https://api.example'
  await server.resource(api, { scope: 'read' })
  const made = await ask('POST', '/clients', { client_id: 'web', ...machine, resources: [api] })
  t.equal(made.statusCode, 201, made.body)
  const { client_secret: secret, warnings, ...document } = made.json()
  t.match(secret, /^mm_cs_/)
  t.strictSame(warnings, [])
  const read = await ask('GET', '/clients/web')
  t.strictSame(read.json(), document, 'its secret is in that answer alone')
  t.equal(read.headers.etag, made.headers.etag)
  t.match(document, {
    client_id: 'web',
    token_endpoint_auth_method: 'client_secret_basic',
    created_at: /Z$/,
    disabled_at: null,
  })
  t.ok(propertyNames.every(name => name in document))
  t.equal(await tokenBy(server, 'web', secret), 200)

  const changed = await ask('PATCH', '/clients/web', { client_name: 'The Web', refresh: 'strict' })
  t.match(changed.json(), {
    client_name: 'The Web',
    refresh: 'strict',
    scope: ['read'],
    warnings: [/./, /./],
  })
  t.equal(changed.headers.etag, (await ask('GET', '/clients/web')).headers.etag)

  t.equal(changed.json().credentials_set_at, changed.json().created_at)
  server.tick(10)
  const rotated = await ask('POST', '/clients/web/secret', { keep_old_seconds: 60 })
  const setAt = rotated.json().credentials_set_at
  t.ok(setAt > changed.json().credentials_set_at, 'the age of its secret')
  const newSecret = rotated.json().client_secret
  t.match(rotated.json(), { client_secret: /^mm_cs_/, old_secret_expires_at: /Z$/ })
  t.equal(await tokenBy(server, 'web', newSecret), 200)
  t.equal(await tokenBy(server, 'web', secret), 200)
  server.tick(61)
  t.equal(await tokenBy(server, 'web', secret), 401)

  const key = await testKey()
  const jwks = { keys: [key.publicJwk] }
  const keyed = await ask('POST', '/clients/web/keys', { jwks })
  t.match(keyed.json(), { token_endpoint_auth_method: 'private_key_jwt', jwks, client_secret_id: null })
  t.ok(keyed.json().credentials_set_at > setAt, 'and of its keys')
  t.equal(await tokenBy(server, 'web', newSecret), 401)
  const assertion = await signJwt(key, { alg: key.alg }, assertionClaims('web', server.ctx.clock.now()))
  const signed = { grant_type: 'client_credentials', ...assertionForm(assertion) }
  t.equal((await server.post('/token', signed)).statusCode, 200)
  const back = await ask('POST', '/clients/web/secret')
  t.equal(await tokenBy(server, 'web', back.json().client_secret), 200)

  t.match((await ask('POST', '/clients/web/end-sessions')).json(), { client_id: 'web', ended_at: /Z$/ })
  t.type((await ask('POST', '/clients/web/disable')).json().disabled_at, 'string')
  t.equal(await tokenBy(server, 'web', back.json().client_secret), 401)
  t.equal((await ask('POST', '/clients/web/enable')).json().disabled_at, null)
  t.equal((await ask('DELETE', '/clients/web')).statusCode, 204)
  t.equal((await ask('GET', '/clients/web')).statusCode, 404)

  const acts = await server.ctx.db.sql
    .selectFrom('audit')
    .select(['event', 'address', 'request_id', 'detail'])
    .where('actor', 'like', 'client ops-%')
    .where('client_id', '=', 'web')
    .orderBy('id')
    .execute()
  t.strictSame(
    acts.map(({ event }) => event),
    [
      'client_created',
      'client_changed',
      'client_secret_rotated',
      'client_keys_set',
      'client_secret_rotated',
      'client_revoked',
      'client_disabled',
      'client_enabled',
      'client_deleted',
    ],
    'invariant 21: each act has its entry',
  )
  t.ok(acts.every(({ address, request_id }) => address !== null && request_id !== null))
  const told = JSON.stringify([acts, server.log])
  for (const hidden of [secret, newSecret, back.json().client_secret])
    t.notOk(told.includes(hidden), 'no secret is told')
})

await forEachEngine(t, 'resources are made, changed and deleted by their URIs', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await asDescribed(t, await adminClient(server))
  const uris = ['https://api.example/%7Ea/b?c=%2Fd', 'urn:x', `https://api.example/${'%25'.repeat(330)}`]
  for (const uri of uris) {
    const path = `/resources/${encodeURIComponent(uri)}`
    const words = { read: 'See your orders' }
    const body = { uri, scope: ['read', 'write'], alg: 'PS256', scope_words: words }
    const made = await ask('POST', '/resources', body)
    t.equal(made.statusCode, 201, made.body)
    const { warnings, signs_with, alg_signs_from, ...document } = made.json()
    t.match(warnings, uri === uris[0] ? [/holds PS256 keys/] : [])
    t.match({ signs_with, alg_signs_from }, { signs_with: 'ES256', alg_signs_from: /Z$/ })
    t.match(document, { ...body, access_token_ttl: null, status: true, created_at: /Z$/ })
    const read = await ask('GET', path)
    t.strictSame(read.json(), document)
    t.equal(read.headers.etag, made.headers.etag)

    const changed = await ask('PATCH', path, { scope_words: { read: null, write: 'Order' }, status: false })
    t.match(changed.json(), { scope_words: { write: 'Order' }, status: false, scope: ['read', 'write'] })
    t.notOk('read' in changed.json().scope_words)
    t.match((await ask('POST', '/resources', { uri })).json(), { status: 409 })
    await server.client(`app-${uris.indexOf(uri)}`, { resources: uri })
    t.match((await ask('DELETE', path)).json(), { status: 409, detail: /is used by app/ })
    const stale = await ask('DELETE', `${path}?force=true`, undefined, { 'if-match': '"x"' })
    t.equal(stale.statusCode, 412)
    t.strictSame((await ask('DELETE', `${path}?force=true`)).json(), {
      uri,
      taken_from: [`app-${uris.indexOf(uri)}`],
    })
    t.equal((await ask('GET', path)).statusCode, 404)
  }
})

t.test('what cannot be is refused with the member that is wrong', async t => {
  const server = await startServer(t)
  const ask = await asDescribed(t, await adminClient(server))
  await server.client('web', { auth_method: 'client_secret', scope: 'read' })
  await server.resource('urn:x')
  const { privateJwk } = await testKey()
  const cases: [...Parameters<typeof ask>, expected: object][] = [
    ['POST', '/clients', { ...machine }, {}, { status: 400 }],
    ['POST', '/clients', { client_id: 'a b', ...machine }, {}, { status: 400, field: 'client_id' }],
    ['POST', '/clients', { client_id: 'web', ...machine }, {}, { status: 409, code: 'conflict' }],
    ['POST', '/clients', { client_id: 'a', grants: [] }, {}, { status: 400, field: 'grants' }],
    ['POST', '/clients', { client_id: 'a', scope: 'read' }, {}, { status: 400, field: 'scope' }],
    ['POST', '/clients', { client_id: 'a', scope: ['"'] }, {}, { status: 400, field: 'scope' }],
    ['POST', '/clients', { client_id: 'a', refresh_idle_ttl: 1 }, {}, { field: 'refresh_idle_ttl' }],
    ['POST', '/clients', { client_id: 'a', consent: 'x' }, {}, { field: 'consent' }],
    ['POST', '/clients', { client_id: 'a' }, {}, { status: 400, detail: /without a grant/ }],
    [
      'POST',
      '/clients',
      { client_id: 'a', ...machine, jwks: { keys: [privateJwk] } },
      {},
      { status: 400, detail: /register the public half/ },
    ],
    ['PATCH', '/clients/web', { public: true }, {}, { status: 400, field: 'public' }],
    ['PATCH', '/clients/web', { jwks: { keys: [] } }, {}, { status: 400, field: 'jwks' }],
    ['PATCH', '/clients/web', { client_id: 'x' }, {}, { status: 400, field: 'client_id' }],
    ['PATCH', '/clients/no', { scope: [] }, {}, { status: 404 }],
    ['POST', '/clients/web/secret', { keep_old_seconds: 0 }, {}, { field: 'keep_old_seconds' }],
    ['POST', '/clients/web/keys', {}, {}, { status: 400, detail: /one of them/ }],
    ['POST', '/clients/web/keys', { jwks: { keys: [privateJwk] } }, {}, { detail: /public half/ }],
    ['GET', '/clients/a%00b', undefined, {}, { status: 400, field: 'client_id' }],
    ['GET', `/clients/${'x'.repeat(128)}`, undefined, {}, { status: 404, detail: /no client x/ }],
    ['GET', '/clients?offset=3', undefined, {}, { status: 400, field: 'offset' }],
    ['POST', '/resources', { uri: 'x', scope: [] }, {}, { status: 400, field: 'uri' }],
    ['POST', '/resources', { uri: 'https://as.example' }, {}, { status: 400, detail: /issuer itself/ }],
    ['POST', '/resources', { uri: 'urn:y', scope: [''] }, {}, { status: 400, field: 'scope' }],
    ['POST', '/resources', { uri: 'urn:y', scope_words: { a: 'A' } }, {}, { field: 'scope_words' }],
    ['PATCH', '/resources/urn:x', { scope_words: { a: 'A' } }, {}, { field: 'scope_words' }],
    ['PATCH', '/resources/urn:x', { scope_words: { read: '' } }, {}, { field: 'scope_words' }],
    ['PATCH', '/resources/urn:x', { uri: 'urn:y' }, {}, { status: 400, field: 'uri' }],
    ['GET', '/resources/a%00b', undefined, {}, { status: 400, field: 'uri' }],
  ]
  for (const [method, path, payload, headers, expected] of cases) {
    const answer = await ask(method, path, payload, headers)
    t.match(answer.json(), expected, `${method} ${path} ${JSON.stringify(payload)}`)
  }
  t.notOk(JSON.stringify(server.log).includes(String(privateJwk['d'])), 'a private key is in no log')
  t.notOk(server.log.some(({ level }) => Number(level) >= 50))
})

t.test('clients and resources take the scope of clients, and lists are read in pages', async t => {
  const server = await startServer(t)
  for (const id of ['a', 'b', 'c']) {
    await server.client(id)
    await server.resource(`urn:${id}`)
  }
  const ask = await asDescribed(t, await adminClient(server, 'admin:clients:read'))
  const first = (await ask('GET', '/clients?limit=2')).json()
  t.match(first.items, [{ client_id: 'a' }, { client_id: 'b' }])
  const second = (await ask('GET', `/clients?limit=2&after=${first.next}`)).json()
  t.match(second.items, [{ client_id: 'c' }, { client_id: /^ops-/ }])
  t.equal(second.next, null)
  t.notMatch(JSON.stringify([first, second]), /hash|mm_cs_/)
  const uris = (await ask('GET', '/resources?limit=2')).json()
  t.match(uris.items, [{ uri: 'urn:a' }, { uri: 'urn:b' }])
  t.match((await ask('GET', `/resources?after=${uris.next}`)).json(), {
    items: [{ uri: 'urn:c' }],
    next: null,
  })
  t.equal((await ask('GET', `/resources?after=${first.next}`)).statusCode, 400, 'a cursor of another list')

  const users = await adminClient(server, 'admin:users admin:keys admin:sessions')
  const writer = await adminClient(server, 'admin:clients')
  for (const [method, path] of [
    ['GET', '/clients'],
    ['GET', '/clients/a'],
    ['GET', '/resources/urn:a'],
    ['POST', '/clients'],
    ['PATCH', '/clients/a'],
    ['DELETE', '/clients/a'],
    ['POST', '/clients/a/secret'],
    ['POST', '/clients/a/keys'],
    ['POST', '/clients/a/disable'],
    ['POST', '/clients/a/enable'],
    ['POST', '/clients/a/end-sessions'],
    ['POST', '/resources'],
    ['PATCH', '/resources/urn:a'],
    ['DELETE', '/resources/urn:a'],
  ] as const) {
    const what = `${method} ${path}`
    t.match((await users(method, path)).json(), { status: 403, code: 'insufficient_scope' }, what)
    if (method !== 'GET')
      t.match((await ask(method, path)).json(), { status: 403, code: 'insufficient_scope' }, what)
  }
  t.match((await writer('PATCH', '/clients/a', { admin: true })).json(), {
    status: 403,
    code: 'forbidden',
    field: 'admin',
  })
})

await forEachEngine(t, 'of two who change one client at once, one is told so (412)', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await adminClient(server)
  await server.client('web')
  await server.resource('urn:x')
  for (const [method, path, url] of [
    ['PATCH', '/clients/web', '/clients/web'],
    ['POST', '/clients/web', '/clients/web/secret'],
    ['PATCH', '/resources/urn:x', '/resources/urn:x'],
  ] as const) {
    const etag = String((await ask('GET', path)).headers.etag)
    const change = (scope: string) =>
      ask(method, url, method === 'PATCH' ? { scope: [scope] } : {}, { 'if-match': etag })
    const both = await Promise.all([change('a'), change('b')])
    t.strictSame(both.map(({ statusCode }) => statusCode).toSorted(), [200, 412], path)
    t.equal((await change('c')).statusCode, 412, 'later too')
    const now = await ask('GET', path)
    t.equal(now.headers.etag, both.find(({ statusCode }) => statusCode === 200)?.headers.etag)
  }
})
