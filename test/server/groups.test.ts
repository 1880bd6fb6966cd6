import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import {
  changeMembership,
  countMembers,
  emptyDeletedGroup,
  keepMembers,
  pageOfMembers,
} from '../../db/users/group-members.ts'
import { changeGroup, deleteGroup as deleteGroupRow, findGroup } from '../../db/users/groups.ts'
import { findUserById } from '../../db/users/users.ts'
import {
  createGroup,
  deleteGroup,
  listGroups,
  pageOfMembers as pageOfMemberUsers,
  setMembership,
  updateGroup,
} from '../../src/admin/groups.ts'
import type { Admin } from '../../src/admin/admin.ts'
import { updateResource } from '../../src/admin/resources.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import { createUser, deleteUser, updateUser } from '../../src/admin/users.ts'
import { Refusal } from '../../src/errors.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { itemsOf } from '../../src/values/list.ts'
import { codeFor, claimsOf, forLogIns } from '../helpers/codes.ts'
import { forEachEngine, onPostgres, type EngineEnv } from '../helpers/engines.ts'
import { waitingHere } from '../helpers/postgres.ts'
import { runJob } from '../helpers/run-job.ts'
import { runsOf } from '../helpers/runs.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

const api = 'https://api.example'
const other = 'https://other.example'

async function world(t: Test, env: EngineEnv = {}) {
  const server = await startServer(t, env)
  await server.resource(api)
  await server.resource(other, { scope: 'see' })
  const admin = await adminAt(server)
  const ada = await server.user('ada', 'own')
  return { server, admin, ada }
}

async function adminAt({ ctx }: TestServer): Promise<Admin> {
  return servedAdmin(ctx, { actor: { kind: 'command', user: 'root' }, isLimited: false }, ctx.log)
}

await forEachEngine(
  t,
  'the tokens of a member have the roles of its groups, as its resource wants them',
  async (t, env) => {
    const { server, admin, ada } = await world(t, env)
    const app = await server.client('app', { resources: `${api} ${other}`, scope: 'read write see' })
    await createGroup(admin, { name: 'staff', roles: ['editor', `boss@${api}`, `guest@${other}`, 'own'] })
    await createGroup(admin, { name: 'empty', roles: [] })
    let tokens = await server.logIn(app, ada)
    const told = async (resource = api) => {
      await server.follow()
      server.tick(60)
      tokens = { ...tokens, ...(await server.refresh(app, tokens.refresh_token, { resource })) }
      const { roles, groups } = claimsOf(tokens.access_token)
      return { ...(roles !== undefined && { roles }), ...(groups !== undefined && { groups }) }
    }
    t.strictSame(await told(), { roles: ['own'] })
    await setMembership(admin, 'staff', 'ada', true)
    await setMembership(admin, 'empty', 'ada', true)
    t.strictSame(await told(), { roles: ['own', 'editor', 'boss'] }, 'at the next refresh')
    t.strictSame(await told(other), { roles: ['own', 'editor', 'guest'] }, 'and each resource has its own')
    t.strictSame(claimsOf((await server.logIn(app, ada)).access_token)['roles'], ['own', 'editor', 'boss'])

    await updateResource(admin, api, { claims: ['groups'] })
    t.strictSame(await told(), { groups: ['staff', 'empty'] })
    await updateResource(admin, api, { claims: ['groups', 'roles'] })
    t.strictSame(await told(), { groups: ['staff', 'empty'], roles: ['own', 'editor', 'boss'] })
    await updateGroup(admin, 'staff', [])
    t.strictSame(await told(), { groups: ['staff', 'empty'], roles: ['own'] })
    await deleteGroup(admin, 'staff', { force: true })
    await setMembership(admin, 'empty', 'ada', false)
    await updateUser(admin, 'ada', { roles: null })
    t.strictSame(await told(), { groups: [], roles: [] }, 'a list also where it is empty')
    t.strictSame(await told(other), {}, 'but not for a resource that has not said what it wants')
    await updateResource(admin, api, { claims: [] })
    await updateUser(admin, 'ada', { roles: ['editor'] })
    t.strictSame(await told(), {})
    t.strictSame(await told(other), { roles: ['editor'] })

    await updateResource(admin, api, { claims: ['groups', 'roles'] })
    await server.follow()
    const machine = await server.post('/token', {
      grant_type: 'client_credentials',
      resource: api,
      ...app.form,
    })
    t.match(claimsOf(machine.json().access_token), { groups: [], roles: [] }, 'of a machine too')
  },
)

await forEachEngine(
  t,
  'an ID token and /userinfo tell the groups to a client that wants them',
  async (t, env) => {
    const { server, admin, ada } = await world(t, env)
    await createGroup(admin, { name: 'staff', roles: ['editor', `boss@${api}`] })
    await setMembership(admin, 'staff', 'ada', true)
    const settings = { isPublic: true, ...forLogIns, resources: api } as const
    const logIn = async (id: string, more: object, scope: string) => {
      const app = await server.client(id, { ...settings, ...more })
      const { form } = await codeFor(server, app, ada, { scope })
      const { id_token, access_token } = (await server.post('/token', { ...app.form, ...form })).json()
      const headers = { authorization: `Bearer ${access_token}` }
      const userinfo = (await server.request({ url: '/userinfo', headers })).json()
      const pick = ({ roles, groups }: Record<string, unknown>) => [roles, groups]
      return { idToken: pick(claimsOf(id_token)), userinfo: pick(userinfo) }
    }
    const roles = ['own', 'editor']
    const [none, both] = [
      [undefined, undefined],
      [roles, ['staff']],
    ]
    t.strictSame(await logIn('a', {}, 'openid'), { idToken: none, userinfo: none })
    t.strictSame(
      await logIn('b', {}, 'openid roles'),
      { idToken: none, userinfo: [roles, undefined] },
      'for all alone',
    )
    t.strictSame(await logIn('c', { claims: 'groups roles' }, 'openid'), { idToken: none, userinfo: both })
    const told = { claims: 'groups', claims_in_id_token: 1 }
    t.strictSame(await logIn('d', told, 'openid roles'), { idToken: both, userinfo: both })
    t.strictSame(
      await logIn('e', { ...told, claims: '' }, 'openid'),
      { idToken: none, userinfo: none },
      'not without its wish',
    )
  },
)

await forEachEngine(t, 'a refresh of a member reads no more than that of anybody else', async (t, env) => {
  const { server, admin, ada } = await world(t, env)
  const app = await server.client('app', { resources: api })
  await createGroup(admin, { name: 'staff', roles: ['editor'] })
  await setMembership(admin, 'staff', 'ada', true)
  await updateResource(admin, api, { claims: ['roles', 'groups'] })
  await server.follow()
  let tokens = await server.logIn(app, ada)
  tokens = { ...tokens, ...(await server.refresh(app, tokens.refresh_token)) }
  // All that is read by a query goes through one of these two.
  const { db } = server.ctx
  const asked: string[] = []
  const { read } = db
  Object.assign(db, { read: (query: { sql: string }) => (asked.push(query.sql), read(query as never)) })
  const selectFrom = db.sql.selectFrom.bind(db.sql)
  Object.assign(db.sql, {
    selectFrom: (...args: never[]) => (asked.push(String(args[0])), (selectFrom as Function)(...args)),
  })
  for (let i = 0; i < 3; i++) {
    tokens = { ...tokens, ...(await server.refresh(app, tokens.refresh_token)) }
    t.match(claimsOf(tokens.access_token), { roles: ['own', 'editor'], groups: ['staff'] })
  }
  t.strictSame(asked, [], 'nothing beside its own row')
  await findGroup(db, 'staff')
  t.strictSame(asked, ['groups'], 'and it would have been seen')
})

await forEachEngine(
  t,
  'a deleted group gives nothing at once, and its members leave it in steps',
  async (t, env) => {
    const { server, admin } = await world(t, env)
    const { ctx } = server
    const group = await createGroup(admin, { name: 'many', roles: ['editor'] })
    await createGroup(admin, { name: 'rest', roles: [] })
    const people = Array.from({ length: 1201 }, () => newUuid(ctx.clock.now()))
    const rows = people.map((id, i) => ({
      id,
      username: `u${i}`,
      password_hash: '',
      root_key_id: '',
      roles: '',
      epoch: 0,
      created_at: ctx.clock.now(),
      disabled_at: null,
      claims: '{}',
      mail_epoch: 0,
      group_names: 'many rest',
    }))
    await ctx.db.transact(async transaction => {
      await transaction.insertInto('users').values(rows).execute()
      await keepMembers(transaction, ctx.db.engine, rows)
    })
    t.equal(await countMembers(ctx.db, group.id), 1201)
    const seen: string[] = []
    for (let after: Buffer | undefined; ;) {
      const page = await pageOfMemberUsers(admin, 'many', { after, limit: 500 })
      seen.push(...page.users.map(({ id }) => id.toString('hex')))
      if (!page.next) break
      after = page.next
    }
    t.strictSame(seen, people.map(id => id.toString('hex')).sort(), 'page by page')

    await t.rejects(deleteGroup(admin, 'many', { force: false }), /has members/)
    const { isDone } = await deleteGroup(admin, 'many', { force: true, stepsMax: 1 })
    t.notOk(isDone)
    t.equal(await countMembers(ctx.db, group.id), 701)
    t.strictSame(
      (await listGroups(admin)).map(({ name }) => name),
      ['rest'],
    )
    await t.rejects(setMembership(admin, 'many', 'u1', true), { code: 'not_found' })
    await t.rejects(updateGroup(admin, 'many', []), { code: 'not_found' })
    await t.rejects(deleteGroup(admin, 'many', { force: true }), { code: 'not_found' })
    await t.rejects(
      createGroup(admin, { name: 'many', roles: [] }),
      /still leaving/,
      'nobody comes into a new one unasked',
    )
    await deleteUser(admin, 'u1200')
    await runJob(server, 'emptying deleted groups')
    t.equal(await findGroup(ctx.db, 'many'), undefined)
    t.equal(await countMembers(ctx.db, group.id), 0)
    for (const id of people.slice(0, 3)) t.match(await findUserById(ctx.db, id), { group_names: 'rest' })
    const again = await createGroup(admin, { name: 'many', roles: ['editor'] })
    t.equal(await countMembers(ctx.db, again.id), 0)
  },
)

await forEachEngine(
  t,
  'whatever is done at the same moment, a group has those who are in it',
  async (t, env) => {
    const { server, admin } = await world(t, env)
    const { db, clock } = server.ctx
    const names = ['g', 'h']
    const people = ['p', 'q', 'r']
    const step = fc.record({
      act: fc.constantFrom('join', 'leave', 'create', 'delete', 'deleteUser', 'createUser', 'roles'),
      group: fc.constantFrom(...names),
      person: fc.constantFrom(...people),
    })
    const perform = async ({ act, group, person }: { act: string; group: string; person: string }) => {
      try {
        if (act === 'join' || act === 'leave') await setMembership(admin, group, person, act === 'join')
        if (act === 'create') await createGroup(admin, { name: group, roles: [] })
        if (act === 'delete') await deleteGroup(admin, group, { force: true, stepsMax: clock.now() % 2 })
        if (act === 'deleteUser') await deleteUser(admin, person)
        if (act === 'createUser')
          await createUser(admin, {
            username: person,
            password: 'correct horse 7',
            roles: [],
            groups: [group],
          })
        if (act === 'roles') await updateUser(admin, person, { roles: [`r${clock.now()}`] })
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
      }
      server.tick(1)
    }
    const isWhole = async () => {
      for (const name of names) {
        const group = await findGroup(db, name)
        const members = group
          ? (await pageOfMembers(db, group.id, { limit: 100 })).map(id => id.toString('hex'))
          : []
        const users = await db.sql.selectFrom('users').select(['id', 'group_names']).execute()
        const inside = users.filter(({ group_names }) => itemsOf(group_names).includes(name))
        const ids = inside.map(({ id }) => id.toString('hex'))
        if (JSON.stringify([...members].sort()) !== JSON.stringify(ids.sort())) return false
      }
      return true
    }
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 2, maxLength: 4 }), { maxLength: 8 }),
        async rounds => {
          for (const steps of rounds) {
            await Promise.all(steps.map(perform))
            if (!(await isWhole())) return false
          }
          return true
        },
      ),
      { numRuns: runsOf(20) },
    )
    await runJob(server, 'emptying deleted groups')
    t.ok(await isWhole())
  },
)

await forEachEngine(t, 'of two changes of what was seen, the verbs let one through', async (t, env) => {
  const { server, admin, ada } = await world(t, env)
  const { db } = server.ctx
  const group = await createGroup(admin, { name: 'staff', roles: ['a'] })
  t.ok(await changeGroup(db, group, 'b'))
  t.notOk(await changeGroup(db, group, 'c'))
  t.notOk(await deleteGroupRow(db, group, 1), 'it has other roles by now')
  await createGroup(admin, { name: 'crew', roles: [] })
  const user = { id: ada.id, group_names: '' }
  t.ok(await changeMembership(db, user, { group: 'staff', isMember: true, now: 1 }))
  t.notOk(await changeMembership(db, user, { group: 'crew', isMember: true, now: 1 }))
  t.match(await findUserById(db, ada.id), { group_names: 'staff' })
  t.equal(await countMembers(db, (await findGroup(db, 'crew'))?.id ?? ada.id), 0)
})

await onPostgres(
  t,
  'who comes into a group while it is deleted is out of it in the end, and in all others',
  async (t, env) => {
    const { server, admin, ada } = await world(t, env)
    const { db } = server.ctx
    for (const name of ['staff', 'crew']) await createGroup(admin, { name, roles: [] })
    /** Until somebody else waits for a lock. */
    const isWaited = async () => {
      while ((await sql.raw(waitingHere).execute(db.sql)).rows.length === 0) await setTimeout(5)
    }
    /** A change of the user's groups that has not been committed yet. */
    const change = async (names: string) => {
      const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const done = db.transact(async transaction => {
        const row = { id: ada.id, group_names: names, created_at: 1 }
        await transaction.updateTable('users').set({ group_names: names }).where('id', '=', ada.id).execute()
        await keepMembers(transaction, 'postgres', [row])
        begun.resolve()
        await end.promise
      })
      await begun.promise
      return { done, end: end.resolve }
    }
    const joining = await change('staff')
    const gone = deleteGroup(admin, 'staff', { force: true })
    await isWaited()
    joining.end()
    await Promise.all([joining.done, gone])
    t.match(await findUserById(db, ada.id), { group_names: '' })

    const again = await createGroup(admin, { name: 'staff', roles: [] })
    await setMembership(admin, 'staff', 'ada', true)
    t.ok(await deleteGroupRow(db, again, 1))
    // Of the deleted one, the user has its name as yet.
    const other = await db.sql
      .selectFrom('groups')
      .selectAll()
      .where('name', '=', 'crew')
      .executeTakeFirstOrThrow()
    const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const changing = db.transact(async transaction => {
      await transaction
        .updateTable('users')
        .set({ group_names: 'staff crew' })
        .where('id', '=', ada.id)
        .execute()
      const member = { id: Buffer.concat([other.id, ada.id]), since: 1 }
      await transaction.insertInto('group_members').values(member).execute()
      begun.resolve()
      await end.promise
    })
    await begun.promise
    const emptied = emptyDeletedGroup(db, again)
    await isWaited()
    end.resolve()
    await changing
    t.match(await emptied, { isDone: false }, 'somebody else was ahead')
    await runJob(server, 'emptying deleted groups')
    t.match(await findUserById(db, ada.id), { group_names: 'crew' })
  },
)

t.test('what is refused of roles and groups', async t => {
  const { admin } = await world(t)
  await createGroup(admin, { name: 'staff', roles: [] })
  const roles = (...roles: string[]) => updateUser(admin, 'ada', { roles })
  await t.rejects(roles(`editor@https://nowhere.example`), /for a resource that is not there/)
  await t.rejects(roles(`mintmark:admin@${api}`), /for no resource/)
  await t.rejects(roles('a b'), /is no role/)
  await t.rejects(roles(...Array.from({ length: 101 }, (_, i) => `r${i}`)), /at most 100/)
  await t.rejects(updateGroup(admin, 'staff', ['x@https://nowhere.example']), /not there/)
  await t.rejects(createGroup(admin, { name: 'staff', roles: [] }), /exists already/)
  await t.rejects(createGroup(admin, { name: 'a b', roles: [] }), /name takes/)
  const bob = { username: 'bob', password: 'correct horse 7', roles: [] }
  await t.rejects(createUser(admin, { ...bob, groups: ['staff', 'nowhere'] }), { code: 'not_found' })
  t.match(await createUser(admin, { ...bob, groups: ['staff'] }), { group_names: 'staff' })
  for (let i = 0; i < 100; i++) {
    await createGroup(admin, { name: `g${i}`, roles: [] })
    if (i < 99) await setMembership(admin, `g${i}`, 'bob', true)
  }
  await t.rejects(setMembership(admin, 'g99', 'bob', true), /which is the most/)
  t.match(await setMembership(admin, 'g98', 'bob', true), { isChanged: false })
})
