import t, { type Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { findPushed, pushedSeconds } from '../../src/authorization/requests.ts'
import { codeFor } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import {
  assertionClaims,
  assertionForm,
  proofClaims,
  proofHeader,
  signJwt,
  testKey,
} from '../helpers/proofs.ts'
import { besideEnv, isOAuthError, startedAt, startServer, type TestClient } from '../helpers/server.ts'

const iss = 'https://as.example'
const callback = 'https://app.example/callback'
const sid = '01973dc2-5ab4-7f3a-8d70-0f2a6bcd1e11'
/** RFC 7636 appendix B. */
const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
const prefix = 'urn:ietf:params:oauth:request_uri:'

const logIn = {
  response_type: 'code',
  redirect_uri: callback,
  scope: 'openid read',
  state: 'a state',
  code_challenge: challenge,
  code_challenge_method: 'S256',
}

type Form = Readonly<Record<string, string | undefined>>

/** A server, a client that people log in to, and what pushes its requests. */
async function world(
  t: Test,
  settings: Partial<ClientTable> & { isPublic?: boolean } = {},
  env: EngineEnv = {},
) {
  const server = await startServer(t, env)
  const client = (id: string, more: typeof settings = {}) =>
    server.client(id, {
      grant_types: 'authorization_code refresh_token',
      redirect_uris: callback,
      ...more,
    })
  const web = await client('web', settings)
  /** Undefined leaves a parameter out. */
  const push = (form: Form = {}, as: TestClient = web, headers: Form = {}) => {
    const all = Object.entries({ ...logIn, ...form }).filter(pair => pair[1] !== undefined)
    return server.post('/par', all as [string, string][], { ...as.headers, ...headers })
  }
  return {
    server,
    web,
    client,
    push,
    /** What a push of it has been answered. */
    uriOf: async (form: Form = {}, as: TestClient = web) => {
      const response = await push(form, as)
      if (response.statusCode !== 201) throw new Error(response.body)
      return String(response.json()['request_uri'])
    },
    find: (uri: string, clientId = 'web') =>
      findPushed(server.ctx, { id: clientId, created_at: startedAt }, uri),
  }
}

t.test('A-11 a request is pushed, and stands behind its request_uri with what is known of it', async t => {
  const { server, web, push, find } = await world(t)
  const response = await push({
    ...web.form,
    client_secret: undefined,
    foo: 'bar',
    __proto__x: '1',
    display: 'page',
  })
  t.equal(response.statusCode, 201)
  t.match(response.headers, {
    'content-type': /^application\/json/,
    'cache-control': 'no-store',
    pragma: 'no-cache',
  })
  const { request_uri: uri, ...rest } = response.json()
  t.strictSame(rest, { expires_in: 90 })
  t.match(uri, /^urn:ietf:params:oauth:request_uri:[\w-]+$/)
  const found = await find(uri)
  t.match(found?.request.sessionId, { length: 16 })
  const { sessionId, ...request } = found?.request ?? {}
  t.strictSame(
    { kind: found?.kind, request },
    {
      kind: 'good',
      request: {
        clientId: 'web',
        clientMadeAt: startedAt,
        redirectUri: callback,
        isRedirectUriSent: true,
        responseMode: 'query',
        state: 'a state',
        nonce: null,
        scope: 'openid read',
        resource: null,
        details: [],
        codeChallenge: challenge,
        prompts: [],
        maxAge: null,
        loginHint: null,
        hintedSub: null,
        acrValues: [],
        userCode: null,
        uiLocales: [],
        claims: null,
        dpopJkt: null,
        madeAt: server.ctx.clock.now(),
      },
    },
    'and nothing that is not known',
  )
  const again = (await push()).json()
  t.not(again.request_uri, uri)
  t.notSame((await find(again.request_uri))?.request.sessionId, sessionId, 'invariant 12 of another session')
})

t.test('A-11 everything that a request may say comes out of its request_uri', async t => {
  const { server, uriOf, find } = await world(t, { scope: 'read', resources: 'https://api.example' })
  await server.resource('https://api.example')
  const hint = await server.ctx.keys.sign('JWT', 'ES256', {
    iss,
    sub: 'ada',
    sid,
    exp: server.ctx.clock.now() + 60,
  })
  server.tick(100)
  const uri = await uriOf({
    response_mode: 'form_post',
    nonce: 'n',
    resource: 'https://api.example',
    prompt: 'login consent',
    max_age: '0',
    login_hint: 'ä da',
    id_token_hint: hint,
    acr_values: 'mfa pwd',
    ui_locales: 'de en',
    claims: '{"id_token":{"email":null}}',
    dpop_jkt: challenge,
  })
  t.match((await find(uri))?.request, {
    responseMode: 'form_post',
    nonce: 'n',
    resource: 'https://api.example',
    prompts: ['login', 'consent'],
    maxAge: 0,
    loginHint: 'ä da',
    hintedSub: 'ada',
    acrValues: ['mfa', 'pwd'],
    uiLocales: ['de', 'en'],
    claims: { userinfo: [], idToken: ['email'], sub: null, essentialAcr: [] },
    dpopJkt: challenge,
  })
})

t.test('an id_token_hint is an ID token of ours, expired or not (OpenID Core §3.1.2.1)', async t => {
  const { server, push } = await world(t)
  const { keys, clock } = server.ctx
  const exp = clock.now() + 60
  const accessToken = await keys.sign('at+jwt', 'ES256', { iss, sub: 'ada', sid, exp })
  const noSub = await keys.sign('JWT', 'ES256', { iss, sid, exp })
  const noSid = await keys.sign('JWT', 'ES256', { iss, sub: 'ada', exp })
  const foreign = await signJwt(await testKey(), { alg: 'ES256', typ: 'JWT' }, { iss, sub: 'ada', sid, exp })
  for (const [title, hint] of [
    ['an access token', accessToken],
    ['one without sub', noSub],
    ['one without sid, as an answer of /userinfo', noSid],
    ['one of somebody else', foreign],
    ['no JWT', 'x'],
  ] as const)
    isOAuthError(t, await push({ id_token_hint: hint }), 400, 'invalid_request', title)
  const hint = await keys.sign('JWT', 'ES256', { iss, sub: 'ada', sid, exp })
  t.equal((await push({ id_token_hint: hint })).statusCode, 201)
  server.tick(3600)
  t.equal((await push({ id_token_hint: hint })).statusCode, 201, 'an expired one')
})

t.test('A-11 who pushes authenticates as at /token (RFC 9126 §2)', async t => {
  const { server, web, client, push } = await world(t)
  const app = await client('app', { isPublic: true })
  const key = await testKey()
  const signer = await client('signer', {
    isPublic: true,
    auth_method: 'private_key_jwt',
    jwks: JSON.stringify({ keys: [key.publicJwk] }),
  })
  const nobody = { ...app, headers: {} }
  const assertion = async (claims = {}) =>
    assertionForm(
      await signJwt(key, { alg: 'ES256' }, assertionClaims('signer', server.ctx.clock.now(), claims)),
    )
  const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })

  t.equal((await push({}, web)).statusCode, 201, 'client_secret_basic')
  t.equal((await push({ ...web.form }, nobody)).statusCode, 201, 'client_secret_post')
  t.equal((await push({ client_id: 'app' }, nobody)).statusCode, 201, 'a public client')
  t.equal((await push(await assertion(), nobody)).statusCode, 201, 'private_key_jwt')
  t.equal((await push({ ...(await assertion()), client_id: 'signer' }, nobody)).statusCode, 201, 'and its id')
  t.equal(signer.id, 'signer')

  const once = await assertion()
  t.equal((await push(once, nobody)).statusCode, 201)
  const cases: [title: string, form: Form, headers?: Form, status?: number, code?: string][] = [
    ['nobody', {}],
    ['a client that does not exist', { client_id: 'x' }],
    ['a secret that was not sent', { client_id: 'web' }],
    ['a wrong secret', { client_id: 'web', client_secret: 'x' }],
    ['a wrong secret in the header', {}, basic('web:x')],
    ['an assertion that was not sent', { client_id: 'signer' }],
    ['an assertion that was used', once],
    ['an assertion for the endpoint', await assertion({ aud: 'https://as.example/par' })],
    ['an assertion of another client', { ...(await assertion()), client_id: 'web' }],
    ['the id of another client', { client_id: 'app' }, web.headers, 400, 'invalid_request'],
  ]
  for (const [title, form, headers = {}, status = 401, code = 'invalid_client'] of cases)
    isOAuthError(t, await push(form, { ...nobody, headers: {} }, headers), status, code, title)

  for (let i = 0; i < 60; i++) await push({}, nobody, basic('web:x'))
  const throttled = await push({}, nobody, basic('web:x'))
  isOAuthError(t, throttled, 429, 'temporarily_unavailable', 'H-9 too many wrong ones')
  t.equal((await push({}, web)).statusCode, 201, 'the right secret always passes')
})

t.test('A-11 what is wrong with a request is told to who pushes it (RFC 9126 §2.3)', async t => {
  const { server, web, client, push } = await world(t)
  const app = await client('machine', { grant_types: 'client_credentials', redirect_uris: '' })
  const cases: [title: string, form: Form, code: string, as?: TestClient][] = [
    ['a request_uri', { request_uri: `${prefix}x` }, 'invalid_request'],
    ['a request object', { request: 'eyJ' }, 'request_not_supported'],
    ['a registration', { registration: '{}' }, 'registration_not_supported'],
    ['A-13 the implicit grant', { response_type: 'token' }, 'unsupported_response_type'],
    ['no response_type', { response_type: undefined }, 'invalid_request'],
    ['A-5 no challenge', { code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request'],
    ['A-3 a plain challenge', { code_challenge_method: 'plain' }, 'invalid_request'],
    ['a scope that it has not', { scope: 'admin' }, 'invalid_scope'],
    ['a resource that it has not', { resource: 'https://api.example' }, 'invalid_target'],
    ['A-2 another redirect URI', { redirect_uri: `${callback}/` }, 'invalid_request'],
    ['no redirect URI', { redirect_uri: undefined }, 'invalid_request'],
    ['C-11 a client without the grant', {}, 'unauthorized_client', app],
    ['too much', { nonce: 'x'.repeat(5000) }, 'invalid_request'],
  ]
  for (const [title, form, code, as] of cases) isOAuthError(t, await push(form, as), 400, code, title)
  const twice = await server.post('/par', [...Object.entries(logIn), ['state', 'b']], web.headers)
  isOAuthError(t, twice, 400, 'invalid_request', 'P-3 a repeated parameter')
  const log = server.log.filter(({ event }) => event === 'authorization_request_refused')
  t.match(
    log[0],
    {
      client_id: 'web',
      problem: 'redirect_uri_unregistered',
      received: `${callback}/`,
      registered: callback,
    },
    'A-2 the log names both, for who has to set it right',
  )
  t.match(
    log.map(({ problem }) => problem),
    ['redirect_uri_unregistered', 'redirect_uri_missing', 'grant_missing'],
  )
})

await forEachEngine(
  t,
  'A-11 a request_uri is of its client, for 90 seconds, and until its session exists',
  async (t, env) => {
    const { server, web, uriOf, find } = await world(t, {}, env)
    const uri = await uriOf()
    t.equal((await find(uri))?.kind, 'good')
    t.equal((await find(uri))?.kind, 'good', 'browsers load a page twice')
    t.equal(await find(uri, 'app'), undefined, "it is no other client's")
    server.tick(pushedSeconds - 1)
    t.equal((await find(uri))?.kind, 'good')
    server.tick(1)
    t.match(await find(uri), { kind: 'expired', request: { redirectUri: callback, state: 'a state' } })

    const early = await uriOf()
    server.setClock(server.ctx.clock.now() - 3600)
    t.equal((await find(early))?.kind, 'expired', 'a clock that was set back makes it no younger')

    const next = await uriOf()
    const beside = await startServer(t, besideEnv(server), server.ctx.clock.now())
    t.equal(
      (await findPushed(beside.ctx, { id: 'web', created_at: startedAt }, next))?.kind,
      'good',
      'at another instance',
    )
    const found = await find(next)
    const { form } = await codeFor(server, web, await server.user(), { request: found?.request ?? {} })
    t.equal((await find(next))?.kind, 'good', 'while its code waits')
    const tokens = await server.post('/token', { ...form, ...web.form })
    t.equal(tokens.statusCode, 400, 'with another verifier')
    t.equal((await find(next))?.kind, 'good')
    const { code_verifier, ...rest } = form
    t.ok(code_verifier)
    const redeemed = await server.post('/token', { ...rest, ...web.form, code_verifier: verifier })
    t.equal(redeemed.statusCode, 200)
    t.match(await find(next), { kind: 'used', request: { state: 'a state' } }, 'invariant 12')
    t.equal((await findPushed(beside.ctx, { id: 'web', created_at: startedAt }, next))?.kind, 'used')
  },
)

t.test('A-11 a request_uri cannot be made or changed by anybody else (invariant 8)', async t => {
  const { server, uriOf } = await world(t)
  const uri = await uriOf()
  // A request to the database would fail here.
  const { config, rootKeys, keys, clock } = server.ctx
  const ctx = {
    config,
    rootKeys,
    keys,
    clock,
    get db(): never {
      throw new Error('the database was asked')
    },
  }
  const find = (text: string) => findPushed(ctx, { id: 'web', created_at: startedAt }, text)
  await t.rejects(find(uri), /was asked/, 'as it is for a right one')
  const sealed = uri.slice(prefix.length)
  const middle = Math.floor(sealed.length / 2)
  const changed = sealed.slice(0, middle) + (sealed[middle] === 'A' ? 'B' : 'A') + sealed.slice(middle + 1)
  for (const text of [
    '',
    prefix,
    sealed,
    `${prefix}x`,
    `${uri}A`,
    uri.slice(0, -1),
    `${uri}=`,
    prefix + changed,
    `urn:x${uri}`,
  ])
    t.equal(await find(text), undefined, text.slice(0, 60))
})

t.test('RFC 9449 §10.1 a proof at /par binds the code to its key', async t => {
  const { server, web, push, find } = await world(t)
  const key = await testKey()
  const proof = (claims: object = {}) =>
    signJwt(
      key,
      proofHeader(key),
      proofClaims(server.ctx.clock.now(), { htu: 'https://as.example/par', ...claims }),
    )
  const first = await push({}, web, { dpop: await proof() })
  isOAuthError(t, first, 400, 'use_dpop_nonce', 'a nonce is needed')
  const nonce = String(first.headers['dpop-nonce'])
  const good = await proof({ nonce })
  const response = await push({}, web, { dpop: good })
  t.equal(response.statusCode, 201)
  t.ok(response.headers['dpop-nonce'])
  t.equal((await find(response.json()['request_uri']))?.request.dpopJkt, key.jkt)
  isOAuthError(t, await push({}, web, { dpop: good }), 400, 'invalid_dpop_proof', 'a proof counts once')
  const both = await push({ dpop_jkt: key.jkt }, web, { dpop: await proof({ nonce }) })
  t.equal((await find(both.json()['request_uri']))?.request.dpopJkt, key.jkt)
  const alone = await push({ dpop_jkt: key.jkt })
  t.equal((await find(alone.json()['request_uri']))?.request.dpopJkt, key.jkt)
  const unlike = await push({ dpop_jkt: challenge }, web, { dpop: await proof({ nonce }) })
  isOAuthError(t, unlike, 400, 'invalid_request', 'a dpop_jkt of another key')
  const forToken = await proof({ nonce, htu: 'https://as.example/token' })
  isOAuthError(t, await push({}, web, { dpop: forToken }), 400, 'invalid_dpop_proof', 'a proof for /token')
  isOAuthError(t, await push({}, web, { dpop: 'x' }), 400, 'invalid_dpop_proof', 'no proof')

  const spent = await proof({ nonce })
  isOAuthError(t, await push({ scope: 'admin' }, web, { dpop: spent }), 400, 'invalid_scope', 'refused')
  t.equal((await push({}, web, { dpop: spent })).statusCode, 201, 'which has not used it up')
})

t.test('invariant 8: a public client, which anybody can be, pushes without a row', async t => {
  const { server, client, push, find } = await world(t)
  const app = await client('app', { isPublic: true })
  const key = await testKey()
  const { headers } = await push({}, app, { dpop: 'x' })
  t.ok(headers['dpop-nonce'])
  const claims = { htu: 'https://as.example/par', nonce: String(headers['dpop-nonce']) }
  for (let i = 0; i < 3; i++) {
    const dpop = await signJwt(key, proofHeader(key), proofClaims(server.ctx.clock.now(), claims))
    const response = await push({ client_id: 'app' }, app, { dpop })
    t.equal(response.statusCode, 201)
    t.equal((await find(response.json()['request_uri'], 'app'))?.request.dpopJkt, key.jkt)
  }
  t.strictSame(await server.ctx.db.sql.selectFrom('replays').selectAll().execute(), [])
})
