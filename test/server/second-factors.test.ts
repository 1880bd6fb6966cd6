import t, { type Test } from 'tap'
import { spendStep } from '../../db/factors/totps.ts'
import { changePassword } from '../../db/users/users.ts'
import { findFactors } from '../../src/factors/factors.ts'
import { removeFactor } from '../../src/account/removal.ts'
import { renewRecoveryCodes } from '../../src/factors/recovery-codes.ts'
import { confirmTotp, prepareTotp } from '../../src/factors/totp.ts'
import { en } from '../../src/pages/texts/en.ts'
import { openBrowser, type Browser, type Page } from '../helpers/browser.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { logInWith, relyingParty, type Begun } from '../helpers/relying-party.ts'
import { appOf, ownerOf, recoveryCodesOf, withApp } from '../helpers/second-factors.ts'
import { besideEnv, startServer, type TestServer, type TestUser } from '../helpers/server.ts'

function asksForMore(t: Test, page: Page, title: string): void {
  t.equal(page.isElsewhere, false, `${title}: a page of ours`)
  t.ok(
    page.text.includes(en.secondStep.title),
    `${title}: asks for one more factor, not ${page.text.slice(0, 150)}`,
  )
  t.notOk(page.response.body.includes('name="password"'), `${title}: and for no password`)
}

const hasCode = ({ isElsewhere, url }: Page) => isElsewhere && url.searchParams.has('code')

/** As far as the page that asks for one more factor. */
async function half(browser: Browser, begun: Begun, user: TestUser): Promise<Page> {
  return logInWith(browser, begun, user)
}

async function signInsOf({ ctx }: TestServer) {
  return ctx.db.sql.selectFrom('sign_ins').selectAll().execute()
}

await forEachEngine(
  t,
  'a right password of who has an authenticator app logs nobody in by itself',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await relyingParty(server)
    const ada = await server.user()
    const app = await withApp(server, ada)
    const browser = openBrowser(server)
    const begun = web.begin()
    const page = await half(browser, begun, ada)
    asksForMore(t, page, 'after the password')
    t.strictSame(await signInsOf(server), [], 'nothing is stored of it')
    t.notOk(browser.cookies.has('__Host-mintmark'), 'nor in the browser')
    t.notOk(browser.cookies.has('__Host-mintmark-device'), 'and the device is not known by it')
    t.match(page.response.body, /name="code"[^>]*autocomplete="one-time-code"/)
    asksForMore(t, await browser.open(page.url.href), 'loaded again')

    const wrong = await browser.submit(page, { code: '000000' })
    asksForMore(t, wrong, 'a wrong code')
    t.ok(wrong.text.includes(en.logIn.problems.wrong_code))
    const none = await browser.submit(wrong, { code: ' ' })
    t.ok(none.text.includes(en.logIn.problems.missing_code))
    const back = await browser.submit(none, { code: app.code() })
    t.ok(hasCode(back))
    const tokens = await web.redeem(begun, back)
    t.match(claimsOf(tokens.id_token), {
      acr: 'mfa',
      amr: ['pwd', 'otp', 'mfa'],
      auth_time: server.ctx.clock.now(),
    })
    const refreshed = await server.refresh(web.client, tokens.refresh_token)
    t.match(
      claimsOf(refreshed.access_token),
      { acr: 'mfa', amr: ['pwd', 'otp', 'mfa'], auth_time: server.ctx.clock.now() },
      'S-4 a refresh keeps the level',
    )
    const next = web.begin({ acr_values: 'mfa' })
    t.ok(hasCode(await browser.open(next.url)), 'the next client asks for nothing')
  },
)

await forEachEngine(
  t,
  'invariant 16: what was shown is good for ten minutes, its browser and its epoch',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await relyingParty(server)
    const ada = await server.user()
    const app = await withApp(server, ada)
    const browser = openBrowser(server)
    const late = await half(browser, web.begin(), ada)
    server.tick(600)
    const over = await browser.submit(late, { code: app.code() })
    t.ok(over.text.includes(en.logIn.problems.second_step_expired))
    t.ok(over.response.body.includes('name="password"'), 'it begins anew')

    const page = await half(browser, web.begin(), ada)
    const stranger = openBrowser(server)
    t.notOk((await stranger.open(page.url.href)).response.body.includes('name="code"'), 'another browser')

    await server.ctx.db.sql
      .updateTable('users')
      .set(({ eb }) => ({ epoch: eb('epoch', '+', 1) }))
      .execute()
    const changed = await browser.submit(page, { code: app.code() })
    t.ok(changed.text.includes(en.logIn.problems.second_step_expired), 'the password was changed meanwhile')
    t.strictSame(await signInsOf(server), [])
  },
)

await forEachEngine(t, 'TO-1 NP-9 the code of a step counts once, at whichever instance', async (t, env) => {
  const server = await startServer(t, env)
  const beside = await startServer(t, { ...env, ...besideEnv(server) })
  const web = await relyingParty(server)
  await beside.follow()
  const ada = await server.user()
  const app = await withApp(server, ada)
  const tabs = await Promise.all(
    [server, beside, server, beside].map(async at => {
      at.setClock(server.ctx.clock.now())
      const browser = openBrowser(at)
      return { browser, page: await half(browser, web.begin(), ada) }
    }),
  )
  const code = app.code()
  const answers = await Promise.all(tabs.map(({ browser, page }) => browser.submit(page, { code })))
  t.equal(answers.filter(hasCode).length, 1)

  const before = await half(openBrowser(server), web.begin(), ada)
  const browser = openBrowser(server)
  const page = await half(browser, web.begin(), ada)
  t.ok(before)
  t.notOk(hasCode(await browser.submit(page, { code: app.code(-1) })), 'nor one of before it')
  t.ok(hasCode(await browser.submit(page, { code: app.code(1) })), 'one of the next step does')
})

t.test('TO-2 NP-9 a code counts one step before its time and one after it, and no further', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const ada = await server.user()
  const app = await withApp(server, ada)
  server.tick(300)
  for (const [steps, counts] of [
    [-2, false],
    [2, false],
    [-1, true],
    [0, true],
    [1, true],
  ] as const) {
    const browser = openBrowser(server)
    const page = await half(browser, web.begin(), ada)
    t.equal(hasCode(await browser.submit(page, { code: app.code(steps) })), counts, `${steps} steps off`)
  }
})

await forEachEngine(
  t,
  'NP-8 a recovery code counts once, at whichever instance, and stands in for what is lost',
  async (t, env) => {
    const server = await startServer(t, env)
    const beside = await startServer(t, { ...env, ...besideEnv(server) })
    const web = await relyingParty(server)
    await beside.follow()
    const ada = await server.user()
    await withApp(server, ada)
    const codes = await recoveryCodesOf(server, ada)
    t.equal(new Set(codes).size, 10)
    const rows = await server.ctx.db.sql.selectFrom('recovery_codes').selectAll().execute()
    t.ok(rows.every(({ salt, hash }) => salt.length === 16 && hash.length === 32))
    for (const code of codes) t.match(code, /^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}$/)
    const [first = '', second = ''] = codes
    const tabs = await Promise.all(
      [server, beside].map(async at => {
        at.setClock(server.ctx.clock.now())
        const browser = openBrowser(at)
        return { browser, page: await half(browser, web.begin(), ada) }
      }),
    )
    const answers = await Promise.all(
      tabs.map(({ browser, page }) => browser.submit(page, { recovery_code: first })),
    )
    t.equal(answers.filter(hasCode).length, 1)
    t.equal((await findFactors(server.ctx, ada.id)).recoveryCodesLeft, 9)
    const used = await server.ctx.db.sql
      .selectFrom('audit')
      .selectAll()
      .where('event', '=', 'recovery_code_used')
      .execute()
    t.strictSame(
      used.map(({ detail }) => JSON.parse(detail ?? '')),
      [{ left: 9 }],
    )

    const browser = openBrowser(server)
    const page = await half(browser, web.begin(), ada)
    const wrong = await browser.submit(page, { recovery_code: first })
    t.ok(wrong.text.includes(en.logIn.problems.wrong_recovery_code))
    const typed = ` ${second.toLowerCase().replaceAll('-', ' ')} `
    t.ok(hasCode(await browser.submit(page, { recovery_code: typed })), 'as people type it')
  },
)

await forEachEngine(
  t,
  'TO-4 NP-8 NP-9 wrong codes have to wait, while a recovery code and a known device need not',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await relyingParty(server)
    const ada = await server.user()
    const app = await withApp(server, ada)
    const [recovery = ''] = await recoveryCodesOf(server, ada)
    const known = openBrowser(server)
    await known.submit(await half(known, web.begin(), ada), { code: app.code() })
    server.tick(60)
    const browser = openBrowser(server)
    const page = await half(browser, web.begin(), ada)
    for (let i = 0; i < 5; i++) await browser.submit(page, { code: '000000' })
    const refused = await browser.submit(page, { code: app.code() })
    t.equal(refused.response.statusCode, 429)
    asksForMore(t, refused, 'too many')
    const again = await half(known, web.begin({ prompt: 'login' }), ada)
    t.ok(hasCode(await known.submit(again, { code: app.code() })), 'a device of the owner')
    t.ok(hasCode(await browser.submit(refused, { recovery_code: recovery })), 'a recovery code')
  },
)

await forEachEngine(t, 'a factor that is removed while somebody steps up counts no more', async (t, env) => {
  const server = await startServer(t, env)
  const web = await relyingParty(server)
  const ada = await server.user()
  const app = await withApp(server, ada)
  await recoveryCodesOf(server, ada)
  const browser = openBrowser(server)
  const page = await half(browser, web.begin(), ada)
  t.equal(await removeFactor(server.ctx, await ownerOf(server, ada), 'totp'), 'removed')
  const factors = await findFactors(server.ctx, ada.id)
  t.match(factors, { totp: undefined, recoveryCodesLeft: 0 }, 'and its recovery codes are gone with it')
  const over = await browser.submit(page, { code: app.code() })
  t.ok(over.text.includes(en.logIn.problems.second_step_expired))
  t.ok(hasCode(await browser.submit(over, { username: ada.username, password: ada.password })))
})

await forEachEngine(t, 'S-3 who is logged in steps up in place, and gets another cookie', async (t, env) => {
  const server = await startServer(t, env)
  const web = await relyingParty(server)
  const strict = await relyingParty(server, 'strict', { acr: 'mfa' })
  const ada = await server.user()
  const browser = openBrowser(server)
  t.ok(hasCode(await logInWith(browser, web.begin(), ada)))
  const app = await withApp(server, ada)
  const before = browser.cookies.get('__Host-mintmark')?.value
  const silent = await browser.open(strict.begin({ prompt: 'none' }).url)
  t.equal(silent.url.searchParams.get('error'), 'login_required')
  const begun = strict.begin()
  const page = await browser.open(begun.url)
  asksForMore(t, page, 'a client with --acr mfa')
  const back = await browser.submit(page, { code: app.code() })
  t.ok(hasCode(back))
  t.match(claimsOf((await strict.redeem(begun, back)).id_token), {
    acr: 'mfa',
    auth_time: server.ctx.clock.now(),
  })
  t.not(browser.cookies.get('__Host-mintmark')?.value, before, 'invariant 14')
  t.equal((await signInsOf(server)).length, 1, 'the same sign-in')
})

t.test('S-3 who has stepped up for a request has logged in for it, and is asked for no account', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  // Another app could pass for this one.
  const redirect_uris = 'com.example.app:/callback'
  const isPublic = { isPublic: true, auth_method: 'none', acr: 'mfa', redirect_uris } as const
  const own = await relyingParty(server, 'own', isPublic)
  const ada = await server.user()
  const browser = openBrowser(server)
  t.ok(hasCode(await logInWith(browser, web.begin(), ada)))
  const app = await withApp(server, ada)
  const page = await browser.open(own.begin({ redirect_uri: redirect_uris, max_age: '600' }).url)
  asksForMore(t, page, 'an app with --acr mfa')
  t.ok(hasCode(await browser.submit(page, { code: app.code() })))
})

t.test('MINTMARK_REQUIRE_SECOND_FACTOR leads who has none to its set-up', async t => {
  const server = await startServer(t, { MINTMARK_REQUIRE_SECOND_FACTOR: 'admins' })
  const web = await relyingParty(server)
  const [ada, root] = [await server.user(), await server.user('root', 'mintmark:admin')]
  t.ok(hasCode(await logInWith(openBrowser(server), web.begin(), ada)), 'not who is no administrator')
  const browser = openBrowser(server)
  const form = await browser.open(web.begin().url)
  const led = await browser.submit(
    form,
    { username: root.username, password: root.password },
    { staysPut: true },
  )
  t.match(led.response.headers.location, /\/account\/second-factor\?request=mm_ar_/)
})

await forEachEngine(
  t,
  'an authenticator app is set up once, by its user and in its browser',
  async (t, env) => {
    const server = await startServer(t, env)
    const { ctx } = server
    const [ada, bob] = [await server.user(), await server.user('bob')]
    const [owner, other] = [await ownerOf(server, ada), await ownerOf(server, bob)]
    const { secret, sealed, uri } = prepareTotp(ctx, owner.user, 'browser')
    t.match(uri, new RegExp(`^otpauth://totp/.*secret=${secret}&algorithm=SHA1&digits=6&period=30$`))
    t.match(secret, /^[A-Z2-7]{32}$/, 'TO-3 160 bits')
    t.not(prepareTotp(ctx, owner.user, 'browser').secret, secret, 'TO-3 and others each time')
    const app = appOf(server, secret)
    const with_ = (code: string, browser = 'browser') => ({ sealed, code, browser })
    t.equal(await confirmTotp(ctx, owner, with_('000000')), 'wrong')
    t.equal(await confirmTotp(ctx, owner, with_(app.code(5))), 'clock_off', 'TO-5')
    t.equal(await confirmTotp(ctx, owner, with_(app.code(), 'another')), 'expired', 'another browser')
    t.equal(await confirmTotp(ctx, other, with_(app.code())), 'expired', 'another user')
    server.tick(600)
    t.equal(await confirmTotp(ctx, owner, with_(app.code())), 'expired', 'too late')
    const next = prepareTotp(ctx, owner.user, 'browser')
    const code = appOf(server, next.secret).code()
    const confirmed = await Promise.all(
      [1, 2].map(() => confirmTotp(ctx, owner, { sealed: next.sealed, code, browser: 'browser' })),
    )
    t.strictSame(confirmed.sort(), ['exists', 'set'])
    const rows = await ctx.db.sql.selectFrom('totps').selectAll().execute()
    t.notOk(rows[0]?.secret.toString('latin1').includes(next.secret), 'TO-3 it is sealed')
  },
)

t.test('the password grant lets nobody in who has, or needs, a second factor', async t => {
  const server = await startServer(t)
  const app = await server.client('app', { isPublic: true })
  const strict = await server.client('strict', { isPublic: true, acr: 'mfa' })
  const [ada, bob] = [await server.user(), await server.user('bob')]
  const form = ({ username, password }: TestUser) => ({ grant_type: 'password', username, password })
  t.equal((await server.post('/token', { ...form(ada), ...app.form })).statusCode, 200)
  await withApp(server, ada)
  for (const [client, user] of [
    [app, ada],
    [strict, bob],
  ] as const) {
    const refused = await server.post('/token', { ...form(user), ...client.form })
    t.match(refused.json(), { error: 'invalid_grant', error_description: /second factor/ })
  }
})

t.test(
  'the secret of an authenticator app is sealed anew under the root key of now, when it is used',
  async t => {
    const server = await startServer(t)
    const { rootKeys, db } = server.ctx
    const web = await relyingParty(server)
    const ada = await server.user()
    const app = await withApp(server, ada)
    const present = () =>
      db.sql.selectFrom('totps').select(['root_key_id', 'secret']).executeTakeFirstOrThrow()
    const before = await present()
    const user_id = ada.id
    const spent = { ...before, last_step: 2 ** 40, used_at: null }
    const other = { user_id, secret: Buffer.from('of an app that was there before') }
    t.equal(await spendStep(db, other, spent), false, 'only of the app that was seen')
    const later = rootKeys.draft()
    rootKeys.follow(later)
    for (const steps of [0, 1]) {
      const browser = openBrowser(server)
      const page = await half(browser, web.begin(), ada)
      t.ok(hasCode(await browser.submit(page, { code: app.code(steps) })), 'its codes are good on')
      const after = await present()
      t.equal(after.root_key_id, later)
      t.notSame(after.secret, before.secret)
    }
    await db.sql.updateTable('totps').set({ root_key_id: 'ffffffff' }).execute()
    const browser = openBrowser(server)
    const refused = await browser.submit(await half(browser, web.begin(), ada), { code: app.code(1) })
    t.equal(refused.response.statusCode, 503, 'without its root key nobody says that a code is wrong')
  },
)

await forEachEngine(
  t,
  'invariant 17: who was at a set-up when the password was reset sets nothing up',
  async (t, env) => {
    const server = await startServer(t, env)
    const { ctx } = server
    const ada = await server.user()
    const thief = await ownerOf(server, ada)
    const { secret, sealed } = prepareTotp(ctx, thief.user, 'browser')
    const shown = { sealed, code: appOf(server, secret).code(), browser: 'browser' }
    await changePassword(
      ctx.db,
      ada.id,
      await ctx.users.passwords.hash('a wholly other one'),
      ctx.clock.now(),
    )
    t.equal(await confirmTotp(ctx, thief, shown), 'expired')
    await t.rejects(renewRecoveryCodes(ctx, thief), { code: 'temporarily_unavailable' })
    t.match(await findFactors(ctx, ada.id), { totp: undefined, recoveryCodesLeft: 0 })
    const owner = await ownerOf(server, ada)
    t.equal(await confirmTotp(ctx, owner, shown), 'expired', 'nor by what was scanned before')
  },
)
