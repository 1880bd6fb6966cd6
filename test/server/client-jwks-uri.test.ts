import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { openClientKeys } from '../../src/clients/client-keys.ts'
import { fetchJson } from '../../src/clients/fetch-json.ts'
import { isFetchedUrl } from '../../src/protocol/fetched-url.ts'
import { isPublicAddress, networks } from '../../src/values/networks.ts'
import { anotherProtocol } from '../helpers/another-protocol.ts'
import { testCertificate } from '../helpers/certificates.ts'
import { isOAuthError, startServer, until } from '../helpers/server.ts'
import { assertionClaims, assertionForm, signJwt, testKey, type TestKey } from '../helpers/proofs.ts'

const loopback = networks(['127.0.0.0/8', '::1'])
/** Long enough for an answer on a busy machine, short enough to wait for. */
const setting = 'MINTMARK_JWKS_URI_NETWORKS'
const brief = { isAllowed: loopback, setting, seconds: 0.4 }
const patient = { isAllowed: loopback, setting, seconds: 30 }

/** Listens on a free port of the loopback interface until the test is over, whatever is still open. */
async function listen<S extends Server>(t: Test, server: S): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

async function serve(t: Test, answer: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listen(t, createHttpServer(answer))}`
}

const serveTcp = async (t: Test, speak: (socket: Socket) => void) =>
  `http://127.0.0.1:${await listen(t, createTcpServer(speak))}`

t.test('a key set is fetched as JSON, redirects within bounds included', async t => {
  const asked: unknown[] = []
  const uri = await serve(t, (request, response) => {
    asked.push([request.method, request.url, request.headers.accept, request.headers.authorization])
    const [, count = '0'] = /^\/(\d)/.exec(request.url ?? '') ?? []
    if (count === '0') return void response.end('{"keys":[]}')
    response.writeHead(307, { location: `/${Number(count) - 1}?x` }).end()
  })
  t.strictSame(await fetchJson(`${uri}/0?tenant=1`, patient), { keys: [] })
  t.strictSame(asked, [['GET', '/0?tenant=1', 'application/jwk-set+json, application/json', undefined]])
  t.strictSame(await fetchJson(`${uri}/3`, patient), { keys: [] }, 'three redirects')
  t.equal(asked.length, 5)
})

t.test(
  'a server that is slow, endless or talks nonsense costs a little time and memory, and no more',
  async t => {
    const written = { bytes: 0 }
    const endless: RequestListener = (_request, response) => {
      const chunk = Buffer.alloc(16 * 1024, ' ')
      const write = () => {
        while (!response.destroyed && response.write(chunk)) written.bytes += chunk.length
      }
      response.on('drain', write)
      write()
    }
    let redirects = 0
    const toItself: RequestListener = (_request, response) => {
      redirects++
      response.writeHead(302, { location: '/' }).end()
    }
    const trickle = (socket: Socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n')
      const timer = setInterval(() => socket.write(' '), 20)
      socket.on('close', () => clearInterval(timer))
    }
    const raw = (text: string) => (socket: Socket) => void socket.end(text)
    const answer = (status: number, headers: Record<string, string>, body: string | Buffer = '') =>
      serve(t, (_request, response) => void response.writeHead(status, headers).end(body))

    const cases: [title: string, uri: string, message: RegExp][] = [
      ['it accepts, and says nothing', await serveTcp(t, () => {}), /abort|timeout/i],
      [
        'it stops after the headers',
        await serveTcp(t, raw2('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{')),
        /abort/i,
      ],
      ['a byte now and then', await serveTcp(t, trickle), /abort/i],
      ['a header now and then', await serveTcp(t, raw2('HTTP/1.1 200 OK\r\nx: ')), /abort/i],
      [
        '10 MB, as announced',
        await answer(200, {}, Buffer.alloc(10_000_000, ' ')),
        /larger than 65536 bytes/,
      ],
      ['without an end', await serve(t, endless), /larger than 65536 bytes/],
      ['headers of 1 MB', await answer(200, { x: 'x'.repeat(1_000_000) }), /header/i],
      [
        'compressed, a bomb perhaps',
        await answer(200, { 'content-encoding': 'gzip' }, gzipSync('{}')),
        /compressed/,
      ],
      ['a page', await answer(200, { 'content-type': 'text/html' }, '<html>'), /JSON/],
      ['half a set', await answer(200, {}, '{"keys":['), /JSON/],
      ['nothing', await answer(200, {}), /JSON/],
      ['no HTTP', await serveTcp(t, raw('SSH-2.0-OpenSSH_9.9\r\n')), /Parse Error/],
      ['it hangs up', await serveTcp(t, socket => void socket.resetAndDestroy()), /ECONNRESET|hang up/],
      [
        'less than announced',
        await serveTcp(t, raw('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}')),
        /abort/,
      ],
      ['an error of its own', await answer(500, {}, '{"keys":[]}'), /status 500/],
      ['not found', await answer(404, {}, '{"keys":[]}'), /status 404/],
      ['no content', await answer(204, {}), /status 204/],
      ['another protocol', await serveTcp(t, raw(anotherProtocol)), /without an answer/],
      ['a redirect to itself', await serve(t, toItself), /more than 3 redirects/],
      ['a redirect to nowhere', await answer(302, {}), /leads nowhere/],
      ['a redirect to what is no URL', await answer(302, { location: 'http://[' }), /leads nowhere/],
      ['a redirect to a file', await answer(302, { location: 'file:///etc/passwd' }), /not https/],
      ['a redirect without TLS', await answer(302, { location: 'http://as.example/' }), /not https/],
      [
        'a redirect with credentials',
        await answer(302, { location: 'https://a:b@as.example/' }),
        /credentials/,
      ],
      [
        'a redirect into a network',
        await answer(302, { location: 'https://10.0.0.1/' }),
        /10\.0\.0\.1, a private/,
      ],
      [
        'a redirect to a cloud',
        await answer(302, { location: 'https://169.254.169.254/' }),
        /a private address/,
      ],
      ['nobody listens', 'http://127.0.0.1:1', /ECONNREFUSED/],
    ]
    // All at once: they wait for each other's time, and for nothing else.
    await Promise.all(
      cases.map(async ([title, uri, message]) => {
        const isHanging = /abort/.test(message.source)
        await t.rejects(fetchJson(uri, isHanging ? brief : patient), { message }, title)
      }),
    )
    t.equal(redirects, 4)
    t.ok(written.bytes < 8_000_000, `it has sent ${written.bytes} bytes before it was cut off`)
  },
)

/** Says it, and then nothing more. */
const raw2 = (text: string) => (socket: Socket) => void socket.write(text)

t.test(
  'addresses that are not of the public internet are not connected to, however they are written',
  async t => {
    const closed = { isAllowed: networks([]), setting, seconds: 30 }
    let connections = 0
    const port = await listen(
      t,
      createTcpServer(() => connections++),
    )
    for (const host of [
      '127.0.0.1',
      'localhost',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '2130706433',
      '0x7f.1',
      '127.1',
      '0',
    ]) {
      for (const protocol of ['http', 'https']) {
        await t.rejects(
          fetchJson(`${protocol}://${host}:${port}/`, closed),
          /private address|not https/,
          `${protocol} ${host}`,
        )
      }
    }
    t.equal(connections, 0)
    const addresses: [address: string, isPublic: boolean][] = [
      ['1.1.1.1', true],
      ['100.63.255.255', true],
      ['172.32.0.1', true],
      ['2606:4700::1111', true],
      ...[
        '0.0.0.0',
        '10.1.2.3',
        '100.64.0.1',
        '127.0.0.2',
        '169.254.169.254',
        '172.16.0.1',
        '172.31.255.255',
        '192.0.0.8',
        '192.0.2.1',
        '192.168.1.1',
        '198.19.0.1',
        '198.51.100.1',
        '203.0.113.1',
        '224.0.0.1',
        '240.0.0.1',
        '255.255.255.255',
        '::',
        '::1',
        '::ffff:10.0.0.1',
        '::ffff:8.8.8.8',
        '64:ff9b::a00:1',
        '100::1',
        '2001::1',
        '2001:db8::1',
        '2002:a00:1::',
        '3fff::1',
        'fc00::1',
        'fd12::1',
        'fe80::1',
        'fe80::1%eth0',
        'ff02::1',
        'as.example',
        '',
      ].map((address): [string, boolean] => [address, false]),
    ]
    for (const [address, isPublic] of addresses) t.equal(isPublicAddress(address), isPublic, address)
    const inOne = networks(['10.0.0.0/8', 'fd00::/8', '192.0.2.1'])
    t.strictSame(
      ['10.9.9.9', '11.0.0.1', '::ffff:10.0.0.1', 'fd00::1', '192.0.2.1', '192.0.2.2', 'x'].map(inOne),
      [true, false, true, true, true, false, false],
    )
  },
)

t.test('what a name means is looked at before the connection, which goes to just that', async t => {
  const answers = new Map<string, readonly string[]>([
    ['public.example', ['1.1.1.1']],
    ['inner.example', ['127.0.0.1']],
    ['mixed.example', ['1.1.1.1', '10.0.0.1']],
  ])
  const dns = createSocket('udp4')
  dns.on('message', (query, { port, address }) => {
    const name = nameOf(query)
    if (name !== 'silent.example') dns.send(reply(query, answers.get(name)), port, address)
  })
  dns.bind(0, '127.0.0.1')
  await once(dns, 'listening')
  t.teardown(() => dns.close())
  const nameServers = [`127.0.0.1:${dns.address().port}`]
  const { certificate, privateKey } = await testCertificate({
    names: [{ type: 'dns', value: 'inner.example' }],
  })
  let served = 0
  const tls = createTlsServer({ cert: certificate, key: privateKey }, (_request, response) => {
    served++
    response.end('{"keys":[]}')
  })
  tls.on('tlsClientError', () => {})
  const port = await listen(t, tls)

  const cases: [title: string, uri: string, reach: object, message: RegExp][] = [
    [
      'a private one',
      `https://inner.example:${port}`,
      { isAllowed: networks([]) },
      /inner\.example is at 127\.0\.0\.1, a private/,
    ],
    [
      'a private one among others',
      'https://mixed.example',
      { isAllowed: networks([]) },
      /is at 10\.0\.0\.1, a private/,
    ],
    ['none', 'https://unknown.example', {}, /has no address/],
    ['no answer', 'https://silent.example', { seconds: 0.3 }, /has no address|abort/],
    // It has come to the address, and does not trust the certificate.
    ['a certificate of nobody', `https://inner.example:${port}`, {}, /self-signed certificate/],
    ['no TLS there', 'http://inner.example', {}, /not https/],
  ]
  for (const [title, uri, reach, message] of cases) {
    await t.rejects(fetchJson(uri, { ...patient, nameServers, ...reach }), { message }, title)
  }
  t.equal(served, 0)
})

t.test('a jwks_uri is https, or on this machine, and holds no credentials', async t => {
  const uris: [uri: string, isOne: boolean][] = [
    ['https://web.example/jwks.json', true],
    ['https://web.example/jwks?tenant=1', true],
    ['http://127.0.0.1:1/jwks', true],
    ['http://localhost/jwks', true],
    ['http://web.example/jwks', false],
    ['https://user@web.example/', false],
    ['https://user:secret@web.example/', false],
    ['https://web.example/#x', false],
    ['https://web.example/ x', false],
    ['file:///etc/passwd', false],
    ['web.example', false],
    ['', false],
  ]
  for (const [uri, isOne] of uris) t.equal(isFetchedUrl(uri), isOne, uri)
})

function nameOf(query: Buffer): string {
  const labels: string[] = []
  for (let at = 12; query[at]; at += 1 + (query[at] ?? 0)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + (query[at] ?? 0)))
  }
  return labels.join('.')
}

/**
 * RFC 1035 §4: the question, and an A record for each address; without addresses, that there is no such name.
 */
function reply(query: Buffer, addresses: readonly string[] | undefined): Buffer {
  const end = query.indexOf(0, 12) + 5
  const isA = query.readUInt16BE(end - 4) === 1
  const records = isA ? (addresses ?? []) : []
  const head = Buffer.from(query.subarray(0, end))
  head.writeUInt16BE(addresses ? 0x8180 : 0x8183, 2)
  head.writeUInt16BE(records.length, 6)
  head.writeUInt32BE(0, 8)
  return Buffer.concat([
    head,
    ...records.map(address =>
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]),
    ),
  ])
}

/** A server, and a client `web` that publishes its keys on a server of its own. */
async function world(t: Test, env: Record<string, string> = { MINTMARK_JWKS_URI_NETWORKS: '127.0.0.0/8' }) {
  const server = await startServer(t, env)
  const site: { keys: object[]; requests: number; isUp: boolean; waiting: (() => void)[]; hangs: boolean } = {
    keys: [],
    requests: 0,
    isUp: true,
    waiting: [],
    hangs: false,
  }
  const jwks_uri = await serve(t, (_request, response) => {
    site.requests++
    const answer = () =>
      void (site.isUp ? response.end(JSON.stringify({ keys: site.keys })) : response.destroy())
    if (site.hangs) site.waiting.push(answer)
    else answer()
  })
  const publish = (id: string, path = '/', settings: Partial<ClientTable> = {}) =>
    server.client(id, {
      isPublic: true,
      auth_method: 'private_key_jwt',
      jwks_uri: jwks_uri + path,
      grant_types: 'client_credentials',
      ...settings,
    })
  await publish('web')
  const post = async (by: TestKey, kid?: string, id = 'web') => {
    const claims = assertionClaims(id, server.ctx.clock.now())
    const jwt = await signJwt(by, { alg: by.alg, ...(kid !== undefined && { kid }) }, claims)
    return server.post('/token', { grant_type: 'client_credentials', ...assertionForm(jwt) })
  }
  return {
    server,
    site,
    post,
    publish,
    statusOf: async (...args: Parameters<typeof post>) => (await post(...args)).statusCode,
  }
}

t.test(
  'keys that a client publishes are fetched once in ten minutes, and anew for a kid that is not known',
  async t => {
    const { server, site, post, statusOf } = await world(t)
    const [one, two] = [await testKey(), await testKey()]
    site.keys = [{ ...one.publicJwk, kid: 'one' }]
    t.strictSame(
      await Promise.all([1, 2, 3].map(() => statusOf(one, 'one'))),
      [200, 200, 200],
      'one fetch for all who wait for it',
    )
    t.equal(site.requests, 1)
    server.tick(599)
    t.equal(await statusOf(one, 'one'), 200)
    t.equal(site.requests, 1)

    site.keys = [
      { ...one.publicJwk, kid: 'one' },
      { ...two.publicJwk, kid: 'two' },
    ]
    t.equal(await statusOf(two, 'two'), 200, 'a key that is new works at once')
    t.equal(site.requests, 2)
    isOAuthError(t, await post(two, 'three'), 401, 'invalid_client', 'a kid that was not there just now')
    server.tick(1)
    for (const kid of ['three', 'four']) {
      isOAuthError(t, await post(two, kid), 503, 'temporarily_unavailable', 'nobody can tell for a moment')
    }
    t.equal(site.requests, 2, 'whoever makes a kid up does not make us ask')
    isOAuthError(t, await post(two, 'one'), 401, 'invalid_client', 'a kid that is known is no reason to ask')
    t.equal(await statusOf(one, 'one'), 200, 'nor does he keep the client out')
    server.tick(30)
    isOAuthError(t, await post(two, 'three'), 401, 'invalid_client', 'after half a minute it is looked for')
    t.equal(site.requests, 3)

    site.keys = [{ ...two.publicJwk, kid: 'two' }]
    server.tick(600)
    isOAuthError(t, await post(one), 401, 'invalid_client', 'a key that was withdrawn is refused')
    t.equal(await statusOf(two, 'two'), 200)

    site.keys = [{ ...one.publicJwk, kid: 'one' }]
    server.setClock(server.ctx.clock.now() - 86_400)
    server.tick(600)
    t.not(await statusOf(two, 'two'), 200, 'so it is when the clock was set back')
    t.equal(await statusOf(one, 'one'), 200)
  },
)

t.test(
  'while its site is away, the keys of a client count for an hour; then it is 503 and never 401',
  async t => {
    const { server, site, post, statusOf } = await world(t)
    const key = await testKey()
    site.keys = [key.publicJwk]
    site.isUp = false
    isOAuthError(t, await post(key), 503, 'temporarily_unavailable', 'before they were ever read')
    isOAuthError(t, await post(key), 503, 'temporarily_unavailable', 'again')
    t.equal(site.requests, 1, 'it is asked again after half a minute only')
    site.isUp = true
    server.tick(30)
    t.equal(await statusOf(key), 200)
    site.isUp = false
    server.tick(3599)
    t.equal(await statusOf(key), 200, 'in the last second of the hour')
    server.tick(30)
    isOAuthError(t, await post(key), 503, 'temporarily_unavailable', 'and not later')
    site.isUp = true
    site.keys = 'garbage' as unknown as object[]
    server.tick(30)
    isOAuthError(t, await post(key), 503, 'temporarily_unavailable', 'no key set')
    t.match(
      server.log.filter(({ msg }) => msg === 'a key set could not be fetched').at(-1),
      { err: { message: /no JWK Set/ } },
      'the log says why',
    )
  },
)

t.test(
  'sites that hang take no worker: everybody else is served, and so many fetches are under way at the most',
  async t => {
    const { server, site, post, publish, statusOf } = await world(t)
    const key = await testKey()
    const app = await server.client('app')
    const ada = await server.user()
    site.keys = [key.publicJwk]
    await publish('known', '/known')
    t.equal(await statusOf(key, undefined, 'known'), 200)
    server.tick(601)
    site.hangs = true
    await server.resource('https://open.example', { is_open: 1 })
    const ids = Array.from({ length: 16 }, (_, i) => `hangs-${i}`)
    for (const [i, id] of ids.entries()) await publish(id, `/${id}`, i < 8 ? { made_by: 'registration' } : {})
    await publish('stranger', '/stranger', { made_by: 'registration' })
    const hang = (some: readonly string[]) => some.map(id => statusOf(key, 'x', id))
    const strangers = hang(ids.slice(0, 8))
    await until(() => site.waiting.length === 8)
    const ninth = await post(key, 'x', 'stranger')
    isOAuthError(t, ninth, 503, 'temporarily_unavailable', 'half of the places are for who is no stranger')
    const hanging = [...strangers, ...hang(ids.slice(8))]
    await until(() => site.waiting.length === 16)
    isOAuthError(t, await post(key), 503, 'temporarily_unavailable', 'one more is told to come back')
    t.equal(await statusOf(key, undefined, 'known'), 200, 'but for who is known, the keys of before are good')
    t.equal(site.requests, 17)
    // Passwords need the threads that a name server which hangs would hold.
    const { refresh_token } = await server.logIn(app, ada)
    t.match(await server.refresh(app, refresh_token), { token_type: 'Bearer' })
    for (const answer of site.waiting) answer()
    t.strictSame(new Set(await Promise.all(hanging)), new Set([200]))
    site.hangs = false
    t.equal(await statusOf(key), 200, 'and then it is the turn of the one that was told')
  },
)

t.test('a site in a private network is asked for no client that a stranger has made', async t => {
  const { server } = await world(t)
  const jwks_uri = await serve(t, (_request, response) => void response.end('{"keys":[]}'))
  const ofDocuments = { ...patient, isAllowed: () => false }
  const keys = openClientKeys({ reach: patient, ofDocuments }, server.ctx.clock, server.ctx.log)
  const source = { jwks: null, jwks_uri }
  await t.rejects(keys.of({ ...source, made_by: 'document' }), { code: 'temporarily_unavailable' })
  t.strictSame(await keys.of(source), [], 'and that is no harm to one of our own with the same URL')
})

t.test('a site in a private network is asked only if the server is told so', async t => {
  const { server, site, post } = await world(t, {})
  const key = await testKey()
  site.keys = [key.publicJwk]
  isOAuthError(t, await post(key), 503, 'temporarily_unavailable', 'not told')
  t.equal(site.requests, 0)
  t.match(
    server.log.find(({ msg }) => msg === 'a key set could not be fetched'),
    {
      err: { message: /127\.0\.0\.1, a private address that MINTMARK_JWKS_URI_NETWORKS does not allow/ },
    },
  )
})
