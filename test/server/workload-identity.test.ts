import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { listAuditEntries } from '../../db/installation/audit.ts'
import { jwtBearer } from '../../src/protocol/grant-types.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { outsideIssuer, type OutsideIssuer } from '../helpers/outside-issuer.ts'
import { assertionClaims, assertionForm, macJwt, signJwt, testKey } from '../helpers/proofs.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, isOAuthError, startServer } from '../helpers/server.ts'

const sub = 'repo:acme/shop:environment:production'
const trusted = { client: 'deploy', subject: sub, claims: { repository_id: '74' } }
const grants = `client_credentials refresh_token ${jwtBearer}`

/** A server that trusts an issuer to name the client `deploy`, which has no secret. */
async function world(t: Test, settings: object = {}, env: Record<string, string> = {}) {
  const server = await startServer(t, { MINTMARK_JWKS_URI_NETWORKS: '127.0.0.0/8', ...env })
  const issuer = await outsideIssuer(t)
  await server.resource('https://api.example')
  const federated = { isPublic: true, auth_method: 'federated', grant_types: grants } as const
  await server.client('deploy', { ...federated, resources: 'https://api.example' })
  await server.client('docs', federated)
  const ask = await adminClient(server)
  const created = await ask('POST', '/issuers', { issuer: issuer.url, subjects: [trusted], ...settings })
  t.equal(created.statusCode, 201, created.body)
  await server.follow()
  const claims = (changes: object = {}) => {
    const now = server.ctx.clock.now()
    const times = { iat: now, nbf: now, exp: now + 300, jti: randomUUID() }
    return { iss: issuer.url, sub, aud: 'https://as.example', repository_id: '74', ...times, ...changes }
  }
  const jwt = (changes?: object, header?: Record<string, unknown>, by: OutsideIssuer = issuer) =>
    by.sign(claims(changes), header)
  return {
    server,
    issuer,
    ask,
    jwt,
    grant: (assertion: string, more: Record<string, string> = {}) =>
      server.post('/token', { grant_type: jwtBearer, assertion, ...more }),
    authenticate: (assertion: string, more: Record<string, string> = {}) =>
      server.post('/token', { grant_type: 'client_credentials', ...assertionForm(assertion), ...more }),
  }
}

t.test('a job of an outside issuer gets tokens without a secret', async t => {
  const { server, issuer, ask, jwt, grant, authenticate } = await world(t)
  const lastAsked = () => issuer.asked.splice(0)
  t.strictSame(
    lastAsked(),
    ['/.well-known/openid-configuration', '/jwks'],
    'its keys are looked at when it is trusted',
  )

  await t.test('G-7 RFC 7523 §2.1: its JWT is a grant, for the client that it names', async t => {
    const answer = await grant(await jwt())
    t.match(answer.json(), { token_type: 'Bearer', expires_in: 300, scope: 'read write' })
    t.notOk('refresh_token' in answer.json())
    const [, payload = ''] = answer.json().access_token.split('.')
    t.match(JSON.parse(Buffer.from(payload, 'base64url').toString()), {
      iss: 'https://as.example',
      sub: 'deploy',
      client_id: 'deploy',
      aud: 'https://api.example',
    })
    t.strictSame(
      lastAsked(),
      ['/.well-known/openid-configuration', '/jwks'],
      'its keys were found and fetched',
    )
    t.equal((await grant(await jwt({}, { typ: undefined }))).statusCode, 200, 'of no typ, as of a cluster')
    t.equal((await grant(await jwt(), { client_id: 'deploy', scope: 'read' })).json().scope, 'read')
    isOAuthError(t, await grant(await jwt(), { scope: 'admin' }), 400, 'invalid_scope', 'G-7 scope ≤ granted')
    isOAuthError(
      t,
      await grant(await jwt(), { resource: 'https://b.example' }),
      400,
      'invalid_target',
      'resource',
    )
    t.strictSame(lastAsked(), [], 'and are kept')
  })

  await t.test('RFC 7523 §2.2: its JWT authenticates the client at each endpoint', async t => {
    t.equal((await authenticate(await jwt())).statusCode, 200)
    t.equal((await authenticate(await jwt(), { client_id: 'deploy' })).statusCode, 200)
    for (const path of ['/introspect', '/revoke'])
      t.equal((await server.post(path, { token: 'x', ...assertionForm(await jwt()) })).statusCode, 200, path)
    const par = await server.post('/par', { response_type: 'code', ...assertionForm(await jwt()) })
    t.match(par.json(), { error: 'unauthorized_client' }, 'known, and not one with log-ins')
  })

  await t.test('one that names several clients is of the one that the request names', async t => {
    const path = `/issuers/${encodeURIComponent(issuer.url)}`
    const both = [trusted, { ...trusted, client: 'docs' }]
    t.equal((await ask('PATCH', path, { subjects: both })).statusCode, 200)
    await server.follow()
    const refused = await grant(await jwt())
    isOAuthError(t, refused, 400, 'invalid_grant', 'by none')
    t.match(refused.json().error_description, /several clients/)
    t.equal((await grant(await jwt(), { client_id: 'deploy' })).statusCode, 200)
    await ask('PATCH', path, { subjects: [trusted] })
    await server.follow()
  })

  await t.test('G-7 each defect of an assertion is refused, and told where it is no secret', async t => {
    const now = server.ctx.clock.now()
    const stranger = await outsideIssuer(t)
    const cases: [title: string, jwt: Promise<string> | string, told: RegExp][] = [
      ['for another audience', jwt({ aud: 'https://as.example/' }), /the aud/],
      ['for us and another', jwt({ aud: ['https://as.example', 'https://b.example'] }), /the aud/],
      ['for nobody', jwt({ aud: undefined }), /the aud/],
      ['without exp', jwt({ exp: undefined }), /no exp/],
      ['with an exp of another kind', jwt({ exp: String(now + 60) }), /no exp/],
      ['expired', jwt({ iat: now - 400, nbf: now - 400, exp: now - 60 }), /expired/],
      ['years long', jwt({ exp: now + 5 * 365 * 86_400 }), /lives for longer/],
      ['years long, without iat', jwt({ iat: undefined, exp: now + 5 * 365 * 86_400 }), /lives for longer/],
      ['of a long life that is nearly over', jwt({ iat: now - 90_000, exp: now + 60 }), /lives for longer/],
      ['issued in the future', jwt({ iat: now + 61 }), /the iat is in the future/],
      ['not valid yet', jwt({ nbf: now + 61 }), /the nbf is in the future/],
      ['with a jti of another kind', jwt({ jti: 7 }), /the jti/],
      ['with an empty jti', jwt({ jti: '' }), /the jti/],
      ['of another kind', jwt({}, { typ: 'at+jwt' }), /the typ/],
      ['signed by another', jwt({}, { kid: 'first' }, stranger), /no key of its issuer/],
      ['signed by nobody', 'eyJhbGciOiJub25lIn0.e30.', /no JWT/],
      [
        'of an issuer that is not trusted',
        jwt({ iss: stranger.url }, {}, stranger),
        /no issuer that is trusted/,
      ],
      ['of the issuer with a slash', jwt({ iss: `${issuer.url}/` }), /no issuer that is trusted/],
      ['of another subject', jwt({ sub: 'repo:acme/shop-evil:environment:production' }), /names no client/],
      ['of a subject in other letters', jwt({ sub: sub.toUpperCase() }), /names no client/],
      ['of another repository of the same name', jwt({ repository_id: '75' }), /names no client/],
      ['without the claim', jwt({ repository_id: undefined }), /names no client/],
      ['with a list for the claim', jwt({ repository_id: ['74'] }), /names no client/],
      ['without sub', jwt({ sub: undefined }), /no JWT with a sub/],
    ]
    for (const [title, assertion, told] of cases) {
      const answer = await grant(await assertion)
      isOAuthError(t, answer, 400, 'invalid_grant', title)
      t.match(answer.json().error_description, told, title)
      isOAuthError(
        t,
        await authenticate(await assertion),
        401,
        'invalid_client',
        `${title}, as authentication`,
      )
    }
    isOAuthError(t, await grant(''), 400, 'invalid_request', 'none')
    isOAuthError(
      t,
      await grant(await jwt(), { client_id: 'docs' }),
      400,
      'invalid_grant',
      'for another client',
    )
    isOAuthError(t, await authenticate(await jwt(), { client_id: 'docs' }), 401, 'invalid_client', 'the same')
    const [head = '', payload = ''] = (await jwt()).split('.')
    const key = JSON.stringify(issuer.pages.get('/jwks'))
    const mac = macJwt(
      key,
      { alg: 'HS256', kid: 'first' },
      JSON.parse(Buffer.from(payload, 'base64url').toString()),
    )
    isOAuthError(t, await grant(mac), 400, 'invalid_grant', 'a MAC')
    isOAuthError(t, await grant(`${head}.${payload}.`), 400, 'invalid_grant', 'no signature')
    const own = (await grant(await jwt())).json().access_token
    isOAuthError(t, await grant(own), 400, 'invalid_grant', 'an access token of our own')
    for (const claims of [
      { sub: 'x'.repeat(5000) },
      { sub: '\0' },
      { iss: [] },
      { exp: 1e308 },
      { iat: -1e308 },
    ])
      isOAuthError(
        t,
        await grant(await jwt(claims)),
        400,
        'invalid_grant',
        JSON.stringify(claims).slice(0, 30),
      )
    isOAuthError(
      t,
      await server.post('/token', { grant_type: 'client_credentials', client_id: 'deploy' }),
      401,
      'invalid_client',
      'without an assertion',
    )
    const both = { client_secret: 'x', ...assertionForm(await jwt()) }
    isOAuthError(t, await grant(await jwt(), both), 401, 'invalid_client', 'RFC 7521 §4.2.1 two ways at once')
    t.strictSame(lastAsked(), [], 'none of which has us ask the issuer for more')
    const wrong = await jwt({ aud: 'x' })
    for (let i = 0; i < 60; i++) await grant(wrong)
    isOAuthError(t, await grant(wrong), 429, 'temporarily_unavailable', 'a loop is slowed down')
    t.equal((await grant(await jwt())).statusCode, 200, 'and what is right always passes')
  })

  await t.test('C-18 an assertion with a jti counts once, in whichever way it is used', async t => {
    server.tick(290) // of refusals there were many
    const one = await jwt()
    const answers = await Promise.all([1, 2, 3, 4].map(() => grant(one)))
    t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [200, 400, 400, 400])
    isOAuthError(t, await authenticate(one), 401, 'invalid_client', 'as authentication too')
    const env = { ...besideEnv(server), MINTMARK_JWKS_URI_NETWORKS: '127.0.0.0/8' }
    const beside = await startServer(t, env, server.ctx.clock.now())
    const there = (assertion: string) => beside.post('/token', { grant_type: jwtBearer, assertion })
    isOAuthError(t, await there(one), 400, 'invalid_grant', 'at another instance too')
    t.equal((await there(await jwt())).statusCode, 200, 'which takes another one')
    const two = await jwt()
    isOAuthError(t, await grant(two, { scope: 'admin' }), 400, 'invalid_scope', 'another refusal')
    t.equal((await grant(two)).statusCode, 200, 'does not use it up')
    const withoutJti = await jwt({ jti: undefined })
    t.equal((await grant(withoutJti)).statusCode, 200)
    t.equal((await grant(withoutJti)).statusCode, 200, 'without one nothing is remembered')
  })

  await t.test('G-7 credentials that come along are validated, and are of the same client', async t => {
    const web = await server.client('web', { grant_types: grants })
    await ask('PATCH', `/issuers/${encodeURIComponent(issuer.url)}`, {
      subjects: [trusted, { client: 'web', subject: 'repo:acme/web:pull_request' }],
    })
    await server.follow()
    const ofWeb = () => jwt({ sub: 'repo:acme/web:pull_request' })
    t.equal((await grant(await ofWeb(), web.form)).statusCode, 200)
    t.equal((await grant(await ofWeb())).statusCode, 200, 'it needs none')
    isOAuthError(t, await grant(await jwt(), web.form), 400, 'invalid_grant', 'those of another client')
    const basic = { authorization: `Basic ${Buffer.from(`web:${web.secret}`).toString('base64')}` }
    const asWeb = async (assertion: string) =>
      server.post('/token', { grant_type: jwtBearer, assertion }, basic)
    t.equal((await asWeb(await ofWeb())).statusCode, 200)
    isOAuthError(t, await asWeb(await jwt()), 400, 'invalid_grant', 'the same in the header')
    const wrong = { client_id: 'web', client_secret: 'wrong' }
    isOAuthError(t, await grant(await ofWeb(), wrong), 401, 'invalid_client', 'wrong ones')
  })

  await t.test('what was accepted and refused is in the audit trail and counted', async t => {
    await runJob(server, 'writing the audit trail')
    const entries = []
    for await (const entry of listAuditEntries(server.ctx.db, {})) entries.push(entry)
    const accepted = entries.find(({ event }) => event === 'assertion_accepted')
    t.match(accepted, { client_id: 'deploy', actor: 'client deploy' })
    t.strictSame(JSON.parse(accepted?.detail ?? ''), { issuer: issuer.url, subject: sub })
    const reasons = entries
      .filter(({ event }) => event === 'assertion_refused')
      .map(({ detail }) => JSON.parse(detail ?? ''))
    t.match(
      reasons.find(({ reason }) => reason === 'its claim repository_id is another than 74'),
      { issuer: issuer.url, subject: sub },
      'by the claim that did not fit',
    )
    t.ok(reasons.some(({ reason }) => reason === 'its claim repository_id is missing'))
    t.notOk(
      reasons.some(({ reason, subject }) => reason === 'no key of its issuer has signed it' && subject),
      'of an invention nothing is kept',
    )
    t.ok((server.ctx.counts.assertions.get(`${issuer.url} accepted`) ?? 0) > 5)
    t.ok((server.ctx.counts.assertions.get(`${issuer.url} refused`) ?? 0) > 20)
  })

  await t.test('an assertion may name a user, in whose name the client acts', async t => {
    server.tick(600) // of refusals there were many
    const ask = await adminClient(server)
    const ada = await server.user('ada')
    const root = await server.user('root', 'reader')
    const path = `/issuers/${encodeURIComponent(issuer.url)}`
    const ofAda = { client: 'deploy', subject: 'ada', user: 'ada' }
    const changed = await ask('PATCH', path, {
      subjects: [trusted, ofAda, { ...ofAda, subject: 'root', user: root.sub }],
    })
    t.match(changed.json(), { subjects: [{ user: null }, { user: ada.sub }, { user: root.sub }] })
    await server.follow()
    const asAda = () => jwt({ sub: 'ada' })
    const answer = await grant(await asAda(), { scope: 'read' })
    t.match(answer.json(), { token_type: 'Bearer', scope: 'read' }, answer.body)
    t.notOk('refresh_token' in answer.json())
    const [, payload = ''] = answer.json().access_token.split('.')
    t.match(JSON.parse(Buffer.from(payload, 'base64url').toString()), { sub: ada.sub, client_id: 'deploy' })
    isOAuthError(t, await authenticate(await asAda()), 401, 'invalid_client', 'it authenticates no client')
    const spent = await asAda()
    t.equal((await grant(spent)).statusCode, 200)
    isOAuthError(t, await grant(spent), 400, 'invalid_grant', 'C-18 used')
    isOAuthError(
      t,
      await grant(await asAda(), { scope: 'admin' }),
      400,
      'invalid_scope',
      'more than the client has',
    )
    t.equal((await grant(await jwt({ sub: 'root' }))).statusCode, 200)
    await ask('PATCH', '/clients/deploy', { acr: 'mfa' })
    await server.follow()
    isOAuthError(t, await grant(await asAda()), 400, 'invalid_grant', 'where a second factor is demanded')
    t.equal((await grant(await jwt())).statusCode, 200, 'of people')
    await ask('PATCH', '/clients/deploy', { acr: 'pwd' })
    await server.follow()
    await ask('PATCH', `/users/${root.sub}`, { roles: ['mintmark:support'] })
    isOAuthError(t, await grant(await jwt({ sub: 'root' })), 400, 'invalid_grant', 'one who administers')
    t.equal((await ask('PATCH', path, { subjects: [trusted, { ...ofAda, user: 'nobody' }] })).statusCode, 400)
    t.equal((await ask('PATCH', path, { subjects: [trusted, ofAda] })).statusCode, 200)
    const stranger = { ...ofAda, subject: 'x', user: root.sub }
    t.match((await ask('PATCH', path, { subjects: [stranger] })).json().detail, /administers/)
    await server.follow()
    await ask('POST', `/users/${ada.sub}/disable`, {})
    isOAuthError(t, await grant(await asAda()), 400, 'invalid_grant', 'disabled')
    await ask('DELETE', `/users/${ada.sub}`)
    isOAuthError(t, await grant(await asAda()), 400, 'invalid_grant', 'gone')
    t.equal((await grant(await jwt())).statusCode, 200, 'and the rest goes on')
  })

  await t.test('a client that is disabled, or gone, is named no more', async t => {
    server.tick(600) // of refusals there were many
    const ask = await adminClient(server)
    const ofDocs = () => jwt({ sub: 'repo:acme/docs:pull_request' })
    await ask('PATCH', `/issuers/${encodeURIComponent(issuer.url)}`, {
      subjects: [trusted, { client: 'docs', subject: 'repo:acme/docs:pull_request' }],
    })
    await server.follow()
    t.equal((await grant(await ofDocs())).statusCode, 200)
    await ask('POST', '/clients/docs/disable', {})
    await server.follow()
    isOAuthError(t, await grant(await ofDocs()), 400, 'invalid_grant', 'disabled')
    await ask('DELETE', '/clients/docs')
    const { subjects } = (await ask('GET', `/issuers/${encodeURIComponent(issuer.url)}`)).json()
    t.strictSame(
      subjects.map(({ client }: { client: string }) => client),
      ['deploy'],
    )
    await server.client('docs', { isPublic: true, auth_method: 'federated', grant_types: grants })
    await server.follow()
    isOAuthError(t, await grant(await ofDocs()), 400, 'invalid_grant', 'another of its id is somebody else')
  })
})

t.test('keys: found, kept, fetched anew, and 503 while they cannot be had', async t => {
  const { server, issuer, jwt, grant, authenticate } = await world(t)
  const down = async (title: string) => {
    const answer = await grant(await jwt())
    isOAuthError(t, answer, 503, 'temporarily_unavailable', title)
    isOAuthError(
      t,
      await authenticate(await jwt()),
      503,
      'temporarily_unavailable',
      `${title}, as authentication`,
    )
    t.ok(Number(answer.headers['retry-after']) >= 1, title)
    server.tick(31)
  }
  const config = '/.well-known/openid-configuration'
  const good = issuer.pages.get(config)
  for (const [title, page] of [
    ['no answer', 'hang up'],
    ['no JSON', '<html>'],
    ['a list', []],
    ['no metadata', {}],
    ['those of another issuer', { issuer: `${issuer.url}/`, jwks_uri: `${issuer.url}/jwks` }],
    ['no jwks_uri', { issuer: issuer.url }],
    ['a jwks_uri without TLS', { issuer: issuer.url, jwks_uri: 'http://ci.example/jwks' }],
    ['none', undefined],
  ]) {
    issuer.pages.set(String(config), page)
    await down(String(title))
  }
  const keys = issuer.pages.get('/jwks')
  issuer.pages.set(config, good)
  for (const page of ['hang up', '<html>', {}, { keys: [] }, { keys: [{ kty: 'oct', k: 'AAAA' }] }]) {
    issuer.pages.set('/jwks', page)
    server.tick(600)
    await down(`the keys are ${JSON.stringify(page)}`)
  }
  issuer.pages.set('/jwks', keys)
  issuer.pages.delete(config)
  issuer.pages.set('/.well-known/oauth-authorization-server', good)
  server.tick(600)
  t.equal((await grant(await jwt())).statusCode, 200, 'RFC 8414 where there is no discovery')
  issuer.asked.length = 0
  await issuer.rotate('second')
  server.tick(31)
  t.equal((await grant(await jwt())).statusCode, 200, 'a key that is new works at once')
  await issuer.rotate('third')
  isOAuthError(t, await grant(await jwt({}, { kid: 'made-up' })), 400, 'invalid_grant', 'of the same second')
  server.tick(1)
  isOAuthError(t, await grant(await jwt()), 503, 'temporarily_unavailable', 'nobody can tell for a moment')
  server.tick(30)
  t.equal((await grant(await jwt())).statusCode, 200, 'then it is fetched again')
  issuer.pages.set('/jwks', 'hang up')
  server.tick(3000)
  t.equal((await grant(await jwt())).statusCode, 200, 'while it is down, its keys count for an hour')
  server.tick(600)
  await down('and not longer')
  t.match(server.log.filter(({ msg }) => msg === 'a key set could not be fetched').at(-1), {
    issuer: issuer.url,
  })
})

t.test('a private network is not asked unless it is allowed; given keys need no network', async t => {
  const { server, issuer, ask, jwt, grant } = await world(t, {}, { MINTMARK_JWKS_URI_NETWORKS: '' })
  isOAuthError(t, await grant(await jwt()), 503, 'temporarily_unavailable', 'a private address')
  t.strictSame(issuer.asked, [])
  const jwks = issuer.pages.get('/jwks')
  const path = `/issuers/${encodeURIComponent(issuer.url)}`
  t.match((await ask('PATCH', path, { jwks, reusable: true, max_life: 7200 })).json(), {
    jwks,
    reusable: true,
  })
  await server.follow()
  const now = server.ctx.clock.now()
  const long = await jwt({ exp: now + 7200 })
  t.equal((await grant(long)).statusCode, 200)
  t.equal((await grant(long)).statusCode, 200, 'a reusable one again')
  isOAuthError(t, await grant(await jwt({ exp: now + 7261 })), 400, 'invalid_grant', 'not longer')
  isOAuthError(t, await grant(await jwt({}, { kid: 'other' })), 400, 'invalid_grant', 'another key')
  await ask('PATCH', path, { audience: 'mintmark' })
  await server.follow()
  isOAuthError(t, await grant(await jwt()), 400, 'invalid_grant', 'another audience is demanded')
  t.equal((await grant(await jwt({ aud: ['mintmark'] }))).statusCode, 200)
})

t.test('a client moves from its secret, or its keys, to what issuers say of it, and back', async t => {
  const { server, issuer, ask, jwt } = await world(t)
  await server.resource('https://b.example')
  const web = await server.client('web', { grant_types: grants, resources: 'https://b.example' })
  const api = async (method: 'PATCH' | 'POST', path: string, body: object, status = 200) => {
    const answer = await ask(method, path, body)
    t.equal(answer.statusCode, status, answer.body)
    await server.follow()
    return answer.json()
  }
  const bySecret = async (client_secret = web.secret ?? '') =>
    server.post('/token', { grant_type: 'client_credentials', client_id: 'web', client_secret })
  const ofWeb = () => jwt({ sub: 'repo:acme/web:pull_request' })
  const byIssuer = async () => server.post('/token', { grant_type: jwtBearer, assertion: await ofWeb() })
  const before = (await bySecret()).json().access_token

  t.match(await api('PATCH', '/clients/web', { federated: true }, 400), {
    detail: /no trusted issuer says which program is web/,
  })
  t.equal((await bySecret()).statusCode, 200, 'so it goes on with what it has')
  const subjects = [trusted, { client: 'web', subject: 'repo:acme/web:pull_request' }]
  await api('PATCH', `/issuers/${encodeURIComponent(issuer.url)}`, { subjects })
  for (const answer of [await bySecret(), await byIssuer()]) t.equal(answer.statusCode, 200, 'both at once')
  t.match(await api('PATCH', '/clients/web', { federated: true }), {
    token_endpoint_auth_method: 'federated',
    client_secret_id: null,
  })
  isOAuthError(t, await bySecret(), 401, 'invalid_client', 'its secret has ended')
  t.equal((await byIssuer()).statusCode, 200)
  t.match(await server.introspect(await server.client('root', { is_admin: 1 }), before), { active: true })

  t.match(await api('PATCH', '/clients/web', { federated: false }, 400), {
    detail: /without trusted issuers web has nothing/,
  })
  await api('POST', '/clients/web/secret', { keep_old_seconds: 60 }, 400)
  const { client_secret } = await api('POST', '/clients/web/secret', {})
  t.equal((await bySecret(client_secret)).statusCode, 200, 'back to a secret')
  t.equal((await byIssuer()).statusCode, 200, 'and the issuer goes on naming it')

  const key = await testKey()
  const byKey = async () => {
    const claims = assertionClaims('web', server.ctx.clock.now())
    const assertion = await signJwt(key, { alg: key.alg }, claims)
    return server.post('/token', { grant_type: 'client_credentials', ...assertionForm(assertion) })
  }
  const jwks = { keys: [key.publicJwk] }
  await api('POST', '/clients/web/keys', { jwks, keep_old_seconds: 3600 })
  for (const answer of [await byKey(), await bySecret(client_secret)])
    t.equal(answer.statusCode, 200, 'moving')
  await api('PATCH', '/clients/web', { federated: true })
  for (const answer of [await byKey(), await bySecret(client_secret)])
    isOAuthError(t, answer, 401, 'invalid_client', 'the keys and the secret before them have ended')
  const {
    secret_hash,
    old_secret_hash,
    old_secret_expires_at,
    jwks: kept,
  } = (await findClient(server.ctx.db, 'web')) ?? {}
  t.strictSame([secret_hash, old_secret_hash, old_secret_expires_at, kept], [null, null, null, null])
  await api('POST', '/clients/web/keys', { jwks, keep_old_seconds: 60 }, 400)
  await api('POST', '/clients/web/keys', { jwks })
  t.equal((await byKey()).statusCode, 200, 'back to keys')

  await server.client('app', { isPublic: true })
  await api('PATCH', '/clients/app', { federated: true }, 400)
})
