import t, { type Test } from 'tap'
import { findConsent } from '../../db/users/consents.ts'
import { raiseRevision } from '../../db/installation/installation.ts'
import { raiseUserEpoch } from '../../db/users/users.ts'
import { withdrawConsent } from '../../src/endings/end-sign-ins.ts'
import { adminScopes } from '../../src/admin/administrators.ts'
import { de } from '../../src/pages/texts/de.ts'
import { en } from '../../src/pages/texts/en.ts'
import { byUser } from '../../src/record/record.ts'
import { openBrowser, type Page } from '../helpers/browser.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { startServer } from '../helpers/server.ts'

const allow = { button: 'decision=allow' }
const errorOf = ({ url }: Page) => url.searchParams.get('error')

function isConsentPage(t: Test, page: Page, title: string): void {
  t.equal(page.isElsewhere, false, `${title}: a page of ours`)
  t.equal(page.url.pathname, '/consent', `${title}: the one that asks`)
}

await forEachEngine(t, 'OA-7 a client that asks once asks for what is new alone', async (t, env) => {
  const server = await startServer(t, env)
  const shop = await relyingParty(server, 'shop', { consent: 'once', operator: 'Shop Ltd' })
  const ada = await server.user()
  const browser = openBrowser(server)
  const first = shop.begin({ scope: 'openid' })
  const asked = await logInWith(browser, first, ada)
  isConsentPage(t, asked, 'at first')
  for (const text of ['The shop app', 'Shop Ltd', ada.username]) t.ok(asked.text.includes(text), text)
  const back = await browser.submit(asked, {}, allow)
  t.equal(back.response.statusCode, 303)
  t.equal((await shop.redeem(first, back)).status, 200)

  t.equal((await browser.open(shop.begin({ scope: 'openid' }).url)).isElsewhere, true, 'the same again')
  const more = shop.begin({ scope: 'openid read' })
  isConsentPage(t, await browser.open(more.url), 'more')
  await browser.submit(await browser.open(more.url), {}, allow)
  t.equal((await browser.open(shop.begin({ scope: 'read' }).url)).isElsewhere, true, 'it adds up')
  isConsentPage(t, await browser.open(shop.begin({ prompt: 'consent' }).url), 'prompt=consent')
  const consent = await findConsent(server.ctx.db, { userId: ada.id, clientId: 'shop', resource: null })
  t.equal(consent?.scope, 'openid read')
})

t.test('the page says what scopes mean in the words of their resources, which are no markup', async t => {
  const server = await startServer(t)
  const [orders, health] = ['https://orders.example', 'https://health.example']
  const words = (read: string) => JSON.stringify({ read, openid: 'Not these', gone: 'Nor these' })
  await server.resource(orders, { scope: 'read write', scope_words: words('See <b>your</b> orders') })
  await server.resource(health, { scope: 'read', scope_words: words('See how you are') })
  await server.resource('https://other.example', { scope: 'read', scope_words: words('Of no concern') })
  const shop = await relyingParty(server, 'shop', { consent: 'always', resources: `${orders} ${health}` })
  const ada = await server.user()
  const browser = openBrowser(server)
  const linesOf = ({ response }: Page) =>
    [...response.body.matchAll(/<li>(.*?)<\/li>/g)].map(([, line]) => line)
  const seen = '&lt;b&gt;your&lt;/b&gt;'
  const scope = 'openid read write'
  await logInWith(browser, shop.begin({ scope }), ada)
  const both = [en.consent.scopes.openid, `See ${seen} orders`, 'See how you are', '<code>write</code>']
  t.strictSame(linesOf(await browser.open(shop.begin({ scope }).url)), both, 'for both of its resources')
  const one = await browser.open(shop.begin({ scope, resource: orders }).url)
  t.strictSame(linesOf(one), both.toSpliced(2, 1), 'for the one that is meant')
  await server.ctx.db.sql.updateTable('resources').set({ scope_words: '{"read":' }).execute()
  await raiseRevision(server.ctx.db.sql)
  await server.follow()
  const plain = linesOf(await browser.open(shop.begin({ scope: 'read' }).url))
  t.strictSame(plain, ['<code>read</code>'], 'without them it has its name')
})

t.test('one that always asks does, and one that never asks does not, even with prompt=consent', async t => {
  const server = await startServer(t)
  const strict = await relyingParty(server, 'strict', { consent: 'always' })
  const own = await relyingParty(server, 'own')
  const ada = await server.user()
  const browser = openBrowser(server)
  for (let i = 0; i < 2; i++) {
    const begun = strict.begin()
    const asked = i === 0 ? await logInWith(browser, begun, ada) : await browser.open(begun.url)
    isConsentPage(t, asked, `time ${i}`)
    t.equal((await strict.redeem(begun, await browser.submit(asked, {}, allow))).status, 200)
  }
  t.equal((await browser.open(own.begin({ prompt: 'consent' }).url)).isElsewhere, true)
})

await forEachEngine(
  t,
  'OU-8 who is asked is told of claims that the request names, and then they are given (OpenID Core §5.5)',
  async (t, env) => {
    const server = await startServer(t, env)
    const shop = await relyingParty(server, 'shop', { consent: 'once' })
    const ada = await server.user()
    await server.ctx.db.sql
      .updateTable('users')
      .set({ claims: '{"name":"Ada Lovelace","nickname":"Ada","email":"ada@example.com"}' })
      .execute()
    const naming = (claims: object, more = {}) =>
      shop.begin({ scope: 'openid', claims: JSON.stringify(claims), ...more })
    const essential = { userinfo: { name: { essential: true } } }
    const browser = openBrowser(server)

    const plain = await logInWith(browser, shop.begin({ scope: 'openid' }), ada)
    t.notOk(plain.text.includes(en.consent.scopes.profile), 'nothing is told that is not asked for')
    await browser.submit(plain, {}, allow)
    const silent = await browser.open(naming(essential, { prompt: 'none' }).url)
    t.equal(errorOf(silent), 'consent_required', 'openid alone does not allow it')
    const begun = naming(essential)
    const asked = await browser.open(begun.url)
    isConsentPage(t, asked, 'a claim')
    t.ok(asked.text.includes(en.consent.scopes.profile), 'in the words of the scope that would give it')
    t.notOk(asked.text.includes(en.consent.scopes.email), 'and no other')
    const tokens = await shop.redeem(begun, await browser.submit(asked, {}, allow))
    const claims = await server.request({
      url: '/userinfo',
      headers: { authorization: `Bearer ${tokens.access_token}` },
    })
    t.strictSame(claims.json(), { name: 'Ada Lovelace', sub: ada.sub }, 'what was named, and no more')
    t.equal(claimsOf(tokens.access_token)['scope'], 'openid', 'the scope is what was asked for')

    const again = naming({ id_token: { nickname: null } }, { prompt: 'none' })
    const told = await shop.redeem(again, await browser.open(again.url))
    t.equal(claimsOf(told.id_token)['nickname'], 'Ada', 'what those words have told of is allowed')
    const more = await browser.open(naming({ id_token: { email: null } }, { prompt: 'none' }).url)
    t.equal(errorOf(more), 'consent_required', 'and nothing else')
    const consent = await findConsent(server.ctx.db, { userId: ada.id, clientId: 'shop', resource: null })
    t.equal(consent?.scope, 'openid profile')
  },
)

await forEachEngine(
  t,
  'a code of before a consent was withdrawn is worth nothing, whatever is allowed later',
  async (t, env) => {
    const server = await startServer(t, env)
    const { ctx } = server
    const ada = await server.user()
    for (const consent of ['once', 'always'] as const) {
      const shop = await relyingParty(server, consent, { consent })
      const browser = openBrowser(server)
      const key = { userId: ada.id, clientId: shop.client.id }
      const by = byUser(ctx, ada.id, { address: '192.0.2.1', requestId: 'r1' })
      const before = shop.begin()
      const asked = await logInWith(browser, before, ada)
      isConsentPage(t, asked, consent)
      const code = await browser.submit(asked, {}, allow)
      t.equal(await withdrawConsent(by, key), true)
      t.match(await shop.redeem(before, code), { status: 400, error: 'invalid_grant' }, consent)

      const again = shop.begin()
      const allowed = await browser.submit(await browser.open(again.url), {}, allow)
      t.match(await shop.redeem(before, code), { status: 400 }, 'nor when it is allowed again')
      t.match(await shop.redeem(again, allowed), { status: 200 })
      if (consent === 'always') continue
      const silent = shop.begin()
      const remembered = await browser.open(silent.url)
      t.equal(await withdrawConsent(by, key), true)
      t.match(await shop.redeem(silent, remembered), { status: 400 }, 'one that nobody was asked for')
    }
    const sessions = await ctx.db.sql.selectFrom('sessions').select('revoke_reason').execute()
    t.strictSame(sessions.map(one => one.revoke_reason).sort(), ['consent withdrawn', null])
  },
)

t.test('OA-7 who denies it is led back with access_denied (RFC 6749 §4.1.2.1)', async t => {
  const server = await startServer(t)
  const shop = await relyingParty(server, 'shop', { consent: 'once' })
  const ada = await server.user()
  const browser = openBrowser(server)
  const begun = shop.begin()
  const page = await browser.submit(await logInWith(browser, begun, ada), {}, { button: 'decision=deny' })
  t.equal(errorOf(page), 'access_denied')
  t.equal(page.url.searchParams.get('state'), begun.state)
  t.equal(page.url.searchParams.get('iss'), 'https://as.example', 'A-9')
  isConsentPage(t, await browser.open(shop.begin().url), 'nothing is remembered')
})

await forEachEngine(
  t,
  'invariant 16: consent counts for whom it was asked of, in that browser, for that request',
  async (t, env) => {
    const server = await startServer(t, env)
    const shop = await relyingParty(server, 'shop', { consent: 'once' })
    const [ada, bob] = [await server.user(), await server.user('bob')]
    const browser = openBrowser(server)
    const begun = shop.begin()
    const asksAda = await logInWith(browser, begun, ada)
    await logInWith(browser, shop.begin({ prompt: 'login' }), bob)

    const asksBob = await browser.submit(asksAda, {}, allow)
    isConsentPage(t, asksBob, 'Bob has logged in meanwhile')
    t.ok(asksBob.text.includes(bob.username), 'and is asked himself')
    for (const { id } of [ada, bob]) {
      const consent = await findConsent(server.ctx.db, { userId: id, clientId: 'shop', resource: null })
      t.equal(consent, undefined, 'nobody has allowed anything')
    }
    // The address of the page is not its form: no user was asked by it.
    const { searchParams } = asksBob.url
    const request = searchParams.get('request') ?? ''
    isConsentPage(t, await browser.post('/consent', { request, decision: 'allow' }), 'not the form')

    const other = openBrowser(server)
    await logInWith(other, shop.begin(), bob)
    const elsewhere = await other.submit(asksBob, {}, allow)
    t.ok(elsewhere.text.includes(en.messages.other_browser.heading), 'in another browser')
    const done = await browser.submit(asksBob, {}, allow)
    t.equal(claimsOf((await shop.redeem(begun, done)).id_token)['sub'], bob.sub, 'Bob has')
    const again = await browser.submit(asksBob, {}, allow)
    t.ok(again.text.includes(en.messages.request_used.heading), 'once')
  },
)

t.test('sent twice at once it is one session; the page of somebody else leads to the log-in', async t => {
  const server = await startServer(t)
  const shop = await relyingParty(server, 'shop', { consent: 'once' })
  const ada = await server.user()
  const browser = openBrowser(server)
  const begun = shop.begin()
  const asked = await logInWith(browser, begun, ada)
  const another = await browser.follow(asked, en.useAnother)
  t.ok(another.response.body.includes('name="password"'), 'somebody else')
  const pages = await Promise.all([1, 2].map(() => browser.submit(asked, {}, allow)))
  const redeemed = await Promise.all(pages.map(page => shop.redeem(begun, page)))
  t.strictSame(redeemed.map(({ status }) => status).sort(), [200, 400])
  const sessions = await server.ctx.db.sql.selectFrom('sessions').select('id').execute()
  t.equal(sessions.length, 1)
})

t.test('invariant 17: who is logged out everywhere while being asked has allowed nothing', async t => {
  const server = await startServer(t)
  const shop = await relyingParty(server, 'shop', { consent: 'once' })
  const ada = await server.user()
  const browser = openBrowser(server)
  const asked = await logInWith(browser, shop.begin(), ada)
  await raiseUserEpoch(server.ctx.db, ada.id, { reason: 'command', now: server.ctx.clock.now() })
  const page = await browser.submit(asked, {}, allow)
  t.ok(page.response.body.includes('name="password"'))
  const key = { userId: ada.id, clientId: 'shop', resource: null }
  t.equal(await findConsent(server.ctx.db, key), undefined)
})

t.test('a form of another site allows nothing', async t => {
  const server = await startServer(t)
  const shop = await relyingParty(server, 'shop', { consent: 'once' })
  const ada = await server.user()
  for (const hasFetchMetadata of [true, false]) {
    const browser = openBrowser(server, { hasFetchMetadata })
    const asked = await logInWith(browser, shop.begin(), ada)
    const page = await browser.submit(asked, {}, { ...allow, from: 'https://evil.example' })
    t.equal(page.response.statusCode, 403)
    t.ok(page.text.includes(en.messages.cross_site.heading))
  }
})

t.test(
  'scopes of the admin API have words where they are for this server, and give who has no role none',
  async t => {
    t.strictSame(Object.keys(en.consent.adminScopes).toSorted(), adminScopes.toSorted())
    t.strictSame(Object.keys(de.consent.adminScopes).toSorted(), adminScopes.toSorted())
    const server = await startServer(t)
    const scope = 'admin:users:read'
    const tool = await relyingParty(server, 'tool', { consent: 'always', scope })
    const ada = await server.user()
    const browser = openBrowser(server)
    const begun = tool.begin({ scope })
    const asked = await logInWith(browser, begun, ada)
    t.ok(asked.text.includes(en.consent.adminScopes[scope] ?? ''), 'in words')
    const { access_token } = await tool.redeem(begun, await browser.submit(asked, {}, allow))
    const claims = claimsOf(access_token)
    t.match(claims, { aud: 'https://as.example', scope }, 'the token is for the server itself')
    const answer = await server.request({
      url: '/admin/v1/users',
      headers: { authorization: `Bearer ${access_token}` },
    })
    t.match(answer.json(), { status: 403, code: 'insufficient_scope' }, 'and lets nobody in without a role')

    await server.resource('https://api.example', { scope })
    const other = await relyingParty(server, 'other', {
      consent: 'always',
      scope,
      resources: 'https://api.example',
    })
    const page = await browser.open(other.begin({ scope }).url)
    t.match(page.response.body, `<code>${scope}</code>`, 'a resource may have a scope of the same name')
  },
)
