import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  type BearerError,
  createVerifier,
  type Verifier,
  type VerifierOptions,
} from '../../src/resource-server/verifier.ts'
import { keep } from '../../src/resource-server/kept.ts'
import { openStatusLists } from '../../src/resource-server/status.ts'
import { settingsOf } from '../../src/resource-server/settings.ts'
import { personalToken } from '../helpers/personal-tokens.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'
import { refusal } from '../helpers/refusal.ts'

const issuer = 'https://as.example'
const audience = 'https://api.example'

/** How many signatures were verified by the kit: jose does it with Web Crypto, the server does not. */
let signatures = 0
const { subtle } = globalThis.crypto
const { verify: verifySignature } = subtle
subtle.verify = (...args: Parameters<typeof verifySignature>) => {
  signatures++
  return verifySignature.apply(subtle, args)
}

/** The way from the resource server to the server: every document goes over it. */
interface Way {
  readonly fetch: typeof fetch
  /** The paths that were asked for. */
  readonly asked: string[]
  /** Answers instead of the server, or fails. */
  instead?: ((path: string) => Response | undefined) | undefined
  server: TestServer
}

function wayTo(server: TestServer): Way {
  const way: Way = {
    server,
    asked: [],
    fetch: async (input, init) => {
      const url = new URL(String(input))
      const path = url.pathname + url.search
      way.asked.push(path)
      const instead = way.instead?.(path)
      if (instead) return instead
      const headers = Object.fromEntries(new Headers(init?.headers))
      const answer = await way.server.app.inject({ url: path, headers })
      const body = answer.statusCode === 304 ? null : answer.body
      const fields = Object.entries(answer.headers).map(([name, value]): [string, string] => [
        name,
        String(value),
      ])
      return new Response(body, { status: answer.statusCode, headers: fields })
    },
  }
  return way
}

const cut = () => {
  throw new TypeError('fetch failed')
}

async function world(t: Test, options: Partial<VerifierOptions> = {}, env: Record<string, string> = {}) {
  const server = await startServer(t, env)
  await server.resource(audience)
  const client = await server.client('web', { resources: audience })
  const user = await server.user()
  const way = wayTo(server)
  const now = () => way.server.ctx.clock.now() * 1000
  const kit = (more: Partial<VerifierOptions> = {}) =>
    createVerifier({ issuer, audience, fetch: way.fetch, now, ...options, ...more })
  return { server, client, user, way, kit, verifier: kit(), logIn: () => server.logIn(client, user) }
}

async function isRefused(t: Test, promise: Promise<unknown>, code: BearerError['code'], title: string) {
  const error = await refusal(promise)
  t.equal(error.code, code, `${title}: ${String(error.cause)}`)
  t.match(error.message, /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/, 'the text is that of RFC 6750 §3')
  t.equal('www-authenticate' in error.headers(), code !== 'temporarily_unavailable')
  t.equal('retry-after' in error.headers(), code === 'temporarily_unavailable')
}

const part = (jwt: string, i: 0 | 1) =>
  JSON.parse(Buffer.from(jwt.split('.')[i] ?? '', 'base64url').toString())
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

t.test('a token is verified once, and its claims are shared', async t => {
  const { verifier, logIn, way, user } = await world(t)
  const { access_token } = await logIn()
  const claims = await verifier.verify(access_token)
  t.match(claims, { iss: issuer, aud: audience, sub: user.sub, client_id: 'web', scope: 'read write' })
  t.strictSame(claims, part(access_token, 1))
  t.ok(Object.isFrozen(claims) && Object.isFrozen(claims.amr), 'and cannot be changed by one for the others')
  t.strictSame(way.asked, [
    '/.well-known/oauth-authorization-server',
    '/.well-known/jwks.json',
    '/status-lists/0',
  ])
  signatures = 0
  for (let i = 0; i < 100; i++) t.equal(await verifier.verify(access_token), claims)
  t.equal(signatures, 0, 'the second use costs no signature check')
  t.equal(way.asked.length, 3, 'and fetches nothing')
})

t.test('the memory of verified tokens is bounded', async t => {
  const { kit, logIn } = await world(t)
  const tokens = [await logIn(), await logIn(), await logIn()].map(({ access_token }) => access_token)
  const verifier = kit({ cacheSize: 2 })
  const costs = async (...order: number[]) => {
    const counts: number[] = []
    for (const i of order) {
      signatures = 0
      await verifier.verify(tokens[i] ?? '')
      counts.push(signatures)
    }
    return counts
  }
  // The first one also costs the signature of the status list.
  t.strictSame(await costs(0, 1, 0, 1), [2, 1, 0, 0])
  t.strictSame(await costs(0, 2, 0, 1, 2), [0, 1, 0, 1, 1], 'what was not used for longest is forgotten')
})

t.test('RFC 9068 §4: what is no good access token for this API is refused, with 401', async t => {
  const { server, client, user, verifier, kit, logIn, way } = await world(t)
  const { access_token, refresh_token } = await logIn()
  await server.resource('https://other.example')
  const other = await server.client('other', { resources: 'https://other.example' })
  const { keys } = server.ctx
  const { now } = server.ctx.clock
  const claims = part(access_token, 1)
  const signed = (changes: object, typ = 'at+jwt') => keys.sign(typ, 'ES256', { ...claims, ...changes })
  const [header, payload] = access_token.split('.')
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const forged = sign('sha256', Buffer.from(`${header}.${payload}`), {
    key: stranger,
    dsaEncoding: 'ieee-p1363',
  })
  const jwks = (await server.request({ url: '/.well-known/jwks.json' })).body
  const confused = `${encode({ ...part(access_token, 0), alg: 'HS256' })}.${payload}`
  const list = (await server.request({ url: '/status-lists/0' })).body
  const { status, ...withoutStatus } = claims

  for (const typ of ['application/at+jwt', 'AT+JWT']) {
    t.match(await verifier.verify(await signed({}, typ)), { jti: claims.jti }, `RFC 7515 §4.1.9 ${typ}`)
  }
  const refused: [title: string, token: string][] = [
    ['nothing', ''],
    ['garbage', 'garbage'],
    ['a refresh token', refresh_token],
    ['B-4 another audience', (await server.logIn(other, user)).access_token],
    ['B-4 another issuer', await signed({ iss: 'https://as.example/' })],
    ['B-4 another typ', await signed({}, 'JWT')],
    ['J-11 a status list', list],
    ['J-11 an introspection response', await signed({}, 'token-introspection+jwt')],
    ['no signature', `${header}.${payload}.`],
    ['a signature of somebody else', `${header}.${payload}.${forged.toString('base64url')}`],
    ['changed claims', `${header}.${encode({ ...claims, scope: 'admin' })}.${access_token.split('.')[2]}`],
    ['C-19 alg none', `${encode({ typ: 'at+jwt', alg: 'none' })}.${payload}.`],
    [
      'HS256 with the public key',
      `${confused}.${createHmac('sha256', jwks).update(confused).digest('base64url')}`,
    ],
    [
      'crit',
      `${encode({ ...part(access_token, 0), crit: ['x'], x: 1 })}.${payload}.${access_token.split('.')[2]}`,
    ],
    ['expired', await signed({ exp: now() - 30 })],
    ['not yet valid', await signed({ nbf: now() + 31 })],
    ['no sub', await signed({ sub: undefined })],
    ['no client_id', await signed({ client_id: undefined })],
    ['no jti', await signed({ jti: undefined })],
    ['a scope that is no text', await signed({ scope: ['read'] })],
    ['bound to a key', await signed({ cnf: { jkt: 'x' } })],
    ['too long', await signed({ padding: 'x'.repeat(8192) })],
    [
      'a status elsewhere',
      await signed({ status: { status_list: { idx: 0, uri: 'https://evil.example/0' } } }),
    ],
    [
      'a status of another issuer',
      await signed({ status: { status_list: { idx: 0, uri: `${issuer}.evil/0` } } }),
    ],
    ['a status without an index', await signed({ status: { status_list: { uri: status.status_list.uri } } })],
    ['a negative index', await signed({ status: { status_list: { ...status.status_list, idx: -1 } } })],
    [
      'an index beyond the list',
      await signed({ status: { status_list: { ...status.status_list, idx: 2 ** 20 } } }),
    ],
    ['a status of another kind', await signed({ status: { other: {} } })],
  ]
  for (const [title, token] of refused) await isRefused(t, verifier.verify(token), 'invalid_token', title)
  t.notOk(
    way.asked.some(path => path.includes('evil')),
    'and nothing was fetched from elsewhere',
  )

  const plain = keys.sign('at+jwt', 'ES256', { ...withoutStatus, exp: now() + 60 })
  t.match(await verifier.verify(await plain), { sub: user.sub }, 'one without a status is taken')
  await isRefused(
    t,
    kit({ requireStatus: true }).verify(await plain),
    'invalid_token',
    'unless it is required',
  )
  await isRefused(
    t,
    kit({ algorithms: ['RS256'] }).verify(access_token),
    'invalid_token',
    'another algorithm',
  )
  t.match(await verifier.verify(await signed({ exp: now() - 29 })), { sub: user.sub }, 'clocks may differ')
  t.match(await verifier.verify(await keys.sign('application/at+jwt', 'ES256', claims)), { sub: user.sub })

  await verifier.verify(access_token)
  server.tick(300 + 29)
  t.match(await verifier.verify(access_token), { sub: user.sub }, 'to the last second')
  server.tick(1)
  await isRefused(
    t,
    verifier.verify(access_token),
    'invalid_token',
    'and no longer, though it was verified once',
  )
  await server.refresh(client, refresh_token)
})

t.test('a personal access token is refused, asks nobody, and the cause says where to ask', async t => {
  const { server, user, verifier, way } = await world(t)
  await server.resource('https://scripts.example', { personal_access_tokens: 1 })
  const { text } = await personalToken(server, user, { resource: 'https://scripts.example' })
  await isRefused(t, verifier.verify(text), 'invalid_token', 'alone')
  const { cause } = await refusal(verifier.authenticate({ headers: { authorization: `Bearer ${text}` } }))
  t.match(cause, { message: 'it is a personal access token: ask at /introspect' })
  t.strictSame(way.asked, [])
})

t.test('RFC 6750: the token is in the header, once, and has the scope', async t => {
  const { verifier, logIn, server, client, user } = await world(t)
  const { access_token } = await logIn()
  const get = (authorization: string | undefined, scopes: string[] = [], url = '/orders') =>
    verifier.authenticate({ headers: { authorization }, url }, scopes)
  for (const header of [`Bearer ${access_token}`, `bEARER  ${access_token} `]) {
    t.match(await get(header, ['read']), { client_id: 'web' }, 'B-1')
    t.match(await get(header, ['read', 'write']), { client_id: 'web' })
  }
  const challengeOf = async (promise: Promise<unknown>, status: number) => {
    const error = await refusal(promise)
    t.equal(error.status, status)
    return error.headers()['www-authenticate']
  }
  const noError = /^Bearer realm="api", DPoP realm="api", algs="[^"]*"$/
  t.match(await challengeOf(get(undefined), 401), noError, 'B-2 no token: no error')
  t.match(await challengeOf(get('Basic d2ViOng='), 401), noError)
  t.match(await challengeOf(get('Bearer'), 401), /^Bearer realm="api", error="invalid_token"/)
  t.match(await challengeOf(get('Bearer a b'), 401), /error="invalid_token"/)
  t.match(
    await challengeOf(get(`Bearer ${access_token}`, ['admin']), 403),
    /error="insufficient_scope".*scope="admin"$/,
  )
  t.match(await challengeOf(get(`Bearer ${access_token}`, ['rea']), 403), /scope="rea"$/, 'a scope is a word')
  const inUrl = `/orders?x=1&access_token=${access_token}`
  t.match(await challengeOf(get(undefined, [], inUrl), 401), noError, 'none is taken from the URL')
  t.match(
    await challengeOf(get(`Bearer ${access_token}`, [], inUrl), 400),
    /error="invalid_request"/,
    'B-1 two',
  )
  const narrow = (await server.logIn(client, user, { scope: 'read' })).access_token
  t.equal((await refusal(get(`Bearer ${narrow}`, ['read', 'write']))).scope, 'read write')
})

t.test(
  'a revocation is seen within the promised delay, and the list is asked for once in its time',
  async t => {
    const { server, client, verifier, logIn, way } = await world(t)
    const [revoked, kept] = [await logIn(), await logIn()]
    const verify = async () => {
      await verifier.verify(kept.access_token)
      return verifier.verify(revoked.access_token)
    }
    for (let second = 0; second < 120; second++) {
      await verify()
      server.tick(1)
    }
    const fetched = way.asked.filter(path => path === '/status-lists/0').length
    t.ok(fetched <= 5, `it was fetched ${fetched} times in two minutes`)
    await verify()
    await server.revoke(client, revoked.access_token)
    let seconds = 0
    for (; seconds <= 61; seconds++) {
      await verifier.verify(kept.access_token)
      if (
        await verify().then(
          () => false,
          () => true,
        )
      )
        break
      server.tick(1)
      await new Promise(setImmediate)
    }
    t.ok(seconds <= 60, `seen after ${seconds} seconds`)
    await isRefused(t, verify(), 'invalid_token', 'revoked')
    t.match(await verifier.verify(kept.access_token), { client_id: 'web' })
  },
)

t.test('a process that has slept does not use an old list', async t => {
  const { server, client, verifier, logIn } = await world(t)
  const { access_token } = await logIn()
  await verifier.verify(access_token)
  await server.revoke(client, access_token)
  server.tick(100)
  await isRefused(
    t,
    verifier.verify(access_token),
    'invalid_token',
    'the first request after that waits for it',
  )
})

t.test(
  'while the server is away, what was verified stays good until its list expires; then it is 503',
  async t => {
    const { server, verifier, logIn, way, kit } = await world(t, { clockToleranceSeconds: 0 })
    const before = await logIn()
    await verifier.verify(before.access_token)
    way.instead = cut
    server.tick(100)
    t.match(await verifier.verify(before.access_token), { client_id: 'web' }, 'from the list that there is')
    const meanwhile = await logIn()
    t.match(await verifier.verify(meanwhile.access_token), { client_id: 'web' }, 'also a token that is new')
    const asked = way.asked.length
    for (let i = 0; i < 50; i++) await verifier.verify(meanwhile.access_token)
    t.ok(way.asked.length - asked <= 1, 'and it does not ask with every request')
    server.tick(229)
    t.match(
      await verifier.verify(meanwhile.access_token),
      { client_id: 'web' },
      'to the last second of the list',
    )
    server.tick(1)
    await isRefused(t, verifier.verify(meanwhile.access_token), 'temporarily_unavailable', 'nobody can tell')
    await isRefused(
      t,
      kit().verify(meanwhile.access_token),
      'temporarily_unavailable',
      'nor can one that is new',
    )

    way.instead = undefined
    server.tick(30)
    t.match(await verifier.verify(meanwhile.access_token), { client_id: 'web' }, 'it comes back by itself')
  },
)

t.test(
  'whatever is wrong with a document of the server is 503, and never the fault of the token',
  async t => {
    const { logIn, way, kit, server } = await world(t)
    const { access_token } = await logIn()
    const list = (await server.request({ url: '/status-lists/0' })).body
    const json = (value: unknown) => () => new Response(JSON.stringify(value))
    const signedList = async (changes: object, typ = 'statuslist+jwt') => {
      const jwt = await server.ctx.keys.sign(typ, 'ES256', { ...part(list, 1), ...changes })
      return () => new Response(jwt)
    }
    const lst = deflateSync(Buffer.alloc(16)).toString('base64url')
    const metadata = '/.well-known/oauth-authorization-server'
    const jwks = '/.well-known/jwks.json'
    const wrong: [title: string, path: string, answer: () => Response][] = [
      ['no connection', metadata, cut],
      ['404 everywhere', '', () => new Response('', { status: 404 })],
      ['no JSON', metadata, () => new Response('<html>')],
      ['null', metadata, json(null)],
      ['another issuer', metadata, json({ issuer: 'https://as.example/', jwks_uri: `${issuer}${jwks}` })],
      ['no jwks_uri', metadata, json({ issuer })],
      ['a jwks_uri without TLS', metadata, json({ issuer, jwks_uri: 'http://as.example/jwks' })],
      ['no keys', jwks, cut],
      ['503', jwks, () => new Response('', { status: 503 })],
      ['keys that are none', jwks, json({ keys: 'x' })],
      ['too large', jwks, () => new Response('x'.repeat(9e6))],
      ['no list', '/status-lists/0', cut],
      ['a list that is forgotten', '/status-lists/0', () => new Response('', { status: 404 })],
      ['no JWT', '/status-lists/0', () => new Response('x')],
      ['TS-3 another typ', '/status-lists/0', await signedList({}, 'JWT')],
      [
        'TS-3 the sub of another list',
        '/status-lists/0',
        await signedList({ sub: `${issuer}/status-lists/1` }),
      ],
      ['another issuer', '/status-lists/0', await signedList({ iss: 'https://x.example' })],
      ['expired', '/status-lists/0', await signedList({ exp: server.ctx.clock.now() - 31 })],
      ['without an end', '/status-lists/0', await signedList({ exp: undefined })],
      ['without a list', '/status-lists/0', await signedList({ status_list: undefined })],
      ['TS-2 three bits', '/status-lists/0', await signedList({ status_list: { bits: 3, lst } })],
      ['no zlib', '/status-lists/0', await signedList({ status_list: { bits: 1, lst: 'AAAA' } })],
      [
        'a bomb',
        '/status-lists/0',
        await signedList({
          status_list: { bits: 1, lst: deflateSync(Buffer.alloc(9e6)).toString('base64url') },
        }),
      ],
    ]
    for (const [title, path, answer] of wrong) {
      way.instead = asked =>
        asked === path || path === '' || (path === metadata && /openid/.test(asked)) ? answer() : undefined
      await isRefused(t, kit().verify(access_token), 'temporarily_unavailable', title)
    }
    way.instead = asked => (asked === metadata ? new Response('', { status: 404 }) : undefined)
    t.match(await kit().verify(access_token), { client_id: 'web' }, 'M-8 the other metadata document will do')
  },
)

t.test('TS-4 every status but valid is a refusal, whatever the size of an entry', async t => {
  const { way, server } = await world(t)
  const settings = settingsOf({ issuer, audience, fetch: way.fetch })
  const statuses = [0, 1, 2, 3]
  const packed = Buffer.from([0b11_10_01_00])
  const payload = {
    iat: 1,
    exp: 2 ** 40,
    status_list: { bits: 2, lst: deflateSync(packed).toString('base64url') },
  }
  const keys = { verify: async () => ({ payload, protectedHeader: { alg: 'ES256' } }), has: async () => true }
  const { check } = openStatusLists(settings, keys as never)
  await server.logIn(await server.client('x'), await server.user('bob'))
  for (const idx of statuses) {
    const checked = check({ idx, uri: `${issuer}/status-lists/0` })
    if (idx === 0) await checked
    else await isRefused(t, checked, 'invalid_token', `status ${idx}`)
  }
})

t.test('a list that is older than the one we have changes nothing', async t => {
  const { server, client, verifier, logIn, way } = await world(t)
  const [revoked] = [await logIn()]
  await verifier.verify(revoked.access_token)
  const old = (await server.request({ url: '/status-lists/0' })).body
  await server.revoke(client, revoked.access_token)
  server.tick(31)
  await verifier.verify(revoked.access_token).catch(() => {})
  await new Promise(setImmediate)
  server.tick(31)
  await isRefused(t, verifier.verify(revoked.access_token), 'invalid_token', 'revoked')
  way.instead = path => (path === '/status-lists/0' ? new Response(old) : undefined)
  for (let i = 0; i < 5; i++) {
    server.tick(31)
    await isRefused(t, verifier.verify(revoked.access_token), 'invalid_token', 'and stays so')
  }
})

t.test(
  'invariant 6: no rotation of the keys costs a verification, and a key that is gone verifies nothing',
  async t => {
    const { server, verifier, logIn, way } = await world(t, {}, { MINTMARK_KEY_ROTATION_INTERVAL: '1d' })
    const kids = new Set<string>()
    let { access_token } = await logIn()
    for (let step = 0; step < 24; step++) {
      server.tick(6 * 3600 - 100)
      await server.follow()
      ;({ access_token } = await logIn())
      kids.add(part(access_token, 0).kid)
      t.match(await verifier.verify(access_token), { client_id: 'web' })
      server.tick(100)
      await server.follow()
      t.match(await verifier.verify(access_token), { client_id: 'web' })
    }
    t.ok(kids.size >= 3, `${kids.size} keys have signed`)

    // A key is revoked: from then on the key set does not have it.
    const { keys } = (await server.request({ url: '/.well-known/jwks.json' })).json()
    const kept = keys.filter((key: { kid: string }) => key.kid !== part(access_token, 0).kid)
    way.instead = path =>
      path === '/.well-known/jwks.json' ? new Response(JSON.stringify({ keys: kept })) : undefined
    server.tick(200)
    await new Promise(setImmediate)
    await verifier.verify(access_token).catch(() => {})
    await new Promise(setImmediate)
    server.tick(10)
    await isRefused(t, verifier.verify(access_token), 'invalid_token', 'also one that was verified before')
  },
)

t.test(
  'K-4 a key that is not known is looked for at once, but not for everybody who makes one up',
  async t => {
    const { server, verifier, logIn, way } = await world(t)
    const { access_token } = await logIn()
    const { keys } = (await server.request({ url: '/.well-known/jwks.json' })).json()
    const { kid } = part(access_token, 0)
    const others = { keys: keys.filter((key: { kid: string }) => key.kid !== kid) }
    way.instead = path => (path.endsWith('jwks.json') ? new Response(JSON.stringify(others)) : undefined)
    const forged = (i: number) => `${encode({ typ: 'at+jwt', alg: 'ES256', kid: `x${i}` })}.e30.AAAA`
    const askedForKeys = () => way.asked.filter(path => path.endsWith('jwks.json')).length
    for (let i = 0; i < 50; i++) await isRefused(t, verifier.verify(forged(i)), 'invalid_token', 'unknown')
    t.equal(askedForKeys(), 1, 'they were fetched just now')
    way.instead = undefined
    server.tick(10)
    t.match(await verifier.verify(access_token), { client_id: 'web' }, 'after an emergency, say')
    for (let i = 0; i < 50; i++) await isRefused(t, verifier.verify(forged(i)), 'invalid_token', 'unknown')
    t.equal(askedForKeys(), 2)

    way.instead = cut
    server.tick(10)
    for (let i = 0; i < 5; i++)
      await isRefused(
        t,
        verifier.verify(forged(i)),
        'temporarily_unavailable',
        'nobody can say whose key it is',
      )
    t.match(await verifier.verify(access_token), { client_id: 'web' }, 'which disturbs nobody else')
  },
)

t.test('a server that starts again, or another one on its database, is the same issuer', async t => {
  const { server, client, verifier, logIn, way } = await world(t)
  const [revoked, kept] = [await logIn(), await logIn()]
  await verifier.verify(revoked.access_token)
  const beside = await startServer(t, besideEnv(server))
  way.server = beside
  await server.revoke(client, revoked.access_token)
  for (const { tick } of [server, beside]) tick(100)
  await isRefused(t, verifier.verify(revoked.access_token), 'invalid_token', 'revoked')
  t.match(await verifier.verify(kept.access_token), { client_id: 'web' })
})

t.test('options that cannot work are refused at once', async t => {
  const good = { issuer, audience }
  const wrong: [options: object, message: RegExp][] = [
    [{ audience }, /^issuer/],
    [{ ...good, issuer: 'http://as.example' }, /^issuer must be an https URL/],
    [{ ...good, issuer: 'https://as.example/' }, /^issuer .* without .* trailing slash/],
    [{ ...good, issuer: 'https://as.example?x' }, /^issuer/],
    [{ issuer }, /^audience/],
    [{ ...good, audience: '' }, /^audience/],
    [{ ...good, algorithms: [] }, /^algorithms/],
    [{ ...good, algorithms: ['ES256', 'HS256'] }, /^algorithms must be asymmetric/],
    [{ ...good, algorithms: ['none'] }, /^algorithms/],
    [{ ...good, clockToleranceSeconds: -1 }, /^clockToleranceSeconds/],
    [{ ...good, clockToleranceSeconds: Number.NaN }, /^clockToleranceSeconds/],
    [{ ...good, cacheSize: 0.5 }, /^cacheSize/],
  ]
  for (const [options, message] of wrong)
    t.throws(() => createVerifier(options as VerifierOptions), { name: 'TypeError', message })
  const verifier: Verifier = createVerifier({ ...good, issuer: 'http://127.0.0.1:9000' })
  t.type(verifier.verify, 'function')
})

t.test(
  'what is used is fetched in the background before it is due, and what is not used is left alone',
  async t => {
    let reads = 0
    let unused = 0
    const kept = keep({
      now: Date.now,
      read: async () => {
        const at = Date.now()
        return { value: ++reads, dueAt: at + 20, waitAt: at + 60_000, endAt: at + 300 }
      },
      onUnused: () => unused++,
    })
    t.equal(await kept.get(), 1)
    while (reads < 2) await sleep(5)
    t.equal(await kept.get(), 2, 'nobody had to ask for it')
    while (unused === 0) await sleep(5)
    t.equal(reads, 3, 'once more, since it was used again, and then no more')
    t.equal(unused, 1, 'and when it has ended, it may be forgotten')
  },
)

t.test('who does not answer is asked again less and less often', async t => {
  let now = 0
  let reads = 0
  const kept = keep({
    now: () => now,
    read: async () => {
      reads++
      throw new Error('away')
    },
  })
  const counts: number[] = []
  for (const minute of [1, 2, 3]) {
    for (; now < minute * 60_000; now += 100) await t.rejects(kept.get(), { message: 'away' })
    counts.push(reads)
  }
  t.strictSame(counts, [6, 8, 10], 'after 1, 2, 4, 8 and 16 seconds, and then every 30')
})
