import { randomBytes } from 'node:crypto'
import type { Browser } from 'playwright-core'
import type { Test } from 'tap'
import { consoleWorld, openConsole, title, type ConsoleWorld } from '../helpers/console.ts'

const now = () => Math.floor(Date.now() / 1000)

/** What was counted in a span of so many seconds, that long ago; none is a moment. */
async function count(
  { server }: ConsoleWorld,
  seconds: number,
  ago: number,
  counted: Readonly<Record<string, number>>,
): Promise<void> {
  const at = seconds === 0 ? now() - ago : Math.floor((now() - ago) / seconds) * seconds
  const row = { seconds, at, id: randomBytes(8), counted: JSON.stringify(counted) }
  await server.ctx.db.sql.insertInto('counts').values(row).execute()
}

/** The views that show how things are, in one world. */
export async function testOverview(t: Test, browser: Browser): Promise<void> {
  const world = await consoleWorld(t)
  const { server } = world
  const { db } = server.ctx

  await t.test('the overview says whether all is well, what is wrong, and what to do', async t => {
    const page = await openConsole(t, browser, world)
    // The PostgreSQL of tests is not safe from a power cut, which is found.
    const before = db.engine === 'postgres' ? 2 : 0
    await page.getByText(before === 0 ? 'All is well.' : `${before} problems.`).waitFor()
    await page.getByText(/^\d+ checks found nothing wrong$/).click()
    await page.getByText('writable, up to date').waitFor()

    const lost = (since: number | null) =>
      db.sql.updateTable('installation').set({ lost_since: since }).execute()
    await lost(1)
    await server.client('old', { pkce: 'optional' })
    t.teardown(() => lost(null))
    server.tick(11)
    await page.getByRole('button', { name: 'Look again' }).click()
    await page.getByText(before === 0 ? '1 problem and 1 warning.' : '3 problems and 1 warning.').waitFor()
    const found = await page.locator('main .problem, main .warning').allTextContents()
    const [problem = '', warning = ''] = [found[0], found.at(-1)]
    t.match(problem, /^Problem: database\..*gone back in time.*What to do: /, 'problems come first')
    t.match(warning, /^Warning: clients\..*old/)
  })

  await t.test('charts have what was counted, in the period of the address, also as a table', async t => {
    await count(world, 60, 1300, {
      log_ins: 4,
      refreshes: 1200,
      late: 2,
      thefts: 1,
      'refused log_in invalid_grant': 7,
    })
    await count(world, 60, 3000, { log_ins: 1, 'refused page throttled': 3 })
    await count(world, 600, 20_000, { log_ins: 20 })
    await count(world, 3600, 500_000, { log_ins: 300 })
    await count(world, 0, 900, { sessions: 41 })
    const page = await openConsole(t, browser, world, { path: '?period=hour' })
    const keys = page.locator('figure.chart .keys li')
    await keys.first().waitFor()
    t.strictSame(await keys.allTextContents(), [
      'Log-ins 5',
      'Refreshes 1,200',
      'Log-in: invalid grant 7',
      'Log-in page: throttled 3',
      'Late retries 2',
      'Thefts 1',
      'Living sessions 41',
    ])
    const drawn = page.locator('.plot .u-over')
    await drawn.nth(4).waitFor()
    await drawn.first().hover({ position: { x: 2, y: 20 } })
    await page.getByText(/^Log-ins at \d/).waitFor()
    await page.getByText(/^Refreshes at \d/).waitFor()
    t.match(await keys.allTextContents(), ['Log-ins 0', 'Refreshes 0'], 'all charts show the moment')
    await page.mouse.move(0, 0)
    await page.getByText('Log-ins in this hour').waitFor()

    await page.getByRole('link', { name: 'Day' }).click()
    await page.getByText('Log-ins in 24 hours').waitFor()
    t.equal(await keys.first().textContent(), 'Log-ins 25', 'so far they were written with less detail')
    await page.getByRole('link', { name: 'Month' }).click()
    await page.getByText('Log-ins in 30 days').waitFor()
    t.equal(new URL(page.url()).search, '?period=month')
    await page.goBack()
    await page.getByText('Log-ins in 24 hours').waitFor()
    await page.getByText('As a table').click()
    const cells = await page.locator('table tbody td:nth-child(2)').allTextContents()
    t.equal(cells.length, 24)
    const sum = cells.reduce((sum, text) => sum + Number(text), 0)
    t.equal(sum, 25, 'the same numbers')
  })

  await t.test('a long work is seen by whoever looks, and its end too', async t => {
    const page = await openConsole(t, browser, world)
    await page.getByText('None is under way.').waitFor()
    const id = randomBytes(16)
    const of = { act: 'import_users', choice: '{}', actor: 'client ops', created_at: now() } as const
    const state = {
      state: 'receiving',
      done: 0,
      refused: 0,
      total: null,
      claimed_until: now() + 600,
    } as const
    const none = { filter: null, ending_id: null, address: null, request_id: null, cursor: null }
    const job = { id, ...of, ...state, ...none, ended_at: null, problem: null }
    await db.sql.insertInto('jobs').values(job).execute()
    await page.reload()
    const row = page.getByRole('list', { name: 'Long works' })
    await row.getByText('Importing users').waitFor()
    await row.getByText('by client ops').waitFor()
    await row.getByText('Its file arrives.').waitFor()
    const failed = { state: 'failed', ended_at: now(), problem: 'the file has no users' } as const
    await db.sql.updateTable('jobs').set(failed).where('id', '=', id).execute()
    await page.getByText('None is under way.').waitFor()
  })

  await t.test('who may only help is offered what such people may see, and nothing is refused', async t => {
    const sue = await server.user('sue', 'mintmark:support')
    const page = await openConsole(t, browser, world, { user: sue })
    const refused: string[] = []
    page.on('response', response => void (response.status() === 403 && refused.push(response.url())))
    await page.reload()
    await title(page, 'Overview')
    await page.getByText('None is under way.').waitFor()
    t.strictSame(await page.locator('nav a').allTextContents(), [
      'Overview',
      'Users',
      'Groups',
      'Sessions',
      'Something leaked',
    ])
    t.strictSame(await page.locator('main h2').allTextContents(), ['Somebody is in trouble', 'Long works'])
    t.strictSame(refused, [])
  })
}
