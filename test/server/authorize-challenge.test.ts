import t, { type Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { renewRecoveryCodes } from '../../src/factors/recovery-codes.ts'
import { removeFactor } from '../../src/account/removal.ts'
import { addPasskey, creationOptions } from '../../src/factors/passkeys.ts'
import { dpopNonces } from '../../src/keys/proofs/dpop-nonces.ts'
import { rowOf } from '../helpers/account.ts'
import { softAuthenticator } from '../helpers/authenticator.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { proofClaims, proofHeader, signJwt, testKey, type TestKey } from '../helpers/proofs.ts'
import { besideEnv, isOAuthError, startServer, type TestClient } from '../helpers/server.ts'
import { setUpTotp } from '../helpers/totp.ts'

const path = '/authorize-challenge'
const callback = 'https://app.example/callback'
/** RFC 7636 appendix B. */
const code_verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
const pkce = { code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256' }

/** Undefined leaves a parameter out. */
type Form = Readonly<Record<string, string | undefined>>

/** A server, an app of one's own, and its user. */
async function world(
  t: Test,
  settings: Partial<ClientTable> & { isPublic?: boolean } = {},
  env: EngineEnv = {},
) {
  const server = await startServer(t, env)
  const client = (id: string, more: typeof settings = {}) =>
    server.client(id, {
      grant_types: 'authorization_code refresh_token',
      redirect_uris: callback,
      first_party: 1,
      ...more,
    })
  const app = await client('app', settings)
  const user = await server.user()
  const password = { username: user.username, password: user.password }
  const ask = (form: Form, { as = app, headers = {}, to = server }: AskOptions = {}) => {
    const all = Object.entries({ ...(as.secret === undefined && as.form), ...form })
    return to.post(path, all.filter(pair => pair[1] !== undefined) as [string, string][], {
      ...as.headers,
      ...headers,
    })
  }
  const redeem = async (code: string, as: TestClient = app, more: Form = {}) =>
    server.post('/token', { grant_type: 'authorization_code', code, ...as.form, ...more } as Record<
      string,
      string
    >)
  return { server, app, client, user, password, ask, redeem }
}

interface AskOptions {
  readonly as?: TestClient
  readonly headers?: Form
  readonly to?: Pick<Awaited<ReturnType<typeof startServer>>, 'post'>
}

type Response = Awaited<ReturnType<Awaited<ReturnType<typeof world>>['ask']>>

/** What an app goes on with. */
function more(t: Test, response: Response, missing: readonly string[], title = 'what is missing') {
  const { statusCode, headers } = response
  const answer = response.json()
  t.match({ statusCode, ...answer }, { statusCode: 400, error: 'insufficient_authorization' }, title)
  t.strictSame(answer.missing, missing, title)
  t.match(headers, { 'cache-control': 'no-store', 'content-type': /^application\/json/ })
  t.match(answer.auth_session, /^mm_as_[\w-]{100,}$/, 'FP-5 it says nothing to the client')
  return answer as { auth_session: string; error_description: string; passkey_options: never }
}

const first = { response_type: 'code', scope: 'openid read' }

await forEachEngine(t, 'an app asks its user for the password, and gets a code', async (t, env) => {
  const { server, app, user, password, ask, redeem } = await world(t, {}, env)
  const begun = more(t, await ask(first), ['password', 'passkey'], 'FP-3 nothing has been shown')
  const answer = await ask({ auth_session: begun.auth_session, ...password })
  t.equal(answer.statusCode, 200)
  t.match(answer.json(), { authorization_code: /^mm_ac_/, device_token: /^mm_dt_/ }, 'FP-3')
  t.match(answer.headers, { 'cache-control': 'no-store' })
  const redeemed = await redeem(answer.json().authorization_code)
  t.match(redeemed.json(), { scope: 'openid read', refresh_token: /^mm_rt_/, id_token: /^eyJ/ })
  const told = await server.introspect(app, redeemed.json().access_token)
  t.match(told, { sub: user.sub, acr: 'pwd', amr: ['pwd'], client_id: 'app' })
  t.match(await server.refresh(app, redeemed.json().refresh_token), { refresh_token: /^mm_rt_/ })

  const again = await ask({ auth_session: begun.auth_session, ...password })
  isOAuthError(t, again, 400, 'invalid_session', 'invariant 12: the request has its session')
  isOAuthError(t, await redeem(answer.json().authorization_code), 400, 'invalid_grant', 'a code counts once')

  const atOnce = await ask({ ...first, ...password, device_token: answer.json().device_token })
  t.equal(atOnce.statusCode, 200, 'all in one request')
})

await forEachEngine(
  t,
  'the same code, though the request is taken up by several instances at once',
  async (t, env) => {
    const { server, password, ask, redeem } = await world(t, {}, env)
    const other = await startServer(t, besideEnv(server))
    await other.follow()
    const { auth_session } = more(t, await ask(first), ['password', 'passkey'])
    const answers = await Promise.all(
      [server, other, server, other].map(to => ask({ auth_session, ...password }, { to })),
    )
    const tokens = await Promise.all(answers.map(answer => redeem(answer.json().authorization_code)))
    t.equal(tokens.filter(({ statusCode }) => statusCode === 200).length, 1, 'invariant 12')
  },
)

t.test('FP-1 FP-2 who may ask, and how', async t => {
  const { server, client, password, ask } = await world(t)
  const web = await client('web', { first_party: 0 })
  isOAuthError(t, await ask({ ...first, ...password }, { as: web }), 400, 'unauthorized_client', 'FP-2')
  t.notOk(
    server.log.some(({ event }) => event === 'log_in_failed'),
    'and nothing was looked at',
  )
  const unproven = await server.post(path, { ...first, ...password, client_id: 'app' })
  isOAuthError(t, unproven, 401, 'invalid_client', 'FP-1 as at /token')
  isOAuthError(t, await server.post(path, first), 401, 'invalid_client', 'FP-1 nobody says who it is')

  const native = await client('native', { isPublic: true, auth_method: 'none' })
  const begun = more(t, await ask(first, { as: native }), ['password', 'passkey'])
  const named = await server.post(path, { auth_session: begun.auth_session, ...password })
  t.equal(named.statusCode, 200, 'FP-1 the auth_session says which client it is')
  const other = await ask({ auth_session: begun.auth_session, ...password })
  isOAuthError(t, other, 400, 'invalid_session', "FP-1 another client's")
  await client('tablet', { isPublic: true, auth_method: 'none' })
  const changed = await server.post(path, {
    auth_session: begun.auth_session,
    client_id: 'tablet',
    ...password,
  })
  isOAuthError(t, changed, 400, 'invalid_session', 'FP-1 the client_id is another')

  for (const [title, form, code] of [
    ['FP-1 without response_type', { response_type: undefined }, 'invalid_request'],
    ['FP-1 another one', { response_type: 'token' }, 'unsupported_response_type'],
    ['a scope that it may not have', { scope: 'admin' }, 'invalid_scope'],
    ['an address that is not registered', { redirect_uri: 'https://evil.example' }, 'invalid_request'],
    ['prompt=none', { prompt: 'none' }, 'invalid_request'],
    ['a request object', { request: 'eyJ' }, 'request_not_supported'],
    ['a password of nobody', { password: 'x' }, 'invalid_request'],
  ] as const) {
    isOAuthError(t, await ask({ ...first, ...form }), 400, code, title)
  }
  const inUrl = await server.post(`${path}?auth_session=x`, first)
  t.equal(inUrl.statusCode, 400, 'a secret in the URL')
  for (const auth_session of [
    'x',
    begun.auth_session.slice(0, -4) + 'AAAA',
    `mm_ac_${begun.auth_session.slice(6)}`,
  ])
    isOAuthError(
      t,
      await ask({ auth_session, ...password }),
      400,
      'invalid_session',
      `auth_session ${auth_session.slice(0, 6)}`,
    )
})

t.test('what is wrong says so, and the user tries again', async t => {
  const { server, user, ask, password } = await world(t)
  const { auth_session } = more(t, await ask(first), ['password', 'passkey'])
  const wrong = await ask({ auth_session, username: user.username, password: 'wrong' })
  const again = more(t, wrong, ['password', 'passkey'])
  t.equal(again.error_description, 'the user name or the password is wrong')
  const unknown = more(t, await ask({ auth_session, username: 'nobody', password: 'wrong' }), [
    'password',
    'passkey',
  ])
  t.equal(unknown.error_description, again.error_description, 'invariant 15')
  t.equal(server.log.filter(({ event }) => event === 'log_in_failed').length, 2)
  t.equal((await ask({ auth_session: again.auth_session, ...password })).statusCode, 200)

  for (let i = 0; i < 19; i++) await ask({ auth_session, username: user.username, password: `wrong ${i}` })
  const throttled = await ask({ auth_session, username: user.username, password: 'wrong' })
  isOAuthError(t, throttled, 429, 'temporarily_unavailable', 'FP-2 as at the pages')

  server.tick(1800)
  isOAuthError(t, await ask({ auth_session, ...password }), 400, 'invalid_session', 'after half an hour')
})

await forEachEngine(t, 'a second factor: a code, a recovery code or a passkey', async (t, env) => {
  const { server, app, user, password, ask, redeem } = await world(t, {}, env)
  const { ctx } = server
  const totp = await setUpTotp(server, user)
  const begin = async () => {
    const { auth_session } = more(t, await ask(first), ['password', 'passkey'])
    return more(t, await ask({ auth_session, ...password }), ['otp'])
  }
  const half = await begin()
  more(t, await ask({ auth_session: half.auth_session }), ['otp'], 'nothing more was shown')
  const wrong = more(
    t,
    await ask({ auth_session: half.auth_session, otp: '000000' }),
    ['otp'],
    'a wrong code',
  )
  const answer = await ask({ auth_session: wrong.auth_session, otp: totp() })
  t.equal(answer.statusCode, 200)
  const tokens = (await redeem(answer.json().authorization_code)).json()
  t.match(await server.introspect(app, tokens.access_token), { acr: 'mfa', amr: ['pwd', 'otp', 'mfa'] })

  const replayed = await begin()
  more(t, await ask({ auth_session: replayed.auth_session, otp: totp() }), ['otp'], 'a code counts once')
  const owner = { user: await rowOf(server, user), caller: { address: '192.0.2.1', requestId: 'x' } }
  const [recoveryCode = ''] = await renewRecoveryCodes(ctx, owner)
  const known = more(t, await ask({ auth_session: replayed.auth_session }), ['otp', 'recovery_code'])
  t.equal((await ask({ auth_session: known.auth_session, recovery_code: recoveryCode })).statusCode, 200)
  const spent = await ask({ auth_session: known.auth_session, recovery_code: recoveryCode })
  more(t, spent, ['otp', 'recovery_code'], 'a recovery code counts once')

  server.tick(601)
  more(
    t,
    await ask({ auth_session: known.auth_session, otp: totp() }),
    ['password', 'passkey'],
    'after ten minutes',
  )

  server.tick(30)
  const both = await ask({ ...first, ...password, otp: totp() })
  t.equal(both.statusCode, 200, 'both at once')

  const { auth_session } = more(t, await ask({ ...first, ...password }), ['otp', 'recovery_code'])
  await ctx.db.sql.updateTable('users').set({ epoch: 1 }).where('id', '=', user.id).execute()
  server.tick(30)
  more(t, await ask({ auth_session, otp: totp() }), ['password', 'passkey'], 'invariant 17')
})

t.test('a second factor that is gone meanwhile: it begins anew, as at the pages', async t => {
  const { server, user, password, ask } = await world(t)
  await setUpTotp(server, user)
  const { auth_session } = more(t, await ask({ ...first, ...password }), ['otp'])
  const owner = { user: await rowOf(server, user), caller: { address: '192.0.2.1', requestId: 'x' } }
  t.equal(await removeFactor(server.ctx, owner, 'totp'), 'removed')
  more(t, await ask({ auth_session }), ['password', 'passkey'])
  t.equal((await ask({ auth_session, ...password })).statusCode, 200)
})

t.test('a passkey, in pages of the app', async t => {
  const { server, app, user, password, ask, redeem } = await world(t)
  const { ctx } = server
  const row = await rowOf(server, user)
  const authenticator = softAuthenticator('https://as.example')
  const { response, passkey } = authenticator.create(await creationOptions(ctx, row, 'browser'))
  const owner = { user: row, caller: { address: '192.0.2.1', requestId: 'x' } }
  t.notMatch(await addPasskey(ctx, owner, response, 'browser', 'Phone'), { problem: /./ })

  const begun = more(t, await ask(first), ['password', 'passkey'])
  const assertion = passkey.use(begun.passkey_options)
  const elsewhere = more(t, await ask(first), ['password', 'passkey'])
  const moved = await ask({ auth_session: elsewhere.auth_session, passkey: assertion })
  more(t, moved, ['password', 'passkey'], 'invariant 16: it answers the session that has asked')
  const answer = await ask({ auth_session: begun.auth_session, passkey: assertion })
  t.equal(answer.statusCode, 200, 'alone it is two factors')
  const tokens = (await redeem(answer.json().authorization_code)).json()
  t.match(await server.introspect(app, tokens.access_token), { sub: user.sub, acr: 'phr' })

  const half = more(t, await ask({ ...first, ...password }), ['passkey'], 'a password is not enough any more')
  const second = await ask({ auth_session: half.auth_session, passkey: passkey.use(half.passkey_options) })
  t.equal(second.statusCode, 200, 'as a second factor')
  const twice = more(t, await ask(first), ['password', 'passkey'])
  const used = passkey.use(twice.passkey_options)
  t.equal((await ask({ auth_session: twice.auth_session, passkey: used })).statusCode, 200)
  more(
    t,
    await ask({ auth_session: twice.auth_session, passkey: used }),
    ['password', 'passkey'],
    'it counts once',
  )
})

t.test('a passkey of another RP ID is not asked for, and the password does not do without', async t => {
  const { server, user, password, ask } = await world(t)
  const { ctx } = server
  const row = await rowOf(server, user)
  const { response } = softAuthenticator('https://as.example').create(
    await creationOptions(ctx, row, 'browser'),
  )
  const owner = { user: row, caller: { address: '192.0.2.1', requestId: 'x' } }
  t.notMatch(await addPasskey(ctx, owner, response, 'browser', 'Phone'), { problem: /./ })
  await ctx.db.sql.updateTable('passkeys').set({ rp_id: 'old.example' }).execute()
  const stranded = await ask({ ...first, ...password })
  isOAuthError(t, stranded, 400, 'redirect_to_web', 'where a page says why')
  const [recovery_code] = await renewRecoveryCodes(ctx, owner)
  const half = more(t, await ask({ ...first, ...password }), ['recovery_code'])
  t.equal((await ask({ auth_session: half.auth_session, recovery_code })).statusCode, 200)
})

t.test('FP-4 what only pages can give leads there', async t => {
  const { server, app, client, password, ask, redeem } = await world(t, { acr: 'mfa' })
  const without = await ask({ ...first, ...password })
  isOAuthError(t, without, 400, 'redirect_to_web', 'FP-4 without a code_challenge there is no request_uri')
  const web = (await ask({ ...first, ...pkce, ...password })).json()
  t.match(web, {
    error: 'redirect_to_web',
    request_uri: /^urn:ietf:params:oauth:request_uri:/,
    expires_in: 90,
  })
  const query = new URLSearchParams({ client_id: app.id, request_uri: web.request_uri })
  const page = await server.request({ method: 'GET', url: `/authorize?${query}` })
  t.match(page.headers.location, /\/log-in\?request=/, 'FP-4 the browser goes on with it')

  const bare = await client('bare', { acr: 'mfa', redirect_uris: '' })
  const nowhere = await ask({ ...first, ...pkce, ...password }, { as: bare })
  isOAuthError(t, nowhere, 400, 'redirect_to_web', 'there is no address to come back to')

  const bound = await client('bound')
  const { authorization_code } = (await ask({ ...first, ...pkce, ...password }, { as: bound })).json()
  const stolen = await redeem(authorization_code, bound)
  isOAuthError(t, stolen, 400, 'invalid_grant', 'a code with a challenge needs its verifier')
  const { authorization_code: mine } = (await ask({ ...first, ...pkce, ...password }, { as: bound })).json()
  t.equal((await redeem(mine, bound, { code_verifier })).statusCode, 200)
})

t.test('FP-5 an auth_session and its code are of the DPoP key that it began with', async t => {
  const { server, client, password, ask } = await world(t)
  const native = await client('native', { isPublic: true, auth_method: 'none', dpop_bound: 1 })
  const key = await testKey()
  const nonce = dpopNonces(server.ctx.rootKeys, server.ctx.clock).current()
  const proofOf = async (by: TestKey, url: string) => ({
    dpop: await signJwt(
      by,
      proofHeader(by),
      proofClaims(server.ctx.clock.now(), { htu: `https://as.example${url}`, nonce }),
    ),
  })
  const begun = more(t, await ask(first, { as: native, headers: await proofOf(key, path) }), [
    'password',
    'passkey',
  ])
  const { auth_session } = begun
  const bare = await ask({ auth_session, ...password }, { as: native })
  isOAuthError(t, bare, 400, 'invalid_session', 'FP-5 without a proof')
  const stranger = await testKey()
  const stolen = await ask(
    { auth_session, ...password },
    { as: native, headers: await proofOf(stranger, path) },
  )
  isOAuthError(t, stolen, 400, 'invalid_session', 'FP-5 of another key')
  const own = await ask({ auth_session, ...password }, { as: native, headers: await proofOf(key, path) })
  t.equal(own.statusCode, 200)
  const form = { grant_type: 'authorization_code', code: own.json().authorization_code, client_id: 'native' }
  const other = await server.post('/token', form, await proofOf(stranger, '/token'))
  isOAuthError(t, other, 400, 'invalid_grant', 'nor is the code of use to it')
  t.equal((await server.post('/token', form, await proofOf(key, '/token'))).statusCode, 200)
})

t.test('the level that is asked for', async t => {
  const { server, user, password, ask } = await world(t)
  const totp = await setUpTotp(server, user)
  const asked = { ...first, acr_values: 'mfa', ...password }
  const { auth_session } = more(t, await ask(asked), ['otp'], 'S-3')
  t.equal((await ask({ auth_session, otp: totp() })).statusCode, 200)
  const strange = await ask({ ...first, scope: 'read', acr_values: 'gold', ...password, otp: '1' })
  t.match(strange.json(), { error: /insufficient_authorization|unmet_authentication_requirements/ })
})
