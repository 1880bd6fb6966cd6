import { randomInt } from 'node:crypto'
import fc from 'fast-check'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import type { Test } from 'tap'
import { changePassword } from '../../db/users/users.ts'
import { freePort } from './free-port.ts'
import { startServer, type TestServer, type TestUser } from './server.ts'
import { startWebApp, type WebApp } from './web-app.ts'

/** A person at a browser of its own, and where they are in it. */
interface Walker {
  readonly server: TestServer
  readonly apps: readonly WebApp[]
  readonly context: BrowserContext
  user: TestUser
  page: Page
}

const moves = {
  begin: async ({ page, apps: [app] }: Walker) => void (await page.goto(app?.start() ?? '')),
  'begin elsewhere': async ({ page, apps: [, app] }: Walker) => void (await page.goto(app?.start() ?? '')),
  'choose an account': async ({ page, apps: [app] }: Walker) =>
    void (await page.goto(app?.start({ prompt: 'select_account' }) ?? '')),
  'new tab': async (walker: Walker) => {
    walker.page = await walker.context.newPage()
    await walker.page.goto(walker.apps[1]?.start() ?? '')
  },
  'change tabs': async (walker: Walker) => void (walker.page = walker.context.pages()[0] ?? walker.page),
  'log in': async (walker: Walker) => fillIn(walker, walker.user.password),
  'double click': async (walker: Walker) => fillIn(walker, walker.user.password, 2),
  'wrong password': async (walker: Walker) => fillIn(walker, 'wrong'),
  press: async ({ page }: Walker) => click(page, 'main button[type=submit]:not(label ~ *)'),
  deny: async ({ page }: Walker) => click(page, 'button.second'),
  'use another account': async ({ page }: Walker) => click(page, 'a.go[href*="/log-in"]'),
  follow: async ({ page }: Walker) => click(page, 'main a'),
  back: async ({ page }: Walker) => void (await page.goBack()),
  forward: async ({ page }: Walker) => void (await page.goForward()),
  reload: async ({ page }: Walker) => void (await page.reload()),
  sleep: async ({ server }: Walker) => server.tick(1801),
  'sleep long': async ({ server }: Walker) => server.tick(43_201),
  'clear cookies': async ({ context }: Walker) => context.clearCookies(),
  'log out': async ({ context, server }: Walker) => {
    const tab = await context.newPage()
    await tab.goto(`${server.ctx.config.issuer}/log-out`)
    await click(tab, 'main button[type=submit]')
    await tab.close()
  },
  'change password': async (walker: Walker) => {
    const { ctx } = walker.server
    const password = `${walker.user.password}+`
    await changePassword(ctx.db, walker.user.id, await ctx.users.passwords.hash(password), ctx.clock.now())
    walker.user = { ...walker.user, password }
  },
} satisfies Readonly<Record<string, (walker: Walker) => Promise<void>>>

type MoveName = keyof typeof moves

/** Those of somebody who wants to log in come more often. */
const anyMove: fc.Arbitrary<MoveName> = fc.constantFrom(
  ...(Object.keys(moves) as MoveName[]),
  ...(['begin', 'log in', 'log in', 'log in', 'press', 'press', 'back'] as const),
)

/**
 * Walks at random through log-ins in Chromium, every second time without scripts, and tells the seed that
 * walks the same again. Each walk ends with a fresh log-in. Throws where somebody is led astray, or is stuck.
 */
export async function walkInChromium(
  t: Test,
  browser: Browser,
  { walks, seed = randomInt(2 ** 31) }: { readonly walks: number; readonly seed?: number },
): Promise<void> {
  t.comment(`seed ${seed}`)
  const port = await freePort()
  const server = await startServer(t, { MINTMARK_ISSUER: `http://127.0.0.1:${port}` })
  await server.app.listen({ host: '127.0.0.1', port })
  const apps = [
    await startWebApp(t, server, 'web'),
    await startWebApp(t, server, 'shop', { host: '127.0.0.1', consent: 'always' }),
  ]
  let count = 0
  const walk = async (names: readonly MoveName[], javaScriptEnabled: boolean) => {
    const user = await server.user(`ada-${++count}`)
    const context = await browser.newContext({ javaScriptEnabled })
    context.setDefaultTimeout(0) // a slow machine is no fault
    try {
      const walker: Walker = { server, apps, context, user, page: await context.newPage() }
      for (const name of names) {
        await moves[name](walker)
        await walker.page.waitForLoadState('load')
        await isSound(walker)
      }
      await logInAfresh(walker)
    } finally {
      await context.close()
    }
  }
  const someMoves = fc.array(anyMove, { minLength: 6, maxLength: 14, size: 'max' })
  await fc.assert(fc.asyncProperty(someMoves, fc.boolean(), walk), { numRuns: walks, seed })
  t.strictSame(
    server.log.filter(({ level }) => Number(level) >= 50),
    [],
    'no fault of ours',
  )
  t.ok(
    apps.some(({ answers }) => answers.some(({ tokens }) => tokens !== null)),
    'somebody has logged in',
  )
}

const password = 'input[type=password]'

async function fillIn({ page, user }: Walker, text: string, clicks = 1): Promise<void> {
  if ((await page.locator(password).count()) === 0) return
  await page.locator('input[name=username]').fill(user.username)
  await page.locator(password).fill(text)
  await page.locator('main button[type=submit]:not(.second)').click({ clickCount: clicks })
}

/** Where there is such a thing. */
async function click(page: Page, selector: string): Promise<void> {
  const found = page.locator(selector).first()
  if ((await found.count()) > 0) await found.click()
}

/** After a log-out the page may be closed. */
const ends = /logged out/

async function isSound({ page, server, apps }: Walker): Promise<void> {
  const url = page.url()
  if (url === 'about:blank' || apps.some(({ origin }) => url.startsWith(`${origin}/`))) return
  if (!url.startsWith(`${server.ctx.config.issuer}/`)) throw new Error(`led to ${url}`)
  const heading = (await page.locator('h1').textContent())?.trim() ?? ''
  const ways = await page.locator('a[href], button[type=submit]').count()
  if (heading === '' || (ways === 0 && !ends.test(heading)))
    throw new Error(`no way on from ${url}: ${heading}`)
}

/** In the same browser, whatever has happened in it. */
async function logInAfresh(walker: Walker): Promise<void> {
  const { context, server, apps } = walker
  const [app] = apps
  if (!app) return
  walker.page = await context.newPage()
  server.tick(3600) // too many guesses are forgotten by then
  const before = app.answers.length
  await walker.page.goto(app.start({ prompt: 'login' }))
  await fillIn(walker, walker.user.password)
  await walker.page.waitForURL(`${app.origin}/`)
  const tokens = app.answers[before]?.tokens
  if (typeof tokens?.['id_token'] !== 'string') throw new Error('a fresh log-in has failed')
}
