import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fastify, type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { ConfigError, OAuthError } from '../../src/errors.ts'
import { cookiesOf } from '../../src/pages/cookies.ts'
import { pagesFace } from '../../src/pages/face.ts'
import { imageTypeOf } from '../../src/pages/logo.ts'
import { openLook } from '../../src/pages/look.ts'
import { openPages } from '../../src/pages/pages.ts'
import { messageView } from '../../src/pages/views/message.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

interface Face {
  readonly server: TestServer
  readonly app: FastifyInstance
}

/** The face for people with pages of this test: `/page`, which takes a form too, and `/thrown`. */
async function startFace(t: Test, env: Record<string, string> = {}): Promise<Face> {
  const server = await startServer(t, env)
  const { ctx } = server
  const pages = openPages(openLook(ctx.config), ctx.config.issuer)
  const app: FastifyInstance = fastify({ loggerInstance: ctx.log })
  let thrown: unknown
  app.decorate('throwNext', (error: unknown) => void (thrown = error))
  app.register(async scope => {
    await pagesFace(ctx)(scope)
    scope.route({
      method: ['GET', 'POST'],
      url: '/page',
      handler: (request, reply) =>
        pages.show(request, reply, frame => messageView(frame, { kind: 'logged_out' })),
    })
    scope.get('/thrown', async () => {
      throw thrown
    })
    scope.get('/form-post', (request, reply) =>
      pages.showFormPost(request, reply, {
        clientName: 'Orders',
        uri: 'https://orders.example/callback',
        parameters: [['state', '"<x>']],
      }),
    )
    scope.get('/cookies', (request, reply) => {
      const { signIn, device, browser } = pages.cookies
      signIn.set(reply, 'a', null)
      device.set(reply, 'b', 60)
      browser.clear(reply)
      return pages.show(request, reply, frame =>
        messageView(frame, { kind: 'malformed', detail: `read ${signIn.read(request)}` }),
      )
    })
  })
  t.teardown(() => app.close())
  return { server, app }
}

t.test('A-1 a page is framed by nobody, runs and loads nothing but its own, and is kept nowhere', async t => {
  const { app } = await startFace(t)
  const { headers, statusCode, body } = await app.inject('/page')
  t.equal(statusCode, 200)
  t.match(headers, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    pragma: 'no-cache',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'strict-transport-security': /max-age=\d{8}/,
  })
  const policy = String(headers['content-security-policy'])
  t.match(policy, "default-src 'none'; ")
  t.match(policy, "frame-ancestors 'none'")
  t.match(policy, "base-uri 'none'")
  t.notMatch(policy, /unsafe|script-src|\*|https?:/)
  t.notMatch(policy, 'form-action', 'which would stop the redirect to a client')
  t.equal(headers['access-control-allow-origin'], undefined)
  t.equal(headers['cross-origin-opener-policy'], undefined, 'a client keeps the window that it has opened')
  t.notMatch(body, / style="| on\w+="|<script/)
  const http = await startFace(t, { MINTMARK_ISSUER: 'http://127.0.0.1:9000' })
  const { headers: plain } = await http.app.inject('/page')
  t.equal(plain['strict-transport-security'], undefined, 'plain http is not told to be https')
})

t.test('the one page with a script allows that script alone', async t => {
  const { app } = await startFace(t)
  const { headers, body } = await app.inject('/form-post')
  t.match(headers['content-security-policy'], /; script-src 'sha256-[\w+/]{43}='; /)
  t.notMatch(headers['content-security-policy'], 'unsafe')
  t.match(body, '<input type="hidden" name="state" value="&quot;&lt;x&gt;">')
})

t.test('a form that a page of another site sends is refused, by what the browser says of it', async t => {
  const { server, app } = await startFace(t)
  const post = (headers: Record<string, string>, url = '/page') =>
    app.inject({ method: 'POST', url, headers: { ...headers, 'accept-language': 'en' } })
  const own = 'https://as.example'
  const refused: Record<string, string>[] = [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', origin: own },
    { 'sec-fetch-site': 'x' },
    { 'sec-fetch-site': '' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'https://as.example.evil.example' },
    { origin: 'http://as.example' },
    { origin: 'https://as.example:8443' },
    { origin: 'https://evil.example', host: 'evil.example' },
  ]
  for (const headers of refused) {
    const { statusCode, body } = await post(headers)
    t.equal(statusCode, 403, JSON.stringify(headers))
    t.match(body, 'This came from another site')
  }
  t.ok(
    server.log.some(({ status }) => status === 403),
    'the log has it',
  )
  const taken: Record<string, string>[] = [
    {},
    { 'sec-fetch-site': 'same-origin', origin: 'null' },
    { 'sec-fetch-site': 'none' },
    { origin: own },
    { origin: own, host: 'inside.example' },
  ]
  for (const headers of taken) t.equal((await post(headers)).statusCode, 200, JSON.stringify(headers))
  const read = { method: 'GET', url: '/page', headers: { 'sec-fetch-site': 'cross-site' } } as const
  t.equal((await app.inject(read)).statusCode, 200, 'to look at a page is no harm')
})

t.test('whatever goes wrong is a page too, with the id of the request and nothing of its cause', async t => {
  const { app, server } = await startFace(t)
  const fail = async (error: unknown, headers: Record<string, string> = {}) => {
    app.getDecorator<(error: unknown) => void>('throwNext')(error)
    return app.inject({ url: '/thrown', headers })
  }
  const ours = await fail(new Error('the disk QX7 is gone'))
  t.equal(ours.statusCode, 503)
  t.equal(ours.headers['retry-after'], '1')
  t.match(ours.headers['content-type'], 'text/html')
  t.match(ours.headers['content-security-policy'], "frame-ancestors 'none'")
  t.match(ours.body, 'Something is not working here right now')
  t.match(ours.body, /<code>req-\w+<\/code>/)
  t.notMatch(ours.body, 'QX7')
  t.match(
    server.log.findLast(line => 'err' in line),
    { status: 503, err: { message: 'the disk QX7 is gone' } },
  )

  const german = await fail(new Error('x'), { 'accept-language': 'fr-CH, fr;q=0.9, de;q=0.7, en;q=0.3' })
  t.match(german.body, '<html lang="de">')
  const english = await fail(new Error('x'), { 'accept-language': 'de;q=0.2, en-GB;q=0.8' })
  t.match(english.body, '<html lang="en">')
  for (const header of ['', '*', 'fr', 'de;q=0', ';;;', 'x'.repeat(2000)])
    t.match((await fail(new Error('x'), { 'accept-language': header })).body, '<html lang="en">', header)
  t.match((await fail(new Error('x'), { 'accept-language': 'de-AT' })).body, '<html lang="de">')

  const throttled = await fail(new OAuthError('invalid_grant', 'too often', { status: 429, retryAfter: 30 }))
  t.equal(throttled.statusCode, 429)
  t.equal(throttled.headers['retry-after'], '30')
  t.match(throttled.body, 'Try again in 30 seconds.')

  const long = await app.inject({
    method: 'POST',
    url: '/page',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'a'.repeat(2_000_000),
  })
  t.equal(long.statusCode, 413)
  t.match(long.body, '<html')
  const twice = await app.inject({
    method: 'POST',
    url: '/page',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'a=1&a=2',
  })
  t.equal(twice.statusCode, 400)
  t.match(twice.body, 'a parameter is sent more than once')
  const json = await app.inject({ method: 'POST', url: '/page', body: { a: 1 } })
  t.equal(json.statusCode, 415)
})

t.test('another method is refused on a page, and an unknown address as before', async t => {
  const server = await startServer(t)
  const put = await server.request({ method: 'PUT', url: '/logo' })
  t.equal(put.statusCode, 405)
  t.equal(put.headers.allow, 'GET, HEAD')
  t.match(put.headers['content-type'], 'text/html')
  const nothing = await server.request({ url: '/nothing', headers: { accept: 'text/html' } })
  t.equal(nothing.statusCode, 404)
  t.match(nothing.headers['content-type'], 'application/json')
  const token = await server.request({ method: 'GET', url: '/token' })
  t.match(token.headers['content-type'], 'application/json', 'the face for programs stays as it is')
})

t.test('a server that may not go on shows no page', async t => {
  const { server, app } = await startFace(t)
  Object.assign(server.ctx.standing, { refusal: () => 'the installation has moved' })
  const { statusCode, headers, body } = await app.inject('/page')
  t.equal(statusCode, 503)
  t.equal(headers['retry-after'], '30')
  t.match(body, '<html')
})

t.test('cookies are for this host and its pages alone, and no script reads them', async t => {
  const { app } = await startFace(t)
  const { headers, body } = await app.inject({
    url: '/cookies',
    headers: { cookie: 'mintmark=other; __Host-mintmark=mine; __Host-mintmark=second' },
  })
  t.strictSame(headers['set-cookie'], [
    '__Host-mintmark=a; Path=/; HttpOnly; Secure; SameSite=Lax',
    '__Host-mintmark-device=b; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=Lax',
    '__Host-mintmark-browser=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax',
  ])
  t.match(body, 'read mine')
  const http = await startFace(t, { MINTMARK_ISSUER: 'http://127.0.0.1:9000' })
  t.match((await http.app.inject('/cookies')).headers['set-cookie'], [
    'mintmark-9000=a; Path=/; HttpOnly; SameSite=Lax',
    'mintmark-9000-device=b; Max-Age=60; Path=/; HttpOnly; SameSite=Lax',
    /^mintmark-9000-browser=; /,
  ])
  t.equal(cookiesOf('http://127.0.0.1').signIn.name, 'mintmark')
  const names = ['https://example.com', 'https://example.com/a', 'https://example.com/a/device']
    .map(cookiesOf)
    .flatMap(({ signIn, device }) => [signIn.name, device.name])
  t.strictSame(names, [
    '__Host-mintmark',
    '__Host-mintmark-device',
    '__Host-mintmark+a',
    '__Host-mintmark-device+a',
    '__Host-mintmark+a+device',
    '__Host-mintmark-device+a+device',
  ])
  const below = await startFace(t, { MINTMARK_ISSUER: 'https://as.example/a' })
  const seen = await below.app.inject({ url: '/cookies', headers: { cookie: '__Host-mintmark+a=mine' } })
  t.match(seen.body, 'read mine')
})

const svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><script>alert(1)</script></svg>'

t.test(
  'the logo is kept for good under its own address, and an SVG is an image and nothing else',
  async t => {
    const folder = t.testdir({ 'logo.bin': svg })
    const server = await startServer(t, { MINTMARK_LOGO_FILE: join(folder, 'logo.bin') })
    const { body: page } = await server.request({ method: 'PUT', url: '/logo' })
    const [, address = ''] = /<img src="([^"]*)"/.exec(page) ?? []
    t.match(address, /^\/logo\?v=[\w-]{12}$/)
    const logo = await server.request({ url: address })
    t.equal(logo.body, svg)
    t.match(logo.headers, {
      'content-type': 'image/svg+xml',
      'cache-control': 'public, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
    })
    t.equal(logo.headers.pragma, undefined)
    t.equal(
      logo.headers['content-security-policy'],
      "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
    )
    for (const url of ['/logo', '/logo?v=of-another', '/logo?v=a&v=b']) {
      const other = await server.request({ url })
      t.equal(other.body, svg, 'an instance answers with what it has')
      t.equal(other.headers['cache-control'], 'no-cache', 'but nobody keeps it')
    }
  },
)

t.test('without a logo there is the first letter of the name', async t => {
  const server = await startServer(t, { MINTMARK_NAME: '<ünde> & Co', MINTMARK_COLOR: '#ffd400' })
  const { body, headers } = await server.request({ url: '/logo' })
  t.equal(headers['content-type'], 'image/svg+xml')
  t.match(body, '>&#60;</text></svg>')
  t.match(body, 'fill="#ffd400"')
  t.match(body, 'fill="#000000"')
})

t.test('what a logo is, its bytes say', async t => {
  const png = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg==',
    'base64',
  )
  t.equal(imageTypeOf(png), 'image/png')
  t.equal(imageTypeOf(Buffer.from('ffd8ffe000104a46494600', 'hex')), 'image/jpeg')
  t.equal(imageTypeOf(Buffer.from('RIFF\x10\0\0\0WEBPVP8 ', 'latin1')), 'image/webp')
  for (const before of [
    '',
    '\ufeff',
    '<?xml version="1.0"?>\n',
    '<!-- <html> -->\n',
    '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x">',
  ])
    t.equal(imageTypeOf(Buffer.from(before + svg)), 'image/svg+xml', before)
  const others = [
    '',
    '<html><svg></svg></html>',
    '<!DOCTYPE html><svg></svg>',
    'GIF89a',
    '<svgx>',
    'svg',
    '%PDF-1.7',
    'RIFF\x10\0\0\0WAVE',
    '\0<svg>',
  ]
  for (const text of others)
    t.equal(imageTypeOf(Buffer.from(text, 'latin1')), undefined, JSON.stringify(text))
})

t.test('a logo that cannot be shown is said at the start', async t => {
  const folder = t.testdir({ 'logo.png': 'GIF89a' })
  writeFileSync(join(folder, 'large.svg'), svg.padEnd(256 * 1024 + 1))
  const refusals: [file: string, message: RegExp][] = [
    ['logo.png', /^MINTMARK_LOGO_FILE is ".*logo\.png", which is no PNG, JPEG, WebP or SVG image$/],
    ['large.svg', /is larger than 256 KiB$/],
    ['missing.svg', /cannot be read$/],
  ]
  for (const [file, message] of refusals) {
    const error = await startServer(t, { MINTMARK_LOGO_FILE: join(folder, file) }).catch(
      (error: unknown) => error,
    )
    t.ok(error instanceof ConfigError, file)
    t.match(error, { message })
  }
})
