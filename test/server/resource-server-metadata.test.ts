import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { fastify } from 'fastify'
import t from 'tap'
import { resourceServer as connect } from '../../src/resource-server/connect.ts'
import { resourceServer as fastifyPlugin } from '../../src/resource-server/fastify.ts'
import { createVerifier, type BearerError, type VerifierOptions } from '../../src/resource-server/verifier.ts'
import { refusal } from '../helpers/refusal.ts'
import { startServer } from '../helpers/server.ts'

const issuer = 'https://as.example'
const audience = 'https://api.example/mcp'
const url = 'https://api.example/.well-known/oauth-protected-resource/mcp'

const metadata = { scopes: ['read'], name: 'Orders', documentation: 'https://api.example/docs' }

const document = {
  resource: audience,
  authorization_servers: [issuer],
  scopes_supported: ['read'],
  bearer_methods_supported: ['header'],
  dpop_signing_alg_values_supported: ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA'],
  resource_name: 'Orders',
  resource_documentation: 'https://api.example/docs',
}

/** APIs on Fastify and Express, as functions that fetch a path of them. */
async function apis(teardown: (end: () => unknown) => void, options: VerifierOptions) {
  const app = fastify()
  teardown(() => app.close())
  await app.register(fastifyPlugin, options)
  app.get('/mcp', { onRequest: app.requireScope('read', 'write') }, async () => 'let in')

  const other = express()
  const requireScope = connect(options)
  other.use(requireScope.metadata)
  other.get('/mcp', requireScope('read', 'write'), (_, response) => void response.send('let in'))
  const listening = other.listen(0, '127.0.0.1')
  teardown(() => listening.close())
  await once(listening, 'listening')
  const origins = [
    await app.listen({ port: 0 }),
    `http://127.0.0.1:${(listening.address() as AddressInfo).port}`,
  ]
  return origins.map(origin => (path: string, init?: RequestInit) => fetch(origin + path, init))
}

t.test('RFC 9728 §3: the metadata are served, to pages of any origin too', async t => {
  const { pathname: path } = new URL(url)
  for (const get of await apis(t.teardown, { issuer, audience, metadata })) {
    const answer = await get(path)
    t.equal(answer.status, 200)
    t.match(answer.headers.get('content-type'), /^application\/json/)
    t.equal(answer.headers.get('access-control-allow-origin'), '*')
    t.match(answer.headers.get('cache-control'), /max-age=300/)
    t.strictSame(await answer.json(), document)
    t.equal((await get(`${path}?a=b`)).status, 200)
    t.equal((await get(path, { method: 'HEAD' })).status, 200)
    const preflight = await get(path, { method: 'OPTIONS' })
    t.equal(preflight.status, 204)
    t.equal(preflight.headers.get('access-control-allow-headers'), '*')
    t.equal((await get('/.well-known/oauth-protected-resource')).status, 404, 'that is of another API')
    t.equal((await get(path, { method: 'POST' })).status, 404)
  }
  for (const get of await apis(t.teardown, { issuer, audience })) {
    t.equal((await get(path)).status, 404, 'unless they are wanted')
  }
})

t.test('RFC 9728 §3.1: where the document is', async t => {
  for (const [api, path] of [
    ['https://api.example', '/.well-known/oauth-protected-resource'],
    ['https://api.example/', '/.well-known/oauth-protected-resource'],
    ['https://api.example:8443/a/b', '/.well-known/oauth-protected-resource/a/b'],
    ['http://127.0.0.1:8080/mcp', '/.well-known/oauth-protected-resource/mcp'],
  ] as const) {
    const shown = createVerifier({ issuer, audience: api, metadata: true }).metadata
    t.match(shown, { path, url: new URL(api).origin + path, document: { resource: api } })
  }
  t.equal(createVerifier({ issuer, audience }).metadata, undefined)
})

t.test('an API whose metadata nobody could believe is refused when it is said', async t => {
  for (const [options, why] of [
    [{ audience: 'urn:example:api', metadata: true }, /audience that is the https URL/],
    [{ audience: 'http://api.example', metadata: true }, /audience that is the https URL/],
    [{ audience: 'https://api.example/?a=b', metadata: true }, /without query and fragment/],
    [{ audience, metadata: { scopes: ['a b'] } }, /scopes of metadata/],
    [{ audience, metadata: { name: '' } }, /name of metadata/],
    [{ audience, metadata: { documentation: 'nowhere' } }, /documentation of metadata/],
  ] as const) {
    t.throws(() => createVerifier({ issuer, ...options }), { name: 'TypeError', message: why })
  }
})

t.test('RFC 9728 §5.1: each challenge says where the metadata are, and which scope is needed', async t => {
  const server = await startServer(t)
  await server.resource(audience, { has_status: 0 })
  const now = () => server.ctx.clock.now()
  const options: VerifierOptions = {
    issuer,
    audience,
    metadata,
    now: () => now() * 1000,
    fetch: async input => {
      const { body, statusCode } = await server.app.inject(new URL(String(input)).pathname)
      return new Response(body, { status: statusCode })
    },
  }
  const token = await server.ctx.keys.sign('at+jwt', 'ES256', {
    ...{ iss: issuer, aud: audience, sub: 'u', client_id: 'app', scope: 'read' },
    ...{ iat: now(), exp: now() + 300, jti: crypto.randomUUID() },
  })
  const named = `resource_metadata="${url}"`
  const challenge = (error: BearerError) => error.headers()['www-authenticate'] ?? ''
  const verifier = createVerifier(options)
  for (const authorization of [undefined, 'Bearer wrong', 'DPoP wrong']) {
    const error = await refusal(verifier.authenticate({ headers: { authorization } }, ['read', 'write']))
    t.match(challenge(error), `scope="read write", ${named}`, authorization ?? 'no token')
  }
  t.equal(challenge(await refusal(verifier.verify('wrong'))).includes(named), true)
  const asked = { headers: { authorization: `Bearer ${token}` } }
  const claims = await verifier.authenticate(asked, ['read'])
  const weak = await refusal((async () => verifier.authorize(claims, asked, { acr: 'mfa' }))())
  t.match(challenge(weak), named)
  const without = await refusal(createVerifier({ ...options, metadata: false }).authenticate({ headers: {} }))
  t.equal(challenge(without).includes('resource_metadata'), false)

  for (const get of await apis(t.teardown, options)) {
    const none = await get('/mcp')
    t.equal(none.status, 401)
    const header = none.headers.get('www-authenticate') ?? ''
    t.match(header, `Bearer realm="api", scope="read write", ${named}, DPoP realm="api"`)
    t.notMatch(header, 'error=', 'a client without a token is told of no error')
    const narrow = await get('/mcp', { headers: { authorization: `Bearer ${token}` } })
    t.equal(narrow.status, 403)
    t.match(narrow.headers.get('www-authenticate'), `scope="read write", ${named}`)
  }
  const away = createVerifier({ ...options, fetch: () => Promise.reject(new TypeError('fetch failed')) })
  const fault = await refusal(away.authenticate(asked))
  t.equal(fault.status, 503)
  t.notOk('www-authenticate' in fault.headers(), 'a fault of ours sends nobody to log in')
})
