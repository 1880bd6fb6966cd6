import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import express from 'express'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import passport from 'passport'
import t from 'tap'
import { openBrowser, type Page as HtmlPage } from '../helpers/browser.ts'
import { startChromium } from '../helpers/chromium.ts'
import {
  claims,
  documentedClient,
  hasNoComplaint,
  jsonAt,
  logInAt,
  logInWorld,
  openWindow,
  serve,
} from '../helpers/log-in-world.ts'
import { logInWith } from '../helpers/relying-party.ts'

const chromium = await startChromium(t)

/** What those clients have in common that are not in the documentation. */
const common = '--grant authorization_code refresh_token --resource https://api.example --scope read'

/**
 * The answer that has arrived at a client by a form which sends itself (OAuth 2.0 Form Post Response Mode).
 */
function postedAnswer({ forms }: HtmlPage): Request {
  const [form] = forms
  if (!form) throw new Error('there is no form')
  return new Request(form.action, { method: 'POST', body: new URLSearchParams([...form.fields]) })
}

/** The code with which the server has refused. */
const errorOf = (call: Promise<unknown>) => call.catch((error: { error?: unknown }) => error.error)

for (const path of ['', '/auth/v1']) {
  t.test(
    `openid-client: PKCE, state and nonce, /userinfo, refreshes and log-out: ${path || 'no path'}`,
    async t => {
      const all = await logInWorld(t, path)
      const { server, issuer, ada, create } = all
      const callback = 'https://web.example/callback'
      const home = 'https://web.example/'
      const secret = await create(`--id web ${common} --redirect-uri ${callback} --post-log-out-uri ${home}`)
      const config = await openid.discovery(new URL(issuer), 'web', secret, undefined, {
        execute: [openid.allowInsecureRequests],
      })
      t.ok(config.serverMetadata().supportsPKCE())
      const browser = openBrowser(server)

      const ask = async (more: Record<string, string> = {}) => {
        const checks = {
          pkceCodeVerifier: openid.randomPKCECodeVerifier(),
          expectedState: openid.randomState(),
          expectedNonce: openid.randomNonce(),
          idTokenExpected: true,
        }
        const url = openid.buildAuthorizationUrl(config, {
          redirect_uri: callback,
          scope: 'openid profile email read',
          code_challenge: await openid.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
          code_challenge_method: 'S256',
          state: checks.expectedState,
          nonce: checks.expectedNonce,
          ...more,
        })
        return { url: url.href, checks }
      }
      const first = await ask()
      const answer = await logInWith(browser, first, ada)
      const tokens = await openid.authorizationCodeGrant(config, answer.url, first.checks)
      t.match(tokens, { token_type: 'bearer', expires_in: 300, scope: 'openid profile email read' })
      t.match(tokens.claims(), { iss: issuer, aud: 'web', sub: ada.sub, amr: ['pwd'], acr: 'pwd' })
      t.match(await openid.fetchUserInfo(config, tokens.access_token, ada.sub), { sub: ada.sub, ...claims })

      const next = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '')
      t.equal(next.claims()?.sub, ada.sub, 'an ID token comes with a refresh, and is verified')
      const silent = await ask({ prompt: 'none', id_token_hint: next.id_token ?? '' })
      const again = await openid.authorizationCodeGrant(
        config,
        (await browser.open(silent.url)).url,
        silent.checks,
      )
      t.equal(again.claims()?.['auth_time'], tokens.claims()?.['auth_time'], 'who is logged in stays so')
      const fresh = await ask({ max_age: '0' })
      const proved = await logInWith(browser, fresh, ada)
      const renewed = await openid.authorizationCodeGrant(config, proved.url, { ...fresh.checks, maxAge: 0 })
      t.equal(renewed.claims()?.sub, ada.sub, 'max_age is met, as the library demands')

      const logOut = openid.buildEndSessionUrl(config, {
        id_token_hint: renewed.id_token ?? '',
        post_logout_redirect_uri: home,
        state: 'bye',
      })
      t.equal((await browser.open(logOut.href)).url.href, `${home}?state=bye`)
      t.equal(await errorOf(openid.refreshTokenGrant(config, renewed.refresh_token ?? '')), 'invalid_grant')
      const out = await ask({ prompt: 'none' })
      const refused = await browser.open(out.url)
      t.equal(await errorOf(openid.authorizationCodeGrant(config, refused.url, out.checks)), 'login_required')
      hasNoComplaint(t, all)
    },
  )
}

t.test(
  'openid-client: private_key_jwt, /par, DPoP, answers by form, and signed answers of /userinfo',
  async t => {
    const all = await logInWorld(t)
    const { server, issuer, ada, create, file, keyOf } = all
    const callback = 'https://shop.example/callback'
    const own = `${common} --redirect-uri ${callback} --dpop required --par required`
    await create(`--id shop --new-key ${file('shop.jwk')} --userinfo-alg RS256 ${own}`)
    const bank = `--id bank --profile fapi2 --new-key ${file('bank.jwk')} ${common}`
    await create(`${bank} --redirect-uri ${callback} --consent once`)

    for (const id of ['shop', 'bank']) {
      const auth = openid.PrivateKeyJwt(await keyOf(`${id}.jwk`))
      const config = await openid.discovery(new URL(issuer), id, undefined, auth, {
        execute: [openid.allowInsecureRequests],
      })
      const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'))
      const checks = {
        pkceCodeVerifier: openid.randomPKCECodeVerifier(),
        expectedState: openid.randomState(),
        expectedNonce: openid.randomNonce(),
      }
      const url = await openid.buildAuthorizationUrlWithPAR(
        config,
        {
          redirect_uri: callback,
          scope: 'openid email read offline_access',
          response_mode: 'form_post',
          code_challenge: await openid.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
          code_challenge_method: 'S256',
          state: checks.expectedState,
          nonce: checks.expectedNonce,
        },
        { DPoP },
      )
      t.strictSame([...url.searchParams.keys()].toSorted(), ['client_id', 'request_uri'])
      const browser = openBrowser(server)
      let page = await logInWith(browser, { url: url.href }, ada)
      if (id === 'bank') page = await browser.submit(page, {}, { button: 'decision=allow' })
      const tokens = await openid.authorizationCodeGrant(config, postedAnswer(page), checks, undefined, {
        DPoP,
      })
      t.match(tokens, { token_type: 'dpop' }, id)
      t.equal(tokens.claims()?.aud, id)
      t.match(await openid.fetchUserInfo(config, tokens.access_token, ada.sub, { DPoP }), {
        sub: ada.sub,
        email: claims.email,
      })
      const next = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '', undefined, { DPoP })
      t.equal(next.claims()?.sub, ada.sub)
      t.equal(next.refresh_token === tokens.refresh_token, id === 'bank', 'FAPI 2.0 does not rotate')
    }
    hasNoComplaint(t, all)
  },
)

t.test('oauth4webapi: a public client with DPoP, as an app on a device is one', async t => {
  const all = await logInWorld(t)
  const { server, issuer, ada, create } = all
  const callback = 'com.example.app:/callback'
  const home = 'com.example.app:/bye'
  const own = `--redirect-uri ${callback} --post-log-out-uri ${home} --dpop required`
  await create(`--id app --public ${common} ${own}`)
  const insecure = { [oauth.allowInsecureRequests]: true }
  const url = new URL(issuer)
  const found = await oauth.discoveryRequest(url, insecure)
  const as = await oauth.processDiscoveryResponse(url, found)
  const client: oauth.Client = { client_id: 'app' }
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
  const options = { DPoP, ...insecure }

  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const nonce = oauth.generateRandomNonce()
  const request = new URL(as.authorization_endpoint ?? '')
  request.search = String(
    new URLSearchParams({
      client_id: 'app',
      redirect_uri: callback,
      response_type: 'code',
      scope: 'openid email read',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      dpop_jkt: await DPoP.calculateThumbprint(),
      state,
      nonce,
    }),
  )
  const browser = openBrowser(server)
  const answer = await logInWith(browser, { url: request.href }, ada)
  const parameters = oauth.validateAuthResponse(as, client, answer.url, state)
  const none = oauth.None()
  const redeem = () =>
    oauth.authorizationCodeGrantRequest(as, client, none, parameters, callback, verifier, options)
  const read = (response: Response) =>
    oauth.processAuthorizationCodeResponse(as, client, response, {
      expectedNonce: nonce,
      requireIdToken: true,
    })
  const without = await read(await redeem()).catch(error => error)
  t.ok(oauth.isDPoPNonceError(without), 'the first request learns the nonce')
  const response = await redeem()
  const tokens = await read(response)
  await oauth.validateApplicationLevelSignature(as, response, insecure)
  t.match(oauth.getValidatedIdTokenClaims(tokens), { sub: ada.sub, aud: 'app' })
  const { access_token } = tokens
  const info = await oauth.userInfoRequest(as, client, access_token, options)
  t.match(await oauth.processUserInfoResponse(as, client, ada.sub, info), { email: claims.email })
  const next = await oauth.processRefreshTokenResponse(
    as,
    client,
    await oauth.refreshTokenGrantRequest(as, client, none, tokens.refresh_token ?? '', options),
  )
  const logOut = new URL(as.end_session_endpoint ?? '')
  logOut.search = String(
    new URLSearchParams({ id_token_hint: next.id_token ?? '', post_logout_redirect_uri: home }),
  )
  t.equal((await browser.open(logOut.href)).url.href, home)
  hasNoComplaint(t, all)
})

/** A library as a browser loads it. */
const scriptOf = (library: string) => readFileSync(fileURLToPath(import.meta.resolve(library)), 'utf8')

t.test('oidc-client-ts: an app in the browser logs in, renews silently, and logs out', async t => {
  const all = await logInWorld(t, '/auth/v1')
  const { ada } = all
  const app = await documentedClient('oidc-client-ts', all)
  await app.create()
  const imports = { 'oidc-client-ts': '/oidc-client-ts.js', 'jwt-decode': '/jwt-decode.js' }
  const html = `<!doctype html><script type="importmap">${JSON.stringify({ imports })}</script>
    <script type="module">
      ${app.code}
      const shown = async () => {
        if (location.search.includes('state=')) await manager.signinCallback()
        history.replaceState(null, '', '/')
        return (await manager.getUser())?.profile.email ?? 'nobody'
      }
      window.manager = manager
      document.querySelector('output').value = await shown().catch(String)
    </script><output></output>`
  const scripts = new Map(Object.entries(imports).map(([name, path]) => [path, scriptOf(name)]))
  await serve(t, app.port, (request, response) => {
    const script = scripts.get(request.url ?? '')
    response.setHeader('content-type', script === undefined ? 'text/html' : 'text/javascript')
    response.end(script ?? html)
  })

  const page = await openWindow(t, chromium)
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(String(error)))
  const shown = async () => {
    await page.waitForURL(`${app.home}/**`)
    await page.locator('output', { hasText: /./ }).waitFor()
    return page.locator('output').textContent()
  }
  /** Begins what leads away from the page. */
  const begin = (call: string) => page.evaluate(`void manager.${call}`)
  const user = (call = 'getUser()') => page.evaluate<any>(`manager.${call}`)
  const living = () =>
    all.server.ctx.db.sql.selectFrom('sessions').select('id').where('revoked_at', 'is', null).execute()

  await page.goto(app.home)
  t.equal(await shown(), 'nobody')
  await begin('signinRedirect()')
  await logInAt(page, all)
  t.equal(await shown(), claims.email)
  const first = await user()
  t.match(first, { token_type: 'DPoP', scope: 'openid email read', profile: { sub: ada.sub } })

  const renewed = await user('signinSilent()')
  t.equal(renewed.profile.sid, first.profile.sid, 'by its refresh token')
  t.not(renewed.refresh_token, first.refresh_token)
  const framed = 'signinSilent({ forceIframeAuth: true }).catch(error => error.error)'
  t.equal(
    await user(framed),
    'interaction_required',
    'RFC 8252 §8.6: an address of this device is no app’s own',
  )
  const opened = page.waitForEvent('popup')
  const inPopup = user('signinPopup({ prompt: "login" })')
  await logInAt(await opened, all)
  t.match(await inPopup, { profile: { sub: ada.sub } }, 'in a second window, which closes itself')

  t.equal((await living()).length, 2)
  await user('revokeTokens()')
  t.equal((await living()).length, 1, 'the session of the second window has ended')
  const left = page.waitForEvent('load')
  await begin('signoutRedirect()')
  await left
  t.equal(await shown(), 'nobody')
  t.strictSame(await living(), [], 'all sessions of this log-in have ended')
  t.equal(await user(framed), 'login_required')
  t.strictSame(complaints, [])
  hasNoComplaint(t, all)
})

t.test('@fastify/oauth2: it finds all by discovery, and knows the user by /userinfo', async t => {
  const all = await logInWorld(t)
  const { ada } = all
  const web = await documentedClient('@fastify/oauth2', all)
  await web.create()
  const app = await web.run('app')
  t.teardown(() => app.close())
  // What the app has got, where the test can see it.
  let granted: any
  const { userinfo } = app.mintmark
  app.mintmark.userinfo = (token: unknown) => userinfo((granted = token))
  await app.listen({ host: '127.0.0.1', port: web.port })

  const page = await openWindow(t, chromium)
  await page.goto(`${web.home}/login`)
  await logInAt(page, all)
  await page.waitForURL(`${web.home}/login/callback?*`)
  t.match(await jsonAt(page), { sub: ada.sub, email: claims.email })
  const { token } = await app.mintmark.getNewAccessTokenUsingRefreshToken(granted)
  t.not(token.refresh_token, granted.refresh_token)
  await app.mintmark.revokeToken(token, 'refresh_token')
  const ended = await app.mintmark.getNewAccessTokenUsingRefreshToken(token).catch((error: any) => error)
  t.match(ended.data.payload, { error: 'invalid_grant' })
  hasNoComplaint(t, all)
})

t.test('passport-oauth2: with state and PKCE; who denies comes back, too', async t => {
  const all = await logInWorld(t)
  const { ada } = all
  const web = await documentedClient('passport-oauth2', all)
  await web.create('--consent always')
  const authenticator = new passport.Passport()
  authenticator.use(await web.run('strategy'))
  const authenticate = authenticator.authenticate('oauth2', { session: false, failureRedirect: '/denied' })
  const app = express()
  // The one browser's session: all of express-session that the library uses here.
  const session = {}
  app.use((request, _response, next) => {
    Object.assign(request, { session })
    next()
  })
  app.get('/auth', authenticate)
  app.get('/auth/callback', authenticate, (request, response) => response.json(request['user']))
  app.get('/denied', (_request, response) => response.json('denied'))
  await serve(t, web.port, app)

  const page = await openWindow(t, chromium)
  await page.goto(`${web.home}/auth`)
  await logInAt(page, all)
  await page.locator('button[value=allow]').click()
  await page.waitForURL(`${web.home}/auth/callback?*`)
  t.match(await jsonAt(page), { sub: ada.sub, email: claims.email })
  await page.goto(`${web.home}/auth`)
  await page.locator('button[value=deny]').click()
  await page.waitForURL(`${web.home}/denied`)
  hasNoComplaint(t, all)
})
