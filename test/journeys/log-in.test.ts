import { once } from 'node:events'
import { createServer, request as forward } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { disableUser } from '../../db/users/users.ts'
import { de } from '../../src/pages/texts/de.ts'
import { en } from '../../src/pages/texts/en.ts'
import type { MessageKind, Texts } from '../../src/pages/texts/texts.ts'
import { violationsOnCopy } from '../helpers/axe.ts'
import { isHaste, startChromium } from '../helpers/chromium.ts'
import { freePort } from '../helpers/free-port.ts'
import { isTurn } from '../helpers/runs.ts'
import { startServer, type TestServer, type TestUser } from '../helpers/server.ts'
import { recoveryCodesOf, withApp } from '../helpers/second-factors.ts'
import { startWebApp, type WebApp } from '../helpers/web-app.ts'

const browser = await startChromium(t)

/** Starts a server that listens at its issuer. */
async function startListening(t: Test): Promise<TestServer> {
  const port = await freePort()
  const server = await startServer(t, { MINTMARK_ISSUER: `http://127.0.0.1:${port}` })
  await server.app.listen({ host: '127.0.0.1', port })
  return server
}

interface Visitor {
  readonly context: BrowserContext
  readonly page: Page
  /** The methods of all that was sent to the server for its own pages, in their order. */
  readonly sent: string[]
}

/**
 * Somebody with a small screen and cookies of their own. When the test is over, the console was silent, and
 * no page of ours has asked for anything of another origin.
 */
async function visitor(t: Test, options: Parameters<Browser['newContext']>[0] = {}): Promise<Visitor> {
  const context = await browser.newContext({ viewport: { width: 320, height: 640 }, ...options })
  // A slow machine is no fault.
  context.setDefaultTimeout(0)
  const { issuer } = server.ctx.config
  const faults: string[] = []
  const sent: string[] = []
  context.on('console', message => {
    // The browser's own words for a page with such a status.
    const isStatus = /^Failed to load resource: .* status of 4\d\d /.test(message.text())
    if (!isStatus && !isHaste(message.text())) faults.push(message.text())
  })
  context.on('weberror', error => faults.push(String(error.error())))
  context.on('request', request => {
    if (request.isNavigationRequest()) {
      if (request.url().startsWith(`${issuer}/`)) sent.push(request.method())
    } else if (!request.url().startsWith(`${issuer}/logo`)) faults.push(request.url())
  })
  t.teardown(async () => {
    await context.close()
    // Too late for an assertion, but this fails the test too.
    if (faults.length > 0) throw new Error(faults.join('\n'))
  })
  return { context, page: await context.newPage(), sent }
}

let looks = 0

/**
 * What every page of the flow has to be: usable by everybody, on the smallest of screens. Each second one is
 * looked at by axe, which sees samples of all of them elsewhere, and in test:long each.
 */
async function isGood(t: Test, page: Page, title: string): Promise<void> {
  await page.waitForLoadState()
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 320, `${title}: no scroll to the side`)
  if (isTurn(looks++, 0, 2)) t.strictSame(await violationsOnCopy(page), [], `${title}: axe finds nothing`)
}

async function isLogIn(t: Test, page: Page, title: string, texts: Texts = en): Promise<void> {
  await page.waitForURL(({ pathname }) => pathname === '/log-in')
  t.equal(await page.getByLabel(texts.logIn.password).count(), 1, `${title}: the form to log in`)
}

async function isMessage(t: Test, page: Page, kind: MessageKind, title: string): Promise<void> {
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), en.messages[kind].heading, title)
}

async function isBack(t: Test, page: Page, app: WebApp, title: string): Promise<void> {
  await page.waitForURL(`${app.origin}/`)
  const { parameters, tokens } = app.answers.at(-1) ?? {}
  t.match(parameters, { iss: server.ctx.config.issuer }, `${title}: A-9`)
  t.type(tokens?.['id_token'], 'string', `${title}: logged in at the client`)
}

const submit = 'main button[type=submit]'

async function fillIn(page: Page, { username, password }: Named, texts: Texts = en): Promise<void> {
  await page.getByLabel(texts.logIn.username).fill(username)
  await page.getByLabel(texts.logIn.password).fill(password)
  await page.locator(submit).click()
}

type Named = Pick<TestUser, 'username' | 'password'>

async function logIn(page: Page, app: WebApp, user: Named): Promise<void> {
  await page.goto(app.start())
  await fillIn(page, user)
  await page.waitForURL(`${app.origin}/`)
}

const server = await startListening(t)
const [web, shop] = [
  await startWebApp(t, server, 'web'),
  await startWebApp(t, server, 'shop', { host: '127.0.0.1', consent: 'once', operator: 'Shop Ltd' }),
]
const ada = await server.user()

t.test('a wrong password, then the right one: no page is sent twice, and no name is typed twice', async t => {
  const { page, sent } = await visitor(t)
  await page.goto(web.start())
  await isLogIn(t, page, 'at first')
  await isGood(t, page, 'the log-in page')
  for (const password of ['wrong', 'wrong again']) {
    await fillIn(page, { ...ada, password })
    await page.getByRole('alert').waitFor()
  }
  await isGood(t, page, 'a wrong password')
  sent.splice(0)
  for (const move of [() => page.reload(), () => page.goBack(), () => page.goForward()]) {
    await move()
    t.match(await page.getByRole('alert').textContent(), en.logIn.problems.wrong_credentials)
    t.equal(await page.getByLabel(en.logIn.username).inputValue(), ada.username)
    t.equal(await page.getByLabel(en.logIn.password).inputValue(), '', 'a password is never sent back')
  }
  t.notOk(sent.includes('POST'), 'nobody is asked whether to send it once more')
  await page.getByLabel(en.logIn.password).fill(ada.password)
  await page.locator(submit).click()
  await isBack(t, page, web, 'then')

  await page.goBack()
  await isMessage(t, page, 'request_used', 'back from the client')
  await isGood(t, page, 'back from the client')
  await page.getByRole('link', { name: 'The web app' }).click()
  await page.waitForURL(`${web.origin}/`)
})

t.test('NP-6 by the keyboard alone, with what password managers look for', async t => {
  const { page } = await visitor(t)
  await page.goto(shop.start())
  const fields = await page
    .locator('input:not([type=hidden])')
    .evaluateAll(inputs =>
      inputs.map(input => ['name', 'type', 'autocomplete'].map(name => input.getAttribute(name))),
    )
  t.strictSame(fields, [
    ['username', null, 'username'],
    ['password', 'password', 'current-password'],
    ['stay', 'checkbox', null],
  ])
  const forms = page.locator('form')
  t.equal(await forms.count(), 1)
  t.equal(await forms.getAttribute('action'), '/log-in')
  await page.locator('input[name=username]:focus').waitFor()
  await page.keyboard.type(ada.username)
  await page.keyboard.press('Tab')
  await page.keyboard.type(ada.password)
  await page.keyboard.press('Tab')
  await page.keyboard.press('Space')
  await page.keyboard.press('Enter')
  const allow = page.getByRole('button', { name: en.consent.allow, exact: true })
  await allow.waitFor()
  while (!(await allow.evaluate(button => button === button.ownerDocument.activeElement)))
    await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await isBack(t, page, shop, 'by the keyboard')
})

t.test('invariant 18: without JavaScript, to the end', async t => {
  const { page } = await visitor(t, { javaScriptEnabled: false })
  const grace = await server.user('grace')
  await page.goto(shop.start({ response_mode: 'form_post' }))
  await fillIn(page, { ...grace, password: 'wrong' })
  await page.getByRole('alert').waitFor()
  await fillIn(page, grace)
  await page.getByRole('button', { name: en.consent.allow, exact: true }).click()
  await page.getByRole('button', { name: en.formPost.submit }).click()
  await isBack(t, page, shop, 'without scripts')
  t.equal(shop.answers.at(-1)?.method, 'POST')
  await page.goto(shop.start({ response_mode: 'form_post', prompt: 'select_account' }))
  await page.locator(submit).click()
  await page.getByRole('button', { name: en.formPost.submit }).click()
  await isBack(t, page, shop, 'with the account that was chosen')
  await page.goto(`${server.ctx.config.issuer}/log-out`)
  await page.locator(submit).first().click()
  await isMessage(t, page, 'logged_out', 'logged out')
})

t.test('the second factor is asked for on a page that everybody can use', async t => {
  for (const [name, javaScriptEnabled] of [
    ['emmy', true],
    ['kurt', false],
  ] as const) {
    const { page } = await visitor(t, { javaScriptEnabled, colorScheme: 'dark' })
    const user = await server.user(name)
    const app = await withApp(server, user)
    const [, recoveryCode = ''] = await recoveryCodesOf(server, user)
    await page.goto(web.start())
    await fillIn(page, user)
    await page.getByRole('heading', { name: en.secondStep.title }).waitFor()
    if (javaScriptEnabled) await isGood(t, page, 'one more step')
    t.equal(await page.getByLabel(en.secondStep.code).getAttribute('autocomplete'), 'one-time-code')
    await page.locator('input[name=code]:focus').waitFor()
    await page.keyboard.type('000000')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').getByText(en.logIn.problems.wrong_code).waitFor()
    await page.reload()
    await page.getByText(en.secondStep.lost).click()
    if (javaScriptEnabled) await isGood(t, page, 'a wrong code, and the field for another one')
    await page.getByLabel(en.secondStep.recoveryCode).fill(recoveryCode.toLowerCase())
    await page.keyboard.press('Enter')
    await isBack(t, page, web, 'by a recovery code')

    await page.goto(web.start({ prompt: 'login' }))
    await page.getByLabel(en.logIn.password).fill(user.password)
    await page.keyboard.press('Enter')
    await page.getByLabel(en.secondStep.code).fill(app.code())
    await page.keyboard.press('Enter')
    await isBack(t, page, web, 'by the app')
  }
})

t.test('an answer by form sends itself, to another site too', async t => {
  const { page } = await visitor(t)
  await page.goto(web.start({ response_mode: 'form_post' }))
  await fillIn(page, ada)
  await isBack(t, page, web, 'by form')
  t.equal(web.answers.at(-1)?.method, 'POST')
})

t.test('in German, for whom the browser or the client says so', async t => {
  for (const [options, more] of [
    [{ locale: 'de-AT' }, {}],
    [{ locale: 'fr-FR' }, { ui_locales: 'fr de-DE en' }],
  ] as const) {
    const { page } = await visitor(t, options)
    await page.goto(web.start(more))
    t.equal(await page.locator('html').getAttribute('lang'), 'de')
    await fillIn(page, { ...ada, password: 'falsch' }, de)
    t.match(await page.getByRole('alert').textContent(), de.logIn.problems.wrong_credentials)
    await fillIn(page, ada, de)
    await isBack(t, page, web, 'in German')
    await page.goto(web.start({ ...more, prompt: 'login' }))
    t.equal(await page.getByRole('heading', { level: 1 }).textContent(), de.logIn.headingAgain)
    await page.goto(web.start({ ...more, prompt: 'select_account' }))
    t.match(await page.locator(submit).textContent(), 'Weiter als ada')
    await isGood(t, page, 'in German')
  }
})

t.test('consent is asked for once, and again for more; who denies it is led back', async t => {
  const { page } = await visitor(t, { colorScheme: 'dark' })
  const hedy = await server.user('hedy')
  const asks = async (title: string) => {
    await page.waitForURL(({ pathname }) => pathname === '/consent')
    t.equal(await page.getByRole('button', { name: en.consent.deny }).count(), 1, `${title}: the question`)
  }
  const press = (name: string) => page.getByRole('button', { name, exact: true }).click()
  await page.goto(shop.start({ scope: 'openid' }))
  const background = await page.evaluate('getComputedStyle(document.documentElement).backgroundColor')
  const [red = 255] = String(background).match(/\d+/g)?.map(Number) ?? []
  t.ok(red < 64, `dark: ${background}`)
  await fillIn(page, hedy)
  await asks('at first')
  await isGood(t, page, 'the question')
  await press(en.consent.deny)
  await page.waitForURL(`${shop.origin}/`)
  t.match(shop.answers.at(-1)?.parameters, { error: 'access_denied' })
  await page.goto(shop.start({ scope: 'openid' }))
  await asks('nothing is remembered of it')
  await press(en.consent.allow)
  await isBack(t, page, shop, 'allowed')
  await page.goto(shop.start({ scope: 'openid' }))
  await isBack(t, page, shop, 'remembered')
  await page.goto(shop.start({ scope: 'openid email' }))
  await asks('for more')
  t.match(await page.getByRole('list').textContent(), en.consent.scopes.email)
  await page.goBack()
  await page.goForward()
  await asks('loaded again')
  await press(en.consent.allow)
  await isBack(t, page, shop, 'allowed')
})

t.test('who is logged in sees no page; who is somebody else logs in as that', async t => {
  const { page, sent } = await visitor(t, { colorScheme: 'dark' })
  const bob = await server.user('bob')
  await logIn(page, web, ada)
  sent.splice(0)
  await page.goto(web.start())
  await isBack(t, page, web, 'again')
  t.strictSame(sent, ['GET'], 'only /authorize has seen it')

  await page.goto(web.start({ prompt: 'select_account' }))
  await isGood(t, page, 'the choice of an account')
  await page.locator(submit).click()
  await isBack(t, page, web, 'with the same')
  t.equal(subOf(web), ada.sub)
  await page.goto(web.start({ prompt: 'select_account' }))
  await page.getByRole('link', { name: en.useAnother }).click()
  await isLogIn(t, page, 'another one')
  t.equal(await page.getByLabel(en.logIn.username).inputValue(), '')
  await isGood(t, page, 'another one')
  await fillIn(page, bob)
  await isBack(t, page, web, 'as another')
  t.equal(subOf(web), bob.sub)

  await page.goto(web.start({ prompt: 'login' }))
  await isGood(t, page, 'once more')
  t.equal(await page.getByLabel(en.logIn.username).inputValue(), 'bob')
  await page.goto(web.start({ prompt: 'none' }))
  await isBack(t, page, web, 'without a page')
  t.equal(subOf(web), bob.sub)
})

/** Who has logged in at last. */
function subOf({ answers }: WebApp): unknown {
  const [, payload = ''] = String(answers.at(-1)?.tokens?.['id_token']).split('.')
  return JSON.parse(Buffer.from(payload, 'base64url').toString()).sub
}

t.test(
  'in a frame a client learns who is logged in where it is of the same site, and nothing elsewhere',
  async t => {
    const { page } = await visitor(t)
    await logIn(page, web, await server.user('mary'))
    await page.goto(shop.start())
    await page.locator(submit).first().click()
    await isBack(t, page, shop, 'in the window')
    for (const [app, error] of [
      [shop, undefined],
      [web, 'login_required'],
    ] as const) {
      await page.goto(`${app.origin}/`)
      const count = app.answers.length
      const src = app.start({ prompt: 'none' })
      await page.evaluate(`new Promise(resolve => {
        const frame = Object.assign(document.createElement('iframe'), { src: '${src}' })
        frame.addEventListener('load', resolve)
        document.body.append(frame)
      })`)
      t.equal(app.answers.length, count + 1)
      t.equal(app.answers.at(-1)?.parameters['error'], error)
    }
  },
)

t.test('two tabs of two clients: one log-in is enough, and each comes to its own end', async t => {
  const { context, page } = await visitor(t)
  const other = await startWebApp(t, server, 'other')
  const tab = await context.newPage()
  await page.goto(web.start())
  await tab.goto(other.start())
  await fillIn(page, ada)
  await isBack(t, page, web, 'the first')
  await fillIn(tab, ada)
  await isBack(t, tab, other, 'the second, sent')
  await tab.goBack()
  await isMessage(t, tab, 'request_used', 'the second, behind it')
})

t.test('H-13 who has guessed too often is told when to try again', async t => {
  const { context, page } = await visitor(t)
  const eve = await server.user('eve')
  await page.goto(web.start())
  const request = await page.locator('input[name=request]').inputValue()
  for (let i = 0; i < 10; i++) {
    const form = { request, username: eve.username, password: 'wrong' }
    await context.request.post(`${server.ctx.config.issuer}/log-in`, { form })
  }
  await fillIn(page, eve)
  t.match(await page.getByRole('alert').textContent(), en.logIn.problems.throttled)
  t.equal(await page.getByLabel(en.logIn.username).inputValue(), eve.username)
  await isGood(t, page, 'throttled')
  server.tick(60)
  await fillIn(page, eve)
  await isBack(t, page, web, 'after a minute')
})

t.test('invariant 17: who is disabled is logged out, and is told what anybody is told', async t => {
  const { page } = await visitor(t)
  const joan = await server.user('joan')
  await logIn(page, web, joan)
  await disableUser(server.ctx.db, joan.id, server.ctx.clock.now())
  await page.goto(web.start())
  await isLogIn(t, page, 'logged out')
  t.notMatch(await page.content(), 'joan', 'the page says nothing of who was logged in')
  await fillIn(page, joan)
  t.match(await page.getByRole('alert').textContent(), en.logIn.problems.wrong_credentials, 'invariant 15')
})

t.test('a browser that keeps no cookies is told so, and finds its way when it does', async t => {
  const proxy = await startForgetfulProxy(t)
  const { page } = await visitor(t, { proxy: { server: proxy.origin, bypass: '<-loopback>' } })
  await page.goto(web.start())
  await isMessage(t, page, 'cookies_refused', 'without cookies')
  await isGood(t, page, 'without cookies')
  proxy.isForgetful = false
  await page.getByRole('link', { name: en.again }).click()
  await fillIn(page, ada)
  await isBack(t, page, web, 'with cookies')
})

/** A proxy that takes all cookies out of answers, as a browser does that refuses them. */
async function startForgetfulProxy(t: Test): Promise<{ readonly origin: string; isForgetful: boolean }> {
  const proxy = createServer((request, response) => {
    const { url = '', method, headers } = request
    const onward = forward(url, { method, headers }, answer => {
      const kept = Object.entries(answer.headers).filter(
        ([name]) => !(state.isForgetful && name === 'set-cookie'),
      )
      response.writeHead(answer.statusCode ?? 502, Object.fromEntries(kept))
      answer.pipe(response)
    })
    request.pipe(onward)
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  const { port } = proxy.address() as AddressInfo
  const state = { origin: `http://127.0.0.1:${port}`, isForgetful: true }
  return state
}

t.test('a link that is good no more says so, and leads to the client', async t => {
  const { page } = await visitor(t, { colorScheme: 'dark' })
  await page.goto(web.start())
  const link = page.url()
  const leadsBack = async () =>
    t.equal(await page.getByRole('link', { name: 'The web app' }).getAttribute('href'), `${web.origin}/`)
  await page.goto(link.replace(/.$/, last => (last === 'A' ? 'B' : 'A')))
  await isMessage(t, page, 'request_invalid', 'changed by hand')
  await isGood(t, page, 'changed by hand')
  await page.goto(`${server.ctx.config.issuer}/log-in`)
  await isMessage(t, page, 'no_request', 'from nowhere')
  await isGood(t, page, 'from nowhere')

  const stranger = await visitor(t)
  await stranger.page.goto(web.start())
  await stranger.page.goto(link)
  t.equal(await stranger.page.getByLabel(en.logIn.password).count(), 0, 'no form in another browser')
  await isGood(t, stranger.page, 'another browser')
  await stranger.page.getByRole('link', { name: en.beginHere }).click()
  await isLogIn(t, stranger.page, 'begun anew')

  await page.goto(link)
  server.tick(1800)
  await fillIn(page, ada)
  await isMessage(t, page, 'request_expired', 'open for too long')
  await leadsBack()
  await isGood(t, page, 'open for too long')
})

t.test('invariant 13: who is not known, or not there, is not gone to', async t => {
  const { page } = await visitor(t)
  const count = web.answers.length
  for (const [kind, more] of [
    ['client_unknown', { client_id: 'nobody' }],
    ['redirect_uri_unregistered', { redirect_uri: `${web.origin}/elsewhere` }],
    ['redirect_uri_unregistered', { redirect_uri: 'https://evil.example/callback', prompt: 'none' }],
  ] as const) {
    await page.goto(web.start(more))
    t.equal(new URL(page.url()).origin, server.ctx.config.issuer, kind)
    await isMessage(t, page, kind, kind)
    t.notMatch(await page.content(), 'evil.example')
    await isGood(t, page, kind)
  }
  t.equal(web.answers.length, count)
})

t.test(
  'invariant 14: log-out with a hint and without, and nothing of before behind the back button',
  async t => {
    const { page } = await visitor(t)
    const lise = await server.user('lise')
    await logIn(page, web, lise)
    await page.goto(`${web.origin}/log-out`)
    t.equal(page.url(), `${web.origin}/bye?state=gone`, 'no question where the hint says who')
    await page.goto(web.start({ prompt: 'login' }))
    await isLogIn(t, page, 'logged out')
    t.notMatch(await page.content(), 'lise')

    await fillIn(page, lise)
    await isBack(t, page, web, 'once more')
    await page.goto(web.start({ prompt: 'select_account' }))
    await page.goto(web.start({ prompt: 'login' }))
    const question = `${server.ctx.config.issuer}/log-out?client_id=web`
    await page.goto(question)
    await isGood(t, page, 'the question')
    await page.getByRole('button', { name: en.logOut.stay }).click()
    await isMessage(t, page, 'still_logged_in', 'stays')
    await isGood(t, page, 'stays')
    await page.goBack()
    t.match(await page.content(), 'lise', 'the question again')
    await page.getByRole('button', { name: en.logOut.submit, exact: true }).click()
    await isMessage(t, page, 'logged_out', 'logged out')
    await isGood(t, page, 'logged out')
    for (let i = 0; i < 3; i++) {
      await page.goBack()
      t.equal(new URL(page.url()).origin, server.ctx.config.issuer, 'a page of ours')
      t.notMatch(await page.content(), 'lise', `${new URL(page.url()).pathname}: nobody's any more`)
    }
  },
)

t.test("servers beside each other on one host leave each other's people logged in", async t => {
  const beside = await startListening(t)
  const app = await startWebApp(t, beside, 'web')
  const bob = await beside.user('bob')
  const { context, page } = await visitor(t)
  await logIn(page, web, ada)
  const second = await context.newPage()
  await second.goto(app.start())
  await fillIn(second, bob)
  await second.waitForURL(`${app.origin}/`)
  await page.goto(web.start({ prompt: 'none' }))
  await isBack(t, page, web, 'the first')
  t.equal(subOf(web), ada.sub)
})
