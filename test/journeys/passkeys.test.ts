import type { BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { latestAuditEntries } from '../../db/installation/audit.ts'
import { listPasskeys } from '../../db/factors/passkeys.ts'
import { challengeSeconds } from '../../src/factors/challenges.ts'
import { en } from '../../src/pages/texts/en.ts'
import { violationsOnCopy } from '../helpers/axe.ts'
import { isHaste, startChromium } from '../helpers/chromium.ts'
import { claimsOf } from '../helpers/codes.ts'
import { freePort } from '../helpers/free-port.ts'
import { startServer, type TestServer } from '../helpers/server.ts'
import { addAuthenticator, type VirtualAuthenticator } from '../helpers/virtual-authenticator.ts'
import { startWebApp } from '../helpers/web-app.ts'

const browser = await startChromium(t)

/** Browsers have passkeys for names alone. */
async function startListening(t: Test): Promise<TestServer> {
  const port = await freePort()
  const server = await startServer(t, { MINTMARK_ISSUER: `http://localhost:${port}` })
  await server.app.listen({ host: '127.0.0.1', port })
  return server
}

const server = await startListening(t)
const web = await startWebApp(t, server, 'web', { host: '127.0.0.1' })
const users = new Map<string, Awaited<ReturnType<TestServer['user']>>>()

/** Somebody with a browser that says nothing on its console, and an authenticator. */
async function person(t: Test, username: string, options: { hasUserVerification?: boolean } = {}) {
  const user = users.get(username) ?? (await server.user(username))
  users.set(username, user)
  const context: BrowserContext = await browser.newContext({ viewport: { width: 320, height: 640 } })
  context.setDefaultTimeout(0)
  const faults: string[] = []
  context.on('console', message => isHaste(message.text()) || faults.push(message.text()))
  context.on('weberror', error => faults.push(String(error.error())))
  const page = await context.newPage()
  t.teardown(async () => {
    await context.close()
    if (faults.length > 0) throw new Error(faults.join('\n'))
  })
  const authenticator = await addAuthenticator(page, options)
  return { user, page, authenticator }
}

const button = (page: Page) => page.getByRole('button', { name: en.passkey.use })

/** The browser is back at the client, which has learned how it was logged in. */
async function isBack(t: Test, page: Page, sub: string, title: string): Promise<void> {
  await page.waitForURL(`${web.origin}/`)
  const { tokens } = web.answers.at(-1) ?? {}
  t.match(claimsOf(String(tokens?.['id_token'])), { sub, acr: 'phr', amr: ['hwk', 'user', 'mfa'] }, title)
}

/**
 * Has the person cancel the first window in which the browser asks for a passkey. There is none without a
 * screen, where the browser would wait until the time is over.
 */
async function cancelOnce(page: Page): Promise<void> {
  await page.addInitScript(`
    const get = navigator.credentials.get.bind(navigator.credentials)
    let isCancelled = false
    navigator.credentials.get = async options => {
      if (options.mediation === 'conditional' || isCancelled) return get(options)
      isCancelled = true
      throw new DOMException('cancelled', 'NotAllowedError')
    }`)
}

/** Opens the log-in page while the authenticator is not touched, so that autofill waits. */
async function openUntouched(page: Page, authenticator: VirtualAuthenticator): Promise<void> {
  await authenticator.touch(false)
  await page.goto(web.start())
  await button(page).waitFor()
}

t.test('a passkey that autofill offers logs in, without a user name', async t => {
  const { user, page, authenticator } = await person(t, 'ada')
  await authenticator.addPasskey(server, user)
  await page.goto(web.start())
  await isBack(t, page, user.sub, 'by autofill')
  const [row] = await listPasskeys(server.ctx.db, user.id)
  t.equal(row?.used_at, server.ctx.clock.now())
  t.equal(server.ctx.users.passwords.load().running, 0)
})

t.test('the button ends what autofill waits for; who cancels has the form as before', async t => {
  const { user, page, authenticator } = await person(t, 'bob')
  await authenticator.addPasskey(server, user)
  await cancelOnce(page)
  await openUntouched(page, authenticator)
  await page.getByLabel(en.logIn.username).fill('bob')
  await button(page).click()
  await page.getByRole('alert').waitFor()
  t.equal(
    await page.getByRole('alert').textContent(),
    en.passkey.notUsed,
    'it is said that nothing came of it',
  )
  t.equal(await page.getByLabel(en.logIn.username).inputValue(), 'bob', 'and what was typed is there')
  t.strictSame(await violationsOnCopy(page), [], 'axe finds nothing')
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 320, 'no scroll to the side')
  // Autofill, which waits again, may be faster than the hand.
  await authenticator.touch(true)
  await button(page)
    .click({ timeout: 5000 })
    .catch(() => undefined)
  await isBack(t, page, user.sub, 'then')
})

t.test('after a passkey was cancelled, the password works', async t => {
  const { user, page, authenticator } = await person(t, 'carol')
  await cancelOnce(page)
  await openUntouched(page, authenticator)
  await button(page).click()
  await page.getByRole('alert').waitFor()
  await page.getByLabel(en.logIn.username).fill(user.username)
  await page.getByLabel(en.logIn.password).fill(user.password)
  await page.locator('main button[type=submit]').click()
  await page.waitForURL(`${web.origin}/`)
})

t.test('a passkey that is unknown here is told to the browser, which offers it no more', async t => {
  const { user, page, authenticator } = await person(t, 'dave')
  await openUntouched(page, authenticator)
  await authenticator.addPasskey(server, user, false)
  await authenticator.touch(true)
  await button(page).click()
  await page.getByText(en.logIn.problems.passkey_unknown).waitFor()
  await t.resolves(untilGone(authenticator))
})

/** Waits until the browser has taken the passkey away. */
async function untilGone({ credentials }: VirtualAuthenticator): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if ((await credentials()).length === 0) return
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  throw new Error('the browser has it still')
}

t.test('a page that was open for too long says so, and the next try counts', async t => {
  const { user, page, authenticator } = await person(t, 'erin')
  await openUntouched(page, authenticator)
  await authenticator.addPasskey(server, user)
  server.tick(challengeSeconds)
  await authenticator.touch(true)
  await button(page).click()
  await Promise.race([
    page.getByText(en.logIn.problems.passkey_expired).waitFor(),
    page.waitForURL(`${web.origin}/`),
  ])
  // Autofill of the page that follows may be faster than a hand.
  await page.waitForURL(`${web.origin}/`)
  await isBack(t, page, user.sub, 'with the new challenge')
})

t.test('a counter that goes back is recorded, and lets its owner in', async t => {
  const { user, page, authenticator } = await person(t, 'frank')
  await authenticator.addPasskey(server, user)
  await server.ctx.db.sql
    .updateTable('passkeys')
    .set({ counter: 900 })
    .where('user_id', '=', user.id)
    .execute()
  await page.goto(web.start())
  await isBack(t, page, user.sub, 'in')
  const told = await latestAuditEntries(server.ctx.db, {}, 20)
  t.ok(told.some(({ event, user_id }) => event === 'passkey_counter_back' && user_id?.equals(user.id)))
})

t.test('two browsers of one user have a passkey each', async t => {
  for (const title of ['the first', 'the second']) {
    const { user, page, authenticator } = await person(t, 'grace')
    await authenticator.addPasskey(server, user)
    await page.goto(web.start())
    await isBack(t, page, user.sub, title)
  }
})

t.test('a passkey that was set up on the account page logs in', async t => {
  const { user, page, authenticator } = await person(t, 'ivan')
  const { issuer } = server.ctx.config
  await page.goto(`${issuer}/account/passkeys`)
  await page.getByLabel(en.logIn.username).fill(user.username)
  await page.getByLabel(en.logIn.password).fill(user.password)
  await page.locator('main button[type=submit]').click()
  await page.getByLabel(en.passkey.name).fill('Blue key')
  await page.getByRole('button', { name: en.passkey.make }).click()
  // The page of recovery codes is the answer.
  await page.getByRole('button', { name: en.passkey.make }).waitFor({ state: 'detached' })
  t.match(await listPasskeys(server.ctx.db, user.id), [{ name: 'Blue key', rp_id: 'localhost' }])
  t.equal((await authenticator.credentials()).length, 1)

  await page.context().clearCookies()
  await page.goto(web.start())
  await isBack(t, page, user.sub, 'and logs in')
})

t.test('a passkey that was removed here is offered by the browser no more', async t => {
  const { user, page, authenticator } = await person(t, 'judy')
  const passkeys = `${server.ctx.config.issuer}/account/passkeys`
  await authenticator.addPasskey(server, user)
  await page.goto(passkeys)
  await page.waitForURL(passkeys)
  await page.getByRole('button', { name: en.passkey.make }).click()
  await page.getByText(en.passkey.present).waitFor()
  t.equal((await authenticator.credentials()).length, 1, 'a device makes no second one')
  await server.ctx.db.sql.deleteFrom('passkeys').where('user_id', '=', user.id).execute()
  await page.reload()
  await t.resolves(untilGone(authenticator))
})

t.test('after the password, a passkey is the second factor', async t => {
  const { user, page, authenticator } = await person(t, 'kim')
  await openUntouched(page, authenticator)
  await authenticator.addPasskey(server, user)
  await page.getByLabel(en.logIn.username).fill(user.username)
  await page.getByLabel(en.logIn.password).fill(user.password)
  await page.locator('main button[type=submit]').click()
  await page.getByRole('heading', { name: en.secondStep.title }).waitFor()
  await button(page).waitFor()
  t.strictSame(await violationsOnCopy(page), [], 'axe finds nothing')
  await authenticator.touch(true)
  await button(page).click()
  await page.waitForURL(`${web.origin}/`)
  const { tokens } = web.answers.at(-1) ?? {}
  t.match(claimsOf(String(tokens?.['id_token'])), { sub: user.sub, acr: 'phr' })
})

t.test('without scripts, or without passkeys, there is no button, and the form works', async t => {
  const user = await server.user('heidi')
  const context = await browser.newContext({ javaScriptEnabled: false })
  t.teardown(() => context.close())
  const page = await context.newPage()
  await page.goto(web.start())
  t.equal(await button(page).count(), 0)
  await page.getByLabel(en.logIn.username).fill(user.username)
  await page.getByLabel(en.logIn.password).fill(user.password)
  await page.locator('main button[type=submit]').click()
  await page.waitForURL(`${web.origin}/`)
})
