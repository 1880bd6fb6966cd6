import t, { type Test } from 'tap'
import { changeClient, disableClient } from '../../db/clients/clients.ts'
import { buildApp } from '../../src/app.ts'
import { pushedSeconds } from '../../src/authorization/requests.ts'
import { admissionLimits, openAdmission } from '../../src/load/admission.ts'
import { en } from '../../src/pages/texts/en.ts'
import type { MessageKind } from '../../src/pages/texts/texts.ts'
import { openBrowser, type Page } from '../helpers/browser.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { logInWith, relyingParty, type RelyingParty } from '../helpers/relying-party.ts'
import { startServer, type FormInit, type TestServer } from '../helpers/server.ts'

type Response = Page['response']
type Send = (server: TestServer, form: FormInit) => Promise<Response>

const get: Send = ({ request }, form) => request({ url: `/authorize?${new URLSearchParams(form)}` })
const crossSite = { origin: 'https://web.example', 'sec-fetch-site': 'cross-site' }
const post: Send = (server, form) => server.post('/authorize', form, crossSite)
const methods: [name: string, send: Send][] = [
  ['GET', get],
  ['POST', post],
]

/** The parameters of a request that is right, with changes. */
function formOf(web: RelyingParty, more: Record<string, string> = {}): [string, string][] {
  const { searchParams } = new URL(web.begin(more).url, 'https://as.example')
  return [...searchParams]
}

/** Asserts that the browser is sent back to the client, with nothing but this. */
function isAnswer(
  t: Test,
  { statusCode, headers }: Response,
  error: string,
  title: string,
  state?: string,
): void {
  t.equal(statusCode, 303, title)
  const location = new URL(String(headers.location))
  t.equal(location.origin + location.pathname, 'https://web.example/callback', title)
  const answer = Object.fromEntries(location.searchParams)
  t.equal(answer['error'], error, title)
  t.match(answer['error_description'], /^[\x20\x21\x23-\x5b\x5d-\x7e]{10,}$/, `${title} (T-6)`)
  t.equal(answer['iss'], 'https://as.example', `A-9 ${title}`)
  t.equal(answer['state'], state, `OA-8 ${title}`)
  t.equal(headers['cache-control'], 'no-store', title)
}

/** Asserts that the person is told, and nothing leaves for any client. */
function isMessage(t: Test, { statusCode, headers, body }: Response, kind: MessageKind, title: string): void {
  t.equal(statusCode, 400, title)
  t.match(headers['content-type'], /^text\/html/, title)
  t.equal(headers.location, undefined, `A-2 ${title}: nobody is redirected`)
  t.ok(body.includes(en.messages[kind].heading), `${title}: ${kind}`)
  t.notMatch(body, /<(?:form|script|meta http-equiv)/, title)
}

t.test('a request that is wrong goes back to its client with error, state and iss (A-9)', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const cases: [title: string, more: Record<string, string>, error: string][] = [
    ['A-13 the implicit grant', { response_type: 'token' }, 'unsupported_response_type'],
    ['A-12 a request object', { request: 'eyJ' }, 'request_not_supported'],
    ['a foreign request_uri', { request_uri: 'https://web.example/r' }, 'request_uri_not_supported'],
    ['A-3 a plain challenge', { code_challenge_method: 'plain' }, 'invalid_request'],
    ['a scope that it has not', { scope: 'openid admin' }, 'invalid_scope'],
    ['a resource that it has not', { resource: 'https://api.example' }, 'invalid_target'],
    ['none with another prompt', { prompt: 'none login' }, 'invalid_request'],
  ]
  for (const [name, send] of methods) {
    for (const [title, more, error] of cases)
      isAnswer(
        t,
        await send(server, formOf(web, { ...more, state: 'a b' })),
        error,
        `${name} ${title}`,
        'a b',
      )
    const twice = [...formOf(web, { state: 's' }), ['scope', 'read']] as [string, string][]
    isAnswer(t, await send(server, twice), 'invalid_request', `P-3 ${name} a repeated parameter`, 's')
    const states = [...formOf(web), ['state', 'b']] as [string, string][]
    isAnswer(t, await send(server, states), 'invalid_request', `P-3 ${name} a repeated state`)
    const posted = await send(server, formOf(web, { response_mode: 'form_post', response_type: 'token' }))
    t.equal(posted.statusCode, 200, name)
    t.match(posted.body, /action="https:\/\/web\.example\/callback"/, name)
    t.match(posted.body, /name="error" value="unsupported_response_type"/, name)
    t.match(posted.body, /name="iss" value="https:\/\/as\.example"/, `A-9 ${name}`)
  }
})

t.test(
  'A-2 where client or redirect URI is wrong, the person is told and nobody redirected (invariant 13)',
  async t => {
    const server = await startServer(t)
    const web = await relyingParty(server)
    await relyingParty(server, 'off')
    await disableClient(server.ctx.db, 'off', server.ctx.clock.now())
    await server.client('machine')
    await server.follow()
    for (const [name, send] of methods) {
      const cases: [title: string, form: [string, string][], kind: MessageKind][] = [
        ['nothing at all', [], 'client_unknown'],
        ['no client', formOf(web).filter(([key]) => key !== 'client_id'), 'client_unknown'],
        ['a client that is disabled', formOf(web, { client_id: 'off' }), 'client_unknown'],
        ['a client without the grant', formOf(web, { client_id: 'machine' }), 'grant_missing'],
        ['the client twice', [...formOf(web), ['client_id', 'web']], 'address_repeated'],
        ['the URI twice', [...formOf(web), ['redirect_uri', web.redirectUri]], 'address_repeated'],
        ['no URI', formOf(web).filter(([key]) => key !== 'redirect_uri'), 'redirect_uri_missing'],
        ...['nobody', 'wéb', 'web\0', '\0', 'x'.repeat(300), 'WEB'].map(
          (client_id): [string, [string, string][], MessageKind] => [
            `the client ${JSON.stringify(client_id).slice(0, 20)}`,
            formOf(web, { client_id }),
            'client_unknown',
          ],
        ),
        ...[
          'https://evil.example',
          'javascript:alert(1)',
          `${web.redirectUri}/`,
          `${web.redirectUri}\0`,
          '"><script>',
        ].map((redirect_uri): [string, [string, string][], MessageKind] => [
          JSON.stringify(redirect_uri),
          formOf(web, { redirect_uri, response_type: 'x' }),
          'redirect_uri_unregistered',
        ]),
      ]
      for (const [title, form, kind] of cases)
        isMessage(t, await send(server, form), kind, `${name} ${title}`)
    }
    t.match(
      server.log.find(({ received }) => received === 'https://evil.example'),
      { event: 'authorization_request_refused', client_id: 'web', registered: web.redirectUri },
      'the log names the URI that came, and those that are registered',
    )
    const redirect_uri = `https://evil.example/${'x'.repeat(12_000)}`
    await server.request({ url: web.begin({ redirect_uri }).url })
    const [longest = 0] = server.log.map(line => JSON.stringify(line).length).sort((a, b) => b - a)
    t.ok(longest < 2000, `no stranger makes a line long: ${longest}`)
  },
)

t.test('what cannot be read is told on a page', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const malformed = await server.request({ url: `${web.begin().url}&a=%zz` })
  isMessage(t, malformed, 'malformed', 'P-7 a percent sequence')
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  const cases: [title: string, payload: string, headers: Record<string, string>, status: number][] = [
    ['P-7 a percent sequence', 'client_id=%zz', type, 400],
    ['JSON', '{}', { 'content-type': 'application/json' }, 415],
    ['H-9 too much', `a=${'x'.repeat(17_000)}`, type, 413],
  ]
  for (const [title, payload, headers, status] of cases) {
    const response = await server.request({ method: 'POST', url: '/authorize', payload, headers })
    t.equal(response.statusCode, status, title)
    t.match(response.headers['content-type'], /^text\/html/, title)
  }
  t.equal((await server.request({ method: 'POST', url: '/authorize' })).statusCode, 400, 'no body')
  for (const method of ['PUT', 'DELETE', 'PATCH'] as const) {
    const { statusCode, headers } = await server.request({ method, url: '/authorize' })
    t.equal(statusCode, 405, method)
    t.equal(headers.allow, 'GET, HEAD, POST', method)
  }
})

t.test('OA-1 OpenID Core §3.1.2.1 what is posted goes on as what is got does', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server)
  const postFrom = (begun: { url: string }) =>
    browser.post('/authorize', Object.fromEntries(new URL(begun.url, 'https://as.example').searchParams), {
      from: 'https://web.example',
    })
  const none = await postFrom(web.begin({ prompt: 'none' }))
  t.equal(none.url.searchParams.get('error'), 'login_required')

  const begun = web.begin()
  const page = await postFrom(begun)
  t.equal(page.url.pathname, '/log-in')
  const answer = await browser.submit(page, { username: ada.username, password: ada.password })
  t.equal(answer.url.searchParams.get('iss'), 'https://as.example', 'A-9')
  t.equal((await web.redeem(begun, answer)).status, 200)

  const again = web.begin({ prompt: 'none' })
  const silent = await postFrom(again)
  t.equal(silent.isElsewhere, true, 'the cookies of who is logged in arrive, by the redirect')
  t.equal((await web.redeem(again, silent)).status, 200)
})

/** Pushes a request, and returns it with the URL that stands for it. */
async function pushed(server: TestServer, web: RelyingParty, more: Record<string, string> = {}) {
  const begun = web.begin(more)
  const form = [...new URL(begun.url, 'https://as.example').searchParams] as [string, string][]
  const response = await server.post('/par', form, web.client.headers)
  if (response.statusCode !== 201) throw new Error(response.body)
  const requestUri = String(response.json()['request_uri'])
  const url = `/authorize?${new URLSearchParams({ client_id: web.client.id, request_uri: requestUri })}`
  return { ...begun, url, requestUri }
}

await forEachEngine(t, 'A-11 what was pushed is logged in for, once (invariant 12)', async (t, env) => {
  const server = await startServer(t, env)
  const web = await relyingParty(server)
  const other = await relyingParty(server, 'other')
  const ada = await server.user()
  const browser = openBrowser(server)
  const begun = await pushed(server, web)
  const { requestUri } = begun
  const of = (form: FormInit) => get(server, form)

  isMessage(t, await of({ client_id: 'other', request_uri: requestUri }), 'request_invalid', 'another client')
  isMessage(
    t,
    await of({ client_id: 'web', request_uri: `${requestUri}x` }),
    'request_invalid',
    'a forged one',
  )
  isMessage(t, await of({ request_uri: requestUri }), 'client_unknown', 'no client')
  for (const name of ['client_id', 'request_uri']) {
    const form = [...new URL(begun.url, 'https://as.example').searchParams] as [string, string][]
    isMessage(t, await of([...form, [name, 'other']]), 'request_invalid', `${name} twice`)
  }
  const more = { redirect_uri: other.redirectUri, scope: 'openid admin', response_type: 'token', state: 'x' }
  const form = await browser.open(`${begun.url}&${new URLSearchParams(more)}`)
  t.equal(form.url.pathname, '/log-in', 'nothing else that is sent with it counts')
  t.equal((await browser.open(begun.url)).url.pathname, '/log-in', 'a page that is loaded again')
  const page = await browser.submit(form, { username: ada.username, password: ada.password })
  t.equal(page.url.origin + page.url.pathname, web.redirectUri)
  t.equal(page.url.searchParams.get('state'), begun.state)
  t.equal(page.url.searchParams.get('iss'), 'https://as.example', 'A-9')
  t.equal((await browser.open(begun.url)).url.searchParams.has('code'), true, 'it is not used yet')
  t.equal((await web.redeem(begun, page)).status, 200)
  const used = await server.request({ url: begun.url })
  isAnswer(t, used, 'invalid_request_uri', 'once its session exists', begun.state)

  const late = await pushed(server, web)
  server.tick(pushedSeconds - 1)
  t.equal((await browser.open(late.url)).isElsewhere, true)
  server.tick(1)
  isAnswer(t, await server.request({ url: late.url }), 'invalid_request_uri', 'after 90 seconds', late.state)
})

t.test('RFC 9126 §5 a client that must push its requests cannot send them otherwise', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server, 'web', { par_required: 1 })
  for (const [name, send] of methods)
    isAnswer(t, await send(server, formOf(web, { state: 's' })), 'invalid_request', name, 's')
  t.match((await openBrowser(server).open((await pushed(server, web)).url)).url.pathname, '/log-in')
})

t.test(
  'nobody logs in for a redirect URI that was taken away since it was pushed (invariant 13)',
  async t => {
    const server = await startServer(t)
    const web = await relyingParty(server)
    const { url } = await pushed(server, web)
    await changeClient(server.ctx.db, 'web', { redirect_uris: 'https://web.example/elsewhere' })
    await server.follow()
    isMessage(t, await server.request({ url }), 'redirect_uri_unregistered', 'a page')
  },
)

t.test('RFC 9449 §10.1 a key that a request names binds its code', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const begun = await pushed(server, web, { dpop_jkt: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM' })
  const page = await logInWith(openBrowser(server), begun, await server.user())
  t.match(await web.redeem(begun, page), { status: 400, error: /./ })
})

t.test('H-9 with too much to do, the page says when to come back', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const { admission } = openAdmission(handClock())
  const app = buildApp({ ...server.ctx, load: { ...server.ctx.load, admission } })
  t.teardown(() => app.close())
  const held: (() => void)[] = []
  const holding = Array.from({ length: admissionLimits.log_in.underWay }, () =>
    admission.admit('refresh', () => new Promise<void>(done => held.push(done))),
  )
  const { url } = web.begin()
  const refused = await app.inject({ url })
  t.equal(refused.statusCode, 503)
  t.match(refused.headers['content-type'], /^text\/html/)
  t.ok(refused.headers['retry-after'])
  for (const done of held) done()
  await Promise.all(holding)
  t.equal((await app.inject({ url })).statusCode, 303)
})
