import t from 'tap'
import { adminClient, adminPerson } from '../helpers/admin-api.ts'
import { claimsOf } from '../helpers/codes.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { startServer } from '../helpers/server.ts'

await forEachEngine(t, 'groups are made, changed and deleted by HTTP', async (t, env) => {
  const server = await startServer(t, env)
  await server.resource('https://api.example')
  const ask = await adminClient(server, 'admin:users')
  const see = await adminClient(server, 'admin:users:read')
  const made = await ask('POST', '/groups', { name: 'staff', roles: ['editor', 'boss@https://api.example'] })
  t.equal(made.statusCode, 201)
  t.match(made.json(), { name: 'staff', roles: ['editor', 'boss@https://api.example'], created_at: /Z$/ })
  const { etag } = made.headers
  t.equal((await ask('POST', '/groups', { name: 'staff' })).statusCode, 409)
  t.match((await ask('POST', '/groups', { name: 'a b' })).json(), { status: 400 })
  t.match((await ask('POST', '/groups', { name: 'x', roles: ['y@https://nowhere.example'] })).json(), {
    field: 'roles',
  })
  t.equal((await see('POST', '/groups', { name: 'x' })).statusCode, 403)
  t.equal((await see('GET', '/groups/staff')).headers.etag, etag)
  t.equal((await see('GET', '/groups/none')).statusCode, 404)

  const change = (match: string, roles: string[]) =>
    ask('PATCH', '/groups/staff', { roles }, { 'if-match': match })
  t.equal((await change('"other"', [])).statusCode, 412)
  const changed = await change(String(etag), ['reader'])
  t.match(changed.json(), { roles: ['reader'] })
  t.equal((await change(String(etag), ['writer'])).statusCode, 412, 'somebody else has changed it')

  for (const name of ['zebra', 'ape', 'bee']) await ask('POST', '/groups', { name })
  const first = (await see('GET', '/groups?limit=3')).json()
  const second = (await see('GET', `/groups?limit=3&after=${first.next}`)).json()
  const namesOf = ({ items }: { items: { name: string }[] }) => items.map(({ name }) => name)
  t.strictSame([namesOf(first), namesOf(second), second.next], [['ape', 'bee', 'staff'], ['zebra'], null])

  const people = await Promise.all(['ada', 'bob', 'cyd'].map(name => server.user(name)))
  for (const { sub } of people) {
    const added = await ask('POST', '/groups/staff/members', { sub })
    t.equal(added.statusCode, 200)
    t.strictSame(added.json().groups, ['staff'])
    t.equal((await ask('POST', '/groups/staff/members', { sub })).statusCode, 200, 'once more is no fault')
  }
  const page = (await see('GET', '/groups/staff/members?limit=2')).json()
  const rest = (await see('GET', `/groups/staff/members?limit=2&after=${page.next}`)).json()
  const subsOf = ({ items }: { items: { sub: string }[] }) => items.map(({ sub }) => sub)
  t.strictSame([...subsOf(page), ...subsOf(rest)], people.map(({ sub }) => sub).sort())
  t.equal(rest.next, null)
  t.equal(
    (await see('GET', `/groups/ape/members?after=${page.next}`)).statusCode,
    400,
    "it is another list's",
  )
  const [ada, bob] = people
  t.equal((await ask('DELETE', `/groups/staff/members/${ada?.sub}`)).statusCode, 204)
  t.equal((await ask('DELETE', `/groups/staff/members/${ada?.sub}`)).statusCode, 204)
  t.strictSame((await see('GET', `/users/${ada?.sub}`)).json().groups, [])

  t.equal((await ask('DELETE', '/groups/staff')).statusCode, 409)
  t.equal((await ask('DELETE', '/groups/staff?force=true')).statusCode, 204)
  t.strictSame((await see('GET', `/users/${bob?.sub}`)).json().groups, [])
  const eve = { username: 'eve', password: 'a wholly new one', groups: ['ape'] }
  t.match((await ask('POST', '/users', eve)).json(), { groups: ['ape'] })
  t.equal((await ask('POST', '/users', { ...eve, username: 'eva', groups: ['staff'] })).statusCode, 404)
})

await forEachEngine(
  t,
  'who is in a group of administrators is one, from the next request on',
  async (t, env) => {
    const server = await startServer(t, env)
    const root = await adminClient(server, 'admin:write')
    const narrow = await adminClient(server, 'admin:users')
    await root('POST', '/groups', { name: 'admins', roles: ['mintmark:admin'] })
    await root('POST', '/groups', { name: 'staff', roles: [] })
    const ada = await server.user('ada')
    const own = await adminPerson(server, ada)
    t.equal((await own('GET', '/users')).statusCode, 403)
    const member = `/groups/admins/members/${ada.sub}`
    for (const [method, path, body] of [
      ['POST', '/groups/admins/members', { sub: ada.sub }],
      ['POST', '/groups', { name: 'thieves', roles: ['mintmark:support'] }],
      ['PATCH', '/groups/staff', { roles: ['mintmark:admin'] }],
      ['PATCH', '/groups/admins', { roles: [] }],
      ['DELETE', '/groups/admins', undefined],
      ['DELETE', member, undefined],
      ['POST', '/users', { username: 'x', password: 'a wholly new one', groups: ['admins'] }],
      ['POST', '/users/invitations', { username: 'x', email: 'x@example.com', groups: ['admins'] }],
    ] as const)
      t.match(
        (await narrow(method, path, body)).json(),
        { status: 403, code: 'forbidden' },
        `${method} ${path}`,
      )

    t.equal((await root('POST', '/groups/admins/members', { sub: ada.sub })).statusCode, 200)
    t.equal((await own('GET', '/users')).statusCode, 200)
    for (const [method, path, body] of [
      ['POST', `/users/${ada.sub}/password`, { password: 'a wholly new one' }],
      ['POST', '/groups/staff/members', { sub: ada.sub }],
      ['DELETE', `/users/${ada.sub}`, undefined],
    ] as const)
      t.match(
        (await narrow(method, path, body)).json(),
        { status: 403, code: 'forbidden' },
        `${method} ${path}`,
      )

    const ends = [
      ['DELETE', member, undefined],
      ['PATCH', '/groups/admins', { roles: ['editor'] }],
      ['DELETE', '/groups/admins?force=true', undefined],
      ['POST', `/users/${ada.sub}/disable`, undefined],
    ] as const
    for (const [method, path, body] of ends)
      t.match(
        (await own(method, path, body)).json(),
        { status: 409, detail: /your own way in/ },
        `${method} ${path}`,
      )
    t.equal(
      (await own('PATCH', `/users/${ada.sub}`, { roles: ['editor'] })).statusCode,
      200,
      'the group is left',
    )
    t.equal((await own('PATCH', '/groups/admins', { roles: ['mintmark:support'] })).statusCode, 200)
    await root('PATCH', '/groups/admins', { roles: ['mintmark:admin'] })
    await root('PATCH', `/users/${ada.sub}`, { roles: ['mintmark:admin'] })
    t.equal((await own('DELETE', member)).statusCode, 204, 'the role of its own is left')

    await root('PATCH', `/users/${ada.sub}`, { roles: [] })
    t.equal((await own('GET', '/users')).statusCode, 403, 'and from the next request on no more')
  },
)

t.test('a group of administrators needs a second factor where administrators do', async t => {
  const server = await startServer(t, { MINTMARK_REQUIRE_SECOND_FACTOR: 'admins' })
  const root = await adminClient(server, 'admin:write')
  const app = await server.client('app')
  const ada = await server.user('ada')
  await root('POST', '/groups', { name: 'admins', roles: ['mintmark:admin'] })
  t.ok(claimsOf((await server.logIn(app, ada)).access_token))
  await root('POST', '/groups/admins/members', { sub: ada.sub })
  await t.rejects(server.logIn(app, ada), /a second factor is needed/)
})
