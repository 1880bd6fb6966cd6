import t, { type Test } from 'tap'
import { en } from '../../src/pages/texts/en.ts'
import { openBrowser, type Browser, type Page } from '../helpers/browser.ts'
import { openAccount, verifiedMail } from '../helpers/account.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { relyingParty } from '../helpers/relying-party.ts'
import { runJob } from '../helpers/run-job.ts'
import { startServer } from '../helpers/server.ts'

const newPassword = 'a wholly other one'

async function openWorld(t: Test, env: Record<string, string>) {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, { ...env, ...mailbox.env, MINTMARK_SIGN_UP: 'open' })
  const ada = await server.user()
  await verifiedMail(server, ada, 'ada@mail.example')
  const web = await relyingParty(server)
  /** The only mail that has come, after what waits for an answer is done. */
  const mail = async () => {
    await runJob(server, 'doing what was asked for')
    const [one, ...more] = (await mailbox.read(server)).filter(({ link }) => link?.includes('?link='))
    if (!one?.link || more.length > 0) throw new Error('one mail was to come')
    const { pathname, search } = new URL(one.link)
    return { link: pathname + search, code: /: (\d{4} \d{4})/.exec(one.text)?.[1] ?? '' }
  }
  return { server, ada, web, mail, browser: openBrowser(server, { language: 'en' }) }
}

type World = Awaited<ReturnType<typeof openWorld>>

/** A page with a form, and how it is filled in. */
interface Filled {
  readonly page: Page
  readonly fields: Readonly<Record<string, string>>
  readonly button?: string
}

/** The forms of which the first one that arrives leaves nothing for the second one. */
const forms: Readonly<Record<string, (world: World) => Promise<Filled>>> = {
  'a reset': async ({ browser, mail, ada }) => {
    await browser.post('/reset', { username: ada.username })
    return { page: await browser.open((await mail()).link), fields: { password: newPassword } }
  },
  'a reset during a log-in': async ({ browser, web, mail, ada }) => {
    const ask = await browser.follow(await browser.open(web.begin().url), /forgotten|forgot/i)
    await browser.submit(ask, { username: ada.username })
    return { page: await browser.open((await mail()).link), fields: { password: newPassword } }
  },
  'a sign-up': async ({ browser, mail }) => {
    await browser.post('/sign-up', { email: 'bob@mail.example' })
    const page = await browser.open((await mail()).link)
    return { page, fields: { username: 'bob', password: newPassword } }
  },
  'a sign-up during a log-in': async ({ browser, web, mail }) => {
    const ask = await browser.open(web.begin({ prompt: 'create' }).url)
    await browser.submit(ask, { email: 'bob@mail.example' })
    const page = await browser.open((await mail()).link)
    return { page, fields: { username: 'bob', password: newPassword } }
  },
  'a new address, by its link': async ({ browser, mail, ada }) => {
    await browser.submit(await openAccount(browser, ada, '/account/mail'), { email: 'new@mail.example' })
    return { page: await browser.open((await mail()).link), fields: {} }
  },
  'a new address, by its code': async ({ browser, mail, ada }) => {
    const ask = await openAccount(browser, ada, '/account/mail')
    const page = await browser.submit(ask, { email: 'new@mail.example' })
    return { page, fields: { code: (await mail()).code } }
  },
}

/** Another window of the same browser, whose cookies are those of this moment. */
function windowOf({ server }: World, browser: Browser): Browser {
  const other = openBrowser(server, { language: 'en' })
  for (const [name, cookie] of browser.cookies) other.cookies.set(name, cookie)
  return other
}

type Send = (browser: Browser) => Promise<Page>

/** How two equal forms may arrive; each gives the page on which its person ends. */
const arrivals: Readonly<Record<string, (world: World, send: Send) => Promise<readonly Page[]>>> = {
  'one after the other': async ({ browser }, send) => [await send(browser), await send(browser)],
  'the first answer is dropped': async (world, send) => {
    const other = windowOf(world, world.browser)
    await send(other)
    return [await send(world.browser)]
  },
  'at once': async (world, send) => {
    const other = windowOf(world, world.browser)
    return Promise.all([send(world.browser), send(other)])
  },
}

/** What a form has done, of all that would be told of it. */
async function effectsOf({ server: { ctx } }: World) {
  const audit = await ctx.db.sql.selectFrom('audit').select('event').orderBy('id').execute()
  const outbox = await ctx.db.sql.selectFrom('outbox').select('kind').execute()
  const users = await ctx.db.sql.selectFrom('users').select(['username', 'epoch', 'mail_epoch']).execute()
  const sorted = (rows: readonly object[]) => rows.map(row => JSON.stringify(row)).toSorted()
  return { audit: sorted(audit), outbox: sorted(outbox), users: sorted(users) }
}

/** The page without what is sealed or drawn for it. */
const seenOn = ({ url, response, text }: Page) => ({
  path: url.pathname,
  status: response.statusCode,
  text: text.replace(/Reference: \S+/, ''),
})

await forEachEngine(
  t,
  'a form that is sent twice does what it does once, and ends where the first did',
  async (t, env) => {
    for (const [form, begin] of Object.entries(forms)) {
      const world = await openWorld(t, env)
      const { page, fields, ...how } = await begin(world)
      const once = {
        seen: seenOn(await world.browser.submit(page, fields, how)),
        effects: await effectsOf(world),
      }
      t.equal(once.seen.status, 200, form)
      for (const [arrival, send] of Object.entries(arrivals)) {
        const other = await openWorld(t, env)
        const filled = await begin(other)
        const pages = await send(other, browser => browser.submit(filled.page, filled.fields, filled))
        for (const [n, ended] of pages.entries())
          t.strictSame(seenOn(ended), once.seen, `${form}, ${arrival}, ${n}`)
        t.strictSame(await effectsOf(other), once.effects, `${form}, ${arrival}: one effect`)
      }
    }
  },
)

t.test('a link that was used is no way to guess at the password', async t => {
  const { ada, browser, mail } = await openWorld(t, {})
  await browser.post('/reset', { username: ada.username })
  const page = await browser.open((await mail()).link)
  const set = (password: string) => browser.submit(page, { password })
  t.match((await set(newPassword)).text, en.messages.password_set.heading)
  for (let guess = 0; guess < 3; guess++)
    t.match((await set(`${newPassword} ${guess}`)).text, en.messages.link_used.heading)
  t.match((await set(newPassword)).text, en.messages.link_used.heading, 'not even where it is right')
})

t.test('a used link tells nobody else that it was used well', async t => {
  const { server, ada, browser, mail } = await openWorld(t, {})
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
