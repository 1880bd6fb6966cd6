import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { listAuditEntries } from '../../db/installation/audit.ts'
import { openAdmin, type Admin } from '../../src/admin/admin.ts'
import { applyPlan } from '../../src/admin/apply.ts'
import { planDeclaration, stepsOf } from '../../src/admin/plan.ts'
import { describeAuditEntry, followAudit, listAudit } from '../../src/admin/audit.ts'
import { clientForKeys, rotateSecret, setKeys } from '../../src/admin/client-credentials.ts'
import {
  createClient,
  deleteClient,
  describeClient,
  disableClient,
  enableClient,
  existingClient,
  listClients,
  updateClient,
} from '../../src/admin/clients.ts'
import { parseDeclaration } from '../../src/admin/declaration.ts'
import { describeOwnClaim, listOwnClaims } from '../../src/admin/own-claims.ts'
import { addDemo } from '../../src/admin/demo.ts'
import {
  createResource,
  deleteResource,
  describeResource,
  listResources,
  updateResource,
} from '../../src/admin/resources.ts'
import { changePolicy, planPolicy } from '../../src/admin/policy.ts'
import { chooseSessions } from '../../src/admin/sessions.ts'
import {
  createUser,
  deleteUser,
  describeUser,
  disableUser,
  enableUser,
  existingUser,
  listUsers,
  setPassword,
  updateUser,
} from '../../src/admin/users.ts'
import { refuseUsername } from '../../src/admin/user-names.ts'
import { plainProperties } from '../../src/clients/properties.ts'
import { clientMetadata, judgeNewClient } from '../../src/clients/registration.ts'
import { databaseClock } from '../../src/clock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { formatUuid, newUuid } from '../../src/protocol/secrets.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { scratchFolder } from '../helpers/scratch.ts'

const uri = 'https://api.example'
const declared = {
  uri,
  scope: ['read'],
  scope_words: {},
  alg: 'ES256',
  access_token_ttl: null,
  status: true,
  claims: null,
  open: false,
  personal_access_tokens: false,
  authorization_details_types: {},
}
const alice = { username: 'alice', password: 'correct horse', roles: ['editor'] }

/** A new installation, administered by root, and what its log says. */
async function installation(t: Test): Promise<{ admin: Admin; log: readonly object[] }> {
  const config = loadConfig({ MINTMARK_HOME: scratchFolder(t), MINTMARK_ISSUER: 'https://as.example' }, '/')
  const log: object[] = []
  const line = (facts: object) => void log.push(facts)
  const admin = await openAdmin(
    {
      config,
      clock: databaseClock(handClock()),
      log: { info: line, warn: line },
      actor: { kind: 'client', id: 'console', caller: { address: '192.0.2.1', requestId: 'r1' } },
    },
    { mayCreate: true },
  )
  t.teardown(() => admin.db.close())
  return { admin, log }
}

async function allOf<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}

async function eventsOf({ db }: Admin): Promise<string[]> {
  return (await allOf(listAuditEntries(db, {}))).map(({ event }) => event)
}

const refused = (code: string, text: string | RegExp) => ({ name: 'Refusal', code, text })

t.test('users', async t => {
  const { admin, log } = await installation(t)
  const created = await createUser(admin, alice)
  t.match(describeUser(created), { username: 'alice', roles: ['editor'], disabled_at: null })
  t.ok(await admin.passwords.verify(created, alice.password))
  await t.rejects(createUser(admin, alice), refused('conflict', 'there is a user alice already'))
  // Also by itself: a command asks for no password in vain.
  await t.rejects(refuseUsername(admin, 'alice'), refused('conflict', 'there is a user alice already'))
  await t.rejects(
    createUser(admin, { ...alice, username: 'bob', password: 'short' }),
    refused('invalid', /too short/),
  )

  t.strictSame(await updateUser(admin, 'alice', { roles: undefined }), {})
  t.strictSame(await updateUser(admin, 'alice', { roles: null }), { roles: { from: ['editor'], to: [] } })
  t.strictSame((await allOf(listUsers(admin))).map(describeUser), [{ ...describeUser(created), roles: [] }])

  const { user } = await setPassword(admin, 'alice', 'another long one')
  t.ok(await admin.passwords.verify(user, 'another long one'))
  await t.rejects(setPassword(admin, 'alice', ''), refused('invalid', 'the password is empty'))
  const disabled = await disableUser(admin, 'alice')
  t.equal(describeUser(disabled.user).disabled_at, admin.clock.now())
  t.equal(disabled.isDone, true)
  t.equal((await enableUser(admin, 'alice')).disabled_at, null)
  await deleteUser(admin, 'alice')
  const acts: ((admin: Admin, name: string) => Promise<unknown>)[] = [
    enableUser,
    disableUser,
    deleteUser,
    existingUser,
  ]
  for (const act of acts) {
    await t.rejects(act(admin, 'alice'), {
      ...refused('not_found', 'there is no user alice'),
      advice: '`mintmark user list` shows all',
    })
  }
  t.strictSame(await eventsOf(admin), [
    'user_created',
    'user_changed',
    'user_password_changed',
    'user_disabled',
    'user_enabled',
    'user_deleted',
  ])
  t.match(log, [{ event: 'user_revoked' }, { event: 'user_revoked' }, { event: 'user_revoked' }])
})

t.test('resources', async t => {
  const { admin } = await installation(t)
  const { resource, warning, algChange } = await createResource(admin, declared)
  t.match(describeResource(resource), { uri, scope: ['read'], access_token_ttl: null, status: true })
  t.strictSame([warning, algChange], [undefined, undefined])
  await t.rejects(createResource(admin, declared), refused('conflict', `the resource ${uri} exists already`))
  await t.rejects(
    createResource(admin, { ...declared, uri: 'https://as.example' }),
    refused('invalid', /the issuer itself/),
  )

  const changed = await updateResource(admin, uri, { alg: 'PS256', access_token_ttl: 60 })
  t.strictSame(changed.differences, {
    alg: { from: 'ES256', to: 'PS256' },
    access_token_ttl: { from: null, to: 60 },
  })
  t.match(changed.warning, /holds PS256 keys/)
  t.strictSame((await updateResource(admin, uri, { access_token_ttl: undefined })).differences, {})
  await t.rejects(updateResource(admin, 'https://no.example', {}), refused('not_found', /no resource/))
  t.strictSame(
    (await listResources(admin)).map(row => row.alg),
    ['PS256'],
  )

  await addUserOfResource(admin)
  await t.rejects(deleteResource(admin, uri, { force: false }), refused('conflict', `${uri} is used by web`))
  t.strictSame((await deleteResource(admin, uri, { force: true })).takenFrom, ['web'])
  await t.rejects(deleteResource(admin, uri, { force: true }), refused('not_found', /no resource/))
  t.strictSame(await eventsOf(admin), [
    'resource_created',
    'resource_changed',
    'client_created',
    'resource_deleted',
  ])
})

async function addUserOfResource(admin: Admin): Promise<void> {
  const text = `{ clients: [{ client_id: web, grant_types: [password], resources: ['${uri}'], scope: [read] }] }`
  await applyPlan(admin, await planDeclaration(admin, await parseDeclaration('a test', text)))
}

t.test('a declaration is planned, and applied once', async t => {
  const { admin } = await installation(t)
  const text = `
    resources: [{ uri: '${uri}', scope: read }]
    clients: [{ client_id: web, grant_types: password, scope: read, resources: '${uri}' }]
  `
  const declaration = await parseDeclaration('a test', text)
  const plan = await planDeclaration(admin, declaration)
  t.strictSame(
    stepsOf(plan).map(({ action, name }) => [action, name]),
    [
      ['create', uri],
      ['create', 'web'],
    ],
  )
  const told: number[] = []
  const { secrets } = await applyPlan(admin, plan, made => told.push(made))
  t.strictSame([...secrets.keys()], ['web'])
  t.equal(told.at(-1), 2)
  await t.rejects(applyPlan(admin, plan), refused('conflict', /somebody else has changed/))
  t.strictSame(await eventsOf(admin), ['resource_created', 'client_created'], 'which has told nothing')
  t.ok(stepsOf(await planDeclaration(admin, declaration)).every(({ action }) => action === 'none'))

  await t.rejects(
    parseDeclaration('a test', '{ resources: [{}] }'),
    refused('invalid', /^a test is not valid:\n- /),
  )
  await t.rejects(parseDeclaration('a test', '{'), refused('invalid', /^a test cannot be read:\n- /))
  const other = await parseDeclaration('a test', '{ clients: [{ client_id: web, public: true }] }')
  await t.rejects(
    planDeclaration(admin, other),
    refused('invalid', /web: a client stays public or confidential/),
  )
})

t.test('a declaration of roles and policy is applied as a whole, and ends nobody’s own way in', async t => {
  const { admin } = await installation(t)
  const ada = await createUser(admin, { ...alice, roles: ['mintmark:admin'] })
  const parsed = (text: string) => parseDeclaration('a test', text)
  const whole = await parsed(`
    clients: [{ client_id: web, grant_types: password }]
    users: [{ username: alice, roles: [editor] }]
    key_policy: { key_rotation_seconds: 20d }
  `)
  const plan = await planDeclaration(admin, whole)
  await updateUser(admin, 'alice', { roles: ['mintmark:admin', 'reader'] })
  await t.rejects(applyPlan(admin, plan), refused('conflict', /somebody else has changed/))
  const second = await planDeclaration(admin, whole)
  const policy = await planPolicy(admin, { clock_skew_seconds: 30 })
  if (policy) await changePolicy(admin, policy)
  await t.rejects(applyPlan(admin, second), refused('conflict', /somebody else has changed/))
  t.strictSame(await listClients(admin), [], 'nothing of either is done')
  t.strictSame(describeUser(await existingUser(admin, 'alice')).roles, ['mintmark:admin', 'reader'])

  const own: Admin = {
    ...admin,
    actor: { kind: 'user', id: ada.id, caller: { address: '192.0.2.1', requestId: 'r1' } },
  }
  await t.rejects(planDeclaration(own, whole), refused('conflict', /your own way in/))
  await t.rejects(
    planDeclaration({ ...admin, isLimited: true }, whole),
    refused('forbidden', /admin:write alone/),
  )
  const consoleClient = await parsed('clients: [{ client_id: console, grant_types: password }]')
  await t.rejects(planDeclaration(admin, consoleClient), refused('conflict', /your own way in/))
  const adminClient = await parsed('clients: [{ client_id: ops, grant_types: password, admin: true }]')
  await t.rejects(
    planDeclaration({ ...admin, isLimited: true }, adminClient),
    refused('forbidden', /admin:write alone/),
  )
})

t.test('claims of the installation’s own are declared, before what wants them', async t => {
  const { admin } = await installation(t)
  const planned = async (text: string) => planDeclaration(admin, await parseDeclaration('a test', text))
  const plan = (kind: string, source: string) =>
    `claims: [{ name: acme_plan, kind: ${kind}, source: ${source} }]`
  const gold = plan('string', '{ groups: { premium: gold }, otherwise: basic }')
  const whole = await planned(`{ ${gold}, resources: [{ uri: '${uri}', scope: read, claims: [acme_plan] }] }`)
  t.strictSame(
    stepsOf(whole).map(({ action, kind, name }) => [action, kind, name]),
    [
      ['create', 'claim', 'acme_plan'],
      ['create', 'resource', uri],
    ],
  )
  t.strictSame(await listOwnClaims(admin), [], 'a plan changes nothing')
  await applyPlan(admin, whole)
  t.match((await listOwnClaims(admin)).map(describeOwnClaim), [
    { name: 'acme_plan', kind: 'string', source: { groups: { premium: 'gold' }, otherwise: 'basic' } },
  ])
  t.ok(stepsOf(await planned(`{ ${gold} }`)).every(({ action }) => action === 'none'))

  const other = await planned(`{ ${plan('string', '{ constant: silver }')} }`)
  t.match(stepsOf(other), [{ action: 'change', differences: { source: { to: { constant: 'silver' } } } }])
  const stale = await planned(`{ ${plan('string', '{ constant: lead }')} }`)
  await applyPlan(admin, other)
  await t.rejects(applyPlan(admin, stale), refused('conflict', /somebody else has changed/))
  t.match((await listOwnClaims(admin)).map(describeOwnClaim), [{ source: { constant: 'silver' } }])
  t.strictSame(await eventsOf(admin), ['claim_created', 'resource_created', 'claim_changed'])
  t.ok(stepsOf(await planned('{}')).length === 0 && (await listOwnClaims(admin)).length === 1, 'none goes')

  const sources = { a: `{ constant: '${'x'.repeat(1024)}' }`, b: '{ user: nobody }' }
  for (const [declared, words] of [
    [
      '{ claims: [{ name: sub, kind: string, source: { constant: x } }] }',
      /sub: sub is a claim that has its/,
    ],
    [`{ ${plan('string', sources.b)} }`, /acme_plan: nobody is no field of a user/],
    [`{ ${plan('number', '{ constant: x }')} }`, /acme_plan: the constant is to be a number/],
    [`{ resources: [{ uri: '${uri}', scope: read, claims: [acme_rank] }] }`, /there is no claim acme_rank/],
  ] as const)
    await t.rejects(planned(declared), refused('invalid', words), declared)
  for (const [declared, words] of [
    [
      '{ claims: [{ name: acme_plan, kind: text, source: { constant: x } }] }',
      /claims\[0\]\.kind takes one of/,
    ],
    ['{ claims: [{ name: acme_plan, kind: string }] }', /claims\[0\]\.source is missing/],
    ['{ claims: [{ name: acme_plan, kind: string, source: { const: x } }] }', /claims\[0\]\.source takes/],
    [
      `{ claims: [${Array(2).fill('{ name: a, kind: string, source: { constant: x } }').join()}] }`,
      /claim a is declared/,
    ],
  ] as const)
    await t.rejects(planned(declared), refused('invalid', words), declared)

  const long = (name: string) => `{ name: ${name}, kind: string, source: ${sources.a} }`
  const names = ['acme_a', 'acme_b', 'acme_c', 'acme_d']
  await applyPlan(admin, await planned(`{ claims: [${names.slice(0, 3).map(long).join()}] }`))
  await applyPlan(
    admin,
    await planned(
      `{ resources: [{ uri: '${uri}', scope: read, claims: [acme_a, acme_b, acme_c, acme_plan] }] }`,
    ),
  )
  await t.rejects(
    planned(`{ ${plan('string', sources.a)} }`),
    refused('invalid', /https:.*: its claims could be \d+ bytes in each token/),
    'a resource that is not declared gets too much by it',
  )
})

t.test('two who change the claims of a user at once both keep theirs, or are told', async t => {
  const { admin } = await installation(t)
  await createUser(admin, alice)
  const claims = [
    { kind: 'set', name: 'nickname', value: 'Al' },
    { kind: 'set', name: 'locale', value: 'de' },
  ] as const
  const outcomes = await Promise.allSettled(
    claims.map(claim => updateUser(admin, 'alice', { roles: undefined, claims: [claim] })),
  )
  const kept = claims
    .filter((_, i) => outcomes[i]?.status === 'fulfilled')
    .map(({ name, value }) => [name, value])
  t.strictSame(describeUser(await existingUser(admin, 'alice')).claims, Object.fromEntries(kept))
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected')
      t.match(outcome.reason, refused('conflict', /somebody else has changed the user alice/))
  }
})

t.test('the audit trail is read, and followed', async t => {
  const { admin } = await installation(t)
  const { id } = await createUser(admin, alice)
  const entries = await allOf(await listAudit(admin, { user: 'alice' }))
  const { sub } = describeUser({
    ...alice,
    id,
    roles: '',
    group_names: '',
    claims: '{}',
    created_at: 0,
    disabled_at: null,
  })
  t.match(entries.map(describeAuditEntry), [
    { event: 'user_created', actor: 'client console', sub, address: '192.0.2.1', request_id: 'r1', count: 1 },
  ])
  t.strictSame(await allOf(await listAudit(admin, { events: ['log_in'] })), [])
  await t.rejects(listAudit(admin, { user: 'bob' }), refused('not_found', 'there is no user bob'))
  await t.rejects(followAudit(admin, { user: 'bob' }, { last: 1 }), refused('not_found', /bob/))

  const clock = { ...admin.clock, pause: () => setTimeout(1) }
  const followed = (await followAudit({ ...admin, clock }, {}, { last: 1 }))[Symbol.asyncIterator]()
  t.match(await followed.next(), { value: { event: 'user_created' } })
  await enableUser(admin, 'alice')
  t.match(await followed.next(), { value: { event: 'user_enabled' } })
  await followed.return?.()
})

t.test('a demo is added where there is no client', async t => {
  const { admin } = await installation(t)
  const home = scratchFolder(t)
  const demo = await addDemo(admin, home)
  t.ok(await admin.passwords.verify(await existingUser(admin, 'demo'), demo?.password ?? ''))
  t.equal(await addDemo(admin, home), undefined)
  const resources = Array<string>(3).fill('resource_created')
  const created = Array<string>(7).fill('client_created')
  t.strictSame(await eventsOf(admin), ['user_created', 'user_created', ...resources, ...created])
  const administrator = await existingUser(admin, 'admin')
  t.equal(administrator.roles, 'mintmark:admin')
  t.ok(await admin.passwords.verify(administrator, demo?.adminPassword ?? ''))
  for (const client of await listClients(admin)) {
    const { refusals } = await judgeNewClient(admin.db, clientMetadata(client))
    t.strictSame(refusals, [], `${client.id} could be made by a command`)
  }
  const file = demo?.webKeyFile ?? ''
  t.equal(file, join(home, 'keys/demo-web.jwk'))
  t.equal(statSync(file).mode & 0o777, 0o600)
  const { kid } = JSON.parse(readFileSync(file, 'utf8'))
  const { jwks } = describeClient(await existingClient(admin, 'demo-web'))
  t.match(jwks, { keys: [{ kid, d: undefined }] }, 'the server has the public half')
})

t.test('clients', async t => {
  const { admin } = await installation(t)
  const metadata = { client_id: 'web', ...plainProperties, grant_types: ['client_credentials'] }
  const { secret, client } = await createClient(admin, metadata)
  t.match(secret, { client_secret: /^mm_cs_/ })
  t.strictSame(describeClient(await existingClient(admin, 'web')), describeClient(client))
  await t.rejects(createClient(admin, metadata), refused('conflict', 'there is a client web already'))
  const two = { ...metadata, client_id: 'two' }
  const both = await Promise.allSettled([createClient(admin, two), createClient(admin, two)])
  t.match(
    both.map(({ status }) => status).toSorted(),
    ['fulfilled', 'rejected'],
    'of two at once one is made',
  )
  const noGrant = { ...metadata, client_id: 'none', grant_types: [] }
  await t.rejects(createClient(admin, noGrant), refused('invalid', /a client without a grant/))

  const updated = await updateClient(admin, 'web', { admin: true })
  t.match(updated.differences, { admin: { from: false, to: true } })
  t.match(await updateClient(admin, 'web', {}), { differences: {}, warnings: [], algChange: undefined })
  const isPublic = { ...metadata, public: true, grant_types: ['password'] }
  await t.rejects(
    updateClient(admin, 'web', { ...isPublic, admin: false }),
    refused('invalid', /authenticates with client_secret/),
  )

  const rotated = await rotateSecret(admin, 'web', { keepSeconds: 60 })
  t.match(rotated, { from: 'client_secret', oldExpiresAt: admin.clock.now() + 60 })
  await createClient(admin, { ...isPublic, client_id: 'app' })
  await t.rejects(rotateSecret(admin, 'app', {}), refused('invalid', /app is public/))
  await t.rejects(clientForKeys(admin, 'app'), refused('invalid', /not known by keys/))
  await t.rejects(
    setKeys(admin, await clientForKeys(admin, 'web'), { jwks: { keys: [] }, jwks_uri: null }, undefined),
    refused('invalid', /no key that can be used/),
  )

  t.match(await disableClient(admin, 'web'), { client: { disabled_at: admin.clock.now() }, isDone: true })
  t.equal((await enableClient(admin, 'web')).disabled_at, null)
  t.match(await deleteClient(admin, 'web'), { client: { id: 'web' } })
  const unknown = refused('not_found', 'there is no client web')
  for (const act of [existingClient, disableClient, enableClient, deleteClient, clientForKeys]) {
    await t.rejects((): Promise<unknown> => act(admin, 'web'), unknown, act.name)
  }
  await t.rejects(rotateSecret(admin, 'web', {}), unknown)
  await t.rejects(updateClient(admin, 'web', { admin: true }), unknown)
  t.strictSame(
    (await eventsOf(admin)).filter(event => event !== 'client_created'),
    ['client_changed', 'client_secret_rotated', 'client_disabled', 'client_enabled', 'client_deleted'],
  )
})

t.test('sessions are chosen among users, clients and resources that there are', async t => {
  const { admin } = await installation(t)
  const { id } = await createUser(admin, alice)
  const sub = formatUuid(id)
  for (const user of ['alice', sub, sub.toUpperCase()]) {
    t.match(await chooseSessions(admin, { user }), { username: 'alice', document: { sub } }, user)
  }
  const other = formatUuid(newUuid(0))
  for (const [choice, text] of [
    [{ user: 'bob' }, 'there is no user bob'],
    [{ user: other }, `there is no user ${other}`],
    [{ client: 'web' }, 'there is no client web'],
    [{ resource: uri }, `there is no resource ${uri}`],
  ] as const) {
    await t.rejects(chooseSessions(admin, choice), refused('not_found', text), text)
  }
})
