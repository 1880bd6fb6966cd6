import fc from 'fast-check'
import t, { type Test } from 'tap'
import { setMailByLink, setPasswordByLink } from '../../db/users/mailed-links.ts'
import { keepNames } from '../../db/users/user-names.ts'
import { newWaiting } from '../../src/account/mailed-codes.ts'
import { makeLink, secondsOfLink, type LinkKind } from '../../src/account/links.ts'
import { askForVerification, confirmAddress } from '../../src/account/verification.ts'
import { mailReset, resetPassword } from '../../src/account/reset.ts'
import { findFactors } from '../../src/factors/factors.ts'
import { startJobs } from '../../src/jobs/jobs.ts'
import { en } from '../../src/pages/texts/en.ts'
import type { MessageKind } from '../../src/pages/texts/texts.ts'
import { auditOf, rowOf, verifiedMail } from '../helpers/account.ts'
import { openBrowser, type Page } from '../helpers/browser.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { runJob } from '../helpers/run-job.ts'
import { recoveryCodesOf, withApp } from '../helpers/second-factors.ts'
import { besideEnv, startServer, type TestServer, type TestUser } from '../helpers/server.ts'

const address = 'ada@mail.example'

/** A server that sends mails, somebody with a verified address, and what has come there. */
async function recoveryWorld(t: Test, env: Record<string, string> = {}) {
  const mailbox = await openMailbox(t)
  const server = await startServer(t, { ...env, ...mailbox.env, MINTMARK_SIGN_UP: 'open' })
  const ada = await server.user()
  await verifiedMail(server, ada, address)
  await keepNamesOf(server, ada)
  /** Does what waits after an answer, and reads what has come. */
  const read = async () => {
    await runJob(server, 'doing what was asked for')
    return mailbox.read(server)
  }
  return { server, mailbox, ada, read }
}

/** As a command that changes its claims does. */
async function keepNamesOf(server: TestServer, user: TestUser): Promise<void> {
  const row = await rowOf(server, user)
  await server.ctx.db.transact(async transaction => {
    await keepNames(transaction, row)
    return true
  })
}

const pathOf = (link: string | undefined): string => {
  const { pathname, search } = new URL(link ?? 'https://as.example/no-link')
  return pathname + search
}

function isMessage(t: Test, page: Page, kind: MessageKind, status: number, title: string): void {
  t.equal(page.response.statusCode, status, `${title}: ${status}`)
  t.ok(page.text.includes(en.messages[kind].heading), `${title}: ${kind}, not ${page.text.slice(0, 200)}`)
}

const newPassword = 'a wholly other one'

/** Everything that a GET could have changed. */
async function stateOf({ ctx }: TestServer): Promise<string> {
  const users = await ctx.db.sql.selectFrom('users').selectAll().orderBy('id').execute()
  const outbox = await ctx.db.sql.selectFrom('outbox').select('id').execute()
  const audit = await ctx.db.sql.selectFrom('audit').select('id').execute()
  return JSON.stringify([users, outbox, audit])
}

await forEachEngine(t, 'a password is reset by a mailed link, and the log-in goes on', async (t, env) => {
  const { server, ada, read } = await recoveryWorld(t, env)
  const web = await relyingParty(server)
  const elsewhere = openBrowser(server, { address: '203.0.113.9' })
  const before = await web.redeem(...(await logInAt(web, elsewhere, ada)))
  const browser = openBrowser(server)
  const begun = web.begin()
  const form = await browser.open(begun.url)
  const ask = await browser.follow(form, en.recovery.forgotten)
  const sent = await browser.submit(ask, { username: 'ADA@Mail.Example' })
  t.equal(sent.response.statusCode, 200)
  t.ok(sent.text.includes(en.recovery.sent.reset))
  t.notMatch(sent.text, /ada/i)
  const [mail, ...more] = await read()
  t.strictSame(more, [])
  t.equal(mail?.to, address)
  t.match(mail?.subject, 'Set a new password')

  const link = pathOf(mail?.link)
  const page = await browser.open(link)
  t.equal(page.forms[0]?.fields.get('link'), new URL(mail?.link ?? '').searchParams.get('link'))
  const back = await browser.submit(page, { password: newPassword })
  t.equal(back.url.pathname, '/log-in', 'nobody is logged in by a reset')
  t.equal(back.forms[0]?.fields.get('username'), ada.username)
  const done = await browser.submit(back, { password: newPassword })
  t.match(done.url.searchParams.get('code'), /^mm_ac_/, 'the log-in that was under way comes to its end')
  t.equal((await web.redeem(begun, done)).status, 200)

  t.equal(
    (
      await server.post('/token', {
        grant_type: 'refresh_token',
        refresh_token: before.refresh_token,
        ...web.client.form,
      })
    ).statusCode,
    400,
    'what began before has ended',
  )
  const [notice] = await read()
  t.match(notice?.subject, 'Your password was reset')
  isMessage(t, await browser.open(link), 'link_used', 400, 'the link again')
  t.match(await auditOf(server, ada), [
    { event: 'sign_in_started' },
    { event: 'log_in' },
    { event: 'link_mailed', actor: 'nobody', detail: { link: 'reset' } },
    { event: 'user_password_changed', actor: `user ${ada.sub}`, detail: { by: 'reset' } },
  ])
})

async function logInAt(
  web: Awaited<ReturnType<typeof relyingParty>>,
  browser: ReturnType<typeof openBrowser>,
  user: Parameters<typeof logInWith>[2],
) {
  const begun = web.begin()
  return [begun, await logInWith(browser, begun, user)] as const
}

t.test('invariant 19: a GET or HEAD of a mailed link changes nothing', async t => {
  const { server, ada, read } = await recoveryWorld(t)
  const browser = openBrowser(server)
  await browser.post('/reset', { username: ada.username })
  await browser.post('/sign-up', { email: 'bob@example.com' })
  await askForVerification(server.ctx, ownerOf(await rowOf(server, ada)), 'ada@other.example')
  const links = (await read()).map(({ link }) => pathOf(link)).filter(path => path.includes('?link='))
  t.equal(links.length, 3)
  const before = await stateOf(server)
  for (const link of links) {
    for (const method of ['GET', 'HEAD'] as const) {
      const { statusCode } = await server.request({ method, url: link, headers: { host: 'as.example' } })
      t.equal(statusCode, 200, `${method} ${link.slice(0, 10)}`)
    }
  }
  t.equal(await stateOf(server), before)
  // Some press the one button too.
  for (const link of links) {
    const { response } = await browser.submit(await browser.open(link))
    t.equal(response.statusCode, 400, link.slice(0, 10))
  }
  t.equal(await stateOf(server), before, 'nor does its button alone')
})

const ownerOf = (user: Awaited<ReturnType<typeof rowOf>>) => ({
  user,
  caller: { address: '198.51.100.7', requestId: 'r-1' },
})

/** All of an answer but what is drawn or sealed for it: that is as long as what was typed. */
function answerOf({ statusCode, headers, body }: Awaited<ReturnType<TestServer['post']>>): string {
  const { date: _, 'x-request-id': __, ...same } = headers
  const text = JSON.stringify([statusCode, same, body])
  return text.replace(/mm_mc_[\w-]+/, '').replace(/-browser=[\w-]+/, '')
}

t.test('invariant 15: whoever is asked for, the answer is the same', async t => {
  const { server, ada, read } = await recoveryWorld(t)
  const { ctx } = server
  const bob = await server.user('bob')
  const eve = await server.user('eve')
  await verifiedMail(server, eve, 'eve@mail.example')
  await ctx.db.sql.updateTable('users').set({ disabled_at: 1 }).where('id', '=', eve.id).execute()
  const cy = await server.user('cy')
  const unverified = JSON.stringify({ email: 'cy@example.com' })
  await ctx.db.sql.updateTable('users').set({ claims: unverified }).where('id', '=', cy.id).execute()
  const answers = new Set<string>()
  const names = [ada.username, 'nobody', bob.username, eve.username, cy.username, 'a\0b', 'x'.repeat(9000)]
  for (const username of names) {
    answers.add(answerOf(await server.post('/reset', { username }, { host: 'as.example' })))
  }
  t.equal(answers.size, 1)
  t.strictSame(
    (await read()).map(({ to }) => to),
    [address],
    'a mail goes to a verified address alone',
  )

  answers.clear()
  for (const email of [address, 'stranger@example.com']) {
    answers.add(answerOf(await server.post('/sign-up', { email }, { host: 'as.example' })))
  }
  t.equal(answers.size, 1)
  t.strictSame(
    (await read()).map(({ to, subject }) => [to, subject]),
    [
      [address, 'You have an account already'],
      ['stranger@example.com', 'Finish signing up'],
    ],
  )
  const before = await ctx.db.sql.selectFrom('users').select('id').execute()
  t.equal(before.length, 4, 'and there is nobody more than before')
})

await forEachEngine(t, 'somebody signs up, and ends in the app (prompt=create)', async (t, env) => {
  const { server, ada, read } = await recoveryWorld(t, env)
  const web = await relyingParty(server)
  const browser = openBrowser(server, { language: 'de' })
  const begun = web.begin({ prompt: 'create' })
  const form = await browser.open(begun.url)
  t.equal(form.url.pathname, '/sign-up')
  const sent = await browser.submit(form, { email: 'Bob@Example.COM' })
  t.match(sent.text, 'Sehen Sie in Ihr Postfach')
  const [mail] = await read()
  t.equal(mail?.to, 'Bob@example.com')
  t.match(mail?.subject, 'Registrierung')
  const link = pathOf(mail?.link)
  const account = await browser.open(link)
  t.equal(account.forms[0]?.fields.get('username'), 'Bob@example.com')
  const tries: [username: string, problem: string][] = [
    [ada.username, 'hat schon jemand'],
    ['eve@example.com', 'nur Ihre eigene'],
    ['', 'nicht möglich'],
  ]
  for (const [username, problem] of tries) {
    const again = await browser.submit(account, { username, password: newPassword })
    t.equal(again.response.statusCode, 400, username)
    t.match(again.text, problem)
  }
  t.match((await browser.submit(account, { password: 'short' })).text, 'mindestens 8')
  t.match((await browser.submit(account, { password: 'password1234' })).text, 'leicht zu erraten')
  const back = await browser.submit(account, { username: 'bob', password: newPassword })
  t.equal(back.url.pathname, '/log-in')
  t.equal(back.forms[0]?.fields.get('username'), 'bob')
  const done = await browser.submit(back, { password: newPassword })
  t.equal((await web.redeem(begun, done)).status, 200)
  isMessageOf(t, await browser.open(link), 'Dieser Link gilt nicht mehr')
  const user = await server.ctx.db.sql
    .selectFrom('users')
    .selectAll()
    .where('username', '=', 'bob')
    .executeTakeFirstOrThrow()
  t.strictSame(JSON.parse(user.claims), { email: 'Bob@example.com', email_verified: true, locale: 'de' })
})

function isMessageOf(t: Test, page: Page, text: string): void {
  t.equal(page.response.statusCode, 400)
  t.match(page.text, text)
}

await forEachEngine(t, 'a link makes one account, and a name is of whoever is first', async (t, env) => {
  const { server, read } = await recoveryWorld(t, env)
  const browser = openBrowser(server)
  for (const email of ['bob@example.com', 'cy@example.com']) await browser.post('/sign-up', { email })
  const [bob, cy] = (await read()).map(({ link }) => new URL(link ?? '').searchParams.get('link') ?? '')
  if (bob === undefined || cy === undefined) throw new Error('two mails have come')
  const create = (link: string, username: string) =>
    browser.post('/sign-up', { link, username, password: newPassword }, { staysPut: true })
  const pages = await Promise.all([
    create(bob, 'first'),
    create(bob, 'second'),
    create(bob, 'third'),
    create(cy, 'first'),
  ])
  const isMade = ({ response }: Page) => String(response.headers.location).includes('done=1')
  const made = pages.filter(isMade)
  const users = await server.ctx.db.sql.selectFrom('users').select('username').execute()
  t.equal(users.length, 1 + made.length)
  t.equal(pages.slice(0, 3).filter(isMade).length, 1)
  if (made.length === 1) {
    // The name was taken since: the same link takes another one.
    const taken = await browser.open(String(pages[3]?.response.headers.location))
    t.match(taken.text, 'Somebody has this user name already')
    t.ok(isMade(await create(cy, 'other')))
  }
})

t.test('where people may not sign up, or no mail is sent, nothing of it is offered', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const browser = openBrowser(server)
  for (const path of ['/reset', '/sign-up']) {
    isMessage(t, await browser.open(path), 'not_offered', 404, path)
    isMessage(t, await browser.post(path, { username: 'ada' }), 'not_offered', 404, path)
  }
  const form = await browser.open(web.begin({ prompt: 'create' }).url)
  t.equal(form.url.pathname, '/log-in')
  t.notOk(form.text.includes(en.recovery.forgotten))
  t.notOk(form.text.includes(en.recovery.create))
  const { prompt_values_supported: prompts } = (
    await server.request({ url: '/.well-known/openid-configuration', headers: { host: 'as.example' } })
  ).json()
  t.notOk(prompts.includes('create'))
  const { server: open } = await recoveryWorld(t)
  const metadata = await open.request({ url: '/.well-known/openid-configuration' })
  t.ok(metadata.json().prompt_values_supported.includes('create'))
})

t.test('however many ask, an address gets one mail for a while, and five at first', async t => {
  const { server, ada, read } = await recoveryWorld(t)
  const addresses = Array.from({ length: 200 }, (_, index) => `203.0.${index}.1`)
  const ask = (username: string, remoteAddress: string) =>
    server.request({
      method: 'POST',
      url: '/reset',
      remoteAddress,
      headers: { host: 'as.example', 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ username }).toString(),
    })
  for (const remoteAddress of addresses) t.equal((await ask(ada.username, remoteAddress)).statusCode, 303)
  t.equal((await read()).length, 1, 'none while the one before is new')
  let count = 1
  for (let minutes = 0; minutes < 60; minutes += 3) {
    server.tick(180)
    await ask(ada.username, addresses[minutes] ?? '')
    count += (await read()).length
  }
  t.ok(count >= 5 && count <= 10, `${count} to ${address} in an hour`)
  const statuses = new Set<number>()
  for (let index = 0; index < 60; index++)
    statuses.add((await ask(`nobody ${index}`, '192.0.2.1')).statusCode)
  t.strictSame([...statuses], [303, 429], 'and a source is told to wait, whomever it asks for')
})

t.test('a request that began in another browser does not go on by itself', async t => {
  const { server, ada, read } = await recoveryWorld(t)
  const web = await relyingParty(server)
  const [browser, phone] = [openBrowser(server), openBrowser(server, { address: '203.0.113.9' })]
  const form = await browser.open(web.begin().url)
  await browser.submit(await browser.follow(form, en.recovery.forgotten), { username: ada.username })
  const [mail] = await read()
  t.ok((mail?.link ?? '').length < 2500, 'the link is short enough for mail programs')
  const done = await phone.submit(await phone.open(pathOf(mail?.link)), { password: newPassword })
  isMessage(t, done, 'password_set', 200, 'elsewhere')
  const begunAnew = await phone.follow(done, en.logIn.submit)
  t.equal(begunAnew.url.pathname, '/log-in', 'it can be begun anew there')
  const back = await browser.submit(form, { username: ada.username, password: newPassword })
  t.match(back.url.searchParams.get('code'), /^mm_ac_/, 'and it goes on where it began')
})

await forEachEngine(t, 'a mail address counts once its owner has confirmed it', async (t, env) => {
  const { server, ada, read } = await recoveryWorld(t, env)
  const browser = openBrowser(server)
  const ask = async (to: string) => askForVerification(server.ctx, ownerOf(await rowOf(server, ada)), to)
  t.equal(await ask('no address'), 'wrong')
  t.equal(await ask('a@b.example\r\nBcc: eve@example.com'), 'wrong')
  t.equal(await ask(address), 'same')
  t.match(await ask('lovelace@new.example'), { kind: 'verification' })
  t.equal(await ask('lovelace@new.example'), 'throttled')
  const mails = await read()
  t.strictSame(mails.map(({ to }) => to).sort(), [address, 'lovelace@new.example'], 'the owner is told')
  const mail = mails.find(({ to }) => to === 'lovelace@new.example')
  const words = mail?.text.replace(mail.link ?? '', '')
  t.notMatch(words, ada.username, 'what confirms it is not in the mail')
  const page = await browser.open(pathOf(mail?.link))
  t.notMatch(page.text, ada.username, 'nor on the page')
  t.match((await browser.submit(page, { username: 'eve' })).text, 'This is not the user name')
  const claims = async () => JSON.parse((await rowOf(server, ada)).claims)
  t.equal((await claims()).email, address)
  isMessage(t, await browser.submit(page, { username: 'ADA' }), 'address_confirmed', 200, 'confirmed')
  t.match(await claims(), { email: 'lovelace@new.example', email_verified: true })
  isMessage(t, await browser.submit(page, { username: 'ada' }), 'address_confirmed', 200, 'twice')
  isMessage(t, await browser.submit(page, { username: 'eve' }), 'link_used', 400, 'not by another one')
  const [notice] = await read()
  t.equal(notice?.to, address, 'the address of before is told')

  const bob = await server.user('bob')
  server.tick(120)
  await askForVerification(server.ctx, ownerOf(await rowOf(server, bob)), 'Lovelace@new.example')
  const [other] = await read()
  const taken = await browser.submit(await browser.open(pathOf(other?.link)), { username: 'bob' })
  isMessage(t, taken, 'mail_taken', 400, 'an address that is the name of another user')
})

t.test('a link counts for what it was made, once, in time, here, and while nothing has changed', async t => {
  const { server, ada } = await recoveryWorld(t)
  const { server: other } = await recoveryWorld(t)
  const { ctx } = server
  const caller = { address: '198.51.100.7', requestId: 'r-1', source: undefined }
  const kinds: readonly LinkKind[] = ['reset', 'invitation', 'verification', 'sign_up']
  const textOf = async (kind: LinkKind, of = server) => {
    const user = await rowOf(server, ada)
    const facts = {
      userId: ada.id,
      epochs: kind === 'sign_up' ? null : user,
      mail: 'ada@example.com',
      request: null,
    }
    return new URL(makeLink(of.ctx, kind, facts).href).searchParams.get('link') ?? ''
  }
  let count = 0
  const outcomeOf = async (text: string) => {
    // Never the password that the user has: with that it would count as the same form once more.
    const outcome = await resetPassword(ctx, text, `${newPassword} ${count++}`, caller)
    return outcome.kind === 'set' ? 'set' : outcome.problem
  }
  for (const kind of kinds) {
    if (kind === 'reset' || kind === 'invitation') continue
    t.equal(await outcomeOf(await textOf(kind)), 'link_invalid', `another kind: ${kind}`)
  }
  t.equal(await outcomeOf(await textOf('reset', other)), 'link_invalid', 'another installation')
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), async (place, difference) => {
      const text = await textOf('reset')
      const [, body = ''] = /^mm_rs_(.*)$/.exec(text) ?? []
      const bytes = Buffer.from(body, 'base64url')
      const at = place % bytes.length
      bytes.writeUInt8(bytes.readUInt8(at) ^ difference, at)
      return (await outcomeOf(`mm_rs_${bytes.toString('base64url')}`)) === 'link_invalid'
    }),
    { numRuns: 100 },
  )
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: 2000 }), async seconds => {
      const text = await textOf('reset')
      server.tick(seconds)
      const expected = seconds < secondsOfLink('reset') ? 'set' : 'link_expired'
      return (await outcomeOf(text)) === expected
    }),
    { numRuns: 20 },
  )
  const [one, two] = [await textOf('reset'), await textOf('invitation')]
  t.strictSame((await Promise.all([outcomeOf(one), outcomeOf(one)])).sort(), ['link_used', 'set'], 'once')
  t.equal(await outcomeOf(two), 'link_used', 'a password change ends those of before')
  const epochs: ('epoch' | 'mail_epoch')[] = ['epoch', 'mail_epoch']
  for (const epoch of epochs) {
    const text = await textOf('reset')
    await ctx.db.sql
      .updateTable('users')
      .set(({ eb }) => ({ [epoch]: eb(epoch, '+', 1) }))
      .where('id', '=', ada.id)
      .execute()
    t.equal(await outcomeOf(text), 'link_used', `${epoch} was raised`)
  }
  const disabled = await textOf('reset')
  await ctx.db.sql.updateTable('users').set({ disabled_at: 1 }).where('id', '=', ada.id).execute()
  t.equal(await outcomeOf(disabled), 'link_used', 'the user is disabled')
})

await forEachEngine(t, 'two instances: one link sets one password', async (t, env) => {
  const { server, ada, read } = await recoveryWorld(t, env)
  const second = await startServer(t, besideEnv(server))
  await openBrowser(server).post('/reset', { username: ada.username })
  const [mail] = await read()
  const link = new URL(mail?.link ?? '').searchParams.get('link') ?? ''
  const caller = { address: '198.51.100.7', requestId: 'r-1', source: undefined }
  const outcomes = await Promise.all(
    [server, second, server, second].map(({ ctx }, index) =>
      resetPassword(ctx, link, `${newPassword} ${index}`, caller),
    ),
  )
  t.equal(outcomes.filter(({ kind }) => kind === 'set').length, 1)
  t.equal((await rowOf(server, ada)).epoch, 1)
})

await forEachEngine(t, 'of two who confirm one address at the same moment one has it', async (t, env) => {
  const { server, ada, read } = await recoveryWorld(t, env)
  const beside = await startServer(t, besideEnv(server))
  const users = [ada, await server.user('bob')]
  const [one, other] = ['both@new.example', 'Both@New.Example']
  const links: string[] = []
  for (const [index, to] of [one, other].entries()) {
    const user = users[index]
    if (!user) throw new Error('there are two')
    const asked = await askForVerification(server.ctx, ownerOf(await rowOf(server, user)), to ?? '')
    t.match(asked, { kind: 'verification' })
    const mail = (await read()).find(({ link }) => link?.includes('/verify'))
    links.push(new URL(mail?.link ?? '').searchParams.get('link') ?? '')
    // The next one may go to the same address.
    server.tick(120)
  }
  const caller = { address: '198.51.100.7', requestId: 'r-1' }
  const confirm = ({ ctx }: TestServer, index: number) =>
    confirmAddress(ctx, links[index] ?? '', { loggedIn: users[index], username: undefined, caller })
  beside.setClock(server.ctx.clock.now())
  const outcomes = await Promise.all([confirm(server, 0), confirm(beside, 1)])
  t.strictSame(outcomes.map(outcome => ('problem' in outcome ? outcome.problem : outcome.kind)).sort(), [
    'confirmed',
    'mail_taken',
  ])
  const loser = outcomes[0].kind === 'confirmed' ? 1 : 0
  const row = await rowOf(server, users[loser] ?? ada)
  t.equal(row.mail_epoch, 0, 'and nothing of the other one is changed')
  t.notMatch(row.claims, /new\.example/i)
})

await forEachEngine(
  t,
  'an invitation sets the password also where its address is the name of somebody else by then',
  async (t, env) => {
    const { server, ada } = await recoveryWorld(t, env)
    const { ctx } = server
    const bob = await server.user('bob')
    const claims = JSON.stringify({ email: address, nickname: 'Bob' })
    await ctx.db.sql.updateTable('users').set({ claims }).where('id', '=', bob.id).execute()
    const facts = { userId: bob.id, epochs: await rowOf(server, bob), mail: address, request: null }
    const link = pathOf(makeLink(ctx, 'invitation', facts).href)
    const browser = openBrowser(server)
    const done = await browser.submit(await browser.open(link), { password: newPassword })
    isMessage(t, done, 'password_set', 200, 'it is set')
    const account = await browser.follow(done, en.logIn.submit)
    t.equal(account.url.pathname, '/log-in', 'invariant 18: nothing was begun, so it leads to the account')
    const row = await rowOf(server, bob)
    t.strictSame([row.epoch, JSON.parse(row.claims)], [1, { email: address, nickname: 'Bob' }], 'unverified')
    const web = await relyingParty(server)
    const named = async (username: string, password: string) => {
      const stranger = openBrowser(server)
      return (await logInWith(stranger, web.begin(), { username, password })).isElsewhere
    }
    t.equal(await named('bob', newPassword), true)
    t.equal(await named(address, newPassword), false, 'the address names who has it')
    t.equal(await named(address, ada.password), true)
  },
)

await forEachEngine(t, 'a second factor stays after a reset, and is asked for', async (t, env) => {
  const { server, ada, read } = await recoveryWorld(t, env)
  const web = await relyingParty(server)
  const app = await withApp(server, ada)
  const [code = ''] = await recoveryCodesOf(server, ada)
  const browser = openBrowser(server)
  await browser.post('/reset', { username: ada.username })
  const mail = (await read()).find(({ link }) => link?.includes('/reset'))
  const done = await browser.submit(await browser.open(pathOf(mail?.link)), { password: newPassword })
  isMessage(t, done, 'password_set', 200, 'the password is set')
  t.match(await findFactors(server.ctx, ada.id), { totp: {}, recoveryCodesLeft: 10 })
  const begun = web.begin()
  const asked = await logInWith(browser, begun, { ...ada, password: newPassword })
  t.ok(asked.text.includes(en.secondStep.title), 'the new password alone is not enough')
  t.equal((await web.redeem(begun, await browser.submit(asked, { code: app.code() }))).status, 200)
  const other = openBrowser(server)
  const again = await logInWith(other, web.begin(), { ...ada, password: newPassword })
  t.equal((await other.submit(again, { recovery_code: code })).isElsewhere, true, 'nor are its codes gone')
})

await forEachEngine(t, 'what was asked for before a server ends is done, and is counted', async (t, env) => {
  const { server, ada, mailbox } = await recoveryWorld(t, env)
  const { ctx, jobs } = server
  const beside = await startServer(t, { ...mailbox.env, ...besideEnv(server) })
  const ask = (of: TestServer) => openBrowser(of).post('/reset', { username: ada.username })
  const waiting = async () =>
    (await ctx.db.sql.selectFrom('outbox').select('id').where('kind', '=', 'reset').execute()).length
  await ask(server)
  t.equal(await waiting(), 0)
  const stop = startJobs(
    jobs.filter(({ last }) => last).map(job => ({ ...job, everySeconds: 1000 })),
    ctx.db,
    ctx.log,
  )
  await stop()
  t.equal(await waiting(), 1, 'it was done')
  beside.setClock(ctx.clock.now())
  await ask(beside)
  await runJob(beside, 'doing what was asked for')
  t.equal(await waiting(), 1, 'and others know of it')
})

t.test('however many ask for one address, a few mails and rows are what comes of it', async t => {
  const { server, ada, read } = await recoveryWorld(t)
  const { ctx } = server
  const rows = async () => {
    const tables = ['users', 'outbox', 'audit', 'throttles', 'sign_ins', 'sessions'] as const
    const counts = await Promise.all(
      tables.map(async table => (await ctx.db.sql.selectFrom(table).selectAll().execute()).length),
    )
    return counts.reduce((sum, count) => sum + count, 0)
  }
  const before = await rows()
  const statuses = new Map<number, number>()
  for (let index = 0; index < 400; index++) {
    const { statusCode } = await server.request({
      method: 'POST',
      url: '/reset',
      remoteAddress: `203.0.${index % 10}.1`,
      headers: { host: 'as.example', 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ username: index % 20 < 10 ? ada.username : address }).toString(),
    })
    statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1)
  }
  t.strictSame(Object.fromEntries(statuses), { 303: 300, 429: 100 }, 'each source may ask 30 times')
  t.equal(ctx.load.afterwards.waiting(), 300)
  t.equal((await read()).length, 1)
  t.equal(ctx.load.afterwards.waiting(), 0)
  // And from so many sources that none is limited.
  for (let index = 0; index < 1000; index++) {
    const name = index % 2 === 0 ? ada.username : address
    const caller = { address: '198.51.100.7', requestId: 'r-1' }
    const waiting = newWaiting(ctx, 'reset', name)
    await mailReset(ctx, { waiting, request: null, locale: 'en', caller })
  }
  t.equal((await read()).length, 0)
  await runJob(server, 'sharing the counts of wrong guesses')
  t.ok((await rows()) - before <= 20, `${(await rows()) - before} rows: one for each source, and a few`)
})

await forEachEngine(
  t,
  'invariant 17: what is read of a link counts while its user is as it was, at the moment of the change',
  async (t, env) => {
    const { server } = await recoveryWorld(t, env)
    const { db, clock, users } = server.ctx
    const password = await users.passwords.hash(newPassword)
    const claims = JSON.stringify({ email: 'new@mail.example', email_verified: true })
    const changes = [
      { epoch: 1 },
      { mail_epoch: 1 },
      { disabled_at: 1 },
      { claims: '{"nickname":"Ada"}' },
      {},
    ] as const
    for (const [index, change] of changes.entries()) {
      const user = await server.user(`user ${index}`)
      const seen = await rowOf(server, user)
      if (Object.keys(change).length > 0)
        await db.sql.updateTable('users').set(change).where('id', '=', user.id).execute()
      const before = await rowOf(server, user)
      const isSame = Object.keys(change).length === 0
      const title = JSON.stringify(change)
      t.equal(await setMailByLink(db, seen, claims), isSame, `an address: ${title}`)
      if (isSame) continue
      const isOfAddress = 'claims' in change
      const set = await setPasswordByLink(db, { user: seen }, password, clock.now())
      t.equal(set !== undefined, isOfAddress, `a password: ${title}`)
      if (!isOfAddress) t.strictSame(await rowOf(server, user), before, 'and nothing is changed')
    }
  },
)

t.test('an address has one limit, however it is spelled', async t => {
  const { server, read } = await recoveryWorld(t)
  const browser = openBrowser(server)
  for (const email of ['bob@example.com', 'Bob@EXAMPLE.com']) await browser.post('/sign-up', { email })
  t.equal((await read()).length, 1)
})
