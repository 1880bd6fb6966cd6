import t from 'tap'
import { raiseRevision } from '../../db/installation/installation.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { userCodeLimit, userCodeSourceLimit } from '../../src/users/guess-limits.ts'
import { de } from '../../src/pages/texts/de.ts'
import { en } from '../../src/pages/texts/en.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { formatUserCode, newUserCode, readUserCode } from '../../src/protocol/user-code.ts'
import { auditOf, mailsTo, openAccount, verifiedMail, withMail } from '../helpers/account.ts'
import { openBrowser } from '../helpers/browser.ts'
import { claimsOf } from '../helpers/codes.ts'
import { deviceGrant, devicesOf, deviceWorld, forDevices, type Devices } from '../helpers/devices.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

const allow = { button: 'decision=allow' }
const deny = { button: 'decision=deny' }
const errorAt = async (poll: Devices['poll'], asked: { device_code: string }): Promise<string> =>
  (await poll(asked)).json().error ?? 'none'

await forEachEngine(
  t,
  'G-3 a person is shown which device asks, and confirms that it is this one',
  async (t, env) => {
    const { server, ada, ask, poll, enter } = await deviceWorld(
      t,
      { ...env, ...withMail },
      { operator: 'Film Ltd', client_uri: 'https://film.example/' },
    )
    await verifiedMail(server, ada)
    await server.ctx.db.sql
      .updateTable('resources')
      .set({ scope_words: '{"read":"See <b>your</b> films"}' })
      .execute()
    await raiseRevision(server.ctx.db.sql)
    await server.follow()
    const asked = await ask({ scope: 'read' })
    server.tick(60)
    const browser = openBrowser(server)
    const page = await enter(asked, browser)
    t.equal(page.url.pathname, '/device/confirm')
    for (const text of [
      ...['Television', 'Film Ltd', asked.user_code, '127.0.0.1', '17 Mar 2030, 17:46 UTC', ada.username],
      ...[en.device.otherNetwork, en.device.sentByOthers, en.device.compare, 'See <b>your</b> films'],
    ])
      t.ok(page.text.includes(text), text)
    t.ok(page.links.some(({ href }) => href === 'https://film.example/'))
    t.match(page.response.headers, {
      'cache-control': 'no-store',
      'content-security-policy': /frame-ancestors 'none'/,
    })
    const waiting = await server.ctx.db.sql.selectFrom('device_authorizations').select('decided_at').execute()
    t.strictSame(waiting, [{ decided_at: null }], 'a GET decides nothing')
    t.equal(await errorAt(poll, asked), 'authorization_pending')

    const unseen = await browser.submit(page, {}, allow)
    t.equal(unseen.response.statusCode, 400)
    t.ok(unseen.text.includes(en.device.unseen), 'not without a look at the device')
    t.equal(await errorAt(poll, asked), 'slow_down')
    const done = await browser.submit(unseen, { seen: '1' }, allow)
    t.ok(done.text.includes(en.messages.device_connected.heading))
    t.strictSame(await mailsTo(server, ada), ['device_connected'], 'its owner is mailed')
    const tokens = (await poll(asked)).json()
    const sid = parseUuid(String(claimsOf(tokens.access_token)['sid'])) ?? Buffer.alloc(16)

    const again = await browser.open(page.url.href)
    t.ok(again.text.includes(en.messages.device_answered.heading), 'going back to it does no more')
    t.ok((await browser.submit(page, { seen: '1' }, deny)).text.includes(en.messages.device_answered.heading))
    t.equal(
      (await browser.submit(await browser.open('/device'), { user_code: asked.user_code })).response
        .statusCode,
      400,
    )
    const places = await openAccount(browser, ada, '/account/places')
    t.ok(places.text.includes('Television'), 'it is shown where one is logged in')
    await browser.submit(await browser.open('/log-out'), {}, { button: 'decision=log_out' })
    t.equal(
      (await findSession(server.ctx.db, sid))?.revoked_at,
      null,
      'the device stays logged in without the browser',
    )
    const events = (await auditOf(server, ada)).map(({ event }) => event)
    t.ok(events.includes('device_approved'))
  },
)

t.test('a code is taken however it is typed, and a link with it is not sent on by itself', async t => {
  const { server, ask, enter, poll } = await deviceWorld(t)
  const asked = await ask()
  const bare = asked.user_code.replaceAll('-', '')
  for (const typed of [
    bare.toLowerCase(),
    ` ${bare.slice(0, 4)} ${bare.slice(4)} `,
    bare.replace(/(.)/g, '$1\u2013'),
  ]) {
    const page = await enter({ user_code: typed })
    t.equal(page.url.pathname, '/device/confirm', JSON.stringify(typed))
  }
  t.equal(readUserCode('ＢＣＤＦＧＨＪＫＬ'), 'BCDFGHJKL', 'of another width')
  for (const wrong of ['', 'BCD-FGH-JK', 'BCD-FGH-JKLM', 'ACD-FGH-JKL', `${bare}${' '.repeat(60)}`])
    t.equal(readUserCode(wrong), undefined, JSON.stringify(wrong))
  t.equal(formatUserCode('BCDFGHJKL'), 'BCD-FGH-JKL')
  t.equal(new Set(Array.from({ length: 1000 }, newUserCode)).size, 1000)

  const browser = openBrowser(server)
  const { pathname, search } = new URL(asked.verification_uri_complete)
  const page = await browser.open(pathname + search)
  t.equal(page.forms[0]?.fields.get('user_code'), asked.user_code)
  t.equal(page.response.statusCode, 200)
  const evil = await browser.open('/device?user_code=%22%3E%3Cscript%3E')
  t.equal(evil.forms[0]?.fields.get('user_code'), '', 'what is no code is not shown')
  const logIn = await browser.submit(page)
  t.equal(logIn.url.pathname, '/log-in')
  t.ok(logIn.text.includes(en.logIn.stayInBrowser))
  t.notOk(logIn.text.includes(en.logIn.stayLoggedIn), 'which device would be meant')
  t.equal(await errorAt(poll, asked), 'authorization_pending')
})

t.test('codes that no device waits with', async t => {
  const { server, ask, enter, poll } = await deviceWorld(t)
  const browser = openBrowser(server)
  const wrong = async (user_code: string, title: string) => {
    const page = await enter({ user_code }, browser)
    t.equal(page.url.pathname, '/device', title)
    t.equal(page.response.statusCode, 400, title)
    t.ok(page.text.includes(en.device.problems.wrong), title)
    t.ok(page.response.body.includes('aria-invalid="true"'), title)
    return page
  }
  const slip = await wrong('123', 'no code at all')
  t.equal(slip.forms[0]?.fields.get('user_code'), '123', 'what was typed stays')
  await wrong('BCD-FGH-JKL', 'a made-up one')
  const asked = await ask()
  const confirming = await enter(asked, browser)
  server.tick(600)
  await wrong(asked.user_code, 'an expired one')
  for (const page of [
    await browser.open(confirming.url.href),
    await browser.submit(confirming, { seen: '1' }, allow),
  ]) {
    t.ok(page.text.includes(en.messages.device_expired.heading), 'the page that was open says what to do')
    t.ok(page.links.some(({ text, href }) => text === en.device.another && href === '/device'))
  }
  t.equal(await errorAt(poll, asked), 'expired_token')
  t.equal(server.ctx.counts.devices.wrong_code, 2, 'what is no code is no guess')
})

t.test(
  'G-3 guesses are limited by browser and by source, at all servers, and right codes are none',
  async t => {
    const { server, tv, ada, ask, enter } = await deviceWorld(t)
    const other = await startServer(t, besideEnv(server))
    await other.follow()
    const guess = (browser: ReturnType<typeof openBrowser>) =>
      browser.post('/device', { user_code: newUserCode() })
    const mistyping = openBrowser(server)
    await mistyping.post('/device', { user_code: '' })
    for (let i = 0; i < userCodeLimit.points; i++) t.equal((await guess(mistyping)).response.statusCode, 400)
    const refused = await guess(mistyping)
    t.equal(refused.response.statusCode, 429)
    t.ok(refused.text.includes(en.device.problems.throttled))
    t.match(refused.text, /Try again in 60 seconds/)
    const asked = await ask()
    t.equal((await enter(asked, mistyping)).response.statusCode, 429, 'not even the right one')
    t.equal((await enter(asked)).url.pathname, '/device/confirm', 'another browser beside it')
    server.tick(60)
    for (let i = 0; i < 20; i++)
      t.equal((await enter(asked, mistyping)).url.pathname, '/device/confirm', 'right codes cost nothing')

    const address = '203.0.113.5'
    for (let i = 0; i < userCodeSourceLimit.points; i++) await guess(openBrowser(server, { address }))
    t.equal((await guess(openBrowser(server, { address }))).response.statusCode, 429, 'one source')
    for (const { jobs } of [server, other])
      for (const job of jobs)
        if (/counts of wrong/.test(job.name)) await job.run(new AbortController().signal)
    t.equal(
      (await guess(openBrowser(other, { address }))).response.statusCode,
      429,
      'at the other server too',
    )
    t.equal((await guess(openBrowser(server, { address: '203.0.113.6' }))).response.statusCode, 400)
    const many = await Promise.all(
      Array.from({ length: 20 }, () => guess(openBrowser(server, { address: '203.0.113.9' }))),
    )
    t.equal(many.length, 20)
    t.ok((await devicesOf(server, tv, ada).enter(asked)).url.pathname)
    t.ok(server.ctx.counts.devices.throttled >= 3)
  },
)

t.test('denying, at each page, ends it for the device', async t => {
  const { server, ask, enter, poll } = await deviceWorld(t)
  const first = await ask()
  const browser = openBrowser(server)
  const denied = await browser.submit(await enter(first, browser), {}, deny)
  t.ok(denied.text.includes(en.messages.device_denied.heading))
  t.equal(await errorAt(poll, first), 'access_denied')
  const second = await ask()
  const stranger = openBrowser(server)
  const page = await stranger.submit(await stranger.open('/device'), { user_code: second.user_code })
  t.equal(page.url.pathname, '/log-in')
  await stranger.submit(page, {}, deny)
  t.equal(await errorAt(poll, second), 'access_denied', 'by who gives up the log-in')
  t.equal(server.ctx.counts.devices.denied, 2)
})

t.test('it is asked each time, of the operator’s own apps too, and by one page alone', async t => {
  const { server, tv, ada } = await deviceWorld(t)
  const own = await server.client('own', {
    ...forDevices,
    isPublic: false,
    grant_types: `${deviceGrant} refresh_token authorization_code`,
    first_party: 1,
    consent: 'never',
  })
  const once = await server.client('once', { ...forDevices, isPublic: false, consent: 'once' })
  for (const client of [tv, own, once]) {
    const { ask, enter, poll, confirm } = devicesOf(server, client, ada)
    const browser = openBrowser(server)
    for (let time = 0; time < 2; time++) {
      const asked = await ask()
      const page = await enter(asked, browser)
      t.equal(page.url.pathname, '/device/confirm', `${client.id}, time ${time}`)
      t.equal(page.forms[0]?.fields.has('seen'), false, 'the box is not ticked')
      const silent = await browser.open(page.url.pathname + page.url.search)
      t.equal(silent.url.pathname, '/device/confirm')
      await browser.submit(page, { seen: '1' }, allow)
      t.equal((await poll(asked)).statusCode, 200)
    }
    t.ok(await confirm(await ask()))
  }
  const consents = await server.ctx.db.sql.selectFrom('consents').select('client_id').execute()
  t.strictSame(consents, [{ client_id: 'once' }], 'what was allowed is remembered where the client asks that')
})

t.test('taking back what was allowed ends the device’s session', async t => {
  const { server, ada, ask, poll, enter } = await deviceWorld(t, {}, { consent: 'always' })
  const asked = await ask()
  const browser = openBrowser(server)
  await browser.submit(await enter(asked, browser), { seen: '1' }, allow)
  const before = await ask()
  await browser.submit(await enter(before, browser), { seen: '1' }, allow)
  const sid = parseUuid(String(claimsOf((await poll(asked)).json().access_token)['sid'])) ?? Buffer.alloc(16)
  await browser.submit(await openAccount(browser, ada, '/account/apps'))
  t.equal((await findSession(server.ctx.db, sid))?.revoke_reason, 'consent withdrawn')
  t.equal(await errorAt(poll, before), 'invalid_grant', 'and what a device had still to fetch')
})

t.test('nobody answers for another person, browser or site', async t => {
  const { server, ask, enter, poll, ada } = await deviceWorld(t)
  const eve = await server.user('eve')
  const asked = await ask()
  const browser = openBrowser(server)
  const page = await enter(asked, browser)
  await openAccount(openBrowser(server), eve)
  const foreign = await browser.post(
    '/device/confirm',
    { ...Object.fromEntries(page.forms[0]?.fields ?? []), seen: '1', decision: 'allow' },
    { from: 'https://evil.example' },
  )
  t.equal(foreign.response.statusCode, 403, 'a form of another site')
  const code = await browser.post('/device', { user_code: asked.user_code }, { from: 'https://evil.example' })
  t.equal(code.response.statusCode, 403)
  const stolen = openBrowser(server)
  await stolen.open('/device')
  const elsewhere = await stolen.submit(page, { seen: '1' }, allow)
  t.match(elsewhere.text, /begun in another browser|keeps no cookies/, 'the page in another browser')
  const stranger = openBrowser(server)
  for (const { href } of elsewhere.links.filter(({ href }) => /request=/.test(href))) {
    const begun = await stranger.open(href)
    t.equal(
      begun.url.pathname,
      '/device',
      'a link that was made of it goes no further than one with its code',
    )
    t.equal(begun.forms[0]?.fields.get('user_code'), asked.user_code)
    t.equal((await stranger.submit(begun)).url.pathname, '/log-in')
  }

  const swapped = await browser.submit(await browser.follow(page, en.useAnother), {
    username: eve.username,
    password: eve.password,
  })
  t.equal(swapped.url.pathname, '/device/confirm')
  t.ok(swapped.text.includes('logged in as eve'))
  const late = await browser.submit(page, { seen: '1' }, allow)
  t.equal(late.url.pathname, '/device/confirm', 'the page that has asked ada')
  t.ok(late.text.includes('logged in as eve'), 'asks eve first')
  t.equal(await errorAt(poll, asked), 'authorization_pending')
  await browser.submit(late, { seen: '1' }, allow)
  t.equal(claimsOf((await poll(asked)).json().access_token)['sub'], eve.sub)
  t.notOk((await auditOf(server, ada)).some(({ event }) => event === 'device_approved'))

  const own = openBrowser(server)
  const another = await ask()
  const [form] = (await enter(another, own)).forms
  const consent = await own.post('/consent', { ...Object.fromEntries(form?.fields ?? []), decision: 'allow' })
  t.equal(consent.url.pathname, '/device/confirm', 'the page for consent lets no device in')
  t.equal(await errorAt(poll, another), 'authorization_pending')
})

await forEachEngine(t, 'of two people who answer at once, at two servers, one is heard', async (t, env) => {
  const { server, tv, ada, ask, poll, enter } = await deviceWorld(t, env, { consent: 'once' })
  const eve = await server.user('eve')
  const other = await startServer(t, { ...env, ...besideEnv(server) })
  await other.follow()
  const asked = await ask()
  const [one, two] = [openBrowser(server), openBrowser(other)]
  const ofAda = await enter(asked, one)
  const ofEve = await devicesOf(other, tv, eve).enter(asked, two)
  const answers = await Promise.all([
    one.submit(ofAda, { seen: '1' }, allow),
    two.submit(ofEve, { seen: '1' }, allow),
  ])
  const connected = answers.map(({ text }) => text.includes(en.messages.device_connected.heading))
  t.equal(connected.filter(Boolean).length, 1)
  t.ok(answers[connected[0] ? 1 : 0]?.text.includes(en.messages.device_answered.heading), 'the other is told')
  const { sub } = claimsOf((await poll(asked)).json().access_token)
  const heard = connected[0] ? ada : eve
  t.equal(sub, heard.sub, 'the device has the account of who was heard')
  const consents = await server.ctx.db.sql.selectFrom('consents').select('user_id').execute()
  t.strictSame(consents, [{ user_id: heard.id }], 'and nobody else has allowed anything')
})

t.test('a client whose grant was taken away, and one that is gone, on the page', async t => {
  const { server, ask, enter } = await deviceWorld(t)
  const asked = await ask()
  const browser = openBrowser(server)
  const page = await enter(asked, browser)
  const update = async (columns: object) => {
    await server.ctx.db.sql.updateTable('clients').set(columns).execute()
    await raiseRevision(server.ctx.db.sql)
    await server.follow()
  }
  for (const columns of [{ grant_types: 'refresh_token' }, { disabled_at: 1 }]) {
    await update(columns)
    const typed = await browser.submit(await browser.open('/device'), { user_code: asked.user_code })
    t.ok(typed.text.includes(en.messages.client_unknown.heading))
    const answered = await browser.submit(page, { seen: '1' }, allow)
    t.ok(answered.text.includes(en.messages.client_unknown.heading))
    await update({ grant_types: deviceGrant })
  }
})

t.test('in German, and from the network of the device', async t => {
  const { server, ask, enter } = await deviceWorld(t)
  const browser = openBrowser(server, { language: 'de', address: '127.0.0.1' })
  t.ok((await browser.open('/device')).text.includes(de.device.warning))
  const page = await enter(await ask(), browser)
  for (const text of [de.device.confirmHeading, de.device.sentByOthers, de.device.sameNetwork])
    t.ok(page.text.includes(text), text)
  const done = await browser.submit(page, { seen: '1' }, allow)
  t.ok(done.text.includes(de.messages.device_connected.heading))
})
