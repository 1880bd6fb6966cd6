import t, { type Test } from 'tap'
import { keepNames } from '../../db/users/user-names.ts'
import { codeOf, factsOf, newWaiting, sealWaiting } from '../../src/account/mailed-codes.ts'
import { en } from '../../src/pages/texts/en.ts'
import { auditOf, openAccount, rowOf, verifiedMail } from '../helpers/account.ts'
import { openBrowser, type Browser, type Page } from '../helpers/browser.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { relyingParty } from '../helpers/relying-party.ts'
import { runJob } from '../helpers/run-job.ts'
import { startServer } from '../helpers/server.ts'

const address = 'ada@mail.example'
const password = 'a wholly other one'
const { problems } = en.recovery

/** A server that sends mails, and somebody with a verified address. */
async function mailWorld(t: Test, env: Record<string, string> = {}) {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, { ...env, ...mailbox.env, MINTMARK_SIGN_UP: 'open' })
  const ada = await server.user()
  await verifiedMail(server, ada, address)
  /** The code and the link of the one mail that has come, or that has come to an address. */
  const read = async (reader?: string) => {
    await runJob(server, 'doing what was asked for')
    const mail = (await mailbox.read(server)).find(({ to }) => reader === undefined || to === reader)
    const { pathname, search } = new URL(mail?.link ?? 'https://as.example/no-mail')
    return { code: /\b\d{4} \d{4}\b/.exec(mail?.text ?? '')?.[0] ?? 'no code', link: pathname + search }
  }
  return { server, ada, read }
}

const isRefused = (t: Test, page: Page, problem: string, status = 400) => {
  t.equal(page.response.statusCode, status, page.text)
  t.match(page.text, problem)
}

await forEachEngine(t, 'a code does what its link does, where the mail was asked for', async (t, env) => {
  const { server, ada, read } = await mailWorld(t, env)
  const web = await relyingParty(server)
  const browser = openBrowser(server)
  const begun = web.begin()
  const ask = await browser.follow(await browser.open(begun.url), en.recovery.forgotten)
  const waiting = await browser.submit(ask, { username: ada.username })
  const { code, link } = await read()
  const page = await browser.submit(waiting, { code })
  t.equal(page.url.pathname + page.url.search.slice(0, 6), '/reset?link=')
  const back = await browser.submit(page, { password })
  t.equal(back.url.pathname, '/log-in', 'nobody is logged in by it')
  const done = await browser.submit(back, { password })
  t.equal((await web.redeem(begun, done)).status, 200, 'the log-in that was under way comes to its end')
  isRefused(t, await browser.submit(waiting, { code }), problems.code_wrong)
  isRefused(t, await browser.open(link), en.messages.link_used.heading)
})

await forEachEngine(t, 'somebody signs up by a code, once', async (t, env) => {
  const { server, read } = await mailWorld(t, env)
  const browser = openBrowser(server)
  const waiting = await browser.post('/sign-up', { email: 'bob@example.com' })
  const { code, link } = await read()
  const account = await browser.submit(waiting, { code: code.replace(' ', '-') })
  t.match(account.text, en.recovery.newAccount.title)
  await browser.submit(account, { username: 'bob', password })
  isRefused(t, await browser.submit(waiting, { code }), problems.code_wrong)
  isRefused(t, await browser.open(link), en.messages.link_used.heading)
})

t.test(
  'invariant 16: a code counts in its browser, for its page, in time, and while nothing has changed',
  async t => {
    const { server, ada, read } = await mailWorld(t)
    const browser = openBrowser(server)
    const ask = async () => {
      server.tick(720)
      const waiting = await browser.post('/reset', { username: ada.username })
      return { waiting, ...(await read()) }
    }
    const { waiting, code, link } = await ask()
    const fields = { waiting: waiting.forms[0]?.fields.get('waiting') ?? '', code }
    const other = openBrowser(server)
    await other.open('/reset')
    isRefused(t, await other.post('/reset', fields), problems.code_expired)
    await other.post('/reset', { username: 'nobody' })
    isRefused(t, await other.post('/reset', fields), problems.code_expired)
    isRefused(t, await browser.post('/sign-up', fields), problems.code_expired)
    isRefused(t, await browser.post('/reset', { ...fields, waiting: 'mm_mc_x' }), problems.code_expired)
    t.equal((await browser.post('/reset', fields)).url.search.slice(0, 6), '?link=')
    server.tick(899)
    t.equal((await browser.post('/reset', fields)).url.search.slice(0, 6), '?link=')
    server.tick(1)
    isRefused(t, await browser.post('/reset', fields), problems.code_expired)
    isRefused(t, await browser.open(link), en.messages.link_expired.heading)

    const second = await ask()
    isRefused(t, await browser.submit(second.waiting, { code }), problems.code_wrong)
    await browser.submit(await browser.open(second.link), { password })
    isRefused(t, await browser.submit(second.waiting, { code: second.code }), problems.code_wrong)
  },
)

/** What a page that waits answers to wrong codes, until there were too many. */
async function guess(browser: Browser, waiting: Page, right: string): Promise<string> {
  const answers = []
  for (const code of ['', '0000 0000', 'x', '1', '00000000', right]) {
    const { response, text } = await browser.submit(waiting, { code })
    answers.push([response.statusCode, text.replace(/mm_mc_[\w-]+/g, '')])
  }
  return JSON.stringify(answers)
}

t.test('invariant 15: five guesses count for each name, whether there is an account or not', async t => {
  const { server, ada, read } = await mailWorld(t)
  const browser = openBrowser(server)
  const waiting = await browser.post('/reset', { username: ada.username })
  const { code } = await read()
  const answers = await guess(browser, waiting, code)
  t.match(answers, `429,"A as.example ${en.recovery.sent.title} ${problems.codes_throttled}`)
  await runJob(server, 'writing the audit trail')
  t.match(await auditOf(server, ada), [
    { event: 'link_mailed' },
    { event: 'mailed_code_failed', actor: 'nobody', detail: { link: 'reset' } },
  ])
  const told = server.log.filter(({ event }) => /^mailed_code/.test(String(event)))
  t.match(
    told.map(({ event, address }) => [event, typeof address]),
    [...Array(5).fill(['mailed_code_failed', 'string']), ['mailed_code_throttled', 'string']],
  )
  const again = await browser.post('/reset', { username: ada.username.toUpperCase() })
  isRefused(t, await browser.submit(again, { code }), problems.codes_throttled, 429)
  t.equal(await guess(browser, await browser.post('/reset', { username: 'nobody' }), code), answers)
  server.tick(600)
  t.equal((await browser.submit(waiting, { code })).url.search.slice(0, 6), '?link=', 'and the owner goes on')
})

const fresh = 'lovelace@new.example'

/** The page that waits for the code of a new address, and the code. */
async function askForAddress(
  { server, ada, read }: Awaited<ReturnType<typeof mailWorld>>,
  browser: Browser,
  to = fresh,
) {
  server.tick(120)
  const page = await openAccount(browser, ada, '/account/mail')
  return { waiting: await browser.submit(page, { email: to }), ...(await read(to)) }
}

await forEachEngine(
  t,
  'a new mail address is confirmed by its code, where it was entered',
  async (t, env) => {
    const world = await mailWorld(t, env)
    const { server, ada } = world
    const browser = openBrowser(server)
    const { waiting, code, link } = await askForAddress(world, browser)
    t.match(waiting.url.search, /^\?sent=mm_mc_/)
    const claims = async () => JSON.parse((await rowOf(server, ada)).claims)
    isRefused(t, await browser.submit(waiting, { code: '0000 0000' }), problems.code_wrong)
    server.tick(901)
    const stale = await browser.submit(waiting, { code })
    t.equal(stale.url.pathname, '/log-in', 'whoever sits there now is not asked for the code alone')
    const back = await browser.submit(stale, { password: ada.password })
    t.equal(back.url.href, waiting.url.href, 'and the page still waits')
    t.strictSame(await claims(), { email: address, email_verified: true })
    const done = await browser.submit(back, { code })
    t.match(done.text, en.ownAccount.notices.mail_changed)
    t.strictSame(await claims(), { email: fresh, email_verified: true })
    t.match((await auditOf(server, ada)).at(-1), {
      event: 'user_changed',
      actor: `user ${ada.sub}`,
      detail: { claims: ['email', 'email_verified'] },
    })
    t.equal((await rowOf(server, ada)).mail_epoch, 1)
    isRefused(t, await browser.submit(waiting, { code: '0000 0000' }), problems.code_wrong)
    t.match((await browser.submit(waiting, { code })).text, en.ownAccount.notices.mail_changed, 'sent twice')
    t.equal((await rowOf(server, ada)).mail_epoch, 1, 'it changes no more')
    isRefused(t, await browser.open(link), en.messages.link_used.heading)
  },
)

t.test('invariant 16: the code of a new address counts for who has entered it, there', async t => {
  const world = await mailWorld(t)
  const { server, ada } = world
  const browser = openBrowser(server)
  const { waiting, code } = await askForAddress(world, browser)
  const fields = { waiting: waiting.forms[0]?.fields.get('waiting') ?? '', code }
  const post = (of: Browser) => of.post('/account/mail', fields)
  const elsewhere = openBrowser(server)
  await openAccount(elsewhere, ada)
  isRefused(t, await post(elsewhere), problems.code_expired)
  t.equal((await post(openBrowser(server))).url.pathname, '/log-in', 'nor does it for nobody')
  isRefused(t, await browser.post('/reset', fields), problems.code_expired)
  await browser.submit(await browser.open('/log-out'))
  const eve = await server.user('eve')
  await openAccount(browser, eve)
  isRefused(t, await post(browser), problems.code_expired)
  t.notMatch((await rowOf(server, eve)).claims, fresh)
  await browser.submit(await browser.open('/log-out'))
  await openAccount(browser, ada)
  const other = await askForAddress(world, browser, 'other@new.example')
  isRefused(t, await browser.submit(other.waiting, { code }), problems.code_wrong)
  await verifiedMail(server, eve, fresh)
  const named = await rowOf(server, eve)
  await server.ctx.db.transact(sql => keepNames(sql, named))
  isRefused(t, await post(browser), en.ownAccount.problems.mail_taken)
  t.notMatch((await rowOf(server, ada)).claims, fresh)
})

t.test('guesses at the code of an address count for who guesses, and keep no other from it', async t => {
  const world = await mailWorld(t)
  const { server, ada } = world
  const eve = await server.user('eve')
  const [browser, other] = [openBrowser(server), openBrowser(server)]
  const guessed = await askForAddress({ ...world, ada: eve }, other)
  for (let count = 0; count < 5; count++)
    isRefused(t, await other.submit(guessed.waiting, { code: '1' }), problems.code_wrong)
  isRefused(t, await other.submit(guessed.waiting, { code: guessed.code }), problems.codes_throttled, 429)
  const again = await askForAddress({ ...world, ada: eve }, other, 'eve@new.example')
  isRefused(t, await other.submit(again.waiting, { code: again.code }), problems.codes_throttled, 429)
  const { waiting, code } = await askForAddress(world, browser)
  t.match((await browser.submit(waiting, { code })).text, en.ownAccount.notices.mail_changed)
  t.match((await rowOf(server, ada)).claims, fresh)
  await runJob(server, 'writing the audit trail')
  t.match(
    (await auditOf(server, eve)).find(({ event }) => event === 'mailed_code_failed'),
    {
      detail: { link: 'verification' },
    },
  )
})

t.test('of a name to which no mail goes no code is right', async t => {
  const { server, ada } = await mailWorld(t)
  const { ctx } = server
  const browser = openBrowser(server)
  await browser.open('/account')
  const bob = await server.user('bob')
  await browser.post('/reset', { username: 'bob' })
  const key = await browserOf(browser)
  for (const [kind, name, path] of [
    ['reset', 'bob', '/reset'],
    ['sign_up', ada.username, '/sign-up'],
  ] as const) {
    const waiting = newWaiting(ctx, kind, name)
    t.equal(await factsOf(ctx, waiting), undefined, kind)
    const made = [waiting.userId, bob.id, ada.id].map(userId =>
      codeOf(waiting, { userId, epochs: null, mail: name }),
    )
    for (const code of made)
      isRefused(
        t,
        await browser.post(path, { waiting: sealWaiting(ctx, waiting, key), code }),
        problems.code_wrong,
      )
  }
})

/** As the server tells this browser from others. */
async function browserOf(browser: Browser): Promise<string> {
  const { createHash } = await import('node:crypto')
  return createHash('sha256')
    .update(browser.cookies.get('__Host-mintmark-browser')?.value ?? '')
    .digest('base64url')
}
