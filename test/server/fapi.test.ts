import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import type { ClientTable } from '../../db/schema.ts'
import { hashSecret } from '../../src/protocol/secrets.ts'
import {
  assertionClaims,
  assertionForm,
  proofClaims,
  proofHeader,
  signJwt,
  testKey,
  type TestKey,
} from '../helpers/proofs.ts'
import { openBrowser } from '../helpers/browser.ts'
import { claimsOf, codeFor } from '../helpers/codes.ts'
import { isOAuthError, startServer } from '../helpers/server.ts'

const api = 'https://api.example'

const callback = 'https://app.example/callback'

/** What `client create --profile fapi2` makes of a client to which people log in. */
const forPeople = {
  grant_types: 'authorization_code refresh_token',
  redirect_uris: callback,
  par_required: 1,
  refresh_policy: 'reuse',
  id_token_alg: 'ES256',
} as const

/** RFC 7636 appendix B. */
const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'

const logIn = {
  client_id: 'app',
  response_type: 'code',
  redirect_uri: callback,
  scope: 'openid read offline_access',
  state: 'a state',
  // As long as it may be (§5.3.2.2).
  nonce: 'n'.repeat(64),
  code_challenge: challenge,
  code_challenge_method: 'S256',
}

/** A server with a client that is held to the profile, and one that is the same but for that. */
async function world(t: Test, settings: Partial<ClientTable> = {}) {
  const server = await startServer(t, {})
  await server.resource(api)
  const keys = new Map(
    await Promise.all(
      ['ES256', 'PS256', 'EdDSA', 'Ed25519', 'RS256'].map(async alg => [alg, await testKey(alg)] as const),
    ),
  )
  const keyOf = (alg: string) => keys.get(alg) ?? t.fail(alg)
  const jwks = { keys: [...keys].map(([alg, { publicJwk }]) => ({ ...publicJwk, alg, kid: alg })) }
  const client = (id: string, more: Partial<ClientTable>) =>
    server.client(id, {
      isPublic: true,
      auth_method: 'private_key_jwt',
      jwks: JSON.stringify(jwks),
      grant_types: 'client_credentials',
      resources: api,
      dpop_bound: 1,
      ...settings,
      ...more,
    })
  await client('bank', { profile: 'fapi2' })
  await client('shop', {})
  await client('app', { profile: 'fapi2', ...forPeople })
  await client('web', forPeople)

  const { now } = server.ctx.clock
  const nonce = async (proof: string) => {
    const { headers } = await server.post('/token', { client_id: 'x' }, { dpop: proof })
    return String(headers['dpop-nonce'])
  }
  /** A proof for /token, or for another `htu`. */
  const proof = async (alg: string, claims: object = {}) => {
    const key = keyOf(alg) as TestKey
    const make = (more: object) => signJwt(key, proofHeader(key), proofClaims(now(), { ...claims, ...more }))
    return make({ nonce: await nonce(await make({})) })
  }
  const assertion = (id: string, alg: string, claims: object = {}) => {
    const key = keyOf(alg) as TestKey
    return signJwt(key, { alg, kid: alg }, assertionClaims(id, now(), { ...claims }))
  }
  return {
    server,
    now,
    proof,
    assertion,
    push: async (form: Readonly<Record<string, string>>, headers: { dpop?: string } = {}) => {
      const id = form['client_id'] ?? ''
      return server.post('/par', { ...form, ...assertionForm(await assertion(id, 'ES256')) }, headers)
    },
    tokenFor: async (form: Readonly<Record<string, string>>, headers: { dpop?: string } = {}) => {
      const dpop = headers.dpop ?? (await proof('ES256'))
      return server.post('/token', { ...form, ...assertionForm(await assertion('app', 'ES256')) }, { dpop })
    },
    token: async (jwt: string, dpop?: string) =>
      server.post(
        '/token',
        { grant_type: 'client_credentials', ...assertionForm(jwt) },
        { dpop: dpop ?? (await proof('ES256')) },
      ),
  }
}

t.test('FAPI 2.0 §5.4.1 assertions and proofs are signed by PS256, ES256 or Ed25519', async t => {
  const { token, assertion, proof } = await world(t)
  for (const alg of ['ES256', 'PS256', 'EdDSA', 'Ed25519']) {
    t.equal((await token(await assertion('bank', alg))).statusCode, 200, `an assertion by ${alg}`)
    t.equal(
      (await token(await assertion('bank', 'ES256'), await proof(alg))).statusCode,
      200,
      `a proof by ${alg}`,
    )
  }
  const byRs256 = await token(await assertion('bank', 'RS256'))
  isOAuthError(t, byRs256, 401, 'invalid_client', 'an assertion by RS256')
  t.match(byRs256.json().error_description, /the alg is none of PS256, ES256, EdDSA, Ed25519/)
  const proofByRs256 = await token(await assertion('bank', 'ES256'), await proof('RS256'))
  isOAuthError(t, proofByRs256, 400, 'invalid_dpop_proof', 'a proof by RS256')

  t.equal(
    (await token(await assertion('shop', 'RS256'), await proof('RS256'))).statusCode,
    200,
    'of others too',
  )
})

t.test('FAPI 2.0 §5.3.2.1 an assertion is for the issuer as a text, and no list', async t => {
  const { token, assertion } = await world(t)
  const listed = await token(await assertion('bank', 'ES256', { aud: ['https://as.example'] }))
  isOAuthError(t, listed, 401, 'invalid_client', 'a list')
  t.match(listed.json().error_description, /the aud is a list/)
  for (const aud of ['https://as.example/token', 'https://as.example/par', 'https://as.example/']) {
    isOAuthError(t, await token(await assertion('bank', 'ES256', { aud })), 401, 'invalid_client', aud)
  }
  t.equal((await token(await assertion('shop', 'ES256', { aud: ['https://as.example'] }))).statusCode, 200)
})

t.test('FAPI 2.0 §5.3.2.1 clocks may be ahead by 10 seconds, and not by more than 60', async t => {
  const { server, now, token, assertion, proof } = await world(t)
  const policies = [0, 60, 600]
  for (const seconds of policies) {
    await server.ctx.db.sql.updateTable('installation').set({ clock_skew_seconds: seconds }).execute()
    await server.ctx.db.sql
      .updateTable('installation')
      .set({ revision: seconds + 1000 })
      .execute()
    await server.follow()
    for (const name of ['iat', 'nbf']) {
      const ahead = async (by: number, id = 'bank') =>
        token(await assertion(id, 'ES256', { [name]: now() + by }))
      t.equal((await ahead(10)).statusCode, 200, `${name} 10 s ahead, where clocks may differ by ${seconds}`)
      const far = await ahead(61)
      isOAuthError(t, far, 401, 'invalid_client', `${name} 61 s ahead, where clocks may differ by ${seconds}`)
      t.match(far.json().error_description, `the ${name} is in the future`)
      t.equal((await ahead(61, 'shop')).statusCode, seconds > 60 ? 200 : 401, 'others by the policy alone')
    }
  }
  const proved = async (by: number, id = 'bank') =>
    token(await assertion(id, 'ES256'), await proof('ES256', { iat: now() + by }))
  t.equal((await proved(60)).statusCode, 200, 'a proof 60 s ahead')
  isOAuthError(t, await proved(61), 400, 'invalid_dpop_proof', 'a proof 61 s ahead')
  t.equal((await proved(61, 'shop')).statusCode, 200)
})

t.test('FAPI 2.0 §5.3.2.1 no token is without its key', async t => {
  const { server, assertion } = await world(t)
  const bearer = await server.post('/token', {
    grant_type: 'client_credentials',
    ...assertionForm(await assertion('bank', 'ES256')),
  })
  isOAuthError(t, bearer, 400, 'invalid_dpop_proof', 'without a proof')
})

t.test('FAPI 2.0 §5.3.2.1 the secret that a client had before it had keys is refused', async t => {
  const secret = 'the secret of before'
  const { server, now, proof } = await world(t, {
    old_secret_hash: hashSecret(secret),
    old_secret_expires_at: 2_000_000_000,
  })
  t.ok(now() < 2_000_000_000)
  const bySecret = async (client_id: string) =>
    server.post(
      '/token',
      { grant_type: 'client_credentials', client_id, client_secret: secret },
      { dpop: await proof('ES256') },
    )
  isOAuthError(t, await bySecret('bank'), 401, 'invalid_client', 'of the profile')
  t.equal((await bySecret('shop')).statusCode, 200, 'of another it is good for as long as it was kept')
})

t.test('FAPI 2.0 §5.4.1 no access token is signed by RS256', async t => {
  const { server, token, assertion } = await world(t)
  await server.ctx.db.sql.updateTable('resources').set({ alg: 'RS256', previous_alg: null }).execute()
  await server.ctx.db.sql.updateTable('installation').set({ revision: 1000 }).execute()
  await server.follow()
  isOAuthError(t, await token(await assertion('bank', 'ES256')), 400, 'invalid_target', 'of the profile')
  t.equal((await token(await assertion('shop', 'ES256'))).statusCode, 200)
})

t.test('FAPI 2.0 §5.3.2.2 a person logs in, from /par to tokens that are not rotated', async t => {
  const { server, push, tokenFor } = await world(t)
  const ada = await server.user()
  const pushed = await push(logIn)
  t.equal(pushed.statusCode, 201, pushed.body)
  const { request_uri, expires_in } = pushed.json()
  t.ok(expires_in < 600, 'for less than ten minutes')

  const browser = openBrowser(server)
  const query = new URLSearchParams({ client_id: 'app', request_uri })
  const form = await browser.open(`https://as.example/authorize?${query}`)
  const back = await browser.submit(form, { username: ada.username, password: ada.password })
  t.equal(back.response.statusCode, 303, 'the credentials are not sent on')
  t.equal(`${back.url.origin}${back.url.pathname}`, callback)
  t.match(Object.fromEntries(back.url.searchParams), { iss: 'https://as.example', state: 'a state' })
  const code = back.url.searchParams.get('code') ?? ''

  const redeem = { grant_type: 'authorization_code', code, redirect_uri: callback, code_verifier: verifier }
  const redeemed = await tokenFor(redeem)
  t.equal(redeemed.statusCode, 200, redeemed.body)
  const { access_token, id_token, refresh_token, token_type } = redeemed.json()
  t.equal(token_type, 'DPoP')
  t.match(claimsOf(access_token), { sub: ada.sub, cnf: { jkt: /^[\w-]{43}$/ } })
  t.match(claimsOf(id_token), { sub: ada.sub, aud: 'app', nonce: 'n'.repeat(64) })
  for (const jwt of [access_token, id_token]) t.match(headerOf(jwt), { alg: 'ES256' })

  for (const title of ['once', 'and again, as if the answer was lost', 'and again']) {
    const refreshed = await tokenFor({ grant_type: 'refresh_token', refresh_token })
    t.equal(refreshed.statusCode, 200, title)
    t.equal(refreshed.json().refresh_token ?? refresh_token, refresh_token, `${title}: the same one`)
    server.tick(3600)
  }
})

t.test('FAPI 2.0 §5.3.2.2 a code that is sent again ends its session, however soon', async t => {
  const { server, push, tokenFor } = await world(t)
  const ada = await server.user()
  const { request_uri } = (await push(logIn)).json()
  const browser = openBrowser(server)
  const query = new URLSearchParams({ client_id: 'app', request_uri })
  const form = await browser.open(`https://as.example/authorize?${query}`)
  const back = await browser.submit(form, { username: ada.username, password: ada.password })
  const code = back.url.searchParams.get('code') ?? ''
  const redeem = { grant_type: 'authorization_code', code, redirect_uri: callback, code_verifier: verifier }
  const { refresh_token } = (await tokenFor(redeem)).json()
  isOAuthError(t, await tokenFor(redeem), 400, 'invalid_grant', 'in the same second')
  const refreshed = await tokenFor({ grant_type: 'refresh_token', refresh_token })
  isOAuthError(t, refreshed, 400, 'invalid_grant', 'the session has ended')
})

t.test('FAPI 2.0 §5.3.2.2 no request comes but by /par, and none without its redirect_uri', async t => {
  const { server, push } = await world(t)
  const direct = await openBrowser(server).open(`https://as.example/authorize?${new URLSearchParams(logIn)}`)
  t.match(Object.fromEntries(direct.url.searchParams), {
    error: 'invalid_request',
    iss: 'https://as.example',
  })
  t.equal(direct.url.origin, 'https://app.example')
  const { redirect_uri: _, ...without } = { ...logIn, scope: 'read' }
  isOAuthError(t, await push(without), 400, 'invalid_request', 'without redirect_uri')
  t.equal((await push({ ...without, client_id: 'web' })).statusCode, 201, 'others may leave it out')
  const { code_challenge: __, code_challenge_method: ___, ...unproven } = logIn
  isOAuthError(t, await push(unproven), 400, 'invalid_request', 'without PKCE')
  isOAuthError(t, await server.post('/par', logIn), 401, 'invalid_client', 'without authentication')
})

t.test('FAPI 2.0 §5.4.1 proofs at /par and /userinfo are held to the profile too', async t => {
  const { server, push, proof, tokenFor } = await world(t)
  const htu = 'https://as.example/par'
  isOAuthError(
    t,
    await push(logIn, { dpop: await proof('RS256', { htu }) }),
    400,
    'invalid_dpop_proof',
    '/par',
  )
  t.equal((await push(logIn, { dpop: await proof('ES256', { htu }) })).statusCode, 201)
  t.equal(
    (await push({ ...logIn, client_id: 'web' }, { dpop: await proof('RS256', { htu }) })).statusCode,
    201,
  )

  const ada = await server.user()
  const { form } = await codeFor(server, { id: 'app' }, ada)
  const { access_token } = (await tokenFor(form, { dpop: await proof('PS256') })).json()
  const ath = createHash('sha256').update(access_token).digest('base64url')
  const ask = async (claims: object) => {
    const dpop = await proof('PS256', { htm: 'GET', htu: 'https://as.example/userinfo', ath, ...claims })
    return server.request({ url: '/userinfo', headers: { authorization: `DPoP ${access_token}`, dpop } })
  }
  t.equal((await ask({})).statusCode, 200)
  const ahead = await ask({ iat: server.ctx.clock.now() + 61 })
  t.match({ status: ahead.statusCode, ...ahead.json() }, { status: 401, error: 'invalid_dpop_proof' })
})

t.test(
  'FAPI 2.0 §5.2.3 pages are for TLS alone, and no script of another origin reads /authorize',
  async t => {
    const server = await startServer(t, { MINTMARK_CORS_ORIGINS: 'https://app.example' })
    for (const method of ['GET', 'OPTIONS'] as const) {
      const { headers } = await server.request({
        method,
        url: '/authorize?client_id=app',
        headers: { origin: 'https://app.example', 'access-control-request-method': 'GET' },
      })
      t.notOk(
        Object.keys(headers).some(name => name.startsWith('access-control')),
        method,
      )
    }
    const { headers } = await server.request({ url: '/authorize?client_id=app' })
    t.match(headers['strict-transport-security'], /^max-age=\d+/)
  },
)

function headerOf(jwt: string): unknown {
  return JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString())
}
