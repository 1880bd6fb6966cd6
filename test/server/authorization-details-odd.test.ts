import t from 'tap'
import { findSession } from '../../db/sessions/sessions.ts'
import { createRegistrationToken } from '../../src/admin/registration-tokens.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { detailsBytesMax } from '../../src/protocol/authorization-details.ts'
import { tokenExchange } from '../../src/protocol/grant-types.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { sha256 } from '../../src/values/sha256.ts'
import { createVerifier } from '../../src/resource-server/verifier.ts'
import { account, bank, bankTypes, bankWorld, pay } from '../helpers/authorization-details.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { exchangeForm } from '../helpers/exchange.ts'
import { refusal } from '../helpers/refusal.ts'
import { isOAuthError } from '../helpers/server.ts'

const asked = (...details: readonly object[]) => ({ authorization_details: JSON.stringify(details) })
const code = 'invalid_authorization_details'
const allow = { button: 'decision=allow' }

await forEachEngine(t, 'RA-9 a damaged row gives nothing, and tells nobody what is in it', async (t, env) => {
  const { server, shop, browser, grant } = await bankWorld(t, env)
  const { access_token, refresh_token } = await grant([pay('Grocer')])
  const id = parseUuid(String(claimsOf(access_token)['sid'])) ?? Buffer.alloc(0)
  const { sql } = server.ctx.db
  const whole = (await findSession(server.ctx.db, id))?.authorization_details ?? ''
  const refresh = async () =>
    server.post('/token', { grant_type: 'refresh_token', refresh_token, ...shop.client.form })
  const damage = (text: string) =>
    sql.updateTable('sessions').set({ authorization_details: text }).where('id', '=', id).execute()
  for (const text of [whole.slice(0, -2), '{}', 'null', '5', '[{"to":"Grocer"}]', '']) {
    await damage(text)
    t.equal((await refresh()).statusCode, 503, JSON.stringify(text))
  }
  t.notOk(JSON.stringify(server.log).includes('Grocer'))
  await damage(whole)
  t.strictSame(
    (await refresh()).json().authorization_details,
    [pay('Grocer')],
    'the same token is good still',
  )

  await sql.updateTable('consents').set({ authorization_details: '[{' }).execute()
  const page = await browser.open('/account/apps')
  const form = page.forms.find(({ fields }) => fields.get('client_id') === 'shop')
  t.ok(form, 'who has a damaged row sees the app')
  await browser.post('/account/apps', Object.fromEntries(form?.fields ?? []))
  t.strictSame(await sql.selectFrom('consents').selectAll().execute(), [], 'and takes it back')
})

t.test('authorization details, meant badly', async t => {
  const { server, shop, browser, begin, ask, grant } = await bankWorld(t, {
    MINTMARK_CLIENT_REGISTRATION: 'token',
  })
  const { client } = shop
  await ask(begin([account()]))

  await t.test('RA-1 the longest are carried through, in URLs that proxies take', async t => {
    const rest = Buffer.byteLength(JSON.stringify([account({ text: '' })]))
    const long = (bytes: number, text: string) => [
      account({ text: text.repeat((bytes - rest) / text.length) }),
    ]
    const details = long(detailsBytesMax, 'x')
    t.equal(Buffer.byteLength(JSON.stringify(details)), detailsBytesMax)
    const begun = begin(details)
    const page = await ask(begun)
    t.ok(page.url.href.length < 8000, `${page.url.href.length} characters at /consent`)
    const back = await browser.submit(page, {}, allow)
    t.ok(back.url.href.length < 8000, `${back.url.href.length} with the code`)
    const tokens: any = await shop.redeem(begun, back)
    t.strictSame(tokens.authorization_details, details)
    t.ok(tokens.access_token.length < 8000, `${tokens.access_token.length} in the token`)
    t.strictSame(((await server.refresh(client, tokens.refresh_token)) as any).authorization_details, details)
    const longer = await browser.open(begin(long(detailsBytesMax + 1, 'x')).url)
    t.equal(longer.url.searchParams.get('error'), code)
  })

  await t.test('RA-9 a token for a payment is exchanged for no other', async t => {
    const other = 'https://other.example'
    await server.resource(other)
    const gateway = await server.client('gateway', {
      grant_types: tokenExchange,
      introspects: bank,
      resources: `${bank} ${other}`,
      authorization_details_types: 'account',
    })
    const asking = begin([pay('Ada')])
    const begun = { ...asking, url: asking.url.replace('scope=openid+read&', '') }
    const { access_token } = await shop.redeem(begun, await browser.submit(await ask(begun), {}, allow))
    t.notOk('scope' in claimsOf(access_token))
    for (const resource of [bank, other])
      isOAuthError(
        t,
        await server.post('/token', { ...exchangeForm(access_token), resource, ...gateway.form }),
        400,
        'invalid_scope',
        `nothing is left of it at ${resource}`,
      )
  })

  await t.test('RA-8 a signed answer of /introspect has them too, and the kit takes no odd ones', async t => {
    const { access_token } = await grant([pay('Ada')])
    const api = await server.client('api', { introspects: bank })
    const headers = { ...api.headers, accept: 'application/token-introspection+jwt' }
    const signed = await server.post('/introspect', { token: access_token }, headers)
    t.match(claimsOf(signed.body), { token_introspection: { authorization_details: [pay('Ada')] } })

    const fetch = async (input: string | URL | Request) => {
      const { pathname } = new URL(input instanceof Request ? input.url : input)
      return new Response((await server.request({ url: pathname })).body)
    }
    const now = () => server.ctx.clock.now() * 1000
    const kit = createVerifier({ issuer: 'https://as.example', audience: bank, fetch, now })
    t.teardown(() => kit.close())
    t.strictSame((await kit.verify(access_token)).authorization_details, [pay('Ada')])
    for (const odd of [{}, 'payment', [1], [null], [[]], [{ type: 1 }], null, [{ to: 'Ada' }]]) {
      const claims = { ...claimsOf(access_token), authorization_details: odd }
      const token = await server.ctx.keys.sign('at+jwt', 'ES256', claims)
      t.match(await refusal(kit.verify(token)), { code: 'invalid_token' }, JSON.stringify(odd))
    }
  })

  await t.test(
    'RA-5 RA-11 an app that has registered itself names its types, and its users are asked',
    async t => {
      const by = { actor: { kind: 'command', user: 'root' }, isLimited: false } as const
      const admin = servedAdmin(server.ctx, by, server.ctx.log)
      const terms = { name: 'team', lifeSeconds: 3600, clientsMax: 9 }
      const { token } = await createRegistrationToken(admin, terms)
      const register = (metadata: object) =>
        server.request({
          method: 'POST',
          url: '/register',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          payload: JSON.stringify({ redirect_uris: ['https://agent.example/callback'], ...metadata }),
        })
      for (const odd of ['payment', [1], ['a b'], ['__proto__ x'], [''], {}, Array(51).fill('payment')])
        isOAuthError(
          t,
          await register({ authorization_details_types: odd }),
          400,
          'invalid_client_metadata',
          JSON.stringify(odd).slice(0, 40),
        )
      const made = (await register({ authorization_details_types: ['payment'] })).json()
      t.strictSame(made.authorization_details_types, ['payment'])
      const open = { is_open: 1, authorization_details_types: JSON.stringify(bankTypes) }
      await server.resource('https://open.example', open)
      const verifier = 'v'.repeat(43)
      const parameters = {
        client_id: made.client_id,
        response_type: 'code',
        code_challenge: sha256(verifier).toString('base64url'),
        code_challenge_method: 'S256',
      }
      const at = (...details: readonly object[]) =>
        browser.open(`/authorize?${new URLSearchParams({ ...parameters, ...asked(...details) })}`)
      t.equal((await at(account())).url.searchParams.get('error'), code, 'a type that it has not named')
      const locations = [bank]
      t.equal((await at(pay('Eve', { locations }))).url.searchParams.get('error'), code, 'an API not open')
      for (let i = 0; i < 2; i++) {
        const page = await at(pay('Ada'))
        t.equal(page.url.pathname, '/consent')
        t.ok(page.text.includes('Pay once') && page.text.includes('Ada'))
        const back = await browser.submit(page, {}, allow)
        const form = { grant_type: 'authorization_code', code: back.url.searchParams.get('code') ?? '' }
        const { client_id, client_secret } = made
        const credentials = { client_id, client_secret, code_verifier: verifier }
        const tokens = (await server.post('/token', { ...form, ...credentials })).json()
        t.strictSame(tokens.authorization_details, [pay('Ada')])
      }
    },
  )
})
