import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { findUser } from '../../db/users/users.ts'
import { buildConsole } from '../helpers/built-console.ts'
import { startChromium } from '../helpers/chromium.ts'
import { axeFindsNothing, axeFindsNothingIn } from '../helpers/console-axe.ts'
import { freePort } from '../helpers/free-port.ts'
import { runJob } from '../helpers/run-job.ts'
import { testAudit } from './console-audit.ts'
import { testLeaked } from './console-leaked.ts'
import { testOverview } from './console-overview.ts'
import { testTrouble } from './console-trouble.ts'
import {
  consoleWorld,
  goTo,
  isSaid,
  isSettled,
  logIn,
  openConsole,
  press,
  title,
  type ConsoleWorld,
} from '../helpers/console.ts'

const folder = await buildConsole()
const browser = await startChromium(t)

const userNamed = async ({ server }: ConsoleWorld, name: string) => findUser(server.ctx.db, name)

t.test('somebody logs in, reloads a view without seeing a log-in, and logs out of everything', async t => {
  const world = await consoleWorld(t)
  const ada = await world.server.user('ada')
  const page = await openConsole(t, browser, world, { path: `/users/${ada.sub}` })
  await title(page, 'ada')
  t.equal(page.url(), `${world.home}/users/${ada.sub}`, 'the log-in has come back to the view')
  const pages: string[] = []
  page.on('domcontentloaded', page => pages.push(new URL(page.url()).pathname))
  await page.reload()
  await title(page, 'ada')
  t.notOk(pages.includes('/log-in'), 'a reload shows no log-in')
  const stored = await page.evaluate(
    'JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])',
  )
  t.equal(stored, '[{},{},""]', 'nothing of it lies in the browser')

  const other = await page.context().newPage()
  await other.goto(`${world.home}/users`)
  await title(other, 'Users')
  await press(page, 'Log out')
  await page.waitForURL('**/log-in?*')
  await other.getByLabel('Find a user').fill('a')
  await other.waitForURL('**/log-in?*')
  t.pass('the other tab has ended too')
})

t.test('an act that needs a new log-in asks for it, comes back, and does it then', async t => {
  const world = await consoleWorld(t)
  const ada = await world.server.user('ada')
  const page = await openConsole(t, browser, world, { path: `/users/${ada.sub}` })
  const { db } = world.server.ctx
  const longAgo = { auth_time: Math.floor(Date.now() / 1000) - 3700 }
  await db.sql.updateTable('sign_ins').set(longAgo).where('user_id', '=', world.root.id).execute()
  await page.reload()
  await title(page, 'ada')
  await press(page, 'Change roles')
  await page.getByRole('textbox', { name: 'Roles' }).fill('editor')
  await press(page, 'Change')
  await page.waitForURL('**/log-in?*')
  t.equal((await userNamed(world, 'ada'))?.roles, '', 'nothing was done yet')
  await page.getByLabel('Password').fill(world.root.password)
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor()
  t.equal(
    await page.getByRole('textbox', { name: 'Roles' }).inputValue(),
    'editor',
    'what was typed is still there',
  )
  await press(page, 'Change')
  await isSaid(page, 'The roles were changed.')
  t.equal((await userNamed(world, 'ada'))?.roles, 'editor')
})

t.test(
  'beside an admin API with a listener of its own it works too, with tokens from the issuer',
  async t => {
    const adminPort = await freePort()
    const world = await consoleWorld(t, { MINTMARK_ADMIN_PORT: String(adminPort) })
    const ada = await world.server.user('ada')
    const page = await openConsole(t, browser, world, { path: `/users/${ada.sub}?act=disable` })
    t.equal(new URL(page.url()).port, String(adminPort))
    await page.getByRole('dialog').getByRole('button', { name: 'Disable' }).click()
    await isSaid(page, 'ada is disabled')
    await press(page, 'Log out')
    await page.waitForURL(`${world.issuer}/log-in?*`)
  },
)

t.test('who is no administrator is told so, and so is who is none any more', async t => {
  const world = await consoleWorld(t)
  const ada = await world.server.user('ada')
  const page = await openConsole(t, browser, world, { user: ada })
  await title(page, 'You are not an administrator')
  await page.getByText('mintmark user update ada --role mintmark:admin').waitFor()
  t.equal(await page.getByRole('navigation').count(), 0)
  await press(page, 'Log in as somebody else')
  await logIn(page, world.root)
  await title(page, 'Overview')
  await page.waitForLoadState('networkidle')
  const { db } = world.server.ctx
  await db.sql.updateTable('users').set({ roles: '' }).where('id', '=', world.root.id).execute()
  await page.getByRole('link', { name: 'Users' }).click()
  await title(page, 'You are not an administrator')
})

t.test('whoever may only help sees why the rest is not for them', async t => {
  const world = await consoleWorld(t)
  const sue = await world.server.user('sue', 'mintmark:support')
  const page = await openConsole(t, browser, world, { user: sue, path: '/users' })
  await page.getByRole('link', { name: 'sue', exact: true }).waitFor()
  await page.goto(`${world.home}/clients`)
  await page.getByText('Ask an administrator').waitFor()
  for (const path of ['/clients/x', '/keys/policy', '/streams', '/audit', '/imports', '/claims/x']) {
    await goTo(page, world.home + path)
    await title(page, 'This is for administrators')
  }
  await goTo(page, `${world.home}/leaked/key`)
  await title(page, 'Something leaked')
  t.equal(await page.getByRole('navigation').count(), 1)
  for (const act of ['delete', 'roles', 'password', 'disable']) {
    await goTo(page, `${world.home}/users/${sue.sub}?act=${act}`)
    await title(page, 'sue')
    await isSettled(page)
    t.equal(await page.getByRole('dialog').count(), 0, `${act} is not offered`)
  }
  await goTo(page, `${world.home}/users/${sue.sub}?act=end`)
  await page.getByRole('dialog').getByText('This ends').waitFor()
})

t.test('what somebody else has changed in between is not overwritten', async t => {
  const world = await consoleWorld(t)
  const ada = await world.server.user('ada', 'reader')
  const page = await openConsole(t, browser, world, { path: `/users/${ada.sub}?act=roles` })
  await page.getByRole('textbox', { name: 'Roles' }).fill('editor')
  const { db } = world.server.ctx
  await db.sql.updateTable('users').set({ roles: 'owner' }).where('id', '=', ada.id).execute()
  await press(page, 'Change')
  await page.getByRole('alert').getByText('Nothing was overwritten').waitFor()
  t.match(await page.getByRole('alert').textContent(), /the request \S{8,}/)
  t.equal((await userNamed(world, 'ada'))?.roles, 'owner')
  await press(page, 'Look at it')
  await page.getByText('owner').waitFor()
  t.equal(await page.getByRole('dialog').count(), 0)
})

t.test('a user is found and disabled by the keyboard alone, once it is told what ends', async t => {
  const world = await consoleWorld(t)
  const { server } = world
  const ada = await server.user('ada')
  const app = await server.client('orders')
  for (let i = 0; i < 3; i++) await server.logIn(app, ada)
  const page = await openConsole(t, browser, world)
  const focused = async () =>
    page.evaluate<string>('document.activeElement.textContent || document.activeElement.id')
  const tabTo = async (text: string) => {
    for (let i = 0; i < 40 && (await focused()).trim() !== text; i++) await page.keyboard.press('Tab')
    t.equal((await focused()).trim(), text, `the keyboard reaches ${text}`)
  }
  await page.reload()
  await title(page, 'Overview')
  await page.keyboard.press('Tab')
  t.equal((await focused()).trim(), 'Skip to the content')
  await page.keyboard.press('Enter')
  await tabTo('find')
  await page.keyboard.type('ad')
  await page.keyboard.press('Enter')
  await title(page, 'Users')
  t.equal(await focused(), 'Users', 'the new view has the focus')
  await tabTo('ada')
  await page.keyboard.press('Enter')
  await title(page, 'ada')
  await tabTo('Disable')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').getByText('This ends 3 sessions in apps').waitFor()
  t.equal(await focused(), 'Cancel', 'Enter again does nothing')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  t.equal(await focused(), 'Disable', 'the focus is back where it was')
  t.equal((await userNamed(world, 'ada'))?.disabled_at, null)
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor()
  await page.keyboard.press('Shift+Tab')
  await page.keyboard.press('Enter')
  await isSaid(page, 'ada is disabled')
  t.not((await userNamed(world, 'ada'))?.disabled_at, null)
})

t.test('all sessions of a user end in a job whose progress is shown', async t => {
  const world = await consoleWorld(t)
  const { server } = world
  const ada = await server.user('ada')
  const app = await server.client('orders')
  for (let i = 0; i < 3; i++) await server.logIn(app, ada)
  const page = await openConsole(t, browser, world, { path: `/users/${ada.sub}?act=end` })
  await page.getByText('This ends 3 sessions').waitFor()
  await press(page, 'End them')
  await page.getByRole('dialog').getByText('Done: 3 sessions ended.').waitFor()
  await press(page, 'Close')
  await page.getByText('No app has a session of this user.').waitFor()
})

t.test('many sessions end one after the other, which is shown and can be stopped', async t => {
  const world = await consoleWorld(t)
  const { server } = world
  const ada = await server.user('ada')
  const app = await server.client('orders')
  for (let i = 0; i < 3; i++) await server.logIn(app, ada)
  const longAgo = { rotated_at: Math.floor(Date.now() / 1000) - 40 * 86_400 }
  await server.ctx.db.sql.updateTable('sessions').set(longAgo).where('user_id', '=', ada.id).execute()
  const page = await openConsole(t, browser, world, { path: '/sessions' })
  await press(page, 'End many')
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Days').fill('39')
  await press(page, 'End them')
  await dialog.getByText('0 sessions ended so far.').waitFor()
  await press(page, 'Stop')
  await dialog.getByText('Stopped: 0 sessions had ended by then').waitFor()
  await press(page, 'Close')
  await press(page, 'End many')
  await dialog.getByLabel('Days').fill('39')
  await press(page, 'End them')
  await dialog.getByText('0 sessions ended so far.').waitFor()
  await runJob(server, 'ending sessions that were chosen')
  await dialog.getByText('Done: 3 sessions ended.').waitFor()
  t.equal(await page.getByRole('link', { name: 'ada in orders' }).count(), 0, 'the list has heard of it')
})

t.test('a lost connection is seen, and heals by itself', async t => {
  const world = await consoleWorld(t)
  await world.server.user('ada')
  const page = await openConsole(t, browser, world, { path: '/users' })
  await page.getByRole('link', { name: 'ada' }).waitFor()
  await page.context().setOffline(true)
  await page.getByLabel('Find a user').fill('ro')
  await page.getByText('There is no connection to the server.').waitFor()
  await page.context().setOffline(false)
  await page.getByRole('link', { name: 'root' }).waitFor()
  await page.getByText('There is no connection to the server.').waitFor({ state: 'hidden' })
  t.equal(await page.getByRole('link', { name: 'ada' }).count(), 0)
})

t.test('a long list is read in pages as it is scrolled, and only what is near is kept', async t => {
  const world = await consoleWorld(t)
  for (let i = 0; i < 400; i++) await world.server.user(`user-${String(i).padStart(3, '0')}`)
  const page = await openConsole(t, browser, world, { path: '/users' })
  await page.getByRole('link', { name: 'user-000' }).waitFor()
  const rows = page.locator('.rows > li')
  t.ok((await rows.count()) <= 150, 'the end was not read before somebody goes there')
  for (let i = 0; i < 60 && (await page.getByRole('link', { name: 'user-399' }).count()) === 0; i++) {
    await page.mouse.wheel(0, 2500)
    await page.waitForTimeout(100)
  }
  await page.getByRole('link', { name: 'user-399' }).waitFor()
  t.ok((await rows.count()) <= 250, `${await rows.count()} rows are there`)
  t.equal(await page.getByRole('link', { name: 'user-000' }).count(), 0, 'the first are forgotten')
  await page.evaluate('scrollTo(0, 0)')
  await page.getByRole('link', { name: 'user-000' }).waitFor()

  let asked = 0
  page.on('request', request => (asked += Number(request.url().includes('search='))))
  await page.getByLabel('Find a user').pressSequentially('user-39', { delay: 20 })
  await page.waitForURL('**/users?search=user-39')
  await page.getByRole('link', { name: 'user-390' }).waitFor()
  t.equal(await rows.count(), 10)
  t.ok(asked < 5, 'not each letter asks the server')
  await page.reload()
  await page.getByRole('link', { name: 'user-390' }).waitFor()
  t.equal(await page.getByLabel('Find a user').inputValue(), 'user-39', 'the filter is in the address')
})

t.test('a client is added, shows its secret once, is changed, and gets another secret', async t => {
  const world = await consoleWorld(t)
  await world.server.resource('https://api.example')
  const page = await openConsole(t, browser, world, { path: '/clients' })
  await press(page, 'Add a client')
  await page.getByLabel('Id', { exact: true }).fill('orders')
  await page.getByLabel('Redirect URIs').fill('https://orders.example/callback')
  await page.getByLabel('Resources').fill('https://api.example')
  await page.getByLabel('Scopes').fill('read')
  await press(page, 'Add')
  const secret = await page.locator('.secret code').textContent()
  await page.getByRole('link', { name: 'orders' }).click()
  await title(page, 'orders')
  t.notMatch(await page.locator('main').textContent(), secret ?? 'none')
  await press(page, 'Change')
  await page.getByLabel('Client name').fill('Orders')
  await page.getByLabel('Refresh', { exact: true }).selectOption('strict')
  await page.getByRole('dialog').getByRole('button', { name: 'Change' }).click()
  await isSaid(page, 'The client was changed.')
  await press(page, 'New secret')
  await press(page, 'Make it')
  t.not(await page.locator('.secret code').textContent(), secret)
  await page.goto(`${world.home}/clients/mintmark-console`)
  await title(page, 'mintmark-console')
  t.equal(await page.getByRole('button', { name: 'Change' }).count(), 0, 'the console is not changed by hand')
})

t.test('a key is revoked once it is told what that does', async t => {
  const world = await consoleWorld(t)
  const page = await openConsole(t, browser, world, { path: '/keys' })
  await page.getByRole('list', { name: 'Signing keys' }).waitFor()
  const rows = page.getByRole('list', { name: 'Signing keys' }).getByRole('listitem')
  await rows.filter({ hasText: 'next' }).first().getByRole('button', { name: 'Revoke' }).click()
  await page.getByRole('dialog').getByText('It cannot be undone').waitFor()
  await press(page, 'Revoke it')
  t.equal(await page.getByRole('status').getByText('The key is revoked.').count(), 0, 'a reason is needed')
  await page.getByLabel('Why').fill('it lay in a backup')
  await press(page, 'Revoke it')
  await page.getByRole('status').getByText('The key is revoked.').waitFor()
  await press(page, 'Close')
  await rows.filter({ hasText: 'active' }).first().getByRole('button', { name: 'Revoke' }).click()
  await page
    .getByRole('dialog')
    .getByText(/signs \w+ at once/)
    .waitFor()
  await page.getByLabel('Why').fill('it lay in a backup')
  await press(page, 'Revoke it')
  await press(page, 'Close')
  await page.getByText('revoked: it lay in a backup').waitFor()
  await press(page, 'Rotate now')
  await press(page, 'Rotate')
  await isSaid(page, 'The next keys sign from')
})

t.test('names that others have chosen are text', async t => {
  const world = await consoleWorld(t)
  const name = '<img src=x onerror=alert(1)>{{7*7}}'
  const eve = await world.server.user('eve')
  const { db } = world.server.ctx
  const claims = JSON.stringify({ name, picture: 'javascript:alert(1)' })
  await db.sql.updateTable('users').set({ claims }).where('id', '=', eve.id).execute()
  const page = await openConsole(t, browser, world, { path: `/users/${eve.sub}` })
  await page.getByText(name).waitFor()
  t.equal(await page.locator('main img').count(), 0)
  t.equal(await page.locator('a[href^="javascript:"]').count(), 0)
})

t.test('axe finds nothing in any view, light or dark, and each fits on a small screen', async t => {
  const world = await consoleWorld(t)
  const { server } = world
  const ada = await server.user(
    'ada-with-a-name-that-is-really-quite-long@subdomain.example.com',
    'reader editor',
  )
  const app = await server.client('orders', { client_name: 'Orders' })
  await server.resource('https://api.example/with/a/path/that/is/long')
  await server.logIn(app, ada)
  const views = [
    ['', 'Overview'],
    ['?period=month', 'Overview'],
    ['/users', 'Users'],
    ['/users?search=zzz', 'Users'],
    ['/users?act=create', 'Users'],
    [`/users/${ada.sub}`, ada.username],
    [`/users/${ada.sub}?act=delete`, ada.username],
    ['/clients', 'Clients'],
    ['/clients/orders', 'orders'],
    ['/clients/orders?act=change', 'orders'],
    ['/resources', 'Resources'],
    [
      `/resources/${encodeURIComponent('https://api.example/with/a/path/that/is/long')}`,
      'https://api.example/with/a/path/that/is/long',
    ],
    ['/keys', 'Signing keys'],
    ['/sessions', 'Sessions'],
    ['/sessions?act=end-many', 'Sessions'],
    ['/audit', 'What happened'],
    ['/audit?act=export', 'What happened'],
    ['/leaked', 'Something leaked'],
    ['/leaked/token?sid=01a21e39-52f8-7aa0-8e8e-00d9de63bdaf', 'A token has leaked'],
    [`/leaked/user?sub=${ada.sub}`, 'A password or a device of somebody has leaked'],
    ['/leaked/secret?client=orders', 'A client secret has leaked'],
    ['/leaked/key', 'A signing key has leaked'],
    ['/nothing', 'There is nothing here'],
  ] as const
  await axeFindsNothingIn(t, browser, world, views, async (page, colorScheme) => {
    await goTo(page, '/console/users/%zz')
    await title(page, 'There is nothing here')
    await page.getByRole('button', { name: 'Menu' }).click()
    await axeFindsNothing(t, page, `the menu ${colorScheme}`)
  })
})

t.test('its files are small, compressed, and kept for good; the page is not', async t => {
  const world = await consoleWorld(t)
  const page = await world.server.request({ url: '/console/users/x' })
  t.equal(page.statusCode, 200)
  t.equal(page.headers['cache-control'], 'no-store')
  t.match(page.headers['content-security-policy'], /default-src 'none'; script-src 'self';/)
  t.notMatch(page.headers['content-security-policy'], /unsafe/)
  const files = [...page.body.matchAll(/(?:src|href)="(\/console\/assets\/[^"]+)"/g)].map(
    ([, url = '']) => url,
  )
  t.equal(files.length, 2)
  for (const url of files) {
    for (const [encoding, ending] of [
      ['br', '.br'],
      ['gzip', '.gz'],
      ['identity', ''],
    ] as const) {
      const file = await world.server.request({ url, headers: { 'accept-encoding': encoding } })
      t.equal(file.statusCode, 200)
      t.equal(file.headers['content-encoding'], encoding === 'identity' ? undefined : encoding)
      t.equal(file.headers['cache-control'], 'public, max-age=31536000, immutable')
      t.strictSame(file.rawPayload, readFileSync(join(folder, url.replace('/console/', '') + ending)))
    }
  }
  const missing = await world.server.request({ url: '/console/assets/missing.js' })
  t.equal(missing.statusCode, 404)
  t.notMatch(missing.headers['cache-control'], /immutable/)
  for (const url of ['/console/assets/../index.html', '/console/assets/%2e%2e/index.html'])
    t.not((await world.server.request({ url })).headers['content-type'], 'text/html; charset=UTF-8')

  const all = readdirSync(join(folder, 'assets')).filter(name => name.endsWith('.br'))
  const bytes = all.reduce((sum, name) => sum + statSync(join(folder, 'assets', name)).size, page.body.length)
  t.comment(`${bytes} bytes in all, compressed`)
  t.ok(bytes < 150_000, 'it stays below its budget')
  for (const name of ['light', 'dark'])
    t.ok(
      statSync(join(folder, `../../docs/console-${name}.png`)).size < 150_000,
      `its ${name} picture is small`,
    )
})

t.test('the overview', t => testOverview(t, browser))

t.test('trouble around it', t => testTrouble(t, browser))

t.test('the audit trail', t => testAudit(t, browser))

t.test('something leaked', t => testLeaked(t, browser))
