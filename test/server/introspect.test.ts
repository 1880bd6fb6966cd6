import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { createLocalJWKSet, jwtVerify } from 'jose'
import type { KyselyPlugin } from 'kysely'
import t, { type Test } from 'tap'
import { changeClient, deleteClient, disableClient, enableClient } from '../../db/clients/clients.ts'
import type { ClientTable } from '../../db/schema.ts'
import { countSessions } from '../../db/sessions/pages.ts'
import { findSession, revokeSession } from '../../db/sessions/sessions.ts'
import { changePassword, deleteUser, disableUser, enableUser, raiseUserEpoch } from '../../db/users/users.ts'
import { buildApp } from '../../src/app.ts'
import { openRefreshToken, sealRefreshToken } from '../../src/protocol/refresh-token.ts'
import { parseUuid } from '../../src/protocol/secrets.ts'
import { findTokenSession } from '../../src/sessions/token-session.ts'
import { forEachEngine } from '../helpers/engines.ts'
import {
  isOAuthError,
  startedAt,
  startServer,
  type TestClient,
  type TestServer,
  type TestUser,
  type TokenResponse,
} from '../helpers/server.ts'

const api = 'https://api.example'

/** A user who is logged in at a client of an API, and everybody who may have a look at the tokens. */
async function world(t: Test) {
  const server = await startServer(t)
  await server.resource(api)
  await server.resource('https://other.example')
  const web = await server.client('web', { resources: `${api} https://other.example` })
  const user = await server.user('ada', 'boss editor')
  return {
    server,
    web,
    user,
    tokens: await server.logIn(web, user),
    apiServer: await server.client('api', { introspects: api }),
    otherServer: await server.client('other-api', { introspects: `${api}.org ${api}/v2` }),
    stranger: await server.client('stranger'),
    admin: await server.client('admin', { is_admin: 1 }),
  }
}

const decode = (jwt: string, part: 0 | 1) =>
  JSON.parse(Buffer.from(jwt.split('.')[part] ?? '', 'base64url').toString())
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const sessionOf = (server: TestServer, accessToken: string) =>
  findSession(server.ctx.db, parseUuid(decode(accessToken, 1).sid) ?? Buffer.alloc(0))

t.test(
  'an access token is described to its API, its own client and an administrator (I-1 I-2 I-10 I-13 I-16)',
  async t => {
    const { server, web, user, tokens, apiServer, admin } = await world(t)
    const { sid, jti } = decode(tokens.access_token, 1)
    for (const caller of [apiServer, web, admin]) {
      const response = await server.post('/introspect', { token: tokens.access_token }, caller.headers)
      t.equal(response.statusCode, 200)
      t.match(response.headers, {
        'content-type': /^application\/json/,
        'cache-control': 'no-store',
        pragma: 'no-cache',
      })
      t.strictSame(
        response.json(),
        {
          active: true,
          token_type: 'Bearer',
          username: 'ada',
          iss: 'https://as.example',
          sub: user.sub,
          aud: api,
          exp: startedAt + 300,
          iat: startedAt,
          jti,
          client_id: 'web',
          scope: 'read write',
          sid,
          auth_time: startedAt,
          acr: 'pwd',
          amr: ['pwd'],
          roles: ['boss', 'editor'],
        },
        caller.id,
      )
    }
  },
)

t.test("the token of a machine is described with its client's id, and no user name", async t => {
  const { server, web, apiServer } = await world(t)
  const { access_token } = (
    await server.post('/token', { grant_type: 'client_credentials', ...web.form })
  ).json()
  const { active, sub, client_id, username } = await server.introspect(apiServer, access_token)
  t.strictSame(
    { active, sub, client_id, username },
    { active: true, sub: 'web', client_id: 'web', username: undefined },
  )
})

t.test('I-4 I-6 I-7 what is of no use to the caller is inactive, and not a word more', async t => {
  const { server, web, user, tokens, apiServer, otherServer, stranger, admin } = await world(t)
  const { access_token, refresh_token } = tokens
  const claims = decode(access_token, 1)
  const header = decode(access_token, 0)
  const [head, body, signature = ''] = access_token.split('.')
  const strange = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const signed = (header: object, claims: object) => {
    const text = `${encode(header)}.${encode(claims)}`
    return `${text}.${sign('sha256', Buffer.from(text), { key: strange, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  const macKey = server.ctx.rootKeys.macKeyOf(server.ctx.rootKeys.currentId) ?? Buffer.alloc(0)
  const { jwk } = JSON.parse(server.ctx.keys.jwks().body).keys.map((jwk: object) => ({ jwk }))[0]
  const hmac = (text: string) =>
    `${text}.${createHmac('sha256', JSON.stringify(jwk)).update(text).digest('base64url')}`
  const opened = openRefreshToken(server.ctx.rootKeys.macKeyOf, refresh_token)
  if (opened.kind !== 'genuine') throw new Error('unreachable')
  const sealed = (change: object) =>
    sealRefreshToken(server.ctx.rootKeys.macKeyOf, { ...opened.token, ...change })

  const cases: [title: string, caller: TestClient, token: string][] = [
    ['garbage', admin, 'garbage'],
    ['a character that is not ASCII', admin, 'tök'],
    ['16,000 characters', admin, 'x'.repeat(16_000)],
    ['a name of the prototype', admin, '__proto__'],
    ['I-4 an access token for another API', otherServer, access_token],
    ["I-4 another client's access token", stranger, access_token],
    ["I-14 another client's refresh token", stranger, refresh_token],
    ['I-14 a refresh token, to the API', apiServer, refresh_token],
    ['a JWT cut short', admin, access_token.slice(0, -1)],
    ['a JWT without its signature', admin, `${head}.${body}.`],
    ['a JWT of two parts', admin, `${head}.${body}`],
    ['a JWT of four parts', admin, `${access_token}.x`],
    ['a JWT with other claims', admin, `${head}.${encode({ ...claims, aud: 'x' })}.${signature}`],
    ['J-10 alg none', admin, `${encode({ ...header, alg: 'none' })}.${body}.`],
    [
      'J-10 alg HS256 with the public key for a secret',
      admin,
      hmac(`${encode({ ...header, alg: 'HS256' })}.${body}`),
    ],
    ["J-10 a stranger's key in the header", admin, signed({ ...header, jwk }, claims)],
    ["a stranger's signature", admin, signed(header, claims)],
    ['an unknown kid', admin, signed({ ...header, kid: 'x' }, claims)],
    ['J-10 an unknown crit', admin, signed({ ...header, crit: ['x'], x: 1 }, claims)],
    ['J-11 another kind of JWT of ours', admin, await server.ctx.keys.sign('JWT', 'ES256', claims)],
    [
      'another issuer',
      admin,
      await server.ctx.keys.sign('at+jwt', 'ES256', { ...claims, iss: 'https://x.example' }),
    ],
    [
      'an unknown session',
      admin,
      await server.ctx.keys.sign('at+jwt', 'ES256', { ...claims, sid: user.sub }),
    ],
    ['no session', admin, await server.ctx.keys.sign('at+jwt', 'ES256', { ...claims, sid: undefined })],
    [
      'a session that is no text',
      admin,
      await server.ctx.keys.sign('at+jwt', 'ES256', { ...claims, sid: 1 }),
    ],
    ['a refresh token cut short', admin, refresh_token.slice(0, -1)],
    ['a refresh token with a wrong checksum', admin, `${refresh_token.slice(0, -6)}000000`],
    ['a forged refresh token', admin, sealRefreshToken(() => randomBytes(32), opened.token)],
    ['a refresh token with the MAC right and another secret', admin, sealed({ secret: randomBytes(16) })],
    ['a refresh token of an unknown session', admin, sealed({ sessionId: randomBytes(16) })],
    ['the MAC key itself', admin, macKey.toString('base64url')],
    ['the session', admin, claims.sid],
  ]
  for (const [title, caller, token] of cases) {
    const response = await server.post('/introspect', { token }, caller.headers)
    t.equal(response.statusCode, 200, title)
    t.strictSame(response.json(), { active: false }, title)
  }
  const reasons = server.log.filter(line => line['event'] === 'token_inactive').map(line => line['reason'])
  t.equal(reasons.length, cases.length, 'the log has a reason for each')
  t.ok(
    reasons.includes(`the access token is for ${api}, which the caller may not introspect`),
    'an API that asks about the wrong audience finds that in the log',
  )
  t.equal((await server.introspect(web, access_token))['active'], true)
  t.equal((await server.introspect(web, refresh_token))['active'], true)
})

interface Ending {
  readonly server: TestServer
  readonly user: TestUser
  readonly client: TestClient
  readonly tokens: TokenResponse
}

/** The last ones move the clock, for all that come after them. */
const endings: [title: string, end: (of: Ending) => unknown, ended: 'both' | 'access' | 'nothing'][] = [
  ['nothing happens', () => {}, 'nothing'],
  [
    'the session is revoked',
    async ({ server, tokens }) => {
      const session = await sessionOf(server, tokens.access_token)
      await revokeSession(server.ctx.db, session?.id ?? Buffer.alloc(0), server.ctx.clock.now(), 'command')
    },
    'both',
  ],
  ['the user is disabled', ({ server, user }) => disableUser(server.ctx.db, user.id, 1), 'both'],
  [
    'the user is disabled and enabled again',
    async ({ server, user }) => {
      await disableUser(server.ctx.db, user.id, 1)
      await enableUser(server.ctx.db, user.id)
    },
    'both',
  ],
  [
    "the user's sessions are ended",
    ({ server, user }) => raiseUserEpoch(server.ctx.db, user.id, { now: 1, reason: 'command' }),
    'both',
  ],
  [
    'the password changes',
    async ({ server, user }) =>
      changePassword(server.ctx.db, user.id, await server.ctx.users.passwords.hash('other'), 1),
    'both',
  ],
  ['the user is deleted', ({ server, user }) => deleteUser(server.ctx.db, user.id, 1), 'both'],
  ['the client is disabled', ({ server, client }) => disableClient(server.ctx.db, client.id, 1), 'both'],
  [
    'the client is disabled and enabled again',
    async ({ server, client }) => {
      await disableClient(server.ctx.db, client.id, 1)
      await enableClient(server.ctx.db, client.id)
    },
    'both',
  ],
  ['the client is deleted', ({ server, client }) => deleteClient(server.ctx.db, client.id, 1), 'both'],
  ['the session is swept', ({ server }) => server.ctx.db.sql.deleteFrom('sessions').execute(), 'both'],
  ['the last second but one', ({ server }) => server.tick(299), 'nothing'],
  ['the access token expires', ({ server }) => server.tick(300), 'access'],
  ['a day passes', ({ server }) => server.tick(86_400), 'access'],
  ['the idle limit passes', ({ server }) => server.tick(30 * 86_400), 'both'],
]

await forEachEngine(
  t,
  'I-6 I-7 a token is inactive once its time, its session, its user or its client is over',
  async (t, env) => {
    const server = await startServer(t, env)
    const admin = await server.client('admin', { is_admin: 1 })
    const active = async (token: string) => (await server.introspect(admin, token))['active']
    for (const [i, [title, end, ended]] of endings.entries()) {
      const client = await server.client(`client-${i}`)
      const user = await server.user(`user-${i}`)
      const tokens = await server.logIn(client, user)
      await end({ server, user, client, tokens })
      const expected = [ended === 'nothing', ended !== 'both']
      const seen = async () => [await active(tokens.access_token), await active(tokens.refresh_token)]
      t.strictSame(await seen(), expected, `${title}: at once`)
      await server.follow()
      t.strictSame(await seen(), expected, `${title}: and after a follow`)
    }
  },
)

await forEachEngine(
  t,
  'no access token outlives its session, and introspection and commands agree on what is alive (I-6 R-15)',
  async (t, env) => {
    const server = await startServer(t, env)
    await server.resource(api, { access_token_seconds: 600 })
    const admin = await server.client('admin', { is_admin: 1 })
    const user = await server.user()
    const { db, keys } = server.ctx
    const { now } = server.ctx.clock
    type Story = (client: TestClient, first: TokenResponse) => Promise<TokenResponse> | TokenResponse
    const later: Story = (client, { refresh_token }) => {
      server.tick(20)
      return server.refresh(client, refresh_token)
    }
    const stories: [title: string, settings: Partial<ClientTable>, story: Story][] = [
      ['a log-in', {}, (_client, first) => first],
      ['a log-in without refresh tokens', { grant_types: 'password' }, (_client, first) => first],
      ['a log-in with a short idle limit', { refresh_idle_seconds: 60 }, (_client, first) => first],
      ['a refresh', {}, later],
      ['a client that reuses', { refresh_policy: 'reuse' }, later],
      ['a strict client', { refresh_policy: 'strict' }, later],
      [
        'a retry',
        {},
        async (client, first) => {
          await later(client, first)
          server.tick(5)
          return server.refresh(client, first.refresh_token)
        },
      ],
      [
        'a late retry',
        {},
        async (client, first) => {
          await later(client, first)
          return later(client, first)
        },
      ],
      [
        'a database that has gone back',
        {},
        async (client, first) => {
          const before = await sessionOf(server, first.access_token)
          const { refresh_token } = await later(client, first)
          await db.sql
            .updateTable('sessions')
            .set({ generation: 0, expires_at: before?.expires_at ?? 0 })
            .where('client_id', '=', client.id)
            .execute()
          return server.refresh(client, refresh_token)
        },
      ],
    ]
    for (const [i, [title, settings, story]] of stories.entries()) {
      const client = await server.client(`web-${i}`, {
        resources: api,
        refresh_absolute_seconds: 60,
        ...settings,
      })
      const tokens = await story(client, await server.logIn(client, user))
      const session = await sessionOf(server, tokens.access_token)
      const end = session?.expires_at ?? 0
      t.equal(end, (session?.auth_time ?? 0) + 60)
      const claims = keys.verify(tokens.access_token, 'at+jwt')
      t.equal(claims?.['exp'], end, `${title}: the token ends with its session`)
      t.equal(tokens.expires_in, end - now(), 'as it is told')
      if (tokens.refresh_token) t.equal(tokens.refresh_token_timeout, end - now())
      const alive = async () => [
        (await server.introspect(admin, tokens.access_token))['active'],
        (await countSessions(db, { clientId: client.id, livingAt: now() })).count === 1,
        ...(tokens.refresh_token ? [(await server.introspect(admin, tokens.refresh_token))['active']] : []),
      ]
      server.tick(end - now() - 1)
      t.ok(
        (await alive()).every(is => is),
        `${title}: alive in the last second`,
      )
      server.tick(1)
      t.notOk(
        (await alive()).some(is => is),
        `${title}: and not one longer`,
      )
    }

    const { access_token, expires_in } = (
      await server.post('/token', {
        grant_type: 'client_credentials',
        resource: api,
        ...(await server.client('job', { resources: api })).form,
      })
    ).json()
    t.equal(expires_in, 600, 'that of a machine, whose session has no end, lives as long as its API says')
    t.equal(keys.verify(access_token, 'at+jwt')?.['exp'], now() + 600)

    const lowered = await server.client('lowered', { resources: api })
    const { access_token: longer, refresh_token } = await server.logIn(lowered, user)
    await changeClient(db, lowered.id, { refresh_idle_seconds: 60 })
    await server.follow()
    await server.refresh(lowered, refresh_token)
    server.tick(60)
    t.equal((await countSessions(db, { clientId: lowered.id, livingAt: now() })).count, 0)
    t.equal(
      (await server.introspect(admin, longer))['active'],
      false,
      'a limit that was lowered counts at once',
    )
  },
)

t.test('I-10 I-14 a refresh token is told the scope that a refresh with it gives', async t => {
  const server = await startServer(t)
  const [one, two] = ['https://one.example', 'https://two.example']
  await server.resource(one, { scope: 'read write' })
  await server.resource(two, { scope: 'read admin' })
  const user = await server.user()
  const { db } = server.ctx
  const cases: [
    title: string,
    settings: Partial<ClientTable>,
    form: Record<string, string>,
    change: Partial<ClientTable>,
    scope: string | undefined | false,
  ][] = [
    ['all of the client', {}, {}, {}, 'read write'],
    ['what the log-in asked for', {}, { scope: 'read' }, {}, 'read'],
    ['what its resource knows', {}, { resource: two }, {}, 'read admin'],
    ['what the client still has', {}, {}, { scope: 'read admin' }, 'read admin'],
    ['nothing left', {}, { scope: 'write' }, { scope: 'read' }, undefined],
    ['without resources', { resources: '' }, {}, {}, 'read write admin'],
    ['with its resource taken', {}, { resource: two }, { resources: one }, false],
    ['with all resources taken', {}, {}, { resources: 'https://gone.example' }, false],
    ['of a client that may not refresh any more', {}, {}, { grant_types: 'password' }, false],
  ]
  for (const [i, [title, settings, form, change, scope]] of cases.entries()) {
    const client = await server.client(`web-${i}`, {
      resources: `${one} ${two}`,
      scope: 'read write admin',
      ...settings,
    })
    const { refresh_token } = await server.logIn(client, user, form)
    if (Object.keys(change).length > 0) await changeClient(db, client.id, change)
    await server.follow()
    const told = await server.introspect(client, refresh_token)
    t.equal(told['active'], scope !== false, title)
    t.equal(told['scope'], scope === false ? undefined : scope, title)
    const given = await server.post('/token', { grant_type: 'refresh_token', refresh_token, ...client.form })
    t.equal(given.statusCode === 200, scope !== false, 'as a refresh is answered')
    if (scope !== false) t.equal(given.json().scope, scope)
  }
})

t.test('a refresh token that is ahead of its session is told no limit that has passed', async t => {
  const { server, web, tokens } = await world(t)
  const { macKeyOf } = server.ctx.rootKeys
  const opened = openRefreshToken(macKeyOf, tokens.refresh_token)
  if (opened.kind !== 'genuine') throw new Error('unreachable')
  const ahead = sealRefreshToken(macKeyOf, { ...opened.token, generation: 5 })
  server.tick(31 * 86_400)
  t.match(await server.introspect(web, ahead), {
    active: true,
    exp: startedAt + 180 * 86_400,
    refresh_token_timeout: 149 * 86_400,
  })
  t.ok(await server.refresh(web, ahead), 'and is good, for the database has gone back in time')
})

t.test('I-5 a hint changes nothing, whatever it says', async t => {
  const { server, admin, tokens } = await world(t)
  for (const token of [tokens.access_token, tokens.refresh_token, 'garbage']) {
    const plain = await server.introspect(admin, token)
    for (const token_type_hint of ['access_token', 'refresh_token', 'id_token', 'x', '']) {
      t.strictSame(await server.introspect(admin, token, { token_type_hint }), plain, token_type_hint)
    }
  }
})

t.test('I-1 P-1 P-2 P-3 the token is demanded, and the rest ignored', async t => {
  const { server, admin, tokens } = await world(t)
  const post = (form: [string, string][]) => server.post('/introspect', form, admin.headers)
  isOAuthError(t, await post([]), 400, 'invalid_request', 'an empty form')
  isOAuthError(t, await post([['token', '']]), 400, 'invalid_request', 'an empty token')
  isOAuthError(t, await post([['access_token', 'x']]), 400, 'invalid_request', 'no token')
  isOAuthError(
    t,
    await post([['token', 'a\0']]),
    400,
    'invalid_request',
    'P-9 a token with a control character',
  )
  const repeated = await post([
    ['token', tokens.access_token],
    ['token', tokens.access_token],
  ])
  isOAuthError(t, repeated, 400, 'invalid_request', 'a repeated token')
  const ignored = await post([
    ['token', tokens.access_token],
    ['foo', 'bar'],
    ['resource', 'x'],
    ['resource', 'y'],
  ])
  t.equal(ignored.json().active, true)
})

t.test(
  'I-14 a refresh token is described to its client and an administrator, with the lifetimes it has left',
  async t => {
    const { server, web, user, tokens, admin } = await world(t)
    server.tick(100)
    for (const caller of [web, admin]) {
      t.strictSame(await server.introspect(caller, tokens.refresh_token), {
        active: true,
        iss: 'https://as.example',
        client_id: 'web',
        scope: 'read write',
        sub: user.sub,
        username: 'ada',
        exp: startedAt + 30 * 86_400,
        sid: decode(tokens.access_token, 1).sid,
        auth_time: startedAt,
        refresh_token_timeout: 30 * 86_400 - 100,
        authorization_expires_in: 180 * 86_400 - 100,
      })
    }
  },
)

t.test(
  'I-14 a refresh token is active while a refresh would take it, and looking changes nothing',
  async t => {
    const { server, web, tokens } = await world(t)
    const chain = [tokens.refresh_token]
    const refresh = async () => {
      chain.push((await server.refresh(web, chain.at(-1) ?? '')).refresh_token)
    }
    const look = async (expected: boolean[], title: string) => {
      const before = await sessionOf(server, tokens.access_token)
      const seen = await Promise.all(chain.map(token => server.introspect(web, token)))
      t.strictSame(
        seen.map(answer => answer['active']),
        expected,
        title,
      )
      t.strictSame(await sessionOf(server, tokens.access_token), before, 'and the session is as it was')
    }
    await look([true], 'the first')
    await refresh()
    await refresh()
    await look([true, true, true], 'all of the retry window')
    server.tick(10)
    await look([false, true, true], 'later, the one before the current: a lost answer; an older one: theft')
    await refresh()
    t.equal(chain.length, 4, 'and the session lives')

    await changeClient(server.ctx.db, 'web', { refresh_policy: 'strict' })
    await server.follow()
    await look([false, false, false, true], "a strict client's current one only")
  },
)

t.test('a good token costs one read of the database, and a malformed or forged one none', async t => {
  const { server, web, tokens } = await world(t)
  let queries = 0
  const counting: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      queries++
      return result
    },
  }
  const { db } = server.ctx
  const sql = db.sql.withPlugin(counting)
  const read: typeof db.read = async query => {
    queries++
    return db.read(query)
  }
  const app = buildApp({ ...server.ctx, db: { ...db, sql, read } })
  t.teardown(() => app.close())
  const { access_token, refresh_token } = tokens
  const forged = ['garbage', `${access_token}x`, refresh_token.slice(0, -1), 'mm_rt_', 'e30.e30.e30']
  for (const token of [access_token, refresh_token, ...forged]) {
    const isGood = !forged.includes(token)
    queries = 0
    const payload = new URLSearchParams({ token, ...web.form }).toString()
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const response = await app.inject({ method: 'POST', url: '/introspect', payload, headers })
    t.equal(response.json().active, isGood)
    t.equal(queries, isGood ? 1 : 0)
  }
})

t.test('invariant 8: a malformed or forged token costs no database access', async t => {
  const { server, web, admin, tokens } = await world(t)
  await server.introspect(admin, tokens.access_token)
  const opened = openRefreshToken(server.ctx.rootKeys.macKeyOf, tokens.refresh_token)
  if (opened.kind !== 'genuine') throw new Error('unreachable')
  const { access_token, refresh_token } = tokens
  await server.ctx.db.sql.schema.alterTable('sessions').renameTo('elsewhere').execute()
  for (const token of [
    'garbage',
    `${access_token}x`,
    await server.ctx.keys.sign('JWT', 'ES256', decode(access_token, 1)),
    refresh_token.slice(0, -1),
    sealRefreshToken(() => randomBytes(32), opened.token),
  ]) {
    t.strictSame(await server.introspect(admin, token), { active: false })
    t.equal((await server.revoke(web, token)).statusCode, 200)
  }
  isOAuthError(
    t,
    await server.post('/introspect', { token: access_token, ...web.form }),
    503,
    'temporarily_unavailable',
    'the table is away',
  )
})

t.test('I-8 an administrator without a secret is none: its client_id is public', async t => {
  const { server, tokens, web } = await world(t)
  const app = await server.client('app', { isPublic: true, is_admin: 1 })
  isOAuthError(
    t,
    await server.post('/introspect', { token: tokens.access_token, ...app.form }),
    401,
    'invalid_client',
    'introspect',
  )
  t.equal((await server.revoke(app, tokens.access_token)).statusCode, 200)
  t.equal((await server.introspect(web, tokens.access_token))['active'], true, 'nor can it revoke')
})

t.test(
  'I-15 J-11 an answer is a signed JWT for whoever asks for one, and nothing else (RFC 9701)',
  async t => {
    const { server, apiServer, web, stranger, tokens } = await world(t)
    const type = 'application/token-introspection+jwt'
    const { keys } = (await server.request({ url: '/.well-known/jwks.json' })).json()
    const ask = async (token: string, caller: TestClient, accept = type) =>
      server.post('/introspect', { token }, { ...caller.headers, accept })
    const read = async (jwt: string) =>
      jwtVerify(jwt, createLocalJWKSet({ keys }), {
        typ: 'token-introspection+jwt',
        issuer: 'https://as.example',
        currentDate: new Date(server.ctx.clock.now() * 1000),
      })

    for (const token of [tokens.access_token, tokens.refresh_token]) {
      const response = await ask(token, web)
      t.equal(response.statusCode, 200)
      t.match(response.headers, { 'content-type': type, 'cache-control': 'no-store', pragma: 'no-cache' })
      const { payload, protectedHeader } = await read(response.body)
      t.equal(protectedHeader.alg, 'RS256', 'by default')
      t.strictSame(payload, {
        iss: 'https://as.example',
        aud: 'web',
        iat: server.ctx.clock.now(),
        token_introspection: (await ask(token, web, 'application/json')).json(),
      })
      t.match(payload['token_introspection'], { active: true })
    }
    const inactive = await read((await ask(tokens.access_token, stranger)).body)
    t.match(inactive.payload, { aud: 'stranger', token_introspection: { active: false } })
    t.strictSame(inactive.payload['token_introspection'], { active: false }, 'I-4')

    const { body } = await ask(tokens.access_token, apiServer)
    t.equal((await server.introspect(web, body))['active'], false, 'J-11 it is no access token itself')

    for (const accept of ['*/*', 'application/json', `${type};q=0.5, application/json`, 'text/html', '']) {
      const response = await ask(tokens.access_token, web, accept)
      t.match(response.headers['content-type'], /^application\/json/, accept)
    }
    for (const accept of [`application/json;q=0.5, ${type}`, `${type}, */*;q=0.1`]) {
      t.equal((await ask(tokens.access_token, web, accept)).headers['content-type'], type, accept)
    }

    const wrong = { authorization: `Basic ${Buffer.from('web:wrong').toString('base64')}` }
    const form = { token: tokens.access_token }
    for (const [title, headers] of [
      ['a wrong secret', wrong],
      ['nobody', {}],
    ] as const) {
      const signed = await server.post('/introspect', form, { ...headers, accept: type })
      isOAuthError(t, signed, 400, 'invalid_client', `D-6 ${title}, for a JWT`)
      isOAuthError(
        t,
        await server.post('/introspect', form, headers),
        401,
        'invalid_client',
        `I-3 ${title}, for JSON`,
      )
    }
  },
)

await forEachEngine(
  t,
  'tokens of one session that are shown at once are looked up once, and a later one anew',
  async (t, env) => {
    const server = await startServer(t, env)
    const app = await server.client('app')
    const { access_token: token } = await server.logIn(app, await server.user())
    const { ctx } = server
    const find = async () => {
      const found = await findTokenSession(ctx, token)
      if (found.kind !== 'access_token') throw new Error(found.kind)
      return found.session
    }
    const [first, second] = await Promise.all([find(), find()])
    t.equal(first, second)
    await revokeSession(ctx.db, first.id, ctx.clock.now(), 'client')
    t.not((await find()).revoked_at, null)
  },
)
