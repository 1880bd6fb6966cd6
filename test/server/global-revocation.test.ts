import t, { type Test } from 'tap'
import { disableClient, raiseClientEpochs } from '../../db/clients/clients.ts'
import { findUserById } from '../../db/users/users.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { isOAuthError, startServer, type TestClient, type TestServer } from '../helpers/server.ts'

const path = '/global-token-revocation'

async function world(t: Test, env: EngineEnv = {}) {
  const server = await startServer(t, env)
  await server.resource('https://api.example')
  const web = await server.client('web', { resources: 'https://api.example' })
  const admin = await server.client('admin', { is_admin: 1 })
  const user = await server.user()
  return { server, web, admin, user, token: await machineToken(server, admin) }
}

async function machineToken(server: TestServer, { form }: TestClient): Promise<string> {
  const response = await server.post('/token', { grant_type: 'client_credentials', ...form })
  return response.json().access_token
}

async function revoke(server: TestServer, body: unknown, headers: Record<string, string>) {
  const payload = typeof body === 'string' ? body : JSON.stringify(body)
  return server.request({
    method: 'POST',
    url: path,
    payload,
    headers: { 'content-type': 'application/json', ...headers },
  })
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const issSub = (sub: string, iss = 'https://as.example') => ({ sub_id: { format: 'iss_sub', iss, sub } })
const opaque = (id: string) => ({ sub_id: { format: 'opaque', id } })

await forEachEngine(
  t,
  "GR-1 GR-2 all of a user's sessions end, before the answer, and nobody else's",
  async (t, env) => {
    const { server, web, admin, user, token } = await world(t, env)
    const other = await server.client('other')
    const bystander = await server.user('bob')
    for (const [title, body, scheme] of [
      ['iss_sub', issSub(user.sub), 'Bearer'],
      ['opaque', opaque(user.sub), 'bEARER'],
    ] as const) {
      const sessions = [await server.logIn(web, user), await server.logIn(other, user)]
      const kept = await server.logIn(web, bystander)
      const response = await revoke(server, body, { authorization: `${scheme} ${token}` })
      t.equal(response.statusCode, 204, title)
      t.equal(response.body, '')
      t.equal(response.headers['cache-control'], 'no-store')
      for (const [i, tokens] of sessions.entries()) {
        const client = i === 0 ? web : other
        const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token, ...client.form }
        isOAuthError(t, await server.post('/token', form), 400, 'invalid_grant', `${title}: refresh`)
        t.strictSame(await server.introspect(admin, tokens.access_token), { active: false })
      }
      t.match(await server.refresh(web, kept.refresh_token), { token_type: 'Bearer' }, 'another user')
      const rows = await server.ctx.db.sql
        .selectFrom('sessions')
        .select('revoke_reason')
        .where('user_id', '=', user.id)
        .where('revoked_at', 'is not', null)
        .execute()
      t.ok(rows.length >= 2 && rows.every(row => row.revoke_reason === 'admin'), 'each row says so')
      t.strictSame(await server.ctx.db.sql.selectFrom('endings').selectAll().execute(), [], 'no work is left')
      t.match(await server.logIn(web, user), { token_type: 'Bearer' }, 'the user may log in again')
    }
    const lines = server.log.filter(line => line['event'] === 'user_revoked')
    t.equal(lines.length, 2)
    t.match(lines[0], { sub: user.sub, by: 'admin', reason: 'admin' })
  },
)

t.test('GR-1 GR-3 what is no subject of this issuer is refused, and changes nothing', async t => {
  const { server, user, token } = await world(t)
  const { sub } = user
  const refused: [title: string, body: unknown, status: number][] = [
    ['no JSON', '{', 400],
    ['an empty body', '', 400],
    ['no object', '[]', 400],
    ['null', 'null', 400],
    ['no sub_id', {}, 400],
    ['a sub_id that is no object', { sub_id: sub }, 400],
    ['a list', { sub_id: [{ format: 'opaque', id: sub }] }, 400],
    ['no format', { sub_id: { id: sub } }, 400],
    ['another format', { sub_id: { format: 'email', email: 'ada@example.com' } }, 400],
    ['the name of a prototype', { sub_id: { format: 'constructor', id: sub } }, 400],
    ['a member missing', { sub_id: { format: 'iss_sub', sub } }, 400],
    ['an empty member', { sub_id: { format: 'iss_sub', iss: '', sub } }, 400],
    ['a member that is no text', { sub_id: { format: 'opaque', id: 1 } }, 400],
    ['a member too many', { sub_id: { format: 'opaque', id: sub, iss: 'https://as.example' } }, 400],
    ['a user of another issuer', issSub(sub, 'https://as.example/'), 404],
    ['an unknown user', opaque('019a0000-0000-7000-8000-000000000000'), 404],
    ['a name', opaque('ada'), 404],
    ['a client', opaque('web'), 404],
    ['another spelling', opaque(sub.toUpperCase()), 404],
    ['a text of ten thousand', opaque('x'.repeat(10_000)), 404],
  ]
  for (const [title, body, status] of refused) {
    isOAuthError(t, await revoke(server, body, bearer(token)), status, 'invalid_request', title)
  }
  const form = { ...bearer(token), 'content-type': 'application/x-www-form-urlencoded' }
  isOAuthError(t, await revoke(server, `sub_id=${sub}`, form), 415, 'invalid_request', 'a form')
  isOAuthError(
    t,
    await revoke(server, opaque('x'.repeat(20_000)), bearer(token)),
    413,
    'invalid_request',
    'huge',
  )
  isOAuthError(t, await server.request({ url: path }), 405, 'invalid_request', 'H-6 GET')
  isOAuthError(
    t,
    await server.request({ method: 'POST', url: `${path}?access_token=${token}` }),
    400,
    'invalid_request',
    'B-1 a token in the URL',
  )
  t.equal((await findUserById(server.ctx.db, user.id))?.epoch, 0)
})

t.test('B-1 to B-4 only the living token of an administrator client itself will do', async t => {
  const { server, web, admin, user, token } = await world(t)
  const body = issSub(user.sub)
  const realm = 'Bearer realm="https://as.example"'
  const refuse = async (
    title: string,
    headers: Record<string, string>,
    challenge = `${realm}, error="invalid_token"`,
  ) => {
    const response = await revoke(server, body, headers)
    isOAuthError(t, response, 401, 'invalid_token', title)
    t.equal(response.headers['www-authenticate'], challenge, title)
  }
  await refuse('B-2 no credentials: no error', {}, realm)
  await refuse('Basic', { authorization: admin.headers.authorization ?? '' }, realm)
  await refuse('no token', { authorization: 'Bearer' })
  await refuse('garbage', bearer('garbage'))
  await refuse('two tokens', bearer(`${token} ${token}`))
  await refuse('a changed token', bearer(token.slice(0, -2) + (token.endsWith('AA') ? 'BA' : 'AA')))
  const { keys, config } = server.ctx
  const { now } = server.ctx.clock
  const claims = { iss: config.issuer, aud: config.issuer, sub: 'admin', client_id: 'admin', exp: now() + 60 }
  await refuse('B-4 another typ', bearer(await keys.sign('JWT', 'ES256', claims)))
  await refuse('without a session', bearer(await keys.sign('at+jwt', 'ES256', claims)))
  const { access_token, refresh_token } = await server.logIn(web, user)
  await refuse('B-4 another audience', bearer(access_token))
  await refuse('a refresh token', bearer(refresh_token))
  const itsSession = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  await refuse(
    'bound to a key',
    bearer(await keys.sign('at+jwt', 'ES256', { ...itsSession, cnf: { jkt: 'x' } })),
  )

  const forbid = async (title: string, headers: Record<string, string>) => {
    const response = await revoke(server, body, headers)
    isOAuthError(t, response, 403, 'insufficient_scope', title)
    t.equal(response.headers['www-authenticate'], `${realm}, error="insufficient_scope"`)
  }
  const plain = await server.client('plain')
  await forbid('B-3 a client that is no administrator', bearer(await machineToken(server, plain)))
  const { access_token: ofUser } = await server.logIn(admin, user)
  await forbid('B-3 a user of an administrator client', bearer(ofUser))
  t.equal((await findUserById(server.ctx.db, user.id))?.epoch, 0, 'none of them has changed anything')

  t.equal((await revoke(server, body, bearer(token))).statusCode, 204)
  await server.revoke(admin, token)
  await refuse('revoked', bearer(token))
  const second = await machineToken(server, admin)
  await raiseClientEpochs(server.ctx.db, 'admin', { now: now(), reason: 'command' })
  await refuse('ended by an epoch', bearer(second))
  await server.follow()
  const third = await machineToken(server, admin)
  server.tick(300)
  await refuse('expired', bearer(third))
  const fourth = await machineToken(server, admin)
  await disableClient(server.ctx.db, 'admin', now())
  await server.follow()
  await refuse('of a disabled client', bearer(fourth))
})
