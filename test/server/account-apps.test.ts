import t from 'tap'
import { findSession } from '../../db/sessions/sessions.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { auditOf, mailsTo, openAccount, verifiedMail, withMail } from '../helpers/account.ts'
import { openBrowser } from '../helpers/browser.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { relyingParty } from '../helpers/relying-party.ts'
import { startServer } from '../helpers/server.ts'

const path = '/account/apps'

await forEachEngine(
  t,
  'what was allowed is shown in words, and taking it back ends that app',
  async (t, env) => {
    const server = await startServer(t, { ...env, ...withMail })
    const orders = 'https://orders.example'
    await server.resource(orders, { scope_words: '{"read":"Read <your> orders"}' })
    const shop = await relyingParty(server, 'shop', {
      consent: 'once',
      operator: 'Shop Ltd',
      resources: orders,
    })
    const own = await relyingParty(server, 'own')
    const ada = await server.user()
    await verifiedMail(server, ada)
    const browser = openBrowser(server)
    t.match((await openAccount(browser, ada, path)).text, 'You have not allowed any app')
    const tokensOf = async (party: typeof shop) => {
      const begun = party.begin({ scope: 'openid read' })
      const page = await browser.open(begun.url)
      const back = page.isElsewhere ? page : await browser.submit(page, {}, { button: 'decision=allow' })
      const tokens = await party.redeem(begun, back)
      return parseUuid(String(claimsOf(tokens.access_token)['sid'])) ?? Buffer.alloc(16)
    }
    const [ofShop, ofOwn] = [await tokensOf(shop), await tokensOf(own)]
    const page = await browser.open(path)
    for (const text of ['The shop app', 'Shop Ltd', 'Read <your> orders', 'Recognise you when you log in'])
      t.ok(page.text.includes(text), text)
    t.notMatch(page.text, 'The own app', 'an app that asks nobody was allowed nothing')

    const eve = openBrowser(server)
    await openAccount(eve, await server.user('eve'))
    t.match((await eve.post(path, { client_id: 'shop' })).text, 'That was gone already')
    const foreign = await browser.post(path, { client_id: 'shop' }, { from: 'https://evil.example' })
    t.equal(foreign.response.statusCode, 403)
    t.match((await browser.post(path, { other: 'x' })).text, 'That was gone already')
    t.equal((await findSession(server.ctx.db, ofShop))?.revoked_at, null)

    server.tick(901)
    const stale = await browser.submit(page)
    t.equal(stale.url.pathname, '/log-in')
    t.equal((await findSession(server.ctx.db, ofShop))?.revoked_at, null, 'not after an old log-in')
    const again = await browser.submit(stale, { password: ada.password })
    t.match((await browser.submit(again)).text, 'The app no longer has access.')
    t.match(await findSession(server.ctx.db, ofShop), { revoke_reason: 'consent withdrawn' })
    t.equal((await findSession(server.ctx.db, ofOwn))?.revoked_at, null)
    t.ok(
      (await auditOf(server, ada)).some(one => one.event === 'consent_withdrawn' && one.client_id === 'shop'),
    )
    t.strictSame(await mailsTo(server, ada), ['consent_withdrawn'])
    t.match((await browser.post(path, { client_id: 'shop' })).text, 'That was gone already')
  },
)
