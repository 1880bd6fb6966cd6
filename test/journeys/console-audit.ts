import { readFile } from 'node:fs/promises'
import type { Browser } from 'playwright-core'
import type { Test } from 'tap'
import { consoleWorld, openConsole, repeat } from '../helpers/console.ts'
import { runJob } from '../helpers/run-job.ts'

/** The view of the audit trail. */
export async function testAudit(t: Test, browser: Browser): Promise<void> {
  const world = await consoleWorld(t)
  const { server } = world
  const ada = await server.user('ada')
  const app = await server.client('orders')
  const session = await server.logIn(app, ada)
  const entries = (list: string) => `ul[aria-label="${list}"] > li`
  repeat(t, () => runJob(server, 'following the audit trail'))
  const wrongPassword = async () => {
    await server.post('/token', { grant_type: 'password', username: 'ada', password: 'x', ...app.form })
    await runJob(server, 'writing the audit trail')
  }

  await t.test('what happens appears by itself, also after the connection was lost, and once', async t => {
    const page = await openConsole(t, browser, world, { path: '/audit' })
    await page.getByText('Live: new entries appear by themselves.').waitFor()
    await page.locator(entries('Entries')).filter({ hasText: 'Logged in to an app' }).first().waitFor()
    await wrongPassword()
    const fresh = page.locator(entries('New entries')).filter({ hasText: 'A log-in was refused' })
    await fresh.waitFor()
    t.match(await fresh.textContent(), /user ada.*client orders.*by .*from 127\.0\.0\.1/)
    await page.context().setOffline(true)
    server.app.server.closeAllConnections()
    await page.getByText('Not live now: connecting again…').waitFor()
    await server.logIn(app, ada)
    await page.context().setOffline(false)
    await page.getByText('Live: new entries appear by themselves.').waitFor()
    await page.locator(entries('New entries')).filter({ hasText: 'Logged in to an app' }).first().waitFor()
    t.equal(await fresh.count(), 1)
    await fresh.getByRole('link', { name: 'ada' }).click()
    await page.waitForURL(`**/users/${ada.sub}`)
  })

  await t.test('in a flood only the latest are kept, which is said', async t => {
    const page = await openConsole(t, browser, world, { path: '/audit' })
    await page.getByText('Live: new entries appear by themselves.').waitFor()
    await page.locator(entries('Entries')).first().waitFor()
    const none = { user_id: null, client_id: null, session_id: null, address: null, detail: null }
    const of = { event: 'user_changed', actor: 'server', count: 1, ...none }
    const rows = Array.from({ length: 230 }, (_, i) => ({
      ...of,
      at: server.ctx.clock.now(),
      request_id: `flood-${i}`,
    }))
    await server.ctx.db.sql.insertInto('audit').values(rows).execute()
    await page.getByText('There are more between these and those below.').waitFor()
    t.equal(await page.locator(entries('New entries')).count(), 200)
    await page.getByRole('button', { name: 'Read all anew' }).click()
    await page.getByText('There are more between').waitFor({ state: 'detached' })
    await page.locator(entries('Entries')).first().waitFor()
    t.match(
      await page.locator(entries('Entries')).first().textContent(),
      /A user was changed.*request flood-\d+/,
    )
  })

  await t.test('filters are in the address, and what they leave is saved as CSV', async t => {
    await server.user('=cmd')
    const page = await openConsole(t, browser, world, { path: '/audit' })
    await page.getByLabel('About').selectOption('thefts and refusals')
    await page.getByText('Of one user, client').click()
    await page.getByLabel('Client').fill('orders')
    await page.getByRole('button', { name: 'Show', exact: true }).click()
    await page.waitForURL('**/audit?about=thefts+and+refusals&client_id=orders')
    await page.getByText('Of the last 30 days').waitFor()
    const rows = page.locator('.rows > li')
    await rows.first().waitFor()
    t.strictSame(await page.locator('.rows .row').allTextContents(), ['A log-in was refused'])
    await page.reload()
    await rows.first().waitFor()
    t.equal(await page.getByLabel('Client').inputValue(), 'orders')

    await page.getByRole('button', { name: 'Show everything' }).click()
    await page.waitForURL('**/audit')
    await page.getByRole('button', { name: 'Export as CSV' }).click()
    const saving = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Export', exact: true }).click()
    const file = await readFile(await (await saving).path(), 'utf8')
    t.match(file, /^"at","event","actor","sub","username",.*"detail"\r\n/)
    t.match(file, new RegExp(`"log_in",.*"${ada.sub}","ada","orders","`))
    await page.getByRole('status').getByText('The file has ').waitFor()
  })

  await t.test('a session leads to what happened to it', async t => {
    const { sid } = JSON.parse(atob(session.access_token.split('.')[1] ?? ''))
    const page = await openConsole(t, browser, world, { path: `/sessions/${sid}` })
    await page.getByRole('link', { name: 'What happened to it' }).click()
    await page.locator('.rows .row').first().waitFor()
    t.ok((await page.locator('.rows .row').allTextContents()).includes('Logged in to an app'))
  })
}
