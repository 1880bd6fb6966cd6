import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { keepNames } from '../../db/users/user-names.ts'
import { rowOf } from '../helpers/account.ts'
import { openBrowser } from '../helpers/browser.ts'
import { openMailbox } from '../helpers/mailbox.ts'
import { relyingParty } from '../helpers/relying-party.ts'
import { runJob } from '../helpers/run-job.ts'
import { shareOf } from '../helpers/runs.ts'
import { startedAt, startServer, type TestUser } from '../helpers/server.ts'
import { takesSameTime } from '../helpers/timing.ts'

const hashes = readFileSync(join(import.meta.dirname, '../data/password-hashes.json'), 'utf8')
/** Of few rounds: it takes a small part of what our own takes. */
const foreignHash: string = JSON.parse(hashes)['passlib pbkdf2_sha256']

/** A server for which users are made into imported ones. */
async function world(t: Test, env: Record<string, string> = {}) {
  const server = await startServer(t, env, startedAt, { memoryCost: 4096, timeCost: 1, parallelism: 1 })
  const { db, users } = server.ctx
  const change = async ({ id }: TestUser, columns: object) =>
    void (await db.sql.updateTable('users').set(columns).where('id', '=', id).execute())
  const file = { digest: 'a', lines: 1, created: 1, refused: 0, began_at: 1, ended_at: 1 }
  await db.sql.insertInto('imports').values(file).execute()
  return {
    server,
    change,
    imported: async (username: string) => {
      const user = await server.user(username)
      await change(user, users.passwords.wrap(foreignHash))
      return user
    },
    look: () => runJob(server, 'looking at imported passwords'),
  }
}

const app = {
  isPublic: true,
  grant_types: 'password authorization_code refresh_token',
  redirect_uris: 'https://app.example/callback',
  first_party: 1,
}
const challenge = {
  response_type: 'code',
  scope: 'openid',
  code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  code_challenge_method: 'S256',
}

t.test('invariant 15: no answer tells of a name that it was imported, or that it is there', async t => {
  const mailbox = await openMailbox(t)
  const { server, change, imported, look } = await world(t, { ...mailbox.env, MINTMARK_SIGN_UP: 'open' })
  const mailOf = (name: string) => `${name}@mail.example`
  const verified = (name: string) => ({
    claims: JSON.stringify({ email: mailOf(name), email_verified: true }),
  })
  for (const user of [
    await server.user('zoe-own'),
    await imported('zoe-moved'),
    await imported('zoe-left'),
  ]) {
    await change(user, verified(user.username))
    const row = await rowOf(server, user)
    await server.ctx.db.transact(sql => keepNames(sql, row))
    if (user.username === 'zoe-left') await change(user, { disabled_at: 1 })
  }
  const unmailed = await imported('zoe-unmailed')
  await change(unmailed, { claims: JSON.stringify({ email: mailOf('zoe-unmailed') }) })
  await change(await server.user('zoe-invited'), server.ctx.users.passwords.wrap(''))
  await look()
  const { form } = await server.client('app', app)
  const web = await relyingParty(server)

  const plain = (text: string) =>
    text.replaceAll(/mm_(ar|as|mc|pkey)_[\w-]+/g, 'mm_…').replaceAll(/-browser=[\w-]+/g, '')
  type Answer = Awaited<ReturnType<typeof server.post>>
  const answerOf = (name: string, { statusCode, headers, body }: Answer) =>
    plain(
      JSON.stringify([statusCode, headers['retry-after'], headers.location, Object.keys(headers), body]),
    ).replaceAll(name, '…')
  const host = { host: 'as.example' }
  const wrong = (username: string) => ({ ...form, username, password: 'wrong password' })
  const asked: Readonly<Record<string, (name: string) => Promise<Answer>>> = {
    '/token': name => server.post('/token', { grant_type: 'password', ...wrong(name) }),
    '/authorize-challenge': name => server.post('/authorize-challenge', { ...challenge, ...wrong(name) }),
    '/log-in for a client': async name => {
      const browser = openBrowser(server)
      const page = await browser.open(web.begin().url)
      return (await browser.submit(page, { username: name, password: 'wrong password' })).response
    },
    '/account': async name => {
      const browser = openBrowser(server)
      const page = await browser.open('/account')
      return (await browser.submit(page, { username: name, password: 'wrong password' })).response
    },
    '/reset': name => server.post('/reset', { username: name }, host),
    '/reset by the address': name => server.post('/reset', { username: mailOf(name) }, host),
    '/sign-up': name => server.post('/sign-up', { email: mailOf(name) }, host),
    '/authorize with a hint': async name =>
      (await openBrowser(server).open(web.begin({ login_hint: name }).url)).response,
  }
  const names = ['zoe-unknown', 'zoe-own', 'zoe-moved', 'zoe-left', 'zoe-unmailed', 'zoe-invited']
  for (const [what, ask] of Object.entries(asked)) {
    const answers = new Map<string, string>()
    for (const name of names) answers.set(name, answerOf(name, await ask(name)))
    for (const [name, answer] of answers) t.equal(answer, answers.get('zoe-unknown'), `${what}: ${name}`)
  }
  server.tick(3600)
  const untilThrottled = async (username: string) => {
    const statuses = []
    for (let n = 0; n < 22; n++) {
      const payload = new URLSearchParams({ grant_type: 'password', ...wrong(username) }).toString()
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      const remoteAddress = `10.${names.indexOf(username)}.0.${n}`
      const request = { method: 'POST', url: '/token', remoteAddress, headers, payload } as const
      const answer = await server.request(request)
      statuses.push([answer.statusCode, answer.headers['retry-after']])
    }
    return statuses
  }
  const first = await untilThrottled('zoe-unknown')
  t.strictSame(first.at(-1)?.[0], 429)
  for (const name of names.slice(1)) t.strictSame(await untilThrottled(name), first, `the limit of ${name}`)

  await runJob(server, 'doing what was asked for')
  t.strictSame(
    (await mailbox.read(server)).map(({ to, subject }) => `${to}: ${subject}`).sort(),
    [
      ...['zoe-invited', 'zoe-unknown', 'zoe-unmailed'].map(name => `${mailOf(name)}: Finish signing up`),
      ...['zoe-left', 'zoe-moved', 'zoe-own'].map(name => `${mailOf(name)}: You have an account already`),
      ...['zoe-moved', 'zoe-own'].map(name => `${mailOf(name)}: Set a new password`),
    ].sort(),
    'a mail tells the owner of an address, and nobody else',
  )
})

t.test('invariant 15: where half of the users were imported, nobody takes as long as somebody', async t => {
  const { server, imported, look } = await world(t)
  for (let i = 0; i < 20; i++) await (i % 2 === 0 ? server.user(`user-${i}`) : imported(`user-${i}`))
  await look()
  const { form } = await server.client('app', app)
  const measure = async (kind: string, n: number) => {
    server.tick(720)
    const username = kind === 'user' ? `user-${n % 20}` : `nobody-${n}`
    const begun = performance.now()
    const { statusCode } = await server.request({
      method: 'POST',
      url: '/token',
      remoteAddress: `10.1${kind === 'user' ? 0 : 1}.${n >> 8}.${n & 255}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({
        grant_type: 'password',
        ...form,
        username,
        password: 'wrong',
      }).toString(),
    })
    if (statusCode !== 400) throw new Error(`answered ${statusCode}`)
    return performance.now() - begun
  }
  await takesSameTime(t, ['user', 'nobody'], { count: shareOf(500), measure })
})
