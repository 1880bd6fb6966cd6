import t, { type Test } from 'tap'
import { verifiedMail } from '../helpers/account.ts'
import { openBrowser, type Page } from '../helpers/browser.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { withApp, withPasskey } from '../helpers/second-factors.ts'
import { startServer } from '../helpers/server.ts'

/** So long a password waits for a second factor. */
const halfSeconds = 600
const day = 86_400

/** Somebody with an authenticator app and a mail address, and what has come there. */
async function world(t: Test, env: EngineEnv = {}) {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, { ...env, ...mailbox.env })
  const web = await relyingParty(server, 'web', { first_party: 1 })
  const ada = await server.user()
  const app = await withApp(server, ada)
  await verifiedMail(server, ada)
  const half = (address: string, browser = openBrowser(server, { address })) =>
    logInWith(browser, web.begin(), ada)
  const read = async () => (await mailbox.read(server)).map(({ subject }) => subject)
  return { server, web, ada, app, half, read }
}

const told = ['Somebody knows your password']
const hasCode = ({ isElsewhere, url }: Page) => isElsewhere && url.searchParams.has('code')

await forEachEngine(
  t,
  'who shows a password and no second factor is told of, once a day, and the owner who shows one is not',
  async (t, env) => {
    const { server, app, half, read } = await world(t, env)
    await half('203.0.113.1')
    server.tick(halfSeconds - 1)
    t.strictSame(await read(), [], 'a second factor may follow yet')
    server.tick(1)
    t.strictSame(await read(), told)
    await half('203.0.113.1')
    server.tick(halfSeconds)
    t.strictSame(await read(), [], 'the same source on the same day')

    const browser = openBrowser(server, { address: '198.51.100.9' })
    const page = await half('', browser)
    const wrong = await browser.submit(page, { code: '000000' })
    t.ok(hasCode(await browser.submit(wrong, { code: app.code() })))
    server.tick(halfSeconds)
    t.strictSame(await read(), [], 'the owner at a new place')
    browser.cookies.delete('__Host-mintmark')
    await half('', browser)
    server.tick(day)
    t.strictSame(await read(), [], 'nor on a device on which the owner was before')

    for (let source = 2; source < 12; source++) await half(`203.0.113.${source}`)
    server.tick(halfSeconds)
    t.equal((await read()).length, 2, 'however many there are: three in a day and a half')
  },
)

t.test('five wrong codes on a device of the owner are told at once', async t => {
  const { server, app, half, read } = await world(t)
  const browser = openBrowser(server)
  await browser.submit(await half('', browser), { code: app.code() })
  browser.cookies.delete('__Host-mintmark')
  let page = await half('', browser)
  for (let guess = 0; guess < 5; guess++) page = await browser.submit(page, { code: '000000' })
  t.strictSame(await read(), [])
  for (let guess = 0; guess < 3; guess++) {
    page = await browser.submit(page, { code: '000000' })
    t.equal(page.response.statusCode, 429)
  }
  t.strictSame(await read(), told)
})

t.test('nobody is told of a password that is enough, or wrong, or of who has no address', async t => {
  const { server, web, ada, read } = await world(t)
  const eve = await server.user('eve')
  await verifiedMail(server, eve, 'eve@mail.example')
  await logInWith(openBrowser(server), web.begin(), eve)
  await logInWith(openBrowser(server), web.begin(), { ...ada, password: 'wrong' })
  const bob = await server.user('bob')
  await withPasskey(server, bob)
  await logInWith(openBrowser(server), web.begin(), bob)
  server.tick(halfSeconds)
  t.strictSame(await read(), [])
})

t.test('the same holds where an app asks its user by itself', async t => {
  const { server, web, ada, app, read } = await world(t)
  const ask = (form: Readonly<Record<string, string>>) =>
    server.post('/authorize-challenge', { ...web.client.form, ...form } as Record<string, string>)
  const first = { response_type: 'code', username: ada.username, password: ada.password }
  const begun = (await ask(first)).json()
  t.match(begun.missing, ['otp'])
  const { auth_session } = (await ask({ auth_session: begun.auth_session, otp: '000000' })).json()
  t.equal((await ask({ auth_session, otp: app.code() })).statusCode, 200)
  server.tick(halfSeconds)
  t.strictSame(await read(), [])

  server.tick(day)
  const passkey = await withPasskey(server, ada)
  await read()
  const half = (await ask(first)).json()
  const answer = passkey.use(half.passkey_options)
  t.equal((await ask({ auth_session: half.auth_session, passkey: answer })).statusCode, 200)
  server.tick(halfSeconds)
  t.strictSame(await read(), [], 'nor by a passkey')

  server.tick(day)
  await ask(first)
  server.tick(halfSeconds)
  t.strictSame(await read(), told)

  server.tick(day)
  const form = { grant_type: 'password', username: ada.username, password: ada.password }
  const legacy = await server.client('legacy')
  t.match((await server.post('/token', { ...form, ...legacy.form })).json(), { error: 'invalid_grant' })
  server.tick(halfSeconds)
  t.strictSame(await read(), told, 'and by the password grant, which takes no second factor')
})
