import { createLocalJWKSet, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { changeClient } from '../../db/clients/clients.ts'
import { deleteRevocations } from '../../db/sessions/revocations.ts'
import { checkDeliveries } from '../../src/admin/doctor/deliveries.ts'
import { endSignIns } from '../../src/endings/end-sign-ins.ts'
import { endSessionsOfClient, endSessionsOfUser } from '../../src/endings/end.ts'
import { endAllOfCopy } from '../../src/endings/restart.ts'
import { formatUuid, hashSecret } from '../../src/protocol/secrets.ts'
import { byCommand } from '../helpers/by-command.ts'
import { claimsOf, codeFor, forLogIns, type TestSignIn } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { deliver, startReceivers, status, toLoopback } from '../helpers/receivers.ts'
import { runJob } from '../helpers/run-job.ts'
import { startServer, type TestClient, type TestUser } from '../helpers/server.ts'

const event = 'http://schemas.openid.net/event/backchannel-logout'

async function world(t: Test, env: EngineEnv = {}) {
  const server = await startServer(t, { ...env, ...toLoopback })
  const receivers = await startReceivers(t)
  return {
    server,
    receivers,
    by: byCommand(server.ctx),
    /** A client that wants to be told, at the path of its name. */
    client: (id: string, more: object = {}) =>
      server.client(id, { ...forLogIns, back_channel_logout_uri: `${receivers.origin}/${id}`, ...more }),
    /** Logs in through the client, at a new sign-in or at that one. */
    logIn: async (
      client: TestClient,
      user: TestUser,
      { scope = 'openid', at }: { scope?: string; at?: TestSignIn } = {},
    ) => {
      const { form, signIn, sessionId } = await codeFor(server, client, user, {
        scope,
        ...(at && { signIn: at }),
      })
      const { statusCode, body } = await server.post('/token', { ...form, ...client.form })
      if (statusCode !== 200) throw new Error(body)
      return {
        signIn,
        sid: formatUuid(sessionId),
        ...(JSON.parse(body) as { id_token: string; refresh_token: string }),
      }
    },
    tokens: (id: string) =>
      receivers.at(`/${id}`).map(({ body }) => new URLSearchParams(body).get('logout_token') ?? ''),
    sids: (id: string) =>
      receivers
        .at(`/${id}`)
        .map(({ body }) => claimsOf(new URLSearchParams(body).get('logout_token') ?? '')['sid']),
    audited: async (event: string) =>
      (await server.ctx.db.sql.selectFrom('audit').selectAll().where('event', '=', event).execute()).map(
        ({ client_id, detail }) => ({ client_id, ...JSON.parse(detail ?? '{}') }),
      ),
  }
}

await forEachEngine(
  t,
  'a log-out is told to each client that has a session of the sign-in (BL-6)',
  async (t, env) => {
    const { server, client, by, logIn, sids } = await world(t, env)
    const [ada, eve] = [await server.user(), await server.user('eve')]
    const [one, two] = [await client('one'), await client('two')]
    const quiet = await client('quiet', { back_channel_logout_uri: null })
    const first = await logIn(one, ada)
    const second = await logIn(two, ada, { at: first.signIn })
    await logIn(quiet, ada, { at: first.signIn })
    await logIn(one, ada)
    await logIn(two, eve)
    await endSignIns(by, [first.signIn.id], { reason: 'log-out' })
    await deliver(server)
    t.strictSame(sids('one'), [first.sid], 'and of no other sign-in')
    t.strictSame(sids('two'), [second.sid], 'and of no other user')
    t.strictSame(sids('quiet'), [])
    await deliver(server)
    t.equal(sids('one').length, 1, 'once')
  },
)

t.test('a library takes the token for what it is (BL-2 BL-3 BL-4 BL-5)', async t => {
  const { server, receivers, client, by, logIn, tokens } = await world(t)
  const ada = await server.user()
  const one = await client('one')
  const algs = { one: 'RS256', es: 'ES256' } as const
  const other = await client('es', { id_token_alg: 'ES256' })
  const logIns = { one: await logIn(one, ada), es: await logIn(other, ada) }
  await endSessionsOfUser(by, ada.id, { reason: 'command' })
  server.tick(10)
  await deliver(server)
  const jwks = createLocalJWKSet((await server.request({ url: '/.well-known/jwks.json' })).json())
  const now = server.ctx.clock.now()
  for (const id of ['one', 'es'] as const) {
    const [received] = receivers.at(`/${id}`)
    t.equal(received?.request.method, 'POST')
    t.equal(received?.request.headers['content-type'], 'application/x-www-form-urlencoded', 'BL-5')
    t.match(received?.body, /^logout_token=[\w.-]+$/, 'BL-5 and nothing else')
    const { payload, protectedHeader } = await jwtVerify(tokens(id)[0] ?? '', jwks, {
      issuer: 'https://as.example',
      audience: id,
      typ: 'logout+jwt',
      currentDate: new Date(now * 1000),
      requiredClaims: ['iss', 'aud', 'iat', 'exp', 'jti', 'events'],
    })
    t.equal(protectedHeader.alg, algs[id], 'BL-4 that of its ID tokens')
    const { jti, ...claims } = payload
    t.match(jti, /^[\w-]{36}$/)
    t.strictSame(
      claims,
      {
        iss: 'https://as.example',
        sub: ada.sub,
        aud: id,
        iat: now,
        exp: now + 120,
        events: { [event]: {} },
        sid: claimsOf(logIns[id].id_token)['sid'],
      },
      'BL-2 BL-3 of this moment, with the sid of the ID token, and no nonce',
    )
  }
})

await forEachEngine(
  t,
  'a session that outlives the sign-in goes on, and its client is told all the same (BL-7)',
  async (t, env) => {
    const { server, client, by, logIn, sids } = await world(t, env)
    const ada = await server.user()
    const app = await client('app')
    const offline = await logIn(app, ada, { scope: 'openid offline_access' })
    const online = await logIn(app, ada, { at: offline.signIn })
    const elsewhere = await logIn(app, ada, { scope: 'openid offline_access' })
    await endSignIns(by, [offline.signIn.id], { reason: 'log-out' })
    await deliver(server)
    t.strictSame([...sids('app')].sort(), [offline.sid, online.sid].sort())
    const again = await server.post('/token', {
      grant_type: 'refresh_token',
      refresh_token: offline.refresh_token,
      ...app.form,
    })
    t.equal(again.statusCode, 200, 'it can be refreshed')
    const links = () => server.ctx.db.sql.selectFrom('offline_sessions').selectAll().execute()
    t.equal((await links()).length, 1, 'the other one is kept in mind')
    await endSessionsOfUser(by, ada.id, {
      reason: 'password changed',
      password: await server.ctx.users.passwords.hash('x'),
    })
    await deliver(server)
    t.strictSame(
      sids('app').slice(2).sort(),
      [offline.sid, elsewhere.sid].sort(),
      'once it ends, it is told again',
    )
    await server.client('quiet', forLogIns)
    await logIn({ ...app, id: 'app' }, ada, { scope: 'openid' })
    t.equal((await links()).length, 1, 'only of those that outlive')
  },
)

t.test(
  'what its client answers: 200 and 204 are enough, 400 is for good, all else is tried again (BL-8)',
  async t => {
    const { server, receivers, client, by, logIn, tokens, audited } = await world(t)
    const ada = await server.user()
    const secret = 'eyJ.repeats.it'
    receivers.answer('/ok', status(204))
    receivers.answer(
      '/refuses',
      status(400, JSON.stringify({ error: 'invalid_request', error_description: secret })),
    )
    receivers.answer('/rants', status(400, secret))
    receivers.answer('/repeats', status(400, JSON.stringify({ error: secret })))
    receivers.answer('/fails', status(503, secret))
    receivers.answer('/forbids', status(403))
    receivers.answer('/redirects', status(302, '', { location: '/ok' }))
    const ids = ['ok', 'refuses', 'rants', 'repeats', 'fails', 'forbids', 'redirects']
    for (const id of ids) await logIn(await client(id), ada)
    await endSessionsOfUser(by, ada.id, { reason: 'command' })
    await deliver(server)
    server.tick(2)
    await deliver(server)
    t.strictSame(
      ids.map(id => tokens(id).length),
      [1, 1, 1, 1, 2, 2, 2],
    )
    const [first, second] = tokens('fails').map(claimsOf)
    t.not(first?.['jti'], second?.['jti'], 'each is a token of its own, which no memory of the first refuses')
    const refused = (await audited('delivery_refused')).toSorted((a, b) =>
      a.client_id < b.client_id ? -1 : 1,
    )
    t.strictSame(refused, [
      { client_id: 'rants', kind: 'logout', receiver: 'rants', reason: 'it answered 400' },
      { client_id: 'refuses', kind: 'logout', receiver: 'refuses', reason: 'invalid_request' },
      { client_id: 'repeats', kind: 'logout', receiver: 'repeats', reason: 'it answered 400' },
    ])
    const rows = await server.ctx.db.sql
      .selectFrom('receivers')
      .select(['id', 'last_error'])
      .orderBy('id')
      .execute()
    t.strictSame(rows, [
      { id: 'fails', last_error: 'it answered 503' },
      { id: 'forbids', last_error: 'it answered 403' },
      { id: 'redirects', last_error: 'it redirects (302), which is not followed' },
    ])

    server.tick(4 * 86_400)
    await deliver(server)
    t.strictSame(await server.ctx.db.sql.selectFrom('deliveries').select('id').execute(), [])
    t.equal((await audited('delivery_given_up')).length, 3, 'after three days it is given up')
  },
)

await forEachEngine(
  t,
  'all sessions of a client at once are told one by one, a few rows at a time',
  async (t, env) => {
    const { server, client, by, logIn, sids } = await world(t, env)
    const app = await client('app')
    const told = new Set<string>()
    for (let i = 0; i < 12; i++) told.add((await logIn(app, await server.user(`user-${i}`))).sid)
    await server.client('machine', { back_channel_logout_uri: 'https://app.example/' })
    await endSessionsOfClient(by, 'app', 'command')
    await deliver(server)
    t.strictSame([...sids('app')].sort(), [...told].sort())
  },
)

await forEachEngine(
  t,
  'a copy of the installation tells nothing of what the original has to tell',
  async (t, env) => {
    const { server, client, by, logIn } = await world(t, env)
    const ada = await server.user()
    const app = await client('app')
    const { db, config, rootKeys } = server.ctx
    const deliveries = () => db.sql.selectFrom('deliveries').select('id').execute()
    await logIn(app, ada)
    await endSessionsOfUser(by, ada.id, { reason: 'command' })
    await runJob(server, 'finding what to deliver')
    t.equal((await deliveries()).length, 1)
    await logIn(app, ada)
    await endSessionsOfUser(by, ada.id, { reason: 'command' })
    await logIn(app, ada)
    await endAllOfCopy({
      ...{ by, rootKeys, file: config, reason: 'copied', algs: ['ES256'] },
      ...{
        from: 'https://as.example',
        to: 'https://copy.example',
        secretHashOf: (id: string) => hashSecret(id),
      },
    })
    await runJob(server, 'finding what to deliver')
    t.strictSame(await deliveries(), [], 'neither what waited, nor what was not seen yet')
    t.strictSame(await db.sql.selectFrom('receivers').select('id').execute(), [])
  },
)

t.test('doctor names who could not be told, since when and why', async t => {
  const { server, receivers, client, by, logIn } = await world(t)
  const ada = await server.user()
  receivers.answer('/app', status(500))
  await logIn(await client('app'), ada)
  await endSessionsOfUser(by, ada.id, { reason: 'command' })
  const { ctx } = server
  const find = () => checkDeliveries({ ...ctx, passwords: ctx.users.passwords, actor: by.actor })
  t.strictSame(await find(), [])
  await deliver(server)
  t.match(await find(), [
    {
      verdict: 'warning',
      text: /^the client app could not be told of log-outs since 2030-.*: it answered 500$/,
    },
  ])
  const row = (kind: 'stream', id: string, more: object) => ({
    ...{ kind, id, failures: 3, failing_since: 1_900_000_000, next_attempt_at: 0, paused_at: null },
    ...{ claimed_until: 0, last_error: null, ...more },
  })
  await ctx.db.sql.deleteFrom('receivers').execute()
  await ctx.db.sql
    .insertInto('receivers')
    .values([row('stream', 's1', {}), row('stream', 's2', { paused_at: 1_900_000_000 })])
    .execute()
  t.match((await find()).map(({ text }) => text).toSorted(), [
    /^nothing gets through to the stream s1 since 2030/,
    /^the stream s2 is paused since 2030/,
  ])
})

t.test('nothing is told of sessions without an ID token, nor to a client that wants it no more', async t => {
  const { server, client, by, logIn, sids } = await world(t)
  const ada = await server.user()
  const [plain, later] = [await client('plain', { scope: 'read' }), await client('later')]
  await logIn(plain, ada, { scope: 'read' })
  await logIn(later, ada)
  // It may have the scope, but its grant gives no ID token.
  const own = await client('own', { grant_types: 'password refresh_token', scope: 'openid read' })
  const { username, password } = ada
  const entered = await server.post('/token', { grant_type: 'password', username, password, ...own.form })
  t.equal(entered.statusCode, 200)
  await endSessionsOfUser(by, ada.id, { reason: 'command' })
  const { db } = server.ctx
  await changeClient(db, 'later', { back_channel_logout_uri: null })
  await server.follow()
  await deliver(server)
  t.strictSame([sids('plain'), sids('later'), sids('own')], [[], [], []])
  t.strictSame(await db.sql.selectFrom('deliveries').select('id').execute(), [])
})

await forEachEngine(t, 'a log-out is told after a long time in which there was none', async (t, env) => {
  const { server, client, by, logIn, sids } = await world(t, env)
  const { db, clock } = server.ctx
  const ada = await server.user()
  const app = await client('app')
  for (const told of [1, 2, 3]) {
    const { signIn } = await logIn(app, ada)
    await endSignIns(by, [signIn.id], { reason: 'log-out' })
    await deliver(server)
    t.equal(sids('app').length, told)
    await deleteRevocations(db, { before: clock.now() + 1, limit: 100 })
  }
})

await forEachEngine(t, 'a client is told that has just said where', async (t, env) => {
  const { server, receivers, client, by, logIn, sids } = await world(t, env)
  const app = await client('app', { back_channel_logout_uri: null })
  const { signIn } = await logIn(app, await server.user())
  // As another server does: this one has the client in memory still.
  await server.ctx.db.sql
    .updateTable('clients')
    .set({ back_channel_logout_uri: `${receivers.origin}/app` })
    .execute()
  await endSignIns(by, [signIn.id], { reason: 'log-out' })
  await deliver(server)
  t.equal(sids('app').length, 1)
})
