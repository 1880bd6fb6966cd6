import t, { type Test } from 'tap'
import { en } from '../../src/pages/texts/en.ts'
import { openBrowser, type Browser, type Page } from '../helpers/browser.ts'
import { openAccount, verifiedMail } from '../helpers/account.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { personalToken } from '../helpers/personal-tokens.ts'
import { relyingParty } from '../helpers/relying-party.ts'
import { runJob } from '../helpers/run-job.ts'
import { startServer } from '../helpers/server.ts'

const newPassword = 'a wholly other one'

async function openWorld(t: Test, env: Record<string, string>) {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, { ...env, ...mailbox.env, MINTMARK_SIGN_UP: 'open' })
  await server.resource('https://api.example', { scope: 'read', personal_access_tokens: 1 })
  // With the first one, a client is made for all.
  await personalToken(server, await server.user('eve'))
  return { server, mailbox, web: await relyingParty(server) }
}

/** The people and the browser of one try, which have to do with no other. */
async function openScene(world: Awaited<ReturnType<typeof openWorld>>, n: number) {
  const { server, mailbox } = world
  const ada = await server.user(`ada${n}`)
  await verifiedMail(server, ada, `ada${n}@mail.example`)
  /** The only mail with a link that has come, after what waits for an answer is done. */
  const mail = async () => {
    await runJob(server, 'doing what was asked for')
    const [one, ...more] = (await mailbox.read(server)).filter(({ link }) => link?.includes('?link='))
    if (!one?.link || more.length > 0) throw new Error('one mail was to come')
    const { pathname, search } = new URL(one.link)
    return { link: pathname + search, code: /: (\d{4} \d{4})/.exec(one.text)?.[1] ?? '' }
  }
  const browser = openBrowser(server, { address: `198.51.100.${n}` })
  return { ...world, n, ada, mail, browser, bob: `bob${n}` }
}

type Scene = Awaited<ReturnType<typeof openScene>>

/** A page with a form, and how it is filled in. */
interface Filled {
  readonly page: Page
  readonly fields: Readonly<Record<string, string>>
  readonly button?: string
}

/** The forms of which the first one that arrives leaves nothing for the second one. */
const forms: Readonly<Record<string, (scene: Scene) => Promise<Filled>>> = {
  'a reset': async ({ browser, mail, ada }) => {
    await browser.post('/reset', { username: ada.username })
    return { page: await browser.open((await mail()).link), fields: { password: newPassword } }
  },
  'a reset during a log-in': async ({ browser, web, mail, ada }) => {
    const ask = await browser.follow(await browser.open(web.begin().url), /forgotten|forgot/i)
    await browser.submit(ask, { username: ada.username })
    return { page: await browser.open((await mail()).link), fields: { password: newPassword } }
  },
  'a sign-up': async ({ browser, mail, bob }) => {
    await browser.post('/sign-up', { email: `${bob}@mail.example` })
    const page = await browser.open((await mail()).link)
    return { page, fields: { username: bob, password: newPassword } }
  },
  'a sign-up during a log-in': async ({ browser, web, mail, bob }) => {
    const ask = await browser.open(web.begin({ prompt: 'create' }).url)
    await browser.submit(ask, { email: `${bob}@mail.example` })
    const page = await browser.open((await mail()).link)
    return { page, fields: { username: bob, password: newPassword } }
  },
  'a new address, by its link': async ({ browser, mail, ada, n }) => {
    const ask = await openAccount(browser, ada, '/account/mail')
    await browser.submit(ask, { email: `new${n}@mail.example` })
    return { page: await browser.open((await mail()).link), fields: {} }
  },
  'a new address, by its code': async ({ browser, mail, ada, n }) => {
    const ask = await openAccount(browser, ada, '/account/mail')
    const page = await browser.submit(ask, { email: `new${n}@mail.example` })
    return { page, fields: { code: (await mail()).code } }
  },
  'a personal access token': async ({ browser, ada }) => ({
    page: await openAccount(browser, ada, '/account/tokens/new'),
    fields: { name: 'nightly report', 'scope.read': '1' },
  }),
}

/** Another window of the same browser, whose cookies are those of this moment. */
function windowOf({ server, n }: Scene, browser: Browser): Browser {
  const other = openBrowser(server, { address: `198.51.100.${n}` })
  for (const [name, cookie] of browser.cookies) other.cookies.set(name, cookie)
  return other
}

type Send = (browser: Browser) => Promise<Page>

/** How two equal forms may arrive; each gives the page on which its person ends. */
const arrivals: Readonly<Record<string, (scene: Scene, send: Send) => Promise<readonly Page[]>>> = {
  'one after the other': async ({ browser }, send) => [await send(browser), await send(browser)],
  'the first answer is dropped': async (scene, send) => {
    await send(windowOf(scene, scene.browser))
    return [await send(scene.browser)]
  },
  'at once': async (scene, send) => {
    const other = windowOf(scene, scene.browser)
    return Promise.all([send(scene.browser), send(other)])
  },
}

/** Everything that a form may change or tell. */
async function stateOf({ server: { ctx } }: Scene): Promise<readonly string[]> {
  const audit = await ctx.db.sql.selectFrom('audit').select(['id', 'event']).execute()
  const outbox = await ctx.db.sql.selectFrom('outbox').select(['id', 'kind']).execute()
  const users = await ctx.db.sql.selectFrom('users').select(['username', 'epoch', 'mail_epoch']).execute()
  const named = (row: { readonly id: number | Buffer }) =>
    JSON.stringify({ ...row, id: typeof row.id === 'number' ? `${row.id}` : row.id.toString('hex') })
  return [...audit.map(named), ...outbox.map(named), ...users.map(row => JSON.stringify(row))]
}

/** The same in each scene: without ids and numbers of names. */
const alike = (text: string) => text.replace(/"id":"[^"]*",/, '').replace(/(ada|bob|new)\d+/gi, '$1')

const seenOn = ({ url, response, text }: Page) => ({
  path: url.pathname,
  status: response.statusCode,
  text: alike(text.replace(/Reference: \S+|mm_pat_\S+/, '')),
})

/** Fills a form in, sends it, and says where that ends and what it has done. */
async function play(
  scene: Scene,
  begin: (scene: Scene) => Promise<Filled>,
  arrive: (scene: Scene, send: Send) => Promise<readonly Page[]>,
) {
  const { page, fields, ...how } = await begin(scene)
  const before = await stateOf(scene)
  const pages = await arrive(scene, browser => browser.submit(page, fields, how))
  const after = await stateOf(scene)
  const effects = after.filter(one => !before.includes(one)).map(alike)
  return { pages: pages.map(seenOn), effects: effects.toSorted() }
}

await forEachEngine(
  t,
  'a form that is sent twice does what it does once, and ends where the first did',
  async (t, env) => {
    const world = await openWorld(t, env)
    let n = 0
    for (const [form, begin] of Object.entries(forms)) {
      const once = await play(await openScene(world, ++n), begin, async ({ browser }, send) => [
        await send(browser),
      ])
      t.match(once, { pages: [{ status: 200 }], effects: /./ }, form)
      for (const [arrival, arrive] of Object.entries(arrivals)) {
        const { pages, effects } = await play(await openScene(world, ++n), begin, arrive)
        for (const seen of pages) t.strictSame(seen, once.pages[0], `${form}, ${arrival}`)
        t.strictSame(effects, once.effects, `${form}, ${arrival}: one effect`)
      }
    }
  },
)

t.test('a link that was used is no way to guess at the password', async t => {
  const { ada, browser, mail } = await openScene(await openWorld(t, {}), 1)
  await browser.post('/reset', { username: ada.username })
  const page = await browser.open((await mail()).link)
  const set = (password: string) => browser.submit(page, { password })
  t.match((await set(newPassword)).text, en.messages.password_set.heading)
  for (let guess = 0; guess < 3; guess++)
    t.match((await set(`${newPassword} ${guess}`)).text, en.messages.link_used.heading)
  t.match((await set(newPassword)).text, en.messages.link_used.heading, 'not even where it is right')
})

t.test('a used link tells nobody else that it was used well', async t => {
  const { server, ada, browser, mail } = await openScene(await openWorld(t, {}), 1)
  await browser.post('/sign-up', { email: 'bob@mail.example' })
  const page = await browser.open((await mail()).link)
  await browser.submit(page, { username: 'bob', password: newPassword })
  const again = (username: string, password: string) => browser.submit(page, { username, password })
  t.match((await again('bobby', newPassword)).text, en.messages.link_used.heading)
  t.match((await again('bob', 'a guess at it')).text, en.messages.link_used.heading)
  await server.ctx.db.sql.updateTable('users').set({ epoch: 1 }).where('username', '=', 'bob').execute()
  t.match((await again('bob', newPassword)).text, en.messages.link_used.heading, 'nor later')

  await browser.post('/reset', { username: ada.username })
  const reset = await browser.open((await mail()).link)
  await browser.submit(reset, { password: newPassword })
  await server.ctx.db.sql.updateTable('users').set({ disabled_at: 1 }).where('id', '=', ada.id).execute()
  t.match((await browser.submit(reset, { password: newPassword })).text, en.messages.link_used.heading)
})
