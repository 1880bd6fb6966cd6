import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { changeClient } from '../../db/clients/clients.ts'
import { rotateClientSecret, setClientKeys } from '../../db/clients/credentials.ts'
import { forgetUses } from '../../db/grants/replays.ts'
import type { ClientTable } from '../../db/schema.ts'
import { hashSecret } from '../../src/protocol/secrets.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, isOAuthError, startServer, testClient, type TestServer } from '../helpers/server.ts'
import {
  assertionClaims,
  assertionForm,
  macJwt,
  oddKey,
  signJwt,
  testKey,
  type TestKey,
} from '../helpers/proofs.ts'

/** A request that each endpoint grants once the client is authenticated. */
const requests: [path: string, form: Record<string, string>][] = [
  ['/token', { grant_type: 'client_credentials' }],
  ['/introspect', { token: 'x' }],
  ['/revoke', { token: 'x' }],
  ['/par', { response_type: 'code' }],
]

/** What a client needs for them. */
const grantSettings = {
  grant_types: 'client_credentials authorization_code',
  redirect_uris: 'https://app.example/callback',
  pkce: 'optional',
} as const

const jwksOf = (...keys: object[]) => JSON.stringify({ keys })

/** A server with a client `web` that signs with `key`, and has no secret. */
async function world(t: Test, settings: Partial<ClientTable> = {}, env: EngineEnv = {}) {
  const server = await startServer(t, env)
  const key = await testKey()
  await server.client('web', {
    isPublic: true,
    auth_method: 'private_key_jwt',
    jwks: jwksOf({ ...key.publicJwk, kid: 'one' }),
    ...grantSettings,
    ...settings,
  })
  const assertion = (claims: object = {}, header: object = {}, by: TestKey = key) =>
    signJwt(
      by,
      { alg: by.alg, ...header },
      assertionClaims('web', server.ctx.clock.now(), claims as Record<string, unknown>),
    )
  const post = (jwt: string, more: Record<string, string> = {}, to: TestServer = server) =>
    to.post('/token', { grant_type: 'client_credentials', ...assertionForm(jwt), ...more })
  return { server, key, assertion, post }
}

t.test(
  'C-15 C-16 a client that signs is authenticated at each endpoint, with each algorithm and nothing more',
  async t => {
    const { server, key, assertion } = await world(t)
    const { now } = server.ctx.clock
    type Case = [title: string, jwt: () => Promise<string>, more?: Record<string, string>]
    const cases: Case[] = [
      ['without a kid', () => assertion()],
      ['with the kid of its key', () => assertion({}, { kid: 'one' })],
      // RFC 7515 §4.1.9: media types, with or without `application/`, in any case.
      ...[
        ...['JWT', 'jwt', 'application/jwt', 'Application/JWT', 'client-authentication+jwt'],
        ...['application/client-authentication+jwt', 'Client-Authentication+JWT'],
      ].map((typ): Case => [`C-16 with the type ${typ}`, () => assertion({}, { typ })]),
      ['C-16 with the issuer as a list of one', () => assertion({ aud: ['https://as.example'] })],
      ['C-17 with its client_id in the body', () => assertion(), { client_id: 'web' }],
      ['with nbf and claims that nobody knows', () => assertion({ nbf: now(), x: 1 })],
      ['without iat', () => assertion({ iat: undefined })],
      ['with a fraction of a second', () => assertion({ exp: now() + 9.5, iat: now() - 0.5 })],
      ['in the last second of a clock that is late', () => assertion({ exp: now() - 59 })],
      ['in the first second of a clock that is early', () => assertion({ iat: now() + 60, nbf: now() + 60 })],
      ['with the longest life, without iat', () => assertion({ exp: now() + 660, iat: undefined })],
      ['for an hour', () => assertion({ exp: now() + 3600 })],
      ['for an hour, in the last second', () => assertion({ exp: now() + 2941, iat: now() - 659 })],
    ]
    for (const alg of ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA']) {
      const own = alg === 'ES256' ? key : await testKey(alg)
      const id = `with-${alg}`
      await server.client(id, {
        isPublic: true,
        auth_method: 'private_key_jwt',
        jwks: jwksOf(key.publicJwk, { ...own.publicJwk, alg }),
        ...grantSettings,
      })
      cases.push([`C-15 ${alg}`, () => assertion({ iss: id, sub: id }, {}, own)])
    }
    for (const [path, request] of requests) {
      for (const [title, jwt, more] of cases) {
        const form = { ...request, ...assertionForm(await jwt()), ...more }
        const { statusCode, body } = await server.post(path, form)
        t.equal(statusCode, path === '/par' ? 201 : 200, `${title} at ${path}: ${body}`)
      }
    }
  },
)

t.test('C-19 what clocks may differ by is one for all instances, whatever is set at one of them', async t => {
  const { server, assertion, post } = await world(t)
  const other = await startServer(t, { ...besideEnv(server), MINTMARK_CLOCK_SKEW: '0' })
  const late = await post(await assertion({ exp: server.ctx.clock.now() - 30 }), {}, other)
  t.equal(late.statusCode, 200)
})

t.test('C-15 to C-19 every defect that RFC 7521 §4.2 and RFC 7523 §3 name is refused', async t => {
  const { server, key, assertion } = await world(t)
  const { now } = server.ctx.clock
  const other = await testKey()
  const rsa = await testKey('RS256')
  const secretive = await server.client('secretive')
  const open = await server.client('open', { isPublic: true })
  await server.client('off', {
    isPublic: true,
    auth_method: 'private_key_jwt',
    jwks: jwksOf(key.publicJwk),
    disabled_at: 1,
  })
  await server.client('twin', {
    isPublic: true,
    auth_method: 'private_key_jwt',
    jwks: jwksOf(key.publicJwk),
  })
  await server.client('rsa', {
    isPublic: true,
    auth_method: 'private_key_jwt',
    jwks: jwksOf({ ...rsa.publicJwk, alg: 'PS256' }),
  })
  const tiny = await oddKey('RS256', 'rsa1024')
  await server.client('tiny', {
    isPublic: true,
    auth_method: 'private_key_jwt',
    jwks: jwksOf(tiny.publicJwk),
  })
  const good = await assertion()
  const [head = '', payload = '', signature = ''] = good.split('.')
  const none = Buffer.from('{"alg":"none"}').toString('base64url')
  const as = (id: string, by: TestKey = key, header: object = {}) =>
    assertion({ iss: id, sub: id }, header, by)

  type Case = [title: string, jwt: () => string | Promise<string>, more?: Record<string, string>]
  const cases: Case[] = [
    ['no JWT', () => 'garbage'],
    ['two parts', () => `${head}.${payload}`],
    ['no signature', () => `${head}.${payload}.`],
    ['four parts', () => `${good}.x`],
    ['five parts, as of a JWE', () => `${good}.x.x`],
    ['two assertions', () => `${good},${good}`],
    ['not base64url', () => `${head}.${payload}.${signature}=`],
    ['a second spelling', () => `${head}=.${payload}.${signature}`],
    ['claims that are a list', () => signJwt(key, { alg: 'ES256' }, [])],
    ['claims that are no JSON', () => signJwt(key, { alg: 'ES256' }, '{')],
    ['a crit that nobody knows', () => assertion({}, { crit: ['exp'] })],
    ['C-19 alg none', () => `${none}.${payload}.`],
    ['C-19 alg none with a signature', () => assertion({}, { alg: 'none' })],
    ['C-19 no alg', () => assertion({}, { alg: undefined })],
    ['C-19 an alg in another case', () => assertion({}, { alg: 'es256' })],
    ['C-19 an alg that is not taken', () => assertion({}, { alg: 'ES384' })],
    ['C-19 an alg that does not fit the key', () => assertion({}, { alg: 'RS256' })],
    ['C-19 a MAC with the public key', () => macOf(key)],
    ['C-19 RS256 with a key for PS256', () => as('rsa', rsa)],
    ['C-19 a key of the prototype', () => assertion({}, { alg: 'constructor' })],
    ['J-9 an RSA key of 1024 bits', () => as('tiny', tiny)],
    ['C-15 a signature of another key', () => assertion({}, {}, other)],
    ['C-15 another key that comes along', () => assertion({}, { jwk: other.publicJwk }, other)],
    ['C-15 a kid that is not the key', () => assertion({}, { kid: 'two' })],
    ['C-15 a changed payload', () => `${head}.${payloadWith({ exp: now() + 99 })}.${signature}`],
    ['C-15 a signature cut short', () => `${head}.${payload}.${signature.slice(0, -4)}`],
    ['C-15 no iss', () => assertion({ iss: undefined })],
    ['C-15 another iss', () => assertion({ iss: 'open' })],
    ['C-15 no sub', () => assertion({ sub: undefined })],
    ['C-15 a sub that is a list', () => assertion({ sub: ['web'] })],
    ["C-15 another client's sub", () => as('rsa')],
    ['C-15 an unknown client', () => as('nobody')],
    ['C-15 a client_id that no client has', () => as('w\u00e9b')],
    ['C-15 a client_id of a prototype', () => as('__proto__')],
    ['a disabled client', () => as('off')],
    ['C-8 a client with a secret', () => as('secretive')],
    ['C-8 a public client', () => as('open')],
    ['C-15 no exp', () => assertion({ exp: undefined })],
    ['C-15 an exp that is a text', () => assertion({ exp: String(now() + 60) })],
    ['C-15 expired', () => assertion({ exp: now() - 60 })],
    ['an exp of infinity', () => infinite(key)],
    ['a life that is too long, without iat', () => assertion({ exp: now() + 661, iat: undefined })],
    ['an iat that is too long ago', () => assertion({ exp: now() + 2940, iat: now() - 660 })],
    ['for ever, without iat', () => infinite(key, { iat: undefined })],
    ['an iat in the future', () => assertion({ iat: now() + 61 })],
    ['an iat that is a text', () => assertion({ iat: String(now()) })],
    ['an iat that is null', () => assertion({ iat: null })],
    ['an nbf in the future', () => assertion({ nbf: now() + 61 })],
    ['an nbf that is a text', () => assertion({ nbf: '0' })],
    ['C-16 no aud', () => assertion({ aud: undefined })],
    ['C-16 the token endpoint', () => assertion({ aud: 'https://as.example/token' })],
    ['C-16 a slash at the end', () => assertion({ aud: 'https://as.example/' })],
    ['C-16 another server', () => assertion({ aud: 'https://other.example' })],
    ['C-16 nobody', () => assertion({ aud: [] })],
    ['C-16 another server too', () => assertion({ aud: ['https://as.example', 'https://other.example'] })],
    ['C-16 the issuer twice', () => assertion({ aud: ['https://as.example', 'https://as.example'] })],
    ['C-18 no jti', () => assertion({ jti: undefined })],
    ['C-18 an empty jti', () => assertion({ jti: '' })],
    ['C-18 a jti that is a number', () => assertion({ jti: 1 })],
    ['RFC 8725 §3.11 another kind of JWT', () => assertion({}, { typ: 'at+jwt' })],
    ['RFC 8725 §3.11 a DPoP proof', () => assertion({}, { typ: 'dpop+jwt' })],
    ['RFC 8725 §3.11 a type that is no text', () => assertion({}, { typ: ['JWT'] })],
    ['RFC 8725 §3.11 a type of another kind of media', () => assertion({}, { typ: 'text/jwt' })],
    ['RFC 8725 §3.11 an empty type', () => assertion({}, { typ: '' })],
    ['C-17 another client_id', () => assertion(), { client_id: 'open' }],
    ['C-17 the client_id of another with the same key', () => assertion(), { client_id: 'twin' }],
    ['C-4 a secret too', () => as('secretive'), secretive.form],
    ['C-4 a secret too, of a client that signs', () => assertion(), { client_id: 'web', client_secret: 'x' }],
    ['no type', () => assertion(), { client_assertion_type: '' }],
    ['an unknown type', () => assertion(), { client_assertion_type: 'urn:x' }],
    ['an assertion of SAML', () => assertion(), { client_assertion_type: saml }],
    ['a type and no assertion', () => ''],
    ['C-7 its client_id alone', () => '', { client_id: 'web', client_assertion_type: '' }],
    ['C-6 a broken one of a public client', () => 'x', open.form],
  ]
  for (const [path, request] of requests) {
    for (const [title, jwt, more] of cases) {
      const form = { ...request, ...assertionForm(await jwt()), ...more }
      isOAuthError(t, await server.post(path, form), 401, 'invalid_client', `${title} at ${path}`)
      server.tick(30) // so that wrong ones are not limited here
    }
    const withBasic = await server.post(
      path,
      { ...request, ...assertionForm(await assertion()) },
      {
        authorization: secretive.headers.authorization,
      },
    )
    isOAuthError(t, withBasic, 401, 'invalid_client', `C-4 Basic too at ${path}`)
  }
  const { statusCode } = await server.post('/revoke', { token: 'x', ...assertionForm(await assertion()) })
  t.equal(statusCode, 200, 'and a good one is taken after all that')
})

const saml = 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer'

function payloadWith(changes: object): string {
  return Buffer.from(JSON.stringify(assertionClaims('web', 0, { ...changes }))).toString('base64url')
}

const macOf = (key: TestKey) =>
  macJwt(JSON.stringify(key.publicJwk), { alg: 'HS256' }, assertionClaims('web', 1_900_000_000))

const infinite = (key: TestKey, changes: Record<string, unknown> = {}) => {
  const claims = JSON.stringify(assertionClaims('web', 0, changes))
  return signJwt(key, { alg: 'ES256' }, claims.replace('"exp":60', '"exp":1e999'))
}

t.test(
  'C-15 which claim of an assertion is wrong is told, and of the client nothing (RFC 7521 §4.2.1)',
  async t => {
    const { server, assertion } = await world(t)
    const { now } = server.ctx.clock
    const stranger = await testKey()
    await server.client('off', {
      isPublic: true,
      auth_method: 'private_key_jwt',
      jwks: jwksOf(stranger.publicJwk),
      disabled_at: 1,
    })
    await server.client('secretive')
    const claims: [claims: object, told: RegExp, header?: object][] = [
      [{ iss: 'x' }, /\biss and sub\b/],
      [{ aud: 'https://other.example' }, /\baud\b/],
      [{ exp: undefined }, /\bexp\b/],
      [{ exp: now() - 60 }, /expired \(exp\)/],
      [{ exp: now() + 661, iat: undefined }, /\bexp\b.*no iat/],
      [{ exp: now() + 2940, iat: now() - 660 }, /\biat\b.*ago/],
      [{ iat: now() + 61 }, /\biat\b.*future/],
      [{ nbf: now() + 61 }, /\bnbf\b.*future/],
      [{ jti: '' }, /\bjti\b/],
      [{}, /\btyp\b/, { typ: 'at+jwt' }],
    ]
    /** Callers do not learn which of these there are, how they authenticate, or who may use them. */
    const clients = ['web', 'off', 'secretive', 'nobody']
    const post = async (jwt: string, more = {}) => {
      const response = await server.post('/revoke', { token: 'x', ...assertionForm(jwt), ...more })
      isOAuthError(t, response, 401, 'invalid_client', `of ${jwt.slice(0, 9)}…`)
      return String(response.json().error_description)
    }
    for (const [changes, told, header] of claims) {
      const texts = new Set<string>()
      for (const id of clients)
        texts.add(await post(await assertion({ iss: id, sub: id, ...changes }, header, stranger)))
      t.equal(texts.size, 1, 'the same of every client')
      t.match([...texts][0], told)
      t.match([...texts][0], /^the client assertion is not valid: /)
    }
    const unsigned = new Set<string>()
    for (const id of clients) unsigned.add(await post(await assertion({ iss: id, sub: id }, {}, stranger)))
    t.strictSame([...unsigned], ['the client is unknown, disabled, or has not authenticated as it must'])
    t.match(await post(await assertion(), { client_id: 'x' }), /client_id differs from the sub/)
    const used = await assertion()
    await server.post('/revoke', { token: 'x', ...assertionForm(used) })
    t.match(await post(used), /its jti was used before/)
  },
)

t.test('C-8 wrong assertions are limited alike, whether there is a client or not', async t => {
  const { server, assertion } = await world(t)
  const stranger = await testKey()
  await server.client('off', { isPublic: true, auth_method: 'private_key_jwt', disabled_at: 1 })
  for (const changes of [{}, { jti: '' }]) {
    for (const id of ['web', 'off', 'nobody']) {
      let statuses = ''
      for (let i = 0; i < 51; i++) {
        const jwt = await assertion({ iss: id, sub: id, ...changes }, {}, stranger)
        statuses += ` ${(await server.post('/revoke', { token: 'x', ...assertionForm(jwt) })).statusCode}`
      }
      t.match(statuses, /^( 401){50} 429$/, id)
    }
    server.tick(3600)
  }
})

await forEachEngine(
  t,
  'C-18 an assertion for an hour counts once, on whichever server, and is good for ten minutes',
  async (t, env) => {
    const { server, assertion, post } = await world(t, {}, env)
    const beside = await startServer(t, besideEnv(server))
    const tick = (seconds: number) => [server, beside].forEach(one => one.tick(seconds))
    const { db } = server.ctx
    const { now } = server.ctx.clock
    const used = await assertion({ exp: now() + 3600 })
    const kept = await assertion({ exp: now() + 3600 })
    const early = await assertion({ exp: now() + 3600, iat: now() + 60 })
    for (const jwt of [used, early]) t.equal((await post(jwt)).statusCode, 200)
    for (const seconds of [0, 1, 599, 59]) {
      tick(seconds)
      t.equal(await forgetUses(db, now(), 1000), 0, 'its use is remembered')
      for (const to of [server, beside])
        isOAuthError(t, await post(used, {}, to), 401, 'invalid_client', 'again')
    }
    t.equal(
      (await post(kept, {}, beside)).statusCode,
      200,
      'one that was not used is good to the last second',
    )
    tick(1)
    t.equal(await forgetUses(db, now(), 1000), 2, 'then both are forgotten')
    for (const jwt of [used, kept]) {
      for (const to of [server, beside])
        isOAuthError(t, await post(jwt, {}, to), 401, 'invalid_client', 'too old')
    }
    isOAuthError(
      t,
      await post(early),
      401,
      'invalid_client',
      'that of a clock that is early is remembered for longer',
    )
    tick(60)
    t.equal(await forgetUses(db, now(), 1000), 1)
    isOAuthError(t, await post(early, {}, beside), 401, 'invalid_client', 'until it is too old as well')
  },
)

await forEachEngine(
  t,
  'C-18 an assertion counts once, on whichever server, until it has expired',
  async (t, env) => {
    const { server, assertion, post } = await world(t, {}, env)
    const beside = await startServer(t, besideEnv(server))
    const jwt = await assertion()
    t.equal((await post(jwt)).statusCode, 200)
    isOAuthError(t, await post(jwt), 401, 'invalid_client', 'here again')
    isOAuthError(t, await post(jwt, {}, beside), 401, 'invalid_client', 'on another server')
    const elsewhere = await server.post('/revoke', { token: 'x', ...assertionForm(jwt) })
    isOAuthError(t, elsewhere, 401, 'invalid_client', 'at another endpoint')

    const raced = await assertion()
    const statuses = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => (await post(raced, {}, i % 2 ? beside : server)).statusCode),
    )
    t.strictSame(statuses.sort(), [200, ...Array.from({ length: 9 }, () => 401)], 'of ten at once, one')

    const jti = randomUUID()
    t.equal((await post(await assertion({ jti }))).statusCode, 200)
    isOAuthError(t, await post(await assertion({ jti })), 401, 'invalid_client', 'another with its jti')

    const { db } = server.ctx
    const { now } = server.ctx.clock
    server.tick(119)
    t.equal(await forgetUses(db, now(), 1000), 0, 'while it could be taken, its use is remembered')
    isOAuthError(t, await post(jwt), 401, 'invalid_client', 'in its last second')
    server.tick(1)
    t.equal(await forgetUses(db, now(), 1000), 3, 'and not one longer')
    isOAuthError(t, await post(jwt), 401, 'invalid_client', 'then it has expired')
  },
)

t.test('invariant 8: what no client has signed is not remembered', async t => {
  const { server, assertion, post } = await world(t)
  const other = await testKey()
  const jti = randomUUID()
  isOAuthError(t, await post(await assertion({ jti }, {}, other)), 401, 'invalid_client', 'not signed')
  isOAuthError(t, await post(await assertion({ jti, exp: 1 })), 401, 'invalid_client', 'expired')
  t.equal((await post(await assertion({ jti }))).statusCode, 200, 'nobody can use up the jti of a client')
  await server.client('two', {
    isPublic: true,
    auth_method: 'private_key_jwt',
    jwks: jwksOf(other.publicJwk),
    grant_types: 'client_credentials',
  })
  const ofTwo = await assertion({ iss: 'two', sub: 'two', jti }, {}, other)
  t.equal((await post(ofTwo)).statusCode, 200, 'and no other client either')
})

t.test('wrong assertions are limited and recorded like wrong secrets; a right one is let in', async t => {
  const { server, assertion, post } = await world(t)
  const other = await testKey()
  let statuses = ''
  for (let i = 0; i < 52; i++) statuses += ` ${(await post(await assertion({}, {}, other))).statusCode}`
  t.match(statuses, /^( 401){50}( 429){2}$/)
  t.equal((await post(await assertion())).statusCode, 200)
  await runJob(server, 'writing the audit trail')
  const entries = await server.ctx.db.sql
    .selectFrom('audit')
    .select(['event', 'client_id', 'count', 'detail'])
    .execute()
  const detail = '{"reason":"no key of the client has signed the assertion"}'
  t.match(
    entries.filter(({ event }) => event.startsWith('client_')),
    [
      { event: 'client_refused', client_id: 'web', count: 50, detail },
      { event: 'client_throttled', client_id: 'web', count: 2, detail },
    ],
  )
})

await forEachEngine(
  t,
  'a client has keys and a secret only while it moves from one to the other',
  async (t, env) => {
    const { server, assertion, key } = await world(t, {}, env)
    const { db } = server.ctx
    const { now } = server.ctx.clock
    const two = await testKey()
    const statusOf = async (form: Record<string, string>) =>
      (await server.post('/revoke', { token: 'x', ...form })).statusCode
    const withKey = async (by = key) => statusOf(assertionForm(await assertion({}, {}, by)))
    const withSecret = (secret: string) => statusOf(testClient('web', secret).form)
    const keysOf = (by: TestKey) => ({ jwks: jwksOf(by.publicJwk), jwks_uri: null })
    t.equal(await withSecret('s1'), 401)

    const secret = (secret: string, from: 'client_secret' | 'private_key_jwt', oldExpiresAt: number | null) =>
      rotateClientSecret(db, 'web', {
        from,
        secretHash: hashSecret(secret),
        oldExpiresAt,
        now: server.ctx.clock.now(),
      })
    t.equal(await secret('s1', 'client_secret', null), false, 'it has no secret that could be replaced')
    t.equal(await secret('s1', 'private_key_jwt', now() + 60), true)
    t.equal(await secret('s2', 'private_key_jwt', now() + 60), false, 'the same once more: it has moved')
    await server.follow()
    t.strictSame([await withKey(), await withSecret('s1')], [200, 200], 'to a secret: both are good')
    server.tick(59)
    t.equal(await withKey(), 200, 'the keys until their last second')
    server.tick(1)
    t.strictSame([await withKey(), await withSecret('s1')], [401, 200], 'and not one longer')

    const keys = (from: 'client_secret' | 'private_key_jwt', by: TestKey, oldExpiresAt: number | null) =>
      setClientKeys(db, 'web', { from, keys: keysOf(by), oldExpiresAt, now: server.ctx.clock.now() })
    t.equal(await keys('private_key_jwt', two, null), false, 'it has no keys that could be replaced')
    t.equal(await keys('client_secret', two, now() + 60), true)
    t.equal(await keys('client_secret', key, now() + 60), false, 'the same once more: it has moved')
    await server.follow()
    t.strictSame(
      [await withKey(two), await withKey(), await withSecret('s1')],
      [200, 401, 200],
      'to other keys',
    )
    server.tick(59)
    t.equal(await withSecret('s1'), 200, 'the secret until its last second')
    server.tick(1)
    t.strictSame([await withKey(two), await withSecret('s1')], [200, 401], 'and not one longer')

    t.equal(await keys('private_key_jwt', key, null), true)
    await server.follow()
    t.strictSame([await withKey(two), await withKey()], [401, 200], 'other keys instead of its keys, at once')
    t.equal(await secret('s3', 'private_key_jwt', null), true)
    await server.follow()
    t.strictSame(
      [await withKey(), await withSecret('s3')],
      [401, 200],
      'a secret instead of its keys, at once',
    )
    t.match(
      await db.sql
        .selectFrom('clients')
        .select(['jwks', 'keys_expire_at'])
        .where('id', '=', 'web')
        .executeTakeFirst(),
      {
        jwks: null,
        keys_expire_at: null,
      },
    )
  },
)

t.test('keys that are registered and cannot be used, let nobody in', async t => {
  const { server, key, assertion } = await world(t)
  const sets: [title: string, jwks: string | null][] = [
    ['none', null],
    ['an empty set', '{"keys":[]}'],
    ['no set', '[]'],
    ['a private key', jwksOf(key.privateJwk)],
    ['a key for encryption', jwksOf({ ...key.publicJwk, use: 'enc' })],
    ['a key for signing alone', jwksOf({ ...key.publicJwk, key_ops: ['sign'] })],
    ['a key for an algorithm that is not taken', jwksOf({ ...key.publicJwk, alg: 'ES384' })],
    ['a key without its point', jwksOf({ ...key.publicJwk, y: undefined })],
    ['no keys', jwksOf(1 as unknown as object, null as unknown as object)],
    ['a key beyond the twentieth', jwksOf(...Array.from({ length: 20 }, () => ({})), key.publicJwk)],
  ]
  for (const [title, jwks] of sets) {
    await changeClient(server.ctx.db, 'web', { jwks })
    await server.follow()
    const response = await server.post('/revoke', { token: 'x', ...assertionForm(await assertion()) })
    isOAuthError(t, response, 401, 'invalid_client', title)
  }
})
