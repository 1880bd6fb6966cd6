import { createHash, randomUUID } from 'node:crypto'
import { request } from 'node:http'
import t, { type Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { checkProof, proofSeconds, type ProofDemands } from '../../src/keys/proofs/dpop.ts'
import { normalUrl } from '../../src/protocol/normal-url.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { besideEnv, isOAuthError, startServer, type TestClient } from '../helpers/server.ts'
import {
  macJwt,
  oddKey,
  proofClaims,
  proofHeader,
  signJwt,
  testKey,
  type TestKey,
} from '../helpers/proofs.ts'

const api = 'https://api.example'
const claimsOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString())

/** A server, a public client and a user, and what it takes to send proofs. */
async function world(
  t: Test,
  settings: Partial<ClientTable> & { isPublic?: boolean } = {},
  env: EngineEnv = {},
) {
  const server = await startServer(t, env)
  await server.resource(api)
  const app = await server.client('app', { isPublic: true, resources: api, ...settings })
  const user = await server.user()
  const key = await testKey()
  const nonceOf = async () => {
    const { headers } = await server.post('/token', { client_id: 'x' }, { dpop: await proof(key, {}) })
    return String(headers['dpop-nonce'])
  }
  const proof = (by: TestKey, claims: object, header: object = {}) =>
    signJwt(by, proofHeader(by, { ...header }), proofClaims(server.ctx.clock.now(), { ...claims }))
  let nonce = await nonceOf()
  /** A proof with the newest nonce. */
  const freshProof = async (by = key, claims: object = {}) => {
    nonce = await nonceOf()
    return proof(by, { nonce, ...claims })
  }
  const grant = (form: Record<string, string>, as: TestClient = app) => ({ ...as.form, ...form })
  const logInForm = (as?: TestClient) =>
    grant({ grant_type: 'password', username: user.username, password: user.password }, as)
  const refreshForm = (refresh_token: string, as?: TestClient) =>
    grant({ grant_type: 'refresh_token', refresh_token }, as)
  return {
    server,
    app,
    user,
    key,
    proof,
    nonceOf,
    freshProof,
    logInForm,
    refreshForm,
    /** Posts to /token with a fresh proof by `by`, or with none for null. */
    token: async (form: Record<string, string>, by: TestKey | null = key) =>
      server.post('/token', form, by ? { dpop: await freshProof(by) } : {}),
    session: async (accessToken: string) =>
      findSession(server.ctx.db, parseUuid(claimsOf(accessToken).sid) ?? Buffer.alloc(0)),
  }
}

await forEachEngine(t, 'Q-3 tokens for a proof are bound to its key, and say so', async (t, env) => {
  const { server, key, token, logInForm, refreshForm, session } = await world(t, {}, env)
  const apiServer = await server.client('api', { introspects: api })
  const first = (await token(logInForm())).json()
  t.equal(first.token_type, 'DPoP')
  t.strictSame(claimsOf(first.access_token).cnf, { jkt: key.jkt }, 'the thumbprint is that of jose')
  t.match(await session(first.access_token), { key_thumbprint: Buffer.from(key.jkt, 'base64url') })
  const second = (await token(refreshForm(first.refresh_token))).json()
  t.equal(second.token_type, 'DPoP')
  t.strictSame(claimsOf(second.access_token).cnf, { jkt: key.jkt })
  t.match(
    await server.introspect(apiServer, second.access_token),
    { active: true, token_type: 'DPoP', cnf: { jkt: key.jkt } },
    'I-11',
  )
})

t.test('Q-3 tokens without a proof are bearer tokens', async t => {
  const { server, token, logInForm } = await world(t)
  const apiServer = await server.client('api', { introspects: api })
  const response = await token(logInForm(), null)
  t.notOk('dpop-nonce' in response.headers)
  const { token_type, access_token } = response.json()
  t.equal(token_type, 'Bearer')
  t.notOk('cnf' in claimsOf(access_token))
  const described = await server.introspect(apiServer, access_token)
  t.equal(described['token_type'], 'Bearer')
  t.notOk('cnf' in described)
})

t.test('Q-1 Q-2 every defect that RFC 9449 §4.3 names is refused, and costs nothing', async t => {
  const { server, key, nonceOf, proof, logInForm, refreshForm, token } = await world(t)
  const other = await testKey()
  const rsa = await testKey('RS256')
  const nonce = await nonceOf()
  const now = server.ctx.clock.now()
  const { refresh_token } = (await token(logInForm())).json()
  const good = await proof(key, { nonce })
  const [head = '', payload = '', signature = ''] = good.split('.')
  const { kty: _, ...noKty } = key.publicJwk
  const make = (claims: object, header: object = {}, by = key) => proof(by, { nonce, ...claims }, header)
  const es256With = (jwk: unknown) => make({}, { jwk })

  const cases: [title: string, dpop: string | string[]][] = [
    ['1 two headers', [good, await make({})]],
    ['1 two headers, both the same', [good, good]],
    ['2 nothing in it', ' '],
    ['2 no JWT', 'garbage'],
    ['2 a JWT of two parts', `${head}.${payload}`],
    ['2 a JWT without its signature', `${head}.${payload}.`],
    ['2 a JWT of four parts', `${good}.x`],
    ['2 not base64url', `${head}.${payload}.${signature}=`],
    ['2 a second spelling of the signature', `${head}=.${payload}.${signature}`],
    ['2 a header that is no JSON', await signJwt(key, '{', proofClaims(now, { nonce }))],
    ['2 claims that are no object', await signJwt(key, proofHeader(key), [])],
    ['2 claims that are null', await signJwt(key, proofHeader(key), null)],
    ['2 a crit that nobody knows', await make({}, { crit: ['exp'], exp: now + 1000 })],
    ['2 a crit of no use', await make({}, { crit: ['b64'], b64: true })],
    ['3 no jti', await make({ jti: undefined })],
    ['3 an empty jti', await make({ jti: '' })],
    ['3 a jti that is a number', await make({ jti: 1 })],
    ['3 no htm', await make({ htm: undefined })],
    ['3 no htu', await make({ htu: undefined })],
    ['3 no iat', await make({ iat: undefined })],
    ['3 an iat that is a text', await make({ iat: String(now) })],
    ['3 an iat that is no number', await make({ iat: null })],
    ['4 no typ', await make({}, { typ: undefined })],
    ['4 another typ', await make({}, { typ: 'at+jwt' })],
    ['4 a typ of another kind of media', await make({}, { typ: 'text/dpop+jwt' })],
    ['5 no alg', await make({}, { alg: undefined })],
    [
      '5 alg none',
      `${Buffer.from(JSON.stringify({ typ: 'dpop+jwt', alg: 'none', jwk: key.publicJwk })).toString('base64url')}.${payload}.`,
    ],
    ['5 alg none with a signature', await make({}, { alg: 'none' })],
    [
      '5 a MAC with the public key',
      macJwt(JSON.stringify(key.publicJwk), proofHeader(key, { alg: 'HS256' }), proofClaims(now, { nonce })),
    ],
    ['5 an algorithm that is not taken', await make({}, { alg: 'ES384' })],
    ['5 an alg that does not fit the key', await make({}, { alg: 'RS256' })],
    ['5 RS256 with a key that says PS256', await make({}, { alg: 'PS256' }, rsa)],
    [
      '5 a curve that is not taken',
      await signJwt(key, proofHeader(await oddKey('ES256', 'P-384')), proofClaims(now, { nonce })),
    ],
    [
      '5 a curve with 32 bytes that is not taken',
      await signJwt(
        { ...key, privateKey: (await oddKey('ES256', 'secp256k1')).privateKey },
        proofHeader(await oddKey('ES256', 'secp256k1')),
        proofClaims(now, { nonce }),
      ),
    ],
    [
      '5 Ed448 as EdDSA',
      await signJwt(
        { alg: 'EdDSA', privateKey: (await oddKey('EdDSA', 'ed448')).privateKey },
        proofHeader(await oddKey('EdDSA', 'ed448')),
        proofClaims(now, { nonce }),
      ),
    ],
    ['J-9 an RSA key of 1024 bits', await signed1024(now, nonce)],
    ['6 a signature of another key', await make({}, { jwk: other.publicJwk })],
    [
      '6 a changed payload',
      `${head}.${Buffer.from(JSON.stringify(proofClaims(now, { nonce }))).toString('base64url')}.${signature}`,
    ],
    ['6 a signature cut short', `${head}.${payload}.${signature.slice(0, -4)}`],
    ['6 no jwk', await es256With(undefined)],
    ['6 a jwk that is a list', await es256With([key.publicJwk])],
    ['6 a jwk that is a text', await es256With(JSON.stringify(key.publicJwk))],
    ['6 a jwk without kty', await es256With(noKty)],
    ['6 a jwk with a broken point', await es256With({ ...key.publicJwk, x: other.publicJwk['x'] })],
    ['6 a jwk with a number', await es256With({ ...key.publicJwk, x: 1 })],
    ['6 a symmetric jwk', await es256With({ kty: 'oct', k: 'AAAA' })],
    ['6 a kid instead of a jwk', await make({}, { jwk: undefined, kid: key.jkt })],
    ['7 the private key', await es256With(key.privateJwk)],
    ['7 the private key of RSA', await make({}, { jwk: rsa.privateJwk }, rsa)],
    ['8 another method', await make({ htm: 'GET' })],
    ['8 the method in lower case', await make({ htm: 'post' })],
    ['9 another path', await make({ htu: 'https://as.example/introspect' })],
    ['9 another host', await make({ htu: 'https://as.example.org/token' })],
    ['9 another scheme', await make({ htu: 'http://as.example/token' })],
    ['9 another port', await make({ htu: 'https://as.example:8443/token' })],
    ['9 a longer path', await make({ htu: 'https://as.example/token/' })],
    ['9 the path in another case', await make({ htu: 'https://as.example/Token' })],
    ['9 an encoded slash', await make({ htu: 'https://as.example/x%2f..%2ftoken' })],
    ['9 a path alone', await make({ htu: '/token' })],
    ['9 credentials in it', await make({ htu: 'https://user@as.example/token' })],
    ['9 no http', await make({ htu: 'javascript:alert(1)' })],
    ['9 a list', await make({ htu: ['https://as.example/token'] })],
    ['11 an iat too long ago', await make({ iat: now - proofSeconds - 1 })],
    ['11 an iat in the future', await make({ iat: now + proofSeconds + 1 })],
    [
      '11 an iat of infinity',
      await signJwt(
        key,
        proofHeader(key),
        JSON.stringify(proofClaims(now, { nonce, iat: 0 })).replace('"iat":0', '"iat":1e999'),
      ),
    ],
  ]
  for (const [title, dpop] of cases) {
    const response = await server.request({
      method: 'POST',
      url: '/token',
      payload: new URLSearchParams(refreshForm(refresh_token)).toString(),
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        dpop: Array.isArray(dpop) ? dpop.join(', ') : dpop,
      },
    })
    isOAuthError(t, response, 400, 'invalid_dpop_proof', title)
    if (title.startsWith('7'))
      t.match(response.body, /the jwk holds a private key/, 'which its owner must know')
    t.match(response.headers['dpop-nonce'], /^[\w-]{32}$/, `${title}: and the nonce for the next one (Q-5)`)
  }
  t.equal((await token(refreshForm(refresh_token))).statusCode, 200, 'the refresh token is as good as ever')

  const url = new URL(`${await server.listen()}/token`)
  for (const dpop of [
    [good, good],
    [good, await make({})],
  ]) {
    t.equal(await statusOf(url, dpop, logInForm()), 400, '1 two headers, over a real connection')
  }
})

async function signed1024(now: number, nonce: string): Promise<string> {
  const small = await oddKey('RS256', 'rsa1024')
  return signJwt(small, proofHeader(small), proofClaims(now, { nonce }))
}

function statusOf(url: URL, dpop: string[], form: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', dpop }
    const sent = request(url, { method: 'POST', headers }, response => {
      response.resume()
      resolve(response.statusCode)
    })
    sent.on('error', reject).end(new URLSearchParams(form).toString())
  })
}

t.test('Q-1 what RFC 9449 allows is taken', async t => {
  const { server, key, nonceOf, proof, logInForm } = await world(t)
  const nonce = await nonceOf()
  const now = server.ctx.clock.now()
  const make = (claims: object, header: object = {}, by = key) => proof(by, { nonce, ...claims }, header)
  const cases: [title: string, dpop: string][] = [
    ['9 a query and a fragment', await make({ htu: 'https://as.example/token?a=b#c' })],
    ['9 the host in capitals', await make({ htu: 'HTTPS://AS.EXAMPLE/token' })],
    ['9 the default port', await make({ htu: 'https://as.example:443/token' })],
    ['9 characters encoded in vain', await make({ htu: 'https://as.example/%74oken' })],
    ['9 dots in the path', await make({ htu: 'https://as.example/a/../token' })],
    ['11 an iat at the edge', await make({ iat: now - proofSeconds })],
    ['11 a fast clock', await make({ iat: now + proofSeconds })],
    ['11 a fraction of a second', await make({ iat: now - 0.5 })],
    ...(await Promise.all(
      ['DPoP+JWT', 'application/dpop+jwt', 'Application/DPoP+jwt'].map(
        async (typ): Promise<[string, string]> => [`4 the typ ${typ}`, await make({}, { typ })],
      ),
    )),
    ['claims and header members that nobody knows', await make({ a: 1, ath: 'x' }, { kid: 'x', a: 1 })],
  ]
  for (const alg of ['RS256', 'PS256', 'Ed25519', 'EdDSA']) {
    cases.push([`5 ${alg}`, await make({}, {}, await testKey(alg))])
  }
  for (const [title, dpop] of cases) {
    t.equal((await server.post('/token', logInForm(), { dpop })).statusCode, 200, title)
  }
})

t.test('Q-1 Q-3 thumbprints are those of RFC 7638 and RFC 8037, for each kind of key', async t => {
  const { token, logInForm } = await world(t)
  for (const alg of ['ES256', 'RS256', 'Ed25519']) {
    const key = await testKey(alg)
    t.equal(claimsOf((await token(logInForm(), key)).json().access_token).cnf.jkt, key.jkt, alg)
  }
})

t.test('Q-5 a proof needs a nonce of the server, which every instance makes and takes', async t => {
  const { server, key, proof, logInForm, nonceOf } = await world(t)
  const beside = await startServer(t, besideEnv(server))
  const send = async (nonce: unknown, to = server) =>
    to.post('/token', logInForm(), { dpop: await proof(key, { nonce }) })

  const nonce = await nonceOf()
  t.equal((await send(nonce)).statusCode, 200)
  t.equal((await send(nonce, beside)).statusCode, 200, 'another instance takes it')
  const refusals: [title: string, nonce: unknown][] = [
    ['none', undefined],
    ['an empty one', ''],
    ['a number', 1],
    ['one with another end', `${nonce.slice(0, -1)}${nonce.endsWith('A') ? 'B' : 'A'}`],
    ['one with another beginning', `${nonce.startsWith('A') ? 'B' : 'A'}${nonce.slice(1)}`],
    ['one that is longer', `${nonce}AAAA`],
    ['one of another server', await otherNonce(t)],
  ]
  for (const [title, wrong] of refusals) {
    const response = await send(wrong)
    isOAuthError(t, response, 400, 'use_dpop_nonce', title)
    t.equal(response.headers['dpop-nonce'], nonce, title)
    t.equal(response.headers['cache-control'], 'no-store', 'Q-6')
  }

  server.tick(300)
  const next = await nonceOf()
  t.not(next, nonce, 'it changes with time')
  t.equal((await send(nonce)).statusCode, 200, 'and the one before it is still good')
  t.equal((await send(nonce)).headers['dpop-nonce'], next, 'Q-5 and the answer brings the next one')
  server.tick(300)
  isOAuthError(t, await send(nonce), 400, 'use_dpop_nonce', 'the one before that is not')
})

async function otherNonce(t: Test): Promise<string> {
  const { nonceOf } = await world(t)
  return nonceOf()
}

t.test(
  'Q-5 a nonce that is missing has cost nothing: neither the password nor the assertion was looked at',
  async t => {
    const { server, key, proof, user, app } = await world(t)
    const dpop = await proof(key, {})
    for (const form of [
      { grant_type: 'password', username: user.username, password: 'wrong', ...app.form },
      { client_id: 'nobody', grant_type: 'refresh_token', refresh_token: 'x' },
    ]) {
      isOAuthError(t, await server.post('/token', form, { dpop }), 400, 'use_dpop_nonce', form.grant_type)
    }
  },
)

await forEachEngine(t, 'Q-4 a proof counts once, on whatever instance', async (t, env) => {
  const { server, key, freshProof, logInForm, refreshForm, token } = await world(t, {}, env)
  const beside = await startServer(t, { ...env, ...besideEnv(server) })
  const first = (await token(logInForm())).json()
  const dpop = await freshProof()
  t.equal((await server.post('/token', refreshForm(first.refresh_token), { dpop })).statusCode, 200)
  for (const instance of [server, beside]) {
    const again = await instance.post('/token', refreshForm(first.refresh_token), { dpop })
    isOAuthError(t, again, 400, 'invalid_dpop_proof', 'the same proof again')
  }

  const raced = await freshProof()
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, i) =>
      (i % 2 ? beside : server).post('/token', logInForm(), { dpop: raced }),
    ),
  )
  t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 1, 'of ten at once, one')

  const jti = randomUUID()
  const other = await testKey()
  t.equal(
    (await server.post('/token', logInForm(), { dpop: await freshProof(key, { jti }) })).statusCode,
    200,
  )
  t.equal(
    (await server.post('/token', logInForm(), { dpop: await freshProof(other, { jti }) })).statusCode,
    200,
    'a jti is that of its key: nobody can use up those of others',
  )
  isOAuthError(
    t,
    await server.post('/token', logInForm(), { dpop: await freshProof(key, { jti }) }),
    400,
    'invalid_dpop_proof',
    'the same jti in another proof of the same key',
  )
})

t.test('invariant 8: nobody fills the memory of proofs with their own', async t => {
  const { server, freshProof, app, refreshForm, logInForm } = await world(t)
  const count = async () =>
    Number(
      (
        await server.ctx.db.sql
          .selectFrom('replays')
          .select(eb => eb.fn.countAll().as('n'))
          .executeTakeFirstOrThrow()
      ).n,
    )
  for (const form of [
    refreshForm('garbage'),
    { ...logInForm(), password: 'wrong' },
    { ...logInForm(), client_id: 'nobody' },
    { ...app.form, grant_type: 'client_credentials' },
    { ...app.form, grant_type: 'nothing' },
  ]) {
    const { statusCode } = await server.post('/token', form, { dpop: await freshProof() })
    t.ok(statusCode >= 400)
  }
  t.equal(await count(), 0)
  t.equal((await server.post('/token', logInForm(), { dpop: await freshProof() })).statusCode, 200)
  t.equal(await count(), 1)
})

t.test('Q-9 R-16 the refresh tokens of a public client need the key for the life of the session', async t => {
  const { server, key, token, logInForm, refreshForm, session } = await world(t)
  const thief = await testKey()
  const { refresh_token: first } = (await token(logInForm())).json()
  const wrong = async (refreshToken: string, title: string) => {
    for (const by of [null, thief]) {
      isOAuthError(
        t,
        await token(refreshForm(refreshToken), by),
        400,
        'invalid_grant',
        `${title}: ${by ? 'another key' : 'no key'}`,
      )
    }
  }
  await wrong(first, 'the current token')
  const second = (await token(refreshForm(first))).json()
  await wrong(first, 'a retry')
  t.equal(
    (await token(refreshForm(first))).json().refresh_token,
    second.refresh_token,
    'R-8 a retry with the key',
  )
  server.tick(60)
  await wrong(first, 'a late retry')
  t.equal(
    (await token(refreshForm(first))).json().refresh_token,
    second.refresh_token,
    'R-8 a late retry with the key',
  )
  const third = (await token(refreshForm(second.refresh_token))).json()
  server.tick(60)
  await wrong(first, 'a token of long ago: without the key it is of no use, and of no harm')
  t.match(await session(third.access_token), { revoked_at: null })
  for (const more of [{ scope: 'read' }, { resource: api }]) {
    isOAuthError(
      t,
      await token({ ...refreshForm(third.refresh_token), ...more }, thief),
      400,
      'invalid_grant',
      'with a parameter',
    )
  }
  isOAuthError(t, await token(refreshForm(first), key), 400, 'invalid_grant', 'R-7 with the key, it is theft')
  t.match(await session(third.access_token), { revoke_reason: 'theft' })
})

t.test('Q-9 a session that was begun without a key is bound by the first refresh with one', async t => {
  const { server, key, token, logInForm, refreshForm, session } = await world(t)
  const first = (await token(logInForm(), null)).json()
  const second = (await token(refreshForm(first.refresh_token), null)).json()
  t.match(await session(second.access_token), { key_thumbprint: null })
  server.tick(60)
  const third = (await token(refreshForm(second.refresh_token))).json()
  t.equal(third.token_type, 'DPoP')
  t.match(await session(third.access_token), { generation: 2, bound_generation: 2 })
  isOAuthError(
    t,
    await token(refreshForm(third.refresh_token), null),
    400,
    'invalid_grant',
    'then it needs the key',
  )
  isOAuthError(
    t,
    await token(refreshForm(second.refresh_token), null),
    400,
    'invalid_grant',
    'and so does a retry',
  )
  t.match(await session(third.access_token), { revoked_at: null }, 'which within the window is no theft')
  t.equal((await token(refreshForm(second.refresh_token), key)).json().refresh_token, third.refresh_token)

  // Somebody has stolen the token of before, and bound the session to a key of their own.
  server.tick(60)
  isOAuthError(
    t,
    await token(refreshForm(second.refresh_token), null),
    400,
    'invalid_grant',
    'the client comes back',
  )
  t.match(await session(third.access_token), { revoke_reason: 'theft' }, 'and that ends the session of both')
})

await forEachEngine(t, 'a race of a bound token with and without its key has one winner', async (t, env) => {
  const { server, key, freshProof, logInForm, refreshForm, token, session } = await world(t, {}, env)
  const thief = await testKey()
  const first = (await token(logInForm())).json()
  const proofs = [
    await freshProof(key),
    await freshProof(thief),
    undefined,
    await freshProof(key),
    await freshProof(thief),
    undefined,
  ]
  const answers = await Promise.all(
    proofs.map(dpop => server.post('/token', refreshForm(first.refresh_token), { dpop })),
  )
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [200, 400, 400, 200, 400, 400],
  )
  t.equal(answers[0]?.json().refresh_token, answers[3]?.json().refresh_token)
  t.match(await session(first.access_token), { generation: 1, revoked_at: null })
})

t.test('Q-9 a confidential client may change its key, for it has authenticated', async t => {
  const { server, logInForm, refreshForm, token, session } = await world(t)
  const web = await server.client('web', { resources: api })
  const [one, two] = [await testKey(), await testKey()]
  const first = (await token(logInForm(web), one)).json()
  t.strictSame(claimsOf(first.access_token).cnf, { jkt: one.jkt })
  t.match(await session(first.access_token), { key_thumbprint: null })
  const second = (await token(refreshForm(first.refresh_token, web), two)).json()
  t.strictSame(claimsOf(second.access_token).cnf, { jkt: two.jkt })
  const third = (await token(refreshForm(second.refresh_token, web), null)).json()
  t.equal(third.token_type, 'Bearer')
  const machine = (await token({ ...web.form, grant_type: 'client_credentials' }, one)).json()
  t.strictSame([machine.token_type, claimsOf(machine.access_token).cnf], ['DPoP', { jkt: one.jkt }])
})

t.test('Q-7 a client that is set to DPoP gets nothing without it', async t => {
  const { server, token, logInForm, refreshForm } = await world(t, { dpop_bound: 1 })
  const web = await server.client('web', { dpop_bound: 1 })
  const forms: Record<string, string>[] = [
    logInForm(),
    logInForm(web),
    { ...web.form, grant_type: 'client_credentials' },
  ]
  for (const form of forms) {
    const refused = await token(form, null)
    isOAuthError(t, refused, 400, 'invalid_dpop_proof', String(form['grant_type']))
    t.match(refused.headers['dpop-nonce'], /^[\w-]{32}$/, 'and with it the nonce that it will need')
    t.equal((await token(form)).json().token_type, 'DPoP')
  }
  const { refresh_token } = (await token(logInForm())).json()
  isOAuthError(t, await token(refreshForm(refresh_token), null), 400, 'invalid_dpop_proof', 'refresh')
  t.equal((await token(refreshForm(refresh_token))).statusCode, 200)
})

t.test('a public client may reuse refresh tokens that are bound to its key', async t => {
  const { server, token, logInForm, refreshForm, session } = await world(t, {
    dpop_bound: 1,
    refresh_policy: 'reuse',
  })
  const thief = await testKey()
  const { refresh_token, access_token } = (await token(logInForm())).json()
  for (let i = 0; i < 3; i++) {
    server.tick(100)
    t.equal((await token(refreshForm(refresh_token))).json().refresh_token, refresh_token)
  }
  isOAuthError(t, await token(refreshForm(refresh_token), thief), 400, 'invalid_grant', 'another key')
  t.match(await session(access_token), { generation: 0, revoked_at: null })

  // A session of the time before: it is bound by being rotated once, so that a copy of its token is noticed.
  await server.client('old', { isPublic: true, refresh_policy: 'reuse' })
  const old = { id: 'old', secret: undefined, headers: {}, form: { client_id: 'old' } }
  const before = (await token(logInForm(old), null)).json()
  const after = (await token(refreshForm(before.refresh_token, old))).json()
  t.not(after.refresh_token, before.refresh_token)
  t.equal((await token(refreshForm(after.refresh_token, old))).json().refresh_token, after.refresh_token)
  server.tick(60)
  isOAuthError(
    t,
    await token(refreshForm(before.refresh_token, old), thief),
    400,
    'invalid_grant',
    'the old token',
  )
  t.match(await session(after.access_token), { revoke_reason: 'theft' })
})

t.test('a refusal of the grant costs the proof, and nothing else', async t => {
  const { server, freshProof, logInForm, refreshForm, token } = await world(t)
  const { refresh_token } = (await token(logInForm())).json()
  const dpop = await freshProof()
  isOAuthError(
    t,
    await server.post('/token', { ...refreshForm(refresh_token), scope: 'none' }, { dpop }),
    400,
    'invalid_scope',
    'scope',
  )
  t.equal((await token(refreshForm(refresh_token))).statusCode, 200)
})

t.test('browsers may send proofs, and read the nonce', async t => {
  const { server, key, proof, logInForm } = await world(
    t,
    {},
    { MINTMARK_CORS_ORIGINS: 'https://app.example' },
  )
  const origin = 'https://app.example'
  const preflight = await server.request({
    method: 'OPTIONS',
    url: '/token',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'dpop' },
  })
  t.match(preflight.headers['access-control-allow-headers'], /\bdpop\b/i)
  const refused = await server.post('/token', logInForm(), { origin, dpop: await proof(key, {}) })
  t.match(refused.headers['access-control-expose-headers'], /\bdpop-nonce\b/i)
})

t.test('a proof for a resource server names its access token, and needs no nonce there', async t => {
  const key = await testKey()
  const accessToken = 'an access token'
  const ath = createHash('sha256').update(accessToken).digest('base64url')
  const now = 1_900_000_000
  const demands: ProofDemands = { method: 'GET', urls: ['https://api.example/orders'], now, accessToken }
  const check = async (claims: object) =>
    checkProof(
      await signJwt(
        key,
        proofHeader(key),
        proofClaims(now, { htm: 'GET', htu: 'https://api.example/orders?x=1', ath, ...claims }),
      ),
      demands,
    )
  const verdict = await check({})
  t.equal(verdict.kind === 'valid' && verdict.proof.thumbprint.toString('base64url'), key.jkt)
  for (const wrong of [
    undefined,
    '',
    `${ath}=`,
    createHash('sha256').update('another').digest('base64url'),
    accessToken,
  ]) {
    t.equal((await check({ ath: wrong })).kind, 'invalid', `12 the ath ${wrong}`)
  }
})

t.test('URLs are compared as RFC 3986 §6.2 normalises them', async t => {
  const cases: [text: string, normal: string | undefined][] = [
    ['https://API.example:443/a/./b/../c?q#f', 'https://api.example/a/c'],
    ['https://api.example', 'https://api.example/'],
    ['https://api.example/%7Euser/%2f%aF', 'https://api.example/~user/%2F%AF'],
    ['https://api.example/ä', 'https://api.example/%C3%A4'],
    ['http://api.example:80/', 'http://api.example/'],
    ['ftp://api.example/', undefined],
    ['api.example', undefined],
    ['https://a:b@api.example/', undefined],
    ['', undefined],
  ]
  for (const [text, normal] of cases) t.equal(normalUrl(text), normal, text)
})
