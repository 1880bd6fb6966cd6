import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createGroup, setMembership } from '../../src/admin/groups.ts'
import type { Admin } from '../../src/admin/admin.ts'
import { explainLogIn } from '../../src/admin/explain.ts'
import { createOwnClaim, deleteOwnClaimOf, updateOwnClaim } from '../../src/admin/own-claims.ts'
import { updateResource } from '../../src/admin/resources.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { updateUser } from '../../src/admin/users.ts'
import { ownClaimProblems, ownClaimValue, readSource, type OwnClaim } from '../../src/protocol/own-claims.ts'
import { registeredClaims } from '../../src/protocol/registered-claims.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { commandLine } from '../helpers/cli.ts'
import { claimsOf, codeFor, forLogIns } from '../helpers/codes.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { runJob } from '../helpers/run-job.ts'
import { runsOf } from '../helpers/runs.ts'
import { startServer } from '../helpers/server.ts'

const api = 'https://api.example'

async function world(t: Test, env: EngineEnv = {}) {
  const server = await startServer(t, env)
  await server.resource(api)
  const by = { actor: { kind: 'command', user: 'root' }, isLimited: false } as const
  const admin: Admin = servedAdmin(server.ctx, by, server.ctx.log)
  const ada = await server.user('ada', 'gold')
  return { server, admin, ada }
}

const claims: readonly OwnClaim[] = [
  { name: 'plan', kind: 'string', source: { roles: { gold: 'Gold', silver: 'Silver' }, otherwise: 'free' } },
  { name: 'https://example.com/teams', kind: 'array', source: { groups: { staff: 'Staff', crew: 'Crew' } } },
  { name: 'tenant', kind: 'string', source: { constant: 'acme' } },
  { name: 'tags', kind: 'array', source: { constant: ['a', 'b'] } },
  { name: 'language', kind: 'string', source: { user: 'locale' } },
  { name: 'nick', kind: 'string', source: { user: 'username' } },
  { name: 'land', kind: 'string', source: { user: 'address.country' } },
  { name: 'is_boss', kind: 'boolean', source: { roles: { boss: true }, otherwise: false } },
]

await forEachEngine(
  t,
  'tokens have the claims of your own that their resource or client wants',
  async (t, env) => {
    const { server, admin, ada } = await world(t, env)
    for (const claim of claims) await createOwnClaim(admin, claim)
    const names = claims.map(({ name }) => name)
    await createGroup(admin, { name: 'staff', roles: [`boss@${api}`] })
    await setMembership(admin, 'staff', 'ada', true)
    await updateUser(admin, 'ada', {
      roles: undefined,
      claims: [
        { kind: 'set', name: 'locale', value: 'de' },
        { kind: 'set', name: 'address', value: { country: 'DE' } },
      ],
    })
    const app = await server.client('app', {
      isPublic: true,
      ...forLogIns,
      resources: api,
      claims: names.join(' '),
      claims_in_id_token: 1,
    })
    const plain = await server.client('plain', { isPublic: true, ...forLogIns, resources: api })
    const logIn = async (client: typeof app) => {
      const { form } = await codeFor(server, client, ada, { scope: 'openid read' })
      const first = (await server.post('/token', { ...client.form, ...form })).json()
      const headers = { authorization: `Bearer ${first.access_token}` }
      const userinfo = (await server.request({ url: '/userinfo', headers })).json()
      const later = await server.refresh(client, first.refresh_token)
      const told = [first.access_token, later.access_token, first.id_token].map(claimsOf)
      return [...told, userinfo].map(claims =>
        names.flatMap(name => (name in claims ? [[name, claims[name]]] : [])),
      )
    }
    const none: unknown[] = []
    t.strictSame(await logIn(plain), [none, none, none, none])
    await updateResource(admin, api, { claims: names })
    await server.follow()
    const atApi = [
      ['plan', 'Gold'],
      ['https://example.com/teams', ['Staff']],
      ['tenant', 'acme'],
      ['tags', ['a', 'b']],
      ['language', 'de'],
      ['nick', 'ada'],
      ['land', 'DE'],
      ['is_boss', true],
    ]
    const atClient = atApi.map(([name, value]) => (name === 'is_boss' ? [name, false] : [name, value]))
    t.strictSame(await logIn(plain), [atApi, atApi, none, none])
    t.strictSame(
      await logIn(app),
      [atApi, atApi, atClient, atClient],
      'a role for one API is none for the client',
    )

    const machine = await server.client('machine', { resources: api })
    const token = await server.post('/token', { grant_type: 'client_credentials', ...machine.form })
    const { plan, tenant, language } = claimsOf(token.json().access_token)
    t.strictSame([plan, tenant, language], ['free', 'acme', undefined], 'a machine is nobody')

    await t.rejects(
      deleteOwnClaimOf(admin, 'plan', { force: false }),
      /is wanted by https:\/\/api.example, app/,
    )
    t.strictSame(await deleteOwnClaimOf(admin, 'plan', { force: true }), [api, 'app'])
    await updateOwnClaim(admin, 'tenant', { source: { constant: 'other' } })
    await server.follow()
    const [after] = await logIn(app)
    t.strictSame(after?.slice(0, 2), [
      ['https://example.com/teams', ['Staff']],
      ['tenant', 'other'],
    ])
  },
)

t.test('what can be no claim of your own', async t => {
  const problems = (claim: object) =>
    [
      ...ownClaimProblems({ name: 'x', kind: 'string', source: { constant: 'a' }, ...claim } as OwnClaim),
    ].join('; ')
  t.equal(problems({}), '')
  for (const name of [
    'iss',
    'sub',
    'roles',
    'groups',
    'email',
    'cnf',
    'active',
    'username',
    'acr',
    'scope',
    'nonce',
    'status',
  ])
    t.match(problems({ name }), /has its meaning already/, name)
  for (const name of registeredClaims) t.not(problems({ name }), '', name)
  for (const name of ['', '_x', '__proto__', 'a b', 'a"', 'ä', 'x'.repeat(101), '1a'])
    t.match(problems({ name }), /name takes/, name)
  for (const [claim, problem] of [
    [{ kind: 'number' }, /the constant is to be a number/],
    [{ kind: 'boolean' }, /true or false/],
    [{ kind: 'array', source: { constant: ['a', 1] } }, /a list of up to 100 texts/],
    [{ source: { constant: 'x'.repeat(1025) } }, /up to 1024/],
    [{ kind: 'array', source: { constant: Array(50).fill('x'.repeat(100)) } }, /more than 4096 bytes/],
    [{ source: { user: 'password_hash' } }, /no field of a user/],
    [{ kind: 'number', source: { user: 'email' } }, /of the kind string/],
    [{ source: { user: 'address' } }, /no field of a user/],
    [{ source: { roles: {} } }, /1 to 100 names/],
    [{ source: { roles: { a: 1 } } }, /each value of the map/],
    [{ source: { groups: { a: 'b' }, otherwise: 1 } }, /the value otherwise/],
    [{ kind: 'array', source: { groups: { a: 'b' }, otherwise: 'c' } }, /leave that out/],
  ] as const)
    t.match(problems(claim), problem)
  for (const source of [
    null,
    [],
    {},
    { user: 'a', constant: 'b' },
    { user: 1 },
    { x: 1 },
    { constant: {} },
    { constant: null },
    { roles: { a: [] } },
    { user: 'a', otherwise: 'b' },
  ])
    t.equal(readSource(source), undefined, JSON.stringify(source))
})

t.test('what a resource wants is there, and no more than fits into a token', async t => {
  const { admin } = await world(t)
  await t.rejects(updateResource(admin, api, { claims: ['plan'] }), /there is no claim plan/)
  const long = (name: string) => ({ name, kind: 'string', source: { constant: 'x'.repeat(1000) } }) as const
  for (const name of ['a', 'b', 'c', 'd', 'e']) await createOwnClaim(admin, long(name))
  await updateResource(admin, api, { claims: ['a', 'b', 'c', 'd', 'roles'] })
  await t.rejects(updateResource(admin, api, { claims: ['a', 'b', 'c', 'd', 'e'] }), /4096 are the most/)
  await t.rejects(
    updateOwnClaim(admin, 'a', { kind: 'array', source: { constant: Array(4).fill('x'.repeat(900)) } }),
    /4096/,
  )
  await t.rejects(createOwnClaim(admin, long('a')), /exists already/)
  await t.rejects(createOwnClaim(admin, long('sub')), /has its meaning already/)
  await t.rejects(updateOwnClaim(admin, 'none', {}), { code: 'not_found' })
  await t.rejects(deleteOwnClaimOf(admin, 'none', { force: true }), { code: 'not_found' })
})

t.test('no claim of your own takes the place of another, whatever it is called', async t => {
  const { server, admin, ada } = await world(t)
  const usual = await explainLogIn(admin, {
    user: 'ada',
    client: (await server.client('app', { resources: api })).id,
  })
  const names = usual.tokens.flatMap(({ claims }) => claims.map(({ name }) => name))
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.constantFrom(...names), fc.string({ maxLength: 8 })), async name => {
      const [problem] = ownClaimProblems({ name, kind: 'string', source: { constant: 'evil' } })
      return problem !== undefined || !names.includes(name)
    }),
    { numRuns: runsOf(300) },
  )
  // And if the database had one all the same: those of the token itself come last.
  const row = { name: 'sub', kind: 'string', source: '{"constant":"evil"}', created_at: 0 } as const
  await server.ctx.db.sql.insertInto('own_claims').values(row).execute()
  await server.ctx.db.sql.updateTable('resources').set({ claims: 'sub' }).execute()
  await server.ctx.db.sql.updateTable('installation').set({ revision: 1_000_000 }).execute()
  await server.follow()
  const app = await server.client('other', { resources: api })
  t.equal(claimsOf((await server.logIn(app, ada)).access_token)['sub'], ada.sub)
})

t.test('a map gives the first value that its user has, or all of them as a list', async () => {
  const names = fc.constantFrom<string[]>('a', 'b', 'c')
  fc.assert(
    fc.property(
      fc.dictionary(names, fc.string(), { minKeys: 1 }),
      fc.uniqueArray(names),
      fc.option(fc.string()),
      (roles, held, otherwise) => {
        const facts = { user: undefined, roles: held, groups: [] }
        const source = { roles, ...(otherwise !== null && { otherwise }) }
        const meant = Object.keys(roles)
          .filter(name => held.includes(name))
          .map(name => roles[name])
        const one = ownClaimValue({ kind: 'string', source }, facts)
        const all = ownClaimValue({ kind: 'array', source: { roles } }, facts)
        return (
          one === (meant[0] ?? otherwise ?? undefined) &&
          JSON.stringify(all) === JSON.stringify([...new Set(meant)])
        )
      },
    ),
    { numRuns: runsOf(500) },
  )
})

await forEachEngine(
  t,
  'explain shows what a log-in gets, and why, and leaves nothing behind',
  async (t, env) => {
    const { server, admin, ada } = await world(t, env)
    for (const claim of claims) await createOwnClaim(admin, claim)
    await createGroup(admin, { name: 'staff', roles: ['reader', `boss@${api}`, 'x@urn:other'].slice(0, 2) })
    await setMembership(admin, 'staff', 'ada', true)
    await updateResource(admin, api, { claims: ['roles', 'groups', 'plan', 'tenant', 'nick'] })
    const told = { claims: 'groups plan', claims_in_id_token: 1 }
    const app = await server.client('app', { isPublic: true, ...forLogIns, resources: api, ...told })
    const scope = 'openid profile roles read'
    const countRows = async () =>
      Promise.all(
        (['sessions', 'audit', 'sign_ins', 'token_promises'] as const).map(
          async table => (await server.ctx.db.sql.selectFrom(table).selectAll().execute()).length,
        ),
      )
    const before = await countRows()
    const { tokens, notes } = await explainLogIn(admin, { user: 'ada', client: 'app', scope })
    t.strictSame(await countRows(), before)
    t.strictSame(notes, [])

    const { form } = await codeFor(server, app, ada, { scope })
    const real = (await server.post('/token', { ...app.form, ...form })).json()
    const headers = { authorization: `Bearer ${real.access_token}` }
    const userinfo = (await server.request({ url: '/userinfo', headers })).json()
    const own = new Set(['jti', 'sid', 'iat', 'exp', 'auth_time', 'status', 'nonce', 'at_hash'])
    const rest = (claims: object) =>
      Object.fromEntries(Object.entries(claims).filter(([name]) => !own.has(name)))
    const shown = tokens.map(({ claims }) =>
      rest(Object.fromEntries(claims.map(({ name, value }) => [name, value]))),
    )
    t.strictSame(shown, [claimsOf(real.access_token), claimsOf(real.id_token), userinfo].map(rest))
    t.match(
      tokens.map(({ claims }) => Object.fromEntries(claims.map(({ name, rule }) => [name, rule]))),
      [
        {
          roles: `its resource wants it (\`resource update --claims\`): gold is the user's own; reader is of the group staff; boss@${api} is of the group staff`,
          groups: /its resource wants it/,
          plan: /a claim of your own, by roles: \{"gold":"Gold","silver":"Silver"\}, otherwise "free"/,
          tenant: /the same for all/,
          nick: /the field username of the user/,
        },
        {
          preferred_username: /of the scope profile, which are in ID tokens too/,
          roles: /of the scope roles.*: gold is the user's own; reader is of the group staff$/,
          groups: /its client wants it/,
        },
        {
          groups: /its client wants it \(`client update --claims`\): the groups/,
          plan: /its client wants it/,
        },
      ],
    )
    await t.rejects(explainLogIn(admin, { user: 'zoe', client: 'app' }), { code: 'not_found' })
    await t.rejects(explainLogIn(admin, { user: 'ada', client: 'none' }), { code: 'not_found' })
    await t.rejects(
      explainLogIn(admin, { user: 'ada', client: 'app', resource: 'https://nowhere.example' }),
      { code: 'invalid' },
    )
    await t.rejects(explainLogIn(admin, { user: 'ada', client: 'app', scope: 'nonsense' }), {
      code: 'invalid',
    })
  },
)

t.test('claims and explanations by HTTP', async t => {
  const { server, ada } = await world(t)
  const ask = await adminClient(server, 'admin:clients')
  const made = await ask('POST', '/claims', claims[0])
  t.equal(made.statusCode, 201)
  t.match(made.json(), claims[0] ?? {})
  t.equal((await ask('GET', '/claims/plan')).headers.etag, made.headers.etag)
  t.equal(
    (await ask('PATCH', '/claims/plan', { source: { constant: 'x' } }, { 'if-match': '"y"' })).statusCode,
    412,
  )
  t.match((await ask('PATCH', '/claims/plan', { source: { constant: 'x' } })).json(), {
    source: { constant: 'x' },
  })
  t.equal((await ask('PATCH', '/claims/plan', { source: { user: 'email', constant: 'x' } })).statusCode, 400)
  t.equal((await ask('POST', '/claims', { ...claims[0], name: 'email' })).statusCode, 400)
  t.match((await ask('GET', '/claims')).json(), { items: [{ name: 'plan' }] })
  t.match((await ask('PATCH', `/resources/${encodeURIComponent(api)}`, { claims: ['plan'] })).json(), {
    claims: ['plan'],
  })
  t.equal((await ask('PATCH', `/resources/${encodeURIComponent(api)}`, { claims: ['none'] })).statusCode, 400)
  await server.client('app', { resources: api })
  const path = `/users/${ada.sub}/tokens?client=app`
  t.equal((await ask('GET', path)).statusCode, 403, 'it tells of users too')
  t.equal((await (await adminClient(server, 'admin:users'))('GET', path)).statusCode, 403, 'and of clients')
  const see = await adminClient(server, 'admin:read')
  t.match((await see('GET', path)).json(), {
    tokens: [{ place: 'access_token', claims: { plan: 'x' }, rules: { plan: /own/ } }],
  })
  t.equal((await ask('DELETE', '/claims/plan')).statusCode, 409)
  t.equal((await ask('DELETE', '/claims/plan?force=true')).statusCode, 204)
})

t.test('claims and explanations by the command line', async t => {
  const { call, home } = commandLine(t)
  await call('db migrate')
  await call('resource create https://api.example --scope read')
  await call(
    'client create --id web --public --grant password refresh_token --dpop required --resource https://api.example --scope read',
  )
  await call('user create alice --password-stdin --role gold', { input: 'correct horse 7' })
  t.match(await call('claim create plan --from-roles gold=Gold silver=Silver --otherwise free'), { code: 0 })
  t.match(await call('claim create level --kind number --from-groups staff=3'), { code: 0 })
  t.match(await call('claim create tags --kind array --constant a b'), { code: 0 })
  t.match(await call('claim create x'), { code: 2, stderr: /it needs a source/ })
  t.match(await call('claim create x --constant a --from-user locale'), {
    code: 2,
    stderr: /it has one source/,
  })
  t.match(await call('claim create x --kind number --constant a'), { code: 2, stderr: /"a" is no number/ })
  t.match(await call('claim create x --constant a --otherwise b'), {
    code: 2,
    stderr: /--otherwise goes with/,
  })
  t.match(await call('claim create x --from-roles a'), { code: 2, stderr: /NAME=VALUE/ })
  t.match(await call('claim create email --constant a'), { code: 1, stderr: /has its meaning already/ })
  t.match((await call('claim list')).stdout, /NAME +KIND +SOURCE\nlevel +number/)
  t.match(await call('resource update https://api.example --claims roles plan tags'), { code: 0 })
  t.match(await call('resource update https://api.example --claims nothing'), {
    code: 1,
    stderr: /no claim nothing/,
  })
  t.match(await call('client update web --claims nothing'), { code: 1, stderr: /no claim nothing/ })
  const file = join(home, 'x.json')
  writeFileSync(file, '{"resources":[{"uri":"https://api.example","scope":["read"],"claims":["nothing"]}]}')
  t.match(await call(['apply', file, '--yes']), {
    code: 1,
    stderr: /https:\/\/api.example: there is no claim nothing/,
  })
  t.match((await call('claim update plan --from-roles gold=Au --json')).json(), { changed: true })
  const shown = await call('explain alice web')
  t.match(shown.stdout, /Access token\n/)
  t.match(
    shown.stdout,
    / plan +"Au"\n +its resource wants it .*: a claim of your own, by roles: \{"gold":"Au"\}/,
  )
  t.match((await call('explain alice web https://api.example --json')).json(), {
    tokens: [
      { place: 'access_token', claims: { tags: ['a', 'b'], roles: ['gold'] }, rules: { iss: 'the issuer' } },
    ],
    notes: [],
  })
  await call('user disable alice')
  t.match((await call('explain alice web')).stdout, /note: the user alice is disabled/)
  t.match(await call('explain alice'), { code: 1, stderr: /knows no request alice/ })
  t.match(await call('explain alice web --log x'), { code: 2 })
  t.match(await call('claim delete plan'), { code: 1, stderr: /is wanted by/ })
  t.match(
    (await call('claim delete plan --force')).stdout,
    /Deleted the claim plan\. It was taken from https:\/\/api\.example\./,
  )
})

t.test('explain tells what became of a request, by its id', async t => {
  const server = await startServer(t, {}, Math.floor(Date.now() / 1000))
  const app = await server.client('app')
  const ada = await server.user('ada')
  const refused = await server.post('/token', {
    grant_type: 'password',
    username: 'ada',
    password: 'wrong',
    ...app.form,
  })
  const id = String(refused.headers['x-request-id'])
  await runJob(server, 'writing the audit trail')
  const { explainRequest } = await import('../../src/admin/explain-request.ts')
  const by = { actor: { kind: 'command', user: 'root' }, isLimited: false } as const
  const admin = servedAdmin(server.ctx, by, server.ctx.log)
  const log = join(t.testdir(), 'server.log')
  writeFileSync(
    log,
    ['no json', ...server.log.map(line => JSON.stringify(line)), `{"reqId":"${id}0","msg":"another"}`].join(
      '\n',
    ),
  )
  const known = await explainRequest(admin, id, [log])
  t.match(known.audit, [
    { event: 'log_in_failed', sub: ada.sub, detail: { reason: 'the password is wrong' } },
  ])
  t.ok(known.log.length > 0)
  t.ok(known.log.every(({ reqId }) => reqId === id))
  t.strictSame(await explainRequest(admin, 'none', [log]), { audit: [], log: [] })
})
