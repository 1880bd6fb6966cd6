import { createHash } from 'node:crypto'
import t from 'tap'
import { adminScopes } from '../../src/admin/administrators.ts'
import { ssfScopes } from '../../src/protocol/ssf-scopes.ts'
import { isNamed } from '../../src/protocol/etag.ts'
import { isOAuthError, startServer } from '../helpers/server.ts'

const oauth = '/.well-known/oauth-authorization-server'
const openid = '/.well-known/openid-configuration'
const jwks = '/.well-known/jwks.json'

const openidScopes = ['openid', 'profile', 'email', 'address', 'phone', 'roles', 'offline_access']
const claimsOfTokens = [
  'sub',
  'iss',
  'aud',
  'exp',
  'iat',
  'auth_time',
  'nonce',
  'acr',
  'amr',
  'sid',
  'at_hash',
]
/** OpenID Connect Core §5.1, but for `sub`; and `roles`. */
const claimsOfUsers = [
  ...['name', 'given_name', 'family_name', 'middle_name', 'nickname', 'preferred_username', 'profile'],
  ...['picture', 'website', 'email', 'email_verified', 'gender', 'birthdate', 'zoneinfo', 'locale'],
  ...['phone_number', 'phone_number_verified', 'address', 'updated_at', 'roles'],
]

t.test(
  'the metadata say what the server is, and nothing that it is not (M-1 to M-8, OD-1 OD-2 OD-3, BL-9, A-9, A-10, D-4)',
  async t => {
    const server = await startServer(t)
    const response = await server.request({ url: oauth })
    t.equal(response.statusCode, 200)
    t.match(response.headers, {
      'content-type': /^application\/json/,
      'cache-control': 'public, max-age=300',
    })
    t.notOk('pragma' in response.headers)
    const methods = ['client_secret_basic', 'client_secret_post', 'private_key_jwt']
    const algs = ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA']
    t.strictSame(response.json(), {
      issuer: 'https://as.example',
      token_endpoint: 'https://as.example/token',
      token_endpoint_auth_methods_supported: [...methods, 'none'],
      token_endpoint_auth_signing_alg_values_supported: algs,
      grant_types_supported: [
        'authorization_code',
        'password',
        'refresh_token',
        'client_credentials',
        'urn:ietf:params:oauth:grant-type:jwt-bearer',
        'urn:ietf:params:oauth:grant-type:token-exchange',
        'urn:ietf:params:oauth:grant-type:device_code',
      ],
      scopes_supported: [...openidScopes, ...adminScopes, ...ssfScopes],
      jwks_uri: 'https://as.example/.well-known/jwks.json',
      authorization_endpoint: 'https://as.example/authorize',
      response_types_supported: ['code'],
      response_modes_supported: ['query', 'form_post'],
      code_challenge_methods_supported: ['S256'],
      pushed_authorization_request_endpoint: 'https://as.example/par',
      device_authorization_endpoint: 'https://as.example/device_authorization',
      authorization_challenge_endpoint: 'https://as.example/authorize-challenge',
      authorization_response_iss_parameter_supported: true,
      request_parameter_supported: false,
      request_uri_parameter_supported: false,
      userinfo_endpoint: 'https://as.example/userinfo',
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256', 'RS256'],
      userinfo_signing_alg_values_supported: ['ES256', 'RS256'],
      acr_values_supported: ['pwd', 'mfa', 'phr'],
      claim_types_supported: ['normal'],
      claims_supported: [...claimsOfTokens, ...claimsOfUsers],
      claims_parameter_supported: true,
      ui_locales_supported: ['en', 'de'],
      prompt_values_supported: ['none', 'login', 'consent', 'select_account'],
      end_session_endpoint: 'https://as.example/log-out',
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
      introspection_endpoint: 'https://as.example/introspect',
      introspection_endpoint_auth_methods_supported: methods,
      introspection_endpoint_auth_signing_alg_values_supported: algs,
      revocation_endpoint: 'https://as.example/revoke',
      revocation_endpoint_auth_methods_supported: [...methods, 'none'],
      revocation_endpoint_auth_signing_alg_values_supported: algs,
      dpop_signing_alg_values_supported: algs,
      introspection_signing_alg_values_supported: ['RS256'],
      global_token_revocation_endpoint: 'https://as.example/global-token-revocation',
      status_list_aggregation_endpoint: 'https://as.example/status-lists',
      refresh_token_expiration_types_supported: ['authorization', 'token_timeout'],
    })

    await server.resource('https://api.example', { scope: 'write read' })
    await server.resource('https://b.example', { scope: 'read admin' })
    await server.resource('https://c.example', { scope: '' })
    const { scopes_supported } = (await server.request({ url: oauth })).json()
    const all = [...openidScopes, ...adminScopes, ...ssfScopes, 'admin', 'read', 'write']
    t.strictSame(scopes_supported, all, 'M-7 the scopes of all resources, once')
    t.equal((await server.request({ url: openid })).body, (await server.request({ url: oauth })).body, 'M-8')
  },
)

t.test(
  'the metadata name the algorithm of every key that is published, for who would take RS256 alone',
  async t => {
    const server = await startServer(t)
    const algs = async () =>
      (await server.request({ url: openid })).json().id_token_signing_alg_values_supported
    t.strictSame(await algs(), ['ES256', 'RS256'])
    await server.resource('https://api.example', { alg: 'EdDSA' })
    await server.follow()
    t.strictSame(await algs(), ['ES256', 'EdDSA', 'RS256'])
    const published = (await server.request({ url: jwks })).json().keys.map(({ alg }: { alg: string }) => alg)
    t.strictSame(await algs(), [...new Set(published)].sort())
  },
)

/** Of those that take GET, the answer to one without anything. */
const statusOfGet: Readonly<Record<string, number>> = {
  status_list_aggregation_endpoint: 200,
  authorization_endpoint: 400,
  end_session_endpoint: 200,
  userinfo_endpoint: 401,
}

t.test('M-6 no member of the metadata is empty, and each endpoint named in them is there', async t => {
  const server = await startServer(t)
  const metadata: Record<string, unknown> = (await server.request({ url: oauth })).json()
  for (const [name, value] of Object.entries(metadata)) {
    if (Array.isArray(value)) t.ok(value.length > 0, name)
    if (!name.endsWith('_endpoint') && !name.endsWith('_uri')) continue
    const { origin, pathname } = new URL(String(value))
    t.equal(origin, 'https://as.example', name)
    const { statusCode } = await server.request({ url: pathname })
    t.equal(statusCode, statusOfGet[name] ?? (name.endsWith('_uri') ? 200 : 405), name)
  }
})

t.test('M-2 the issuer is that of the tokens, character for character', async t => {
  const server = await startServer(t)
  const client = await server.client('web')
  const { access_token } = await server.logIn(client, await server.user())
  const { iss } = JSON.parse(Buffer.from(access_token.split('.')[1] ?? '', 'base64url').toString())
  t.equal((await server.request({ url: oauth })).json().issuer, iss)
})

t.test(
  'an issuer with a path: M-1 its metadata are where RFC 8414 §3.1 puts them, and its endpoints below it',
  async t => {
    const server = await startServer(t, { MINTMARK_ISSUER: 'https://example.com/auth/v1' })
    for (const url of [
      `${oauth}/auth/v1`,
      `${openid}/auth/v1`,
      `/auth/v1${openid}`,
      `/auth/v1${oauth}`,
      `http://example.com/auth/v1${oauth}`,
      // A proxy may have cut the path off.
      openid,
    ]) {
      const { issuer, token_endpoint } = (await server.request({ url })).json()
      t.equal(issuer, 'https://example.com/auth/v1', url)
      t.equal(token_endpoint, 'https://example.com/auth/v1/token', url)
    }
    for (const prefix of ['/auth/v1', '']) {
      isOAuthError(
        t,
        await server.post(`${prefix}/token`, { a: 'b' }),
        401,
        'invalid_client',
        `${prefix}/token`,
      )
      isOAuthError(
        t,
        await server.request({ url: `${prefix}/token` }),
        405,
        'invalid_request',
        `${prefix}/token`,
      )
      t.equal((await server.request({ url: `${prefix}${jwks}` })).statusCode, 200, `${prefix}${jwks}`)
    }
    for (const url of [
      // There is an issuer without a path, if there is one, and it is another.
      oauth,
      `${oauth}?a=b`,
      `http://example.com${oauth}`,
      `${oauth}/other`,
      `${oauth}/auth`,
      `${oauth}/auth/v1/x`,
      '/auth/token',
      '/auth/v1token',
      '/auth/v1',
    ]) {
      isOAuthError(t, await server.request({ url }), 404, 'invalid_request', `M-12 ${url}`)
    }
  },
)

t.test('M-12 an issuer without a path has no metadata for others', async t => {
  const server = await startServer(t)
  for (const url of [`${oauth}/other`, `${openid}/other`, `/other${openid}`, `${oauth}/`]) {
    isOAuthError(t, await server.request({ url }), 404, 'invalid_request', url)
  }
})

t.test('a tag takes no longer the stranger it looks', t => {
  const filler = ' '.repeat(2 ** 21)
  // A search that goes back for the end of the tag takes an hour here.
  for (const named of [`a${filler}b`, `W/${filler}"x"${filler}b`, `${filler},`.repeat(2), `"x"${filler}"`]) {
    t.equal(isNamed('"x"', named), false)
  }
  t.equal(isNamed('"x"', `${filler}W/"x"${filler}`), true)
  t.end()
})

t.test('K-1 K-6 the JWKS can be cached, and is answered with 304 to whoever has it', async t => {
  const server = await startServer(t, { MINTMARK_JWKS_MAX_AGE: '120' })
  const response = await server.request({ url: jwks })
  const { etag = '' } = response.headers
  t.equal(response.statusCode, 200)
  t.match(response.headers, { 'content-type': /^application\/json/, 'cache-control': 'public, max-age=120' })
  t.notOk('pragma' in response.headers)
  t.match(etag, /^"[^"]+"$/, 'a strong ETag')
  const { keys } = response.json()
  t.ok(keys.length > 0, 'it is never empty')
  for (const key of keys) {
    t.match(key, { kid: String, alg: String, use: 'sig', kty: /^(EC|RSA|OKP)$/ }, 'K-2 K-5')
    for (const name of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'key_ops'])
      t.notOk(name in key, `K-1 no ${name}`)
  }
  t.equal(new Set(keys.map((key: { kid: string }) => key.kid)).size, keys.length, 'K-2 each kid once')

  for (const named of [etag, `W/${etag}`, `"x", ${etag}`, `"x" ,W/${etag} , "y"`, '*']) {
    const unchanged = await server.request({ url: jwks, headers: { 'if-none-match': named } })
    t.equal(unchanged.statusCode, 304, named)
    t.equal(unchanged.body, '')
    t.match(
      unchanged.headers,
      { etag, 'cache-control': 'public, max-age=120' },
      'and may be kept as long again',
    )
  }
  for (const named of [
    '"x"',
    etag.slice(1, -1),
    createHash('sha256').update(response.body).digest('hex'),
    '',
    ',',
  ]) {
    t.equal((await server.request({ url: jwks, headers: { 'if-none-match': named } })).statusCode, 200, named)
  }
})

t.test('the documents cost no database access', async t => {
  const server = await startServer(t)
  await server.request({ url: oauth })
  await server.ctx.db.sql.schema.dropTable('resources').execute()
  await server.ctx.db.sql.schema.dropTable('signing_keys').execute()
  for (const url of [oauth, openid, jwks]) t.equal((await server.request({ url })).statusCode, 200, url)
})

t.test('health: live without, ready with the database', async t => {
  const server = await startServer(t)
  for (const state of ['live', 'ready']) {
    const response = await server.request({ url: `/health/${state}` })
    t.strictSame([response.statusCode, response.json()], [200, { status: state }])
    t.equal(response.headers['cache-control'], 'no-store')
  }
})

t.test(
  'a server that has not heard of the key ring for 10 seconds says so: not ready, and nobody may keep its JWKS',
  async t => {
    const server = await startServer(t)
    const state = async () => {
      const ready = await server.request({ url: '/health/ready' })
      const { headers } = await server.request({ url: jwks })
      return [ready.statusCode, headers['cache-control']]
    }
    server.tick(10)
    t.strictSame(await state(), [200, 'public, max-age=300'])
    server.tick(1)
    t.strictSame(await state(), [503, 'no-cache'])
    const unchanged = await server.request({ url: jwks, headers: { 'if-none-match': '*' } })
    t.equal(unchanged.headers['cache-control'], 'no-cache')
    isOAuthError(
      t,
      await server.request({ url: '/health/ready' }),
      503,
      'temporarily_unavailable',
      'not ready',
    )
    await server.follow()
    t.strictSame(await state(), [200, 'public, max-age=300'])
  },
)

t.test('SE-12 receivers of security events find how to make a stream', async t => {
  const server = await startServer(t, { MINTMARK_ISSUER: 'https://example.com/auth' })
  const at = async (url: string) => server.request({ url })
  const issuer = 'https://example.com/auth'
  const found = await at('/.well-known/ssf-configuration/auth')
  t.match(found.headers, { 'content-type': /^application\/json/, 'cache-control': /max-age/ })
  t.strictSame(found.json(), {
    spec_version: '1_0',
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    delivery_methods_supported: ['urn:ietf:rfc:8935', 'urn:ietf:rfc:8936'],
    configuration_endpoint: `${issuer}/ssf/streams`,
    status_endpoint: `${issuer}/ssf/status`,
    add_subject_endpoint: `${issuer}/ssf/subjects/add`,
    remove_subject_endpoint: `${issuer}/ssf/subjects/remove`,
    verification_endpoint: `${issuer}/ssf/verify`,
    authorization_schemes: [{ spec_urn: 'urn:ietf:rfc:6749' }],
    default_subjects: 'ALL',
  })
  t.equal((await at('/auth/.well-known/ssf-configuration')).body, found.body)
  t.equal((await at('/.well-known/ssf-configuration')).statusCode, 404, 'that would be another issuer')
})
