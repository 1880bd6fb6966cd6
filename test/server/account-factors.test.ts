import { randomBytes } from 'node:crypto'
import { TOTP } from 'otpauth'
import t from 'tap'
import { judgeRemoval, removeFactor, withoutPasskey, withoutTotp } from '../../src/account/removal.ts'
import { replaceRecoveryCodes } from '../../db/factors/recovery-codes.ts'
import type { PasskeyTable } from '../../db/schema.ts'
import { accountClient } from '../../src/clients/account-client.ts'
import { findFactors } from '../../src/factors/factors.ts'
import { firstRecoveryCodes, renewRecoveryCodes, useRecoveryCode } from '../../src/factors/recovery-codes.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { auditOf, mailsTo, openAccount, rowOf, verifiedMail, withMail } from '../helpers/account.ts'
import { softAuthenticator } from '../helpers/authenticator.ts'
import { openBrowser, type Browser, type Page } from '../helpers/browser.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { relyingParty, logInWith } from '../helpers/relying-party.ts'
import { ownerOf, withApp, withPasskey } from '../helpers/second-factors.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'

const app = '/account/authenticator'
const keys = '/account/passkeys'
const codesPath = '/account/recovery-codes'
const origin = 'https://as.example'

/** The code that an app shows which has learned the key of the page, some seconds from now. */
function codeOf({ ctx }: TestServer, page: Page, later = 0): string {
  const [, key = ''] = /<code class="key"[^>]*>([^<]*)</.exec(page.response.body) ?? []
  const totp = new TOTP({ secret: key.replaceAll(' ', ''), digits: 6, period: 30, algorithm: 'SHA1' })
  return totp.generate({ timestamp: (ctx.clock.now() + later) * 1000 })
}

const codesOn = ({ response }: Page) =>
  [...response.body.matchAll(/<li><code>([0-9A-Z-]+)<\/code>/g)].map(([, code = '']) => code)

await forEachEngine(
  t,
  'an authenticator app is set up, comes with recovery codes that are shown once, and is removed',
  async (t, env) => {
    const server = await startServer(t, { ...env, ...withMail })
    const { ctx } = server
    const ada = await server.user()
    await verifiedMail(server, ada)
    const browser = openBrowser(server)
    const page = await openAccount(browser, ada, app)
    t.match(page.response.body, /<svg class="qr" role="img" aria-label="[^"]+"/)
    t.match(page.response.body, /autocomplete="one-time-code"/)
    const cookie = browser.cookies.get('__Host-mintmark')?.value

    const wrong = await browser.submit(page, { code: '000000' })
    t.equal(wrong.response.statusCode, 400)
    t.match(wrong.text, 'This code is not right')
    t.equal(codeOf(server, wrong), codeOf(server, page), 'what was scanned is good for another try')
    t.match((await browser.submit(page, { code: codeOf(server, page, 150) })).text, 'the clock of your phone')
    t.match((await browser.submit(page)).text, 'Enter the six digits')
    t.match((await browser.submit(page, { totp: 'x', code: '123456' })).text, 'open for too long')
    t.equal((await findFactors(ctx, ada.id)).totp, undefined)

    const set = await browser.submit(page, { code: codeOf(server, page).replace(/^.../, '$& ') })
    t.equal(set.response.statusCode, 200)
    t.match(set.text, 'Your authenticator app was set up.')
    const codes = codesOn(set)
    t.equal(new Set(codes).size, 10)
    t.match(set.response.headers, { 'cache-control': 'no-store' })
    t.not(browser.cookies.get('__Host-mintmark')?.value, cookie, 'it steps up')
    t.match(await server.ctx.db.sql.selectFrom('sign_ins').select('amr').executeTakeFirst(), {
      amr: 'pwd otp mfa',
    })
    const first = await browser.follow(set, 'I have kept them')
    t.match(first.text, '10 left')
    t.notOk(codes.some(code => first.response.body.includes(code)))
    t.strictSame(await mailsTo(server, ada), ['recovery_codes_renewed', 'totp_added'])

    const renewed = await browser.submit(await browser.open(codesPath))
    t.equal(codesOn(renewed).length, 10)
    t.notOk(
      codesOn(renewed).some(code => codes.includes(code)),
      'others',
    )

    const on = await browser.open(app)
    t.match(on.text, 'It is set up.')
    t.match((await browser.submit(on)).text, 'was removed')
    t.match((await browser.submit(on)).text, 'That was gone already')
    t.match(await findFactors(ctx, ada.id), { totp: undefined, recoveryCodesLeft: 0 })
    const events = (await auditOf(server, ada)).map(({ event }) => event)
    for (const event of ['totp_added', 'recovery_codes_renewed', 'totp_removed']) t.ok(events.includes(event))
  },
)

t.test('who has no second factor gets no recovery codes', async t => {
  const server = await startServer(t)
  const ada = await server.user()
  const browser = openBrowser(server)
  t.equal((await openAccount(browser, ada, codesPath)).forms.length, 0)
  const asked = await browser.post(codesPath, { decision: 'make' })
  t.strictSame(codesOn(asked), [])
  t.equal((await findFactors(server.ctx, ada.id)).recoveryCodesLeft, 0)

  // As when the last factor was removed at the same moment.
  await renewRecoveryCodes(server.ctx, await ownerOf(server, ada))
  const page = await browser.open(app)
  t.equal(
    codesOn(await browser.submit(page, { code: codeOf(server, page) })).length,
    10,
    'the first one has new ones',
  )
})

/** Makes a passkey by the options of the page, and sends it as the script would. */
async function addPasskey(browser: Browser, page: Page, name: string): Promise<Page> {
  const [, json = ''] = /data-passkey="([^"]*)" hidden/.exec(page.response.body) ?? []
  const { create } = JSON.parse(
    json.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&'),
  )
  const { response } = softAuthenticator(origin).create(create)
  const form = page.forms.find(one => one.fields.has('name'))
  if (!form) throw new Error(page.text)
  return browser.post(form.action, { ...Object.fromEntries(form.fields), name, passkey: response })
}

t.test('who has no recovery code left gets some with the next factor', async t => {
  const server = await startServer(t)
  const ada = await server.user()
  const shown = await withApp(server, ada)
  await renewRecoveryCodes(server.ctx, await ownerOf(server, ada))
  await server.ctx.db.sql.updateTable('recovery_codes').set({ used_at: 1 }).execute()
  const browser = openBrowser(server)
  const half = await openAccount(browser, ada, keys)
  const page = await browser.submit(half, { code: shown.code() })
  t.equal(codesOn(await addPasskey(browser, page, 'Phone')).length, 10)
  t.strictSame(codesOn(await addPasskey(browser, await browser.open(keys), 'Laptop')), [])
})

await forEachEngine(t, 'passkeys are added, renamed and removed by their owner alone', async (t, env) => {
  const server = await startServer(t, { ...env, ...withMail })
  const { ctx } = server
  const ada = await server.user()
  await verifiedMail(server, ada)
  const browser = openBrowser(server)
  const page = await openAccount(browser, ada, keys)
  t.match(page.response.headers, { 'content-security-policy': /script-src 'sha256-/ })
  const added = await addPasskey(browser, page, 'Phone')
  t.match(added.text, 'Your passkey was added.')
  t.equal(codesOn(added).length, 10, 'the first second factor comes with recovery codes')
  const second = await addPasskey(browser, await browser.open(keys), 'Laptop')
  t.equal(second.url.pathname, keys)
  t.match(second.text, 'Your passkey was added.')
  for (const name of ['Phone', 'Laptop']) t.match(second.text, name)
  t.match((await browser.post(keys, { name: 'x', passkey: '{}' })).text, 'did not work')
  t.match((await browser.post(keys, { name: 'x' })).text, 'did not work')

  const one = await browser.follow(second, 'Phone')
  t.equal(one.url.pathname, `${keys}/change`)
  const id = one.url.searchParams.get('id') ?? ''
  t.match((await browser.post(`${keys}/change`, { id })).text, 'Enter a name')
  const renamed = await browser.post(`${keys}/change`, { id, name: 'Old phone' })
  t.match(renamed.text, 'was renamed')
  t.match(renamed.text, 'Old phone')

  const eve = openBrowser(server)
  await openAccount(eve, await server.user('eve'))
  for (const form of [
    { id, name: 'Mine' },
    { id, decision: 'remove' },
    { id: 'x', decision: 'remove' },
  ])
    t.match((await eve.post(`${keys}/change`, form)).text, 'That was gone already')
  t.match((await eve.open(`${keys}/change?id=${id}`)).text, 'That was gone already')
  const foreign = { from: 'https://evil.example' }
  const crossSite = await browser.post(`${keys}/change`, { id, decision: 'remove' }, foreign)
  t.equal(crossSite.response.statusCode, 403)
  t.strictSame((await findFactors(ctx, ada.id)).passkeys.map(({ name }) => name).toSorted(), [
    'Laptop',
    'Old phone',
  ])

  t.match((await browser.post(`${keys}/change`, { id, decision: 'remove' })).text, 'was removed')
  t.match((await browser.post(`${keys}/change`, { id, decision: 'remove' })).text, 'That was gone already')
  t.strictSame((await findFactors(ctx, ada.id)).passkeys.map(({ name }) => name).toSorted(), ['Laptop'])
  const events = (await auditOf(server, ada)).map(({ event }) => event)
  for (const event of ['passkey_added', 'passkey_renamed', 'passkey_removed'])
    t.ok(events.includes(event), event)
  const mails = ['passkey_added', 'passkey_added', 'passkey_removed', 'recovery_codes_renewed']
  t.strictSame(await mailsTo(server, ada), mails)
})

await forEachEngine(t, 'the last factor that lets its owner in stays', async (t, env) => {
  const server = await startServer(t, env)
  const { ctx } = server
  const ada = await server.user()
  const browser = openBrowser(server)
  await addPasskey(browser, await openAccount(browser, ada, keys), 'Phone')
  await ctx.db.sql.updateTable('users').set({ password_hash: '' }).where('id', '=', ada.id).execute()
  const page = await browser.follow(await browser.open(keys), 'Phone')
  const refused = await browser.submit(page, {}, { button: 'decision=remove' })
  t.equal(refused.response.statusCode, 400)
  t.match(refused.text, 'You could no longer log in without it')
  t.equal((await findFactors(ctx, ada.id)).passkeys.length, 1)
})

t.test('what is demanded decides which factors may go', async t => {
  const rpId = 'as.example'
  const passkey = (n: number) => ({ id: Buffer.alloc(16, n), rp_id: rpId }) as PasskeyTable
  const totp = { created_at: 1, used_at: null }
  const all = { hasPassword: true, passkeys: [passkey(1), passkey(2)], rpId, totp, recoveryCodesLeft: 3 }
  const one = { ...all, passkeys: [passkey(1)] }
  const none = { ...all, passkeys: [] }
  const id = Buffer.alloc(16, 1)
  t.equal(judgeRemoval(all, withoutPasskey(all, id), 'phr'), undefined, 'there is another')
  t.equal(judgeRemoval(one, withoutPasskey(one, id), 'phr'), 'factor_demanded')
  t.equal(judgeRemoval(one, withoutPasskey(one, id), 'mfa'), undefined, 'the app does as well')
  t.equal(judgeRemoval(none, withoutTotp(none), 'mfa'), 'factor_demanded')
  t.equal(judgeRemoval(none, withoutTotp(none), 'pwd'), undefined)
  t.equal(judgeRemoval(none, withoutTotp(none), 'phr'), undefined, 'it was not enough anyway')
  const bare = { ...one, hasPassword: false }
  t.equal(judgeRemoval(bare, withoutPasskey(bare, id), 'pwd'), 'last_way_in')
  t.equal(judgeRemoval(bare, withoutTotp(bare), 'pwd'), undefined)
  // One of another RP ID does not let its owner in.
  const elsewhere = { ...bare, passkeys: [passkey(1), { ...passkey(2), rp_id: 'old.example' }] }
  t.equal(judgeRemoval(elsewhere, withoutPasskey(elsewhere, id), 'pwd'), 'last_way_in')
  t.equal(judgeRemoval(elsewhere, withoutPasskey(elsewhere, Buffer.alloc(16, 2)), 'phr'), undefined)
})

t.test('factors are changed after a log-in of just now alone', async t => {
  const server = await startServer(t)
  const ada = await server.user()
  const browser = openBrowser(server)
  const page = await openAccount(browser, ada, app)
  server.tick(901)
  for (const path of [app, keys, `${keys}/change?id=x`])
    t.equal((await browser.open(path)).url.pathname, '/log-in', path)
  const code = codeOf(server, page)
  for (const [path, form] of [
    [app, { totp: page.forms[0]?.fields.get('totp') ?? '', code }],
    [keys, { name: 'x', passkey: '{}' }],
    [codesPath, { decision: 'make' }],
  ] as const)
    t.equal((await browser.post(path, form)).url.pathname, '/log-in', path)
  t.match(await findFactors(server.ctx, ada.id), { totp: undefined, passkeys: [] })
  t.equal((await rowOf(server, ada)).epoch, 0)
})

await forEachEngine(
  t,
  'another mail address is asked for, the present one is told, and counts until then',
  async (t, env) => {
    const server = await startServer(t, { ...env, ...withMail })
    const ada = await server.user()
    await verifiedMail(server, ada)
    const browser = openBrowser(server)
    const page = await openAccount(browser, ada, '/account/mail')
    t.match(page.text, 'ada@mail.example')
    const wrong = await browser.submit(page, { email: 'ada@\u{200b}' })
    t.equal(wrong.response.statusCode, 400)
    t.match(wrong.text, 'not an email address')
    t.match((await browser.submit(page, { email: 'ada@mail.example' })).text, 'your email address already')
    const asked = await browser.submit(page, { email: 'lovelace@mail.example' })
    t.match(asked.text, 'which counts as soon as you confirm it')
    t.match(
      (await browser.follow(asked, 'Enter another address')).text,
      'Your email address is ada@mail.example',
    )
    t.strictSame(await mailsTo(server, ada), ['mail_change_asked', 'verification'])
    t.match((await browser.submit(page, { email: 'lovelace@mail.example' })).text, 'Too many emails')

    server.tick(901)
    const stale = await browser.submit(page, { email: 'countess@mail.example' })
    t.equal(stale.url.pathname, '/log-in')
    const back = await browser.submit(stale, { password: ada.password })
    t.match(back.response.body, ' value="countess@mail.example"', 'nothing typed is lost')
    t.equal((await mailsTo(server, ada)).length, 2, 'and nothing was sent')
  },
)

t.test('without mail no address is asked for', async t => {
  const server = await startServer(t)
  const browser = openBrowser(server)
  const page = await openAccount(browser, await server.user(), '/account/mail')
  t.equal(page.forms.length, 0)
  t.match((await browser.post('/account/mail', { email: 'a@b.example' })).response.statusCode, 400)
})

const demanding: readonly (readonly [
  title: string,
  env: Record<string, string>,
  acr: 'pwd' | 'mfa' | 'phr',
])[] = [
  ['a client', {}, 'mfa'],
  ['the installation', { MINTMARK_REQUIRE_SECOND_FACTOR: 'all' }, 'pwd'],
]
for (const [title, more, acr] of demanding) {
  await forEachEngine(t, `who lacks a factor that ${title} demands sets it up on the way`, async (t, env) => {
    const server = await startServer(t, { ...env, ...more })
    const { ctx } = server
    const ada = await server.user()
    const web = await relyingParty(server, 'web', { acr })
    const browser = openBrowser(server)
    const begun = web.begin()
    const offered = await logInWith(browser, begun, ada)
    t.equal(offered.url.pathname, '/account/second-factor')
    t.match(offered.text, 'The web app asks for more than a password')
    const page = await browser.follow(offered, 'Set up an authenticator app')
    const wrong = await browser.submit(page, { code: '000000' })
    t.match(wrong.text, 'This code is not right')
    const set = await browser.submit(wrong, { code: codeOf(server, wrong) })
    t.equal(codesOn(set).length, 10)
    const back = await browser.follow(set, 'I have kept them')
    t.equal(back.isElsewhere, true, 'the log-in goes on by itself')
    const tokens = await web.redeem(begun, back)
    t.equal(tokens.status, 200)
    t.match(claimsOf(tokens.access_token), { acr: 'mfa' })
    t.match((await browser.open(page.url.href)).text, 'You have logged in with this page already')

    const stranger = openBrowser(server)
    const late = web.begin()
    t.equal((await stranger.open(late.url)).url.pathname, '/log-in')
    const second = (await stranger.open(late.url)).url.search
    t.equal((await stranger.open(`/account/second-factor${second}`)).url.pathname, '/log-in', 'who is nobody')
    t.equal((await findFactors(ctx, ada.id)).passkeys.length, 0)
  })
}

await forEachEngine(
  t,
  'where a passkey is demanded, one is set up on the way, and no app',
  async (t, env) => {
    const server = await startServer(t, env)
    const ada = await server.user()
    const web = await relyingParty(server, 'web', { acr: 'phr' })
    const browser = openBrowser(server)
    const begun = web.begin()
    const offered = await logInWith(browser, begun, ada)
    t.equal(offered.url.pathname, '/account/second-factor')
    t.notMatch(offered.text, 'authenticator app')
    const request = offered.forms[0]?.fields.get('request') ?? ''
    const refused = await browser.post('/account/second-factor', { request, totp: 'x', code: '123456' })
    t.equal(refused.response.statusCode, 400)
    const added = await addPasskey(browser, offered, 'Phone')
    t.equal(codesOn(added).length, 10)
    const tokens = await web.redeem(begun, await browser.follow(added, 'I have kept them'))
    t.match(claimsOf(tokens.access_token), { acr: 'phr' })
  },
)

t.test('who has set one up for a request has logged in for it, and is asked for no account', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  // Another app could pass for this one.
  const redirect_uris = 'com.example.app:/callback'
  const isPublic = { isPublic: true, auth_method: 'none', acr: 'mfa', redirect_uris } as const
  const own = await relyingParty(server, 'own', isPublic)
  const browser = openBrowser(server)
  await logInWith(browser, web.begin(), await server.user())
  const offered = await browser.open(own.begin({ redirect_uri: redirect_uris, max_age: '600' }).url)
  t.equal(offered.url.pathname, '/account/second-factor')
  const page = await browser.follow(offered, 'Set up an authenticator app')
  const set = await browser.submit(page, { code: codeOf(server, page) })
  t.ok((await browser.follow(set, 'I have kept them')).url.searchParams.has('code'))
})

t.test('what is demanded is not removed', async t => {
  const server = await startServer(t, { MINTMARK_REQUIRE_SECOND_FACTOR: 'all' })
  const ada = await server.user()
  const browser = openBrowser(server)
  const offered = await openAccount(browser, ada, app)
  t.equal(offered.url.pathname, '/account/second-factor', 'the account is no way around it')
  const page = await browser.follow(offered, 'Set up an authenticator app')
  const set = await browser.submit(page, { code: codeOf(server, page) })
  const on = await browser.follow(set, 'I have kept them')
  t.equal(on.url.pathname, app)
  const refused = await browser.submit(on, {}, { button: 'decision=remove' })
  t.equal(refused.response.statusCode, 400)
  t.match(refused.text, 'A second factor is required here')
  t.ok((await findFactors(server.ctx, ada.id)).totp)
})

await forEachEngine(
  t,
  'of two factors that are removed at once, the one that is demanded stays',
  async (t, env) => {
    const server = await startServer(t, { ...env, MINTMARK_REQUIRE_SECOND_FACTOR: 'all' })
    const { ctx } = server
    for (let round = 0; round < 10; round++) {
      const ada = await server.user(`ada ${round}`)
      const browser = openBrowser(server)
      const offered = await openAccount(browser, ada, keys)
      await addPasskey(browser, offered, 'Phone')
      await withApp(server, ada)
      const owner = await ownerOf(server, ada)
      const [passkey] = (await findFactors(ctx, ada.id)).passkeys
      if (!passkey) throw new Error('it was set up')
      const outcomes = await Promise.all([
        removeFactor(ctx, owner, 'totp'),
        removeFactor(ctx, owner, passkey.id),
      ])
      t.strictSame(outcomes.toSorted(), ['factor_demanded', 'removed'])
      const { totp, passkeys } = await findFactors(ctx, ada.id)
      t.equal((totp ? 1 : 0) + passkeys.length, 1)
    }
  },
)

t.test('who has set up a factor elsewhere in between shows that one first', async t => {
  const server = await startServer(t)
  const ada = await server.user()
  const [one, other] = [openBrowser(server), openBrowser(server)]
  const [byApp, byKey] = [await openAccount(one, ada, app), await openAccount(other, ada, keys)]
  t.equal(codesOn(await addPasskey(other, byKey, 'Phone')).length, 10)
  const asked = await one.submit(byApp, { code: codeOf(server, byApp) })
  t.equal(asked.url.pathname, '/log-in')
  t.match(asked.text, 'Confirm in a second way that it is you')
  t.equal((await findFactors(server.ctx, ada.id)).totp, undefined)
})

// Below the pages: the later one of two forms may find the factor of the other one, and asks for that.
await forEachEngine(
  t,
  'of two first factors that are set up at once, one comes with codes, and all of them are good',
  async (t, env) => {
    const server = await startServer(t, env)
    const beside = await startServer(t, { ...env, ...besideEnv(server) })
    const ada = await server.user()
    const owner = await ownerOf(server, ada)
    const shown = await Promise.all([
      withApp(server, ada).then(() => firstRecoveryCodes(server.ctx, owner)),
      withPasskey(beside, ada).then(() => firstRecoveryCodes(beside.ctx, owner)),
    ])
    const { totp, passkeys, recoveryCodesLeft } = await findFactors(server.ctx, ada.id)
    t.match({ totp, passkeys }, { totp: { used_at: Number }, passkeys: [{ name: 'Phone' }] })
    t.equal(recoveryCodesLeft, 10)
    const codes = shown.flatMap(codes => codes ?? [])
    t.equal(codes.length, 10)
    const { ctx } = server
    const step = {
      user: owner.user,
      place: 'page',
      client: accountClient(ctx.config),
      caller: { ...owner.caller, source: undefined },
      device: undefined,
    } as const
    for (const code of codes) await t.resolves(useRecoveryCode(ctx, step, code))
  },
)

await forEachEngine(t, 'of several who renew the codes at once, one has those that count', async (t, env) => {
  const { ctx, user: newUser } = await startServer(t, env)
  const { id: user_id } = await newUser()
  const codesOf = (salt: Buffer) =>
    Array.from({ length: 10 }, () => {
      const id = newUuid(ctx.clock.now())
      return { id, user_id, salt, hash: randomBytes(32), created_at: ctx.clock.now(), used_at: null }
    })
  for (let round = 0; round < 5; round++) {
    const sets = Array.from({ length: 5 }, () => codesOf(randomBytes(16)))
    const user = { id: user_id, epoch: 0 }
    const renewed = await Promise.all(sets.map(codes => replaceRecoveryCodes(ctx.db, codes, user)))
    t.strictSame(new Set(renewed), new Set(['replaced']))
    const left = await ctx.db.sql.selectFrom('recovery_codes').select('salt').execute()
    t.equal(left.length, 10)
    t.equal(new Set(left.map(({ salt }) => salt.toString('hex'))).size, 1)
  }
})
