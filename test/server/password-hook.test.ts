import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { deleteUser, disableUser, findUser } from '../../db/users/users.ts'
import { checkPasswordHook } from '../../src/admin/doctor/password-hook.ts'
import { verifyLogIn } from '../../src/factors/log-in.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { askHook } from '../../src/users/hook-request.ts'
import {
  callsMax,
  failuresMax,
  openPasswordHook,
  openSeconds,
  type PasswordHook,
} from '../../src/users/password-hook.ts'
import { openBrowser } from '../helpers/browser.ts'
import { testCertificate } from '../helpers/certificates.ts'
import { anotherProtocol } from '../helpers/another-protocol.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { logInWith, relyingParty } from '../helpers/relying-party.ts'
import { isOAuthError, startedAt, startServer, until, type TestServer } from '../helpers/server.ts'

const key = Buffer.alloc(32, 7)
const secret = `whsec_${key.toString('base64')}`
const password = 'Kennwort von früher'

/** What the old system was sent. */
interface Asked {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Answers a call; an object becomes the JSON of an answer with 200. */
type Answer = (credentials: { username: string; password: string }, response: ServerResponse) => unknown

/** Listens on the loopback interface until the test is over, whatever is still open. */
async function listen<S extends Server>(t: Test, server: S): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** An old system, whose answers a test may change. */
async function oldSystem(t: Test, answer: Answer) {
  const asked: Asked[] = []
  const old = { answer, asked, url: '' }
  const server = createServer((request, response) => {
    void (async () => {
      const body = await text(request)
      const { method, url, headers } = request
      asked.push({ method, url, headers, body })
      const said = await old.answer(JSON.parse(body), response)
      if (said !== undefined) response.end(JSON.stringify(said))
    })()
  })
  old.url = `http://127.0.0.1:${await listen(t, server)}/check?tenant=hunter2`
  return old
}

/** Lets in who has the password of before. */
const honest =
  (members: object = {}): Answer =>
  typed =>
    typed.password === password ? { authenticated: true, ...members } : { authenticated: false }

const envOf = (url: string) => ({ MINTMARK_PASSWORD_HOOK_URL: url, MINTMARK_PASSWORD_HOOK_SECRET: secret })

/** A server that asks an old system. */
async function world(t: Test, answer: Answer, env: Readonly<Record<string, string>> = {}) {
  const old = await oldSystem(t, answer)
  const server = await startServer(t, { ...envOf(old.url), ...env })
  const client = await server.client('app')
  const logIn = (username: string, typed = password, remoteAddress = '198.51.100.1') =>
    server.request({
      method: 'POST',
      url: '/token',
      payload: new URLSearchParams({
        grant_type: 'password',
        username,
        password: typed,
        ...client.form,
      }).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      remoteAddress,
    })
  return { old, server, client, logIn }
}

const auditOf = ({ ctx }: TestServer, event: string) =>
  ctx.db.sql.selectFrom('audit').selectAll().where('event', '=', event).execute()

/** Nothing that was typed, and nothing of the secret or the URL's query, is in the log. */
function isDiscreet(t: Test, { log }: Pick<TestServer, 'log'>): void {
  const lines = JSON.stringify(log)
  for (const word of [password, 'hunter2', secret.slice(6), 'Kennwort'])
    t.notOk(lines.includes(word), `${word} is in no log`)
  t.notOk(lines.includes(JSON.stringify([...Buffer.from(password)]).slice(1, -1)), 'nor its bytes')
}

await forEachEngine(t, 'a user of an old system is taken over at the first log-in', async (t, env) => {
  const sub = '0190a6f0-0000-7000-8000-00000000000a'
  const { old, server, client, logIn } = await world(
    t,
    honest({
      sub,
      username: 'Ada',
      roles: ['staff', 'mintmark:admin', 'mintmark:support'],
      email: 'ada@mail.example',
      email_verified: true,
      claims: { given_name: 'Ada' },
      created_at: 1_500_000_000,
    }),
    env,
  )
  isOAuthError(t, await logIn('ada', 'wrong'), 400, 'invalid_grant', 'it says no')
  t.equal(await findUser(server.ctx.db, 'ada'), undefined, 'and nothing is stored')
  const granted = await logIn('ada')
  t.equal(granted.statusCode, 200)
  t.match(await server.introspect(client, granted.json().access_token), { sub, roles: ['staff'] })
  t.equal(old.asked.length, 2)

  const user = await findUser(server.ctx.db, 'ada')
  t.match(user, { username: 'Ada', roles: 'staff', created_at: 1_500_000_000, disabled_at: null })
  t.match(user?.password_hash, /^\$argon2id\$/, 'with a hash of our own')
  t.strictSame(JSON.parse(user?.claims ?? ''), {
    given_name: 'Ada',
    email: 'ada@mail.example',
    email_verified: true,
  })
  const [entry, ...others] = await auditOf(server, 'user_created')
  t.strictSame(others, [])
  t.match(entry, { user_id: parseUuid(sub), actor: 'client app', address: '198.51.100.1' })
  const from = old.url.replace(/\?.*/, '')
  t.strictSame(JSON.parse(entry?.detail ?? ''), { username: 'Ada', from }, 'and where from')
  t.match(
    server.log.filter(({ msg }) => /roles of this server/.test(String(msg))),
    [{ level: 40, user_id: sub }],
    'roles that administer are not taken, which is told',
  )

  old.answer = () => t.fail('the old system is asked no more')
  t.equal((await logIn('ada')).statusCode, 200)
  t.equal((await logIn('ada@mail.example')).statusCode, 200, 'nor for the verified address')
  isOAuthError(t, await logIn('ADA', 'wrong'), 400, 'invalid_grant', 'nor for a wrong password')
  t.equal(old.asked.length, 2)
  isDiscreet(t, server)
})

t.test('a page and an app that asks by itself take users over too', async t => {
  const { old, server } = await world(t, honest())
  const party = await relyingParty(server)
  const begun = party.begin()
  const page = await logInWith(openBrowser(server), begun, { username: 'ada', password })
  t.match(await party.redeem(begun, page), { status: 200 })
  t.match(await auditOf(server, 'user_created'), [{ actor: 'nobody' }])

  const wrong = await logInWith(openBrowser(server), party.begin(), { username: 'bob', password: 'wrong' })
  t.match(wrong.text, /password/, 'a wrong one leads back to the form')
  old.answer = (_, response) => void response.writeHead(500).end()
  const failed = await logInWith(openBrowser(server), party.begin(), { username: 'bob', password })
  t.equal(failed.response.statusCode, 503, 'a fault of the old system is none of the person')

  const app = await server.client('native', {
    grant_types: 'authorization_code refresh_token',
    redirect_uris: 'https://app.example/callback',
    first_party: 1,
  })
  const ask = (username: string) =>
    server.post('/authorize-challenge', {
      ...app.form,
      response_type: 'code',
      scope: 'openid read',
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
      username,
      password,
    })
  isOAuthError(t, await ask('eve'), 503, 'temporarily_unavailable', 'at an app as well')
  old.answer = honest()
  t.match((await ask('eve')).json(), { authorization_code: /^mm_ac_/ })
  isDiscreet(t, server)
})

t.test('a request is signed as Standard Webhooks says, and the documentation checks it', async t => {
  const { old, logIn } = await world(t, honest())
  await logIn('adä', 'wrong')
  await logIn('adä', 'wrong')
  const [first, second] = old.asked
  if (!first || !second) throw new Error('it was not asked')
  t.match(first, {
    method: 'POST',
    url: '/check?tenant=hunter2',
    headers: {
      'content-type': 'application/json',
      'webhook-timestamp': String(startedAt),
      'webhook-signature': /^v1,[A-Za-z0-9+/]{43}=$/,
      'user-agent': 'mintmark',
    },
  })
  t.strictSame(JSON.parse(first.body), { username: 'adä', password: 'wrong' })
  t.not(first.headers['webhook-id'], second.headers['webhook-id'], 'each has an id of its own')

  const docs = readFileSync(new URL('../../docs/moving-here.md', import.meta.url), 'utf8')
  const [, code = ''] = /```js\n([^]*?)```/.exec(docs) ?? []
  const url = `data:text/javascript,${encodeURIComponent(`${code}\nexport { isGenuine }`)}`
  const { isGenuine } = await import(url)
  const check = ({ headers, body }: Asked, of = secret) => isGenuine(headers, body, of, startedAt)
  t.equal(check(first), true)
  t.equal(check(first, `whsec_${Buffer.alloc(32, 8).toString('base64')}`), false, 'another secret')
  t.equal(check({ ...first, body: first.body.replace('wrong', 'wrung') }), false, 'another body')
  for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature'])
    t.equal(check({ ...first, headers: { ...first.headers, [name]: '1' } }), false, `another ${name}`)
  t.equal(isGenuine(first.headers, first.body, secret, startedAt + 301), false, 'and not an old one')
})

t.test('whatever an old system answers but yes and no is 503, and its user is not taken over', async t => {
  const { old, server, logIn } = await world(t, honest())
  const endless = (response: ServerResponse) => {
    const chunk = Buffer.alloc(16 * 1024, ' ')
    const write = () => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', write)
    write()
  }
  const raw = (status: number, body: string, headers: Record<string, string> = {}): Answer => {
    return (_, response) => void response.writeHead(status, headers).end(body)
  }
  const yes = JSON.stringify({ authenticated: true })
  const members = (more: object): Answer => honest(more)
  const lies: readonly (readonly [title: string, answer: Answer, why: RegExp])[] = [
    ['an error', raw(500, yes), /status 500/],
    ['another success', raw(201, yes), /status 201/],
    ['refused', raw(401, JSON.stringify({ authenticated: false })), /status 401/],
    ['a redirect', raw(307, yes, { location: '/there' }), /status 307/],
    ['a megabyte', raw(200, `${yes}${' '.repeat(1_000_000)}`), /larger than 65536 bytes/],
    ['without an end', (_, response) => endless(response), /larger than 65536 bytes/],
    ['compressed', raw(200, yes, { 'content-encoding': 'gzip' }), /compressed/],
    ['no JSON, with the password in it', raw(200, `${password}{`), /no JSON object/],
    ['a list', () => [true], /no JSON object/],
    ['nothing', raw(200, ''), /no JSON object/],
    ['another question', () => ({ ok: true }), /authenticated true or false/],
    ['a text', () => ({ authenticated: 'true' }), /authenticated true or false/],
    ['it hangs up', (_, response) => void response.socket?.resetAndDestroy(), /ECONNRESET/],
    ['another protocol', (_, response) => void response.socket?.end(anotherProtocol), /without an answer/],
    [
      'no HTTP, with the password in it',
      (_, response) => void response.socket?.end(`${password}\r\n\r\n`),
      /cannot be asked \(HPE_/,
    ],
    ['another name', members({ username: 'bob' }), /another user name/],
    [
      'an address that is not verified',
      members({ username: 'bob', email: 'ada@mail.example' }),
      /another user name/,
    ],
    ['a name that is none', members({ username: 7 }), /username is missing, or no text/],
    ['a password hash', members({ password_hash: '$2b$10$x' }), /another member/],
    ['a disabled user', members({ disabled: true }), /another member/],
    ['the password as a member', members({ [password]: 1 }), /another member/],
    ['a sub of another form', members({ sub: '7' }), /sub takes a UUID/],
    ['roles of another form', members({ roles: { staff: true } }), /roles takes a list/],
    ['a role with spaces', members({ roles: ['a b'] }), /a role is visible ASCII/],
    ['a claim of another type', members({ email_verified: 'perhaps' }), /email_verified takes/],
    ['a time of another form', members({ created_at: 'then' }), /created_at takes/],
  ]
  for (const [title, answer, why] of lies) {
    server.tick(openSeconds)
    old.answer = answer
    const before = server.log.length
    const name = title === 'an address that is not verified' ? 'ada@mail.example' : 'ada'
    isOAuthError(t, await logIn(name), 503, 'temporarily_unavailable', title)
    const told = server.log.slice(before).filter(({ level }) => Number(level) >= 50)
    t.equal(told.length, 1, `${title}: a line in the log`)
    t.match(JSON.stringify(told), why, title)
    t.equal(await findUser(server.ctx.db, name), undefined, title)
  }
  t.notOk(
    old.asked.some(({ url }) => url === '/there'),
    'no redirect is followed',
  )
  t.strictSame(await auditOf(server, 'user_created'), [])
  t.strictSame(await auditOf(server, 'log_in_failed'), [], 'nothing was a wrong password')
  isDiscreet(t, server)

  old.answer = honest()
  t.equal((await logIn('ada')).statusCode, 200)
  old.answer = honest({
    sub: (await findUser(server.ctx.db, 'ada'))?.id.toString('hex').replace(uuid, '$1-$2-$3-$4-$5'),
  })
  isOAuthError(t, await logIn('eve'), 503, 'temporarily_unavailable', "another user's sub")
  old.answer = honest({ username: 'ada', email: 'eve@mail.example', email_verified: true })
  isOAuthError(t, await logIn('eve@mail.example'), 503, 'temporarily_unavailable', "another user's name")
})

const uuid = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/

t.test('a hook that hangs is given up in time, and none over TLS is believed unseen', async t => {
  const credentials = { username: 'ada', password }
  const silent = `http://127.0.0.1:${await listen(
    t,
    createTcpServer(() => {}),
  )}/`
  const call = (url: string, seconds = 0.2) => askHook({ url, key }, credentials, { now: startedAt, seconds })
  await t.rejects(call(silent), { message: 'it has not answered within 0.2 seconds' })
  const half = createTcpServer(
    socket => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n{"authenticated"'),
  )
  await t.rejects(call(`http://localhost:${await listen(t, half)}/`), { message: /not answered/ })
  const { privateKey, certificate } = await testCertificate()
  const tls = createTlsServer({ key: privateKey, cert: certificate }, (_, response) =>
    response.end('{"authenticated":true}'),
  )
  await t.rejects(call(`https://127.0.0.1:${await listen(t, tls)}/`, 30), {
    message: /^it cannot be asked \((DEPTH_ZERO_SELF_SIGNED_CERT|ERR_TLS_)/,
  })
})

t.test('after some failures in a row it is not asked for a while, and known users go on as ever', async t => {
  const { old, server, logIn } = await world(t, (_, response) => void response.writeHead(500).end())
  const ada = await server.user('ada')
  const open = () => {
    const metric = server.metrics.find(({ name }) => name === 'mintmark_password_hook_open')
    return metric && 'samples' in metric ? [...metric.samples()][0]?.[1] : undefined
  }
  const fail = async (times: number) => {
    for (let i = 0; i < times; i++)
      isOAuthError(t, await logIn('bob'), 503, 'temporarily_unavailable', 'it fails')
  }
  await fail(failuresMax - 1)
  old.answer = honest()
  isOAuthError(t, await logIn('bob', 'wrong'), 400, 'invalid_grant', 'an answer in between counts')
  old.answer = (_, response) => void response.writeHead(500).end()
  await fail(failuresMax - 1)
  t.equal(open(), 0)
  await fail(1)
  t.equal(open(), 1)
  const asked = old.asked.length
  t.equal(asked, 2 * failuresMax)

  const refused = await logIn('bob')
  isOAuthError(t, refused, 503, 'temporarily_unavailable', 'the circuit is open')
  t.equal(refused.headers['retry-after'], String(openSeconds))
  isOAuthError(t, await logIn('bob', 'wrong'), 503, 'temporarily_unavailable', 'whatever the password')
  t.equal((await logIn('ada', ada.password)).statusCode, 200, 'who is known here gets in')
  isOAuthError(t, await logIn('ada', 'wrong'), 400, 'invalid_grant', 'or hears that the password is wrong')
  t.equal(old.asked.length, asked, 'and it is not asked meanwhile')
  server.tick(openSeconds - 1)
  await fail(1)
  t.equal(old.asked.length, asked)

  server.tick(1)
  await Promise.all([fail(1), fail(1), fail(1)])
  t.equal(old.asked.length, asked + 1, 'after a while one call tries')
  server.tick(openSeconds)
  old.answer = honest()
  t.equal((await logIn('bob')).statusCode, 200, 'and when it answers, all is well')
  t.equal(open(), 0)
  t.equal((await logIn('eve')).statusCode, 200)
  const told = server.log.filter(({ password_hook }) => password_hook !== undefined)
  t.match(
    told.map(({ level, msg }) => [level, msg]),
    [
      [40, /5 times in a row/],
      [30, /answers again/],
    ],
  )
  t.match(
    server.metrics
      .filter(({ name }) => name === 'mintmark_password_hook_calls_total')
      .flatMap(metric => ('samples' in metric ? [...metric.samples()] : [])),
    [
      [{ outcome: 'yes' }, 2],
      [{ outcome: 'no' }, 1],
      [{ outcome: 'failed' }, 2 * failuresMax],
      [{ outcome: 'refused' }, 5],
    ],
  )
  isDiscreet(t, server)
})

t.test('few calls are under way at once, and fewer of one source once half of them are', async t => {
  const waiting: (() => void)[] = []
  const old = await oldSystem(t, async () => {
    await new Promise<void>(go => waiting.push(go))
    return { authenticated: false }
  })
  const log = { warn: () => {}, info: () => {} } as never
  const { passwordHook } = openPasswordHook({
    address: { url: old.url, key },
    clock: handClock(),
    log,
    seconds: 60,
  })
  const credentials = { username: 'ada', password }
  const calls = Array.from({ length: callsMax / 2 }, () => passwordHook.ask(credentials, '198.51.100.1'))
  await t.rejects(passwordHook.ask(credentials, '198.51.100.1'), { code: 'temporarily_unavailable' })
  for (let i = 0; i < callsMax / 2; i++) calls.push(passwordHook.ask(credentials, `192.0.2.${i}`))
  await t.rejects(passwordHook.ask(credentials, '203.0.113.1'), { code: 'temporarily_unavailable' })
  await t.rejects(
    passwordHook.ask(credentials, undefined),
    { code: 'temporarily_unavailable' },
    'one without a source too',
  )
  await until(() => waiting.length === callsMax)
  for (const go of waiting) go()
  t.strictSame(new Set(await Promise.all(calls)), new Set([undefined]))
  const last = passwordHook.ask(credentials, '203.0.113.1')
  await until(() => waiting.length === callsMax + 1)
  waiting.at(-1)?.()
  t.equal(await last, undefined, 'there is room again')
})

await forEachEngine(t, 'two first log-ins at once make one user, and both get in', async (t, env) => {
  let go = () => {}
  const together = new Promise<void>(resolve => (go = resolve))
  const { old, server, logIn } = await world(
    t,
    async typed => {
      if (old.asked.length >= 3) go()
      await together
      return typed.password === 'wrong' ? { authenticated: false } : { authenticated: true, roles: 'staff' }
    },
    env,
  )
  const answers = await Promise.all([logIn('ada'), logIn('ADA'), logIn('ada', 'wrong')])
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [200, 200, 400],
  )
  t.equal((await auditOf(server, 'user_created')).length, 1)
  t.match(await server.ctx.db.sql.selectFrom('users').select('username').execute(), { length: 1 })
  t.equal(old.asked.length, 3)

  old.answer = async typed => {
    if (old.asked.length === 5) go()
    await again
    return { authenticated: typed.password.startsWith('either') }
  }
  const again = new Promise<void>(resolve => (go = resolve))
  const either = await Promise.all([logIn('bob', 'either one'), logIn('bob', 'either two')])
  t.strictSame(
    either.map(({ statusCode }) => statusCode).toSorted(),
    [200, 400],
    'where two passwords are right there, the one that came first is here',
  )
})

t.test('a disabled user is not asked for, and a deleted one is, as any unknown name', async t => {
  const { old, server, logIn } = await world(t, honest())
  await logIn('ada')
  const { db } = server.ctx
  const ada = await findUser(db, 'ada')
  if (!ada) throw new Error('it was taken over')
  const writer = db as never
  await disableUser(writer, ada.id, startedAt)
  isOAuthError(t, await logIn('ada'), 400, 'invalid_grant', 'disabled')
  t.equal(
    old.asked.filter(({ body }) => body.includes('"ada"')).length,
    1,
    'the old system cannot bring the user back',
  )
  await deleteUser(writer, ada.id, startedAt)
  t.equal((await logIn('ada')).statusCode, 200, 'as docs/moving-here.md says')
})

t.test('guesses are counted before it is asked', async t => {
  const { old, logIn } = await world(t, honest())
  const guesses = await Promise.all(Array.from({ length: 30 }, () => logIn('ada', 'wrong')))
  const statuses = guesses.map(({ statusCode }) => statusCode)
  t.equal(statuses.filter(status => status === 400).length, old.asked.length)
  t.equal(statuses.filter(status => status === 429).length, 30 - old.asked.length)
  t.equal(old.asked.length, 20)
  isOAuthError(t, await logIn('ada'), 429, 'temporarily_unavailable', 'the right one too')
  t.equal(old.asked.length, 20)
})

t.test('names and passwords that no user here could have are not asked for', async t => {
  const { old, logIn } = await world(t, () => ({ authenticated: true }))
  for (const [name, typed] of [
    ['a\0da', password],
    [' ada', password],
    ['a\u200bda', password],
    ['x'.repeat(300), password],
    ['0190a6f0-0000-7000-8000-00000000000a', password],
    ['ada', 'line\nbreak'],
    ['ada', 'x'.repeat(1025)],
  ] as const)
    t.equal((await logIn(name, typed)).statusCode, 400, JSON.stringify(name))
  t.equal(old.asked.length, 0)
  t.equal((await logIn('ada', 'short')).statusCode, 200, 'one that no new user should have is')
})

t.test('invariant 15: a wrong password of a known user takes the time of a call, and makes none', async t => {
  const { old, server } = await world(t, honest())
  const ada = await server.user('ada')
  const disabled = await server.user('bob')
  await disableUser(server.ctx.db as never, disabled.id, startedAt)
  const rests: string[] = []
  const { ctx } = server
  const hook = ctx.users.passwordHook
  if (!hook) throw new Error('there is one')
  const passwordHook: PasswordHook = {
    ...hook,
    takeTime: async source => {
      rests.push('rests')
      await hook.takeTime(source)
    },
  }
  const spied = { ...ctx, users: { ...ctx.users, passwordHook } }
  const client = await ctx.clients.registry.findClient('app')
  if (!client) throw new Error('there is one')
  const caller = { address: '198.51.100.1', source: '198.51.100.1', requestId: 'r' } as never
  const guess = (username: string, typed: string) =>
    verifyLogIn(spied, {
      ...{ username, password: typed, place: 'client', client, caller, deviceToken: undefined },
    })
  await guess('ada', ada.password)
  t.strictSame(rests, [], 'a right one takes no time')
  for (const [username, typed] of [
    ['ada', 'wrong'],
    ['bob', 'wrong'],
    ['bob', disabled.password],
  ] as const)
    await t.rejects(guess(username, typed), { code: 'invalid_grant' })
  t.equal(rests.length, 3)
  await t.rejects(guess('eve', 'wrong'), { code: 'invalid_grant' })
  t.equal(rests.length, 3, 'an unknown name takes its own')
  const names = old.asked.map(({ body }) => JSON.parse(body).username)
  t.notOk(names.includes('ada') || names.includes('bob'))
})

t.test('that time is one of those that the old system took to say no', async t => {
  const steady = handClock()
  const rests: number[] = []
  const clock = {
    ...steady,
    pause: async (seconds: number) => {
      rests.push(seconds)
      await setImmediate()
    },
  }
  let seconds = 0.25
  const old = await oldSystem(t, typed => {
    steady.tick(seconds)
    return { authenticated: typed.password === password }
  })
  const log = { warn: () => {}, info: () => {} } as never
  const { passwordHook } = openPasswordHook({ address: { url: old.url, key }, clock, log })
  await passwordHook.takeTime(undefined)
  t.match(JSON.parse(old.asked[0]?.body ?? ''), { username: /^nobody-/ }, 'the first time it is measured')
  t.strictSame(rests, [])
  seconds = 9
  await passwordHook.ask({ username: 'ada', password }, undefined)
  for (let i = 0; i < 8; i++) await passwordHook.takeTime(undefined)
  t.strictSame(rests, Array(8).fill(0.25), 'a yes does not count')
  for (seconds of Array(32).fill(0.5)) await passwordHook.ask({ username: 'ada', password: 'x' }, undefined)
  rests.length = 0
  for (let i = 0; i < 500; i++) await passwordHook.takeTime(undefined)
  t.strictSame(new Set(rests), new Set([0.5]), 'and the last ones do')
  t.equal(old.asked.length, 34)
})

t.test('doctor says whether it answers', async t => {
  const { old, server } = await world(t, honest())
  const { config, clock } = server.ctx
  const doctor = (more: object = {}) => checkPasswordHook({ config: { ...config, ...more } }, { clock })
  t.match(await doctor(), [
    { verdict: 'ok', text: /^the password hook http:\/\/127\.0\.0\.1:\d+\/check answers, / },
  ])
  t.match(await doctor({ signUp: 'open' }), [{ verdict: 'ok' }, { verdict: 'warning', text: /may sign up/ }])
  old.answer = () => ({ authenticated: true })
  t.match(await doctor(), [{ verdict: 'problem', text: /says yes to a made-up user/ }])
  old.answer = (_, response) => void response.writeHead(401).end()
  t.match(await doctor(), [{ verdict: 'problem', text: /as it should: the answer has the status 401$/ }])
  t.strictSame(await doctor({ passwordHook: undefined }), [])
})
