import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { findUser } from '../../db/users/users.ts'
import { consoleWorld, isSaid, openConsole, press, title } from '../helpers/console.ts'

/** What goes wrong around the console, and nothing is lost, done unasked or overwritten by it. */
export async function testTrouble(t: Test, browser: Browser): Promise<void> {
  const world = await consoleWorld(t)
  const { server, root } = world
  const { db } = server.ctx

  /** From now on a change asks for another log-in. */
  const ageLogIns = async () => {
    const longAgo = { auth_time: Math.floor(Date.now() / 1000) - 3700 }
    await db.sql.updateTable('sign_ins').set(longAgo).where('user_id', '=', root.id).execute()
  }
  const logInAgain = async (page: Page) => {
    await page.waitForURL('**/log-in?*')
    await page.getByLabel('Password').fill(root.password)
    await page.keyboard.press('Enter')
  }
  const inDialog = (page: Page, name: string) =>
    page.getByRole('dialog').getByRole('button', { name, exact: true }).click()

  await t.test('nothing is deleted before its whole name is typed, whatever signs are in it', async t => {
    const eve = await server.user('eve-b@example.com')
    const page = await openConsole(t, browser, world, { path: `/users/${eve.sub}?act=delete` })
    const field = page.getByLabel('Type eve-b@example.com to confirm')
    await field.fill('eve')
    await inDialog(page, 'Delete for good')
    t.equal(await page.evaluate("document.querySelector('dialog input').validity.patternMismatch"), true)
    t.ok(await findUser(db, eve.username), 'she is there still')
    await field.fill('eve-b@example.com')
    await inDialog(page, 'Delete for good')
    await isSaid(page, 'eve-b@example.com was deleted.')
  })

  await t.test('what was typed before a log-in is there after it, also in fields that come late', async t => {
    await server.client('orders', { client_name: 'Orders' })
    const page = await openConsole(t, browser, world, { path: '/clients/orders' })
    await ageLogIns()
    await page.reload()
    await press(page, 'Change')
    await page.getByLabel('Client name').fill('Other orders')
    await page.getByLabel('Refresh', { exact: true }).selectOption('strict')
    await inDialog(page, 'Change')
    await logInAgain(page)
    await page.getByRole('alert').getByText('Nothing was done yet').waitFor()
    t.equal(await page.getByLabel('Client name').inputValue(), 'Other orders')
    t.equal(await page.getByLabel('Refresh', { exact: true }).inputValue(), 'strict')
    await inDialog(page, 'Change')
    await isSaid(page, 'The client was changed.')
    t.match(await findClient(db, 'orders'), { client_name: 'Other orders' })
  })

  await t.test('what somebody else has changed during that log-in is not overwritten', async t => {
    const ada = await server.user('ada', 'reader')
    const page = await openConsole(t, browser, world, { path: `/users/${ada.sub}` })
    await ageLogIns()
    await page.reload()
    await press(page, 'Change roles')
    const roles = page.getByRole('textbox', { name: 'Roles' })
    await roles.fill('reader editor')
    await inDialog(page, 'Change')
    await page.waitForURL('**/log-in?*')
    await db.sql.updateTable('users').set({ roles: 'owner' }).where('id', '=', ada.id).execute()
    await logInAgain(page)
    await page.getByRole('alert').getByText('Somebody else has changed this').waitFor()
    t.equal(await roles.inputValue(), 'owner')
  })

  await t.test('what was typed is put into its own form and no other', async t => {
    const [bob, cy] = [await server.user('bob'), await server.user('cy')]
    const page = await openConsole(t, browser, world, { path: `/users/${bob.sub}?act=rename` })
    await page.getByLabel('User name').fill('robert')
    await ageLogIns()
    await page.reload()
    await page.getByLabel('User name').fill('robert')
    await inDialog(page, 'Rename')
    await page.waitForURL('**/log-in?*')
    await db.sql.deleteFrom('users').where('id', '=', bob.id).execute()
    await logInAgain(page)
    await page.getByRole('alert').getByText('removed by somebody else').waitFor()
    await page.getByRole('link', { name: 'Users' }).first().click()
    await page.getByRole('link', { name: 'cy', exact: true }).click()
    await title(page, 'cy')
    await press(page, 'Rename')
    t.equal(await page.getByLabel('User name').inputValue(), cy.username)
    t.equal(await page.getByRole('alert').count(), 0)
  })

  await t.test(
    'a proxy that answers for a server that is away is a lost connection, which heals',
    async t => {
      const viewport = { width: 320, height: 300 }
      const page = await openConsole(t, browser, world, { path: '/users', viewport })
      await page.getByRole('link', { name: 'root' }).waitFor()
      const isLost = page.getByText('There is no connection to the server.')
      const away = async (status: number) =>
        page.route(/\/admin\/v1\/|\/token$/, route =>
          route.fulfill({ status, contentType: 'text/html', body: 'Away' }),
        )
      for (const [status, height] of [
        [502, 300],
        [503, 1600],
      ] as const) {
        await page.setViewportSize({ width: 320, height })
        await away(status)
        await page.getByLabel('Find a user').fill(`r${status}`)
        await isLost.waitFor()
        await page.evaluate('scrollTo(0, 1e6)')
        const { y = -1, height: taken = height } = (await isLost.boundingBox()) ?? {}
        t.ok(y >= 0, 'it is on the screen wherever one reads')
        t.ok(taken < 150, 'and takes no more of it than its words')
        await page.unrouteAll()
        await page.getByText(`begins with r${status}`).waitFor()
        await isLost.waitFor({ state: 'hidden' })
      }

      const dora = await server.user('dora')
      await page.goto(`${world.home}/users/${dora.sub}?act=rename`)
      await page.getByLabel('User name').fill('dorothy')
      await away(502)
      await inDialog(page, 'Rename')
      await page.getByRole('dialog').getByText('There is no connection to the server.').waitFor()
      await page.unrouteAll()
      await isSaid(page, 'dora logs in as dorothy')

      // Nothing tells whether a change that may not be sent twice was made.
      await press(page, 'Change roles')
      await page.getByRole('textbox', { name: 'Roles' }).fill('editor')
      await away(502)
      await inDialog(page, 'Change')
      await page.getByRole('alert').getByText('Look whether it was done').waitFor()
    },
  )

  await t.test('back and forth are as many steps as there were views', async t => {
    const fay = await server.user('fay')
    const page = await openConsole(t, browser, world, { path: '/users?search=fay' })
    await page.getByRole('link', { name: 'fay', exact: true }).click()
    await title(page, 'fay')
    const dialog = page.getByRole('dialog')
    for (const close of ['Escape', 'Cancel', 'back', 'Change']) {
      await press(page, 'Change roles')
      if (close === 'back') await page.goBack()
      else if (close === 'Escape') await page.keyboard.press('Escape')
      else await inDialog(page, close)
      await dialog.waitFor({ state: 'detached' })
      await page.waitForURL(`${world.home}/users/${fay.sub}`)
    }
    await page.goBack()
    await title(page, 'Users')
    t.equal(await page.evaluate('location.search'), '?search=fay')

    await press(page, 'Add a user')
    await page.getByLabel('User name').fill('gus')
    await page.getByLabel('Password').fill('correct horse battery staple')
    await inDialog(page, 'Add')
    await title(page, 'gus')
    await page.goBack()
    await title(page, 'Users')
    t.equal(await dialog.count(), 0, 'the form of what was made does not come back')

    await page.goto(`${world.home}/clients`)
    await press(page, 'Add a client')
    await page.getByLabel('Id', { exact: true }).fill('made')
    await page.getByLabel('Redirect URIs').fill('https://made.example/callback')
    await inDialog(page, 'Add')
    await page.locator('.secret').waitFor()
    await page.goBack()
    await page.getByRole('link', { name: 'made', exact: true }).waitFor()
  })

  await t.test('a count of what will end is never that of another choice', async t => {
    const app = await server.client('shop')
    const hal = await server.user('hal')
    for (let i = 0; i < 3; i++) await server.logIn(app, hal)
    const page = await openConsole(t, browser, world, { path: '/sessions?act=end-many' })
    await page.getByRole('combobox').selectOption('begun more than so many days ago')
    await page.getByText('This ends 0 sessions').waitFor()
    let asked = () => {}
    const isAsked = new Promise<void>(resolve => (asked = resolve))
    await page.route('**/sessions/count*', () => asked())
    await page.getByRole('combobox').selectOption('every session there is')
    await isAsked
    t.equal(await page.getByText('This ends 0 sessions').count(), 0)
    await page.getByText('Counting what will end').waitFor()
    await page.unrouteAll()
    await page.getByRole('combobox').selectOption('begun more than so many days ago')
    await page.getByText('This ends 0 sessions').waitFor()
    // Enter in this field sends the form at once.
    await page.route('**/sessions/count*', () => {})
    await page.getByLabel('Days').fill('31')
    await page.getByText('Counting what will end').waitFor()
  })

  await t.test('roles that are given or taken while it is open count from the next token on', async t => {
    const ivy = await server.user('ivy', 'mintmark:support')
    const page = await openConsole(t, browser, world, { user: ivy })
    const keys = page.getByRole('link', { name: 'Keys', exact: true })
    for (const [roles, count] of [
      ['mintmark:admin', 1],
      ['mintmark:support', 0],
    ] as const) {
      t.equal(await keys.count(), 1 - count)
      await db.sql.updateTable('users').set({ roles }).where('id', '=', ivy.id).execute()
      // As if its time were up.
      const refused = { status: 401, headers: { 'www-authenticate': 'DPoP error="invalid_token"' } }
      await page.route('**/admin/v1/users*', route => route.fulfill(refused), { times: 1 })
      await page.getByRole('link', { name: 'Groups', exact: true }).click()
      await page.getByRole('link', { name: 'Users', exact: true }).click()
      await keys.waitFor({ state: count === 1 ? 'visible' : 'detached' })
    }
  })

  await t.test('a page that cannot load its script, or its charts, says what to do', async t => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    const page = await context.newPage()
    await page.route('**/console/assets/*', route => route.fulfill({ status: 404 }))
    await page.goto(world.home)
    await page.getByText('load this page again').waitFor()

    const other = await openConsole(t, browser, world, { path: '/users' })
    await other.route('**/console/assets/plot*', route => route.fulfill({ status: 404 }))
    await other.getByRole('link', { name: 'Overview' }).click()
    await other.getByText('The lines cannot be drawn: load this page again.').first().waitFor()
  })

  await t.test('a page that the browser has kept is loaded anew, and shows nothing that is over', async t => {
    const page = await openConsole(t, browser, world, { path: '/users' })
    await title(page, 'Users')
    const loaded = page.waitForEvent('load')
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await loaded
    await title(page, 'Users')
    t.pass('it was loaded')
  })
}
