import t, { type Test } from 'tap'
import { listSigningKeys, promoteSigningKey } from '../../db/keys/signing-keys.ts'
import { revokeKey } from '../../src/keys/ring/emergency.ts'
import { phaseOf } from '../../src/keys/ring/key-life.ts'
import { newKey } from '../../src/keys/ring/signing-key.ts'
import { byCommand } from '../helpers/by-command.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { isOAuthError, startedAt, startServer, type TestClient, type TestServer } from '../helpers/server.ts'

async function world(t: Test, env: EngineEnv = {}) {
  const server = await startServer(t, env)
  const web = await server.client('web')
  const app = await server.client('app', { isPublic: true })
  const admin = await server.client('admin', { is_admin: 1 })
  const user = await server.user()
  return { server, web, app, admin, user, tokens: await server.logIn(web, user) }
}

const isActive = async (server: TestServer, admin: TestClient, token: string) =>
  (await server.introspect(admin, token))['active']

const revocations = (server: TestServer) => server.log.filter(line => line['event'] === 'session_revoked')

await forEachEngine(
  t,
  'invariant 4: either token, of whatever generation and whatever the hint, ends the session (V-1 V-5 V-7 V-8 V-12)',
  async (t, env) => {
    const { server, web, admin, user } = await world(t, env)
    for (const kind of ['access_token', 'refresh_token'] as const) {
      for (const generation of [0, 1, 2]) {
        for (const hint of [
          {},
          { token_type_hint: 'access_token' },
          { token_type_hint: 'refresh_token' },
          { token_type_hint: 'x' },
        ]) {
          const tokens = await server.logIn(web, user)
          const chain = [tokens, await server.refresh(web, tokens.refresh_token)]
          chain.push(await server.refresh(web, chain[1]?.refresh_token ?? ''))
          const title = `${kind} ${generation} ${JSON.stringify(hint)}`

          const response = await server.revoke(web, chain[generation]?.[kind] ?? '', hint)
          t.equal(response.statusCode, 200, title)
          t.equal(response.body, '{}')
          t.match(
            response.headers,
            { 'content-type': /^application\/json/, 'cache-control': 'no-store' },
            'D-8',
          )

          for (const { access_token, refresh_token } of chain) {
            t.equal(
              await isActive(server, admin, access_token),
              false,
              'the access token is inactive at once',
            )
            t.equal(await isActive(server, admin, refresh_token), false, 'and so is the refresh token')
            const form = { grant_type: 'refresh_token', refresh_token, ...web.form }
            isOAuthError(t, await server.post('/token', form), 400, 'invalid_grant', 'which is refused')
          }
        }
      }
    }
  },
)

t.test('V-4 there is nothing to revoke, and that is fine', async t => {
  const { server, web, tokens } = await world(t)
  await server.revoke(web, tokens.refresh_token)
  const ofUnknownSession = await server.ctx.keys.sign('at+jwt', 'ES256', {
    iss: 'https://as.example',
    sid: '01920e5c-9f3d-7c51-8a4e-0d7d7a3c2b11',
    exp: startedAt + 60,
  })
  server.tick(300)
  for (const [title, token] of [
    ['revoked already', tokens.refresh_token],
    ['revoked already, by the other token', tokens.access_token],
    ['garbage', 'garbage'],
    ['not ASCII', 'tök'],
    ['long', 'x'.repeat(16_000)],
    ['a JWT of somebody', 'eyJhbGciOiJub25lIn0.e30.'],
    ['nearly a refresh token', `${tokens.refresh_token}x`],
    ['expired, of a session that is gone', ofUnknownSession],
  ] as const) {
    for (const token_type_hint of ['access_token', 'refresh_token', 'x']) {
      const response = await server.post('/revoke', { token, token_type_hint }, web.headers)
      t.strictSame([response.statusCode, response.body], [200, '{}'], title)
    }
  }
})

await forEachEngine(
  t,
  'V-1 V-8 an access token that has expired ends its session, while its key is known and was not revoked',
  async (t, env) => {
    const { server, web, app, admin, user } = await world(t, env)
    const { db, rootKeys, keys } = server.ctx
    const { now } = server.ctx.clock
    const machineToken = async () =>
      (await server.post('/token', { grant_type: 'client_credentials', ...web.form })).json().access_token
    const retire = async () => {
      const rows = (await listSigningKeys(db)).filter(({ alg }) => alg === 'ES256')
      const [from = '', to = ''] = (['active', 'next'] as const).map(
        phase => rows.find(row => phaseOf(row) === phase)?.kid,
      )
      const successor = await newKey('ES256', rootKeys, server.ctx.clock)
      t.ok(await promoteSigningKey(db, { from, to, successor, now: now() }))
    }
    const revokeSigner = async () => {
      const [active] = (await listSigningKeys(db)).filter(
        row => row.alg === 'ES256' && phaseOf(row) === 'active',
      )
      t.ok(await revokeKey({ by: byCommand(server.ctx), rootKeys, reason: 'leaked' }, active?.kid ?? ''))
    }
    const cases: [title: string, happens: () => unknown, by: TestClient, isEnded: boolean][] = [
      ['a moment ago', () => server.tick(300), web, true],
      ['three weeks ago', () => server.tick(21 * 86_400), web, true],
      ['to an administrator', () => server.tick(300), admin, true],
      ['of a key that has retired', retire, web, true],
      ["another client's", () => server.tick(300), app, false],
      ['of a key that was revoked', revokeSigner, web, false],
    ]
    for (const [title, happens, by, isEnded] of cases) {
      const { access_token, refresh_token } = await server.logIn(web, user)
      const ofMachine = await machineToken()
      await happens()
      server.tick(300)
      await server.follow()
      for (const token of [access_token, ofMachine]) {
        t.equal(await isActive(server, admin, token), false, `${title}: it is not active`)
        t.equal(keys.verify(token, 'at+jwt'), undefined, 'and lets nobody in')
      }
      const newest = await machineToken()
      t.equal((await server.revoke(by, access_token)).body, '{}')
      t.equal(await isActive(server, admin, refresh_token), !isEnded, `${title}: the log-in`)
      const form = { grant_type: 'refresh_token', refresh_token, ...web.form }
      t.equal((await server.post('/token', form)).statusCode, isEnded ? 400 : 200)
      t.equal((await server.revoke(by, ofMachine)).body, '{}')
      t.equal(await isActive(server, admin, newest), !isEnded, `${title}: the machine`)
    }
  },
)

t.test('V-2 the token is demanded', async t => {
  const { server, web, tokens } = await world(t)
  const { refresh_token: token } = tokens
  for (const [title, form] of [
    ['nothing but a client', []],
    ['an empty token', [['token', '']]],
    ['another name', [['refresh_token', token]]],
    [
      'twice',
      [
        ['token', token],
        ['token', token],
      ],
    ],
    ['P-9 a control character', [['token', `${token}\n`]]],
  ] as [string, [string, string][]][]) {
    const response = await server.post('/revoke', [...form, ...Object.entries(web.form)], {})
    isOAuthError(t, response, 400, 'invalid_request', title)
  }
  t.ok(await server.refresh(web, token), 'and it is still good')
})

t.test("V-6 D-7 another client's token stays good; nobody is told, but the log is", async t => {
  const { server, web, app, user, tokens } = await world(t)
  const appTokens = await server.logIn(app, user)
  for (const [caller, { access_token, refresh_token }] of [
    [app, tokens],
    [web, appTokens],
  ] as const) {
    for (const token of [access_token, refresh_token]) {
      const response = await server.revoke(caller, token)
      t.strictSame([response.statusCode, response.body], [200, '{}'], caller.id)
    }
  }
  t.ok(await server.refresh(web, tokens.refresh_token))
  t.ok(await server.refresh(app, appTokens.refresh_token))
  t.equal(revocations(server).length, 0)
  t.equal(server.log.filter(line => line['event'] === 'nothing_revoked' && line['level'] === 40).length, 4)
})

t.test('V-2 a public client revokes its own tokens with its client_id', async t => {
  const { server, app, admin, user } = await world(t)
  const tokens = await server.logIn(app, user)
  t.equal((await server.revoke(app, tokens.refresh_token)).statusCode, 200)
  t.equal(await isActive(server, admin, tokens.access_token), false)
})

t.test('an administrator revokes any token; only that session ends; the log has one line', async t => {
  const { server, web, admin, user, tokens } = await world(t)
  const other = await server.logIn(web, user)
  await server.revoke(admin, tokens.access_token)
  await server.revoke(admin, tokens.refresh_token)
  t.equal(await isActive(server, admin, tokens.refresh_token), false)
  t.equal(await isActive(server, admin, other.access_token), true, "the user's other session lives")
  t.ok(await server.refresh(web, other.refresh_token))
  t.equal(revocations(server).length, 1)
  t.match(revocations(server)[0], {
    level: 30,
    reason: 'admin',
    by: 'admin',
    client_id: 'web',
    sub: user.sub,
    sid: /^[0-9a-f-]{36}$/,
    token_type: 'access_token',
    at: startedAt,
    reqId: String,
  })
  await server.revoke(web, other.refresh_token)
  t.match(revocations(server)[1], { reason: 'client', by: 'web', token_type: 'refresh_token' })
})

await forEachEngine(
  t,
  'the token of a machine ends the machine session with all its tokens; the next request starts another',
  async (t, env) => {
    const { server, web, admin } = await world(t, env)
    const issue = async () =>
      (await server.post('/token', { grant_type: 'client_credentials', ...web.form })).json().access_token
    const [first, second] = [await issue(), await issue()]
    await server.revoke(web, first)
    t.equal(await isActive(server, admin, first), false)
    t.equal(await isActive(server, admin, second), false)
    const third = await issue()
    t.equal(await isActive(server, admin, third), true)
    t.equal(await isActive(server, admin, second), false, 'and the old ones stay dead')
  },
)

await forEachEngine(
  t,
  'invariant 4: of many refreshes and a revocation that race, none succeeds once the revocation has answered',
  async (t, env) => {
    const { server, web, app, admin, user } = await world(t, env)
    for (const client of [web, app]) {
      const { refresh_token } = await server.logIn(client, user)
      const form = { grant_type: 'refresh_token', refresh_token, ...client.form }
      const racers = Array.from({ length: 10 }, () => server.post('/token', form))
      const revoked = server.revoke(client, refresh_token)
      const late = revoked.then(() =>
        Promise.all(Array.from({ length: 10 }, () => server.post('/token', form))),
      )
      for (const response of await Promise.all(racers)) t.match(response.statusCode, /200|400/)
      for (const response of await late) t.equal(response.statusCode, 400)
      const newest = (await Promise.all(racers)).find(response => response.statusCode === 200)?.json()
      if (newest)
        t.equal(await isActive(server, admin, newest.refresh_token), false, 'nor is the successor of any use')
    }
  },
)
