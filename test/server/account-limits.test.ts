import t from 'tap'
import { askForVerification } from '../../src/account/verification.ts'
import { changeOwnPassword } from '../../src/account/password.ts'
import { makeLink } from '../../src/account/links.ts'
import { resetPassword } from '../../src/account/reset.ts'
import { signUp } from '../../src/account/sign-up.ts'
import { renewRecoveryCodes } from '../../src/factors/recovery-codes.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { changesLimit, mailSourceLimit, triedNamesSourceLimit } from '../../src/users/guess-limits.ts'
import { mailsTo, openAccount, rowOf, verifiedMail, withMail } from '../helpers/account.ts'
import { openBrowser } from '../helpers/browser.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { runJob } from '../helpers/run-job.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

const profile = '/account/profile'

t.test('one user has no more mails sent than fit, whatever is changed', async t => {
  const server = await startServer(t, withMail)
  const ada = await server.user()
  await verifiedMail(server, ada)
  const browser = openBrowser(server)
  const page = await openAccount(browser, ada, profile)
  const statuses = []
  for (let index = 0; index < changesLimit.points + 5; index++)
    statuses.push((await browser.submit(page, { nickname: `Ada ${index}` })).response.statusCode)
  t.equal(statuses.filter(status => status === 200).length, changesLimit.points)
  t.strictSame(statuses.slice(changesLimit.points), [429, 429, 429, 429, 429])
  t.equal((await mailsTo(server, ada)).length, changesLimit.points)
  // Neither another page, nor another browser of the same user, nor an instance that knows nothing yet.
  const elsewhere = openBrowser(server, { address: '203.0.113.9' })
  await openAccount(elsewhere, ada)
  for (const path of ['/account/recovery-codes', '/account/places', '/account/mail'])
    t.equal((await elsewhere.post(path, {})).response.statusCode, 429, path)
  const bob = await server.user('bob')
  const other = openBrowser(server)
  t.equal(
    (await other.submit(await openAccount(other, bob, profile), { nickname: 'B' })).response.statusCode,
    200,
  )
  server.tick(changesLimit.everySeconds)
  t.equal((await browser.submit(page, { nickname: 'Later' })).response.statusCode, 200)
})

t.test('who has many accounts has no more strangers mailed than who has none', async t => {
  const server = await startServer(t, withMail)
  let sent = 0
  for (const name of ['ada', 'bob']) {
    const user = await server.user(name)
    const browser = openBrowser(server)
    await openAccount(browser, user)
    for (let index = 0; index < 25; index++) {
      const email = `${name}${index}@example.com`
      const { response } = await browser.post('/account/mail', { email })
      if (response.statusCode === 200) sent++
      else t.equal(response.statusCode, 429)
    }
  }
  t.equal(sent, mailSourceLimit.points)
})

await forEachEngine(
  t,
  'all together have no more mails sent than the SMTP server shall send',
  async (t, env) => {
    const server = await startServer(t, {
      ...env,
      ...withMail,
      MINTMARK_SIGN_UP: 'open',
      MINTMARK_MAILS_PER_HOUR: '3',
    })
    const { ctx } = server
    const ada = await server.user('ada@mail.example')
    await verifiedMail(server, ada)
    const post = async (index: number, path: string, payload: Record<string, string>) => {
      const browser = openBrowser(server, { address: `203.0.113.${index}` })
      const { response } = await browser.post(path, payload, { staysPut: true })
      t.equal(response.statusCode, 303, 'the answer is the same')
      t.match(response.headers.location, /sent=mm_mc_/)
    }
    const kinds = async () => {
      await runJob(server, 'doing what was asked for')
      const rows = await ctx.db.sql.selectFrom('outbox').select('kind').orderBy('kind').execute()
      return rows.map(({ kind }) => kind)
    }
    for (let index = 0; index < 9; index++)
      await post(index, '/sign-up', { email: `bob${index}@example.com` })
    t.strictSame(await kinds(), ['sign_up', 'sign_up', 'sign_up'])
    t.equal(ctx.counts.mailsWithheld, 6)
    const told = server.log.filter(({ event }) => event === 'mails_withheld')
    t.match(told, [{ kind: 'sign_up' }])
    t.equal(told.length, 1, 'which is told once')
    // Who asks for an address that was just written to takes nothing from others.
    for (let index = 0; index < 5; index++) await post(index, '/reset', { username: 'ada@mail.example' })
    t.strictSame((await kinds())[0], 'reset', 'sign-ups keep nobody from a reset')
    t.equal(ctx.counts.mailsWithheld, 6)
    const owner = { user: await rowOf(server, ada), caller: { address: '198.51.100.7', requestId: 'r-1' } }
    for (let index = 0; index < 3; index++)
      t.match(await askForVerification(ctx, owner, `ada${index}@example.com`), { kind: 'verification' })
    t.equal(await askForVerification(ctx, owner, 'ada3@example.com'), 'throttled', 'who is logged in is told')
    server.tick(1200)
    await post(1, '/sign-up', { email: 'cy@example.com' })
    t.equal((await kinds()).filter(kind => kind === 'sign_up').length, 4)
  },
)

/** The sources for which something is hashed. */
function sourcesOfHashes({ ctx }: TestServer) {
  const sources: (string | undefined)[] = []
  const { passwords } = ctx.users
  const counted: typeof passwords = {
    ...passwords,
    hash: (password, source) => {
      sources.push(source)
      return passwords.hash(password, source)
    },
    hashCode: (code, salt, source) => {
      sources.push(source)
      return passwords.hashCode(code, salt, source)
    },
  }
  return { sources, ctx: { ...ctx, users: { ...ctx.users, passwords: counted } } }
}

t.test('whatever a person has hashed counts against the quota of its source', async t => {
  const server = await startServer(t, { ...withMail, MINTMARK_SIGN_UP: 'open' })
  const ada = await server.user()
  const { sources, ctx } = sourcesOfHashes(server)
  const caller = { address: '198.51.100.7', requestId: 'r-1', source: '198.51.100.7' }
  const user = await rowOf(server, ada)
  await renewRecoveryCodes(ctx, { user, caller })
  t.equal(sources.length, 10)
  const linkOf = (kind: 'reset' | 'sign_up', userId: Buffer) => {
    const epochs = kind === 'reset' ? user : null
    const facts = { userId, epochs, mail: 'bob@example.com', request: null }
    return new URL(makeLink(ctx, kind, facts).href).searchParams.get('link') ?? ''
  }
  await resetPassword(ctx, linkOf('reset', ada.id), 'a wholly other one', caller)
  const account = { username: 'bob', password: 'a wholly other one', locale: 'en', caller }
  const made = await signUp(ctx, linkOf('sign_up', newUuid(ctx.clock.now())), account)
  t.equal(made.kind, 'created')
  const browser = openBrowser(server)
  await openAccount(browser, { username: 'bob', password: 'a wholly other one' })
  const signIn = await ctx.db.sql.selectFrom('sign_ins').selectAll().executeTakeFirstOrThrow()
  const bob = made.kind === 'created' ? made.user : user
  t.ok(
    await changeOwnPassword(ctx, { user: bob, signIn: { ...signIn, user: bob }, caller }, 'one more of them'),
  )
  t.equal(sources.length, 13)
  t.strictSame(new Set(sources), new Set([caller.source]))
})

t.test('who has many addresses learns no more names by signing up', async t => {
  const server = await startServer(t, { ...withMail, MINTMARK_SIGN_UP: 'open' })
  const { ctx } = server
  await server.user('taken')
  const tryName = async (source: string) => {
    const facts = { userId: newUuid(ctx.clock.now()), epochs: null, mail: 'x@example.com', request: null }
    const link = new URL(makeLink(ctx, 'sign_up', facts).href).searchParams.get('link') ?? ''
    const caller = { address: source, requestId: 'r-1', source }
    const outcome = await signUp(ctx, link, {
      username: 'taken',
      password: 'a wholly other one',
      locale: 'en',
      caller,
    })
    return outcome.kind === 'refused' ? outcome.problem : outcome.kind
  }
  const problems = []
  for (let index = 0; index < triedNamesSourceLimit.points + 1; index++)
    problems.push(await tryName('203.0.113.1'))
  t.strictSame(problems.slice(-2), ['username_taken', 'throttled'])
  t.equal(await tryName('203.0.113.2'), 'username_taken', 'others may')
})
