import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { insertRegistrationToken } from '../../db/clients/registrations.ts'
import { rememberConsent } from '../../db/users/consents.ts'
import { disableClient, updateClient } from '../../src/admin/clients.ts'
import {
  createRegistrationToken,
  endRegistrationToken,
  listRegistrationTokens,
} from '../../src/admin/registration-tokens.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { en } from '../../src/pages/texts/en.ts'
import { sha256 } from '../../src/values/sha256.ts'
import { openBrowser } from '../helpers/browser.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { testKey } from '../helpers/proofs.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, isOAuthError, startServer, type TestServer } from '../helpers/server.ts'

const mcp = 'https://mcp.example/mcp'
const redirectUri = 'https://agent.example/callback'

const adminOf = ({ ctx }: TestServer) =>
  servedAdmin(ctx, { actor: { kind: 'command', user: 'root' }, isLimited: false }, ctx.log)

async function world(t: Test, env: Record<string, string> = {}) {
  const server = await startServer(t, { MINTMARK_CLIENT_REGISTRATION: 'token', ...env })
  await server.resource(mcp, { is_open: 1 })
  await server.resource('https://payroll.example', { scope: 'salaries' })
  const newToken = async (clientsMax = 10) =>
    createRegistrationToken(adminOf(server), { name: 'team', lifeSeconds: 3600, clientsMax })
  const { token, row } = await newToken()
  return { server, token, row, newToken, ...requests(server) }
}

function requests(server: TestServer) {
  const send = (method: 'POST' | 'GET' | 'PUT' | 'DELETE', url: string, token?: string, body?: unknown) =>
    server.request({
      method,
      url,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
  const register = (token: string | undefined, metadata: unknown = {}) =>
    send('POST', '/register', token, { redirect_uris: [redirectUri], ...Object(metadata) })
  const pathOf = (uri: string) => uri.replace('https://as.example', '')
  return { send, register, pathOf }
}

await forEachEngine(
  t,
  'RFC 7591 §3: a client registers itself with a token, and people are asked each time',
  async (t, env) => {
    const { server, token, register } = await world(t, env)
    const metadata = (await server.request({ url: '/.well-known/oauth-authorization-server' })).json()
    t.equal(metadata.registration_endpoint, 'https://as.example/register')
    const grants = ['authorization_code', 'refresh_token', 'client_credentials', 'password']
    const answer = await register(token, {
      client_name: 'Agent',
      grant_types: grants,
      scope: 'admin:write salaries',
    })
    t.equal(answer.statusCode, 201)
    t.equal(answer.headers['cache-control'], 'no-store')
    const made = answer.json()
    t.match(made, {
      client_name: 'Agent',
      redirect_uris: [redirectUri],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
      client_secret_expires_at: 0,
    })
    t.strictSame(made.grant_types, ['authorization_code', 'refresh_token'], 'no other grant')
    t.equal(made.scope, 'read write', 'and what is open alone')
    const row = await findClient(server.ctx.db, made.client_id)
    t.match(row, { made_by: 'registration', is_admin: 0, consent: 'always', scope: '', resources: '' })
    t.notOk(JSON.stringify(row).includes(made.client_secret), 'DR-1 the secrets are not stored')

    const verifier = randomBytes(32).toString('base64url')
    const parameters = {
      ...{
        response_type: 'code',
        client_id: made.client_id,
        redirect_uri: redirectUri,
        resource: mcp,
        scope: 'read',
      },
      ...{ code_challenge: sha256(verifier).toString('base64url'), code_challenge_method: 'S256' },
    }
    const browser = openBrowser(server)
    const { username, password } = await server.user()
    const url = `/authorize?${new URLSearchParams(parameters)}`
    const asked = await browser.submit(await browser.open(url), { username, password })
    t.match(asked.text, en.consent.stranger.registered)
    const back = await browser.submit(asked, {}, { button: 'decision=allow' })
    const code = back.url.searchParams.get('code') ?? ''
    const form = {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: redirectUri,
    }
    isOAuthError(
      t,
      await server.post('/token', { ...form, client_id: made.client_id }),
      401,
      'invalid_client',
      'bare',
    )
    const credentials = { client_id: made.client_id, client_secret: made.client_secret }
    t.equal((await server.post('/token', { ...form, ...credentials })).statusCode, 200)
    t.equal((await browser.open(url)).url.pathname, '/consent', 'once more')
    isOAuthError(
      t,
      await server.post('/token', { grant_type: 'client_credentials', ...credentials }),
      400,
      'unauthorized_client',
      'nothing for itself',
    )
  },
)

t.test('RFC 7591 §3.2.2: what cannot be registered', async t => {
  const { server, token, register, send } = await world(t)
  const key = await testKey()
  const byKeys = { token_endpoint_auth_method: 'private_key_jwt' }
  for (const [metadata, code] of [
    [{ redirect_uris: ['http://agent.example/'] }, 'invalid_redirect_uri'],
    [{ redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri'],
    [{ redirect_uris: undefined }, 'invalid_redirect_uri'],
    [{ grant_types: ['client_credentials'] }, 'invalid_client_metadata'],
    [{ response_types: ['token'] }, 'invalid_client_metadata'],
    [{ token_endpoint_auth_method: 'tls_client_auth' }, 'invalid_client_metadata'],
    [{ token_endpoint_auth_method: 'private_key_jwt' }, 'invalid_client_metadata'],
    [{ client_name: 'hidden\u202e' }, 'invalid_client_metadata'],
    [{ client_name: '\u3164' }, 'invalid_client_metadata'],
    [{ client_name: `a${'\u0301'.repeat(5)}` }, 'invalid_client_metadata'],
    [{ ...byKeys, jwks_uri: 'https://agent.example/\0' }, 'invalid_client_metadata'],
  ] as const)
    isOAuthError(t, await register(token, metadata), 400, code, `DR-2 ${JSON.stringify(metadata)}`)
  const nested = `{"redirect_uris":["${redirectUri}"],"jwks":${'{"a":'.repeat(2000)}1${'}'.repeat(2001)}`
  for (const body of ['', 'null', '[]', '{', '"text"', nested])
    isOAuthError(t, await send('POST', '/register', token, body), 400, 'invalid_client_metadata', body)
  isOAuthError(t, await server.post('/register', {}), 401, 'invalid_token', 'a form')
  const withKeys = { ...byKeys, jwks: { keys: [key.publicJwk] } }
  const made = await register(token, withKeys)
  t.equal(made.statusCode, 201)
  t.notOk('client_secret' in made.json())
  t.equal((await listRegistrationTokens(server.ctx))[0]?.clients_made, 1, 'what is refused does not count')
})

await forEachEngine(
  t,
  'RFC 7591 §3: a token makes so many clients and no more, however many ask at once, until it ends',
  async (t, env) => {
    const { server, register, newToken, row } = await world(t, env)
    const { token } = await newToken(3)
    const answers = await Promise.all(Array.from({ length: 8 }, () => register(token)))
    t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [201, 201, 201, 401, 401, 401, 401, 401])
    isOAuthError(t, await register(token), 401, 'invalid_token', 'DR-3 one more')
    isOAuthError(t, await register(undefined), 401, 'invalid_token', 'without')
    isOAuthError(t, await register('mm_rg_made-up'), 401, 'invalid_token', 'made up')
    const { token: deleted, row: gone } = await newToken()
    await endRegistrationToken(adminOf(server), (await idOf(server, gone.id)) ?? '')
    isOAuthError(t, await register(deleted), 401, 'invalid_token', 'deleted')
    const { token: old } = await newToken()
    server.tick(3601)
    isOAuthError(t, await register(old), 401, 'invalid_token', 'expired')
    await newToken()
    t.equal(
      (await listRegistrationTokens(server.ctx)).some(({ id }) => id.equals(row.id)),
      false,
      'and is gone',
    )
    const another = { ...row, id: randomBytes(16) }
    t.equal(await insertRegistrationToken(server.ctx.db, another, 1), false, 'there are so many at the most')
    await t.rejects(endRegistrationToken(adminOf(server), 'no-such'), { name: 'Refusal', code: 'not_found' })
  },
)

async function idOf({ ctx }: TestServer, id: Buffer): Promise<string | undefined> {
  const hex = id.toString('hex')
  const found = (await listRegistrationTokens(ctx)).some(row => row.id.equals(id))
  return found ? hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') : undefined
}

t.test('RFC 7592: a client reads, replaces and deletes its registration, and nobody else does', async t => {
  const { server, token, register, send, pathOf } = await world(t)
  const made = (await register(token, { token_endpoint_auth_method: 'none', client_name: 'Agent' })).json()
  const other = (await register(token)).json()
  const path = pathOf(made.registration_client_uri)
  const own = made.registration_access_token
  for (const method of ['GET', 'PUT', 'DELETE'] as const) {
    for (const [title, wrong] of [
      ['none', undefined],
      ["another's", other.registration_access_token],
      ['the initial one', token],
    ] as const)
      isOAuthError(
        t,
        await send(method, path, wrong, method === 'PUT' ? {} : undefined),
        401,
        'invalid_token',
        title,
      )
    isOAuthError(
      t,
      await send(method, '/register?client_id=web', own),
      401,
      'invalid_token',
      'no such client',
    )
    isOAuthError(t, await send(method, '/register', own), 401, 'invalid_token', 'no client')
  }
  const read = (await send('GET', path, own)).json()
  const { registration_client_uri, registration_access_token, client_id_issued_at, ...said } = read
  t.match(read, { client_id: made.client_id, client_name: 'Agent', registration_client_uri })
  t.equal(registration_access_token, own, 'DR-4 in each answer')
  t.notOk('client_secret' in read)
  for (const [changes, code] of [
    [{ client_id: 'web' }, 'invalid_client_metadata'],
    [{ client_secret: 'mine' }, 'invalid_client_metadata'],
    [{ registration_access_token }, 'invalid_client_metadata'],
    [{ registration_client_uri }, 'invalid_client_metadata'],
    [{ client_id_issued_at }, 'invalid_client_metadata'],
    [{ client_secret_expires_at: 0 }, 'invalid_client_metadata'],
    [{ token_endpoint_auth_method: 'client_secret_basic' }, 'invalid_client_metadata'],
    [{ redirect_uris: ['http://evil.example/'] }, 'invalid_redirect_uri'],
  ] as const)
    isOAuthError(t, await send('PUT', path, own, { ...said, ...changes }), 400, code, JSON.stringify(changes))
  const renamed = { ...said, client_name: 'Other', consent: 'never', admin: true }
  t.equal((await send('PUT', path, own, renamed)).statusCode, 200)
  t.equal((await send('PUT', path, own, renamed)).statusCode, 200, 'twice')
  const changes = server.ctx.db.sql.selectFrom('audit').select('id').where('event', '=', 'client_changed')
  t.equal((await changes.execute()).length, 1, 'what changes nothing is not in the audit trail')
  const beside = await startServer(t, { MINTMARK_CLIENT_REGISTRATION: 'token', ...besideEnv(server) })
  await beside.request({ url: path, headers: { authorization: `Bearer ${own}` } })
  for (const client_name of ['Third', 'Other'])
    t.equal((await send('PUT', path, own, { ...said, client_name })).json().client_name, client_name)
  await send('PUT', path, own, { ...said, client_name: 'Third' })
  const readBeside = await beside.request({ url: path, headers: { authorization: `Bearer ${own}` } })
  t.equal(readBeside.json().client_name, 'Third', 'each instance tells what is so now')
  const back = await requests(beside).send('PUT', path, own, renamed)
  t.equal(back.statusCode, 200, 'and changes that')
  t.match(await findClient(server.ctx.db, made.client_id), {
    client_name: 'Other',
    consent: 'always',
    is_admin: 0,
  })
  const withSecret = (client_secret: string) =>
    send('PUT', pathOf(other.registration_client_uri), other.registration_access_token, {
      ...{ client_id: other.client_id, redirect_uris: [redirectUri], client_secret },
    })
  t.equal((await withSecret(other.client_secret)).statusCode, 200, 'DR-5 its own secret may be there')
  isOAuthError(t, await withSecret('mine'), 400, 'invalid_client_metadata', 'and no other')

  t.equal((await send('DELETE', path, own)).statusCode, 204)
  t.equal(await findClient(server.ctx.db, made.client_id), undefined)
  await server.follow()
  isOAuthError(t, await send('GET', path, own), 401, 'invalid_token', 'it is gone')
})

t.test('an administrator disables such a client for good, and one that nobody uses is deleted', async t => {
  const { server, token, register, send, pathOf } = await world(t)
  const [bad, unused, used] = await Promise.all([1, 2, 3].map(async () => (await register(token)).json()))
  const admin = adminOf(server)
  await t.rejects(updateClient(admin, bad.client_id, { consent: 'never' }), /cannot be changed here/)
  await disableClient(admin, bad.client_id)
  await server.follow()
  for (const method of ['GET', 'PUT', 'DELETE'] as const) {
    const refused = await send(method, pathOf(bad.registration_client_uri), bad.registration_access_token, {})
    isOAuthError(t, refused, 401, 'invalid_token', method)
  }
  const user = await server.user()
  const row = await findClient(server.ctx.db, used.client_id)
  await rememberConsent(server.ctx.db, {
    ...{ id: randomBytes(16), user: { id: user.id, epoch: 0 }, client: row ?? { id: '', epoch: 0 } },
    ...{ resource: mcp, scope: ['read'], now: server.ctx.clock.now() },
  })
  server.tick(31 * 86_400)
  await runJob(server, 'deleting unused clients')
  const left = [bad, unused, used].map(({ client_id }) => findClient(server.ctx.db, client_id))
  t.strictSame(
    (await Promise.all(left)).map(row => row !== undefined),
    [true, false, true],
  )
})

t.test('there is nothing to register at, unless it is switched on', async t => {
  const server = await startServer(t)
  const { register, send } = requests(server)
  isOAuthError(t, await register('x'), 404, 'invalid_request', 'POST')
  isOAuthError(t, await send('DELETE', '/register?client_id=a', 'x'), 404, 'invalid_request', 'DELETE')
  const metadata = (await server.request({ url: '/.well-known/oauth-authorization-server' })).json()
  t.notOk('registration_endpoint' in metadata)
})
