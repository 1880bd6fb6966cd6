import { randomUUID } from 'node:crypto'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify, type JWTVerifyGetKey } from 'jose'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import t, { type Test } from 'tap'
import { jwtBearer } from '../../src/protocol/grant-types.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { freePort } from '../helpers/free-port.ts'
import { outsideIssuer } from '../helpers/outside-issuer.ts'
import { startServer } from '../helpers/server.ts'

const api = 'https://api.example'
const old = 'https://old.example'

/** A server as its users meet it: on a real port, with that port in its issuer, and today's clock. */
async function onPort(t: Test, path: string) {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}${path}`
  const server = await startServer(t, { MINTMARK_ISSUER: issuer }, Math.floor(Date.now() / 1000))
  await server.app.listen({ host: '127.0.0.1', port })
  await server.resource(api)
  await server.resource(old, { alg: 'RS256' })
  return {
    server,
    issuer: new URL(issuer),
    web: await server.client('web', { resources: `${api} ${old}` }),
    app: await server.client('app', { isPublic: true, resources: api }),
    apiServer: await server.client('api', { introspects: api }),
    user: await server.user('ada', 'boss'),
  }
}

/** Libraries want https; here there is none. */
const insecure = { [oauth.allowInsecureRequests]: true }

for (const path of ['', '/auth/v1']) {
  t.test(`oauth4webapi does everything with the issuer's URL alone: ${path || 'no path'}`, async t => {
    const { server, issuer, web, app, apiServer, user } = await onPort(t, path)
    for (const algorithm of ['oauth2', 'oidc'] as const) {
      const found = await oauth.processDiscoveryResponse(
        issuer,
        await oauth.discoveryRequest(issuer, { algorithm, ...insecure }),
      )
      t.equal(found.issuer, issuer.href.replace(/\/$/, ''), `M-1 M-8 found by ${algorithm}`)
    }
    const as = await oauth.processDiscoveryResponse(
      issuer,
      await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
    )

    const calls: [client: oauth.Client, auth: oauth.ClientAuth][] = [
      [{ client_id: web.id }, oauth.ClientSecretBasic(web.secret ?? '')],
      [{ client_id: web.id }, oauth.ClientSecretPost(web.secret ?? '')],
      [{ client_id: app.id }, oauth.None()],
    ]
    for (const [client, auth] of calls) {
      const tokens = await oauth.processGenericTokenEndpointResponse(
        as,
        client,
        await oauth.genericTokenEndpointRequest(
          as,
          client,
          auth,
          'password',
          { username: user.username, password: user.password, scope: 'read' },
          insecure,
        ),
      )
      t.strictSame([tokens.token_type, tokens.expires_in, tokens.scope], ['bearer', 300, 'read'])

      const refreshed = await oauth.processRefreshTokenResponse(
        as,
        client,
        await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token ?? '', insecure),
      )
      t.not(refreshed.refresh_token, tokens.refresh_token)

      // The resource server's side, with RFC 9068 checks of its own and the JWKS from the metadata.
      const call = () =>
        oauth.validateJwtAccessToken(
          as,
          new Request('https://api.example/x', {
            headers: { authorization: `Bearer ${refreshed.access_token}` },
          }),
          api,
          insecure,
        )
      t.match(await call(), { sub: user.sub, client_id: client.client_id, scope: 'read', roles: ['boss'] })

      const resourceServer = { client_id: apiServer.id }
      const introspect = async () =>
        oauth.processIntrospectionResponse(
          as,
          resourceServer,
          await oauth.introspectionRequest(
            as,
            resourceServer,
            oauth.ClientSecretBasic(apiServer.secret ?? ''),
            refreshed.access_token,
            insecure,
          ),
        )
      t.match(await introspect(), {
        active: true,
        username: 'ada',
        sub: user.sub,
        aud: api,
        token_type: 'Bearer',
      })

      const revoke = async (token: string) =>
        oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, token, insecure))
      await revoke(refreshed.refresh_token ?? '')
      await revoke(refreshed.access_token)
      await revoke('garbage')
      t.strictSame(await introspect(), { active: false })
      await t.rejects(
        oauth.processRefreshTokenResponse(
          as,
          client,
          await oauth.refreshTokenGrantRequest(as, client, auth, refreshed.refresh_token ?? '', insecure),
        ),
        { name: 'ResponseBodyError', error: 'invalid_grant', status: 400, error_description: String },
      )
    }

    const client = { client_id: web.id }
    const machine = await oauth.processClientCredentialsResponse(
      as,
      client,
      await oauth.clientCredentialsGrantRequest(
        as,
        client,
        oauth.ClientSecretBasic(web.secret ?? ''),
        { resource: old },
        insecure,
      ),
    )
    t.match(decodeProtectedHeader(machine.access_token), { alg: 'RS256', typ: 'at+jwt' })

    const stranger = oauth.clientCredentialsGrantRequest(
      as,
      client,
      oauth.ClientSecretBasic('wrong'),
      {},
      insecure,
    )
    await t.rejects(
      stranger.then(response => oauth.processClientCredentialsResponse(as, client, response)),
      { name: 'WWWAuthenticateChallengeError', status: 401, cause: [{ scheme: 'basic' }] },
      'it reads the challenge',
    )
    t.equal(
      server.log.filter(line => Number(line['level']) >= 50).length,
      0,
      'and the server has no complaint',
    )
  })
}

t.test('openid-client does the same, with its own discovery', async t => {
  const { issuer, web, app, apiServer, user } = await onPort(t, '')
  const discover = (id: string, auth: openid.ClientAuth, algorithm: 'oauth2' | 'oidc') =>
    openid.discovery(issuer, id, undefined, auth, { algorithm, execute: [openid.allowInsecureRequests] })
  const resourceServer = await discover(apiServer.id, openid.ClientSecretBasic(apiServer.secret), 'oauth2')

  for (const [id, auth, algorithm] of [
    [web.id, openid.ClientSecretPost(web.secret), 'oauth2'],
    [web.id, openid.ClientSecretBasic(web.secret), 'oidc'],
    [app.id, openid.None(), 'oidc'],
  ] as const) {
    const config = await discover(id, auth, algorithm)
    t.equal(config.serverMetadata().token_endpoint, new URL('/token', issuer).href)
    const { username, password } = user
    const tokens = await openid.genericGrantRequest(config, 'password', { username, password })
    const refreshed = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '')
    t.match(await openid.tokenIntrospection(resourceServer, refreshed.access_token), {
      active: true,
      scope: 'read write',
    })
    const again = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '')
    t.equal(again.refresh_token, refreshed.refresh_token, 'a repeated refresh has the same successor')
    await openid.tokenRevocation(config, again.access_token)
    t.strictSame(await openid.tokenIntrospection(resourceServer, refreshed.access_token), { active: false })
    const errorOf = (call: Promise<unknown>) => call.catch((error: { error?: unknown }) => error.error)
    t.equal(await errorOf(openid.refreshTokenGrant(config, refreshed.refresh_token ?? '')), 'invalid_grant')
    const wrong = { username, password: 'wrong' }
    t.equal(await errorOf(openid.genericGrantRequest(config, 'password', wrong)), 'invalid_grant')
  }
  const config = await discover(web.id, openid.ClientSecretBasic(web.secret), 'oauth2')
  const { access_token } = await openid.clientCredentialsGrant(config, { resource: api, scope: 'read' })
  t.match(await openid.tokenIntrospection(resourceServer, access_token), {
    active: true,
    sub: 'web',
    scope: 'read',
  })
})

t.test(
  'G-7 openid-client and oauth4webapi use a JWT of an outside issuer, as grant and as client',
  async t => {
    const { server, issuer } = await onPort(t, '')
    const ci = await outsideIssuer(t)
    const federated = { isPublic: true, auth_method: 'federated', resources: api } as const
    await server.client('deploy', { ...federated, grant_types: `client_credentials ${jwtBearer}` })
    const ask = await adminClient(server, 'admin:clients')
    const subjects = [{ client: 'deploy', subject: 'job' }]
    const trusted = await ask('POST', '/issuers', { issuer: ci.url, jwks: ci.pages.get('/jwks'), subjects })
    t.equal(trusted.statusCode, 201)
    await server.follow()
    const now = () => Math.floor(Date.now() / 1000)
    const assertion = () =>
      ci.sign({ iss: ci.url, sub: 'job', aud: issuer.origin, iat: now(), exp: now() + 60, jti: randomUUID() })
    // The library takes no promise here.
    const signed = await Promise.all([1, 2].map(assertion))
    const asJob: openid.ClientAuth = (_as, _client, body) => {
      body.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
      body.set('client_assertion', signed.pop() ?? '')
    }
    const options = { execute: [openid.allowInsecureRequests] }
    const unknown = await openid.discovery(issuer, 'deploy', undefined, openid.None(), options)
    const granted = await openid.genericGrantRequest(unknown, jwtBearer, { assertion: await assertion() })
    t.match(granted, { token_type: 'bearer', scope: 'read write' })
    const known = await openid.discovery(issuer, 'deploy', undefined, asJob, options)
    t.match(await openid.clientCredentialsGrant(known, { scope: 'read' }), {
      token_type: 'bearer',
      scope: 'read',
    })
    t.match(await openid.tokenIntrospection(known, granted.access_token), { active: true, sub: 'deploy' })

    const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))
    t.ok(as.grant_types_supported?.includes(jwtBearer))
    const client = { client_id: 'deploy' }
    const form = { assertion: await assertion() }
    const answer = () =>
      oauth.genericTokenEndpointRequest(as, client, oauth.None(), jwtBearer, form, insecure)
    const tokens = await oauth.processGenericTokenEndpointResponse(as, client, await answer())
    t.match(tokens, { token_type: 'bearer', expires_in: 300 })
    const again = answer().then(response => oauth.processGenericTokenEndpointResponse(as, client, response))
    t.match(await again.catch((error: unknown) => error), { error: 'invalid_grant', status: 400 })
  },
)

t.test('jose verifies with nothing but the JWKS address, ES256 and RS256 (J-1 J-2 J-3 J-8 K-2)', async t => {
  const { server, issuer, web, user } = await onPort(t, '')
  const keySet = createRemoteJWKSet(new URL('/.well-known/jwks.json', issuer))
  for (const [resource, alg] of [
    [api, 'ES256'],
    [old, 'RS256'],
  ] as const) {
    const { access_token } = await server.logIn(web, user, { resource })
    const { payload, protectedHeader } = await jwtVerify(access_token, keySet, {
      issuer: issuer.origin,
      audience: resource,
      typ: 'at+jwt',
      algorithms: [alg],
      requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'scope', 'sid', 'auth_time'],
    })
    t.equal(payload.sub, user.sub)
    t.match(protectedHeader, { alg, kid: String, typ: 'at+jwt' })
    const otherAudience = jwtVerify(access_token, keySet, { audience: 'https://other.example' })
    await t.rejects(otherAudience, { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED' })
    const changed = access_token.replace(/\.(.)/, (_, first) => `.${first === 'e' ? 'f' : 'e'}`)
    await t.rejects(jwtVerify(changed, keySet), 'and no token that was changed')
  }
})

t.test('invariant 6: jose verifies through rotations with the JWKS that it fetched before them', async t => {
  const { server, issuer, web, user } = await onPort(t, '')
  let fetches = 0
  server.app.server.on('request', ({ url }) => {
    if (url === '/.well-known/jwks.json') fetches++
  })
  const verify = async (keySet: JWTVerifyGetKey) => {
    const { access_token } = await server.logIn(web, user)
    return (await jwtVerify(access_token, keySet, { typ: 'at+jwt' })).protectedHeader.kid
  }
  const kids = new Set()
  for (let rotation = 0; rotation < 3; rotation++) {
    const keySet = createRemoteJWKSet(new URL('/.well-known/jwks.json', issuer), {
      cooldownDuration: 3_600_000,
    })
    kids.add(await verify(keySet))
    const before = fetches
    server.tick(30 * 86_400)
    await server.follow()
    kids.add(await verify(keySet))
    t.equal(fetches, before, 'the next key had been published before it signed')
    server.tick(3600)
    await server.follow()
  }
  t.equal(kids.size, 4, 'and each rotation brought a new key')
})
