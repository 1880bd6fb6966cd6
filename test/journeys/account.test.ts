import { AxeBuilder } from '@axe-core/playwright'
import { TOTP } from 'otpauth'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { findFactors } from '../../src/factors/factors.ts'
import { rowOf, withMail } from '../helpers/account.ts'
import { startChromium } from '../helpers/chromium.ts'
import { freePort } from '../helpers/free-port.ts'
import { startServer } from '../helpers/server.ts'
import { addAuthenticator } from '../helpers/virtual-authenticator.ts'

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
]

/** Somebody in a window of 320 pixels that says nothing on its console, at a server of their own. */
async function person(t: Test, options: { javaScriptEnabled?: boolean; colorScheme?: 'dark' } = {}) {
  const port = await freePort()
  const issuer = `http://localhost:${port}`
  const server = await startServer(t, { MINTMARK_ISSUER: issuer, ...withMail })
  await server.app.listen({ host: '127.0.0.1', port })
  const user = await server.user()
  const context = await browser.newContext({ viewport: { width: 320, height: 640 }, ...options })
  const faults: string[] = []
  context.on('console', message => faults.push(message.text()))
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
  return { server, user, page, open, issuer }
}

async function axeFindsNothing(t: Test, page: Page, title: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze()
  t.strictSame(
    violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
    [],
    title,
  )
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 320, `${title} fits`)
}

t.test('axe finds nothing on any page of an account, as it is served', async t => {
  for (const colorScheme of [undefined, 'dark'] as const) {
    const { page, open } = await person(t, colorScheme && { colorScheme })
    for (const path of paths) {
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
  await done('We have sent you an email.')

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
