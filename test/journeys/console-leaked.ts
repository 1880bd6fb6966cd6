import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { formatUuid } from '../../src/protocol/secrets.ts'
import { consoleWorld, openConsole, press } from '../helpers/console.ts'
import { personalToken } from '../helpers/personal-tokens.ts'

/** The ways through an emergency. */
export async function testLeaked(t: Test, browser: Browser): Promise<void> {
  const world = await consoleWorld(t)
  const { server } = world
  const ada = await server.user('ada')
  const app = await server.client('orders')
  const follow = (page: Page, name: string | RegExp) => page.getByRole('link', { name }).click()
  const steps = (page: Page) => page.locator('.steps h2').allTextContents()

  await t.test('a token leads to its session, is sent nowhere, and the session is ended', async t => {
    const { access_token: token, refresh_token: refreshToken } = await server.logIn(app, ada)
    const page = await openConsole(t, browser, world)
    const sent: string[] = []
    page.on('request', request => sent.push(request.url() + (request.postData() ?? '')))
    await follow(page, 'Something leaked')
    await follow(page, 'A token')
    const field = page.getByLabel('The token')
    await field.fill('mm_rt_no_token')
    await press(page, 'Find its session')
    await page.getByRole('alert').getByText('This is no token that names its session').waitFor()
    for (const text of [refreshToken, refreshToken.slice(0, 40), token]) {
      await field.fill(text)
      await press(page, 'Find its session')
      await page.getByRole('status').getByText('It is of a session of ada through orders').waitFor()
      await page.getByRole('heading', { name: 'End its session' }).waitFor()
      t.equal(await field.inputValue(), '')
      await field.fill('nothing')
      await press(page, 'Find its session')
      await page.getByRole('alert').waitFor()
    }
    await field.fill(token)
    await press(page, 'Find its session')
    await follow(page, 'End this session…')
    await page.getByRole('dialog').getByRole('button', { name: 'End it' }).click()
    await page.getByRole('status').getByText('The session has ended.').waitFor()
    t.strictSame(
      sent.filter(text => text.includes(token) || text.includes(refreshToken)),
      [],
    )
    const again = { grant_type: 'refresh_token', refresh_token: refreshToken, ...app.form }
    t.equal((await server.post('/token', again)).statusCode, 400)
  })

  await t.test(
    'a personal access token says whose it is, by its beginning or its id too, and is ended',
    async t => {
      const gateway = await server.client('gateway', { introspects: 'https://api.example' })
      await server.resource('https://api.example', { personal_access_tokens: 1 })
      const { text, sessionId } = await personalToken(server, ada, { name: 'nightly' })
      const page = await openConsole(t, browser, world, { path: '/leaked/token' })
      const sent: string[] = []
      page.on('request', request => sent.push(request.url() + (request.postData() ?? '')))
      const field = page.getByLabel('The token')
      const told = page
        .getByRole('status')
        .getByText('It is a personal access token of ada, for https://api.example, with read.')
      for (const shown of [formatUuid(sessionId), text.slice(0, 40), text]) {
        await field.fill(shown)
        await press(page, 'Find its session')
        await told.getByText('It lives.').waitFor()
        t.strictSame((await steps(page))[0], 'End it', shown.slice(0, 7))
        await field.fill('nothing')
        await press(page, 'Find its session')
        await told.waitFor({ state: 'detached' })
      }
      await field.fill(text)
      await press(page, 'Find its session')
      await follow(page, 'End this token…')
      const dialog = page.getByRole('dialog', { name: 'End the token “nightly” of ada' })
      await dialog.getByRole('button', { name: 'End it' }).click()
      await page.getByRole('status').getByText('The token “nightly” has ended.').waitFor()
      t.strictSame(await server.introspect(gateway, text), { active: false })
      t.notOk(sent.some(one => one.includes(text.slice(7, 50))))
      await page.goto(`${world.home}/leaked/token?sid=${formatUuid(sessionId)}`)
      await page.getByRole('status').getByText('It has ended: revoked').waitFor()
      t.notOk((await steps(page)).includes('End it'))
      await page.goto(`${world.home}/leaked/token?sid=01a21e39-52f8-7aa0-8e8e-00d9de63bdaf`)
      await page.getByRole('alert').getByText('there is no session', { exact: false }).waitFor()
    },
  )

  await t.test('of a user it says what will end before anything is done', async t => {
    await server.logIn(app, ada)
    await server.logIn(app, ada)
    const page = await openConsole(t, browser, world, { path: '/leaked/user' })
    await page.getByLabel('Whose?').fill('ad')
    await follow(page, 'ada')
    await page.getByText('This ends 2 sessions in apps').first().waitFor()
    t.equal((await steps(page)).length, 4)
    await follow(page, 'Set a password…')
    await page.getByRole('dialog').getByText('This ends 2 sessions in apps').waitFor()
  })

  await t.test('a secret and a key lead to the acts that end them', async t => {
    const page = await openConsole(t, browser, world, { path: '/leaked/secret' })
    await follow(page, 'orders')
    t.equal((await steps(page)).length, 4)
    await follow(page, 'Make a new secret…')
    await page.getByRole('dialog', { name: 'A new secret for orders' }).waitFor()
    await page.goto(`${world.home}/leaked/key`)
    await page
      .getByText(/^Up to [\d,]+ living tokens? that it has signed/)
      .first()
      .waitFor()
    await page.getByRole('link', { name: 'Revoke this key…' }).first().click()
    await page.getByRole('dialog', { name: /^Revoke the key/ }).waitFor()
  })

  await t.test('who may only help is led to what such people may do', async t => {
    const sue = await server.user('sue', 'mintmark:support')
    const page = await openConsole(t, browser, world, { user: sue, path: '/leaked' })
    const refused: string[] = []
    page.on('response', response => void (response.status() === 403 && refused.push(response.url())))
    t.strictSame(await page.locator('main .row').allTextContents(), [
      'A token',
      'A password or a device of somebody',
    ])
    await page.goto(`${world.home}/leaked/user?sub=${ada.sub}`)
    await page.getByText('This ends 2 sessions in apps').waitFor()
    t.strictSame(await steps(page), ['End all sessions'])
    await follow(page, 'End all sessions…')
    await page.getByRole('dialog').waitFor()
    await press(page, 'End them')
    await page.getByText('Done: 2 sessions ended.').waitFor()
    await press(page, 'Close')
    t.strictSame(await page.locator('main .title .acts button').first().textContent(), 'End all sessions')
    t.strictSame(refused, [])
  })
}
