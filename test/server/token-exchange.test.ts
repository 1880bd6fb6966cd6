import t from 'tap'
import { testCertificate, thumbprintOf, type TestCertificate } from '../helpers/certificates.ts'
import { raiseRevision } from '../../db/installation/installation.ts'
import { claimsOf } from '../helpers/codes.ts'
import {
  accessTokenType,
  exchangeForm,
  exchangeWorld,
  gateway,
  invoices,
  jwtType,
  orders,
} from '../helpers/exchange.ts'
import { proofClaims, proofHeader, signJwt, testKey, type TestKey } from '../helpers/proofs.ts'
import { isOAuthError, type FormInit } from '../helpers/server.ts'

const world = await exchangeWorld(t, { MINTMARK_TRUST_PROXY: '127.0.0.1', MINTMARK_CLIENT_CERT: 'any' })
const { server, clients, user, call, ask, post, exchange, exchanger, machine } = world
const { ctx } = server

t.test('a gateway gets a token of one API with fewer scopes, of the same session (G-6)', async t => {
  const token = await call()
  const first = claimsOf(token)
  server.tick(100)
  const response = await ask(clients.gateway, token, { resource: orders, scope: 'orders:read' })
  t.equal(response.statusCode, 200, response.body)
  t.equal(response.headers['cache-control'], 'no-store')
  const { access_token, ...rest } = response.json()
  t.strictSame(rest, {
    issued_token_type: accessTokenType,
    token_type: 'Bearer',
    // Less than the ten minutes of its API: no longer than the first lives.
    expires_in: 200,
    scope: 'orders:read',
  })
  const { jti, iat, client_sid, ...claims } = claimsOf(access_token)
  t.strictSame(claims, {
    roles: ['boss', 'clerk'],
    iss: 'https://as.example',
    sub: user.sub,
    aud: orders,
    exp: first['exp'],
    client_id: 'gateway',
    scope: 'orders:read',
    sid: first['sid'],
    auth_time: first['auth_time'],
    acr: first['acr'],
    amr: first['amr'],
    status: first['status'],
    act: { sub: 'gateway' },
    session_client_id: 'web',
  })
  t.equal(iat, ctx.clock.now())
  t.not(jti, first['jti'])
  t.equal(client_sid, claimsOf(await machine(clients.gateway))['sid'])

  const second = await exchange(clients.orders, access_token, {
    audience: invoices.replace('invoices', 'orders'),
  })
  t.match(claimsOf(second), {
    act: { sub: 'orders', act: { sub: 'gateway' } },
    exp: first['exp'],
    aud: orders,
  })
  server.tick(200)
  isOAuthError(t, await ask(clients.gateway, token), 400, 'invalid_request', 'G-5 one that has expired')
})

t.test('without names, an exchange is for what the client may have of it', async t => {
  const token = await call({ scope: 'orders:write invoices:read' })
  const response = (await ask(clients.gateway, token, { requested_token_type: jwtType })).json()
  t.match(response, { issued_token_type: jwtType, token_type: 'Bearer', scope: 'invoices:read' })
  t.equal(claimsOf(response.access_token)['aud'], orders, 'the first of its APIs that knows these')
  const both = await exchange(clients.gateway, token, { resource: invoices, audience: invoices })
  t.equal(claimsOf(both)['aud'], invoices, 'named twice alike')
})

t.test('a machine has its token exchanged as people do', async t => {
  const robot = await server.client('robot', { resources: gateway, scope: 'orders:read' })
  const claims = claimsOf(await exchange(clients.gateway, await machine(robot), { resource: orders }))
  t.match(claims, { sub: 'robot', client_id: 'gateway', act: { sub: 'gateway' }, scope: 'orders:read' })
  t.notOk('acr' in claims || 'roles' in claims)
})

t.test('an exchange that is not right is refused with the code that says so (G-4 G-5)', async t => {
  const token = await call()
  const { refresh_token } = await server.logIn(clients.web, user)
  const [header, payload] = token.split('.')
  const own = await machine(clients.gateway)
  const good = { ...exchangeForm(token), resource: orders }
  const actor = { actor_token: own, actor_token_type: accessTokenType }
  const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name))
  const type = (name: string) => `urn:ietf:params:oauth:token-type:${name}`
  const cases: [title: string, form: FormInit, code: string][] = [
    ['no subject_token', without('subject_token'), 'invalid_request'],
    ['an empty subject_token', { ...good, subject_token: '' }, 'invalid_request'],
    ['no subject_token_type', without('subject_token_type'), 'invalid_request'],
    ['an ID token', { ...good, subject_token_type: type('id_token') }, 'invalid_request'],
    ['SAML', { ...good, subject_token_type: type('saml2') }, 'invalid_request'],
    ['a refresh token', { ...good, subject_token: refresh_token }, 'invalid_request'],
    [
      'a refresh token by its type',
      { ...good, subject_token_type: type('refresh_token') },
      'invalid_request',
    ],
    ['garbage', { ...good, subject_token: 'x.y.z' }, 'invalid_request'],
    ['a control character', { ...good, subject_token: 'x\0' }, 'invalid_request'],
    ['no signature', { ...good, subject_token: `${header}.${payload}.` }, 'invalid_request'],
    ['two subject tokens', [...Object.entries(good), ['subject_token', token]], 'invalid_request'],
    ['an actor_token without its type', { ...good, actor_token: own }, 'invalid_request'],
    ['an actor_token_type alone', { ...good, actor_token_type: accessTokenType }, 'invalid_request'],
    [
      'an actor_token of another type',
      { ...good, ...actor, actor_token_type: type('id_token') },
      'invalid_request',
    ],
    ['an actor_token that is none', { ...good, ...actor, actor_token: 'x' }, 'invalid_request'],
    ['the subject as its own actor', { ...good, ...actor, actor_token: token }, 'invalid_request'],
    ['a refresh token wanted', { ...good, requested_token_type: type('refresh_token') }, 'invalid_request'],
    ['an ID token wanted', { ...good, requested_token_type: type('id_token') }, 'invalid_request'],
    ['another API', { ...good, resource: gateway }, 'invalid_target'],
    ['this server', { ...good, resource: 'https://as.example' }, 'invalid_target'],
    ['an unknown audience', { ...without('resource'), audience: 'orders' }, 'invalid_target'],
    ['two names', { ...good, audience: invoices }, 'invalid_target'],
    ['two resources', [...Object.entries(good), ['resource', invoices]], 'invalid_target'],
    [
      'a scope that the subject token lacks',
      { ...good, resource: invoices, scope: 'invoices:write' },
      'invalid_scope',
    ],
    ['a scope that the client lacks', { ...good, scope: 'orders:write' }, 'invalid_scope'],
    ['a scope of another API', { ...good, resource: invoices, scope: 'orders:read' }, 'invalid_scope'],
    ['openid', { ...good, scope: 'openid' }, 'invalid_scope'],
    ['a malformed scope', { ...good, scope: 'orders:read  x' }, 'invalid_scope'],
  ]
  for (const [title, form, code] of cases)
    isOAuthError(t, await post(clients.gateway, form), 400, code, title)
  t.equal((await post(clients.gateway, { ...good, ...actor })).statusCode, 200, 'all else is right')

  const little = await call({ scope: 'orders:write' })
  isOAuthError(t, await ask(clients.gateway, little), 400, 'invalid_scope', 'nothing is left of it')
  const bare = await exchanger('bare', { introspects: gateway, scope: 'orders:read' })
  isOAuthError(t, await ask(bare, token), 400, 'invalid_target', 'no API to exchange for')
  const plain = await server.client('plain', { introspects: gateway, resources: orders })
  isOAuthError(t, await ask(plain, token), 400, 'unauthorized_client', 'without the grant')
  const app = await exchanger('public', { introspects: gateway, resources: orders, auth_method: 'none' })
  isOAuthError(
    t,
    await post({ ...app, headers: {} }, { ...good, client_id: 'public' }),
    400,
    'unauthorized_client',
    'public',
  )
})

t.test('a token of OpenID Connect, and one without scopes', async t => {
  const people = await server.client('people', {
    grant_types: 'password authorization_code',
    resources: gateway,
    scope: 'openid email orders:read',
  })
  const token = (await server.logIn(people, user, { scope: 'openid email orders:read' })).access_token
  const claims = claimsOf(await exchange(clients.gateway, token))
  t.equal(claims['scope'], 'orders:read', 'its scopes are for the client of the session')
  const portal = await exchanger('portal', {
    grant_types: `authorization_code ${exchangeForm('').grant_type}`,
    introspects: gateway,
    resources: orders,
    scope: 'openid email orders:read',
  })
  t.match((await ask(portal, token)).json(), { scope: 'orders:read', id_token: undefined }, 'not for another')
  const scopeless = await server.client('scopeless', { resources: gateway, scope: '' })
  const none = claimsOf(await exchange(clients.gateway, (await server.logIn(scopeless, user)).access_token))
  t.notOk('scope' in none, 'none comes from none')
})

t.test('a client exchanges its own tokens, and those that it was called with, and no others', async t => {
  const token = await call()
  isOAuthError(t, await ask(clients.stranger, token), 400, 'invalid_request', 'one that was stolen')
  isOAuthError(t, await ask(clients.orders, token), 400, 'invalid_request', 'one for an API before it')
  const held = await exchange(clients.gateway, token, { resource: orders })
  const narrower = claimsOf(await exchange(clients.gateway, held, { resource: invoices }))
  t.match(narrower, {
    aud: invoices,
    scope: 'invoices:read',
    act: { sub: 'gateway', act: { sub: 'gateway' } },
  })
  isOAuthError(t, await ask(clients.invoices, held), 400, 'invalid_request', "another client's")
  const own = claimsOf(
    await exchange(clients.stranger, await machine(clients.stranger), { scope: 'orders:read' }),
  )
  t.match(own, { sub: 'stranger', scope: 'orders:read', client_id: 'stranger' })
  t.notOk('act' in own, 'nobody acts for another')

  // A person has allowed the client one resource, and the client may have another.
  const both = await exchanger('both', {
    grant_types: `password ${exchangeForm('').grant_type}`,
    resources: `${orders} ${invoices}`,
    scope: 'invoices:read',
  })
  const allowed = (await server.logIn(both, user, { resource: orders })).access_token
  isOAuthError(
    t,
    await ask(both, allowed, { resource: invoices }),
    400,
    'invalid_target',
    'not what was allowed',
  )
  t.equal(claimsOf(await exchange(both, allowed))['aud'], orders)
})

t.test('a token that is bound to a key', async t => {
  const [held, other] = [await testKey(), await testKey()]
  const nonceFor = async () => {
    const { headers } = await server.post('/token', {}, { dpop: await signJwt(held, proofHeader(held), {}) })
    return String(headers['dpop-nonce'])
  }
  const proofOf = async (key: TestKey) => ({
    dpop: await signJwt(key, proofHeader(key), proofClaims(ctx.clock.now(), { nonce: await nonceFor() })),
  })
  const logIn = { grant_type: 'password', username: user.username, password: user.password }
  const bound = String((await post(clients.web, logIn, await proofOf(held))).json().access_token)
  t.match(claimsOf(bound), { cnf: { jkt: held.jkt } })
  t.notOk(
    'cnf' in claimsOf(await exchange(clients.gateway, bound)),
    'its caller has the key, the gateway has not',
  )
  const answer = (await ask(clients.gateway, bound, {}, await proofOf(other))).json()
  t.equal(answer.token_type, 'DPoP')
  t.match(claimsOf(answer.access_token), { cnf: { jkt: other.jkt } }, 'the new one is bound to the new key')

  const own = answer.access_token
  for (const [title, headers] of [
    ['without a key', {}],
    ['with another', await proofOf(held)],
  ] as const)
    isOAuthError(
      t,
      await ask(clients.gateway, own, {}, headers),
      400,
      'invalid_request',
      `one's own ${title}`,
    )
  const again = await proofOf(other)
  t.equal((await ask(clients.gateway, own, {}, again)).statusCode, 200)
  isOAuthError(
    t,
    await ask(clients.gateway, own, {}, again),
    400,
    'invalid_dpop_proof',
    'a proof counts once',
  )
  const strict = await exchanger('strict', {
    introspects: gateway,
    resources: orders,
    scope: 'orders:read',
    dpop_bound: 1,
  })
  isOAuthError(t, await ask(strict, bound), 400, 'invalid_dpop_proof', 'a client whose tokens are all bound')
})

t.test('a token that is bound to a certificate (RFC 8705)', async t => {
  const [held, other] = [await testCertificate(), await testCertificate()]
  const shown = ({ field }: TestCertificate) => ({ 'client-cert': field })
  const app = await server.client('bound', { resources: gateway, scope: 'orders:read', tls_bound: 1 })
  const logIn = { grant_type: 'password', username: user.username, password: user.password }
  const bound = String((await post(app, logIn, shown(held))).json().access_token)
  t.match(claimsOf(bound), { cnf: { 'x5t#S256': thumbprintOf(held) } })
  t.notOk(
    'cnf' in claimsOf(await exchange(clients.gateway, bound)),
    'its caller has the key, the gateway has not',
  )
  const strict = await exchanger('certified', {
    introspects: gateway,
    resources: orders,
    scope: 'orders:read',
    tls_bound: 1,
  })
  isOAuthError(t, await ask(strict, bound), 400, 'invalid_request', 'a client whose tokens are all bound')
  const own = String((await ask(strict, bound, {}, shown(other))).json().access_token)
  t.match(claimsOf(own), { cnf: { 'x5t#S256': thumbprintOf(other) } }, 'the new one is bound to the new key')
  t.equal((await ask(strict, own, {}, shown(other))).statusCode, 200)
  isOAuthError(t, await ask(strict, own, {}, shown(held)), 400, 'invalid_request', "one's own with another")
  const { db } = ctx
  await db.sql.updateTable('clients').set({ tls_bound: 0 }).where('id', '=', strict.id).execute()
  await raiseRevision(db.sql)
  await server.follow()
  isOAuthError(
    t,
    await ask(strict, own),
    400,
    'invalid_request',
    "one's own, by a client that is bound no more",
  )
  const unbound = claimsOf(await exchange(strict, bound))
  t.notOk('cnf' in unbound)
})
