import { randomBytes } from 'node:crypto'
import type { KyselyPlugin } from 'kysely'
import t, { type Test } from 'tap'
import { changeClient } from '../../db/clients/clients.ts'
import { deleteResource } from '../../db/clients/resources.ts'
import type { ClientTable } from '../../db/schema.ts'
import { findSession, healSession, markLate, revokeSession } from '../../db/sessions/sessions.ts'
import { changePassword, disableUser } from '../../db/users/users.ts'
import { buildApp } from '../../src/app.ts'
import { openRefreshToken, sealRefreshToken } from '../../src/protocol/refresh-token.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { bytesOf, sealed, written } from '../helpers/refresh-tokens.ts'
import { isOAuthError, startServer, type TestClient } from '../helpers/server.ts'

/** A server, a client and a user who has logged in. */
async function world(t: Test, settings: Partial<ClientTable> = {}, env: EngineEnv = {}) {
  const server = await startServer(t, env)
  await server.resource('https://api.example')
  const client = await server.client('app', { resources: 'https://api.example', ...settings })
  const user = await server.user()
  const first = await server.logIn(client, user)
  const opened = openRefreshToken(server.ctx.rootKeys.macKeyOf, first.refresh_token)
  if (opened.kind !== 'genuine') throw new Error('unreachable: the server has just made it')
  return {
    server,
    client,
    user,
    first,
    /** The token that the session has, or had, or will have, at a generation. */
    tokenAt: (generation: number) =>
      sealRefreshToken(server.ctx.rootKeys.macKeyOf, { ...opened.token, generation }),
    /** What a forger who has the root key, but no token of the session, could make. */
    forged: sealRefreshToken(server.ctx.rootKeys.macKeyOf, { ...opened.token, secret: randomBytes(16) }),
    session: () => findSession(server.ctx.db, opened.token.sessionId),
    sessionId: opened.token.sessionId,
    present: (refresh_token: string, more: Record<string, string> = {}, as: TestClient = client) =>
      server.post('/token', { grant_type: 'refresh_token', refresh_token, ...as.form, ...more }),
  }
}

t.test('R-7 the current token rotates, and what it had is kept', async t => {
  const { server, client, first, tokenAt, session } = await world(t)
  t.equal(first.refresh_token, tokenAt(0))
  server.tick(100)
  const second = await server.refresh(client, first.refresh_token)
  t.equal(second.refresh_token, tokenAt(1), 'the successor is computed from the token')
  t.equal(second.refresh_token_timeout, 30 * 86_400, 'R-15 the idle limit moves')
  t.equal(second.authorization_expires_in, 180 * 86_400 - 100, 'R-15 the absolute one does not')
  t.match(await session(), { generation: 1, rotated_at: server.ctx.clock.now() })
  const claims = (token: string) => server.ctx.keys.verify(token, 'at+jwt')
  const [before, after] = [claims(first.access_token), claims(second.access_token)]
  t.ok(before, 'the access token before it lives on')
  for (const name of ['sid', 'sub', 'auth_time', 'amr', 'scope'])
    t.strictSame(after?.[name], before?.[name], `R-13 ${name}`)
})

t.test('R-8 a retry gets the same successor and the same lifetimes, and moves nothing', async t => {
  const { server, client, tokenAt, session } = await world(t)
  const rotated = await server.refresh(client, tokenAt(0))
  server.tick(9)
  const repeated = await server.refresh(client, tokenAt(0))
  t.equal(repeated.refresh_token, rotated.refresh_token)
  t.equal(repeated.refresh_token_timeout, rotated.refresh_token_timeout - 9, 'until the same moment')
  t.match(await session(), { generation: 1, late_history: 0 })

  await server.refresh(client, tokenAt(1))
  t.equal(
    (await server.refresh(client, tokenAt(0))).refresh_token,
    tokenAt(2),
    'any token of the window gets the newest',
  )
  server.tick(1)
  t.equal(
    (await server.refresh(client, tokenAt(1))).refresh_token,
    tokenAt(2),
    'later the previous one still does',
  )
  t.match(await session(), { generation: 2, late_history: 1 }, 'and is marked')
})

await forEachEngine(
  t,
  'R-8 fifty racing requests with one token all get the same next one',
  async (t, env) => {
    const { tokenAt, present, session } = await world(t, {}, env)
    const responses = await Promise.all(Array.from({ length: 50 }, () => present(tokenAt(0))))
    t.strictSame(new Set(responses.map(response => response.json().refresh_token)), new Set([tokenAt(1)]))
    t.equal((await session())?.generation, 1, 'and the session moved on once')
  },
)

t.test('R-7 an older token ends its session, and only that', async t => {
  const { server, client, user, tokenAt, present, session } = await world(t)
  const other = await server.logIn(client, user)
  await server.refresh(client, tokenAt(0))
  server.tick(10)
  await server.refresh(client, tokenAt(1))
  isOAuthError(t, await present(tokenAt(0)), 400, 'invalid_grant', 'the thief')
  t.match(await session(), { revoked_at: server.ctx.clock.now(), revoke_reason: 'theft' })
  isOAuthError(t, await present(tokenAt(2)), 400, 'invalid_grant', 'and the newest token is of no use')
  t.match(
    server.log.find(line => line['event'] === 'session_revoked'),
    { reason: 'theft', presented: 0, current: 2 },
  )
  await server.refresh(client, other.refresh_token)
})

t.test('two holders who take turns are theft at the sixth late retry of eight generations', async t => {
  const { server, client, tokenAt, present } = await world(t)
  for (let generation = 0; generation < 5; generation++) {
    server.tick(60)
    await server.refresh(client, tokenAt(generation))
    server.tick(60)
    t.equal((await server.refresh(client, tokenAt(generation))).refresh_token, tokenAt(generation + 1))
  }
  server.tick(60)
  await server.refresh(client, tokenAt(5))
  server.tick(60)
  isOAuthError(t, await present(tokenAt(5)), 400, 'invalid_grant', 'the sixth')
})

t.test('a database that has gone back in time heals', async t => {
  const { server, client, tokenAt, session } = await world(t, { refresh_idle_seconds: 1000 })
  server.tick(1500)
  t.equal(
    (await server.refresh(client, tokenAt(7))).refresh_token,
    tokenAt(8),
    'past the idle limit that the backup knew',
  )
  t.match(await session(), { generation: 8, expires_at: server.ctx.clock.now() + 1000 })
  t.ok(server.log.find(line => line['event'] === 'session_healed'))
})

t.test('R-1 what is of no use is refused, costs the session nothing, and says no more', async t => {
  const { server, client, tokenAt, forged, present, session } = await world(t)
  const stranger = await server.client('stranger', { resources: 'https://api.example' })
  const good = tokenAt(0)
  const refusals: [
    name: string,
    token: string,
    more: Record<string, string>,
    as: TestClient,
    code: string,
  ][] = [
    ["another client's", good, {}, stranger, 'invalid_grant'],
    ['cut', good.slice(0, -1), {}, client, 'invalid_grant'],
    ['with another checksum', `${good.slice(0, -6)}000000`, {}, client, 'invalid_grant'],
    ['with another session secret', forged, {}, client, 'invalid_grant'],
    ['no token at all', 'garbage', {}, client, 'invalid_grant'],
    ['R-3 a scope that was not granted', good, { scope: 'read admin' }, client, 'invalid_scope'],
    [
      'RI-3 a resource that was not granted',
      good,
      { resource: 'https://other.example' },
      client,
      'invalid_target',
    ],
    ['a malformed scope', good, { scope: 'read  write' }, client, 'invalid_scope'],
  ]
  for (const [name, token, more, as, code] of refusals)
    isOAuthError(t, await present(token, more, as), 400, code, name)
  t.match(await session(), { generation: 0, revoked_at: null }, 'the session is as it was')
  const narrowed = await server.refresh(client, good, { scope: 'read' })
  t.equal(narrowed.scope, 'read', 'R-4 the access token is narrowed')
  t.equal(
    (await server.refresh(client, narrowed.refresh_token)).scope,
    'read write',
    'R-4 and the grant is not',
  )
})

t.test('invariant 8: a token that this server has not made costs no database access', async t => {
  const { server, client, first } = await world(t)
  const { macKeyOf, currentId } = server.ctx.rootKeys
  const good = first.refresh_token
  const opened = openRefreshToken(macKeyOf, good)
  if (opened.kind !== 'genuine') throw new Error('unreachable: the server has just made it')
  const body = bytesOf(good)
  const changed = (at: number, byte: number) => {
    const other = Buffer.from(body)
    other[at] = byte
    return other
  }
  const content = body.subarray(0, -16)
  const resealed = (...parts: Buffer[]) =>
    sealed(macKeyOf(currentId) ?? Buffer.alloc(0), Buffer.concat(parts))
  t.equal(
    written(body.toString('base64url')),
    good,
    'the tokens below differ from a good one only as they say',
  )
  const foreign = sealRefreshToken(() => randomBytes(32), opened.token)
  const canonical = body.toString('base64url')
  const withSpace = `${canonical.slice(0, 40)} ${canonical.slice(40)}`
  const refusals: [name: string, token: string, kind: string][] = [
    ['something else', 'garbage', 'malformed'],
    ['truncated', good.slice(0, -1), 'malformed'],
    ['truncated, with a checksum', written(canonical.slice(0, -4)), 'malformed'],
    ['longer', `${good}0`, 'malformed'],
    ['of another prefix', good.replace('mm_rt_', 'mm_at_'), 'malformed'],
    ['with another checksum', `${good.slice(0, -6)}000000`, 'malformed'],
    ['not canonical: with a space', written(withSpace), 'malformed'],
    ['not canonical: in the other alphabet', written(`${canonical.slice(0, -2)}+/`), 'malformed'],
    ['of no version', resealed(Buffer.of(0), content.subarray(1)), 'malformed'],
    ['of a future version, and too long', written(Buffer.alloc(400, 2)), 'malformed'],
    ...[1, 17, 19, 32].map((length): [string, string, string] => [
      `with ${length} bytes of a key`,
      resealed(content, randomBytes(length)),
      'malformed',
    ]),
    [
      'with a key that was added',
      written(Buffer.concat([content, randomBytes(18), body.subarray(-16)])),
      'forged',
    ],
    ['of another issuer', foreign, 'forged'],
    [
      'under a root key that nobody has',
      sealRefreshToken(() => randomBytes(32), { ...opened.token, rootKeyId: 'ffffffff' }),
      'unknown root key',
    ],
    ...[5, 20, 24, 25, 40, 41, 56].map((at): [string, string, string] => [
      `tampered with at byte ${at}`,
      written(changed(at, (body[at] ?? 0) ^ 1).toString('base64url')),
      'forged',
    ]),
  ]
  let queries = 0
  const { db } = server.ctx
  const counting: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      queries++
      return result
    },
  }
  const read: typeof db.read = query => {
    queries++
    return db.read(query)
  }
  const { rotations } = db.batches
  const countedRotations = Object.assign((rotation: Parameters<typeof rotations>[0]) => {
    queries++
    return rotations(rotation)
  }, rotations)
  const batches = { ...db.batches, rotations: countedRotations }
  const transact: typeof db.transact = work => {
    queries++
    return db.transact(work)
  }
  const counted = { ...db, sql: db.sql.withPlugin(counting), read, transact, batches }
  const app = buildApp({ ...server.ctx, db: counted })
  t.teardown(() => app.close())
  const present = (refresh_token: string) =>
    app.inject({
      method: 'POST',
      url: '/token',
      payload: new URLSearchParams({ grant_type: 'refresh_token', refresh_token, ...client.form }).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
  for (const [name, token, kind] of refusals) {
    isOAuthError(t, await present(token), 400, 'invalid_grant', name)
    const told = JSON.stringify(server.log.at(-1)) + JSON.stringify(server.log.at(-2))
    t.match(told, new RegExp(`the refresh token is ${kind}`), `${name}: the log says why`)
  }
  t.equal(queries, 0, 'nobody has asked the database')
  t.equal((await present(good)).statusCode, 200)
  t.equal(queries, 1, 'an ordinary refresh asks it once')
})

t.test('a token of a later version is 503: this server may be behind', async t => {
  const { server, client, first, session } = await world(t)
  const known = bytesOf(first.refresh_token)
  const before = await session()
  for (const [version, content] of [
    [2, known.subarray(1)],
    [2, Buffer.alloc(0)],
    [3, randomBytes(70)],
    [255, randomBytes(200)],
  ] as const) {
    const token = written(Buffer.concat([Buffer.of(version), content]))
    for (const [path, form] of [
      ['/token', { grant_type: 'refresh_token', refresh_token: token }],
      ['/introspect', { token }],
      ['/revoke', { token }],
    ] as const) {
      const title = `version ${version} with ${content.length} bytes at ${path}`
      const response = await server.post(path, { ...form, ...client.form })
      isOAuthError(t, response, 503, 'temporarily_unavailable', title)
    }
  }
  t.strictSame(await session(), before, 'the session is as it was')
})

t.test(
  'R-15 a session that ends while a refresh is answered has no time left, and no token after it',
  async t => {
    const { server, client, first, session } = await world(t, { refresh_absolute_seconds: 60 })
    const { db } = server.ctx
    const { rotations } = db.batches
    const slow = Object.assign(async (rotation: Parameters<typeof rotations>[0]) => {
      const rotated = await rotations(rotation)
      server.tick(61)
      return rotated
    }, rotations)
    const app = buildApp({ ...server.ctx, db: { ...db, batches: { ...db.batches, rotations: slow } } })
    t.teardown(() => app.close())
    const { refresh_token } = first
    const response = await app.inject({
      method: 'POST',
      url: '/token',
      payload: new URLSearchParams({ grant_type: 'refresh_token', refresh_token, ...client.form }).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
    const { access_token, ...told } = response.json()
    t.match(told, { expires_in: 0, refresh_token_timeout: 0, authorization_expires_in: 0 })
    const { exp } = JSON.parse(Buffer.from(access_token.split('.')[1], 'base64url').toString())
    t.equal(exp, (await session())?.absolute_expires_at)
  },
)

t.test('R-9 a session ends with its user, its password, its client, its time', async t => {
  const ends: [name: string, end: (w: Awaited<ReturnType<typeof world>>) => Promise<unknown>][] = [
    [
      'R-12 a new password',
      async ({ server, user }) => {
        await changePassword(server.ctx.db, user.id, await server.ctx.users.passwords.hash('another one'), 1)
      },
    ],
    [
      'R-9 a disabled user',
      ({ server, user }) => disableUser(server.ctx.db, user.id, server.ctx.clock.now()),
    ],
    [
      'a revocation',
      ({ server, sessionId }) => revokeSession(server.ctx.db, sessionId, server.ctx.clock.now(), 'admin'),
    ],
    ['R-10 the idle limit', async ({ server }) => server.tick(30 * 86_400)],
    [
      'its resource',
      async ({ server }) => {
        await changeClient(server.ctx.db, 'app', { resources: '' })
        await server.follow()
      },
    ],
  ]
  for (const [name, end] of ends) {
    const w = await world(t, { scope: 'read write' })
    const bound = await w.server.logIn(w.client, w.user, { resource: 'https://api.example' })
    await end(w)
    const token = name === 'its resource' ? bound.refresh_token : w.first.refresh_token
    const response = await w.present(token)
    t.equal(response.statusCode, 400, name)
    t.match(response.json().error, /^invalid_(grant|target)$/, name)
  }
})

t.test('a strict client has no second chance', async t => {
  const { server, client, tokenAt, present } = await world(t, { refresh_policy: 'strict' })
  await server.refresh(client, tokenAt(0))
  isOAuthError(t, await present(tokenAt(0)), 400, 'invalid_grant', 'a retry is theft')
  isOAuthError(t, await present(tokenAt(1)), 400, 'invalid_grant', 'and ends the session')
})

await forEachEngine(
  t,
  'a session whose resource was taken from its client is refused, and goes on when it is given back',
  async (t, env) => {
    const server = await startServer(t, env)
    const [api, other] = ['https://api.example', 'https://other.example']
    for (const uri of [api, other]) await server.resource(uri)
    const user = await server.user()
    const { db } = server.ctx
    const moves: [
      title: string,
      take: (id: string) => Promise<unknown>,
      giveBack: (id: string) => unknown,
    ][] = [
      [
        'taken from the client',
        id => changeClient(db, id, { resources: other }),
        id => changeClient(db, id, { resources: `${api} ${other}` }),
      ],
      [
        'the last one taken',
        id => changeClient(db, id, { resources: '' }),
        id => changeClient(db, id, { resources: api }),
      ],
      [
        'deleted, and made anew',
        () => deleteResource(db, api, { force: true }),
        async id => {
          await server.resource(api)
          await changeClient(db, id, { resources: api })
        },
      ],
    ]
    for (const [title, take, giveBack] of moves) {
      const client = await server.client(title.replaceAll(/\W/g, '-'), {
        resources: api,
        refresh_policy: 'strict',
      })
      const { refresh_token } = await server.logIn(client, user, { resource: api })
      const refresh = () =>
        server.post('/token', { grant_type: 'refresh_token', refresh_token, ...client.form })
      await take(client.id)
      await server.follow()
      isOAuthError(t, await refresh(), 400, 'invalid_target', title)
      await giveBack(client.id)
      await server.follow()
      t.equal((await refresh()).statusCode, 200, `${title}: the session has not moved`)
    }
  },
)

t.test('R-5 a refresh that asks for nothing is for the resource that the log-in was for', async t => {
  const { server, user } = await world(t)
  await server.resource('https://admin.example', { scope: 'read admin' })
  const client = await server.client('both', {
    scope: 'read write admin',
    resources: 'https://api.example https://admin.example',
  })
  for (const scope of ['read admin', 'admin read', 'read write', 'read', undefined]) {
    const first = await server.logIn(client, user, scope === undefined ? {} : { scope })
    const second = await server.refresh(client, first.refresh_token)
    const targetOf = (token: string) => {
      const { aud, scope } = server.ctx.keys.verify(token, 'at+jwt') ?? {}
      return { aud, scope }
    }
    t.strictSame(targetOf(second.access_token), targetOf(first.access_token), scope ?? 'no scope')
    if (scope !== undefined) t.equal(first.scope, scope)
  }
})

await forEachEngine(
  t,
  'of racing requests of a strict client one wins, and the others end the session',
  async (t, env) => {
    const { tokenAt, present, session } = await world(t, { refresh_policy: 'strict' }, env)
    const responses = await Promise.all(Array.from({ length: 5 }, () => present(tokenAt(0))))
    t.equal(responses.filter(response => response.statusCode === 200).length, 1)
    t.match(await session(), { revoke_reason: 'theft' })
  },
)

t.test('D-11 a client that may reuse keeps its token, and its idle limit moves', async t => {
  const { server, client, tokenAt, session } = await world(t, { refresh_policy: 'reuse' })
  for (let i = 0; i < 3; i++) {
    server.tick(20 * 86_400)
    await server.follow()
    const again = await server.refresh(client, tokenAt(0))
    t.equal(again.refresh_token, tokenAt(0))
    t.equal(again.refresh_token_timeout, 30 * 86_400)
  }
  t.match(await session(), { generation: 0 })
})

t.test('the last generation is refused with a line in the log', async t => {
  const { server, tokenAt, present, session } = await world(t)
  const last = 0xffff_ffff
  const judged = await session()
  if (!judged) throw new Error('unreachable')
  await healSession(server.ctx.db, judged, {
    generation: last,
    now: server.ctx.clock.now(),
    expiresAt: judged.expires_at,
  })
  isOAuthError(t, await present(tokenAt(last)), 400, 'invalid_grant', 'there is no next one')
  t.ok(server.log.find(line => /last generation/.test(String(line['msg']))))
})

await forEachEngine(
  t,
  'of two changes that were judged on one snapshot, the second is lost',
  async (t, env) => {
    const { server, session, sessionId } = await world(t, {}, env)
    const { db } = server.ctx
    const snapshot = await session()
    if (!snapshot) throw new Error('unreachable')
    t.equal(await markLate(db, snapshot, 1), true)
    t.equal(await markLate(db, snapshot, 3), false, 'a mark')
    const healed = { generation: 5, now: server.ctx.clock.now(), expiresAt: snapshot.expires_at }
    t.equal(await healSession(db, snapshot, healed), true)
    t.equal(await healSession(db, snapshot, healed), false, 'a healing')
    t.equal(await revokeSession(db, sessionId, server.ctx.clock.now(), 'admin'), true)
    t.equal(await revokeSession(db, sessionId, server.ctx.clock.now(), 'admin'), false, 'a revocation')
  },
)
