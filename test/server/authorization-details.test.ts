import fc from 'fast-check'
import t from 'tap'
import { raiseRevision } from '../../db/installation/installation.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { findConsent } from '../../db/users/consents.ts'
import { loadConfig } from '../../src/config/load.ts'
import { languageOf } from '../../src/pages/language.ts'
import { openLook } from '../../src/pages/look.ts'
import { detailList } from '../../src/pages/views/details.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { anyCharacter } from '../helpers/any-character.ts'
import { account, bank, bankTypes, bankWorld, pay } from '../helpers/authorization-details.ts'
import { openBrowser, type Page } from '../helpers/browser.ts'
import { claimsOf } from '../helpers/codes.ts'
import { devicesOf } from '../helpers/devices.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { runsOf } from '../helpers/runs.ts'
import { exchangeForm } from '../helpers/exchange.ts'
import { besideEnv, isOAuthError, startServer, type TestServer } from '../helpers/server.ts'

const errorOf = ({ url }: Page) => url.searchParams.get('error')
const allow = { button: 'decision=allow' }
const asked = (...details: readonly object[]) => ({ authorization_details: JSON.stringify(details) })
const code = 'invalid_authorization_details'

/** Changes rows of clients and resources, as an administrator would. */
async function change(
  { ctx: { db }, follow }: TestServer,
  table: 'clients' | 'resources',
  types: string,
): Promise<void> {
  await db.sql.updateTable(table).set({ authorization_details_types: types }).execute()
  await raiseRevision(db.sql)
  await follow()
}

await forEachEngine(
  t,
  'RA-1 RA-6 RA-7 RA-8 RA-9 what a person has allowed is in each token',
  async (t, env) => {
    const { server, shop, ada, ask, begin, browser } = await bankWorld(t, env)
    const details = [pay('Grocer & sons \u{1f34e}'), account()]
    const begun = begin(details, { scope: 'openid read' })
    const page = await ask(begun)
    t.equal(page.url.pathname, '/consent', 'a client that never asks does for them')
    const seen = [
      'Pay once from your account',
      'Amount',
      '10.00',
      'EUR',
      'Grocer & sons',
      'See your accounts',
    ]
    for (const text of seen) t.ok(page.text.includes(text), text)
    const tokens: any = await shop.redeem(begun, await browser.submit(page, {}, allow))
    t.strictSame(tokens.authorization_details, details, 'the response')
    t.match(claimsOf(tokens.access_token), { aud: bank, scope: 'openid read' })
    t.strictSame(claimsOf(tokens.access_token)['authorization_details'], details, 'the token')
    t.notOk('authorization_details' in claimsOf(tokens.id_token), 'and no ID token')
    for (const token of [tokens.access_token, tokens.refresh_token])
      t.strictSame((await server.introspect(shop.client, token))['authorization_details'], details)

    const refreshed: any = await server.refresh(shop.client, tokens.refresh_token)
    t.strictSame(refreshed.authorization_details, details)
    t.strictSame(claimsOf(refreshed.access_token)['authorization_details'], details)
    const sid = parseUuid(String(claimsOf(tokens.access_token)['sid'])) ?? Buffer.alloc(0)
    const generation = async () => (await findSession(server.ctx.db, sid))?.generation
    for (const [title, more] of [
      ['another payee', [pay('Thief')]],
      ['one member more', [account({ all: true })]],
      ['beside what was granted', [...details, pay('Thief')]],
      ['the same twice', [account(), account()]],
      ['another type', [{ type: 'other' }]],
    ] as const) {
      const form = {
        grant_type: 'refresh_token',
        refresh_token: refreshed.refresh_token,
        ...shop.client.form,
      }
      isOAuthError(t, await server.post('/token', { ...form, ...asked(...more) }), 400, code, title)
    }
    t.equal(await generation(), 1, 'which costs the client nothing: its session has not moved')
    const reordered = {
      to: 'Grocer & sons \u{1f34e}',
      amount: { currency: 'EUR', value: '10.00' },
      type: 'payment',
    }
    const narrowed: any = await server.refresh(shop.client, refreshed.refresh_token, asked(reordered))
    t.strictSame(narrowed.authorization_details, [reordered], 'less, whatever the order of members')
    const none: any = await server.refresh(shop.client, narrowed.refresh_token, asked())
    t.notOk('authorization_details' in none, 'or nothing')
    t.notOk('authorization_details' in claimsOf(none.access_token))
    const again: any = await server.refresh(shop.client, none.refresh_token)
    t.strictSame(again.authorization_details, details, 'and the session has kept all')

    const consent = await findConsent(server.ctx.db, { userId: ada.id, clientId: 'shop', resource: bank })
    t.strictSame(JSON.parse(consent?.authorization_details ?? ''), details)
    const audit = await server.ctx.db.sql.selectFrom('audit').select('detail').execute()
    const told = JSON.stringify([audit, server.log])
    t.notOk(
      told.includes('Grocer') || told.includes('10.00'),
      'no log and no audit entry has what is in them',
    )
    t.ok(told.includes('"authorization_details_types'), 'but their types')
  },
)

await forEachEngine(t, 'RA-6 a device is let in for what its user has seen', async (t, env) => {
  const { server, app, ada } = await bankWorld(t, env)
  const { client } = await app('tv')
  const { ask, enter, poll } = devicesOf(server, client, ada)
  const details = [pay('Cinema')]
  const device = await ask(asked(...details))
  const browser = openBrowser(server)
  const page = await enter(device, browser)
  for (const text of ['Pay once from your account', 'Cinema']) t.ok(page.text.includes(text), text)
  await browser.submit(page, { seen: '1' }, allow)
  const tokens = (await poll(device)).json()
  t.strictSame(tokens.authorization_details, details)
  t.notOk('scope' in tokens, 'and no scope that nobody has asked for')
  const refreshed: any = await server.refresh(client, tokens.refresh_token)
  t.strictSame(refreshed.authorization_details, details)
  const form = { ...client.form, ...asked({ type: 'other' }) }
  isOAuthError(t, await server.post('/device_authorization', form), 400, code, 'an unknown type')
  t.equal(server.ctx.counts.devices.asked, 1)
})

t.test('authorization details', async t => {
  const world = await bankWorld(t)
  const { server, app, shop, ada, browser, begin, ask, grant } = world
  const { client } = shop
  await ask(begin([account()]))

  await t.test('RA-10 the metadata say which types there are', async t => {
    const { authorization_details_types_supported: types } = (
      await server.request({ url: '/.well-known/oauth-authorization-server' })
    ).json()
    t.strictSame(types, ['account', 'payment'])
  })

  await t.test('RA-5 what cannot be had is told to the client', async t => {
    for (const [title, details] of [
      ['an unknown type', [{ type: 'other' }]],
      ['not as its schema says', [{ type: 'payment', to: 'Ada' }]],
      ['no list', {}],
      ['nothing', []],
      ['another resource', [account({ locations: ['https://other.example'] })]],
    ] as const) {
      const page = await browser.open(begin(details).url)
      t.equal(page.isElsewhere, true, title)
      t.equal(errorOf(page), code, title)
      const form = new URL(begin(details).url, 'https://as.example').searchParams
      const pushed = await server.post('/par', [...form, ['client_secret', client.secret ?? '']])
      isOAuthError(t, pushed, 400, code, `${title}, pushed`)
      const own = { grant_type: 'client_credentials', authorization_details: JSON.stringify(details) }
      isOAuthError(
        t,
        await server.post('/token', { ...own, ...client.form }),
        400,
        code,
        `${title}, at /token`,
      )
    }
    const twice = `${begin([account()]).url}&${new URLSearchParams(asked(account()))}`
    t.equal(errorOf(await browser.open(twice)), 'invalid_request', 'sent twice')
    const huge = { grant_type: 'client_credentials', ...asked(account({ a: 'x'.repeat(1_000_000) })) }
    t.equal((await server.post('/token', { ...huge, ...client.form })).statusCode, 413, 'a megabyte')
  })

  await t.test('RA-11 they are asked about each time, of every client, and never without a page', async t => {
    await grant([account()])
    t.equal(errorOf(await browser.open(begin([account()], { prompt: 'none' }).url)), 'consent_required')
    for (const policy of ['never', 'once', 'always'] as const) {
      const { begin: beginAt, redeem } = await app(`shop-${policy}`, { consent: policy })
      for (let i = 0; i < 2; i++) {
        const begun = beginAt(asked(account()))
        const page = await browser.open(begun.url)
        t.equal(page.url.pathname, '/consent', `${policy}, time ${i}`)
        t.equal((await redeem(begun, await browser.submit(page, {}, allow))).status, 200)
      }
      const denied = await browser.submit(
        await browser.open(beginAt(asked(account())).url),
        {},
        {
          button: 'decision=deny',
        },
      )
      t.equal(errorOf(denied), 'access_denied')
    }
  })

  await t.test('RA-6 only what is asked for: no scope comes with them by itself', async t => {
    const begun = shop.begin(asked(account()))
    const url = new URL(begun.url, 'https://as.example')
    url.searchParams.delete('scope')
    const page = await browser.open(url.pathname + url.search)
    t.notOk(page.text.includes('the app may'), 'the page names none')
    const tokens: any = await shop.redeem(begun, await browser.submit(page, {}, allow))
    t.notOk('scope' in tokens)
    t.equal(claimsOf(tokens.access_token)['aud'], bank)
    const own = { grant_type: 'client_credentials', ...client.form }
    const machine = (await server.post('/token', { ...own, ...asked(account()) })).json()
    t.strictSame(machine.authorization_details, [account()], 'a client asks for itself')
    t.match(claimsOf(machine.access_token), { sub: 'shop', aud: bank, authorization_details: [account()] })
    t.notOk('scope' in machine)
    t.equal(
      (await server.post('/token', { ...own, ...asked(account()), scope: 'read' })).json().scope,
      'read',
    )
    t.notOk('authorization_details' in (await server.post('/token', own)).json())
  })

  await t.test('RA-9 the first token may have less than what was granted, and no more', async t => {
    const begun = begin([account(), pay('Ada')])
    const back = await browser.submit(await ask(begun), {}, allow)
    const form = {
      grant_type: 'authorization_code',
      code: back.url.searchParams.get('code') ?? '',
      code_verifier: begun.verifier,
      redirect_uri: shop.redirectUri,
      ...client.form,
    }
    isOAuthError(
      t,
      await server.post('/token', { ...form, ...asked(pay('Eve')) }),
      400,
      code,
      'another payee',
    )
    const tokens = (await server.post('/token', { ...form, ...asked(account()) })).json()
    t.strictSame(tokens.authorization_details, [account()], 'which has not used the code up')
    const all: any = await server.refresh(client, tokens.refresh_token)
    t.strictSame(all.authorization_details, [account(), pay('Ada')])
  })

  await t.test('RA-11 nobody is asked in the password grant, so it has none', async t => {
    const old = await server.client('old', { resources: bank, authorization_details_types: 'account' })
    const { username, password } = ada
    const form = { grant_type: 'password', username, password, ...old.form }
    isOAuthError(t, await server.post('/token', { ...form, ...asked(account()) }), 400, code, 'password')
  })

  await t.test('RA-6 pushed requests, and the code of an app of one’s own', async t => {
    const begun = begin([pay('Ada')])
    const form = new URL(begun.url, 'https://as.example').searchParams
    const pushed = await server.post('/par', [...form, ['client_secret', client.secret ?? '']])
    const { request_uri } = pushed.json()
    const query = new URLSearchParams({ client_id: client.id, request_uri })
    // What a browser adds counts for nothing.
    const page = await browser.open(`/authorize?${query}&${new URLSearchParams(asked(pay('Eve')))}`)
    t.ok(page.text.includes('Ada') && !page.text.includes('Eve'))
    const tokens: any = await shop.redeem(begun, await browser.submit(page, {}, allow))
    t.strictSame(tokens.authorization_details, [pay('Ada')])
    const own = await app('own', { first_party: 1 })
    const direct = new URL(own.begin(asked(account())).url, 'https://as.example').searchParams
    const { username, password } = ada
    const answer = await server.post('/authorize-challenge', [
      ...direct,
      ['client_secret', own.client.secret ?? ''],
      ...Object.entries({ username, password }),
    ])
    t.equal(answer.json().error, 'redirect_to_web', 'only our own page asks for them')
  })

  await t.test('RA-8 an exchange carries them to no other API', async t => {
    const other = 'https://other.example'
    await server.resource(other, { scope: 'read', authorization_details_types: JSON.stringify(bankTypes) })
    const gateway = await server.client('gateway', {
      grant_types: 'urn:ietf:params:oauth:grant-type:token-exchange',
      introspects: bank,
      resources: `${bank} ${other}`,
      authorization_details_types: 'account',
    })
    const { access_token } = await grant([account(), pay('Ada')], { scope: 'read' })
    const exchange = async (more: Record<string, string>) =>
      server.post('/token', { ...exchangeForm(access_token), ...more, ...gateway.form })
    const same = (await exchange({ resource: bank })).json()
    t.strictSame(same.authorization_details, [account()], 'those that the client may have')
    t.strictSame(claimsOf(same.access_token)['authorization_details'], [account()])
    t.notOk('authorization_details' in (await exchange({ resource: other })).json(), 'another API')
    for (const more of [asked(account()), asked(account({ a: 1 }))])
      isOAuthError(t, await exchange({ resource: other, ...more }), 400, code, 'asked for there')
    isOAuthError(t, await exchange({ resource: bank, ...asked(pay('Ada')) }), 400, code, 'not of the client')
  })

  await t.test('RA-12 what client or API knows no more is left out of the next token', async t => {
    const tokens = await grant([account(), pay('Ada')], { scope: 'read' })
    let refresh_token = tokens.refresh_token
    const refresh = async () => {
      const refreshed: any = await server.refresh(client, refresh_token)
      refresh_token = refreshed.refresh_token
      return refreshed.authorization_details
    }
    const { account: accounts } = bankTypes
    await change(server, 'clients', 'payment')
    t.strictSame(await refresh(), [pay('Ada')], 'a type taken from the client')
    t.strictSame((await server.introspect(client, refresh_token))['authorization_details'], [pay('Ada')])
    await change(server, 'clients', 'payment account')
    await change(server, 'resources', JSON.stringify({ account: accounts }))
    t.strictSame(await refresh(), [account()], 'a type taken from the API')
    const strict = { ...accounts, schema: { type: 'object', additionalProperties: false } }
    await change(server, 'resources', JSON.stringify({ account: strict, payment: strict }))
    t.strictSame(await refresh(), [account()], 'a schema that it is not as')
    await change(server, 'resources', '{')
    t.equal(await refresh(), undefined, 'a damaged row')
    await change(server, 'resources', JSON.stringify(bankTypes))
    t.strictSame(await refresh(), [account(), pay('Ada')], 'and they come again')
  })

  await t.test('people see on the page of their apps what they have allowed, and take it back', async t => {
    const { refresh_token } = await grant([pay('The baker')])
    const page = await browser.open('/account/apps')
    t.ok(page.text.includes('The baker') && page.text.includes('Pay once'), 'in words')
    for (let i = 0; i < 25; i++) await grant([pay(`Payee ${i}`)])
    const { authorization_details: kept } = (await findConsent(server.ctx.db, {
      userId: ada.id,
      clientId: 'shop',
      resource: bank,
    })) ?? { authorization_details: null }
    const payees = JSON.parse(kept ?? '[]').map(({ to }: { to: string }) => to)
    t.equal(payees.length, 20, 'the latest are kept')
    t.equal(payees[0], 'Payee 24')
    const form = (await browser.open('/account/apps')).forms.find(
      ({ fields }) => fields.get('client_id') === 'shop',
    )
    await browser.post('/account/apps', Object.fromEntries(form?.fields ?? []))
    const response = await server.post('/token', {
      grant_type: 'refresh_token',
      refresh_token,
      ...client.form,
    })
    isOAuthError(t, response, 400, 'invalid_grant', 'then its sessions have ended')
  })

  await t.test('any instance goes on with what another has begun', async t => {
    const other = await startServer(t, besideEnv(server), server.ctx.clock.now())
    const begun = begin([pay('Ada')])
    const page = await ask(begun)
    const there = openBrowser(other)
    for (const [name, cookie] of browser.cookies) there.cookies.set(name, cookie)
    const back = await there.submit(page, {}, allow)
    const tokens: any = await shop.redeem(begun, back)
    t.strictSame(tokens.authorization_details, [pay('Ada')])
    const refreshed: any = await other.refresh(client, tokens.refresh_token)
    t.strictSame(refreshed.authorization_details, [pay('Ada')])
  })

  await t.test('RA-2 a token is for one API, which the details may name', async t => {
    await server.resource('https://twin.example', { authorization_details_types: JSON.stringify(bankTypes) })
    const both = await app('both', { resources: `${bank} https://twin.example` })
    const open = (details: unknown, more = {}) =>
      browser.open(both.begin({ authorization_details: JSON.stringify(details), ...more }).url)
    t.equal(errorOf(await open([account()])), code, 'either could be meant')
    t.equal((await open([account()], { resource: bank })).url.pathname, '/consent')
    t.equal((await open([account({ locations: ['https://twin.example'] })])).url.pathname, '/consent')
    const apart = [account({ locations: [bank] }), account({ locations: ['https://twin.example'] })]
    t.equal(errorOf(await open(apart)), code, 'two of them')
    const begun = both.begin({ ...asked(account({ locations: ['https://twin.example'] })), scope: 'read' })
    const tokens: any = await both.redeem(
      begun,
      await browser.submit(await browser.open(begun.url), {}, allow),
    )
    t.equal(claimsOf(tokens.access_token)['aud'], 'https://twin.example')
    const elsewhere = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token, resource: bank }
    isOAuthError(
      t,
      await server.post('/token', { ...elsewhere, ...both.client.form }),
      400,
      'invalid_target',
      'bank',
    )
  })
})

/** Texts that mean to be something else, or to turn others around. */
const anyText = fc.oneof(
  fc.string({ unit: anyCharacter, maxLength: 30 }),
  fc
    .array(
      fc.constantFrom(
        '<b>',
        '</dd>',
        '"',
        '&lt;',
        '\u202e',
        '\u2066',
        '\u200b',
        '\u3164',
        '\u00a0',
        '\n',
        '  ',
        'Amount',
        '</bdi>',
      ),
    )
    .map(parts => parts.join('')),
)

t.test('RA-11 all that is in a detail is on the page, as text, and apart from our words', async t => {
  const frame = {
    look: openLook(loadConfig({}, '/srv')),
    language: languageOf([], () => undefined),
    requestId: 'r-1',
  }
  const value: fc.Arbitrary<unknown> = fc.letrec(tie => ({
    any: fc.oneof(
      { depthSize: 'small' },
      anyText,
      fc.constantFrom<unknown>(1.5, true, false, null, [], {}),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(anyText, tie('any'), { maxKeys: 3 }),
    ),
  })).any
  fc.assert(
    fc.property(fc.dictionary(anyText, value, { minKeys: 1, maxKeys: 4 }), members => {
      const detail = { ...members, type: 'account' }
      const page = String(detailList(frame, [{ detail, type: bankTypes['account'] }], 'a'))
      const boxes = [...page.matchAll(/<bdi>(.*?)<\/bdi>/gs)].map(([, box = '']) => unescaped(box))
      for (const text of textsIn(members))
        if (!boxes.includes(text)) throw new Error(`${JSON.stringify(text)} is not in ${page}`)
      const rest = page.replace(/<bdi>.*?<\/bdi>/gs, '').replace(/<[^>]*>/g, ' ')
      if (!/^[\s\d,]*See your accounts(?:\s|\d|,|nothing|yes|no|At)*$/.test(rest)) throw new Error(rest)
      if (/[\u202e\u2066\u200b\u3164\u00a0\n\0]/.test(boxes.join('')))
        throw new Error('it turns others around')
    }),
    { numRuns: runsOf(200) },
  )
  const labelled = (members: object) =>
    String(detailList(frame, [{ detail: { type: 'payment', ...members }, type: bankTypes['payment'] }], 'a'))
  for (const odd of ['\u3164', '\u2800', '\u00a0', '\u2003', '\u034f', '\ufe0f', '\u{e0100}'])
    t.notSame(labelled({ to: `Ada${odd}` }), labelled({ to: 'Ada' }).replace('Ada', `Ada${odd}`), 'is seen')
  t.match(labelled({ to: 'Ada' }), '<dt>To </dt><dd><bdi>Ada</bdi></dd>')
  t.match(labelled({ amount: { value: '1' } }), '<dt>Amount </dt><dd><bdi>1</bdi></dd>')
  t.match(labelled({ 'amount.value': '1' }), '<dt><bdi>amount.value</bdi> </dt>', 'a name is no path')
  t.match(labelled({ to: ['Ada', 'Bob'] }), '<dd><bdi>Ada</bdi><bdi>Bob</bdi></dd>')
  t.match(
    labelled({ to: [{ a: 1 }, { a: 2 }] }),
    '<dt><bdi>to</bdi> 2 <bdi>a</bdi> </dt><dd><bdi>2</bdi></dd>',
  )
  const bare = String(detailList(frame, [{ detail: { type: '<i>' }, type: undefined }], 'a'))
  t.match(bare, '<strong><bdi>&lt;i&gt;</bdi></strong></li>', 'a type that is gone has its name')
})

/** A box as it is read: each character that cannot be seen by its name. */
function unescaped(box: string): string {
  return box
    .replace(/<\/?b>/g, '')
    .replace(
      /&(lt|gt|quot|#39|amp);/g,
      (_, name: string) => ({ lt: '<', gt: '>', quot: '"', '#39': "'" })[name] ?? '&',
    )
}

/** All names and texts of a detail, with such names. */
function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return value === '' ? [] : [named(value)]
  if (typeof value === 'number') return [String(value)]
  if (Array.isArray(value)) return value.flatMap(textsIn)
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, member]) => [named(name), ...textsIn(member)])
}

const named = (text: string) =>
  text.replace(
    /[\p{C}\p{Zl}\p{Zp}\p{DI}\u2800]|(?! )\p{Zs}/gu,
    one => `U+${(one.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`,
  )
