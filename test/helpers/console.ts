import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import type { Test } from 'tap'
import { isHaste } from './chromium.ts'
import { freePort } from './free-port.ts'
import { runJob } from './run-job.ts'
import { startServer, type TestUser } from './server.ts'

/**
 * A server with its console as administrators meet it. It heeds the real clock, as browsers do, and what has
 * changed is seen at once. `issuerPath` is that of an issuer that has one, like `/auth`.
 */
export async function consoleWorld(t: Test, env: Record<string, string> = {}, { issuerPath = '' } = {}) {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}${issuerPath}`
  const now = () => Math.floor(Date.now() / 1000)
  const server = await startServer(t, { MINTMARK_ISSUER: issuer, ...env }, now())
  const { adminPort, adminUrl } = server.ctx.config
  await server.app.listen({ host: '127.0.0.1', port })
  await server.adminApp?.listen({ host: '127.0.0.1', port: adminPort ?? 0 })
  for (const app of [server.app, server.adminApp])
    app?.server.prependListener('request', () => server.setClock(now()))
  await runJob(server, 'filling the index of sessions')
  repeat(t, () => server.follow())
  const root = await server.user('root', 'mintmark:admin')
  return {
    /** The test that it lasts as long as. */
    t,
    server,
    issuer,
    root,
    home: `${adminUrl}/console`,
    /** The windows of `root` that no test has now. */
    idle: [] as Window[],
  }
}

/** Does something five times a second. The test ends after the last time, since that needs its server. */
export function repeat(t: Test, work: () => Promise<unknown>): void {
  const end = new AbortController()
  const rounds = (async () => {
    while (!end.signal.aborted) {
      await work()
      await sleep(200, undefined, { signal: end.signal }).catch(() => {})
    }
  })()
  t.teardown(() => {
    end.abort()
    return rounds
  })
}

export type ConsoleWorld = Awaited<ReturnType<typeof consoleWorld>>

interface Window {
  readonly page: Page
  /** What was wrong in it so far. */
  readonly faults: string[]
}

/**
 * A page with the console: with the test it fails where the page breaks its own policy, says anything on the
 * browser's console, or asks another origin for anything. Tests that share a world share the window of its
 * administrator too, one after the other: to open one and to log in costs more than most tests.
 */
export async function openConsole(
  t: Test,
  browser: Browser,
  world: ConsoleWorld,
  {
    path = '',
    user = world.root,
    ...options
  }: { path?: string; user?: TestUser } & BrowserContextOptions = {},
): Promise<Page> {
  const isShared = user === world.root && t !== world.t && Object.keys(options).length === 0
  const idle = isShared ? world.idle.pop() : undefined
  const { page, faults } = idle ?? (await openWindow(isShared ? world.t : t, browser, world, options))
  t.teardown(async () => {
    if (isShared && (await leave(page))) world.idle.push({ page, faults })
    // Too late for an assertion, but this fails the test too.
    if (faults.length > 0) throw new Error(faults.splice(0).join('\n'))
  })
  await page.goto(world.home + path)
  if (idle) await page.locator('main h1').waitFor()
  else await logIn(page, user)
  return page
}

async function openWindow(
  t: Test,
  browser: Browser,
  { issuer, home }: ConsoleWorld,
  options: BrowserContextOptions,
): Promise<Window> {
  // Without a language of the system, Chromium has one that is none, at which number formats throw.
  const locale = 'en-US'
  const context = await browser.newContext({ locale, viewport: { width: 1024, height: 800 }, ...options })
  t.teardown(() => context.close())
  context.setDefaultTimeout(15_000)
  const origins = [issuer, home].map(url => new URL(url).origin)
  const faults: string[] = []
  context.on('console', message => {
    // The browser's own words for an answer with such a status.
    const isStatus = message.text().startsWith('Failed to load resource: ')
    if (!isStatus && !isHaste(message.text())) faults.push(message.text())
  })
  context.on('weberror', error => faults.push(String(error.error())))
  context.on('request', request => {
    if (!origins.includes(new URL(request.url()).origin)) faults.push(`a request to ${request.url()}`)
  })
  return { page: await context.newPage(), faults }
}

/** Leaves a window to the next test as it was when it was new; false where it is closed. */
async function leave(page: Page): Promise<boolean> {
  if (page.isClosed()) return false
  const context = page.context()
  for (const other of context.pages()) if (other !== page) await other.close()
  await context.setOffline(false)
  await context.unrouteAll()
  await page.unrouteAll()
  await page.evaluate('sessionStorage.clear()')
  await page.goto('about:blank')
  return true
}

/** The heading of a view. */
export const title = (page: Page, name: string) =>
  page.getByRole('heading', { level: 1, name, exact: true }).waitFor()

/** Clicks on a button. */
export const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click()

/** All that an act has said for a moment. */
export const isSaid = (page: Page, text: string) => page.getByRole('status').getByText(text).waitFor()

/** Leads to an address of the console without a log-in, as a link of its own does. */
export async function goTo(page: Page, url: string): Promise<void> {
  await page.evaluate(`history.pushState(null, '', ${JSON.stringify(url)})`)
  await page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
}

/** Waits until all that the view has asked for is there: a list asks once it is seen. */
export const isSettled = (page: Page) =>
  page.locator('.waiting, .pages > div:first-child:empty').first().waitFor({ state: 'detached' })

/** At the log-in page to which the console has led. */
export async function logIn(page: Page, user: TestUser): Promise<void> {
  await page.waitForURL('**/log-in?*')
  await page.getByLabel('User name').fill(user.username)
  await page.getByLabel('Password').fill(user.password)
  await page.keyboard.press('Enter')
  await page.waitForURL('**/console*')
  await page.locator('main h1').waitFor()
}
