import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { TOTP } from 'otpauth'
import type { Locator } from 'playwright-core'
import t, { type Test } from 'tap'
import { listRecoveryCodes } from '../../db/factors/recovery-codes.ts'
import { findUser } from '../../db/users/users.ts'
import { en } from '../../src/pages/texts/en.ts'
import { startChromium } from '../helpers/chromium.ts'
import { freePort } from '../helpers/free-port.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { runJob } from '../helpers/run-job.ts'
import { startServer } from '../helpers/server.ts'

const browser = await startChromium(t)
const password = 'a wholly other one'

/** Stands before a server, passes on what it is asked at once, and its answers when it may. */
async function slowLine(t: Test, serverPort: number) {
  let gate = Promise.withResolvers<void>()
  gate.resolve()
  const line = createServer(client => {
    const target = connect(serverPort, '127.0.0.1')
    client.pipe(target)
    target.on('data', answer => void gate.promise.then(() => client.write(answer)))
    for (const socket of [client, target])
      socket
        .on('error', () => {})
        .on('close', () => {
          client.destroy()
          target.destroy()
        })
  })
  line.listen(0, '127.0.0.1')
  await once(line, 'listening')
  t.teardown(() => void line.close())
  return {
    port: (line.address() as AddressInfo).port,
    hold: () => void (gate = Promise.withResolvers()),
    release: () => gate.resolve(),
  }
}

const nowhere = { x: 0, y: 0, width: 0, height: 0 }

async function world(t: Test) {
  const mailbox = await openMailbox(t)
  const port = await freePort()
  const line = await slowLine(t, port)
  const issuer = `http://localhost:${line.port}`
  const server = await startServer(t, {
    ...mailbox.env,
    MINTMARK_ISSUER: issuer,
    MINTMARK_SIGN_UP: 'open',
  })
  await server.app.listen({ host: '127.0.0.1', port })
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  /** How often the browser has sent the form of a page. */
  const posts: string[] = []
  page.on('request', request => {
    if (request.method() === 'POST') posts.push(new URL(request.url()).pathname)
  })
  /** Clicks twice before there is an answer. */
  const clickTwice = async (button: Locator) => {
    line.hold()
    await button.scrollIntoViewIfNeeded()
    const { x, y, width, height } = (await button.boundingBox()) ?? nowhere
    for (let click = 0; click < 2; click++) {
      const sent = page.waitForRequest(request => request.method() === 'POST')
      await page.mouse.click(x + width / 2, y + height / 2)
      await sent
    }
    line.release()
  }
  return { server, mailbox, issuer, page, posts, clickTwice }
}

t.test('a double click makes one account, and sets up one app, whose recovery codes are seen', async t => {
  const { server, mailbox, issuer, page, posts, clickTwice } = await world(t)
  const { ctx } = server
  await page.goto(`${issuer}/sign-up`)
  await page.getByLabel('Email address').fill('ada@mail.example')
  await page.keyboard.press('Enter')
  await page.waitForURL(`${issuer}/sign-up?**`)
  await runJob(server, 'doing what was asked for')
  const [mail] = await mailbox.read(server)
  await page.goto(mail?.link ?? '')
  await page.getByLabel(en.recovery.newAccount.username).fill('ada')
  await page.getByLabel(en.recovery.newPassword.label).fill(password)
  posts.length = 0
  await clickTwice(page.getByRole('button', { name: en.recovery.newAccount.submit }))
  await page.getByRole('heading', { name: en.messages.account_made.heading }).waitFor()
  t.strictSame(posts, ['/sign-up', '/sign-up'])

  await page.goto(`${issuer}/account/authenticator`)
  await page.getByLabel('User name').fill('ada')
  await page.getByLabel('Password').fill(password)
  await page.keyboard.press('Enter')
  const key = (await page.locator('.key').textContent()) ?? ''
  const totp = new TOTP({ secret: key.replaceAll(' ', ''), digits: 6, period: 30, algorithm: 'SHA1' })
  await page
    .getByLabel('The code that the app shows now')
    .fill(totp.generate({ timestamp: ctx.clock.now() * 1000 }))
  posts.length = 0
  await clickTwice(page.getByRole('button', { name: 'Set it up' }))
  await page.getByRole('heading', { name: 'Your recovery codes' }).waitFor()
  t.strictSame(posts, ['/account/authenticator', '/account/authenticator'])
  t.equal(await page.locator('.codes li').count(), 10)
  const ada = await findUser(ctx.db, 'ada')
  t.equal((await listRecoveryCodes(ctx.db, ada?.id ?? Buffer.alloc(16))).length, 10)
  await page.getByRole('link', { name: 'I have kept them' }).click()
  await page.waitForURL(`${issuer}/account`)
})

t.test('a refused form is loaded again, and gone back to, without the question to send it again', async t => {
  const { server, issuer, page, posts } = await world(t)
  const ada = await server.user()
  await page.goto(`${issuer}/account/password`)
  await page.getByLabel('User name').fill(ada.username)
  await page.getByLabel('Password').fill('a wrong one')
  await page.keyboard.press('Enter')
  const refusal = page.getByText(en.logIn.problems.wrong_credentials)
  await refusal.waitFor()
  t.equal(posts.length, 1)
  await page.reload()
  await refusal.waitFor()
  await page.goto(`${issuer}/sign-up`)
  await page.goBack()
  await refusal.waitFor()
  t.equal(posts.length, 1, 'it was sent once')
})
