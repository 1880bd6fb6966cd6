import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import t from 'tap'
import { createVerifier } from '../../src/resource-server/verifier.ts'
import { bank } from '../helpers/authorization-details.ts'
import { openBrowser, type Page } from '../helpers/browser.ts'
import { commandLine } from '../helpers/cli.ts'
import { hasNoComplaint, logInWorld } from '../helpers/log-in-world.ts'
import { logInWith } from '../helpers/relying-party.ts'
import { besideEnv } from '../helpers/server.ts'

const docs = readFileSync(join(import.meta.dirname, '../../docs/rich-authorization-requests.md'), 'utf8')

/** The blocks of the documentation in a language. */
const blocks = (language: string) =>
  [...docs.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, 'g'))].map(([, block = '']) => block)

/** The code with which the server has refused. */
const errorOf = (call: Promise<unknown>) => call.catch((error: { error?: unknown }) => error.error)

const allow = { button: 'decision=allow' }

t.test('who follows the documentation pays once, with openid-client, oauth4webapi and the kit', async t => {
  const all = await logInWorld(t)
  const { server, issuer, ada, create, file, keyOf } = all
  const { call } = commandLine(t, t.testdir())
  const env = { MINTMARK_ISSUER: issuer, ...besideEnv(server) }
  const types = file('bank-types.yaml')
  writeFileSync(types, blocks('yaml')[0] ?? '')
  const commands = (blocks('sh')[0] ?? '').replaceAll(/\s*\\\n\s*/g, ' ').replaceAll('bank-types.yaml', types)
  let secret = ''
  for (const line of commands.trim().split('\n')) {
    const made = await call(`${line.replace(/^mintmark /, '')} --json`, { env })
    t.equal(made.code, 0, made.stderr)
    secret = made.json().client_secret ?? secret
  }
  await server.follow()
  const [details = []] = blocks('json').map(block => JSON.parse(block))
  const payment = { authorization_details: JSON.stringify(details) }
  const redirect_uri = 'https://shop.example/callback'
  const api = createVerifier({ issuer, audience: bank })
  t.teardown(() => api.close())
  const browser = openBrowser(server)
  /** The page that asks, with what the documentation says of it. */
  const isShown = async (page: Page) => {
    t.equal(page.url.pathname, '/consent')
    for (const text of ['Pay once from your account', 'Amount', '45.00', 'Currency', 'EUR', 'Bookshop'])
      t.ok(page.text.includes(text), text)
    return browser.submit(page, {}, allow)
  }

  await t.test('openid-client: /par, a refresh, and the API reads what was allowed', async t => {
    const config = await openid.discovery(new URL(issuer), 'shop', secret, undefined, {
      execute: [openid.allowInsecureRequests],
    })
    t.strictSame(config.serverMetadata()['authorization_details_types_supported'], ['account', 'payment'])
    const pkceCodeVerifier = openid.randomPKCECodeVerifier()
    const url = await openid.buildAuthorizationUrlWithPAR(config, {
      redirect_uri,
      code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      ...payment,
    })
    const back = await isShown(await logInWith(browser, { url: url.href }, ada))
    const tokens = await openid.authorizationCodeGrant(config, back.url, { pkceCodeVerifier })
    t.strictSame(tokens.authorization_details, details)
    const next = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '', payment)
    for (const { access_token } of [tokens, next]) {
      const seen = await api.verify(access_token)
      t.strictSame(seen.authorization_details, details)
      t.equal(seen.sub, ada.sub)
      t.ok(Object.isFrozen(seen.authorization_details?.[0]?.['amount']), 'nothing there can be changed')
      const told = await openid.tokenIntrospection(config, access_token)
      t.strictSame(told['authorization_details'], details)
    }
    const refused = openid.refreshTokenGrant(config, next.refresh_token ?? '', {
      authorization_details: JSON.stringify([{ ...details[0], to: 'Thief' }]),
    })
    t.equal(await errorOf(refused), 'invalid_authorization_details')
  })

  await t.test('oauth4webapi: by the browser alone', async t => {
    const own = `--redirect-uri https://plain.example/callback --resource ${bank} --consent once`
    await create(`--id plain --public ${own} --grant authorization_code --authorization-details-type payment`)
    const insecure = { [oauth.allowInsecureRequests]: true }
    const found = await oauth.discoveryRequest(new URL(issuer), insecure)
    const as = await oauth.processDiscoveryResponse(new URL(issuer), found)
    const client: oauth.Client = { client_id: 'plain' }
    const verifier = oauth.generateRandomCodeVerifier()
    const parameters = {
      client_id: 'plain',
      response_type: 'code',
      redirect_uri: 'https://plain.example/callback',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    }
    const at = (more: object) =>
      browser.open(`${as.authorization_endpoint}?${new URLSearchParams({ ...parameters, ...more })}`)
    const back = await isShown(await at(payment))
    const answer = await oauth.processAuthorizationCodeResponse(
      as,
      client,
      await oauth.authorizationCodeGrantRequest(
        ...([as, client, oauth.None()] as const),
        oauth.validateAuthResponse(as, client, back.url, oauth.expectNoState),
        ...([parameters.redirect_uri, verifier, insecure] as const),
      ),
    )
    t.strictSame(answer.authorization_details, details)
    t.equal(answer.scope, undefined, 'and no scope beside it')
    const unknown = await at({ authorization_details: '[{"type":"other"}]' })
    const read = async () => oauth.validateAuthResponse(as, client, unknown.url, oauth.expectNoState)
    t.equal(await errorOf(read()), 'invalid_authorization_details')
  })

  await t.test('the FAPI 2.0 profile: pushed, with keys and DPoP', async t => {
    const own = `--redirect-uri ${redirect_uri} --resource ${bank} --authorization-details-type payment`
    const keys = `--profile fapi2 --new-key ${file('fapi.jwk')} --grant authorization_code refresh_token`
    await create(`--id fapi ${keys} ${own}`)
    const auth = openid.PrivateKeyJwt(await keyOf('fapi.jwk'))
    const config = await openid.discovery(new URL(issuer), 'fapi', undefined, auth, {
      execute: [openid.allowInsecureRequests],
    })
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair())
    const pkceCodeVerifier = openid.randomPKCECodeVerifier()
    const code_challenge = await openid.calculatePKCECodeChallenge(pkceCodeVerifier)
    const asked = { redirect_uri, code_challenge, code_challenge_method: 'S256', ...payment }
    const url = await openid.buildAuthorizationUrlWithPAR(config, asked, { DPoP })
    const back = await isShown(await browser.open(url.href))
    const checks = { pkceCodeVerifier }
    const tokens = await openid.authorizationCodeGrant(config, back.url, checks, undefined, { DPoP })
    t.match(tokens, { token_type: 'dpop', authorization_details: details })
    const next = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '', undefined, { DPoP })
    t.strictSame(next.authorization_details, details)
    const late = await browser.open(openid.buildAuthorizationUrl(config, asked).href)
    t.equal(late.url.searchParams.get('error'), 'invalid_request', 'what is not pushed is refused')
  })
  hasNoComplaint(t, all)
})
