import t, { type Test } from 'tap'
import { latestAuditEntries } from '../../db/installation/audit.ts'
import { isUsed } from '../../src/authorization/requests.ts'
import { en } from '../../src/pages/texts/en.ts'
import type { MessageKind } from '../../src/pages/texts/texts.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { admissionLimits } from '../../src/load/admission.ts'
import { openBrowser, type Page } from '../helpers/browser.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { logInWith, relyingParty, type Begun, type RelyingParty } from '../helpers/relying-party.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

/** The browser has come back to the client, with a code for the log-in that was begun. */
function isAnswer(t: Test, page: Page, { redirectUri }: RelyingParty, { state }: Begun, title: string): void {
  const { origin, pathname, searchParams } = page.url
  t.equal(`${origin}${pathname}`, redirectUri, `${title}: back at the client`)
  t.equal(searchParams.get('error'), null, `${title}: no error`)
  t.match(searchParams.get('code'), /^mm_ac_/, `${title}: a code`)
  t.equal(searchParams.get('state'), state, `${title}: its own state`)
  t.equal(searchParams.get('iss'), 'https://as.example', `${title}: A-9`)
}

function isLogInPage(t: Test, page: Page, title: string): void {
  t.equal(page.isElsewhere, false, `${title}: a page of ours`)
  t.ok(page.response.body.includes('name="password"'), `${title}: the form to log in`)
}

function isMessage(t: Test, page: Page, kind: MessageKind, status: number, title: string): void {
  t.equal(page.response.statusCode, status, `${title}: ${status}`)
  t.ok(page.text.includes(en.messages[kind].heading), `${title}: ${kind}, not ${page.text.slice(0, 200)}`)
}

await forEachEngine(t, 'a person logs in once, for all clients of this browser', async (t, env) => {
  const server = await startServer(t, env)
  const [web, shop] = [await relyingParty(server), await relyingParty(server, 'shop')]
  const ada = await server.user()
  const browser = openBrowser(server)

  const begun = web.begin()
  const form = await browser.open(begun.url)
  isLogInPage(t, form, 'at first')
  t.equal(form.url.pathname, '/log-in')
  t.notMatch(form.url.href, /state|callback/, 'all of it travels sealed')
  const back = await browser.submit(form, { username: ada.username, password: ada.password })
  isAnswer(t, back, web, begun, 'then')
  t.equal(back.response.statusCode, 303, 'a redirect after a POST is one to a GET')
  const tokens = await web.redeem(begun, back)
  t.equal(tokens.status, 200)
  const claims = claimsOf(tokens.id_token)
  t.match(claims, { sub: ada.sub, aud: 'web', acr: 'pwd', amr: ['pwd'], auth_time: server.ctx.clock.now() })

  const other = shop.begin()
  isAnswer(t, await browser.open(other.url), shop, other, 'the second client asks for nothing')
  isLogInPage(t, await openBrowser(server).open(web.begin().url), 'another browser')
})

t.test('OA-7 who does not log in is led back with access_denied (RFC 6749 §4.1.2.1)', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const browser = openBrowser(server)
  const begun = web.begin()
  const form = await browser.open(begun.url)
  const back = await browser.submit(form, {}, { button: 'decision=deny' })
  t.equal(`${back.url.origin}${back.url.pathname}`, web.redirectUri)
  t.match(Object.fromEntries(back.url.searchParams), {
    error: 'access_denied',
    state: begun.state,
    iss: 'https://as.example',
  })
  isLogInPage(t, await browser.open(form.url.href), 'and may do so yet')
})

t.test('cookies: bound to this host, unread by scripts, kept only where that was wished (H-14)', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server)
  await logInWith(browser, web.begin(), ada)
  t.strictSame([...browser.cookies.keys()].sort(), [
    '__Host-mintmark',
    '__Host-mintmark-browser',
    '__Host-mintmark-device',
  ])
  for (const { name, attributes } of browser.cookies.values()) {
    for (const attribute of ['secure', 'httponly']) t.ok(attributes.has(attribute), `${name} ${attribute}`)
    t.equal(attributes.get('samesite'), 'Lax', name)
    t.equal(attributes.get('path'), '/', name)
    t.notOk(attributes.has('domain'), name)
  }
  browser.close()
  isLogInPage(t, await browser.open(web.begin().url), 'a browser that was closed')

  await logInWith(browser, web.begin(), ada, { stay: '1' })
  browser.close()
  const begun = web.begin()
  isAnswer(t, await browser.open(begun.url), web, begun, 'one that was to be remembered')
  await logInWith(browser, web.begin({ prompt: 'login' }), ada)
  browser.close()
  const later = web.begin()
  isAnswer(t, await browser.open(later.url), web, later, 'also after it was shown once more who it is')
  const bob = await server.user('bob')
  await logInWith(browser, web.begin({ prompt: 'login' }), bob)
  browser.close()
  isLogInPage(t, await browser.open(web.begin().url), 'but not for somebody else')
})

await forEachEngine(t, 'invariant 15: whoever it was, a refused log-in looks the same', async (t, env) => {
  const server = await startServer(t, env)
  const web = await relyingParty(server)
  // With a dot, which no random text in a URL has.
  const [ada, bob] = [await server.user('ada.l'), await server.user('bob.l')]
  await server.ctx.db.sql
    .updateTable('users')
    .set({ disabled_at: server.ctx.clock.now() })
    .where('id', '=', bob.id)
    .execute()
  const tried = new Map<string, Page>()
  for (const [title, username, password] of [
    ['wrong', ada.username, 'wrong password'],
    ['unknown', 'eve.l', 'wrong password'],
    ['disabled', bob.username, bob.password],
  ] as const) {
    const browser = openBrowser(server)
    const page = await browser.open(web.begin().url)
    const posted = await browser.submit(page, { username, password, stay: '1' }, { staysPut: true })
    t.equal(posted.response.statusCode, 303, `${title}: loading the page again sends nothing`)
    const shown = await browser.open(String(posted.response.headers.location))
    isLogInPage(t, shown, title)
    t.ok(shown.text.includes(en.logIn.problems.wrong_credentials), `${title}: says so`)
    t.equal(shown.forms[0]?.fields.get('username'), username, `${title}: what was typed is there still`)
    t.equal(shown.forms[0]?.fields.get('stay'), '1', `${title}: and what was ticked`)
    t.notOk(shown.url.href.includes(username), `${title}: and not in the URL`)
    tried.set(title, shown)
  }
  const looks = [...tried.values()].map(({ response, forms: [form] }) => ({
    status: response.statusCode,
    headers: Object.keys(response.headers).sort(),
    // What differs is of the request.
    body: response.body
      .replaceAll(/mm_(ar|pkey)_[\w-]+/g, 'mm_$1_…')
      .replace(`value="${form?.fields.get('username')}"`, 'value="…"'),
  }))
  t.strictSame(looks[1], looks[0], 'unknown as wrong')
  t.strictSame(looks[2], looks[0], 'disabled as wrong')
  const events = server.log.filter(({ event }) => event === 'log_in_failed')
  t.strictSame(
    events.map(({ address, client_id }) => [address, client_id]),
    Array.from({ length: 3 }, () => ['198.51.100.7', 'web']),
    'the log has whom fail2ban shuts out',
  )
  t.match(server.ctx.counts.signIns, { failed: 3, started: 0 })
  await runJob(server, 'writing the audit trail')
  const audit = await latestAuditEntries(server.ctx.db, {}, 3)
  t.strictSame(
    audit.map(({ event, actor, client_id, address }) => [event, actor, client_id, address]),
    Array.from({ length: 3 }, () => ['log_in_failed', 'nobody', 'web', '198.51.100.7']),
  )
})

await forEachEngine(
  t,
  'who forgets a field is told so, and what no name can have is a wrong name',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await relyingParty(server)
    const browser = openBrowser(server)
    const page = await browser.open(web.begin().url)
    const without = await browser.submit(page, { username: 'ada' })
    t.ok(without.text.includes(en.logIn.problems.missing_credentials))
    t.equal(without.forms[0]?.fields.get('username'), 'ada')
    for (const username of ['a\0da', '\n', 'ada\u{202e}', 'x'.repeat(8000)]) {
      const wrong = await browser.submit(without, { username, password: 'wrong password' })
      isLogInPage(t, wrong, 'a strange name')
      t.ok(wrong.text.includes(en.logIn.problems.wrong_credentials))
      t.ok(wrong.url.href.length < 4000)
    }
  },
)

await forEachEngine(
  t,
  'H-13 guesses are throttled, and an owner who was here before is let in',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await relyingParty(server)
    const ada = await server.user()
    const home = openBrowser(server, { address: '203.0.113.9' })
    await logInWith(home, web.begin(), ada)
    home.close()

    const thief = openBrowser(server)
    let page = await thief.open(web.begin().url)
    for (let i = 0; i < 10; i++) page = await thief.submit(page, { username: 'ada', password: 'wrong' })
    isLogInPage(t, page, 'the tenth')
    for (const password of ['wrong', ada.password]) {
      const refused = await thief.submit(page, { username: 'ada', password })
      t.equal(refused.response.statusCode, 429, 'then it is not looked at')
      t.equal(refused.response.headers['retry-after'], '60')
      isLogInPage(t, refused, 'the form is there still')
      t.equal(refused.forms[0]?.fields.get('username'), 'ada')
      t.match(refused.text, `${en.logIn.problems.throttled} ${en.tryAgainIn(60)}`)
    }
    const begun = web.begin()
    isAnswer(t, await logInWith(home, begun, ada), web, begun, 'the owner, by the device cookie')
    server.tick(60)
    const late = await thief.submit(page, { username: 'ada', password: ada.password })
    t.equal(late.isElsewhere, true, 'Retry-After was true')
  },
)

t.test('H-13 an owner who comes from where the log-ins were is let in while strangers guess', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const home = '203.0.113.9'
  await logInWith(openBrowser(server, { address: home }), web.begin(), ada)
  for (const address of ['198.51.100.1', '198.51.100.2']) {
    const thief = openBrowser(server, { address })
    let page = await thief.open(web.begin().url)
    for (let i = 0; i < 10; i++) page = await thief.submit(page, { username: 'ada', password: 'wrong' })
  }
  const elsewhere = await logInWith(openBrowser(server, { address: '198.51.100.3' }), web.begin(), ada)
  t.equal(elsewhere.response.statusCode, 429, 'strangers have guessed too often')
  const begun = web.begin()
  isAnswer(t, await logInWith(openBrowser(server, { address: home }), begun, ada), web, begun, 'at home')
})

t.test('a device cookie is of no use at a client, nor its token here', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const app = await server.client('app', { isPublic: true })
  const ada = await server.user()
  const { device_token } = (await server.logIn(app, ada)) as unknown as { device_token: string }
  const browser = openBrowser(server, { address: '203.0.113.9' })
  await logInWith(browser, web.begin(), ada)
  const cookie = browser.cookies.get('__Host-mintmark-device')
  if (!cookie) throw new Error('unreachable: a log-in hands one out')

  const guesser = openBrowser(server)
  let page = await guesser.open(web.begin().url)
  for (let i = 0; i < 10; i++) page = await guesser.submit(page, { username: 'ada', password: 'wrong' })
  const submit = () => guesser.submit(page, { username: 'ada', password: ada.password })
  guesser.cookies.set(cookie.name, { ...cookie, value: device_token })
  t.equal((await submit()).response.statusCode, 429, "a client's token")
  guesser.cookies.set(cookie.name, cookie)
  t.equal((await submit()).isElsewhere, true, 'that of the pages')
})

await forEachEngine(t, 'two tabs: each log-in comes to its own end (invariant 12)', async (t, env) => {
  const server = await startServer(t, env)
  const [web, shop] = [await relyingParty(server), await relyingParty(server, 'shop')]
  const ada = await server.user()
  const browser = openBrowser(server)
  const [one, two, three] = [web.begin(), shop.begin(), shop.begin({ prompt: 'login' })]
  const [tab1, tab2, tab3] = [
    await browser.open(one.url),
    await browser.open(two.url),
    await browser.open(three.url),
  ]
  server.tick(5)
  const { username, password } = ada
  isAnswer(t, await browser.submit(tab1, { username, password }), web, one, 'the first')
  isAnswer(t, await browser.open(tab2.url.href), shop, two, 'the second, loaded again')
  isAnswer(t, await browser.submit(tab2, { username, password }), shop, two, 'or sent')
  isAnswer(t, await browser.open(tab3.url.href), shop, three, 'prompt=login: somebody has logged in since')
})

await forEachEngine(
  t,
  'invariant 12: a log-in that is sent twice, at once or later, yields one session',
  async (t, env) => {
    const server = await startServer(t, env)
    const beside = await startServer(t, { ...env, ...besideEnv(server) })
    const web = await relyingParty(server)
    await beside.follow()
    const ada = await server.user()
    const browser = openBrowser(server)
    const begun = web.begin()
    const form = await browser.open(begun.url)
    const { username, password } = ada
    const twice = await Promise.all([1, 2].map(() => browser.submit(form, { username, password })))
    for (const page of twice) isAnswer(t, page, web, begun, 'each has an answer')
    const again = await browser.open(form.url.href)
    isAnswer(t, again, web, begun, 'and the page behind the back button')

    const codes = [...twice, again]
    const redeemed = await Promise.all(codes.map(page => web.redeem(begun, page)))
    const granted = redeemed.filter(({ status }) => status === 200)
    t.equal(granted.length, 1, 'of all codes one is redeemed')
    const [sids] = [await server.ctx.db.sql.selectFrom('sessions').select('id').execute()]
    t.equal(sids.length, 1, 'one session')
    const sid = parseUuid(String(claimsOf(granted[0]?.access_token ?? '')['sid']))
    if (!sid) throw new Error('unreachable: tokens name their session')
    t.ok(await isUsed(server.ctx, { sessionId: sid }))

    for (const page of [
      await browser.open(form.url.href),
      await browser.submit(form, { username, password }),
      await openBrowser(beside).open(form.url.href),
    ]) {
      isMessage(t, page, 'request_used', 400, 'then it is done')
      t.strictSame(page.links.at(-1)?.href, web.homeUri, 'and leads to the client')
    }
  },
)

t.test('what is wrong with a request is told, with a way on: a dead end is none', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server)
  const begun = web.begin()
  const form = await browser.open(begun.url)
  const sealed = form.url.searchParams.get('request') ?? ''
  const isAtHome = (page: Page) => t.equal(page.links.at(-1)?.href, web.homeUri, 'leads to the client')

  isMessage(t, await browser.open('/log-in'), 'no_request', 400, 'no request')
  for (const text of ['', 'x', sealed.slice(0, -1), sealed.replace('mm_ar_', 'mm_ac_'), `${sealed}A`])
    isMessage(
      t,
      await browser.open(`/log-in?request=${text}`),
      text ? 'request_invalid' : 'no_request',
      400,
      text,
    )
  isMessage(
    t,
    await browser.post('/log-in', { request: sealed.replace(/.$/, 'x'), username: 'ada', password: 'x' }),
    'request_invalid',
    400,
    'a form that was changed',
  )

  const other = openBrowser(server)
  await other.open(web.begin().url)
  const elsewhere = await other.open(form.url.href)
  isMessage(t, elsewhere, 'other_browser', 400, 'a link that was sent to another browser')
  isAtHome(elsewhere)
  const posted = await other.submit(form, { username: ada.username, password: ada.password })
  isMessage(t, posted, 'other_browser', 400, 'nor is its form taken there')

  server.tick(1799)
  isLogInPage(t, await browser.open(form.url.href), 'within half an hour')
  server.tick(1)
  for (const page of [
    await browser.open(form.url.href),
    await browser.submit(form, { username: ada.username, password: ada.password }),
  ]) {
    isMessage(t, page, 'request_expired', 400, 'after half an hour')
    isAtHome(page)
  }
})

await forEachEngine(
  t,
  'the first two tabs of a browser, opened at the same moment, come to their own ends (invariant 12)',
  async (t, env) => {
    const server = await startServer(t, env)
    const [web, shop] = [await relyingParty(server), await relyingParty(server, 'shop')]
    const ada = await server.user()
    const { username, password } = ada
    for (const isWinnerFirst of [true, false]) {
      const browser = openBrowser(server)
      const tabs = [
        { party: web, begun: web.begin() },
        { party: shop, begun: shop.begin() },
      ] as const
      const answers = await Promise.all(tabs.map(({ begun }) => browser.open(begun.url, { staysPut: true })))
      const shown = await Promise.all(
        answers.map(({ response }) => browser.open(String(response.headers.location))),
      )
      const isWinner = shown.map(page => page.forms.length > 0)
      t.strictSame(isWinner.toSorted(), [false, true], 'the browser keeps one of two cookies')
      const order = isWinner[0] === isWinnerFirst ? [0, 1] : [1, 0]
      for (const [place, i] of order.entries()) {
        const title = `the one that ${isWinner[i] ? 'keeps' : 'loses'} its cookie, as number ${place + 1}`
        const [tab, page] = [tabs[i], shown[i]]
        if (!tab || !page) throw new Error('unreachable: there are two of each')
        let next = page
        if (!isWinner[i]) {
          isMessage(t, page, 'other_browser', 400, title)
          t.strictSame(
            page.links.map(({ text }) => text),
            [en.beginHere, `Back to ${tab.party.client.id === 'web' ? 'The web app' : 'The shop app'}`],
            `${title}: two ways on`,
          )
          next = await browser.follow(page, en.beginHere)
        }
        if (place === 0) isLogInPage(t, next, title)
        const back = next.isElsewhere ? next : await browser.submit(next, { username, password })
        isAnswer(t, back, tab.party, tab.begun, title)
        t.equal((await tab.party.redeem(tab.begun, back)).status, 200, title)
      }
    }
  },
)

t.test('what another browser has shown counts for nothing where its request is begun anew', async t => {
  const server = await startServer(t)
  const shop = await relyingParty(server, 'shop', { consent: 'once' })
  const ada = await server.user()
  const [one, other] = [openBrowser(server), openBrowser(server)]
  const begun = shop.begin()
  const asked = await logInWith(one, begun, ada)
  await other.open(shop.begin().url)
  const elsewhere = await other.open(asked.url.href)
  isMessage(t, elsewhere, 'other_browser', 400, 'the page that asks for consent')
  isLogInPage(t, await other.follow(elsewhere, en.beginHere), 'nobody is logged in here')
})

t.test('a page that leads nowhere else leads back to the client, which may have named no home', async t => {
  const server = await startServer(t)
  for (const [id, redirectUri, home] of [
    ['site', 'https://site.example/app/callback', 'https://site.example/'],
    ['device', 'http://127.0.0.1/callback', undefined],
    ['app', 'com.example.app:/callback', undefined],
  ] as const) {
    const party = await relyingParty(server, id, { client_uri: null, redirect_uris: redirectUri })
    const browser = openBrowser(server)
    const form = await browser.open(party.begin({ redirect_uri: redirectUri }).url)
    server.tick(1800)
    const page = await browser.open(form.url.href)
    isMessage(t, page, 'request_expired', 400, id)
    t.equal(page.links[0]?.href, home, id)
  }
})

t.test('a browser that refuses cookies is told so, and can try again', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server, { takesCookies: false })
  const begun = web.begin()
  const page = await browser.open(begun.url)
  isMessage(t, page, 'cookies_refused', 400, 'without cookies')
  isMessage(t, await browser.follow(page, en.again), 'cookies_refused', 400, 'and again')

  const willing = openBrowser(server)
  const shown = await willing.open(page.url.href)
  isMessage(t, shown, 'cookies_refused', 400, 'cookies are allowed now')
  const form = await willing.follow(shown, en.again)
  isLogInPage(t, form, 'then')
  const { username, password } = ada
  isAnswer(t, await willing.submit(form, { username, password }), web, begun, 'and on')
  willing.cookies.delete('__Host-mintmark-browser')
  isMessage(
    t,
    await willing.submit(form, { username, password }),
    'cookies_refused',
    400,
    'cookies were deleted',
  )
})

t.test('what was sealed for another issuer or installation is nothing here (invariant 16)', async t => {
  const server = await startServer(t)
  const stranger = await startServer(t)
  const renamed = await startServer(t, { MINTMARK_ISSUER: 'https://other.example' })
  const web = await relyingParty(server)
  const form = await openBrowser(server).open(web.begin().url)
  for (const other of [stranger, renamed]) {
    await relyingParty(other)
    const sealed = form.url.searchParams.get('request') ?? ''
    isMessage(
      t,
      await openBrowser(other).open(`/log-in?request=${sealed}`),
      'request_invalid',
      400,
      'elsewhere',
    )
  }
})

await forEachEngine(
  t,
  'invariant 14: each log-in changes the cookie, and the old one is worth nothing',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await relyingParty(server)
    const [ada, bob] = [await server.user(), await server.user('bob')]
    const browser = openBrowser(server)
    const cookieName = '__Host-mintmark'
    const isDead = async (title: string, cookie = browser.cookies.get(cookieName)) => {
      const thief = openBrowser(server)
      if (cookie) thief.cookies.set(cookieName, cookie)
      isLogInPage(t, await thief.open(web.begin().url), title)
    }
    // Fixation: a cookie that somebody has planted.
    const planted = { name: cookieName, value: 'mm_si_planted', attributes: new Map<string, string>() }
    browser.cookies.set(cookieName, planted)
    await logInWith(browser, web.begin(), ada)
    const first = browser.cookies.get(cookieName)
    t.not(first?.value, planted.value)
    await isDead('the planted one', planted)

    server.tick(1)
    await logInWith(browser, web.begin({ prompt: 'login' }), ada)
    const second = browser.cookies.get(cookieName)
    t.not(second?.value, first?.value, 'a log-in of the same user')
    await isDead('the cookie from before', first)
    const rows = await server.ctx.db.sql.selectFrom('sign_ins').select(['user_id', 'auth_time']).execute()
    t.strictSame(rows, [{ user_id: ada.id, auth_time: server.ctx.clock.now() }], 'in place')

    const begun = web.begin()
    const tokens = await web.redeem(begun, await browser.open(begun.url))
    await logInWith(browser, web.begin({ prompt: 'login' }), bob)
    await isDead("Ada's, once Bob has logged in", second)
    const refreshed = await server.post('/token', {
      grant_type: 'refresh_token',
      refresh_token: tokens.refresh_token,
      ...web.client.form,
    })
    t.equal(refreshed.json().error, 'invalid_grant', 'and her session of this browser has ended')
  },
)

t.test('A-1 forms of other sites are refused, by what the browser says of them', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const { username, password } = await server.user()
  for (const hasFetchMetadata of [true, false]) {
    const title = hasFetchMetadata ? 'Sec-Fetch-Site' : 'Origin'
    const browser = openBrowser(server, { hasFetchMetadata })
    const form = await browser.open(web.begin().url)
    for (const from of ['https://evil.example', 'https://evil.as.example', 'http://as.example', 'null']) {
      const page = await browser.submit(
        form,
        { username, password },
        { from, ...(from === 'null' && { headers: { origin: 'null' } }) },
      )
      isMessage(t, page, 'cross_site', 403, `${title}: ${from}`)
    }
    t.equal(browser.cookies.has('__Host-mintmark'), false, 'nobody is logged in')
    t.equal((await browser.submit(form, { username, password })).isElsewhere, true, `${title}: our own page`)
  }
})

t.test('log-in CSRF: nobody is logged in as the attacker, who has a form of an own browser', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const eve = await server.user('eve')
  const attacker = openBrowser(server)
  const form = await attacker.open(web.begin().url)
  const request = form.forms[0]?.fields.get('request') ?? ''
  const fields = { request, username: eve.username, password: eve.password }
  for (const hasFetchMetadata of [true, false]) {
    const victim = openBrowser(server, { hasFetchMetadata })
    await victim.open(web.begin().url)
    const forged = await victim.post('/log-in', fields, { from: 'https://evil.example' })
    isMessage(t, forged, 'cross_site', 403, 'from another site')
    // An old browser, that says nothing of where a form comes from: the cookie does not come with it.
    const silent = await victim.post('/log-in', fields)
    isMessage(t, silent, 'other_browser', 400, 'bound to the browser of the attacker')
    t.equal(victim.cookies.has('__Host-mintmark'), false)
  }
})

t.test('invariant 20: where there is too much to do, pages are refused, and refreshes are not', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server)
  const begun = web.begin()
  const form = await browser.open(begun.url)
  const first = web.begin()
  const { refresh_token } = await web.redeem(first, await logInWith(openBrowser(server), first, ada))
  const { admission } = server.ctx.load
  const held: (() => void)[] = []
  const holding: Promise<void>[] = []
  while (admission.underWay() < admissionLimits.log_in.underWay)
    holding.push(admission.admit('refresh', () => new Promise<void>(done => held.push(done))))
  const { username, password } = ada
  for (const page of [
    await browser.open(begun.url),
    await browser.open(form.url.href),
    await browser.open('/consent'),
    await browser.open('/log-out'),
    await browser.post('/log-in', { request: 'mm_ar_AAAA', username, password }),
    await browser.post('/log-in', {
      request: form.forms[0]?.fields.get('request') ?? '',
      decision: 'continue',
    }),
  ]) {
    isMessage(t, page, 'unavailable', 503, page.url.pathname)
    t.notOk(page.response.body.includes('password'), 'the form to log in is where somebody logs in')
    t.equal(page.response.headers['retry-after'], '2', 'W-5 when to come back')
  }
  const refused = await browser.submit(form, { username, password, stay: '1' })
  keepsWhatWasTyped(t, refused, username, password)
  t.match(refused.text, `${en.logIn.problems.unavailable} ${en.tryAgainIn(2)}`)
  t.equal(refused.response.headers['retry-after'], '2', 'W-5')
  const fields = { grant_type: 'refresh_token', refresh_token, ...web.client.form }
  t.equal((await server.post('/token', fields)).statusCode, 200)
  for (const done of held) done()
  await Promise.all(holding)
  isAnswer(t, await browser.submit(refused, { password }), web, begun, 'sent again')
})

/** A refusal of ours is the form once more: of what was typed, the password alone is gone. */
function keepsWhatWasTyped(t: Test, page: Page, username: string, password: string): void {
  t.equal(page.response.statusCode, 503)
  isLogInPage(t, page, 'it is refused')
  t.equal(page.forms[0]?.fields.get('username'), username)
  t.equal(page.forms[0]?.fields.get('stay'), '1', 'the box is ticked')
  t.notOk(page.response.body.includes(password), 'the password is not sent back')
}

t.test('a fault of ours while somebody logs in shows the form again, and says so', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const { username, password } = await server.user()
  const browser = openBrowser(server)
  const begun = web.begin()
  const form = await browser.open(begun.url)
  const { schema } = server.ctx.db.sql
  await schema.alterTable('users').renameTo('users_away').execute()
  const refused = await browser.submit(form, { username, password, stay: '1' })
  keepsWhatWasTyped(t, refused, username, password)
  t.equal(refused.response.headers['retry-after'], '1', 'W-5')
  t.equal(server.log.filter(({ level }) => level === 50).length, 1, 'the log has it once')
  await schema.alterTable('users_away').renameTo('users').execute()
  isAnswer(t, await browser.submit(refused, { password }), web, begun, 'sent again')
  browser.close()
  t.equal((await browser.open(web.begin().url)).isElsewhere, true, 'the box counted')
})
