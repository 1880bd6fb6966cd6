import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { applier, commandLine } from '../helpers/cli.ts'

t.test('groups and roles by the command line', async t => {
  const commands = commandLine(t)
  const { call } = commands
  await call('db migrate')
  await call('resource create https://api.example --scope read --claims roles groups')
  for (const name of ['alice', 'bob'])
    await call(`user create ${name} --password-stdin`, { input: 'correct horse 7' })
  const made = await call('group create staff --role editor boss@https://api.example')
  t.equal(made.stdout, 'Created the group staff\n  roles  editor boss@https://api.example\n')
  t.match(
    (await call('group create staff')).stderr,
    /the group staff exists already: `mintmark group list` shows it/,
  )
  t.match(await call('group create x --role a@https://nowhere.example'), {
    code: 1,
    stderr: /resource that is not there/,
  })
  t.match(await call(['group', 'create', 'a"b']), { code: 2, stderr: /It takes up to 100 characters/ })
  t.match(
    (await call('group list')).stdout,
    /NAME +ROLES +SINCE\nstaff +editor boss@https:\/\/api\.example +2/,
  )
  t.match((await call('group members staff')).stdout, /Nobody is in it: `mintmark group add-user staff USER`/)

  t.equal(
    (await call('group add-user staff alice bob')).stdout,
    'Put 2 users into the group staff: their next tokens say so.\n',
  )
  const again = await call('group add-user staff alice --json')
  t.strictSame(again.json(), { name: 'staff', changed: [] })
  t.match((await call('group add-user staff alice')).stdout, /Put 0 users .* The others were in it\./)
  t.match(await call('group add-user staff zoe'), { code: 1, stderr: /there is no user zoe/ })
  t.match(await call('group add-user none alice'), { code: 1, stderr: /there is no group none/ })
  t.match((await call('group show staff --json')).json(), {
    members: 2,
    roles: ['editor', 'boss@https://api.example'],
  })
  t.match((await call('group show staff')).stdout, /members +2/)
  t.match((await call('group members staff')).stdout, /(alice|bob) .* staff .*\n(alice|bob) .* staff /)
  t.match((await call('user list --json')).json(), [
    { username: 'alice', groups: ['staff'] },
    { username: 'bob' },
  ])
  t.equal(
    (await call('group remove-user staff bob')).stdout,
    'Took 1 user out of the group staff: their next tokens say so.\n',
  )

  t.match(
    (await call('group update staff --role reader')).stdout,
    /roles: editor boss@https:\/\/api\.example -> reader/,
  )
  t.match((await call('group update staff --role reader')).stdout, /The group staff is so already/)
  t.match((await call('group update staff --no-role --json')).json(), { differences: { roles: { to: [] } } })
  t.match(await call('group delete staff'), { code: 1, stderr: /has members: --force takes them out/ })
  t.match(await call('group delete staff --force'), { code: 0, stdout: /Deleted the group staff/ })
  t.match((await call('group list')).stdout, /There is no group yet/)
  const events = (await call('audit list --json')).json() as { event: string; detail: object }[]
  t.strictSame(
    events.filter(({ event }) => event.startsWith('group_')).map(({ event }) => event),
    ['group_created', 'group_changed', 'group_changed', 'group_deleted'],
  )

  const declare = applier(commands)
  const declared = 'groups: [{ name: crew, roles: [sailor, cook@https://api.example] }, { name: rest }]'
  const applied = await declare(declared)
  t.match(applied.json().changes, [
    {
      action: 'create',
      kind: 'group',
      name: 'crew',
      differences: { roles: { to: ['sailor', 'cook@https://api.example'] } },
    },
    { action: 'create', kind: 'group', name: 'rest' },
  ])
  t.match((await declare(declared)).json(), { applied: false })
  t.match((await declare('groups: [{ name: crew }]')).json().changes, [
    { action: 'change', differences: { roles: { to: [] } } },
  ])
  const told = ((await call('audit list --json')).json() as { event: string; detail: object }[])
    .filter(({ event }) => event.startsWith('group_'))
    .slice(4)
  t.match(told, [
    { event: 'group_created', detail: { group: 'crew', roles: ['sailor', 'cook@https://api.example'] } },
    { event: 'group_created', detail: { group: 'rest', roles: [] } },
    { event: 'group_changed', detail: { group: 'crew', roles: { to: [] } } },
  ])
  t.match((await call('group list --json')).json(), [{ name: 'crew', roles: [] }, { name: 'rest' }])
  t.match(await declare('groups: [{ name: crew, roles: [a@https://nowhere.example] }]'), {
    code: 1,
    stderr: /crew: the role/,
  })
  t.match(await declare('groups: [{ name: a b }, { name: x, roles: [a b, 1] }]'), {
    code: 1,
    stderr: /groups\[0\]\.name takes up to 100[^]*groups\[1\]\.roles takes a list of roles/,
  })
  const roles = 'users: [{ username: alice, roles: [a@https://api.example] }]'
  t.match((await declare(roles)).json().changes, [{ kind: 'user', action: 'change' }])
  t.match((await declare(roles)).json(), { applied: false }, 'what is written is what is read')
  t.match((await call('user list --json')).json()[0], { roles: ['a@https://api.example'] })
  t.match(await declare('users: [{ username: alice, roles: [a@https://nowhere.example] }]'), {
    code: 1,
    stderr: /alice: the role/,
  })
  t.match(await declare('groups: [{ name: x }, { name: x }]'), { code: 1, stderr: /declared more than once/ })
  t.match(
    (
      await declare(
        'resources: [{ uri: https://new.example, claims: [] }]\ngroups: [{ name: x, roles: [a@https://new.example] }]',
      )
    ).json().changes,
    [{ action: 'create', differences: { claims: { to: [] } } }, { action: 'create' }],
    'a role for a resource of the same file',
  )
})

t.test('users go out and come in with their groups, and roles for a resource', async t => {
  const { call, home } = commandLine(t)
  await call('db migrate')
  await call('resource create https://api.example --scope read')
  await call('group create staff')
  const input = 'correct horse 7'
  await call('user create alice --password-stdin --role boss@https://api.example --group staff', { input })
  t.match(await call('user create bob --password-stdin --group none', { input }), {
    code: 1,
    stderr: /no group none/,
  })
  const { stdout } = await call('user export')
  t.match(JSON.parse(stdout), { roles: ['boss@https://api.example'], groups: ['staff'] })
  const file = join(home, 'users.jsonl')
  await call('user delete alice')
  const lines = [
    stdout.trim(),
    '{"username":"carl","groups":"staff","roles":"a b@https://api.example"}',
    '{"username":"dan","groups":["none"]}',
    '{"username":"eve","groups":[1]}',
  ]
  writeFileSync(file, lines.join('\n'))
  const imported = await call(['user', 'import', file])
  t.match(imported.stderr, /entry 3 \(dan\): there is no group "none": `mintmark group create` adds it/)
  t.match(imported.stderr, /entry 4 \(eve\): groups takes a list of at most 100 names/)
  t.match((await call('user list --json')).json(), [
    { username: 'alice', roles: ['boss@https://api.example'], groups: ['staff'] },
    { username: 'carl', roles: ['a', 'b@https://api.example'], groups: ['staff'] },
  ])
  t.match((await call('group show staff --json')).json(), { members: 2 })
  await call('user delete alice')
  t.match((await call('group show staff --json')).json(), { members: 1 })
})
