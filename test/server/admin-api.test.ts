import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { adminClient, adminPerson } from '../helpers/admin-api.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { withApp } from '../helpers/second-factors.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

t.test('only who is let in learns anything (invariant 23)', async t => {
  const server = await startServer(t)
  const user = await server.user()
  const ask = await adminClient(server, 'admin:sessions')
  for (const path of [
    `/users/${user.sub}`,
    '/users/0a1b2c3d-0000-4000-8000-000000000001',
    '/users/x',
    '/users?limit=x',
  ]) {
    const refused = await ask('GET', path)
    t.equal(refused.statusCode, 403, path)
    t.match(refused.json(), { code: 'insufficient_scope', status: 403 })
    t.match(
      refused.headers['www-authenticate'],
      /error="insufficient_scope".*scope="admin:users:read admin:users admin:read admin:write"/,
    )
    const none = await server.request({ method: 'GET', url: `/admin/v1${path}` })
    t.equal(none.statusCode, 401)
    t.match(none.headers['www-authenticate'], /^Bearer realm="https:\/\/as.example", DPoP realm=/)
  }
  for (const scope of ['admin:users:read', 'admin:users', 'admin:read', 'admin:write']) {
    const may = await adminClient(server, scope)
    t.equal((await may('GET', `/users/${user.sub}`)).statusCode, 200, scope)
  }
})

await forEachEngine(t, 'no text holds a character that no database stores', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await adminClient(server)
  const { sub } = await server.user()
  for (const path of [`/audit?actor=%00&sub=${sub}`, '/users?search=a%00']) {
    const field = /(actor|search)/.exec(path)?.[0]
    t.match((await ask('GET', path)).json(), { status: 400, code: 'invalid', field, detail: /U\+0000/ })
  }
  const deep = { username: 'bob', password: 'a wholly new one', claims: { name: 'a\0b' } }
  t.match((await ask('POST', '/users', deep)).json(), { status: 400, field: 'claims.name' })
  t.match((await ask('POST', '/sessions/end', { client_id: 'a\0' })).json(), {
    status: 400,
    field: 'client_id',
  })
})

t.test('a GET of one object reads the session of the token and the object, and no more', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  const { sub } = await server.user()
  const path = `/users/${sub}`
  await ask('GET', path)
  const queries = watchQueries(server)
  t.equal((await ask('GET', path)).statusCode, 200)
  t.same(
    queries.map(sql => /from "(\w+)"/.exec(sql)?.[1]),
    ['sessions', 'users'],
  )
})

/** The statements that a server runs from now on. */
function watchQueries({ ctx: { db } }: TestServer): readonly string[] {
  const queries: string[] = []
  const { read } = db
  const executor = db.sql.getExecutor()
  const execute = executor.executeQuery.bind(executor)
  Object.assign(db, {
    read: (query: Parameters<typeof read>[0]) => {
      queries.push(query.sql)
      return read(query)
    },
  })
  Object.assign(executor, {
    executeQuery: (query: Parameters<typeof execute>[0]) => {
      queries.push(query.sql)
      return execute(query)
    },
  })
  return queries
}

t.test('a client needs the scope, and to be an administrator', async t => {
  const server = await startServer(t)
  const plain = await adminClient(server, 'admin:read', { is_admin: 0 })
  t.match((await plain('GET', '/users')).json(), { detail: /only an administrator/ }, 'no scope would do')
  t.equal((await plain('GET', '/users')).statusCode, 403, 'a scope of that name gives nobody power')
  const ask = await adminClient(server)
  await server.resource('https://api.example', { scope: 'admin:read' })
  const elsewhere = await adminClient(server, 'admin:read', { resources: 'https://api.example' })
  t.equal((await elsewhere('GET', '/users')).statusCode, 401, 'a token for an API is none for this one')
  t.equal((await ask('GET', '/users')).statusCode, 200)
  await server.ctx.db.sql
    .updateTable('clients')
    .set({ disabled_at: 1 })
    .where('id', 'like', 'ops-%')
    .execute()
  await server.ctx.db.sql.updateTable('installation').set({ revision: 1_000_000 }).execute()
  await server.follow()
  t.equal((await ask('GET', '/users')).statusCode, 401, 'one that was disabled may do nothing more')
})

t.test('people need a role, a key and, for a change, a log-in of now', async t => {
  const server = await startServer(t, { MINTMARK_ACCESS_TOKEN_TTL: '2h' })
  const { sub } = await server.user('cyd')
  const nobody = await adminPerson(server, await server.user('dan', 'editor'))
  t.equal((await nobody('GET', '/users')).statusCode, 403)
  const ada = await server.user('ada', 'editor mintmark:admin')
  const bare = await adminPerson(server, ada, { isBound: false })
  const unbound = await bare('GET', '/users')
  t.equal(unbound.statusCode, 401, 'a token that a thief could use alone')
  t.match(unbound.headers['www-authenticate'], /^DPoP /)
  const admin = await adminPerson(server, ada)
  t.equal((await admin('GET', '/users')).statusCode, 200)
  const narrow = await adminPerson(server, ada, { scope: 'admin:sessions:read' })
  t.equal((await narrow('GET', '/users')).statusCode, 403, 'the scope of the token counts too')

  const support = await adminPerson(server, await server.user('eve', 'mintmark:support'))
  t.equal((await support('GET', `/users/${sub}`)).statusCode, 200)
  t.equal((await support('PATCH', `/users/${sub}`, { roles: ['mintmark:admin'] })).statusCode, 403)

  const change = () => admin('PATCH', `/users/${sub}`, { roles: ['reader'] })
  t.equal((await change()).statusCode, 200)
  server.tick(3600)
  const stale = await change()
  t.equal(stale.statusCode, 401)
  t.equal(stale.json().code, 'insufficient_user_authentication')
  t.match(
    stale.headers['www-authenticate'],
    /error="insufficient_user_authentication".*max_age="3600"/,
    'RFC 9470 §3',
  )
  t.equal((await admin('GET', '/users')).statusCode, 200, 'looking goes on')

  const again = await adminPerson(server, ada)
  t.equal((await again('PATCH', `/users/${sub}`, { roles: [] })).statusCode, 200)
  await withApp(server, ada)
  const weak = await again('PATCH', `/users/${sub}`, { roles: [] })
  t.match(weak.headers['www-authenticate'], /acr_values="mfa"/, 'who has a second factor shows it')
  await server.ctx.db.sql
    .updateTable('users')
    .set({ roles: 'editor' })
    .where('username', '=', 'ada')
    .execute()
  t.equal((await again('GET', '/users')).statusCode, 403, 'a role that was taken away is gone at once')
})

t.test('what is wrong is a problem document that names it (RFC 9457)', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  const problem = async (path: string, status: number, field?: string, detail = /./) => {
    const answer = await ask('GET', path)
    t.equal(answer.statusCode, status, path)
    t.match(answer.headers['content-type'], /^application\/problem\+json/)
    t.match(answer.json(), {
      status,
      detail,
      request_id: answer.headers['x-request-id'],
      ...(field && { field }),
    })
  }
  await problem('/users?limit=1000000', 400, 'limit', /200/)
  await problem('/users?limit=0', 400, 'limit')
  for (const limit of ['true', '1e1', '0x10', '2.0', '']) await problem(`/users?limit=${limit}`, 400, 'limit')
  for (const ended of ['1', 'yes', 'TRUE', '']) await problem(`/sessions?ended=${ended}`, 400, 'ended')
  await problem('/users?limt=3', 400, 'limt', /not known/)
  await problem('/users?after=x', 400, 'after', /no cursor of this list/)
  await problem('/users/x', 400, 'sub')
  await problem('/users/0a1b2c3d-0000-4000-8000-000000000001', 404)
  await problem('/nothing', 404)
  const put = await ask('PUT', '/users', {})
  t.equal(put.statusCode, 405)
  t.equal(put.headers.allow, 'GET, HEAD, POST')
  const broken = await ask('POST', '/users', '{"username":')
  t.equal(broken.statusCode, 400)
  const nested = `{"issuer":"https://ci.example","jwks":${'{"a":'.repeat(40_000)}1${'}'.repeat(40_001)}`
  const deep = await ask('POST', '/issuers', nested)
  t.match(deep.json(), { status: 400, code: 'invalid', detail: /nested too deep/ })
  t.notOk(
    server.log.some(({ level }) => Number(level) >= 50),
    'nothing of it is a fault of ours',
  )
})

await forEachEngine(t, 'users are read in pages, wherever they begin', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await adminClient(server)
  for (const name of ['Ada', 'adam', 'bob', 'cyd', 'Åse']) await server.user(name)
  const names = async (path: string) => {
    const found: string[] = []
    let after = ''
    do {
      const { items, next } = (await ask('GET', `${path}${after}`)).json()
      found.push(...items.map(({ username }: { username: string }) => username))
      after = next === null ? '' : `&after=${next}`
    } while (after !== '')
    return found
  }
  t.equal((await names('/users?limit=2')).length, 5)
  const claims = { email: 'adam@example.com', email_verified: true }
  const { sub } = (await ask('GET', '/users?search=adam')).json().items[0]
  t.match(await ask('PATCH', `/users/${sub}`, { claims }), { statusCode: 200 })
  t.strictSame(await names('/users?limit=1&search=adam@'), ['adam'])
  t.strictSame(
    await names('/users?limit=1&search=AD'),
    ['Ada', 'adam'],
    'once, whichever of its names begin so',
  )
  t.strictSame(await names('/users?search=%C3%A5'), ['Åse'])
  t.strictSame(await names('/users?search=%25'), [])
  const { next } = (await ask('GET', '/users?limit=2')).json()
  t.equal(
    (await ask('GET', `/users?limit=2&search=a&after=${next}`)).statusCode,
    400,
    'a cursor of another list',
  )
})

await forEachEngine(t, 'of two who change one user at once, one is told so (412)', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await adminClient(server)
  const { sub } = await server.user()
  const read = await ask('GET', `/users/${sub}`)
  t.match(read.json(), { sub, created_at: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/ })
  const etag = String(read.headers.etag)
  t.equal((await ask('GET', `/users/${sub}`, undefined, { 'if-none-match': etag })).statusCode, 304)
  const change = (role: string) => ask('PATCH', `/users/${sub}`, { roles: [role] }, { 'if-match': etag })
  const both = await Promise.all([change('reader'), change('editor')])
  const statuses = both.map(({ statusCode }) => statusCode).toSorted()
  t.strictSame(statuses, [200, 412])
  const changed = both.find(({ statusCode }) => statusCode === 200)
  const now = await ask('GET', `/users/${sub}`)
  t.strictSame(now.json(), changed?.json())
  t.equal(now.headers.etag, changed?.headers.etag)
  t.not(now.headers.etag, etag)
  t.equal((await change('reader')).statusCode, 412)
})

await forEachEngine(t, 'users are made, changed and ended, as by the command line', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await adminClient(server)
  const client = await server.client('web')
  const made = await ask('POST', '/users', {
    username: 'ada',
    password: 'a wholly new one',
    roles: ['reader'],
    claims: { given_name: 'Ada', email: 'ada@example.com', email_verified: true },
  })
  t.equal(made.statusCode, 201, made.body)
  const { sub } = made.json()
  t.match(made.json(), { username: 'ada', claims: { given_name: 'Ada', email_verified: true } })
  t.notMatch(made.body, /password|hash/)
  const ada = { username: 'ada', password: 'a wholly new one' }
  await server.logIn(client, ada)

  t.match((await ask('POST', '/users', { username: 'ADA', password: 'a wholly new one' })).json(), {
    status: 409,
    code: 'conflict',
    detail:
      'the user ada has the name ADA already: names are compared without case and width, and a verified mail address is a name too',
  })
  t.match((await ask('POST', '/users', { username: 'bob', password: 'short' })).json(), {
    status: 400,
    detail: /too short/,
  })
  t.match((await ask('PATCH', `/users/${sub}`, { claims: { birthdate: 'x' } })).json(), {
    status: 400,
    field: 'claims.birthdate',
  })
  t.match((await ask('PATCH', `/users/${sub}`, { claims: { given_name: null }, roles: [] })).json(), {
    roles: [],
    claims: { email: 'ada@example.com' },
  })
  t.equal((await ask('POST', `/users/${sub}/rename`, { username: 'ada.l' })).json().username, 'ada.l')
  const { refresh_token } = await server.logIn(client, { ...ada, username: 'ada.l' })
  t.equal((await ask('POST', `/users/${sub}/password`, { password: 'yet another one' })).statusCode, 200)
  t.equal(
    (await server.post('/token', { grant_type: 'refresh_token', refresh_token, ...client.form })).statusCode,
    400,
  )
  t.type((await ask('POST', `/users/${sub}/disable`)).json().disabled_at, 'string')
  t.equal((await ask('POST', `/users/${sub}/enable`)).json().disabled_at, null)
  t.match((await ask('GET', `/users/${sub}/factors`)).json(), { password: true, passkeys: [], totp: null })
  t.equal((await ask('DELETE', `/users/${sub}/factors/totp`)).statusCode, 404)
  const invited = await ask('POST', '/users/invitations', { username: 'bob', email: 'bob@example.com' })
  t.equal(invited.statusCode, 409, 'nothing gets better by sending it again')
  t.equal(invited.headers['retry-after'], undefined)
  t.match(invited.json(), { code: 'conflict', detail: /no mail can be sent until MINTMARK_SMTP_URL/ })
  t.equal((await ask('DELETE', `/users/${sub}`)).statusCode, 204)
  t.equal((await ask('GET', `/users/${sub}`)).statusCode, 404)
  const acts = await server.ctx.db.sql
    .selectFrom('audit')
    .select(['event', 'address', 'request_id'])
    .where('actor', 'like', 'client ops-%')
    .where('event', 'like', 'user_%')
    .orderBy('id')
    .execute()
  t.strictSame(
    acts.map(({ event }) => event),
    [
      'user_created',
      'user_changed',
      'user_renamed',
      'user_password_changed',
      'user_disabled',
      'user_enabled',
      'user_deleted',
    ],
    'invariant 21: each act has its entry',
  )
  t.ok(acts.every(({ address, request_id }) => address !== null && request_id !== null))
})

t.test('a scope for users makes no administrators, and nobody ends the own way in', async t => {
  const server = await startServer(t)
  const narrow = await adminClient(server, 'admin:users')
  const root = await server.user('root', 'mintmark:admin')
  const { sub } = await server.user('ada')
  const attempts = [
    ['PATCH', `/users/${sub}`, { roles: ['mintmark:admin'] }],
    ['POST', '/users', { username: 'bob', password: 'a wholly new one', roles: ['mintmark:support'] }],
    ['POST', '/users/invitations', { username: 'bob', email: 'b@example.com', roles: ['mintmark:admin'] }],
    ['POST', `/users/${root.sub}/password`, { password: 'a wholly new one' }],
    ['POST', `/users/${root.sub}/rename`, { username: 'x' }],
    ['PATCH', `/users/${root.sub}`, { claims: { email: 'thief@example.com', email_verified: true } }],
    ['POST', `/users/${root.sub}/disable`, undefined],
    ['DELETE', `/users/${root.sub}/factors/all`, undefined],
    ['DELETE', `/users/${root.sub}`, undefined],
  ] as const
  for (const [method, path, body] of attempts) {
    t.match(
      (await narrow(method, path, body)).json(),
      { status: 403, code: 'forbidden' },
      `${method} ${path}`,
    )
  }
  const own = await adminPerson(server, root)
  for (const [method, path, body] of [
    ['PATCH', `/users/${root.sub}`, { roles: ['reader'] }],
    ['POST', `/users/${root.sub}/disable`, undefined],
    ['DELETE', `/users/${root.sub}`, undefined],
  ] as const) {
    t.match(
      (await own(method, path, body)).json(),
      { status: 409, detail: /your own way in/ },
      `${method} ${path}`,
    )
  }
  t.equal((await own('PATCH', `/users/${sub}`, { roles: ['mintmark:admin'] })).statusCode, 200)
  t.equal((await own('DELETE', `/users/${sub}`)).statusCode, 204)
})

t.test('an admin API that could not be opened is opened for the next request', async t => {
  const { ctx } = await startServer(t)
  let isBroken = false
  const breakable = new Proxy(ctx, {
    get: (of, name: keyof typeof ctx) => {
      if (name !== 'counts' || !isBroken) return of[name]
      isBroken = false
      throw new Error('a fault of ours')
    },
  })
  const app = buildApp(breakable)
  t.teardown(() => app.close())
  await app.ready()
  isBroken = true
  t.equal((await app.inject('/admin/v1/users')).statusCode, 503)
  t.equal((await app.inject('/admin/v1/users')).statusCode, 401)
})
