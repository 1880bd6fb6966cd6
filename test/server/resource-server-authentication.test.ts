import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fc from 'fast-check'
import { fastify } from 'fastify'
import t, { type Test } from 'tap'
import { levels } from '../../src/protocol/levels.ts'
import { isMet, type Authentication } from '../../src/resource-server/authentication.ts'
import { resourceServer as connect } from '../../src/resource-server/connect.ts'
import { resourceServer as fastifyPlugin } from '../../src/resource-server/fastify.ts'
import { createVerifier, type VerifierOptions } from '../../src/resource-server/verifier.ts'
import { proofHeader, signJwt, testKey } from '../helpers/proofs.ts'
import { refusal } from '../helpers/refusal.ts'
import { startServer } from '../helpers/server.ts'

const issuer = 'https://as.example'
const audience = 'https://api.example'

/** A server, and access tokens as it signs them. */
async function world(t: Test) {
  const server = await startServer(t)
  await server.resource(audience, { has_status: 0 })
  const now = () => server.ctx.clock.now()
  const options: VerifierOptions = {
    issuer,
    audience,
    now: () => now() * 1000,
    fetch: async input => {
      const { body, statusCode } = await server.app.inject(new URL(String(input)).pathname)
      return new Response(body, { status: statusCode })
    },
  }
  const token = (claims: object) =>
    server.ctx.keys.sign('at+jwt', 'ES256', {
      ...{ iss: issuer, aud: audience, sub: 'u', client_id: 'app', scope: 'read' },
      ...{ iat: now(), exp: now() + 300, jti: crypto.randomUUID() },
      ...claims,
    })
  return { server, options, token, now }
}

t.test('S-2 a log-in that is too weak or too old is 401, and says what to ask for', async t => {
  const { options, token, now } = await world(t)
  const verifier = createVerifier(options)
  const refused = async (claims: object, demand: Authentication, scheme = 'Bearer') => {
    const text = await token(claims)
    const request = { headers: { authorization: `${scheme} ${text}` } }
    const accessToken = await verifier.verify(text)
    return refusal((async () => verifier.authorize(accessToken, request, demand))())
  }
  const weak = await refused({ acr: 'pwd', auth_time: now() }, { acr: 'mfa' })
  t.match(weak, { code: 'insufficient_user_authentication', status: 401 })
  t.strictSame(weak.headers(), {
    'cache-control': 'no-store',
    'www-authenticate':
      'Bearer realm="api", error="insufficient_user_authentication", ' +
      'error_description="the user has to log in again, in the way that is asked for", acr_values="mfa"',
  })
  const old = await refused({ acr: 'phr', auth_time: now() - 331 }, { maxAge: 300 })
  t.match(old.headers()['www-authenticate'], /", max_age="300"$/)
  const both = await refused({ acr: 'phr', auth_time: now() - 331 }, { acr: 'mfa', maxAge: 300 }, 'DPoP')
  t.match(both.headers()['www-authenticate'], /^DPoP .*acr_values="mfa", max_age="300", algs="/)
  t.equal((await refused({}, { acr: 'pwd' })).status, 401, 'a machine has not logged in at all')
  t.equal((await refused({ acr: 'mfa' }, { maxAge: 300 })).status, 401, 'nobody knows when')

  const good = await token({ acr: 'phr', auth_time: now() - 330 })
  const request = { headers: { authorization: `Bearer ${good}` } }
  verifier.authorize(await verifier.verify(good), request, { acr: 'mfa', maxAge: 300, scopes: ['read'] })
  const scope = await refusal(
    (async () => verifier.authorize(await verifier.verify(good), request, { scopes: ['write'] }))(),
  )
  t.match(scope, { code: 'insufficient_scope', scope: 'write' })
})

t.test('a stronger and a newer log-in meets what a weaker and an older one meets', async t => {
  const demands = fc.record(
    { acr: fc.constantFrom(...levels), maxAge: fc.nat(1000) },
    { requiredKeys: [] },
  ) as fc.Arbitrary<Authentication>
  const shown = fc.record({
    acr: fc.constantFrom(...levels, 'unknown'),
    auth_time: fc.integer({ min: 0, max: 2000 }),
  })
  fc.assert(
    fc.property(demands, shown, fc.nat(1000), (demand, log, later) => {
      const clocks = { now: 2000, tolerance: 30 }
      if (!isMet(demand, log, clocks)) return
      t.ok(isMet(demand, { acr: 'phr', auth_time: log.auth_time + later }, clocks))
      if (demand.acr !== undefined) t.ok(levels.some(level => level === log.acr))
    }),
  )
  const clocks = { now: 2000, tolerance: 30 }
  t.notOk(isMet({ acr: 'pwd' }, { acr: 'constructor' }, clocks), 'a level of nobody here is none')
})

t.test('what no log-in can meet is refused when it is said', async t => {
  const app = fastify()
  await app.register(fastifyPlugin, { issuer, audience })
  const { requireAuthentication } = connect({ issuer, audience })
  for (const [demand, why] of [
    [{}, /needs acr or maxAge/],
    [{ acr: 'gold' }, /acr must be one of pwd, mfa, phr/],
    [{ maxAge: -1 }, /maxAge must be a whole number/],
    [{ maxAge: 1.5 }, /maxAge must be a whole number/],
  ] as const) {
    t.throws(() => app.requireAuthentication(demand as Authentication), { message: why })
    t.throws(() => requireAuthentication(demand as Authentication), { message: why })
  }
})

t.test(
  'Fastify and Express: in either order with a scope, and a DPoP proof counts once for both',
  async t => {
    const { options, token, now } = await world(t)
    const app = fastify()
    t.teardown(() => app.close())
    await app.register(fastifyPlugin, options)
    const strong = app.requireAuthentication({ acr: 'mfa', maxAge: 300 })
    app.get(
      '/one',
      { onRequest: [app.requireScope('read'), strong] },
      async ({ accessToken }) => accessToken.sub,
    )
    app.get(
      '/two',
      { onRequest: [strong, app.requireScope('read')] },
      async ({ accessToken }) => accessToken.sub,
    )
    app.get('/alone', { onRequest: strong }, async ({ accessToken }) => accessToken.sub)

    const requireScope = connect(options)
    const alsoStrong = requireScope.requireAuthentication({ acr: 'mfa', maxAge: 300 })
    const other = express()
    const answer: express.RequestHandler = (request, response) => void response.send(request.accessToken?.sub)
    other.get('/one', requireScope('read'), alsoStrong, answer)
    other.get('/two', alsoStrong, requireScope('read'), answer)
    other.get('/alone', alsoStrong, answer)
    const listening = other.listen(0, '127.0.0.1')
    t.teardown(() => listening.close())
    await once(listening, 'listening')
    const origins = [
      await app.listen({ port: 0 }),
      `http://127.0.0.1:${(listening.address() as AddressInfo).port}`,
    ]
    for (const origin of origins) {
      for (const path of ['/one', '/two', '/alone']) {
        const get = async (claims: object) => {
          const key = await testKey()
          const text = await token({ cnf: { jkt: key.jkt }, ...claims })
          const ath = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(text))).toString(
            'base64url',
          )
          const proof = { jti: crypto.randomUUID(), htm: 'GET', htu: `${audience}${path}`, iat: now(), ath }
          const dpop = await signJwt(key, proofHeader(key), proof)
          return fetch(origin + path, { headers: { authorization: `DPoP ${text}`, dpop } })
        }
        const good = await get({ acr: 'mfa', auth_time: now() })
        t.equal(await good.text(), 'u', path)
        const weak = await get({ acr: 'pwd', auth_time: now() })
        t.equal(weak.status, 401)
        t.match(weak.headers.get('www-authenticate'), /insufficient_user_authentication.*acr_values="mfa"/)
        t.match(await weak.json(), { error: 'insufficient_user_authentication' })
        const without = await fetch(origin + path)
        t.equal(without.status, 401)
        t.notMatch(without.headers.get('www-authenticate'), /error=/)
      }
    }
  },
)
