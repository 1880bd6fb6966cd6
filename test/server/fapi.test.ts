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
import { isOAuthError, startServer } from '../helpers/server.ts'

const api = 'https://api.example'

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

  const { now } = server.ctx.clock
  const nonce = async (proof: string) => {
    const { headers } = await server.post('/token', { client_id: 'x' }, { dpop: proof })
    return String(headers['dpop-nonce'])
  }
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
