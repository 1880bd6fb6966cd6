import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { changePassword, disableUser, raiseUserEpoch } from '../../db/users/users.ts'
import { changeClient, deleteClient, disableClient } from '../../db/clients/clients.ts'
import { en } from '../../src/pages/texts/en.ts'
import { openBrowser, type Page } from '../helpers/browser.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine, onPostgres } from '../helpers/engines.ts'
import { waitingHere } from '../helpers/postgres.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

const errorOf = ({ url }: Page) => url.searchParams.get('error')

function isLogInPage(t: Test, page: Page, title: string): void {
  t.equal(page.isElsewhere, false, `${title}: a page of ours`)
  t.ok(page.response.body.includes('name="password"'), `${title}: the form to log in`)
}

await forEachEngine(
  t,
  'prompt=login and max_age lead to one log-in, and a new auth_time (OpenID Core §3.1.2.1)',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await relyingParty(server)
    const ada = await server.user()
    const browser = openBrowser(server)
    await logInWith(browser, web.begin(), ada)
    const authTimes: unknown[] = []
    for (const more of [{ prompt: 'login' }, { max_age: '0' }, { max_age: '1' }]) {
      server.tick(10)
      const begun = web.begin(more)
      const form = await browser.open(begun.url)
      isLogInPage(t, form, JSON.stringify(more))
      t.equal(form.forms[0]?.fields.get('username'), ada.username, 'with the name of who is logged in')
      server.tick(5)
      const page = await browser.submit(form, { username: ada.username, password: ada.password })
      t.equal(errorOf(page), null)
      const { id_token, status } = await web.redeem(begun, page)
      t.equal(status, 200, 'and no second one')
      authTimes.push(claimsOf(id_token)['auth_time'])
    }
    const start = authTimes[0] as number
    t.strictSame(authTimes, [start, start + 15, start + 30], 'OA-5 each is of its log-in')
    const begun = web.begin({ max_age: '60' })
    const fresh = await browser.open(begun.url)
    t.equal(
      claimsOf((await web.redeem(begun, fresh)).id_token)['auth_time'],
      start + 30,
      'S-1 it is new enough',
    )
  },
)

t.test('OA-4 prompt=none shows no page, and tells the client why (OpenID Core §3.1.2.6)', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const asking = await relyingParty(server, 'asking', { consent: 'once' })
  const ada = await server.user()
  const bob = await server.user('bob')
  const browser = openBrowser(server)
  const silent = async (party: typeof web, more: Record<string, string> = {}) => {
    const begun = party.begin({ prompt: 'none', ...more })
    const page = await browser.open(begun.url)
    t.equal(`${page.url.origin}${page.url.pathname}`, party.redirectUri, 'back at the client')
    t.equal(page.url.searchParams.get('state'), begun.state)
    t.equal(page.url.searchParams.get('iss'), 'https://as.example', 'A-9 errors too')
    return { begun, page, error: errorOf(page) }
  }
  t.equal((await silent(web)).error, 'login_required')
  const first = web.begin()
  const { id_token } = await web.redeem(first, await logInWith(browser, first, ada))
  const { begun, page, error } = await silent(web)
  t.equal(error, null)
  t.equal((await web.redeem(begun, page)).status, 200)
  server.tick(10)
  t.equal((await silent(web, { max_age: '5' })).error, 'login_required')
  t.equal((await silent(asking)).error, 'consent_required')
  t.equal((await silent(web, { id_token_hint: id_token })).error, null, 'the hint is of who is logged in')
  t.equal((await silent(web, { acr_values: 'phr' })).error, 'login_required', 'S-1 one that can be reached')
  const never = { claims: JSON.stringify({ id_token: { acr: { essential: true, value: 'urn:gold' } } }) }
  t.equal((await silent(web, never)).error, 'unmet_authentication_requirements', 'S-1 one that cannot')

  await logInWith(browser, web.begin({ prompt: 'login' }), bob)
  t.equal((await silent(web, { id_token_hint: id_token })).error, 'login_required', 'and of nobody else')
})

t.test('an id_token_hint is an ID token, and no other JWT of ours (OpenID Core §3.1.2.1)', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server, 'web', { userinfo_alg: 'ES256' })
  const browser = openBrowser(server)
  const begun = web.begin()
  const tokens = await web.redeem(begun, await logInWith(browser, begun, await server.user()))
  const headers = { authorization: `Bearer ${tokens.access_token}` }
  const userinfo = await server.request({ method: 'GET', url: '/userinfo', headers })
  for (const [title, id_token_hint] of [
    ['a signed answer of /userinfo', userinfo.body],
    ['an access token', tokens.access_token],
  ] as const) {
    t.match(id_token_hint, /^eyJ/, title)
    t.equal(errorOf(await browser.open(web.begin({ id_token_hint }).url)), 'invalid_request', title)
  }
})

t.test('OA-6 an id_token_hint: another who logs in is refused, once (OpenID Core §3.1.2.1)', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const [ada, bob] = [await server.user(), await server.user('bob')]
  const first = web.begin()
  const { id_token } = await web.redeem(first, await logInWith(openBrowser(server), first, ada))
  const browser = openBrowser(server)
  await logInWith(browser, web.begin(), bob)
  const begun = web.begin({ id_token_hint: id_token })
  const form = await browser.open(begun.url)
  isLogInPage(t, form, 'Bob is logged in, and Ada is meant')
  t.notOk(form.text.includes(bob.username), 'and he is not asked')
  const wrong = await browser.submit(form, { username: bob.username, password: bob.password })
  t.equal(errorOf(wrong), 'login_required', 'Bob')
  const right = await browser.submit(await browser.open(begun.url), {
    username: ada.username,
    password: ada.password,
  })
  t.equal(errorOf(right), null, 'Ada')
})

await forEachEngine(t, 'prompt=select_account, and another account', async (t, env) => {
  const server = await startServer(t, env)
  const web = await relyingParty(server)
  const [ada, bob] = [await server.user(), await server.user('bob')]
  const browser = openBrowser(server)
  const selecting = { prompt: 'select_account' }
  isLogInPage(t, await browser.open(web.begin(selecting).url), 'nobody is there to be chosen')
  await logInWith(browser, web.begin(), ada)

  const begun = web.begin(selecting)
  const choice = await browser.open(begun.url)
  t.ok(choice.text.includes(ada.username), 'who is logged in')
  t.notOk(choice.response.body.includes('name="password"'))
  const chosen = await browser.submit(choice, {}, { button: 'decision=continue' })
  t.equal(chosen.isElsewhere, true, 'is chosen')
  t.equal(claimsOf((await web.redeem(begun, chosen)).id_token)['sub'], ada.sub)

  const other = web.begin(selecting)
  const asked = await browser.open(other.url)
  const form = await browser.follow(asked, en.useAnother)
  isLogInPage(t, form, 'another account')
  t.equal(form.forms[0]?.fields.get('username'), '', 'with no name in it')
  const page = await browser.submit(form, { username: bob.username, password: bob.password })
  t.equal(claimsOf((await web.redeem(other, page)).id_token)['sub'], bob.sub, 'is Bob')

  const stale = await browser.submit(choice, {}, { button: 'decision=continue' })
  t.ok(stale.text.includes(en.messages.request_used.heading), 'an old page counts once')
  const third = web.begin(selecting)
  const asksBob = await browser.open(third.url)
  await logInWith(browser, web.begin({ prompt: 'login' }), ada)
  const again = await browser.submit(asksBob, {}, { button: 'decision=continue' })
  t.ok(again.text.includes(ada.username), 'invariant 16: Bob was asked, and Ada is logged in now')
  t.equal(again.isElsewhere, false)
})

await forEachEngine(
  t,
  'invariant 17: who gets a new password, is disabled, or is logged out everywhere has to log in',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await relyingParty(server)
    const { ctx } = server
    const now = ctx.clock.now()
    const ends = {
      'a new password': async (id: Buffer) =>
        changePassword(ctx.db, id, await ctx.users.passwords.hash('another one'), now),
      disabled: (id: Buffer) => disableUser(ctx.db, id, now),
      'revoke-all': (id: Buffer) => raiseUserEpoch(ctx.db, id, { reason: 'command', now }),
    }
    for (const [title, end] of Object.entries(ends)) {
      const user = await server.user(title)
      const browser = openBrowser(server)
      const begun = web.begin()
      const page = await logInWith(browser, begun, user)
      await end(user.id)
      isLogInPage(t, await browser.open(web.begin().url), title)
      t.equal((await web.redeem(begun, page)).error, 'invalid_grant', `${title}: nor is the code of any use`)
    }
  },
)

await forEachEngine(t, 'invariant 18: a page goes on at any instance', async (t, env) => {
  const server = await startServer(t, env)
  const beside = await startServer(t, { ...env, ...besideEnv(server) })
  const web = await relyingParty(server)
  await beside.follow()
  const ada = await server.user()
  const here = openBrowser(server)
  const there = openBrowser(beside)
  const begun = web.begin()
  const form = await here.open(begun.url)
  for (const [name, cookie] of here.cookies) there.cookies.set(name, cookie)
  const wrong = await there.submit(form, { username: ada.username, password: 'wrong' })
  isLogInPage(t, wrong, 'a wrong password at the other instance')
  const page = await here.submit(wrong, { username: ada.username, password: ada.password })
  t.equal((await web.redeem(begun, page)).status, 200, 'and the right one here')
})

t.test('invariant 13: nothing goes to a redirect URI that is registered no more', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server)
  const form = await browser.open(web.begin().url)
  await changeClient(server.ctx.db, 'web', { redirect_uris: 'https://web.example/callback2' })
  await server.follow()
  const page = await browser.submit(form, { username: ada.username, password: ada.password })
  t.equal(page.isElsewhere, false)
  t.equal(page.response.statusCode, 400)
  t.ok(page.text.includes(en.messages.redirect_uri_unregistered.heading))
  for (const redirect_uri of [
    'https://web.example/callback',
    'https://web.example/callback2/',
    'https://web.example/callback2?a=b',
    'https://WEB.example/callback2',
    'https://web.example/callback2#x',
    'https://web.example.evil.example/callback2',
  ]) {
    const refused = await browser.open(web.begin({ redirect_uri }).url)
    t.equal(refused.isElsewhere, false, `A-2 ${redirect_uri}`)
    t.equal(refused.response.statusCode, 400)
    t.equal(refused.response.headers.location, undefined)
  }
})

await onPostgres(
  t,
  'invariant 13: nor to one that is taken away while it is checked who logs in',
  async (t, env) => {
    const server = await startServer(t, env)
    const { db } = server.ctx
    const web = await relyingParty(server)
    const ada = await server.user()
    const browser = openBrowser(server)
    const form = await browser.open(web.begin().url)
    const waiting = Promise.withResolvers<void>()
    // The log-in has to wait for the user's row.
    const holding = db.transact(async transaction => {
      await transaction.selectFrom('users').selectAll().where('id', '=', ada.id).forUpdate().execute()
      await waiting.promise
    })
    const page = browser.submit(form, { username: ada.username, password: ada.password })
    while ((await sql.raw(waitingHere).execute(db.sql)).rows.length === 0) await setTimeout(10)
    await changeClient(db, 'web', { redirect_uris: 'https://web.example/callback2' })
    await server.follow()
    waiting.resolve()
    await holding
    const { isElsewhere, response, text } = await page
    t.equal(isElsewhere, false)
    t.equal(response.headers.location, undefined)
    t.ok(text.includes(en.messages.redirect_uri_unregistered.heading), text)
  },
)

t.test('a client that was disabled meanwhile is told of by a page', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const browser = openBrowser(server)
  const form = await browser.open(web.begin().url)
  await disableClient(server.ctx.db, 'web', server.ctx.clock.now())
  await server.follow()
  const page = await browser.open(form.url.href)
  t.equal(page.response.statusCode, 400)
  t.ok(page.text.includes(en.messages.client_unknown.heading))
})

t.test('what the page of a client posts goes on with the cookies (OpenID Core §3.1.2.1)', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server)
  await logInWith(browser, web.begin(), ada)
  for (const more of [{}, { prompt: 'none' }]) {
    const begun = web.begin(more)
    const fields = Object.fromEntries(new URL(begun.url, 'https://as.example').searchParams)
    const page = await browser.post('/authorize', fields, { from: 'https://web.example' })
    t.equal(page.url.searchParams.get('state'), begun.state)
    t.equal((await web.redeem(begun, page)).status, 200)
  }
})

t.test('a pushed request can be loaded again until its session is there (A-11)', async t => {
  const server = await startServer(t)
  const [web, shop] = [await relyingParty(server), await relyingParty(server, 'shop')]
  const ada = await server.user()
  const browser = openBrowser(server)
  const begun = web.begin()
  const form = {
    ...Object.fromEntries(new URL(begun.url, 'https://as.example').searchParams),
    ...web.client.form,
  }
  const { request_uri } = (await server.post('/par', form)).json()
  const urlFor = (client_id: string) => `/authorize?${new URLSearchParams({ client_id, request_uri })}`
  isLogInPage(t, await browser.open(urlFor('web')), 'a browser that looks ahead')
  const others = await browser.open(urlFor(shop.client.id))
  t.ok(others.text.includes(en.messages.request_invalid.heading), 'it is of no use to another client')
  const back = await logInWith(browser, { url: urlFor('web') }, ada)
  t.equal((await browser.open(urlFor('web'))).isElsewhere, true, 'there is a code, and no session yet')
  t.equal((await web.redeem(begun, back)).status, 200)
  const used = await browser.open(urlFor('web'))
  t.equal(errorOf(used), 'invalid_request_uri', 'then it is used')
  const { request_uri: old } = (await server.post('/par', form)).json()
  server.tick(90)
  const late = await browser.open(`/authorize?${new URLSearchParams({ client_id: 'web', request_uri: old })}`)
  t.equal(errorOf(late), 'invalid_request_uri', 'before anybody types a password')
})

t.test('form_post: the answer is a form, which sends itself to the client', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server)
  const begun = web.begin({ response_mode: 'form_post' })
  const page = await logInWith(browser, begun, ada)
  t.equal(page.isElsewhere, false)
  const [form] = page.forms
  t.equal(form?.action, web.redirectUri)
  t.equal(form?.fields.get('state'), begun.state)
  t.equal(form?.fields.get('iss'), 'https://as.example', 'A-9')
  const url = new URL(`${web.redirectUri}?${new URLSearchParams([...(form?.fields ?? [])])}`)
  t.equal((await web.redeem(begun, { ...page, url })).status, 200)
})

t.test('the language is that of the request, else that of the browser', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const german = openBrowser(server, { language: 'de-AT,de;q=0.9,en;q=0.5' })
  t.match((await german.open(web.begin().url)).response.body, /<html lang="de"/)
  t.match((await german.open(web.begin({ ui_locales: 'fr en' }).url)).response.body, /<html lang="en"/)
})

t.test('A-14 what another app can pass for gets nothing behind its user (RFC 8252 §8.6)', async t => {
  const server = await startServer(t)
  const ada = await server.user()
  const scheme = { redirect_uris: 'com.example.app:/callback' }
  const app = await relyingParty(server, 'app', { isPublic: true, auth_method: 'none', ...scheme })
  const loopback = 'http://127.0.0.1/callback'
  const asksOnce = { consent: 'once', redirect_uris: loopback } as const
  const tool = await relyingParty(server, 'tool', { isPublic: true, auth_method: 'none', ...asksOnce })
  const toApp = { redirect_uri: 'com.example.app:/callback' }
  const toTool = { redirect_uri: 'http://127.0.0.1:49152/callback' }
  const browser = openBrowser(server)
  t.ok((await logInWith(browser, app.begin(toApp), ada)).url.searchParams.has('code'), 'who logs in sees it')

  const choice = await browser.open(app.begin(toApp).url)
  t.ok(choice.text.includes('The app app'), 'who is logged in is told which app it is')
  const chosen = await browser.submit(choice, {}, { button: 'decision=continue' })
  t.ok(chosen.url.searchParams.has('code'), 'and goes on with one click')
  const another = await browser.open(app.begin(toApp).url)
  const denied = await browser.submit(another, {}, { button: 'decision=deny' })
  t.equal(errorOf(denied), 'access_denied', 'or does not')
  const silent = await browser.open(app.begin({ ...toApp, prompt: 'none' }).url)
  t.equal(errorOf(silent), 'interaction_required', 'but not without a page')

  for (const title of ['first', 'as if it had not been allowed before']) {
    const page = await browser.open(tool.begin(toTool).url)
    t.equal(page.url.pathname, '/consent', title)
    const allowed = await browser.submit(page, {}, { button: 'decision=allow' })
    t.ok(allowed.url.searchParams.has('code'), title)
  }
  const unasked = await browser.open(tool.begin({ ...toTool, prompt: 'none' }).url)
  t.equal(errorOf(unasked), 'consent_required')

  for (const [title, party, more] of [
    ['one that authenticates', await relyingParty(server, 'cli', { redirect_uris: loopback }), toTool],
    ['a site', await relyingParty(server, 'spa', { isPublic: true, auth_method: 'none' }), {}],
  ] as const)
    t.ok((await browser.open(party.begin(more).url)).url.searchParams.has('code'), title)
})

await forEachEngine(
  t,
  'what was begun with a client that was deleted is none of the next one with its id',
  async (t, env) => {
    const server = await startServer(t, env)
    const shop = await relyingParty(server, 'shop', { consent: 'always' })
    const { ctx } = server
    const browser = openBrowser(server)
    const ada = await server.user()
    const consent = await logInWith(browser, shop.begin(), ada)
    t.equal(consent.url.pathname, '/consent')
    const { url } = await openBrowser(server).open(shop.begin().url)
    const pushed = { ...Object.fromEntries(new URLSearchParams(shop.begin().url.split('?')[1])) }
    const { request_uri } = (await server.post('/par', { ...pushed, ...shop.client.form })).json()

    server.tick(1)
    await deleteClient(ctx.db, 'shop', ctx.clock.now())
    await relyingParty(server, 'shop', { consent: 'always' })
    const isGone = (page: Page, title: string) =>
      t.ok(page.text.includes(en.messages.client_unknown.heading), `${title}: ${page.text.slice(0, 80)}`)
    isGone(await browser.submit(consent, {}, { button: 'decision=allow' }), 'the page that asks for consent')
    isGone(await openBrowser(server).open(url.href), 'the page to log in')
    const query = new URLSearchParams({ client_id: 'shop', request_uri })
    const page = await browser.open(`/authorize?${query}`)
    t.ok(page.text.includes(en.messages.request_invalid.heading), 'a request_uri')
  },
)
