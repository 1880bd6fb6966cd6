import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import fc from 'fast-check'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import type { Test } from 'tap'
import { changePassword } from '../../db/users/users.ts'
import { verifiedMail } from './account.ts'
import { freePort } from './free-port.ts'
import { openMailbox, type Mailbox } from './mailbox.ts'
import { runJob } from './run-job.ts'
import { appOf, withApp, type App } from './second-factors.ts'
import { besideEnv, startServer, type TestServer, type TestUser } from './server.ts'
import { startWebApp, type WebApp } from './web-app.ts'

/** A server that is restarted now and then, apps at which people log in, and what is mailed to them. */
interface World {
  readonly apps: readonly WebApp[]
  readonly mailbox: Mailbox
  /** Whichever runs. */
  readonly server: TestServer
  restart(): Promise<void>
  /** Says how often each page was shown, by its heading. */
  see(heading: string): void
}

/** A person at a browser of its own, and where they are in it. */
interface Walker {
  readonly world: World
  readonly context: BrowserContext
  user: TestUser
  /** The authenticator apps of the users that this person has been, by their names. */
  readonly totps: Map<string, App>
  /** Where mails reach this person: those of others are not followed. */
  readonly addresses: Set<string>
  page: Page
}

const begin =
  (which: number, more: Readonly<Record<string, string>> = {}) =>
  async ({ page, world: { apps } }: Walker) =>
    void (await page.goto(apps[which]?.start(more) ?? ''))

const sleep =
  (seconds: number) =>
  async ({ world }: Walker) =>
    world.server.tick(seconds)

const moves = {
  begin: begin(0),
  'begin where consent is asked for': begin(1),
  'choose an account': begin(0, { prompt: 'select_account' }),
  'log in again': begin(0, { prompt: 'login' }),
  'ask for more than a password': begin(0, { acr_values: 'mfa' }),
  'begin to sign up': begin(1, { prompt: 'create' }),
  'ask in silence': begin(0, { prompt: 'none' }),
  'be answered by a form': begin(0, { response_mode: 'form_post' }),
  'new tab': async (walker: Walker) => {
    walker.page = await walker.context.newPage()
    await begin(1)(walker)
  },
  'change tabs': async (walker: Walker) => void (walker.page = walker.context.pages()[0] ?? walker.page),
  'log in': async (walker: Walker) => fillIn(walker, walker.user.password),
  'double click': async (walker: Walker) => fillIn(walker, walker.user.password, 2),
  'wrong password': async (walker: Walker) => fillIn(walker, 'wrong'),
  'type a code': async (walker: Walker) => typeCode(walker),
  'type a code twice': async (walker: Walker) => typeCode(walker, 2),
  'wrong code': async ({ page }: Walker) => typeInto(page, 'input[name=code]', '000000'),
  press: async ({ page }: Walker) => click(page, primary),
  'press twice': async ({ page }: Walker) => click(page, primary, 2),
  deny: async ({ page }: Walker) => click(page, 'button.second'),
  'use another account': async ({ page }: Walker) => click(page, 'a.go[href*="/log-in"]'),
  follow: async ({ page }: Walker) => click(page, 'main a'),
  'follow the last': async ({ page }: Walker) => click(page, 'main a >> nth=-1'),
  'forget the password': async ({ page, user }: Walker) => {
    await click(page, 'a.go[href*="/reset"]')
    await typeInto(page, 'form[action$="/reset"] input[name=username]', user.username)
  },
  'sign up': async ({ page, addresses }: Walker) => {
    await click(page, 'a.go[href*="/sign-up"]')
    const address = `new-${randomInt(2 ** 40)}@mail.example`
    addresses.add(address)
    await typeInto(page, 'input[name=email]', address)
  },
  'follow a mail': async (walker: Walker) => followMail(walker),
  'type what was mailed': async (walker: Walker) => {
    const { text = '' } = (await lastMail(walker)) ?? {}
    const [, code] = /waits for it: (\S+)/.exec(text) ?? []
    if (code !== undefined) await typeInto(walker.page, 'form:has([name=waiting]) [name=code]', code)
  },
  'choose a password': async (walker: Walker) => choosePassword(walker),
  back: async ({ page }: Walker) => past(page, () => page.goBack()),
  forward: async ({ page }: Walker) => past(page, () => page.goForward()),
  reload: async ({ page }: Walker) => void (await page.reload()),
  'sleep for a code': sleep(61),
  'sleep for a request_uri': sleep(91),
  'sleep for a factor': sleep(601),
  'sleep for a link': sleep(901),
  'sleep for a page': sleep(1801),
  'sleep for a night': sleep(43_201),
  'sleep for a month': sleep(30 * 86_400 + 1),
  restart: async ({ world }: Walker) => world.restart(),
  'clear cookies': async ({ context }: Walker) => context.clearCookies(),
  'log out': async (walker: Walker) => {
    const { context, world } = walker
    const tab = await context.newPage()
    await tab.goto(`${world.server.ctx.config.issuer}/log-out`)
    await isSound({ ...walker, page: tab })
    await click(tab, primary)
    await tab.close()
  },
  'log out at the app': async ({ page, world: { apps } }: Walker) =>
    void (await page.goto(`${apps[0]?.origin}/log-out`)),
  'change password': async (walker: Walker) => {
    const { ctx } = walker.world.server
    const password = `${walker.user.password}+`
    await changePassword(ctx.db, walker.user.id, await ctx.users.passwords.hash(password), ctx.clock.now())
    walker.user = { ...walker.user, password }
  },
} satisfies Readonly<Record<string, (walker: Walker) => Promise<void>>>

type MoveName = keyof typeof moves

/** Those of somebody who wants to log in come more often. */
const anyMove: fc.Arbitrary<MoveName> = fc.constantFrom(
  ...(Object.keys(moves) as MoveName[]),
  ...(['begin', 'begin where consent is asked for', 'ask for more than a password'] as const),
  ...(['log in', 'log in', 'log in', 'log in', 'log in', 'type a code', 'type a code'] as const),
  'choose a password',
  ...(['press', 'press', 'press', 'back', 'back', 'follow a mail', 'type what was mailed'] as const),
)

/**
 * Walks at random through log-ins in Chromium, every second time without scripts and by somebody who has a
 * second factor, and tells the seed that walks the same again. Each walk ends with a fresh log-in. Throws
 * where somebody is led astray, or is stuck. Returns what was seen how often.
 */
export async function walkInChromium(
  t: Test,
  browser: Browser,
  { walks, seed = randomInt(2 ** 31) }: { readonly walks: number; readonly seed?: number },
): Promise<ReadonlyMap<string, number>> {
  t.comment(`seed ${seed}`)
  const seen = new Map<string, number>()
  const world = await startWorld(t, heading => seen.set(heading, (seen.get(heading) ?? 0) + 1))
  let count = 0
  const walk = async (names: readonly MoveName[], javaScriptEnabled: boolean, hasTotp: boolean) => {
    const user = await world.server.user(`ada-${++count}`)
    const address = `ada-${count}@mail.example`
    await verifiedMail(world.server, user, address)
    const totps = new Map<string, App>()
    if (hasTotp) totps.set(user.username, await withApp(world.server, user))
    const addresses = new Set([address])
    const context = await browser.newContext({ javaScriptEnabled })
    context.setDefaultTimeout(120_000) // a slow machine is no fault
    const walker: Walker = { world, context, user, totps, addresses, page: await context.newPage() }
    try {
      for (const [place, name] of names.entries()) {
        try {
          await moves[name](walker)
          await walker.page.waitForLoadState('load')
          await isSound(walker)
        } catch (error) {
          throw new Error(`at move ${place}, ${name}: ${String(error)}`, { cause: error })
        }
      }
      await logInAfresh(walker)
    } finally {
      await context.close()
    }
  }
  const someMoves = fc.array(anyMove, { minLength: 6, maxLength: 16, size: 'max' })
  const property = fc.asyncProperty(someMoves, fc.boolean(), fc.boolean(), walk)
  // To walk again and again for a shorter way takes a browser too long.
  await fc.assert(property, { numRuns: walks, seed, endOnFailure: true })
  t.comment(Object.fromEntries(seen))
  t.strictSame(
    world.server.log.filter(({ level }) => Number(level) >= 50),
    [],
    'no fault of ours',
  )
  t.ok(
    world.apps.some(({ answers }) => answers.some(({ tokens }) => tokens !== null)),
    'somebody has logged in',
  )
  return seen
}

async function startWorld(t: Test, see: World['see']): Promise<World> {
  const mailbox = await openMailbox(t)
  const port = await freePort()
  const env = {
    MINTMARK_ISSUER: `http://127.0.0.1:${port}`,
    MINTMARK_SIGN_UP: 'open',
    ...mailbox.env,
  }
  let current = await startServer(t, env)
  await current.app.ready()
  const all = [current]
  const front = createServer((request, response) => current.app.routing(request, response))
  front.listen(port, '127.0.0.1')
  await once(front, 'listening')
  t.teardown(() => {
    front.closeAllConnections()
    front.close()
  })
  const server: TestServer = {
    ...current,
    get ctx() {
      return current.ctx
    },
    get jobs() {
      return current.jobs
    },
    get log() {
      return all.flatMap(({ log }) => log)
    },
    tick: seconds => current.tick(seconds),
    user: (...args) => current.user(...args),
    post: (path, form, headers) => current.post(path, form, headers),
  }
  return {
    apps: [
      await startWebApp(t, server, 'web'),
      await startWebApp(t, server, 'shop', { host: '127.0.0.1', consent: 'always' }),
    ],
    mailbox,
    server,
    restart: async () => {
      const next = await startServer(t, { ...env, ...besideEnv(current) }, current.ctx.clock.now())
      await next.app.ready()
      all.push((current = next))
    },
    see,
  }
}

/** Goes on past a page that has answered a form: the browser asks before it sends that once more. */
async function past(page: Page, go: () => Promise<unknown>): Promise<void> {
  try {
    await go()
  } catch (error) {
    if (!/ERR_CACHE_MISS/.test(String(error))) throw error
    await page.waitForURL(/^chrome-error:/)
    await past(page, go)
  }
}

const password = 'input[autocomplete=current-password]'
const primary = 'main button[type=submit]:not(label ~ *)'

async function fillIn({ page, user }: Walker, text: string, clicks = 1): Promise<void> {
  if ((await page.locator(password).count()) === 0) return
  await page.locator('input[name=username]').fill(user.username)
  await page.locator(password).fill(text)
  await page.locator('main button[type=submit]:not(.second)').click({ clickCount: clicks })
}

/** The code of now, of the app that the person has, or of one that is being set up. */
async function typeCode(walker: Walker, clicks = 1): Promise<void> {
  const { page, world, user, totps } = walker
  const shown = page.locator('code.key')
  const secret = (await shown.count()) === 0 ? undefined : await shown.first().textContent()
  const app = secret ? appOf(world.server, secret.replaceAll(' ', '')) : totps.get(user.username)
  if (!app) return
  // The code of before has been used.
  world.server.tick(30)
  await typeInto(page, 'input[name=code]', app.code(), clicks)
  const owner = secret && (await ownerOfNewApp(world.server))
  if (owner) totps.set(owner, app)
}

/** Whose account an app was set up in just now: the page does not say who is logged in. */
async function ownerOfNewApp({ ctx }: TestServer): Promise<string | undefined> {
  const row = await ctx.db.sql
    .selectFrom('totps')
    .innerJoin('users', 'users.id', 'totps.user_id')
    .select('users.username')
    .where('totps.created_at', '=', ctx.clock.now())
    .executeTakeFirst()
  return row?.username
}

async function lastMail({ world, addresses }: Walker) {
  await runJob(world.server, 'doing what was asked for')
  await world.mailbox.read(world.server)
  return world.mailbox.mails.findLast(({ to }) => addresses.has(to))
}

async function followMail(walker: Walker): Promise<void> {
  const { link } = (await lastMail(walker)) ?? {}
  if (link !== undefined) await walker.page.goto(link)
}

/** A reset of the password, or a new account, which is the person's from then on. */
async function choosePassword(walker: Walker): Promise<void> {
  const { page } = walker
  const field = page.locator('input[autocomplete=new-password]')
  if ((await field.count()) === 0) return
  const username = await page.locator('#username').inputValue()
  const chosen = `a new one of ${randomInt(2 ** 40)}`
  await field.fill(chosen)
  await page.locator(primaryOfForm).click()
  await page.waitForLoadState('load')
  const isTaken = (await field.count()) === 0
  if (!isTaken) return
  walker.user = { ...walker.user, username, password: chosen }
}

const primaryOfForm = 'main button[type=submit]:not(.second)'

async function typeInto(page: Page, selector: string, text: string, clicks = 1): Promise<void> {
  const field = page.locator(selector).filter({ visible: true })
  if ((await field.count()) === 0) return
  await field.fill(text)
  await page.locator(primaryOfForm).first().click({ clickCount: clicks })
}

/** Where there is such a thing. */
async function click(page: Page, selector: string, clicks = 1): Promise<void> {
  const found = page.locator(selector).filter({ visible: true }).first()
  if ((await found.count()) > 0) await found.click({ clickCount: clicks })
}

/** After a log-out the page may be closed. */
const ends = /logged out/

async function isSound({ page, world }: Walker): Promise<void> {
  const { apps } = world
  for (const { answers } of apps) {
    const strange = answers.find(({ isAsked }) => !isAsked)
    if (strange) throw new Error(`an answer to another app: ${JSON.stringify(strange.parameters)}`)
    const refused = answers.find(({ tokens }) => tokens !== null && !('id_token' in tokens))
    if (refused) throw new Error(`a code was refused: ${JSON.stringify(refused.tokens)}`)
  }
  const url = page.url()
  if (url === 'about:blank' || apps.some(({ origin }) => url.startsWith(`${origin}/`))) return
  if (!url.startsWith(`${world.server.ctx.config.issuer}/`)) throw new Error(`led to ${url}`)
  const heading = (await page.locator('h1').textContent())?.trim() ?? ''
  world.see(heading)
  const ways = await page.locator('a[href], button[type=submit]').count()
  if (heading === '' || (ways === 0 && !ends.test(heading)))
    throw new Error(`no way on from ${url}: ${heading}`)
}

/** In the same browser, whatever has happened in it. */
async function logInAfresh(walker: Walker): Promise<void> {
  const { context, world } = walker
  const [app] = world.apps
  if (!app) return
  walker.page = await context.newPage()
  world.server.tick(3600) // too many guesses are forgotten by then
  const before = app.answers.length
  await walker.page.goto(app.start({ prompt: 'login' }))
  await fillIn(walker, walker.user.password)
  await walker.page.waitForLoadState('load')
  await typeCode(walker)
  await walker.page.waitForLoadState('load')
  if (walker.page.url() !== `${app.origin}/`)
    throw new Error(`a fresh log-in ends at ${await walker.page.locator('main').innerText()}`)
  const tokens = app.answers[before]?.tokens
  if (typeof tokens?.['id_token'] !== 'string') throw new Error('a fresh log-in has failed')
}
