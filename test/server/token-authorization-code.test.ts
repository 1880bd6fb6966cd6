import t, { type Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { changePassword, disableUser, raiseUserEpoch } from '../../db/users/users.ts'
import { disableClient, enableClient, raiseClientEpochs } from '../../db/clients/clients.ts'
import { sealValue } from '../../src/keys/sealed.ts'
import { claimsOf, codeFor, forLogIns, redirectUri, signIn, type TestCode } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { proofClaims, proofHeader, signJwt, testKey, type TestKey } from '../helpers/proofs.ts'
import { testCertificate, type TestCertificate } from '../helpers/certificates.ts'
import {
  besideEnv,
  isOAuthError,
  startServer,
  type TestClient,
  type TestServer,
  type TokenResponse,
} from '../helpers/server.ts'

const api = 'https://api.example'

type Settings = Partial<ClientTable> & { isPublic?: boolean }

/** A server, a public app to which people log in, and a user. */
async function world(t: Test, env: EngineEnv = {}, settings: Settings = {}) {
  const server = await startServer(t, env)
  await server.resource(api)
  const app = await server.client('app', { isPublic: true, ...forLogIns, resources: api, ...settings })
  const user = await server.user('ada', 'staff')
  const post = (form: Record<string, string>, as: TestClient = app, headers: Record<string, string> = {}) =>
    server.post('/token', { ...as.form, ...form }, headers)
  const redeem = async ({ form }: TestCode, as?: TestClient): Promise<TokenResponse> => {
    const response = await post({ ...form }, as)
    if (response.statusCode !== 200) throw new Error(response.body)
    return response.json()
  }
  const refused = async (title: string, form: Record<string, string>, as?: TestClient) =>
    isOAuthError(t, await post(form, as), 400, 'invalid_grant', title)
  const countSessions = async (): Promise<number> => {
    const rows = await server.ctx.db.sql.selectFrom('sessions').select('id').execute()
    return rows.length
  }
  return { server, app, user, post, redeem, refused, countSessions }
}

const stateOf = async ({ ctx }: TestServer, { sessionId }: TestCode) =>
  (await findSession(ctx.db, sessionId))?.revoke_reason

await forEachEngine(
  t,
  'A-6 A-7 a code is redeemed for the session that it promises, once',
  async (t, env) => {
    const { server, app, user, redeem, refused, countSessions } = await world(t, env)
    server.tick(100)
    const known = await signIn(server, user)
    server.tick(20)
    const code = await codeFor(server, app, user, { signIn: known })
    server.tick(30)
    const answer = await redeem(code)
    t.match(answer, { token_type: 'Bearer', scope: 'openid read', refresh_token: /^mm_rt_/ })
    t.match(claimsOf(answer.access_token), {
      sub: user.sub,
      aud: api,
      client_id: 'app',
      scope: 'openid read',
      auth_time: known.auth_time,
      acr: 'pwd',
      amr: ['pwd'],
      roles: ['staff'],
    })
    t.match(await findSession(server.ctx.db, code.sessionId), {
      auth_time: known.auth_time,
      started_at: known.auth_time + 50,
      rotated_at: known.auth_time + 50,
      scope: 'openid read',
    })
    t.equal(
      claimsOf(answer.access_token)['sid'],
      claimsOf((await server.refresh(app, answer.refresh_token)).access_token)['sid'],
    )
    server.tick(6)
    await refused('A-6 a second use', code.form)
    t.equal(await countSessions(), 1)
    t.equal(await stateOf(server, code), 'code used twice', 'and it has ended the session')
    await refused('its refresh token is of no use', {
      grant_type: 'refresh_token',
      refresh_token: answer.refresh_token,
    })
    const entries = await server.ctx.db.sql.selectFrom('audit').selectAll().orderBy('id').execute()
    t.strictSame(
      entries.map(({ event, actor }) => [event, actor]),
      [
        ['log_in', 'client app'],
        ['code_replayed', 'client app'],
      ],
    )
  },
)

await forEachEngine(
  t,
  'invariant 12: who presents a code again within five seconds does no harm, if it is the client with the verifier',
  async (t, env) => {
    const { server, app, user, redeem, refused } = await world(t, env)
    const other = await server.client('other', { ...forLogIns })
    const again: [
      title: string,
      harmless: boolean,
      seconds: number,
      use: (code: TestCode) => Promise<void>,
    ][] = [
      ['at once', true, 0, ({ form }) => refused('at once', form)],
      ['after five seconds', true, 5, ({ form }) => refused('after five seconds', form)],
      ['after six seconds', false, 6, ({ form }) => refused('after six seconds', form)],
      ['when it has expired', false, 100_000, ({ form }) => refused('when it has expired', form)],
      [
        'for a resource that there is not',
        false,
        6,
        ({ form }) => refused('for no resource', { ...form, resource: 'https://none.example' }),
      ],
      [
        'with another verifier',
        false,
        0,
        ({ form }) => refused('with another verifier', { ...form, code_verifier: 'x'.repeat(43) }),
      ],
      [
        'without a verifier',
        false,
        0,
        ({ form: { code_verifier, ...form } }) => refused('without a verifier', form),
      ],
      ['by another client', false, 0, ({ form }) => refused('by another client', form, other)],
      [
        'with another redirect_uri',
        true,
        0,
        ({ form }) => refused('with another redirect_uri', { ...form, redirect_uri: 'https://x.example/' }),
      ],
    ]
    for (const [title, harmless, seconds, use] of again) {
      const code = await codeFor(server, app, user)
      await redeem(code)
      server.tick(seconds)
      await use(code)
      t.equal(await stateOf(server, code), harmless ? null : 'code used twice', title)
    }
  },
)

await forEachEngine(
  t,
  'a code is refused to whoever is not meant, and then is still good for who is',
  async (t, env) => {
    const { server, app, user, post, redeem, refused, countSessions } = await world(t, env)
    const other = await server.client('other', { isPublic: true, ...forLogIns })
    const secret = await server.client('secret', { ...forLogIns, pkce: 'optional' })
    // They are drawn apart, which must not be what keeps clients apart.
    await server.ctx.db.sql.updateTable('clients').set({ epoch: 7 }).execute()
    await server.ctx.db.sql.updateTable('installation').set({ revision: 1000 }).execute()
    await server.follow()
    const code = await codeFor(server, app, user)
    const { code_verifier, redirect_uri, ...bare } = code.form
    const cases: [title: string, form: Record<string, string>, as?: TestClient][] = [
      ['A-6 A-7 another client', code.form, other],
      ['A-3 A-5 no verifier', { ...bare, redirect_uri: redirectUri }],
      ['A-3 another verifier', { ...code.form, code_verifier: 'a'.repeat(43) }],
      ['A-3 the challenge itself', { ...code.form, code_verifier: 'a'.repeat(42) }],
      ['A-3 a verifier that is too long', { ...code.form, code_verifier: 'a'.repeat(129) }],
      ['A-6 A-8 another redirect URI', { ...code.form, redirect_uri: `${redirectUri}/` }],
      ['A-8 one that is registered too', { ...code.form, redirect_uri: 'https://app.example/other' }],
      ['a code that was changed', { ...code.form, code: `${code.code.slice(0, -4)}AAAA` }],
      ['a code that was cut', { ...code.form, code: code.code.slice(0, -1) }],
      ['another spelling', { ...code.form, code: `${code.code}=` }],
      ['something else of ours', { ...code.form, code: sealAs(server, 'authorization request') }],
      ['another issuer', { ...code.form, code: sealAs(server, 'authorization code', 'https://b.example') }],
      ['garbage', { ...code.form, code: 'mm_ac_x' }],
      ['no prefix', { ...code.form, code: code.code.slice(6) }],
    ]
    for (const [title, form, as] of cases) await refused(title, form, as)
    isOAuthError(t, await post({ ...bare, code: '' }), 400, 'invalid_request', 'no code')
    t.equal(await countSessions(), 0)
    t.ok((await redeem(code)).access_token)

    const plain = await codeFor(server, secret, user, { request: { codeChallenge: null } })
    const withVerifier = { ...plain.form, code_verifier: 'a'.repeat(43) }
    isOAuthError(
      t,
      await post(withVerifier, secret),
      400,
      'invalid_request',
      'A-4 A-5 a verifier, and there was no challenge',
    )
    const { redirect_uri: _, ...without } = plain.form
    await refused('A-8 no redirect URI, and no challenge', without, secret)
    t.ok((await redeem(plain, secret)).access_token)

    const unsent = await codeFor(server, secret, user, {
      request: { codeChallenge: null, isRedirectUriSent: false },
    })
    const { redirect_uri: __, ...short } = unsent.form
    t.equal((await post(short, secret)).statusCode, 200, 'A-8 what was not sent need not be sent again')
    const challenged = await codeFor(server, app, user)
    const { redirect_uri: ___, ...newer } = challenged.form
    t.equal((await post(newer)).statusCode, 200, 'A-8 OAuth 2.1 leaves it out, where there was a challenge')
  },
)

function sealAs(
  { ctx }: TestServer,
  kind: 'authorization code' | 'authorization request',
  issuer = ctx.config.issuer,
) {
  return sealValue(ctx.rootKeys, kind, issuer, { sid: 'x' })
}

await forEachEngine(t, 'A-6 a code of another installation is of no use', async (t, env) => {
  const { server, app, user, refused } = await world(t, env)
  const elsewhere = await world(t)
  const { form } = await codeFor(elsewhere.server, elsewhere.app, elsewhere.user)
  await refused('another root key', form)
  t.ok(await codeFor(server, app, user))
})

await forEachEngine(t, 'A-6 a code is good for a minute, whatever the clock does', async (t, env) => {
  const { server, app, user, redeem, refused } = await world(t, env)
  const last = await codeFor(server, app, user)
  server.tick(60)
  t.ok(await redeem(last))
  const late = await codeFor(server, app, user)
  server.tick(61)
  await refused('61 seconds', late.form)
  const now = server.ctx.clock.now()
  const early = await codeFor(server, app, user)
  server.setClock(now - 3600)
  await refused('a clock that was set back by an hour', early.form)
})

await forEachEngine(
  t,
  'invariants 11 and 17: a code that began before an epoch was raised yields no session',
  async (t, env) => {
    const { server, app, user, refused, countSessions } = await world(t, env)
    const { db, clock } = server.ctx
    const end = { reason: 'command', now: clock.now() } as const
    const hash = await server.ctx.users.passwords.hash('another password')
    const raises: [string, () => Promise<unknown>][] = [
      ['a password change', () => changePassword(db, user.id, hash, clock.now())],
      ['a revoke-all of the user', () => raiseUserEpoch(db, user.id, end)],
      ['a revoke-all of the client', () => raiseClientEpochs(db, 'app', end)],
      ['a revoke-all of everybody', () => raiseClientEpochs(db, undefined, end)],
      [
        'a client that was disabled for a moment',
        async () => {
          await disableClient(db, 'app', clock.now())
          await enableClient(db, 'app')
          await server.follow()
        },
      ],
      ['a user who was disabled', () => disableUser(db, user.id, clock.now())],
    ]
    for (const [title, raise] of raises) {
      const code = await codeFor(server, app, user)
      await raise()
      await server.follow()
      await refused(title, code.form)
      await refused(`${title}, once more`, code.form)
    }
    t.equal(await countSessions(), 0)
    const deleted = await server.user('eve')
    const code = await codeFor(server, app, deleted)
    await db.sql.deleteFrom('users').where('id', '=', deleted.id).execute()
    await refused('a user who was deleted', code.form)
    t.equal(await countSessions(), 0)
  },
)

await forEachEngine(
  t,
  'invariants 14 and 17: a session without offline_access ends with its sign-in, and starts in no other',
  async (t, env) => {
    const { server, app, user, redeem, refused } = await world(t, env)
    const { db, clock } = server.ctx
    const short = await signIn(server, user, { expires_at: clock.now() + 1000 })
    const tied = await redeem(await codeFor(server, app, user, { signIn: short }))
    t.match(tied, { authorization_expires_in: 1000, refresh_token_timeout: 1000 })
    const scope = 'openid offline_access read'
    const free = await redeem(await codeFor(server, app, user, { signIn: short, scope }))
    t.match(free, { scope, authorization_expires_in: server.ctx.config.refreshAbsoluteSeconds })
    const links = await db.sql.selectFrom('sign_in_sessions').selectAll().execute()
    t.equal(links.length, 1, 'that with offline_access is not tied to it')

    const ended = await codeFor(server, app, user, { signIn: short })
    const offline = await codeFor(server, app, user, { signIn: short, scope })
    await db.sql.deleteFrom('sign_ins').where('id', '=', short.id).execute()
    await refused('its sign-in has ended', ended.form)
    t.ok(await redeem(offline), 'one with offline_access lives without')

    const moments = await signIn(server, user, { expires_at: clock.now() + 10 })
    const code = await codeFor(server, app, user, { signIn: moments })
    server.tick(10)
    await refused('its sign-in has expired', code.form)
    const others = await signIn(server, await server.user('bob'))
    await refused("another user's sign-in", (await codeFor(server, app, user, { signIn: others })).form)
  },
)

await forEachEngine(
  t,
  'invariant 12: fifty requests present one code at once, at three instances, and one session starts',
  async (t, env) => {
    const { server, app, user, countSessions } = await world(t, env)
    const instances = [server]
    while (instances.length < 3) {
      const beside = await startServer(t, { ...env, ...besideEnv(server) })
      await beside.follow()
      instances.push(beside)
    }
    for (let round = 0; round < 3; round++) {
      const code = await codeFor(server, app, user)
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          (instances[i % 3] ?? server).post('/token', { ...app.form, ...code.form }),
        ),
      )
      const statuses = answers.map(answer => answer.statusCode)
      t.equal(statuses.filter(status => status === 200).length, 1, 'one has got the tokens')
      t.strictSame([...new Set(statuses)].sort(), [200, 400])
      t.equal(await countSessions(), round + 1)
      t.equal(await stateOf(server, code), null, 'and it lives, since all were the client itself')
    }
  },
)

await forEachEngine(t, 'invariant 12: two codes of one request yield one session', async (t, env) => {
  const { server, app, user, redeem, refused, countSessions } = await world(t, env)
  const first = await codeFor(server, app, user)
  const bob = await server.user('bob')
  const { form } = await codeFor(server, app, bob, { request: { sessionId: first.sessionId } })
  await redeem(first)
  await refused('the other one', { ...form })
  t.equal(await countSessions(), 1)
  server.tick(6)
  await refused('the other one, later', { ...form })
  t.equal(await stateOf(server, first), 'code used twice')
})

await forEachEngine(t, 'a code of a DPoP key is good with that key alone (RFC 9449 §10)', async (t, env) => {
  const { server, app, user, post, countSessions } = await world(t, env)
  const key = await testKey()
  const another = await testKey()
  const proofBy = async (by: TestKey): Promise<Record<string, string>> => {
    const { now } = server.ctx.clock
    const sign = (claims: object) => signJwt(by, proofHeader(by), proofClaims(now(), { ...claims }))
    const { headers } = await server.post('/token', { client_id: 'x' }, { dpop: await sign({}) })
    return { dpop: await sign({ nonce: String(headers['dpop-nonce']) }) }
  }
  const code = await codeFor(server, app, user, { request: { dpopJkt: key.jkt } })
  isOAuthError(t, await post(code.form), 400, 'invalid_grant', 'no proof')
  isOAuthError(t, await post(code.form, app, await proofBy(another)), 400, 'invalid_grant', 'another key')
  t.equal(await countSessions(), 0)
  const response = await post(code.form, app, await proofBy(key))
  t.match(response.json(), { token_type: 'DPoP' })
  t.match(claimsOf(response.json().access_token), { cnf: { jkt: key.jkt } })
  t.match(
    (await findSession(server.ctx.db, code.sessionId))?.key_thumbprint?.toString('base64url'),
    key.jkt,
    'Q-9 the refresh token of a public client is bound to it',
  )
  const free = await codeFor(server, app, user)
  const proof = await proofBy(another)
  t.match((await post(free.form, app, proof)).json(), { token_type: 'DPoP' }, 'a code of no key takes any')
  const next = await codeFor(server, app, user)
  isOAuthError(t, await post(next.form, app, proof), 400, 'invalid_dpop_proof', 'Q-4 a proof counts once')
  t.equal((await post(next.form)).statusCode, 200, 'which costs the code nothing')
})

t.test(
  'a client that authenticates with its certificate redeems codes, for tokens of that (L-2)',
  async t => {
    const proxy = '10.0.0.1'
    const { server, user } = await world(t, {
      MINTMARK_TRUST_PROXY: proxy,
      MINTMARK_CLIENT_CERT: 'verified',
    })
    const certificate = await testCertificate({ subject: 'CN=bank' })
    const bank = await server.client('bank', {
      ...forLogIns,
      isPublic: true,
      auth_method: 'tls_client_auth',
      tls_subject: 'subject_dn:CN=bank',
      tls_bound: 1,
      resources: api,
    })
    const post = (form: Readonly<Record<string, string>>, shown?: TestCertificate) =>
      server.request({
        method: 'POST',
        url: '/token',
        payload: new URLSearchParams({ ...bank.form, ...form }).toString(),
        remoteAddress: proxy,
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          ...(shown && { 'client-cert': shown.field }),
        },
      })
    const { form } = await codeFor(server, bank, user)
    isOAuthError(t, await post(form), 401, 'invalid_client', 'without it')
    const other = await testCertificate({ subject: 'CN=thief' })
    isOAuthError(t, await post(form, other), 401, 'invalid_client', 'with another')
    const response = await post(form, certificate)
    t.match(claimsOf(response.json().access_token), { cnf: { 'x5t#S256': String }, client_id: 'bank' })
  },
)

t.test('A-13 there is no implicit grant, and a code is for clients that were given the grant', async t => {
  const { server, user, post, app } = await world(t)
  isOAuthError(t, await post({ grant_type: 'implicit' }), 400, 'unsupported_grant_type', 'implicit')
  const without = await server.client('without')
  const { form } = await codeFor(server, without, user)
  isOAuthError(t, await post(form, without), 400, 'unauthorized_client', 'not given')
  const noRefresh = await server.client('once', { ...forLogIns, grant_types: 'authorization_code' })
  const code = await codeFor(server, noRefresh, user)
  const answer = (await post(code.form, noRefresh)).json()
  t.notOk('refresh_token' in answer, 'no refresh token without that grant')
  t.ok(app)
})

await forEachEngine(
  t,
  'the tokens of a code are for the resource and the scope that were agreed to (R-5)',
  async (t, env) => {
    const b = 'https://b.example'
    const { server, app, user, post, redeem } = await world(t, env, {
      resources: `${api} ${b}`,
      scope: 'read write list',
    })
    await server.resource(b, { scope: 'list read' })
    const scope = 'openid email read list'
    const both = await redeem(await codeFor(server, app, user, { scope }))
    t.match(claimsOf(both.access_token), { aud: b, scope }, 'RI-4 the one that knows them all')
    const named = await codeFor(server, app, user, { scope, request: { resource: api } })
    const first = await redeem(named)
    t.match(claimsOf(first.access_token), { aud: api, scope: 'openid email read' })
    t.match(claimsOf((await server.refresh(app, first.refresh_token)).access_token), {
      aud: api,
      scope: 'openid email read',
    })
    const other = await codeFor(server, app, user, { scope, request: { resource: api } })
    isOAuthError(t, await post({ ...other.form, resource: b }), 400, 'invalid_target', 'RI-3')
    const chosen = await post({ ...(await codeFor(server, app, user, { scope })).form, resource: api })
    t.match(claimsOf(chosen.json().access_token), { aud: api }, 'a token request may choose')
    const asked = await post({ ...(await codeFor(server, app, user)).form, scope: 'openid read admin' })
    t.match(asked.json(), { scope: 'openid read' }, 'a scope is no parameter of this request')
    const narrow = await server.refresh(app, both.refresh_token, { scope: 'read list' })
    t.equal(narrow.scope, 'read list')
    t.notOk('id_token' in narrow, 'R-4 no ID token where openid was left out')
    t.equal((await server.refresh(app, narrow.refresh_token)).scope, scope, 'and the next one has all again')
  },
)

t.test('what is no code costs no access to the database (8)', async t => {
  const { server, app, user, refused } = await world(t)
  const { code, form } = await codeFor(server, app, user)
  await server.ctx.db.sql.schema.dropTable('sessions').execute()
  await refused('forged', { ...form, code: `${code.slice(0, -4)}AAAA` })
  await refused('garbage', { ...form, code: 'garbage' })
})

t.test('H-14 no code, and no verifier, is ever logged', async t => {
  const { server, app, user, post } = await world(t)
  const { form } = await codeFor(server, app, user)
  await post({ ...form, code_verifier: 'b'.repeat(43) })
  await post(form)
  await post(form, await server.client('other', forLogIns))
  const text = JSON.stringify(server.log)
  for (const secret of [form['code'], form['code_verifier'], 'b'.repeat(43)])
    t.notOk(text.includes(secret ?? '?'))
  t.ok(text.includes('an authorization code was used twice'))
})
