import t, { type Test } from 'tap'
import { markAsBackup, reviveBackup } from '../../db/backups/restored.ts'
import { changeClient, disableClient } from '../../db/clients/clients.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { en } from '../../src/pages/texts/en.ts'
import type { MessageKind } from '../../src/pages/texts/texts.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { openBrowser, type Browser, type Page } from '../helpers/browser.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { logInWith, relyingParty, type Redeemed, type RelyingParty } from '../helpers/relying-party.ts'
import { startServer, type TestServer, type TestUser } from '../helpers/server.ts'

function isMessage(t: Test, page: Page, kind: MessageKind, title: string): void {
  t.equal(page.isElsewhere, false, `${title}: a page of ours`)
  t.ok(page.text.includes(en.messages[kind].heading), `${title}: ${kind}, not ${page.text.slice(0, 200)}`)
}

function isQuestion(t: Test, page: Page, title: string): void {
  t.equal(page.response.statusCode, 200, title)
  t.ok(page.text.includes(en.logOut.heading), `${title}: asks, and not ${page.text.slice(0, 200)}`)
}

const logOut = { button: 'decision=log_out' }

/** Logs in in a browser, and redeems the code. */
async function enter(
  browser: Browser,
  party: RelyingParty,
  user: TestUser,
  more: Record<string, string> = {},
): Promise<Redeemed> {
  const begun = party.begin(more)
  const page = await browser.open(begun.url)
  const { username, password } = user
  const back = page.isElsewhere ? page : await browser.submit(page, { username, password })
  return party.redeem(begun, back)
}

async function isAlive({ post }: TestServer, { client }: RelyingParty, { refresh_token }: Redeemed) {
  const form = { grant_type: 'refresh_token', refresh_token, ...client.form }
  return (await post('/token', form)).statusCode === 200
}

async function isLoggedIn(browser: Browser, party: RelyingParty): Promise<boolean> {
  return (await browser.open(party.begin({ prompt: 'none' }).url)).url.searchParams.has('code')
}

const urlOf = (parameters: Record<string, string>) => `/log-out?${new URLSearchParams(parameters)}`

await forEachEngine(
  t,
  'LO-2 with an id_token_hint nobody is asked, also when it has expired; all that came of the log-in ends',
  async (t, env) => {
    const server = await startServer(t, env)
    const [web, shop] = [await relyingParty(server), await relyingParty(server, 'shop')]
    const ada = await server.user()
    const [browser, other] = [openBrowser(server), openBrowser(server)]
    const ofWeb = await enter(browser, web, ada)
    const ofShop = await enter(browser, shop, ada)
    const offline = await enter(browser, shop, ada, { scope: 'openid offline_access' })
    const elsewhere = await enter(other, web, ada)
    const cookie = browser.cookies.get('__Host-mintmark')

    server.tick(3 * 3600)
    const { id_token: id_token_hint } = ofWeb
    const post_logout_redirect_uri = 'https://web.example/bye'
    const page = await browser.open(urlOf({ id_token_hint, post_logout_redirect_uri, state: 'a&b' }))
    t.equal(page.isElsewhere, true)
    t.equal(page.url.href, 'https://web.example/bye?state=a%26b', 'LO-6 the state goes with it')
    t.equal(browser.cookies.has('__Host-mintmark'), false, 'the browser forgets')
    if (cookie) browser.cookies.set(cookie.name, cookie)
    t.equal(await isLoggedIn(browser, web), false, 'invariant 14: and so does the server')
    t.equal(await isAlive(server, web, ofWeb), false)
    t.equal(await isAlive(server, shop, ofShop), false, 'its other sessions too')
    t.equal(await isAlive(server, shop, offline), true, 'but for one with offline_access')
    t.equal(await isAlive(server, web, elsewhere), true, 'and those of other browsers')
    t.equal(await isLoggedIn(other, web), true)

    const again = await browser.open(urlOf({ id_token_hint, post_logout_redirect_uri }))
    t.equal(again.url.href, 'https://web.example/bye', 'a second time does no harm')
  },
)

await forEachEngine(t, 'LO-4 without a hint it asks, and only the answer logs out', async (t, env) => {
  const server = await startServer(t, env)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server)
  const tokens = await enter(browser, web, ada)
  const named = { client_id: 'web', post_logout_redirect_uri: 'https://web.example/bye', state: 's' }
  for (const [title, parameters, end] of [
    ['nothing', {}, undefined],
    ['a client_id alone', { client_id: 'web' }, undefined],
    ['a client_id and a URI', named, 'https://web.example/bye?state=s'],
    ['a URI of nobody', { post_logout_redirect_uri: 'https://web.example/bye' }, undefined],
    ['a hint that is none', { id_token_hint: 'x.y.z' }, undefined],
    ['a client that there is not', { ...named, client_id: 'nobody' }, undefined],
    ['an access token as a hint', { id_token_hint: tokens.access_token }, undefined],
  ] as const) {
    await enter(browser, web, ada)
    const question = await browser.open(urlOf(parameters))
    isQuestion(t, question, title)
    t.ok(question.text.includes(ada.username), `${title}: who`)
    t.equal(await isLoggedIn(browser, web), true, `${title}: not before it is answered`)
    const stays = await browser.submit(question, {}, { button: 'decision=stay' })
    isMessage(t, stays, 'still_logged_in', title)
    t.equal(await isLoggedIn(browser, web), true, `${title}: or with another answer`)
    const done = await browser.submit(question, {}, logOut)
    if (end === undefined) isMessage(t, done, 'logged_out', title)
    else t.equal(done.url.href, end, title)
    t.equal(await isLoggedIn(browser, web), false, `${title}: then`)
    const twice = await browser.submit(question, {}, logOut)
    t.equal(twice.response.statusCode, end === undefined ? 200 : 303, `${title}: sent twice`)
  }
  t.equal(await isAlive(server, web, tokens), false)
})

await forEachEngine(
  t,
  'once a backup is restored nobody is logged in, and a log-out still ends the sessions of before (invariant 14)',
  async (t, env) => {
    const server = await startServer(t, env)
    const [web, shop] = [await relyingParty(server), await relyingParty(server, 'shop')]
    const [ada, bob] = [await server.user(), await server.user('bob')]
    const browsers = Array.from({ length: 4 }, () => openBrowser(server))
    const [asked, hinted, again, lent] = browsers as [Browser, Browser, Browser, Browser]
    const before = new Map<Browser, readonly [Redeemed, Redeemed]>()
    for (const browser of browsers)
      before.set(browser, [await enter(browser, web, ada), await enter(browser, shop, ada)])
    const living = async (browser: Browser) => {
      const [ofWeb, ofShop] = before.get(browser) ?? []
      if (!ofWeb || !ofShop) throw new Error('unreachable')
      return [await isAlive(server, web, ofWeb), await isAlive(server, shop, ofShop)]
    }
    const { ctx } = server
    const madeAt = ctx.clock.now()
    await markAsBackup(ctx.db, madeAt)
    await reviveBackup(ctx.db, { madeAt, now: madeAt, nextPosition: 0, isSeenTo: true })
    await server.follow()
    for (const browser of browsers) {
      t.equal(await isLoggedIn(browser, web), false, 'nobody is logged in')
      t.strictSame(await living(browser), [true, true], 'and what goes on goes on')
    }

    const question = await asked.open('/log-out')
    isQuestion(t, question, 'it asks')
    t.ok(question.text.includes(ada.username))
    t.strictSame(await living(asked), [true, true], 'before it ends anything')
    isMessage(t, await asked.submit(question, {}, logOut), 'logged_out', 'asked')
    t.strictSame(await living(asked), [false, false])
    const [{ id_token: id_token_hint }] = before.get(hinted) ?? [await enter(hinted, web, ada)]
    isMessage(t, await hinted.open(urlOf({ id_token_hint })), 'logged_out', 'by a hint')
    t.strictSame(await living(hinted), [false, false])

    const next = await enter(again, web, ada)
    t.equal(await isLoggedIn(again, shop), true, 'who logs in again')
    t.strictSame(await living(again), [true, true], 'ends nothing')
    await again.submit(await again.open('/log-out'), {}, logOut)
    t.strictSame([await isAlive(server, web, next), ...(await living(again))], [false, false, false])
    await enter(lent, web, bob)
    t.strictSame(await living(lent), [false, false], 'another user does')
  },
)

t.test('invariant 13: nobody is redirected to what is not registered, nor for the wrong client', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  await relyingParty(server, 'shop')
  const ada = await server.user()
  const browser = openBrowser(server)
  const { id_token: id_token_hint } = await enter(browser, web, ada)
  for (const post_logout_redirect_uri of [
    'https://web.example/bye?a=b',
    'https://web.example/',
    'https://web.example/callback',
    'https://shop.example/bye',
    'javascript:alert(1)',
  ]) {
    for (const more of [{ id_token_hint }, { client_id: 'web' }, { id_token_hint, client_id: 'web' }]) {
      const page = await browser.open(urlOf({ ...more, post_logout_redirect_uri }))
      t.equal(page.response.statusCode, 400)
      isMessage(t, page, 'log_out_uri_unregistered', `LO-5 ${post_logout_redirect_uri}`)
    }
  }
  const mismatch = await browser.open(urlOf({ id_token_hint, client_id: 'shop' }))
  t.equal(mismatch.response.statusCode, 400)
  isMessage(t, mismatch, 'log_out_invalid', 'LO-3 a hint of another client than the one that is named')
  t.equal(await isLoggedIn(browser, web), true, 'LO-7 nothing has ended')
})

t.test('invariant 13: nor to what is registered no more, or for a client that was disabled', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const named = urlOf({ client_id: 'web', post_logout_redirect_uri: 'https://web.example/bye' })
  for (const change of [
    () => changeClient(server.ctx.db, 'web', { post_logout_redirect_uris: '' }),
    () => disableClient(server.ctx.db, 'web', server.ctx.clock.now()),
  ]) {
    await changeClient(server.ctx.db, 'web', { post_logout_redirect_uris: 'https://web.example/bye' })
    await server.follow()
    const browser = openBrowser(server)
    await enter(browser, web, ada)
    const question = await browser.open(named)
    await change()
    await server.follow()
    isMessage(t, await browser.submit(question, {}, logOut), 'logged_out', 'while it was asked')
  }
  isMessage(t, await openBrowser(server).open(named), 'logged_out', 'nor before')
})

await forEachEngine(
  t,
  'a hint of somebody else asks; without a cookie it ends the session that it names, and no other',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await relyingParty(server)
    const [ada, bob] = [await server.user(), await server.user('bob')]
    const [hers, his] = [openBrowser(server), openBrowser(server)]
    const ofAda = await enter(hers, web, ada)
    const second = await enter(hers, web, ada)
    const ofBob = await enter(his, web, bob)

    const question = await his.open(urlOf({ id_token_hint: ofAda.id_token }))
    isQuestion(t, question, "Bob, with Ada's hint")
    t.ok(question.text.includes(bob.username))
    t.equal(await isAlive(server, web, ofBob), true)
    t.equal(await isAlive(server, web, ofAda), true)

    const fresh = openBrowser(server)
    const done = await fresh.open(
      urlOf({ id_token_hint: ofAda.id_token, post_logout_redirect_uri: 'https://web.example/bye' }),
    )
    t.equal(done.url.href, 'https://web.example/bye')
    t.equal(await isAlive(server, web, ofAda), false, 'the session of the hint')
    t.equal(await isAlive(server, web, second), true, 'and no other')
    t.equal(await isLoggedIn(hers, web), true, 'nor the log-in of its browser')
    const sid = parseUuid(String(claimsOf(ofAda.id_token)['sid']))
    if (!sid) throw new Error('unreachable: an ID token has a sid')
    t.equal((await findSession(server.ctx.db, sid))?.revoke_reason, 'log-out')

    const asked = await his.open(urlOf({ id_token_hint: second.id_token }))
    await his.submit(asked, {}, logOut)
    t.equal(await isAlive(server, web, second), false)
    const { sql } = server.ctx.db
    const entries = sql.selectFrom('audit').select('actor').where('event', '=', 'session_revoked')
    const ofAdas = await entries.where('user_id', '=', ada.id).orderBy('id').execute()
    const actors = ofAdas.map(({ actor }) => actor)
    t.strictSame(actors, ['nobody', `user ${bob.sub}`], 'a hint does not tell who has sent it')
  },
)

await forEachEngine(
  t,
  'a hint of another log-in of the same user asks (RP-Initiated Logout §2)',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await relyingParty(server)
    const ada = await server.user()
    const [browser, elsewhere] = [openBrowser(server), openBrowser(server)]
    const offline = { scope: 'openid offline_access' }
    const old = await enter(browser, web, ada)
    const oldOffline = await enter(browser, web, ada, offline)
    await server.revoke(web.client, oldOffline.refresh_token)
    await browser.open(urlOf({ id_token_hint: old.id_token }))
    const ofElsewhere = await enter(elsewhere, web, ada)
    await enter(browser, web, ada)
    for (const [title, { id_token: id_token_hint }] of [
      ['one that has ended', old],
      ['one of another browser', ofElsewhere],
      ['one that has outlived it, and was ended by its client', oldOffline],
    ] as const) {
      isQuestion(t, await browser.open(urlOf({ id_token_hint })), title)
      t.equal(await isLoggedIn(browser, web), true, `${title}: not before it is answered`)
      t.equal(await isAlive(server, web, ofElsewhere), true)
    }

    const living = await enter(browser, web, ada, offline)
    await browser.open(urlOf({ id_token_hint: living.id_token }))
    t.equal(await isLoggedIn(browser, web), false, 'one that lives, and outlives log-ins, asks nothing')
    const ended = await enter(browser, web, ada)
    await server.revoke(web.client, ended.refresh_token)
    await browser.open(urlOf({ id_token_hint: ended.id_token }))
    t.equal(await isLoggedIn(browser, web), false, 'nor does one of this log-in that its client has ended')
  },
)

t.test('LO-8 a logout_hint names a session of who logs out, and proves nothing', async t => {
  const server = await startServer(t)
  const [web, shop] = [await relyingParty(server), await relyingParty(server, 'shop')]
  const [ada, bob] = [await server.user(), await server.user('bob')]
  const [hers, his] = [openBrowser(server), openBrowser(server)]
  const offline = { scope: 'openid offline_access' }
  const ofBob = await enter(his, web, bob, offline)
  for (const [title, tokens, more, isOver] of [
    ['her own', await enter(hers, web, ada, offline), { client_id: 'web' }, true],
    ['her own, of no client that is named', await enter(hers, web, ada, offline), {}, true],
    ['her own of another client', await enter(hers, shop, ada, offline), { client_id: 'web' }, false],
    ["somebody else's", ofBob, { client_id: 'web' }, false],
  ] as const) {
    const party = title.includes('another') ? shop : web
    await enter(hers, web, ada)
    const logout_hint = String(claimsOf(tokens.id_token)['sid'])
    const question = await hers.open(urlOf({ ...more, logout_hint }))
    isQuestion(t, question, title)
    isMessage(t, await hers.submit(question, {}, logOut), 'logged_out', title)
    t.equal(await isAlive(server, party, tokens), !isOver, title)
    isMessage(t, await hers.open(urlOf({ ...more, logout_hint })), 'logged_out', 'who is nobody')
  }
  t.equal(await isAlive(server, web, ofBob), true, 'nobody ends it without being its user')
})

t.test('LO-1 what a client posts comes without the cookie: it goes on as a GET', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server)
  const { id_token: id_token_hint } = await enter(browser, web, ada)
  const from = 'https://web.example'
  const fields = { id_token_hint, post_logout_redirect_uri: 'https://web.example/bye', state: 's' }
  const moved = await browser.post('/log-out', fields, { from, staysPut: true })
  t.equal(moved.response.statusCode, 303)
  t.notOk(String(moved.response.headers.location).includes(id_token_hint), 'H-14 the token is in no URL')
  const page = await browser.post('/log-out', fields, { from })
  t.equal(page.url.href, 'https://web.example/bye?state=s')
  t.equal(await isLoggedIn(browser, web), false)
})

t.test('a form of another site logs nobody out', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const [ada, eve] = [await server.user(), await server.user('eve')]
  for (const hasFetchMetadata of [true, false]) {
    const browser = openBrowser(server, { hasFetchMetadata })
    await enter(browser, web, ada)
    const attacker = openBrowser(server)
    await enter(attacker, web, eve)
    const question = await attacker.open('/log-out')
    const request = question.forms[0]?.fields.get('request') ?? ''
    for (const [title, fields] of [
      ['what it has of its own browser', { request, decision: 'log_out' }],
      ['nothing', { decision: 'log_out' }],
    ] as const) {
      const from = 'https://evil.example'
      isQuestion(t, await browser.post('/log-out', fields, { from }), title)
      isQuestion(t, await browser.post('/log-out', { ...fields, request }), `${title}, as if from here`)
    }
    t.equal(await isLoggedIn(browser, web), true)
    t.equal(await isLoggedIn(attacker, web), true)
  }
})

t.test('the answer counts for the log-in that was asked about, and for half an hour', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const [ada, bob] = [await server.user(), await server.user('bob')]
  const browser = openBrowser(server)
  await enter(browser, web, ada)
  const question = await browser.open('/log-out')
  await logInWith(browser, web.begin({ prompt: 'login' }), bob)
  const again = await browser.submit(question, {}, logOut)
  isQuestion(t, again, 'Bob is logged in by now')
  t.ok(again.text.includes(bob.username))
  server.tick(1800)
  isMessage(t, await browser.submit(again, {}, logOut), 'request_invalid', 'too late')
  t.equal(await isLoggedIn(browser, web), true)
})

t.test('LO-1 a HEAD logs nobody out', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const browser = openBrowser(server)
  const tokens = await enter(browser, web, ada)
  const cookie = [...browser.cookies.values()].map(({ name, value }) => `${name}=${value}`).join('; ')
  const url = urlOf({ id_token_hint: tokens.id_token })
  const head = await server.request({ method: 'HEAD', url, headers: { cookie } })
  t.equal(head.statusCode, 405)
  t.equal(head.headers.allow, 'GET, POST')
  t.equal(head.headers['set-cookie'], undefined)
  t.equal(await isLoggedIn(browser, web), true)
  t.equal(await isAlive(server, web, tokens), true)
})

t.test('who is logged in nowhere is logged out', async t => {
  const server = await startServer(t)
  await relyingParty(server)
  const browser = openBrowser(server)
  isMessage(t, await browser.open('/log-out'), 'logged_out', 'nothing')
  const named = { client_id: 'web', post_logout_redirect_uri: 'https://web.example/bye' }
  t.equal((await browser.open(urlOf(named))).url.href, 'https://web.example/bye', 'and led on')
  const { pathname, search } = (await browser.open((await relyingParty(server, 'shop')).begin().url)).url
  const swapped = await browser.open(`/log-out${search}`)
  isMessage(t, swapped, 'request_invalid', `what was sealed for ${pathname}`)
  t.equal((await browser.open('/log-out?state=a&state=b')).response.statusCode, 400, 'P-1 a parameter twice')
})
