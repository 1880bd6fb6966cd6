import t, { type Test } from 'tap'
import { listPasskeys } from '../../db/factors/passkeys.ts'
import { challengeSeconds } from '../../src/factors/challenges.ts'
import { en } from '../../src/pages/texts/en.ts'
import { openBrowser, type Page } from '../helpers/browser.ts'
import { commandLine } from '../helpers/cli.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { recoveryCodesOf, withApp, withPasskey } from '../helpers/second-factors.ts'
import { besideEnv, startServer } from '../helpers/server.ts'

/** What the script of the page reads. */
function askedOn(page: Page) {
  const [, data = ''] = / data-passkey="([^"]*)"/.exec(page.response.body) ?? []
  return JSON.parse(data.replaceAll('&quot;', '"'))
}

const problemOn = (page: Page) => / role="alert">([^<]*)/.exec(page.response.body)?.[1]

async function world(t: Test, env: Record<string, string> = {}) {
  const server = await startServer(t, env)
  const web = await relyingParty(server)
  const ada = await server.user()
  const passkey = await withPasskey(server, ada)
  const browser = openBrowser(server)
  /** Sends the answer of a passkey with the form of the page, as its script does. */
  const send = (page: Page, passkeyJson: string, more: Record<string, string> = {}, by = browser) =>
    by.post('/log-in', { ...Object.fromEntries(page.forms[0]?.fields ?? []), passkey: passkeyJson, ...more })
  return { server, web, ada, passkey, browser, send }
}

await forEachEngine(t, 'who shows a passkey at the log-in page is in, at the level phr', async (t, env) => {
  const { server, web, ada, passkey, browser, send } = await world(t, env)
  const begun = web.begin({ acr_values: 'pwd' })
  const page = await browser.open(begun.url)
  t.match(page.response.headers['content-security-policy'], / script-src 'sha256-[\w+/]{43}='; /)
  t.ok(page.response.body.length < 20_000, `${page.response.body.length} bytes`)
  t.notMatch(page.response.body, ada.sub, 'nobody is named on it')
  const back = await send(page, passkey.use(askedOn(page).get), { stay: '1' })
  t.equal(back.isElsewhere, true)
  const { id_token } = await web.redeem(begun, back)
  t.match(claimsOf(id_token), { sub: ada.sub, acr: 'phr', amr: ['hwk', 'user', 'mfa'] })
  t.ok(browser.cookies.get('__Host-mintmark')?.attributes.has('max-age'), 'and stays, as was ticked')
  const again = await browser.open(web.begin().url)
  t.equal(again.isElsewhere, true, 'the next client asks for nothing')
  t.equal((await listPasskeys(server.ctx.db, ada.id))[0]?.used_at, server.ctx.clock.now())
})

t.test('a log-in with a passkey costs no password hash', async t => {
  const { server, web, passkey, browser, send } = await world(t)
  const { passwords } = server.ctx.users
  const verify = passwords.verify
  let hashes = 0
  Object.assign(passwords, { verify: (...them: Parameters<typeof verify>) => (hashes++, verify(...them)) })
  const page = await browser.open(web.begin().url)
  t.equal((await send(page, passkey.use(askedOn(page).get))).isElsewhere, true)
  t.equal(hashes, 0)
})

t.test('what does not count is said in words, and the form is there to go on with', async t => {
  const { server, web, passkey, browser, send } = await world(t)
  const { problems } = en.logIn
  const tried = async (title: string, problem: string, make: (asked: any) => string) => {
    const page = await browser.open(web.begin().url)
    const shown = await send(page, make(askedOn(page).get), { username: 'ada', stay: '1' })
    t.equal(shown.isElsewhere, false, title)
    t.equal(problemOn(shown), problem, title)
    t.equal(shown.forms[0]?.fields.get('username'), 'ada', `${title}: what was typed is there still`)
    t.equal(shown.response.statusCode, 200)
    return shown
  }
  await tried('no user verification', problems.passkey_unverified, asked => passkey.use(asked, { flags: 1 }))
  await tried('another origin', problems.passkey_refused, asked =>
    passkey.use(asked, { clientData: { origin: 'https://evil.example' } }),
  )
  await tried('no passkey at all', problems.passkey_refused, () => 'x')
  const unknown = await tried('unknown', problems.passkey_unknown, asked =>
    passkey.use(asked, { id: 'AAEC' }),
  )
  t.equal(askedOn(unknown).unknown, 'AAEC', 'the browser is told of it')
  const refused = await tried('refused', problems.passkey_refused, asked =>
    passkey.use(asked, { tamper: true }),
  )
  t.equal(askedOn(refused).unknown, undefined, 'and of no other')
  await tried('late', problems.passkey_expired, asked => {
    server.tick(challengeSeconds)
    return passkey.use(asked)
  })
  const long = 'A'.repeat(1000)
  const cut = await tried('a long id', problems.passkey_unknown, asked => passkey.use(asked, { id: long }))
  t.equal(askedOn(cut).unknown, undefined, 'a URL has no room for it')
})

await forEachEngine(
  t,
  'invariant 16: an answer counts once, in its browser, at any instance',
  async (t, env) => {
    const { server, web, ada, passkey, browser, send } = await world(t, env)
    const [page, other] = [await browser.open(web.begin().url), openBrowser(server)]
    const stolen = passkey.use(askedOn(page).get)
    const elsewhere = await other.open(web.begin().url)
    t.equal(problemOn(await send(elsewhere, stolen, {}, other)), en.logIn.problems.passkey_expired)
    const beside = await startServer(t, besideEnv(server))
    await beside.follow()
    const cookies = [...browser.cookies.values()].map(({ name, value }) => `${name}=${value}`).join('; ')
    const answered = await beside.post(
      '/log-in',
      { request: page.forms[0]?.fields.get('request') ?? '', passkey: stolen },
      { cookie: cookies, 'sec-fetch-site': 'same-origin' },
    )
    t.match(answered.headers.location, /^https:\/\/web\.example\/callback\?/, 'another instance takes it')
    server.tick(30)
    const again = await send(page, stolen)
    t.equal(again.isElsewhere, false)
    t.equal(problemOn(again), en.logIn.problems.passkey_refused, 'and nobody does, later than a second click')
    await server.ctx.db.sql.updateTable('users').set({ disabled_at: 1 }).where('id', '=', ada.id).execute()
    const last = await browser.open(web.begin().url)
    const shown = await send(last, passkey.use(askedOn(last).get))
    t.equal(problemOn(shown), en.logIn.problems.passkey_refused, 'nobody is told that the user is disabled')
  },
)

await forEachEngine(
  t,
  'after the password a passkey is the second step, of its user alone',
  async (t, env) => {
    const { server, web, ada, passkey, browser, send } = await world(t, env)
    const bob = await withPasskey(server, await server.user('bob'))
    const begun = web.begin()
    const half = (by = browser) => logInWith(by, begun, ada)
    const page = await half()
    t.match(page.text, en.secondStep.title)
    const { get } = askedOn(page)
    t.match(get, {
      userVerification: 'required',
      allowCredentials: [{ id: passkey.credentialId.toString('base64url') }],
    })
    const tried = async (title: string, problem: string, answer: string) => {
      const shown = await send(page, answer)
      t.equal(problemOn(shown), problem, title)
      t.match(shown.text, en.secondStep.title, `${title}: the password is not asked for again`)
    }
    const { problems } = en.logIn
    await tried('the passkey of somebody else', problems.passkey_refused, bob.use(get))
    await tried('the answer to a question of before', problems.passkey_expired, passkey.use(await anybody()))
    await tried('no user verification', problems.passkey_unverified, passkey.use(get, { flags: 1 }))
    const stranger = openBrowser(server)
    const elsewhere = await half(stranger)
    t.equal(problemOn(await send(elsewhere, passkey.use(get), {}, stranger)), problems.passkey_expired)
    t.strictSame(
      await server.ctx.db.sql.selectFrom('sign_ins').selectAll().execute(),
      [],
      'nobody is logged in',
    )

    const back = await send(page, passkey.use(get))
    t.equal(back.isElsewhere, true)
    const { id_token } = await web.redeem(begun, back)
    t.match(claimsOf(id_token), { sub: ada.sub, acr: 'phr', amr: ['pwd', 'hwk', 'user', 'mfa'] })

    /** The options of the log-in page, which asks for any passkey. */
    async function anybody() {
      return askedOn(await openBrowser(server).open(web.begin().url)).get
    }
  },
)

t.test('where a passkey is demanded, the code of an app is not asked for and does not do', async t => {
  const { server, ada, passkey, browser, send } = await world(t)
  const app = await withApp(server, ada)
  await recoveryCodesOf(server, ada)
  const strict = await relyingParty(server, 'strict', { acr: 'phr' })
  const first = await logInWith(browser, strict.begin(), ada)
  // The password is one factor, and any second one does for the log-in itself.
  const page = await browser.submit(first, { code: app.code() })
  t.equal(page.isElsewhere, false)
  t.match(page.text, en.secondStep.title, 'then the passkey is asked for')
  t.notMatch(page.response.body, /name="(?:code|recovery_code)"/)
  server.tick(30)
  const request = page.forms[0]?.fields.get('request') ?? ''
  const again = await browser.post('/log-in', { request, code: app.code() })
  t.equal(again.isElsewhere, false, 'a code that is sent all the same')
  t.match(again.text, en.secondStep.title)
  t.equal((await send(again, passkey.use(askedOn(again).get))).isElsewhere, true)
})

t.test('a form of another site brings no passkey in', async t => {
  const { web, passkey, browser } = await world(t)
  const page = await browser.open(web.begin().url)
  const fields = {
    request: page.forms[0]?.fields.get('request') ?? '',
    passkey: passkey.use(askedOn(page).get),
  }
  const sent = await browser.post('/log-in', fields, { from: 'https://evil.example' })
  t.equal(sent.response.statusCode, 403)
})

t.test('at an address without a name there is nothing of passkeys', async t => {
  const server = await startServer(t, { MINTMARK_ISSUER: 'http://127.0.0.1:9000' })
  const web = await relyingParty(server)
  const page = await openBrowser(server).open(web.begin().url)
  t.notMatch(page.response.body, /<script|webauthn/)
  t.notMatch(page.response.headers['content-security-policy'], 'script-src')
})

t.test('doctor says what another host of the issuer would break, and what has broken', async t => {
  const { server } = await world(t)
  const { call } = commandLine(t)
  const doctor = async (env: Record<string, string> = {}) => {
    const issuer = { MINTMARK_ISSUER: 'https://as.example' }
    const { findings } = (
      await call('doctor --json', { env: { ...issuer, ...besideEnv(server), ...env } })
    ).json()
    return findings.filter(({ check }: { check: string }) => check === 'passkeys')
  }
  t.match(await doctor(), [
    { verdict: 'ok', text: /^1 user has passkeys for as\.example: at an issuer whose host is neither/ },
  ])
  await server.ctx.db.sql.updateTable('passkeys').set({ rp_id: 'old.example' }).execute()
  t.match(await doctor(), [
    {
      verdict: 'problem',
      text: '1 user has passkeys for old.example, none of which works: passkeys are for as.example now',
      advice: /MINTMARK_PASSKEY_RP_ID=old\.example/,
    },
  ])
  await server.ctx.db.sql.deleteFrom('passkeys').execute()
  t.strictSame(await doctor(), [])
})

await forEachEngine(
  t,
  'a passkey of another RP ID is asked for nowhere, and makes the password no more than one factor',
  async (t, env) => {
    const { server, web, ada, browser } = await world(t, env)
    const { ctx } = server
    const strict = await relyingParty(server, 'strict', { acr: 'phr' })
    const [code = ''] = await recoveryCodesOf(server, ada)
    await ctx.db.sql.updateTable('passkeys').set({ rp_id: 'old.example' }).execute()
    const half = await logInWith(browser, web.begin(), ada)
    t.equal(half.url.pathname, '/log-in', 'the password lets nobody in')
    t.notMatch(half.response.body, 'data-passkey')
    t.match(half.text, en.secondStep.recoveryCode)
    t.equal((await browser.submit(half, { recovery_code: code })).isElsewhere, true)

    const offered = await browser.open(strict.begin().url)
    t.equal(offered.url.pathname, '/account/second-factor', 'another one can be set up')
    t.strictSame(askedOn(offered).create.excludeCredentials, [])
    const listed = await browser.open('/account/passkeys')
    t.match(listed.text, 'It is for old.example and cannot be used here')
    t.match(listed.response.body, '&quot;allAcceptedCredentialIds&quot;:[]')

    await ctx.db.sql.deleteFrom('recovery_codes').execute()
    const stranded = await logInWith(openBrowser(server), web.begin(), ada)
    t.match(stranded.text, en.secondStep.none)
    t.notMatch(stranded.response.body, 'data-passkey')

    // A log-in of before that was by password alone sets up nothing without more.
    await ctx.db.sql.updateTable('sign_ins').set({ amr: 'pwd' }).execute()
    const refused = await browser.open(strict.begin().url)
    t.equal(refused.url.pathname, '/log-in')
    t.match(refused.text, en.secondStep.none)
  },
)
