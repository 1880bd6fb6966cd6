import type { InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { changePassword, changeUser, findUser } from '../../db/users/users.ts'
import { buildApp } from '../../src/app.ts'
import { openDeviceToken } from '../../src/users/device-token.ts'
import {
  clientSecretLimit,
  deviceLimit,
  devicesLimit,
  pairLimit,
  sourceLimit,
  strangersLimit,
} from '../../src/users/guess-limits.ts'
import { openPasswords } from '../../src/users/passwords.ts'
import type { Guess } from '../../src/users/throttle.ts'
import { networkOf } from '../../src/values/addresses.ts'
import { openBrowser } from '../helpers/browser.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { runJob } from '../helpers/run-job.ts'
import {
  besideEnv,
  isOAuthError,
  leastCost,
  startServer,
  type TestClient,
  type TestServer,
} from '../helpers/server.ts'

type Response = Awaited<ReturnType<TestServer['post']>>

/** Sends a log-in from an address. */
function logInFrom(
  server: TestServer,
  client: TestClient,
  { username, password, ...more }: { username: string; password: string; device_token?: string },
  remoteAddress = '198.51.100.1',
  headers: Record<string, string> = {},
): Promise<Response> {
  return server.request({
    method: 'POST',
    url: '/token',
    payload: new URLSearchParams({
      grant_type: 'password',
      username,
      password,
      ...(more.device_token !== undefined && { device_token: more.device_token }),
      ...client.form,
    }).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    remoteAddress,
  })
}

/** Guesses wrongly, one after the other, and returns the statuses. */
async function guess(count: number, attempt: (i: number) => Promise<Response>): Promise<number[]> {
  const statuses: number[] = []
  for (let i = 0; i < count; i++) statuses.push((await attempt(i)).statusCode)
  return statuses
}

/** What so many wrong guesses leave behind, without the hashes that they cost. */
async function guessed(
  { ctx }: TestServer,
  count: number,
  guessOf: (i: number) => Partial<Guess>,
): Promise<void> {
  for (let i = 0; i < count; i++) {
    const guess = { username: 'ada', source: undefined, device: undefined, ...guessOf(i) }
    const attempt = await ctx.users.throttle.take(guess, async () => true)
    if (attempt.kind === 'refused') throw new Error('there were too many')
    attempt.fail()
  }
}

const wrong = { password: 'wrong' }

t.test('of a hundred parallel guesses no more are looked at than of as many in a row (W-4 H-13)', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const { username, password } = await server.user()
  for (const name of [username, 'nobody']) {
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => logInFrom(server, client, { username: name, ...wrong })),
    )
    const looked = answers.filter(({ statusCode }) => statusCode === 400)
    t.equal(looked.length, strangersLimit.points, `${name}: unknown names count like known ones`)
    for (const answer of answers.filter(answer => !looked.includes(answer))) {
      isOAuthError(t, answer, 429, 'temporarily_unavailable', 'W-5 the others')
      t.equal(answer.headers['retry-after'], String(strangersLimit.everySeconds))
    }
  }
  const right = await logInFrom(server, client, { username, password })
  isOAuthError(t, right, 429, 'temporarily_unavailable', 'then the password is not looked at')
  server.tick(strangersLimit.everySeconds - 1)
  t.equal((await logInFrom(server, client, { username, password })).statusCode, 429)
  server.tick(1)
  t.equal((await logInFrom(server, client, { username, password })).statusCode, 200, 'Retry-After was true')
  t.equal(
    (await logInFrom(server, client, { username, password })).statusCode,
    200,
    'and a success costs nothing',
  )
})

t.test('a fault of ours costs no guess, nor does an honest user who logs in often', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const { username, password } = await server.user()
  await server.ctx.db.sql.schema.alterTable('users').renameTo('elsewhere').execute()
  const faults = await guess(2 * strangersLimit.points, () =>
    logInFrom(server, client, { username, password }),
  )
  t.strictSame(new Set(faults), new Set([503]))
  await server.ctx.db.sql.schema.alterTable('elsewhere').renameTo('users').execute()
  await guessed(server, strangersLimit.points - 1, () => ({}))
  const logIns = await guess(4, () => logInFrom(server, client, { username, password }))
  t.strictSame(logIns, [200, 200, 200, 200])
})

await forEachEngine(
  t,
  'an owner with a device token logs in while others guess, and so does one at home',
  async (t, env) => {
    const server = await startServer(t, env)
    const app = await server.client('app', { isPublic: true })
    const other = await server.client('other', { isPublic: true })
    const { username, password } = await server.user()
    const bob = await server.user('bob')
    const right = { username, password }
    const home = '2001:db8:1:2::1'
    const deviceOf = (response: Response): string => response.json().device_token
    const device_token = deviceOf(await logInFrom(server, app, right, home))
    t.match(device_token, /^mm_dt_[\w-]{92}$/)
    const others = deviceOf(await logInFrom(server, other, right, home))
    const bobs = deviceOf(await logInFrom(server, app, bob, '192.0.2.250'))

    // Each from another address, so that nothing but the account is limited.
    const attackers = (i: number) => `203.0.113.${i}`
    await guessed(server, strangersLimit.points - 1, i => ({ source: attackers(i) }))
    const guesses = await guess(3, i => logInFrom(server, app, { username, ...wrong }, attackers(100 + i)))
    t.strictSame(guesses, [400, 429, 429])
    const abroad = '192.0.2.77'
    t.equal(
      (await logInFrom(server, app, right, abroad)).statusCode,
      429,
      'a stranger with the right password',
    )
    for (const [title, token] of [
      ['none', ''],
      ['garbage', 'mm_dt_x'],
      ['one of another client', others],
      ['one of another user', bobs],
      ['a changed one', device_token.slice(0, -2) + (device_token.endsWith('AA') ? 'BB' : 'AA')],
    ] as const) {
      const { statusCode } = await logInFrom(server, app, { ...right, device_token: token }, abroad)
      t.equal(statusCode, 429, `with a device token that is ${title}`)
    }
    const onDevice = await logInFrom(server, app, { ...right, device_token }, abroad)
    t.equal(onDevice.statusCode, 200, 'the owner on the known device, from anywhere')
    t.not(deviceOf(onDevice), device_token, 'gets another device token')
    t.equal((await logInFrom(server, app, right, home)).statusCode, 200, 'without one, from home')
    t.equal(
      (await logInFrom(server, app, right, '2001:db8:1:2:ffff::9')).statusCode,
      200,
      'IPv6: from the same /64',
    )
    t.equal((await logInFrom(server, app, right, '2001:db8:1:3::1')).statusCode, 429, 'but not from the next')
    t.equal((await logInFrom(server, app, right, abroad)).statusCode, 200, 'and from where the device was')

    const device = openDeviceToken(server.ctx.rootKeys, device_token, {
      place: app.id,
      now: server.ctx.clock.now(),
    })?.device
    await guessed(server, deviceLimit.points - 1, () => ({ device }))
    const stolen = await guess(2, () => logInFrom(server, app, { username, ...wrong, device_token }, abroad))
    t.strictSame(stolen, [400, 429], 'a stolen device token has a limit of its own')
    const fresh = deviceOf(onDevice)
    t.equal(
      (await logInFrom(server, app, { ...right, device_token: fresh }, abroad)).statusCode,
      200,
      'alone',
    )

    await guessed(server, pairLimit.points - 1, () => ({ source: networkOf(home) }))
    const fromHome = await guess(2, () => logInFrom(server, app, { username, ...wrong }, home))
    t.strictSame(fromHome, [400, 429], 'nor are guesses from home without limit')
    t.equal((await logInFrom(server, app, bob, home)).statusCode, 200, 'where others still log in')
  },
)

t.test('limits on log-ins touch no session that there is', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const user = await server.user()
  const { refresh_token } = await server.logIn(client, user)
  await guessed(server, strangersLimit.points, () => ({}))
  t.equal((await logInFrom(server, client, user)).statusCode, 429)
  const statuses = await guess(clientSecretLimit.points + 2, () =>
    server.post('/token', { grant_type: 'client_credentials', client_id: 'web', client_secret: 'wrong' }),
  )
  t.strictSame(statuses.slice(-3), [401, 429, 429], 'wrong secrets of the client are limited too')
  const throttled = await server.post('/introspect', { token: 'x', client_id: 'web', client_secret: 'wrong' })
  isOAuthError(t, throttled, 429, 'temporarily_unavailable', 'at each endpoint')
  t.ok((await server.refresh(client, refresh_token)).refresh_token, 'and nobody locks the client out')
  const stranger = { grant_type: 'client_credentials', client_id: 'nobody', client_secret: 'wrong' }
  const unknown = await guess(clientSecretLimit.points + 1, () => server.post('/token', stranger))
  t.strictSame(unknown.slice(-2), [401, 429], 'a client that does not exist looks like one that does (C-8)')
})

t.test('H-12 a source stays one, however a proxy writes its address, and so it is written down', async t => {
  const cases: [
    title: string,
    field: string,
    addressOf: (i: number) => string,
    source: string,
    address: string,
  ][] = [
    ['with ports', 'x-forwarded-for', i => `203.0.113.8:${50_000 + i}`, '203.0.113.8', '203.0.113.8'],
    ['as IPv6', 'x-forwarded-for', i => `[::ffff:203.0.113.9]:${i}`, '203.0.113.9', '203.0.113.9'],
    [
      'of one IPv6 network',
      'x-forwarded-for',
      i => `"[2001:DB8::${i}]:1"`,
      '2001:db8:0:0::/64',
      '2001:db8::6',
    ],
    ['hidden', 'x-forwarded-for', i => `_${i}`, '10.0.0.1', '10.0.0.1'],
    ['unknown, with ports', 'x-forwarded-for', i => `6.6.6.${i}, unknown:${i}`, '10.0.0.1', '10.0.0.1'],
  ]
  const server = await startServer(t, { MINTMARK_TRUST_PROXY: '10.0.0.1' })
  const app = await server.client('app', { isPublic: true })
  for (const [title, field, addressOf, source, address] of cases) {
    await guessed(server, sourceLimit.points - 2, i => ({ username: `${title} ${i}`, source }))
    const seen = await guess(4, i =>
      logInFrom(server, app, { username: `${title} x${i}`, ...wrong }, '10.0.0.1', {
        [field]: addressOf(i + 3),
      }),
    )
    t.strictSame(seen, [400, 400, 429, 429], title)
    await runJob(server, 'writing the audit trail')
    const entries = await server.ctx.db.sql
      .selectFrom('audit')
      .select('address')
      .orderBy('id', 'desc')
      .execute()
    t.equal(entries[0]?.address, address, `${title}: the audit trail`)
    server.tick(10_000_000)
  }
})

t.test('users of one confidential client are told apart only if it forwards their addresses', async t => {
  const server = await startServer(t)
  const plain = await server.client('plain')
  const forwarding = await server.client('forwarding', { forwards_user_address: 1 })
  await server.user('ada')
  const ben = await server.user('ben')
  const from = (client: TestClient, name: string, address: string) =>
    logInFrom(server, client, { username: name, ...wrong }, '10.0.0.1', { forwarded: `for=${address}` })

  await guessed(server, pairLimit.points, () => ({ source: '192.0.2.1' }))
  t.equal(
    (await from(plain, 'ada', '192.0.2.1')).statusCode,
    400,
    'what a client says that was not made so is not believed',
  )
  await guessed(server, pairLimit.points - 1, () => ({ username: ben.username, source: '192.0.2.1' }))
  const seen = await guess(2, () => from(forwarding, ben.username, '192.0.2.1'))
  t.strictSame(seen, [400, 429])
  t.equal(
    (await from(forwarding, ben.username, '192.0.2.2')).statusCode,
    400,
    'another user of the same client',
  )
  const forwarded = { forwarded: 'for=192.0.2.2' }
  t.equal((await logInFrom(server, forwarding, ben, '10.0.0.1', forwarded)).statusCode, 200)
  t.equal(
    (await server.ctx.db.sql.selectFrom('sessions').select('last_address').executeTakeFirst())?.last_address,
    '192.0.2.2',
  )
})

await forEachEngine(t, 'a second server on the same database knows within a second', async (t, env) => {
  const one = await startServer(t, env)
  const two = await startServer(t, besideEnv(one))
  const client = await one.client('web')
  await two.follow()
  const { username } = await one.user()
  const attempt = (server: TestServer) => () => logInFrom(server, client, { username, ...wrong })
  await guessed(one, strangersLimit.points - 1, () => ({}))
  t.strictSame(await guess(2, attempt(one)), [400, 429])
  await runJob(one, 'sharing the counts of wrong guesses')
  t.strictSame(await guess(2, attempt(two)), [429, 429])
  const again = await startServer(t, besideEnv(one))
  t.strictSame(await guess(2, attempt(again)), [429, 429], 'and so does one that was started again')
})

t.test('by another name of the user, device tokens have no more guesses', async t => {
  const server = await startServer(t)
  const app = await server.client('app', { isPublic: true })
  const { username, password } = await server.user()
  const user = await findUser(server.ctx.db, username)
  if (!user) throw new Error('the user is there')
  const claims = JSON.stringify({ email: 'ada@mail.example', email_verified: true })
  await changeUser(server.ctx.db, user, { claims })
  const tokens: string[] = []
  for (let i = 0; i < 4; i++)
    tokens.push((await logInFrom(server, app, { username, password }, `203.0.113.${i}`)).json().device_token)
  const names = [username, 'ada@mail.example', 'ADA@mail.example']
  const statuses = await guess(2 * devicesLimit.points, i =>
    logInFrom(
      server,
      app,
      { username: names[i % 3] ?? '', ...wrong, device_token: tokens[i % 4] ?? '' },
      `203.0.113.${100 + i}`,
    ),
  )
  t.equal(statuses.filter(status => status === 400).length, devicesLimit.points)
})

await forEachEngine(
  t,
  'whoever knew a password once has no more guesses than a stranger when it was changed',
  async (t, env) => {
    const server = await startServer(t, env)
    const app = await server.client('app', { isPublic: true })
    const { id, username, password } = await server.user()
    const home = '192.0.2.1'
    const own = (i: number) => `203.0.113.${i}`
    const tokens: string[] = []
    for (let i = 0; i < 12; i++) {
      const { device_token } = (await logInFrom(server, app, { username, password }, own(i % 8))).json()
      tokens.push(device_token)
    }
    const withTokens = () =>
      guess(12, i =>
        logInFrom(server, app, { username, ...wrong, device_token: tokens[i] ?? '' }, own(100 + i)),
      )
    t.strictSame(new Set(await withTokens()), new Set([400]), 'before it was changed each is a device')
    t.strictSame(
      (await withTokens()).filter(status => status === 400).length,
      devicesLimit.points - 12,
      'and all of them together have one limit',
    )

    const changed = 'another password'
    await changePassword(
      server.ctx.db,
      id,
      await server.ctx.users.passwords.hash(changed),
      server.ctx.clock.now(),
    )
    await guessed(server, strangersLimit.points, () => ({}))
    server.tick(devicesLimit.points * devicesLimit.everySeconds)
    await guessed(server, devicesLimit.points / 2, () => ({}))
    t.strictSame(new Set(await withTokens()), new Set([429]), 'then a token is worth nothing')
    const fromWhereHeWas = await guess(8, i => logInFrom(server, app, { username, ...wrong }, own(i)))
    t.strictSame(new Set(fromWhereHeWas), new Set([429]), 'nor is where he was known')

    server.tick(strangersLimit.everySeconds)
    const right = { username, password: changed }
    const { device_token } = (await logInFrom(server, app, right, home)).json()
    await guessed(server, 1, () => ({}))
    t.equal((await logInFrom(server, app, right, home)).statusCode, 200, 'the owner is known at home')
    t.equal((await logInFrom(server, app, { ...right, device_token }, own(0))).statusCode, 200)
  },
)

/** The server with other pools for hashes, and how many are made in them. */
function countedHashes(t: Test, server: TestServer) {
  const { rootKeys } = server.ctx
  const hashes = { made: 0 }
  // A hash is made with the pepper, and nothing else asks for it.
  const pepperOf = (id: string) => {
    hashes.made++
    return rootKeys.pepperOf(id)
  }
  const withPool = (concurrency: number): TestServer => {
    const pool = { concurrency, waitingMax: 0, cost: leastCost }
    const { passwords } = openPasswords({ rootKeys: { ...rootKeys, pepperOf }, ...pool })
    const app = buildApp({ ...server.ctx, users: { ...server.ctx.users, passwords } })
    t.teardown(() => app.close())
    return { ...server, request: (options: InjectOptions) => app.inject(options) }
  }
  return { hashes, withPool }
}

t.test('known, unknown and disabled users cost one hash each, and none when too many wait (W-2)', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const { username, password } = await server.user()
  const disabled = await server.user('dan')
  await server.ctx.db.sql
    .updateTable('users')
    .set({ disabled_at: 1 })
    .where('username', '=', disabled.username)
    .execute()
  await guessed(server, strangersLimit.points, () => ({ username: 'throttled' }))
  const { hashes, withPool } = countedHashes(t, server)
  const cases: [
    title: string,
    form: { username: string; password: string },
    status: number,
    hashes: number,
  ][] = [
    ['a known user', { username, password }, 200, 1],
    ['a wrong password', { username, ...wrong }, 400, 1],
    ['an unknown user', { username: 'nobody', password }, 400, 1],
    ['a disabled user', disabled, 400, 1],
    ['one at whom too many have guessed', { username: 'throttled', password }, 429, 0],
  ]
  const [open, full] = [withPool(1), withPool(0)]
  for (const [title, form, status, expected] of cases) {
    hashes.made = 0
    t.equal((await logInFrom(open, client, form)).statusCode, status, title)
    t.equal(hashes.made, expected, `${title}: hashes`)
    hashes.made = 0
    const refused = await logInFrom(full, client, form)
    isOAuthError(t, refused, 503, 'temporarily_unavailable', `${title}, when too many wait`)
    t.equal(hashes.made, 0, `${title}: none when too many wait`)
  }
  await guess(strangersLimit.points, () => logInFrom(full, client, { username, password }))
  const after = await logInFrom(server, client, { username, password })
  t.equal(after.statusCode, 200, 'which has cost no guess')
})

t.test('invariant 15: at the pages too, whoever it is costs one hash', async t => {
  const server = await startServer(t)
  const web = await relyingParty(server)
  const { username, password } = await server.user()
  const disabled = await server.user('dan')
  await server.ctx.db.sql
    .updateTable('users')
    .set({ disabled_at: 1 })
    .where('username', '=', disabled.username)
    .execute()
  const { hashes, withPool } = countedHashes(t, server)
  const open = withPool(1)
  for (const [title, person, isIn] of [
    ['a known user', { username, password }, true],
    ['a wrong password', { username, ...wrong }, false],
    ['an unknown user', { username: 'nobody', password }, false],
    ['a disabled user', disabled, false],
  ] as const) {
    hashes.made = 0
    const page = await logInWith(openBrowser(open), web.begin(), person)
    t.equal(page.isElsewhere, isIn, title)
    t.equal(hashes.made, 1, `${title}: one hash`)
  }
})
