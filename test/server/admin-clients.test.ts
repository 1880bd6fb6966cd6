import t from 'tap'
import type { Admin } from '../../src/admin/admin.ts'
import { applyPlan } from '../../src/admin/apply.ts'
import { planDeclaration } from '../../src/admin/plan.ts'
import { clientForKeys, rotateSecret, setKeys } from '../../src/admin/client-credentials.ts'
import {
  createClient,
  deleteClient,
  describeClient,
  disableClient,
  enableClient,
  endClientSessions,
  existingClient,
  pageOfClients,
  updateClient,
} from '../../src/admin/clients.ts'
import { parseDeclaration } from '../../src/admin/declaration.ts'
import {
  createGroup,
  deleteGroup,
  describeGroup,
  existingGroup,
  updateGroup,
} from '../../src/admin/groups.ts'
import { etagOf } from '../../src/admin/precondition.ts'
import {
  deleteResource,
  describeResource,
  existingResource,
  pageOfResources,
  updateResource,
} from '../../src/admin/resources.ts'
import { servedAdmin } from '../../src/admin/served.ts'
import {
  deleteUser,
  describeUser,
  disableUser,
  enableUser,
  existingUser,
  setPassword,
  updateUser,
} from '../../src/admin/users.ts'
import { plainProperties } from '../../src/clients/properties.ts'
import type { Actor } from '../../src/record/actor.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { testKey } from '../helpers/proofs.ts'
import { startServer, type TestServer } from '../helpers/server.ts'

const refused = (code: string, text: RegExp) => ({ name: 'Refusal', code, text })

const root: Actor = { kind: 'command', user: 'root' }

async function adminOf({ ctx }: TestServer, { actor = root, isLimited = false } = {}): Promise<Admin> {
  return servedAdmin(ctx, { actor, isLimited }, ctx.log)
}

/** The same administrator, of whom somebody else is ahead: after what is changed was read, before it is. */
function overtaken(admin: Admin, meanwhile: () => Promise<unknown>): Admin {
  const transact: Admin['db']['transact'] = async work => {
    await meanwhile()
    return admin.db.transact(work)
  }
  return { ...admin, db: { ...admin.db, transact } }
}

type Act = (admin: Admin, name: string) => Promise<unknown>

const newPassword: Act = (admin, username) => setPassword(admin, username, 'a wholly new one')

/** Acts that change a client, or a user, in another way than by settings. */
const ofClients: readonly Act[] = [disableClient, enableClient, deleteClient]
const ofUsers: readonly Act[] = [disableUser, enableUser, deleteUser, newPassword]

const noRoles: Act = (admin, name) => updateGroup(admin, name, [])
const dissolve: Act = (admin, name) => deleteGroup(admin, name, { force: true })
const ofGroups: readonly Act[] = [noRoles, dissolve]

const api = 'https://api.example'
const meanwhileChanged = /somebody else has changed .* meanwhile/

await forEachEngine(t, 'who changes a client that has changed meanwhile is told so', async (t, env) => {
  const server = await startServer(t, env)
  const admin = await adminOf(server)
  const web = await server.client('web', { scope: 'read' })
  const nameIt = (client_name: string) => () => updateClient(admin, 'web', { client_name })
  await t.rejects(
    updateClient(overtaken(admin, nameIt('A')), 'web', { scope: ['write'] }),
    refused('conflict', meanwhileChanged),
  )
  const document = async () => describeClient(await existingClient(admin, 'web'))
  t.match(await document(), { client_name: 'A', scope: ['read'] }, 'nothing is lost, and nothing changed')
  const careful = { ...admin, precondition: etagOf(await document()) }
  await t.rejects(
    updateClient(overtaken(careful, nameIt('B')), 'web', { scope: ['write'] }),
    refused('changed', meanwhileChanged),
    'If-Match counts also for what comes in between',
  )
  await t.rejects(updateClient(careful, 'web', {}), refused('changed', /since it was read/))

  const others = overtaken(admin, () => rotateSecret(admin, 'web', { keepSeconds: 60 }))
  await t.rejects(rotateSecret(others, 'web', { keepSeconds: 60 }), refused('conflict', meanwhileChanged))
  server.tick(1)
  await server.follow()
  const answer = await server.post('/token', { grant_type: 'client_credentials', ...web.form })
  t.equal(answer.statusCode, 200, 'of two new secrets one came to be, and the one before works as was said')

  const { publicJwk: jwk } = await testKey()
  const client = await clientForKeys(admin, 'web')
  await t.rejects(
    setKeys(overtaken(admin, nameIt('C')), client, { jwks: { keys: [jwk] }, jwks_uri: null }, undefined),
    refused('conflict', meanwhileChanged),
  )
  const limited = await adminOf(server, { isLimited: true })
  await t.rejects(
    rotateSecret(
      overtaken(limited, () => updateClient(admin, 'web', { admin: true })),
      'web',
      {},
    ),
    refused('conflict', meanwhileChanged),
    'nobody gets the secret of what is an administrator by then',
  )

  await t.rejects(
    updateClient(
      overtaken(admin, () => deleteClient(admin, 'web')),
      'web',
      { scope: ['write'] },
    ),
    refused('not_found', /no client web/),
  )
})

await forEachEngine(t, 'the end of sessions in between is no change of a client', async (t, env) => {
  const server = await startServer(t, env)
  const admin = await adminOf(server)
  await server.client('web')
  const other = overtaken(admin, () => endClientSessions(admin, 'web'))
  t.match(await updateClient(other, 'web', { scope: ['write'] }), { client: { scope: 'write' } })
})

await forEachEngine(t, 'who changes a resource that has changed meanwhile is told so', async (t, env) => {
  const server = await startServer(t, env)
  const admin = await adminOf(server)
  await server.resource(api, { scope: 'read' })
  const live = (access_token_ttl: number) => () => updateResource(admin, api, { access_token_ttl })
  await t.rejects(
    updateResource(overtaken(admin, live(60)), api, { scope: ['write'] }),
    refused('conflict', meanwhileChanged),
  )
  const document = async () => describeResource(await existingResource(admin, api))
  t.match(await document(), { access_token_ttl: 60, scope: ['read'] })
  const careful = { ...admin, precondition: etagOf(await document()) }
  await t.rejects(
    updateResource(overtaken(careful, live(90)), api, { scope: ['write'] }),
    refused('changed', meanwhileChanged),
  )
  await t.rejects(deleteResource(careful, api, { force: true }), refused('changed', /since it was read/))
  await server.client('app', { resources: api })
  const seen = { ...admin, precondition: etagOf(await document()) }
  await t.rejects(
    deleteResource(overtaken(seen, live(120)), api, { force: true }),
    refused('changed', meanwhileChanged),
    'If-Match counts up to the very deletion',
  )
  t.match(await document(), { access_token_ttl: 120 })
  t.equal((await existingClient(admin, 'app')).resources, api, 'and nothing was taken from clients')
  const gone = () => deleteResource(admin, api, { force: true })
  await t.rejects(
    deleteResource(overtaken(admin, gone), api, { force: true }),
    refused('not_found', /no resource/),
  )
  await server.resource(api, { scope: 'read' })
  await t.resolves(
    deleteResource(overtaken(admin, live(60)), api, { force: true }),
    'without it, the resource is deleted as it is',
  )
  await server.resource(api, { scope: 'read' })
  await t.rejects(
    updateResource(
      overtaken(admin, () => deleteResource(admin, api, { force: true })),
      api,
      { scope: [] },
    ),
    refused('not_found', /no resource/),
  )
})

await forEachEngine(t, 'a plan is applied to what it was made for alone', async (t, env) => {
  const server = await startServer(t, env)
  const admin = await adminOf(server)
  await server.resource(api, { scope: 'read' })
  await server.client('web', { scope: 'read' })
  const plan = async (text: string) => planDeclaration(admin, await parseDeclaration('a test', text))
  const ofClient = await plan('{ clients: [{ client_id: web, grant_types: [password], scope: [write] }] }')
  await updateClient(admin, 'web', { client_name: 'A' })
  await t.rejects(applyPlan(admin, ofClient), refused('conflict', /somebody else/))
  t.match(await existingClient(admin, 'web'), { client_name: 'A', scope: 'read' })
  const ofResource = await plan(`{ resources: [{ uri: '${api}', scope: [write] }] }`)
  await updateResource(admin, api, { status: false })
  await t.rejects(applyPlan(admin, ofResource), refused('conflict', /somebody else/))
  t.match(await existingResource(admin, api), { has_status: 0, scope: 'read' })
})

await forEachEngine(t, 'no client ends its own way in', async (t, env) => {
  const server = await startServer(t, env)
  const ops = { is_admin: 1, grant_types: 'client_credentials', scope: 'admin:write' }
  await server.client('ops', ops)
  await server.client('other', ops)
  const caller = { address: '192.0.2.1', requestId: 'r1' }
  const admin = await adminOf(server, { actor: { kind: 'client', id: 'ops', caller } })
  await server.resource(api)
  const own = refused('conflict', /your own way in/)
  await t.rejects(deleteClient(admin, 'ops'), own)
  await t.rejects(disableClient(admin, 'ops'), own)
  for (const change of [
    { admin: false },
    { scope: ['read'] },
    { grant_types: ['password'] },
    { resources: [api] },
  ]) {
    await t.rejects(updateClient(admin, 'ops', change), own, JSON.stringify(change))
    await updateClient(admin, 'other', change)
  }
  t.match(await updateClient(admin, 'ops', { client_name: 'Ops' }), { client: { client_name: 'Ops' } })
  t.match(await rotateSecret(admin, 'ops', {}), { secret: { client_secret: /^mm_cs_/ } })
  await endClientSessions(admin, 'ops')
  await disableClient(admin, 'other')
  await deleteClient(admin, 'other')
  const atHost = await adminOf(server)
  await disableClient(atHost, 'ops')
})

await forEachEngine(t, 'who may not do everything makes no administrators', async (t, env) => {
  const server = await startServer(t, env)
  const admin = await adminOf(server, { isLimited: true })
  await server.client('ops', { is_admin: 1 })
  await server.client('console', { scope: 'openid admin:users:read' })
  await server.client('hidden', { may_impersonate: 1 })
  await server.client('web')
  const { publicJwk: jwk } = await testKey()
  const metadata = { client_id: 'new', ...plainProperties, grant_types: ['client_credentials'] }
  const forbidden = refused('forbidden', /the scope admin:write alone/)
  const attempts: Record<string, () => Promise<unknown>> = {
    'an administrator': () => createClient(admin, { ...metadata, admin: true }),
    'a client with which people administer': () =>
      createClient(admin, { ...metadata, scope: ['admin:read'] }),
    'one of another': () => updateClient(admin, 'web', { admin: true }),
    'who impersonates': () => updateClient(admin, 'web', { may_impersonate: true }),
    'its scope': () => updateClient(admin, 'web', { scope: ['admin:write'] }),
    ...Object.fromEntries(
      ['ops', 'console', 'hidden'].flatMap(id =>
        Object.entries({
          change: () => updateClient(admin, id, { redirect_uris: ['https://thief.example'] }),
          degrade: () => updateClient(admin, id, { admin: false, scope: [] }),
          rotate: () => rotateSecret(admin, id, {}),
          keys: async () => clientForKeys(admin, id),
          disable: () => disableClient(admin, id),
          enable: () => enableClient(admin, id),
          delete: () => deleteClient(admin, id),
          sessions: () => endClientSessions(admin, id),
        }).map(([what, act]) => [`${what} ${id}`, act]),
      ),
    ),
  }
  for (const [what, attempt] of Object.entries(attempts)) await t.rejects(attempt, forbidden, what)
  await createClient(admin, metadata)
  await updateClient(admin, 'web', { scope: ['read'] })
  await rotateSecret(admin, 'web', {})
  const given = { jwks: { keys: [jwk] }, jwks_uri: null }
  await setKeys(admin, await clientForKeys(admin, 'web'), given, undefined)
  await disableClient(admin, 'web')
})

await forEachEngine(t, 'clients and resources are read in pages, wherever they begin', async (t, env) => {
  const server = await startServer(t, env)
  const admin = await adminOf(server)
  const names = ['B', 'a', 'a-b', 'a.b', 'a_b', 'b', '~']
  for (const name of names) {
    await server.client(name)
    await server.resource(`urn:${name}`)
  }
  const read = async (pageAfter: (after?: string) => Promise<[string[], string | undefined]>) => {
    const found: string[] = []
    for (let after: string | undefined; ;) {
      const [items, next] = await pageAfter(after)
      found.push(...items)
      if (next === undefined) return found
      after = next
    }
  }
  for (const limit of [1, 3, names.length]) {
    const ids = await read(async after => {
      const { clients, next } = await pageOfClients(admin, { after, limit })
      return [clients.map(({ id }) => id), next]
    })
    t.strictSame(ids.toSorted(), names.toSorted(), 'each once')
    const uris = await read(async after => {
      const { resources, next } = await pageOfResources(admin, { after, limit })
      return [resources.map(({ uri }) => uri), next]
    })
    t.strictSame(uris.toSorted(), names.map(name => `urn:${name}`).toSorted())
  }
})

t.test('keys are given in one way, and an old secret alone is kept', async t => {
  const server = await startServer(t)
  const admin = await adminOf(server)
  await server.client('web')
  const { publicJwk: jwk } = await testKey()
  const client = await clientForKeys(admin, 'web')
  const jwks = { keys: [jwk] }
  const jwks_uri = 'https://app.example/jwks'
  for (const given of [
    { jwks: null, jwks_uri: null },
    { jwks, jwks_uri },
  ]) {
    await t.rejects(setKeys(admin, client, given, undefined), refused('invalid', /one of them, and not both/))
  }
  await setKeys(admin, client, { jwks, jwks_uri: null }, 60)
  await t.rejects(
    setKeys(admin, await clientForKeys(admin, 'web'), { jwks, jwks_uri: null }, 60),
    refused('invalid', /web has keys, not a secret/),
  )
})

await forEachEngine(t, 'If-Match counts up to the very change that it is sent with', async (t, env) => {
  const server = await startServer(t, env)
  const admin = await adminOf(server)
  await server.client('web')
  const { username } = await server.user('ada')
  const stale = refused('changed', meanwhileChanged)
  let count = 0
  const rename = () => updateClient(admin, 'web', { client_name: `no. ${++count}` })
  const promote = () => updateUser(admin, username, { roles: [`role-${++count}`] })
  for (const act of ofClients) {
    const precondition = etagOf(describeClient(await existingClient(admin, 'web')))
    await t.rejects(act(overtaken({ ...admin, precondition }, rename), 'web'), stale, act.name)
  }
  for (const act of ofUsers) {
    const precondition = etagOf(describeUser(await existingUser(admin, username)))
    await t.rejects(act(overtaken({ ...admin, precondition }, promote), username), stale, act.name)
  }
  await createGroup(admin, { name: 'staff', roles: ['first'] })
  const regroup = () => updateGroup(admin, 'staff', [`role-${++count}`])
  for (const act of ofGroups) {
    const precondition = etagOf(describeGroup(await existingGroup(admin, 'staff')))
    await t.rejects(act(overtaken({ ...admin, precondition }, regroup), 'staff'), stale, act.name)
  }
  const precondition = etagOf(describeUser(await existingUser(admin, username)))
  const disabled = overtaken({ ...admin, precondition }, () => disableUser(admin, username))
  await t.rejects(
    updateUser(disabled, username, { roles: [] }),
    stale,
    'also where another column has changed',
  )
  await enableUser(admin, username)
  const { epoch } = await existingUser(admin, username)
  t.equal(epoch, 1, 'nobody was logged out by what was refused')
  t.equal((await existingClient(admin, 'web')).disabled_at, null)

  for (const act of ofClients.slice(0, 2))
    await t.resolves(act(overtaken(admin, rename), 'web'), 'without it, they are done')
  const gone = overtaken(admin, () => deleteUser(admin, username))
  await t.rejects(disableUser(gone, username), refused('not_found', /no user ada/))
})

await forEachEngine(t, 'who may change few does nothing to an administrator of just now', async (t, env) => {
  const server = await startServer(t, env)
  const [admin, limited] = [await adminOf(server), await adminOf(server, { isLimited: true })]
  const meanwhile = refused('conflict', meanwhileChanged)
  for (const [i, act] of ofUsers.entries()) {
    const { username } = await server.user(`user-${i}`)
    const promote = () => updateUser(admin, username, { roles: ['mintmark:admin'] })
    await t.rejects(act(overtaken(limited, promote), username), meanwhile, act.name)
  }
  for (const [i, act] of ofClients.entries()) {
    const { id } = await server.client(`client-${i}`)
    const promote = () => updateClient(admin, id, { admin: true })
    await t.rejects(act(overtaken(limited, promote), id), meanwhile, act.name)
  }
})
