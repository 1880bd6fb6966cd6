import { TOTP } from 'otpauth'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { findFactors } from '../../src/factors/factors.ts'
import { en } from '../../src/pages/texts/en.ts'
import { formatUuid } from '../../src/protocol/secrets.ts'
import { violationsOnCopy } from '../helpers/axe.ts'
import { rowOf, verifiedMail, withMail } from '../helpers/account.ts'
import { isHaste, startChromium } from '../helpers/chromium.ts'
import { freePort } from '../helpers/free-port.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { runJob } from '../helpers/run-job.ts'
import { isTurn } from '../helpers/runs.ts'
import { startServer } from '../helpers/server.ts'
import { addAuthenticator } from '../helpers/virtual-authenticator.ts'
import { startWebApp } from '../helpers/web-app.ts'

const browser = await startChromium(t)

const paths = [
  '',
  '/profile',
  '/mail',
  '/password',
  '/passkeys',
  '/authenticator',
  '/recovery-codes',
  '/places',
  '/apps',
  '/tokens',
  '/tokens/new',
]

type WindowOptions = { readonly javaScriptEnabled?: boolean; readonly colorScheme?: 'dark' }

/** Somebody in a window of 320 pixels that says nothing on its console, at a server of their own. */
async function person(t: Test, options: WindowOptions = {}, env: Record<string, string> = withMail) {
  const port = await freePort()
  const issuer = `http://localhost:${port}`
  const server = await startServer(t, { MINTMARK_ISSUER: issuer, ...env })
  await server.app.listen({ host: '127.0.0.1', port })
  const user = await server.user()
  await server.resource('https://api.example', { scope: 'read write admin', personal_access_tokens: 1 })
  const context = await browser.newContext({ viewport: { width: 320, height: 640 }, ...options })
  const faults: string[] = []
  context.on('console', message => {
    // The browser's own words for a page with such a status.
    const isStatus = /^Failed to load resource: .* status of 4\d\d /.test(message.text())
    if (!isStatus && !isHaste(message.text())) faults.push(message.text())
  })
  context.on('weberror', error => faults.push(String(error.error())))
  t.teardown(async () => {
    await context.close()
    // Too late for an assertion, but this fails the test too.
    if (faults.length > 0) throw new Error(faults.join('\n'))
  })
  const page = await context.newPage()
  const open = async (path: string) => {
    await page.goto(`${issuer}/account${path}`)
    if (!page.url().includes('/log-in')) return
    await page.getByLabel('User name').fill(user.username)
    await page.getByLabel('Password').fill(user.password)
    await page.keyboard.press('Enter')
    await page.waitForURL(`${issuer}/account${path}`)
  }
  return { server, user, context, page, open, issuer }
}

async function axeFindsNothing(t: Test, page: Page, title: string): Promise<void> {
  t.strictSame(await violationsOnCopy(page), [], title)
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 320, `${title} fits`)
}

t.test('axe finds nothing on any page of an account, as it is served', async t => {
  for (const [way, colorScheme] of ([undefined, 'dark'] as const).entries()) {
    const { page, open } = await person(t, colorScheme && { colorScheme })
    for (const [place, path] of paths.entries()) {
      if (!isTurn(place, way, 2)) continue
      await open(path)
      await axeFindsNothing(t, page, path)
    }
  }
})

t.test('a passkey is added by the script, comes with recovery codes, is renamed and removed', async t => {
  const { server, user, page, open, issuer } = await person(t)
  await addAuthenticator(page)
  await open('/passkeys')
  await page.locator('#passkey-name').fill('Phone')
  await page.locator('button[data-passkey]').click()
  await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor()
  await axeFindsNothing(t, page, 'recovery codes')
  const codes = page
    .getByRole('list', { name: 'Recovery codes, each of which works once' })
    .getByRole('listitem')
  t.equal(await codes.count(), 10)
  await page.getByRole('link', { name: 'I have kept them' }).click()
  await page.waitForURL(`${issuer}/account/passkeys`)
  await page.getByRole('link', { name: 'Rename or remove Phone' }).click()
  await page.getByLabel('What you call it').fill('Old phone')
  await axeFindsNothing(t, page, 'one passkey')
  await page.keyboard.press('Enter')
  await page.getByRole('status').getByText('was renamed').waitFor()
  await page.getByRole('link', { name: 'Rename or remove Old phone' }).click()
  await page.getByText('Remove this passkey').first().click()
  await page.getByRole('button', { name: 'Remove this passkey' }).click()
  await page.getByRole('status').getByText('was removed').waitFor()
  t.strictSame((await findFactors(server.ctx, user.id)).passkeys, [])
})

t.test('without JavaScript everything but passkeys can be changed, by the keyboard alone', async t => {
  const { server, user, page, open, issuer } = await person(t, { javaScriptEnabled: false })
  const done = (text: string) => page.getByRole('status').getByText(text).waitFor()
  await open('/profile')
  await page.getByLabel('Full name').focus()
  await page.keyboard.type('Ada Lovelace')
  await page.keyboard.press('Enter')
  await page.waitForURL(`${issuer}/account`)
  await done('Your details were saved.')
  await page.reload()
  t.equal(await page.getByRole('status').count(), 0, 'told once')

  await open('/mail')
  await page.getByLabel('New email address').fill('ada@mail.example')
  await page.keyboard.press('Enter')
  await done('An email is on its way to your new address')

  await open('/authenticator')
  t.equal(await page.getByRole('img', { name: 'QR code for the authenticator app' }).count(), 1)
  const key = (await page.locator('.key').textContent()) ?? ''
  const totp = new TOTP({ secret: key.replaceAll(' ', ''), digits: 6, period: 30, algorithm: 'SHA1' })
  await page
    .getByLabel('The code that the app shows now')
    .fill(totp.generate({ timestamp: server.ctx.clock.now() * 1000 }))
  await page.keyboard.press('Enter')
  await page.getByRole('link', { name: 'I have kept them' }).click()
  await page.waitForURL(`${issuer}/account`)

  await open('/password')
  await page.getByLabel('New password', { exact: true }).fill('nine dragons rest at noon')
  await page.getByLabel('New password once more').fill('nine dragons rest at noon')
  await page.keyboard.press('Enter')
  await page.waitForURL(`${issuer}/account`)
  await done('Your password was changed')
  t.equal((await rowOf(server, user)).epoch, 1)

  await open('/passkeys')
  t.equal(await page.getByRole('heading', { name: 'Your passkeys' }).count(), 1, 'the page says what it is')
  await open('/places')
  t.match(
    await page.getByRole('heading', { level: 2 }).first().textContent(),
    'This browser: Chrome on Linux',
  )
})

t.test('a token is made by the keyboard without JavaScript, copied, and shown no second time', async t => {
  const { server, page, open, issuer } = await person(t, { javaScriptEnabled: false })
  const gateway = await server.client('gateway', { introspects: 'https://api.example' })
  await open('')
  await page.getByRole('link', { name: 'Personal access tokens' }).press('Enter')
  await page.getByRole('link', { name: 'Make a token' }).press('Enter')
  await page.waitForURL(`${issuer}/account/tokens/new`)
  t.equal(await page.getByRole('checkbox').count(), 2, 'what takes a second factor is told beside them')
  await page.getByLabel('Name of the token').focus()
  await page.keyboard.type('nightly report')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Space')
  t.ok(await page.getByRole('group', { name: 'It may:' }).getByLabel('read').isChecked())
  await page.getByRole('button', { name: 'Make the token' }).press('Enter')
  await page.getByRole('heading', { name: 'Your new token' }).waitFor()
  await page.keyboard.press('Control+a')
  await page.keyboard.press('Control+c')
  const text = await page.getByLabel('nightly report').inputValue()
  t.match(await server.introspect(gateway, text), { active: true, scope: 'read' })
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 320)

  await page.goBack()
  await page.getByLabel('Name of the token').waitFor()
  await page.getByRole('link', { name: 'Back to your account' }).press('Enter')
  await page.getByRole('link', { name: 'Personal access tokens' }).press('Enter')
  await page.getByRole('link', { name: 'Make a token' }).press('Enter')
  await page.getByLabel('Name of the token').focus()
  await page.keyboard.type('nightly report')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Tab')
  // The very same form would be answered by the very same page for a while.
  await page.keyboard.press('Space')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').getByText('You have a token of this name already.').waitFor()
  // The name was typed, so this is pasted where it was copied to.
  await page.getByLabel('Name of the token').fill('')
  await page.keyboard.press('Control+v')
  t.equal(await page.getByLabel('Name of the token').inputValue(), text)

  await open('/tokens')
  t.notOk((await page.content()).includes(text))
  await page.getByRole('button', { name: 'End it nightly report' }).press('Enter')
  await page.getByRole('status').getByText('The token was ended.').waitFor()
  t.strictSame(await server.introspect(gateway, text), { active: false })
})

/** Somebody who gets mails, and an app to log in to. */
async function reader(t: Test, options: WindowOptions = {}) {
  const mailbox = await openMailbox(t)
  const one = await person(t, options, { ...mailbox.env, MINTMARK_SIGN_UP: 'open' })
  const { server, page } = one
  const app = await startWebApp(t, server, 'web', { host: '127.0.0.1' })
  return {
    ...one,
    app,
    /** The link of the mail that has come. */
    link: async () => {
      await runJob(server, 'doing what was asked for')
      const mails = await mailbox.read(server)
      return mails.find(({ link }) => link?.includes('?link='))?.link ?? ''
    },
    /** The browser is back at the app, which knows who has logged in. */
    isBack: async (at = page) => {
      await at.waitForURL(`${app.origin}/`)
      const [, payload = ''] = String(app.answers.at(-1)?.tokens?.['id_token']).split('.')
      return JSON.parse(Buffer.from(payload, 'base64url').toString()).sub
    },
  }
}

/** What password managers and phones look at, field by field. */
const fieldsOf = (page: Page) =>
  page
    .locator('input:not([type=hidden])')
    .evaluateAll(inputs =>
      inputs.map(input => ['name', 'type', 'autocomplete'].map(name => input.getAttribute(name))),
    )

/** As for somebody with scripts, which axe is. */
async function axeFindsNothingAt(t: Test, urls: Readonly<Record<string, string>>): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 320, height: 640 } })
  t.teardown(() => context.close())
  const page = await context.newPage()
  for (const [title, url] of Object.entries(urls)) {
    await page.goto(url)
    await axeFindsNothing(t, page, title)
  }
}

const newPassword = 'nine dragons rest at noon'

t.test('NP-6 a forgotten password is reset in another tab, and the one that waits goes on', async t => {
  const { server, user, context, page, app, link, isBack } = await reader(t, { colorScheme: 'dark' })
  await verifiedMail(server, user)
  await page.goto(app.start())
  await page.getByRole('link', { name: en.recovery.forgotten }).click()
  await axeFindsNothing(t, page, 'asking for a link')
  t.strictSame(await fieldsOf(page), [['username', null, 'username']])
  await page.getByLabel(en.recovery.askReset.label).fill(user.username)
  await page.keyboard.press('Enter')
  await page.getByRole('status').getByText(en.recovery.sent.reset).waitFor()
  await axeFindsNothing(t, page, 'a mail is on its way')

  const tab = await context.newPage()
  await tab.goto(await link())
  await axeFindsNothing(t, tab, 'a new password')
  t.strictSame(await fieldsOf(tab), [
    [null, null, 'username'],
    ['password', 'password', 'new-password'],
  ])
  t.equal(await tab.locator('input[autocomplete=username]').inputValue(), user.username)
  await tab.getByLabel(en.recovery.newPassword.label).fill('password')
  await tab.keyboard.press('Enter')
  await tab.getByRole('alert').waitFor()
  await axeFindsNothing(t, tab, 'one that everybody has')
  await tab.getByLabel(en.recovery.newPassword.label).fill(newPassword)
  await tab.keyboard.press('Enter')
  // It goes on with the log-in that was under way, which it does not stand in for.
  await tab.getByLabel(en.logIn.password).waitFor()
  t.equal(await tab.getByLabel(en.logIn.username).inputValue(), user.username)

  // The tab that has waited goes on too, and is the first.
  await page.getByRole('link', { name: en.recovery.sent.goOnReset }).click()
  await page.getByLabel(en.logIn.username).fill(user.username)
  await page.getByLabel(en.logIn.password).fill(newPassword)
  await page.keyboard.press('Enter')
  t.equal(await isBack(), user.sub)
  await tab.getByLabel(en.logIn.password).fill(newPassword)
  await tab.keyboard.press('Enter')
  await tab.getByRole('heading', { name: en.messages.request_used.heading }).waitFor()
  await tab.getByRole('link', { name: 'The web app' }).click()
  await tab.waitForURL(`${app.origin}/`)
})

t.test('somebody signs up without JavaScript, in two tabs of which one has the account', async t => {
  const { context, page, app, link, isBack, server, issuer } = await reader(t, { javaScriptEnabled: false })
  await page.goto(app.start({ prompt: 'create' }))
  t.strictSame(await fieldsOf(page), [['email', 'email', 'email']])
  await page.keyboard.type('bob@mail.example')
  await page.keyboard.press('Enter')
  await page.getByRole('status').getByText(en.recovery.sent.signUp).waitFor()

  const [first, second] = [await context.newPage(), await context.newPage()]
  const href = await link()
  for (const tab of [first, second]) await tab.goto(href)
  await axeFindsNothingAt(t, { 'signing up': `${issuer}/sign-up`, 'a new account': href })
  t.strictSame(await fieldsOf(first), [
    ['username', null, 'username'],
    ['password', 'password', 'new-password'],
  ])
  for (const [tab, username] of [
    [first, 'bob'],
    [second, 'bobby'],
  ] as const) {
    await tab.getByLabel(en.recovery.newAccount.username).fill(username)
    await tab.getByLabel(en.recovery.newPassword.label).fill(newPassword)
    await tab.keyboard.press('Enter')
  }
  await second.getByRole('heading', { name: en.messages.link_used.heading }).waitFor()
  t.equal(await first.getByLabel(en.logIn.username).inputValue(), 'bob')
  await first.getByLabel(en.logIn.password).fill(newPassword)
  await first.keyboard.press('Enter')
  const sub = await isBack(first)
  const users = await server.ctx.db.sql.selectFrom('users').select(['id', 'username']).execute()
  t.equal(users.find(({ id }) => formatUuid(id) === sub)?.username, 'bob')
  t.equal(users.length, 2)
})

t.test('a mail address is confirmed without JavaScript, by who knows whose account it is', async t => {
  const { server, user, page, open, link } = await reader(t, { javaScriptEnabled: false })
  await open('/mail')
  await page.getByLabel('New email address').fill('lovelace@mail.example')
  await page.keyboard.press('Enter')
  await page.getByRole('status').waitFor()
  const phone = await browser.newContext({ viewport: { width: 320, height: 640 }, javaScriptEnabled: false })
  t.teardown(() => phone.close())
  const elsewhere = await phone.newPage()
  const href = await link()
  await elsewhere.goto(href)
  await axeFindsNothingAt(t, { 'confirming it elsewhere': href })
  t.strictSame(await fieldsOf(elsewhere), [['username', null, 'username']])
  await elsewhere.getByLabel(en.recovery.verify.username).fill('eve')
  await elsewhere.keyboard.press('Enter')
  await elsewhere.getByRole('alert').waitFor()
  t.strictSame(JSON.parse((await rowOf(server, user)).claims), {})

  await page.goto(href)
  t.strictSame(await fieldsOf(page), [], 'where its owner is logged in, a button is enough')
  await page.locator('main button[type=submit]').click()
  await page.getByRole('heading', { name: en.messages.address_confirmed.heading }).waitFor()
  t.match(JSON.parse((await rowOf(server, user)).claims), {
    email: 'lovelace@mail.example',
    email_verified: true,
  })
})
