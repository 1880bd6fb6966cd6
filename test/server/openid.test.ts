import { createHash } from 'node:crypto'
import { createLocalJWKSet, jwtVerify, type JWTPayload } from 'jose'
import t, { type Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { changeClient } from '../../db/clients/clients.ts'
import { changePassword } from '../../db/users/users.ts'
import { acrOf, levelsOf } from '../../src/protocol/levels.ts'
import type { RequestedClaims } from '../../src/protocol/claims.ts'
import { testCertificate } from '../helpers/certificates.ts'
import { claimsOf, codeFor, forLogIns, signIn, type CodeWishes } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { proofClaims, proofHeader, signJwt, testKey, type TestKey } from '../helpers/proofs.ts'
import {
  isOAuthError,
  startServer,
  type TestClient,
  type TestServer,
  type TokenResponse,
} from '../helpers/server.ts'

const api = 'https://api.example'
const issuer = 'https://as.example'
const nonce = 'n-0S6_WzA2Mj'

interface Tokens extends TokenResponse {
  readonly id_token: string
}

type Settings = Partial<ClientTable> & { isPublic?: boolean }

const adaClaims = {
  name: 'Ada Lovelace',
  given_name: 'Ada',
  email: 'ada@example.com',
  email_verified: true,
  address: { country: 'GB' },
  phone_number: '+44 1234',
}

/** A server, an app to which people log in, and a user with claims. */
async function world(t: Test, { env = {}, ...settings }: Settings & { env?: EngineEnv } = {}) {
  const server = await startServer(t, env)
  await server.resource(api)
  const app = await server.client('app', { isPublic: true, ...forLogIns, resources: api, ...settings })
  const user = await server.user('ada', 'staff boss')
  await server.ctx.db.sql
    .updateTable('users')
    .set({ claims: JSON.stringify(adaClaims) })
    .where('id', '=', user.id)
    .execute()
  const logIn = async (wishes: CodeWishes = {}, as: TestClient = app): Promise<Tokens> => {
    const { form } = await codeFor(server, as, user, wishes)
    const response = await server.post('/token', { ...as.form, ...form })
    if (response.statusCode !== 200) throw new Error(response.body)
    return response.json()
  }
  const userinfo = (token: string, more: { method?: 'GET' | 'POST'; scheme?: string } = {}) =>
    server.request({
      method: more.method ?? 'GET',
      url: '/userinfo',
      headers: { authorization: `${more.scheme ?? 'Bearer'} ${token}` },
    })
  const claimsAt = async (token: string) => (await userinfo(token)).json()
  return { server, app, user, logIn, userinfo, claimsAt }
}

async function verified(server: TestServer, jwt: string, audience = 'app') {
  const jwks = (await server.request({ url: '/.well-known/jwks.json' })).json()
  return jwtVerify(jwt, createLocalJWKSet(jwks), {
    issuer,
    audience,
    currentDate: new Date(server.ctx.clock.now() * 1000),
  })
}

const asked = (names: Partial<RequestedClaims>): CodeWishes => ({
  scope: 'openid',
  request: { claims: { userinfo: [], idToken: [], sub: null, essentialAcr: [], ...names } },
})

await forEachEngine(
  t,
  'OT-1 OT-2 an ID token says who has logged in to whom, when and how, in answer to which request',
  async (t, env) => {
    const { server, user, logIn } = await world(t, { env })
    server.tick(100)
    const known = await signIn(server, user)
    server.tick(7)
    const { id_token, access_token } = await logIn({ signIn: known })
    const { payload, protectedHeader } = await verified(server, id_token)
    t.match(protectedHeader, { alg: 'RS256', typ: 'JWT', kid: String }, 'OT-4')
    const { at_hash, sid, ...rest } = payload
    const now = server.ctx.clock.now()
    t.strictSame(rest, {
      iss: issuer,
      sub: user.sub,
      aud: 'app',
      exp: now + server.ctx.config.accessTokenSeconds,
      iat: now,
      auth_time: now - 7,
      nonce,
      acr: 'pwd',
      amr: ['pwd'],
    })
    t.equal(sid, claimsOf(access_token)['sid'])
    t.equal(at_hash, createHash('sha256').update(access_token).digest().subarray(0, 16).toString('base64url'))
    t.notOk('id_token' in (await logIn({ scope: 'read' })), 'OT-1 none without openid')
    t.notOk('nonce' in claimsOf((await logIn({ request: { nonce: null } })).id_token), 'none was sent')
  },
)

await forEachEngine(
  t,
  'OT-5 a refresh gives an ID token of the same log-in, without the nonce',
  async (t, env) => {
    const { server, app, user, logIn } = await world(t, { env, claims_in_id_token: 1 })
    const first = await logIn({ scope: 'openid email read' })
    server.tick(1000)
    const second: Tokens = { ...first, ...(await server.refresh(app, first.refresh_token)) }
    const [before, after] = [claimsOf(first.id_token), claimsOf(second.id_token)]
    for (const name of ['iss', 'sub', 'aud', 'auth_time', 'acr', 'amr', 'sid', 'email'])
      t.strictSame(after[name], before[name], name)
    t.equal(after['iat'], Number(before['iat']) + 1000)
    t.notOk('nonce' in after)
    t.equal(
      after['at_hash'],
      createHash('sha256').update(second.access_token).digest().subarray(0, 16).toString('base64url'),
    )
    await server.ctx.db.sql
      .updateTable('users')
      .set({ claims: '{"email":"new@example.com"}' })
      .where('id', '=', user.id)
      .execute()
    const third: Tokens = { ...second, ...(await server.refresh(app, second.refresh_token)) }
    t.match(claimsOf(third.id_token), { email: 'new@example.com' }, 'what has changed is told')
  },
)

await forEachEngine(
  t,
  'OT-6 claims are in the ID token where the client or the request wants them there',
  async (t, env) => {
    const { server, logIn } = await world(t, { env })
    const wordy = await server.client('wordy', { ...forLogIns, claims_in_id_token: 1, resources: api })
    const names = (tokens: Tokens) => {
      const usual = ['iss', 'sub', 'aud', 'exp', 'iat', 'auth_time', 'nonce', 'acr', 'amr', 'sid', 'at_hash']
      return Object.keys(claimsOf(tokens.id_token)).filter(name => !usual.includes(name))
    }
    t.strictSame(names(await logIn({ scope: 'openid profile email roles' })), [])
    const scope = 'openid email roles'
    t.strictSame(names(await logIn({ scope }, wordy)), ['email', 'email_verified', 'roles'])
    t.strictSame(names(await logIn({ scope: 'openid' }, wordy)), [])
    const named = await logIn(asked({ idToken: ['given_name', 'roles', 'birthdate'], userinfo: ['email'] }))
    t.strictSame(names(named), ['given_name', 'roles'], 'those that the user has')
    t.match(claimsOf(named.id_token), { given_name: 'Ada', roles: ['staff', 'boss'] })
    const later = await server.refresh({ ...wordy, form: { client_id: 'app' } }, named.refresh_token)
    t.strictSame(names({ ...named, ...later }), ['given_name', 'roles'], 'at a refresh too')
  },
)

t.test('OT-4 an ID token is signed as the client has chosen, once every client can know the key', async t => {
  const { server, app, logIn, claimsAt } = await world(t)
  const algOf = async (jwt: string) => (await verified(server, jwt)).protectedHeader.alg
  const choose = async (settings: Partial<ClientTable>) => {
    await changeClient(server.ctx.db, app.id, settings)
    await server.follow()
  }
  await choose({ id_token_alg: 'ES256' })
  t.equal(await algOf((await logIn()).id_token), 'ES256', 'whose key is there from the start')
  const halves = { PS256: ['sha256', 16], Ed25519: ['sha512', 32], EdDSA: ['sha512', 32] } as const
  for (const [alg, [hash, bytes]] of Object.entries(halves)) {
    await choose({ id_token_alg: alg })
    t.equal(await algOf((await logIn()).id_token), 'RS256', `${alg}: its key is not published long enough`)
    const published = (await server.request({ url: '/.well-known/openid-configuration' })).json()
    t.ok(published.id_token_signing_alg_values_supported.includes(alg))
    await wait(server)
    const { id_token, access_token } = await logIn()
    t.equal(await algOf(id_token), alg)
    const half = createHash(hash).update(access_token).digest().subarray(0, bytes).toString('base64url')
    t.equal(claimsOf(id_token)['at_hash'], half, `OT-3 ${alg}`)
  }
  await choose({ id_token_alg: 'RS256', userinfo_alg: 'PS256', profile: 'fapi2' })
  await wait(server)
  t.ok(server.ctx.keys.algs().includes('PS256'), 'and that of /userinfo counts too')
  await choose({ id_token_alg: 'RS256', userinfo_alg: null })
  for (let i = 0; i < 3; i++) await wait(server)
  t.strictSame([...server.ctx.keys.algs()].sort(), ['ES256', 'RS256'], 'what nobody has chosen signs no more')
  await choose({ id_token_alg: 'PS256' })
  t.equal(await algOf((await logIn()).id_token), 'ES256', 'FAPI 2.0 §5.4.1 has no RS256')
  t.ok(await claimsAt((await logIn()).access_token))
})

/** Until a key that was published may sign, and one that is not needed has gone. */
async function wait(server: TestServer): Promise<void> {
  for (let i = 0; i < 90; i++) {
    server.tick(10)
    await server.follow()
  }
}

t.test('OT-7 the level of a log-in is that of its methods', t => {
  const cases: [amr: string, acr: string | undefined, all: string][] = [
    ['pwd', 'pwd', 'pwd'],
    ['pwd otp mfa', 'mfa', 'pwd mfa'],
    ['hwk user mfa', 'phr', 'pwd mfa phr'],
    ['swk user mfa', 'phr', 'pwd mfa phr'],
    ['hwk', 'pwd', 'pwd'],
    ['', undefined, ''],
  ]
  for (const [amr, acr, all] of cases) {
    const methods = amr === '' ? [] : amr.split(' ')
    t.equal(acrOf(methods), acr, amr)
    t.equal(levelsOf(methods).join(' '), all)
  }
  t.end()
})

t.test('J-11 no ID token passes for an access token, and no answer of /userinfo for either', async t => {
  const { server, logIn, userinfo, user } = await world(t, { userinfo_alg: 'RS256' })
  const web = await server.client('web', { is_admin: 1 })
  const { id_token, access_token, refresh_token } = await logIn()
  const answer = (await userinfo(access_token)).body
  for (const jwt of [id_token, answer]) {
    t.strictSame(await server.introspect(web, jwt), { active: false })
    isOAuthError(t, await userinfo(jwt), 401, 'invalid_token', 'at /userinfo')
  }
  isOAuthError(t, await userinfo(refresh_token), 401, 'invalid_token', 'a refresh token')
  const { iss, aud, sub, ...rest } = claimsOf(answer)
  t.strictSame([iss, aud, sub], [issuer, 'app', user.sub])
  t.notOk('exp' in rest || 'nonce' in rest || 'sid' in rest, 'it lacks what every ID token has')
})

await forEachEngine(
  t,
  'OU-1 OU-2 OU-4 /userinfo gives the claims of the scopes that the access token has',
  async (t, env) => {
    const { server, app, user, logIn, userinfo, claimsAt } = await world(t, { env })
    const all = 'openid profile email address phone roles read'
    const { access_token, refresh_token, id_token } = await logIn({ scope: all })
    for (const method of ['GET', 'POST'] as const) {
      const response = await userinfo(access_token, { method })
      t.equal(response.statusCode, 200)
      t.match(response.headers, { 'content-type': /^application\/json/, 'cache-control': 'no-store' })
      const usual = { ...adaClaims, preferred_username: 'ada', roles: ['staff', 'boss'] }
      t.strictSame(response.json(), { ...usual, sub: user.sub })
    }
    t.equal((await claimsAt(access_token)).sub, claimsOf(id_token)['sub'], 'OU-2')
    const posted = await server.post('/userinfo', { access_token })
    t.equal(posted.json().sub, user.sub, 'OU-1 in the form (RFC 6750 §2.2)')
    const scopes: [scope: string, names: string[]][] = [
      ['openid', []],
      ['openid profile', ['name', 'given_name', 'preferred_username']],
      ['openid email', ['email', 'email_verified']],
      ['openid address', ['address']],
      ['openid phone', ['phone_number']],
      ['openid roles', ['roles']],
    ]
    for (const [scope, names] of scopes) {
      const narrow = await logIn({ scope })
      const found = Object.keys(await claimsAt(narrow.access_token)).filter(name => name !== 'sub')
      t.strictSame(found, names, scope)
    }
    const narrow = await server.refresh(app, refresh_token, { scope: 'openid email' })
    t.strictSame(Object.keys(await claimsAt(narrow.access_token)).sort(), ['email', 'email_verified', 'sub'])
    const eve = await server.user('eve')
    const { form } = await codeFor(server, app, eve, { scope: all })
    const bare = (await server.post('/token', { ...app.form, ...form })).json()
    t.strictSame(
      await claimsAt(bare.access_token),
      { preferred_username: 'eve', sub: eve.sub, roles: [] },
      'OU-4 nothing is empty',
    )
  },
)

await forEachEngine(t, 'OU-5 /userinfo gives the claims that the request has named', async (t, env) => {
  const { server, app, user, logIn, claimsAt } = await world(t, { env })
  const named = await logIn(asked({ userinfo: ['email', 'birthdate'], idToken: ['given_name'] }))
  t.strictSame(await claimsAt(named.access_token), { email: 'ada@example.com', sub: user.sub })
  const later = await server.refresh(app, named.refresh_token)
  t.strictSame(await claimsAt(later.access_token), { email: 'ada@example.com', sub: user.sub })
})

t.test('OU-3 /userinfo is signed for a client that wants it so', async t => {
  const { server, user, logIn, userinfo } = await world(t, { userinfo_alg: 'ES256' })
  const response = await userinfo((await logIn({ scope: 'openid email' })).access_token)
  t.match(response.headers, { 'content-type': /^application\/jwt/, 'cache-control': 'no-store' })
  const { payload, protectedHeader } = await verified(server, response.body)
  t.match(protectedHeader, { alg: 'ES256' })
  const expected: JWTPayload = {
    email: 'ada@example.com',
    email_verified: true,
    sub: user.sub,
    iss: issuer,
    aud: 'app',
    iat: server.ctx.clock.now(),
  }
  t.strictSame(payload, expected)
})

t.test('OU-6 B-1 to B-4 what is no good access token gets the errors and challenges of RFC 6750', async t => {
  const { server, app, user, logIn, userinfo } = await world(t)
  const { access_token } = await logIn()
  const realm = `realm="${issuer}"`
  const get = (headers: Record<string, string>) =>
    server.request({ method: 'GET', url: '/userinfo', headers })
  for (const headers of [{}, { authorization: 'Basic YTpi' }]) {
    const response = await get(headers)
    isOAuthError(t, response, 401, 'invalid_token', 'B-2 no token')
    t.match(
      String(response.headers['www-authenticate']),
      new RegExp(`^Bearer ${realm}, DPoP ${realm}, algs=`),
    )
    t.notMatch(response.headers['www-authenticate'], 'error=', 'B-2 and no error')
  }
  const invalid = async (title: string, token: string, scheme = 'Bearer') => {
    const response = await userinfo(token, { scheme })
    isOAuthError(t, response, 401, 'invalid_token', title)
    t.match(String(response.headers['www-authenticate']), `${scheme} ${realm}, error="invalid_token"`, title)
  }
  await invalid('B-4 garbage', 'garbage')
  await invalid('B-4 characters that none has', '"x"')
  await invalid('B-4 a changed signature', `${access_token.slice(0, -3)}AAA`)
  await invalid('Q-11 a token that is bound to no key, sent with DPoP', access_token, 'DPoP')
  t.equal((await userinfo(access_token, { scheme: 'bEARER' })).statusCode, 200, 'B-1 in any case')

  const without = await userinfo((await logIn({ scope: 'read' })).access_token)
  isOAuthError(t, without, 403, 'insufficient_scope', 'B-3')
  t.match(without.headers['www-authenticate'], 'error="insufficient_scope"')
  t.match(without.headers['www-authenticate'], 'scope="openid"', 'B-3')
  const password = await server.client('old')
  const { access_token: plain } = await server.logIn(password, user)
  isOAuthError(t, await userinfo(plain), 403, 'insufficient_scope', 'a token of another grant')

  const twice = await server.post('/userinfo', { access_token }, { authorization: `Bearer ${access_token}` })
  isOAuthError(t, twice, 400, 'invalid_request', 'B-1 two ways at once')
  const inUrl = await server.request({ url: `/userinfo?access_token=${access_token}` })
  isOAuthError(t, inUrl, 400, 'invalid_request', 'B-1 in the URL')

  await server.revoke(app, access_token)
  await invalid('V-7 a token that was revoked', access_token)
  const { access_token: short } = await logIn()
  server.tick(server.ctx.config.accessTokenSeconds)
  await invalid('B-4 one that has expired', short)
  const { access_token: last } = await logIn()
  const hash = await server.ctx.users.passwords.hash('another password')
  await changePassword(server.ctx.db, user.id, hash, server.ctx.clock.now())
  await invalid('invariant 17: one of before a password change', last)
})

await forEachEngine(
  t,
  'Q-8 a bound token gets an answer at /userinfo with a proof of its key alone',
  async (t, env) => {
    const { server, app, user } = await world(t, { env })
    const key = await testKey()
    const { now } = server.ctx.clock
    const sign = (by: TestKey, claims: object) =>
      signJwt(by, proofHeader(by), proofClaims(now(), { ...claims }))
    const { headers } = await server.post('/token', { client_id: 'x' }, { dpop: await sign(key, {}) })
    const { form } = await codeFor(server, app, user)
    const dpop = await sign(key, { nonce: String(headers['dpop-nonce']) })
    const { access_token: token } = (await server.post('/token', { ...app.form, ...form }, { dpop })).json()

    const ath = createHash('sha256').update(token).digest('base64url')
    const good = { htm: 'GET', htu: `${issuer}/userinfo`, ath }
    const get = (proof: string | undefined, scheme = 'DPoP') =>
      server.request({
        url: '/userinfo',
        headers: { authorization: `${scheme} ${token}`, ...(proof !== undefined && { dpop: proof }) },
      })
    const proof = await sign(key, good)
    t.equal((await get(proof)).json().sub, user.sub)
    t.equal((await get(await sign(key, good), 'dpop')).statusCode, 200, 'Q-11 in any case')
    const alone = await get(undefined, 'Bearer')
    isOAuthError(t, alone, 401, 'invalid_token', 'Q-8 as a bearer token')
    t.match(alone.headers['www-authenticate'], /^DPoP .*algs="ES256/, 'Q-11')
    const bad: [title: string, proof: string | undefined][] = [
      ['none', undefined],
      ['Q-4 twice', proof],
      ['another key', await sign(await testKey(), good)],
      ['another method', await sign(key, { ...good, htm: 'POST' })],
      ['another URL', await sign(key, { ...good, htu: `${issuer}/token` })],
      ['another token', await sign(key, { ...good, ath: 'x' })],
      ['no token', await sign(key, { ...good, ath: undefined })],
      ['too old', await sign(key, { ...good, iat: now() - 301 })],
    ]
    for (const [title, one] of bad) {
      const response = await get(one)
      isOAuthError(t, response, 401, 'invalid_dpop_proof', title)
      t.match(response.headers['www-authenticate'], /^DPoP .*error="invalid_dpop_proof"/, title)
    }
  },
)

t.test(
  'L-2 a token of a certificate gets an answer at /userinfo over a connection with that alone',
  async t => {
    const proxy = '10.0.0.1'
    const { server, user } = await world(t, {
      env: { MINTMARK_TRUST_PROXY: proxy, MINTMARK_CLIENT_CERT: 'any' },
    })
    const bank = await server.client('bank', { ...forLogIns, tls_bound: 1, resources: api })
    const certificate = await testCertificate()
    const { form } = await codeFor(server, bank, user)
    const { access_token } = (
      await server.request({
        method: 'POST',
        url: '/token',
        payload: new URLSearchParams({ ...bank.form, ...form }).toString(),
        remoteAddress: proxy,
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          'client-cert': certificate.field,
        },
      })
    ).json()
    const get = (field: string | undefined, remoteAddress = proxy) =>
      server.request({
        url: '/userinfo',
        remoteAddress,
        headers: {
          authorization: `Bearer ${access_token}`,
          ...(field !== undefined && { 'client-cert': field }),
        },
      })
    t.equal((await get(certificate.field)).json().sub, user.sub)
    for (const [title, response] of [
      ['none', await get(undefined)],
      ['another', await get((await testCertificate()).field)],
      ['L-3 from elsewhere', await get(certificate.field, '192.0.2.1')],
    ] as const) {
      isOAuthError(t, response, 401, 'invalid_token', title)
    }
  },
)

t.test('OU-7 pages of the client may read /userinfo, and those of others may not', async t => {
  const own = 'https://spa.example'
  const { server, logIn } = await world(t, { cors_origins: own })
  const { access_token } = await logIn()
  const preflight = await server.request({
    method: 'OPTIONS',
    url: '/userinfo',
    headers: {
      origin: own,
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'authorization',
    },
  })
  t.equal(preflight.headers['access-control-allow-origin'], own)
  const from = (origin: string) =>
    server.request({ url: '/userinfo', headers: { origin, authorization: `Bearer ${access_token}` } })
  const read = await from(own)
  t.equal(read.statusCode, 200)
  t.equal(read.headers['access-control-allow-origin'], own)
  isOAuthError(t, await from('https://evil.example'), 400, 'invalid_request', 'another origin')
})
