import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { createServer as createTlsServer, request as tlsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { fastify } from 'fastify'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { resourceServer as connect } from '../../src/resource-server/connect.ts'
import { proofMemory } from '../../src/resource-server/dpop-proof.ts'
import { resourceServer as fastifyPlugin } from '../../src/resource-server/fastify.ts'
import {
  createVerifier,
  type ApiRequest,
  type Verifier,
  type VerifierOptions,
} from '../../src/resource-server/verifier.ts'
import { testCertificate } from '../helpers/certificates.ts'
import { startServer } from '../helpers/server.ts'
import { macJwt, proofHeader, signJwt, testKey, type TestKey } from '../helpers/proofs.ts'
import { refusal } from '../helpers/refusal.ts'

const issuer = 'https://as.example'
const audience = 'https://api.example'
const algs = 'algs="ES256 RS256 PS256 Ed25519 EdDSA"'

const athOf = (accessToken: string) => createHash('sha256').update(accessToken).digest('base64url')

/** A server, an API that verifies locally, and tokens that are bound to whatever. */
async function world(t: Test, options: Partial<VerifierOptions> = {}) {
  const server = await startServer(t)
  await server.resource(audience, { has_status: 0 })
  const verifierOptions: VerifierOptions = {
    issuer,
    audience,
    now: () => server.ctx.clock.now() * 1000,
    fetch: async input => {
      const { body, statusCode } = await server.app.inject(new URL(String(input)).pathname)
      return new Response(body, { status: statusCode })
    },
    ...options,
  }
  const key = await testKey()
  /** An access token as the server signs it. */
  const token = (cnf: unknown, claims: object = {}) => {
    const now = server.ctx.clock.now()
    const times = { iat: now, exp: now + 300, jti: randomUUID() }
    const about = { iss: issuer, aud: audience, sub: 'u', client_id: 'app', scope: 'read' }
    return server.ctx.keys.sign('at+jwt', 'ES256', {
      ...about,
      ...times,
      ...(cnf !== undefined && { cnf }),
      ...claims,
    })
  }
  const accessToken = await token({ jkt: key.jkt })
  const claims = (changes: object = {}) => ({
    jti: randomUUID(),
    htm: 'GET',
    htu: `${audience}/orders`,
    iat: server.ctx.clock.now(),
    ath: athOf(accessToken),
    ...changes,
  })
  return {
    server,
    key,
    token,
    accessToken,
    claims,
    verifierOptions,
    verifier: createVerifier(verifierOptions),
    proof: (changes: object = {}, header: Record<string, unknown> = {}, by: TestKey = key) =>
      signJwt(by, proofHeader(by, header), claims(changes)),
  }
}

const get = (
  verifier: Verifier,
  authorization: string,
  dpop?: string | string[],
  more: Partial<ApiRequest> = {},
  scopes: string[] = [],
) =>
  verifier.authenticate(
    { method: 'GET', url: '/orders?page=2', ...more, headers: { authorization, dpop, ...more.headers } },
    scopes,
  )

t.test('Q-1 Q-8 Q-11 a token that is bound to a key is good with a new proof of that key alone', async t => {
  const { server, verifier, key, accessToken, proof, claims, token } = await world(t)
  const dpop = `DPoP ${accessToken}`
  t.match(await get(verifier, dpop, await proof()), { sub: 'u', cnf: { jkt: key.jkt } })
  t.match(
    await get(verifier, `dPoP  ${accessToken}`, await proof(), {}, ['read']),
    { sub: 'u' },
    'Q-11 in any case',
  )
  t.match(await get(verifier, dpop, await proof({ htu: 'https://API.example:443/x/../orders?q#f' })), {
    sub: 'u',
  })
  t.match(
    await get(verifier, dpop, await proof({ iat: server.ctx.clock.now() - 90 })),
    { sub: 'u' },
    'in its last second',
  )
  t.match(
    await get(verifier, dpop, await proof({ iat: server.ctx.clock.now() + 30 })),
    { sub: 'u' },
    'clocks may differ',
  )
  t.match(await get(verifier, dpop, await proof({ nonce: 'x', exp: server.ctx.clock.now() + 1 })), {
    sub: 'u',
  })
  for (const typ of ['DPoP+JWT', 'application/dpop+jwt', 'Application/DPoP+jwt']) {
    t.match(await get(verifier, dpop, await proof({}, { typ })), { sub: 'u' }, typ)
  }
  for (const alg of ['RS256', 'PS256', 'Ed25519', 'EdDSA']) {
    const other = await testKey(alg)
    const text = await token({ jkt: other.jkt })
    t.match(
      await get(verifier, `DPoP ${text}`, await proof({ ath: athOf(text) }, {}, other)),
      { sub: 'u' },
      alg,
    )
  }

  const odd = await generateKeyPair('ES384')
  const jwk = await exportJWK(odd.publicKey)
  const ofOdd = await token({ jkt: await calculateJwkThumbprint(jwk) })
  const oddProof = new SignJWT(claims({ ath: athOf(ofOdd) })).setProtectedHeader({
    typ: 'dpop+jwt',
    alg: 'ES384',
    jwk,
  })
  const untaken = await refusal(get(verifier, `DPoP ${ofOdd}`, await oddProof.sign(odd.privateKey)))
  t.equal(untaken.code, 'invalid_dpop_proof', '5 an algorithm that is not among those of the challenge')

  const other = await testKey()
  const used = await proof()
  await get(verifier, dpop, used)
  const now = server.ctx.clock.now()
  const cases: [title: string, field: string | string[] | undefined, more?: Partial<ApiRequest>][] = [
    ['1 none', undefined],
    ['1 two', [await proof(), await proof()]],
    ['1 two in one', `${await proof()}, ${await proof()}`],
    ['2 garbage', 'garbage'],
    ['2 nothing', ''],
    ['2 longer than any', await proof({ x: 'x'.repeat(4000) })],
    ['2 a crit that nobody knows', await proof({}, { crit: ['x'], x: 1 })],
    ['3 no jti', await proof({ jti: undefined })],
    ['3 an empty jti', await proof({ jti: '' })],
    ['3 no htm', await proof({ htm: undefined })],
    ['3 no htu', await proof({ htu: undefined })],
    ['3 no iat', await proof({ iat: undefined })],
    ['3 an iat that is a text', await proof({ iat: String(now) })],
    ['4 no typ', await proof({}, { typ: undefined })],
    ['4 another typ', await proof({}, { typ: 'JWT' })],
    ['4 a typ of another kind of media', await proof({}, { typ: 'text/dpop+jwt' })],
    [
      '5 alg none',
      `${Buffer.from(JSON.stringify(proofHeader(key, { alg: 'none' }))).toString('base64url')}.e30.`,
    ],
    [
      '5 a MAC with the public key',
      macJwt(JSON.stringify(key.publicJwk), proofHeader(key, { alg: 'HS256' }), claims()),
    ],
    ['6 a signature of another key', await proof({}, { jwk: other.publicJwk })],
    ['6 no jwk', await proof({}, { jwk: undefined })],
    ['7 the private key', await proof({}, { jwk: key.privateJwk })],
    ['8 another method', await proof({ htm: 'POST' })],
    ['8 the method of another request', await proof(), { method: 'DELETE' }],
    ['9 another path', await proof({ htu: `${audience}/orders/1` })],
    ['9 another host', await proof({ htu: 'https://other.example/orders' })],
    ['9 the authorization server', await proof({ htu: `${issuer}/token` })],
    ['9 the path of another request', await proof(), { url: '/admin' }],
    ['11 too old', await proof({ iat: now - 91 })],
    ['11 too new', await proof({ iat: now + 31 })],
    ['11 expired', await proof({ exp: now - 31 })],
    ['12 no ath', await proof({ ath: undefined })],
    ['12 the ath of another token', await proof({ ath: athOf(await token({ jkt: key.jkt })) })],
    ['12 another key', await proof({}, {}, other)],
    ['Q-4 it was used before', used],
  ]
  /** What the sender is told, by the number of the check. */
  const told: Readonly<Record<string, RegExp>> = {
    '1': /no proof|no JWT/,
    '3': /jti|htm|htu|iat/,
    '4': /the typ\b/,
    '6': /jwk/,
    '8': /the htm\b/,
    '9': /the htu\b/,
    '11': /the (iat|exp)\b/,
    '12': /the ath\b|its jwk\b/,
    'Q-4': /the jti\b/,
  }
  for (const [title, field, more] of cases) {
    const error = await refusal(get(verifier, dpop, field, more))
    t.match(error, { code: 'invalid_dpop_proof', status: 401 }, `${title}: ${String(error.cause)}`)
    t.match(error.message, /^the DPoP proof is not valid: [\w+, ]+$/, `${title}: says why`)
    t.match(error.message, told[title.split(' ')[0] ?? ''] ?? /./, `${title}: says which claim`)
    t.match(error.headers()['www-authenticate'], /^DPoP realm="api", error="invalid_dpop_proof", .*, algs="/)
  }
})

t.test('Q-8 Q-11 the challenge says how the token should have been sent', async t => {
  const { server, verifier, accessToken, proof, token, verifierOptions } = await world(t)
  const bearer = await token(undefined)
  const certified = await token({ 'x5t#S256': athOf('x') })
  const dpop = async (ath = accessToken) => proof({ ath: athOf(ath) })
  const challengeOf = async (promise: Promise<unknown>) => {
    const error = await refusal(promise)
    return `${error.status} ${error.headers()['www-authenticate']?.replace(/, error_description="[^"]*"/, '')}`
  }
  const invalid = 'realm="api", error="invalid_token"'
  t.equal(
    await challengeOf(get(verifier, `Bearer ${accessToken}`)),
    `401 DPoP ${invalid}, ${algs}`,
    'Q-8 a bound token as a bearer: whoever has only the token',
  )
  t.equal(
    await challengeOf(get(verifier, `Bearer ${accessToken}`, await dpop())),
    `401 DPoP ${invalid}, ${algs}`,
  )
  t.equal(
    await challengeOf(verifier.verify(accessToken)),
    `401 DPoP ${invalid}, ${algs}`,
    'nor without a request',
  )
  t.equal(
    await challengeOf(get(verifier, `DPoP ${bearer}`, await dpop(bearer))),
    `401 DPoP ${invalid}, ${algs}`,
  )
  t.equal(
    await challengeOf(get(verifier, `DPoP ${certified}`, await dpop(certified))),
    `401 Bearer ${invalid}`,
  )
  t.equal(await challengeOf(get(verifier, 'DPoP')), `401 Bearer ${invalid}`)
  t.equal(await challengeOf(get(verifier, 'Basic x')), `401 Bearer realm="api", DPoP realm="api", ${algs}`)
  t.equal(
    await challengeOf(get(verifier, `DPoP ${accessToken}`, await dpop(), {}, ['write'])),
    `403 DPoP realm="api", error="insufficient_scope", scope="write", ${algs}`,
  )
  for (const cnf of [{}, null, 'x', { jkt: 1 }, { kid: 'x' }, { jkt: athOf('x'), kid: 'x' }, { jwk: {} }]) {
    const unknown = await token(cnf)
    t.match(
      await challengeOf(get(verifier, `Bearer ${unknown}`)),
      /^401 \w+ realm="api", error="invalid_token"/,
    )
    t.match(
      await challengeOf(get(verifier, `DPoP ${unknown}`, await dpop(unknown))),
      /^401 /,
      'bound to nobody knows what',
    )
  }
  t.match(await get(verifier, `Bearer ${bearer}`, await dpop()), { sub: 'u' }, 'a proof that nobody needs')
  const nameless = createVerifier({ ...verifierOptions, audience: 'urn:api' })
  const named = await token(undefined, { aud: 'urn:api' })
  t.match(await get(nameless, `Bearer ${named}`), { aud: 'urn:api' })
  server.tick(331)
  t.equal(
    await challengeOf(get(verifier, `DPoP ${accessToken}`, await dpop())),
    `401 DPoP ${invalid}, ${algs}`,
    'expired',
  )
})

t.test('Q-4 a proof counts once, in one process or, where they tell each other, in all', async t => {
  const uses = new Map<string, number>()
  const rememberProof = async (id: string, expiresAt: number) => {
    if (uses.has(id)) return false
    uses.set(id, expiresAt)
    return true
  }
  const { server, verifierOptions, accessToken, proof } = await world(t, { rememberProof })
  const [one, two] = [createVerifier(verifierOptions), createVerifier(verifierOptions)]
  const dpop = await proof()
  await get(one, `DPoP ${accessToken}`, dpop)
  t.equal((await refusal(get(two, `DPoP ${accessToken}`, dpop))).code, 'invalid_dpop_proof')
  t.strictSame(
    [...uses.values()],
    [server.ctx.clock.now() + 91],
    'remembered while it could be taken, and no longer',
  )
  await refusal(get(one, `DPoP ${accessToken}`, await proof({ htm: 'PUT' })))
  t.equal(uses.size, 1, 'one that is not good is not remembered')
  const failing = createVerifier({
    ...verifierOptions,
    rememberProof: () => Promise.reject(new Error('away')),
  })
  t.equal(
    (await refusal(get(failing, `DPoP ${accessToken}`, await proof()))).status,
    503,
    'a fault of ours is no 401',
  )

  let now = 1_000_000
  const remember = proofMemory(() => now, 3)
  for (const id of ['a', 'b', 'c']) t.equal(await remember(id, now / 1000 + 10), true)
  t.equal(await remember('a', now / 1000 + 10), false)
  await t.rejects(
    remember('d', now / 1000 + 10),
    { code: 'temporarily_unavailable' },
    'none is forgotten too early',
  )
  now += 10_000
  t.equal(await remember('d', now / 1000 + 10), true, 'and none too late')
})

t.test('L-2 a token that is bound to a certificate is good over a connection with it', async t => {
  const { verifier, verifierOptions, token, key, proof } = await world(t, { trustProxy: ['10.0.0.0/8'] })
  const [one, two] = [await testCertificate(), await testCertificate()]
  const hash = createHash('sha256').update(one.der).digest('base64url')
  const accessToken = await token({ 'x5t#S256': hash })
  const both = await token({ 'x5t#S256': hash, jkt: key.jkt })
  const from = (remoteAddress: string, field?: string) => ({
    socket: { remoteAddress },
    headers: { ...(field !== undefined && { 'client-cert': field }) },
  })
  t.match(await get(verifier, `Bearer ${accessToken}`, undefined, from('10.0.0.1', one.field)), { sub: 'u' })
  const cases: [title: string, request: Partial<ApiRequest>][] = [
    ['another', from('10.0.0.1', two.field)],
    ['none', from('10.0.0.1')],
    ['garbage', from('10.0.0.1', ':x:')],
    ['both', from('10.0.0.1', `${one.field}, ${two.field}`)],
    ['from nobody who is trusted', from('192.0.2.1', one.field)],
    ['without a connection', {}],
  ]
  for (const [title, request] of cases) {
    const error = await refusal(get(verifier, `Bearer ${accessToken}`, undefined, request))
    t.match(error, { code: 'invalid_token', status: 401 }, title)
    t.match(error.headers()['www-authenticate'], /^Bearer /, title)
  }
  const closed = createVerifier({ ...verifierOptions, trustProxy: [] })
  t.equal(
    (await refusal(get(closed, `Bearer ${accessToken}`, undefined, from('10.0.0.1', one.field)))).status,
    401,
  )

  const ath = athOf(both)
  t.match(await get(verifier, `DPoP ${both}`, await proof({ ath }), from('10.0.0.1', one.field)), {
    sub: 'u',
  })
  for (const [dpop, request] of [
    [await proof({ ath }), from('10.0.0.1', two.field)],
    [undefined, from('10.0.0.1', one.field)],
  ] as const) {
    t.equal((await refusal(get(verifier, `DPoP ${both}`, dpop, request))).status, 401, 'bound to both: both')
  }
})

t.test('L-2 a server that ends TLS itself looks at the certificate of the connection', async t => {
  const { token, verifierOptions } = await world(t)
  const [one, two, own] = [await testCertificate(), await testCertificate(), await testCertificate()]
  const accessToken = await token({ 'x5t#S256': createHash('sha256').update(one.der).digest('base64url') })
  const middleware = connect(verifierOptions)()
  const tls = { cert: own.certificate, key: own.privateKey, requestCert: true, rejectUnauthorized: false }
  const api = createTlsServer(tls, (request, response) =>
    middleware(request, response, () => void response.end('ok')),
  )
  t.teardown(() => api.close())
  api.listen(0, '127.0.0.1')
  await once(api, 'listening')
  const { port } = api.address() as AddressInfo
  const statusWith = async (certificate?: typeof one, headers: Record<string, string> = {}) => {
    const request = tlsRequest({
      port,
      agent: false,
      rejectUnauthorized: false,
      headers: { authorization: `Bearer ${accessToken}`, ...headers },
      ...(certificate && { cert: certificate.certificate, key: certificate.privateKey }),
    })
    const [response]: IncomingMessage[] = await once(request.end(), 'response')
    response?.resume()
    return response?.statusCode
  }
  t.equal(await statusWith(one), 200)
  t.equal(await statusWith(two), 401)
  t.equal(await statusWith(), 401)
  t.equal(await statusWith(two, { 'client-cert': one.field }), 401, 'whatever a header says')
})

t.test('both adapters check proofs against the URL that the client has used', async t => {
  const { verifierOptions, accessToken, proof } = await world(t, { url: 'https://gateway.example/v1/' })
  const web = fastify()
  t.teardown(() => web.close())
  await web.register(fastifyPlugin, verifierOptions)
  await web.register(
    async part => {
      part.post('/orders', { onRequest: part.requireScope('read') }, async ({ accessToken: { sub } }) => sub)
    },
    { prefix: '/shop' },
  )

  const app = express()
  const shop = express.Router()
  shop.post('/orders', connect(verifierOptions)('read'), (request, response) => {
    response.send(request.accessToken?.sub)
  })
  app.use('/shop', shop)
  const listening = app.listen(0, '127.0.0.1')
  t.teardown(() => listening.close())
  await once(listening, 'listening')
  const { port } = listening.address() as AddressInfo
  await web.listen({ host: '127.0.0.1', port: 0 })
  const fastifyPort = (web.server.address() as AddressInfo).port

  const good = { htm: 'POST', htu: 'https://gateway.example/v1/shop/orders' }
  const cases: [
    title: string,
    scheme: string,
    changes: object | undefined,
    status: number,
    challenge: RegExp | undefined,
  ][] = [
    ['a good proof', 'DPoP', good, 200, undefined],
    ['none', 'DPoP', undefined, 401, /^DPoP .*error="invalid_dpop_proof".*algs=/],
    [
      'for the path where it is mounted',
      'DPoP',
      { ...good, htu: 'https://gateway.example/v1/orders' },
      401,
      /^DPoP /,
    ],
    ['for the audience', 'DPoP', { ...good, htu: `${audience}/shop/orders` }, 401, /^DPoP /],
    ['as a bearer', 'Bearer', good, 401, /^DPoP .*error="invalid_token".*algs=/],
  ]
  for (const [title, scheme, changes, status, challenge] of cases) {
    for (const [name, at] of [
      ['Express', port],
      ['Fastify', fastifyPort],
    ] as const) {
      const headers = {
        authorization: `${scheme} ${accessToken}`,
        ...(changes && { dpop: await proof(changes) }),
      }
      const request = httpRequest({
        port: at,
        path: '/shop/orders?x=1',
        method: 'POST',
        headers,
        agent: false,
      })
      const [response]: IncomingMessage[] = await once(request.end(), 'response')
      response?.resume()
      t.equal(response?.statusCode, status, `${title} at ${name}`)
      if (challenge) t.match(response?.headers['www-authenticate'], challenge, `${title} at ${name}`)
    }
  }
  for (const options of [{ url: 'api.example' }, { url: `${audience}/?x` }, { trustProxy: ['proxy'] }]) {
    t.throws(() => createVerifier({ ...verifierOptions, ...options }), TypeError, JSON.stringify(options))
  }
})
