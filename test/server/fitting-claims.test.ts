import t from 'tap'
import { checkTokens } from '../../src/admin/doctor/tokens.ts'
import { explainLogIn } from '../../src/admin/explain.ts'
import { createGroup, setMembership } from '../../src/admin/groups.ts'
import { updateResource } from '../../src/admin/resources.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { updateUser } from '../../src/admin/users.ts'
import { claimsBytesMax, fittingClaims, leftOut } from '../../src/protocol/fitting-claims.ts'
import { claimsOf, codeFor, forLogIns } from '../helpers/codes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { personalToken } from '../helpers/personal-tokens.ts'
import { startServer } from '../helpers/server.ts'

const api = 'https://api.example'
const many = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}-${i}`)

t.test('what does not fit is left out as a whole, the longest first', async t => {
  const of = (bytes: number) => 'x'.repeat(bytes - '{"roles":[""]}'.length)
  const most = { roles: [of(claimsBytesMax)] }
  t.equal(fittingClaims(most, '/x'), most)
  const more = fittingClaims({ roles: [of(claimsBytesMax + 1)], plan: 'gold' }, '/x')
  t.strictSame(more, {
    plan: 'gold',
    _claim_names: { roles: 'issuer' },
    _claim_sources: { issuer: { endpoint: '/x' } },
  })
  t.strictSame(leftOut(more), ['roles'])
  t.strictSame(leftOut({ roles: [] }), [])
  const both = fittingClaims({ groups: [of(6000)], plan: 'gold', roles: [of(7000)] }, '/x')
  t.strictSame(leftOut(both), ['roles', 'groups'], 'as many as it takes')
  t.equal(both['plan'], 'gold')
  const one = fittingClaims({ groups: [of(4000)], roles: [of(4500)] }, '/x')
  t.strictSame(leftOut(one), ['roles'], 'and no more')
  t.strictSame(leftOut(fittingClaims({ title: 'ä'.repeat(2600) }, '/x')), ['title'], 'bytes, not characters')
})

await forEachEngine(t, 'a user with more roles and groups than a token has room for', async (t, env) => {
  const server = await startServer(t, env)
  await server.resource(api, { personal_access_tokens: 1 })
  const by = { actor: { kind: 'command', user: 'root' }, isLimited: false } as const
  const admin = servedAdmin(server.ctx, by, server.ctx.log)
  const ada = await server.user('ada', 'own')
  await server.user('bob', many('role', 100).join(' '))
  const roles = many('a-role-of-some-length', 100)
  for (const [i, name] of many('group', 3).entries()) {
    await createGroup(admin, { name, roles: roles.map(role => `${role}-${i}`) })
    await setMembership(admin, name, 'ada', true)
  }
  const all = ['own', ...[0, 1, 2].flatMap(i => roles.map(role => `${role}-${i}`))]
  await updateResource(admin, api, { claims: ['groups', 'roles'] })
  const settings = { claims: 'groups', claims_in_id_token: 1, resources: api } as const
  const app = await server.client('app', { isPublic: true, ...forLogIns, ...settings })
  const service = await server.client('service', { introspects: api })
  await server.follow()
  const { form } = await codeFor(server, app, ada, { scope: 'openid roles read' })
  const first = (await server.post('/token', { ...app.form, ...form })).json()
  const refreshed = { ...first, ...(await server.refresh(app, first.refresh_token)) }
  const at = (path: string) => ({ issuer: { endpoint: `${server.ctx.config.issuer}${path}` } })
  for (const token of [first.access_token, refreshed.access_token]) {
    t.ok(token.length < 1500, 'the token is short')
    t.match(claimsOf(token), {
      groups: many('group', 3),
      roles: undefined,
      _claim_names: { roles: 'issuer' },
      _claim_sources: at('/introspect'),
    })
    const told = (await server.post('/introspect', { token, ...service.form })).json()
    t.strictSame([told.groups, told.roles], [many('group', 3), all], 'the API is told all where it asks')
    t.notMatch(Object.keys(told).join(' '), /_claim/)
  }
  for (const token of [first.id_token, refreshed.id_token])
    t.match(claimsOf(token), {
      groups: many('group', 3),
      roles: undefined,
      _claim_names: { roles: 'issuer' },
      _claim_sources: at('/userinfo'),
    })
  const headers = { authorization: `Bearer ${refreshed.access_token}` }
  t.strictSame(
    (await server.request({ url: '/userinfo', headers })).json().roles,
    all,
    'and so is its client',
  )

  const { notes, tokens } = await explainLogIn(admin, { user: 'ada', client: 'app', scope: 'openid roles' })
  t.strictSame(notes, [
    'the access token is without roles, which /introspect tells: it has room for 5000 bytes of claims',
    'the ID token is without roles, which /userinfo tells: it has room for 5000 bytes of claims',
  ])
  t.match(
    tokens[0]?.claims.find(({ name }) => name === '_claim_names'),
    { rule: /^those that are left out/ },
  )
  const [finding, ...others] = await checkTokens(admin)
  t.match(finding, { verdict: 'warning', text: /^access tokens of 1 user .*: ada \(roles\)$/ })
  t.strictSame(others, [])

  await updateResource(admin, api, { claims: null })
  await updateUser(admin, 'ada', { roles: many('x'.repeat(80), 99) })
  for (const group of many('group', 3)) await setMembership(admin, group, 'ada', false)
  await server.follow()
  const plain = await server.client('plain', { resources: api })
  const { access_token } = await server.logIn(plain, ada)
  t.match(
    claimsOf(access_token),
    { roles: undefined, _claim_names: { roles: 'issuer' } },
    'roles of its own too',
  )
  const told = (await server.post('/introspect', { token: access_token, ...service.form })).json()
  t.equal(told.roles.length, 99)
  const { text: token } = await personalToken(server, ada)
  const ofToken = (await server.post('/introspect', { token, ...service.form })).json()
  t.equal(ofToken.roles.length, 99, 'nothing is left out where there is no token that says it')
  t.notOk('_claim_names' in ofToken)
  await updateUser(admin, 'ada', { roles: ['own'] })
  t.strictSame(await checkTokens(admin), [])
})
