import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { backupDatabase } from '../../db/backups/backup.ts'
import {
  changeClient,
  deleteClient,
  disableClient,
  enableClient,
  findClient,
  insertClient,
  raiseClientEpochs,
  raiseClientEpochTo,
  type NewClient,
} from '../../db/clients/clients.ts'
import { rotateClientSecret } from '../../db/clients/credentials.ts'
import { applyChanges, type Changes } from '../../db/clients/declaration.ts'
import { deleteResource, findResource, insertResource } from '../../db/clients/resources.ts'
import { requireNotes } from '../../db/copy/drain.ts'
import { largeTables } from '../../db/copy/tables.ts'
import type { Database } from '../../db/database.ts'
import { insertInstallation, readRevision, tryWriting } from '../../db/installation/installation.ts'
import { migrate } from '../../db/installation/migrate.ts'
import { openDatabase } from '../../db/open-database.ts'
import type { ClientTable } from '../../db/schema.ts'
import { latestSessionId, listSessions, revokeSessions, type SessionFilter } from '../../db/sessions/pages.ts'
import { insertSession, type NewSession } from '../../db/sessions/starts.ts'
import {
  disableUser,
  findUserById,
  insertUser,
  raiseUserEpoch,
  raiseUserEpochTo,
} from '../../db/users/users.ts'
import { take } from '../../db/steps.ts'
import { type NewAuditEntry, withTold } from '../../db/writer.ts'
import { plainClientRow } from '../../src/clients/registration.ts'
import { loadConfig } from '../../src/config/load.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { scratchFolder } from '../helpers/scratch.ts'

const now = 1_900_000_000
const end = { now, reason: 'command' } as const

async function emptyDatabase(t: Test, env: EngineEnv = {}): Promise<Database & { readonly file: string }> {
  const file = join(scratchFolder(t), 'test.sqlite')
  const { databaseUrl } = loadConfig({ MINTMARK_DATABASE_URL: `sqlite:${file}`, ...env }, '/')
  const db = openDatabase(databaseUrl)
  t.teardown(() => db.close())
  await migrate(db, now)
  await insertInstallation(db, {
    issuer: 'https://as.example',
    created_at: now,
    root_key_id: '00000000',
    key_rotation_seconds: 1,
    jwks_max_age_seconds: 1,
    clock_skew_seconds: 1,
  })
  return { ...db, file }
}

const clientRow = (id: string, more: Partial<ClientTable> = {}): NewClient =>
  plainClientRow({
    id,
    secret_hash: Buffer.alloc(32, 1),
    grant_types: 'password refresh_token',
    scope: '',
    created_at: now,
    ...more,
  })

const resourceRow = (uri: string, scope = 'read') => ({
  uri,
  scope,
  scope_words: '{}',
  alg: 'ES256',
  previous_alg: 'ES256',
  access_token_seconds: null,
  has_status: 0,
  created_at: now,
})

async function addUser(db: Database, username: string): Promise<Buffer> {
  const id = newUuid(now)
  const hash = { password_hash: '', root_key_id: '' }
  await insertUser(db, { id, username, ...hash, roles: '', epoch: 0, created_at: now, disabled_at: null })
  return id
}

/** Starts a session of the present epochs, and returns its id. */
async function addSession(
  db: Database,
  user_id: Buffer | null,
  client_id: string,
  more: Partial<NewSession> = {},
) {
  const client = await findClient(db, client_id)
  const session: NewSession = {
    id: newUuid(now),
    user_id,
    client_id,
    user_epoch: 0,
    client_epoch: client?.epoch ?? -1,
    secret_hash: null,
    scope: '',
    resource: null,
    auth_time: now,
    amr: '',
    expires_at: now + 100,
    absolute_expires_at: now + 100,
    status_position: 0,
    last_address: null,
    ...more,
  }
  return { id: session.id, isStarted: await insertSession(db, session) }
}

async function idsOf(db: Database, filter: SessionFilter): Promise<string[]> {
  const ids = []
  for await (const { id } of listSessions(db, filter)) ids.push(id.toString('hex'))
  return ids
}

const hex = ({ id }: { id: Buffer }) => id.toString('hex')

await forEachEngine(
  t,
  'a client secret is rotated in one step, so that of two at once none is lost',
  async (t, env) => {
    const db = await emptyDatabase(t, env)
    await insertClient(db, clientRow('web'))
    await insertClient(db, clientRow('public', { secret_hash: null }))
    const [a, b] = [Buffer.alloc(32, 2), Buffer.alloc(32, 3)]
    const oldExpiresAt = now + 60
    const from = 'client_secret'
    t.strictSame(
      await Promise.all(
        [a, b].map(secretHash => rotateClientSecret(db, 'web', { from, secretHash, oldExpiresAt, now })),
      ),
      [true, true],
    )
    const row = await findClient(db, 'web')
    t.same([row?.secret_hash, row?.old_secret_hash].map(String).sort(), [a, b].map(String).sort())
    t.equal(row?.old_secret_expires_at, oldExpiresAt)
    t.equal(row?.credentials_set_at, now)
    t.equal(await rotateClientSecret(db, 'web', { from, secretHash: a, oldExpiresAt: null, now }), true)
    t.match(await findClient(db, 'web'), {
      secret_hash: a,
      old_secret_hash: null,
      old_secret_expires_at: null,
    })
    for (const id of ['public', 'nobody']) {
      t.equal(await rotateClientSecret(db, id, { from, secretHash: a, oldExpiresAt, now }), false)
    }
    t.equal((await findClient(db, 'public'))?.secret_hash, null, 'a public client stays public')
  },
)

await forEachEngine(t, 'an epoch ends the sessions of one client, or of all', async (t, env) => {
  const db = await emptyDatabase(t, env)
  for (const id of ['a', 'b']) await insertClient(db, clientRow(id))
  const user = await addUser(db, 'alice')
  const [inA, inB] = [await addSession(db, user, 'a'), await addSession(db, user, 'b')]
  const livingAt = now
  const revision = await readRevision(db)
  t.match((await raiseClientEpochs(db, 'a', end)).clients, [{ id: 'a' }])
  t.strictSame(await idsOf(db, { livingAt }), [hex(inB)])
  t.strictSame((await raiseClientEpochs(db, 'nobody', end)).clients, [])
  t.strictSame(await idsOf(db, { livingAt }), [hex(inB)])
  const { clients } = await raiseClientEpochs(db, undefined, end)
  t.strictSame(clients.map(({ id }) => id).sort(), ['a', 'b'])
  t.strictSame(await idsOf(db, { livingAt }), [])
  t.ok((await readRevision(db)) > revision, 'and running servers hear of it')
  t.strictSame((await idsOf(db, {})).sort(), [hex(inA), hex(inB)].sort())
})

await forEachEngine(
  t,
  'in a database that has gone back in time an epoch is raised once, and never lowered',
  async (t, env) => {
    const db = await emptyDatabase(t, env)
    await insertClient(db, clientRow('web'))
    await insertClient(db, clientRow('young', { created_at: now + 10 }))
    const user = await addUser(db, 'ada')
    const of = { epoch: 5, isDisabled: false }
    const end = { reason: 'command', now } as const
    const epochOf = async (id: string) => (await findClient(db, id))?.epoch ?? -1
    const first = await epochOf('web')
    const raise = (id: string, epoch: number, isDisabled = false) =>
      raiseClientEpochTo(db, id, { epoch, isDisabled }, end)

    t.ok(await raiseUserEpochTo(db, user, of, end))
    t.equal(await raiseUserEpochTo(db, user, of, end), undefined, 'the same once more')
    t.equal(await raiseUserEpochTo(db, user, { epoch: 4, isDisabled: true }, end), undefined, 'an older one')
    t.equal(await raiseUserEpochTo(db, newUuid(now), of, end), undefined, 'of nobody')
    t.match(await findUserById(db, user), { epoch: 5, disabled_at: null })
    t.ok(await raiseUserEpochTo(db, user, { epoch: 6, isDisabled: true }, end))
    t.match(await findUserById(db, user), { epoch: 6, disabled_at: now })

    t.ok(await raise('web', first + 3))
    t.equal(await raise('web', first + 3), undefined, 'the same once more')
    t.equal(await raise('web', first + 2, true), undefined, 'an older one')
    t.match(await findClient(db, 'web'), { epoch: first + 3, disabled_at: null })
    t.ok(await raise('web', first + 4, true))
    t.match(await findClient(db, 'web'), { disabled_at: now })
    t.equal(await raise('young', 2 ** 40), undefined, 'another client of the same id, which was made later')
  },
)

await forEachEngine(t, 'each condition of a living session counts', async (t, env) => {
  const db = await emptyDatabase(t, env)
  for (const id of ['web', 'gone', 'off']) await insertClient(db, clientRow(id))
  const [alice, bob, carol] = [
    await addUser(db, 'alice'),
    await addUser(db, 'bob'),
    await addUser(db, 'carol'),
  ]
  const lives = await addSession(db, alice, 'web')
  const machine = await addSession(db, null, 'web')
  const expired = await addSession(db, alice, 'web', { expires_at: now })
  const revoked = await addSession(db, alice, 'web')
  const ofBob = await addSession(db, bob, 'web')
  const ofCarol = await addSession(db, carol, 'web')
  const ofGone = await addSession(db, alice, 'gone')
  const ofOff = await addSession(db, alice, 'off')
  const all = [lives, machine, expired, revoked, ofBob, ofCarol, ofGone, ofOff]
  t.ok(all.every(({ isStarted }) => isStarted))
  await revokeSessions(db, [revoked.id], end)
  await raiseUserEpoch(db, bob, end)
  await disableUser(db, carol, now)
  await deleteClient(db, 'gone', now)
  await disableClient(db, 'off', now)

  t.strictSame(await idsOf(db, { livingAt: now }), [lives, machine].map(hex).sort())
  t.strictSame(await idsOf(db, { livingAt: now - 1 }), [lives, machine, expired].map(hex).sort())
  t.strictSame(await idsOf(db, {}), all.map(hex).sort())
  t.strictSame(await idsOf(db, { userId: bob }), [hex(ofBob)])
  t.strictSame(await idsOf(db, { clientId: 'gone' }), [hex(ofGone)])
  t.strictSame(await idsOf(db, { id: revoked.id, livingAt: now }), [])
  t.strictSame(await idsOf(db, { id: revoked.id, userId: alice, clientId: 'web' }), [hex(revoked)])
  const ended: boolean[] = []
  for await (const session of listSessions(db, { clientId: 'gone' })) ended.push(session.isOfThisEpoch)
  t.strictSame(ended, [false])

  await deleteClient(db, 'off', now)
  await insertClient(db, clientRow('gone'))
  t.strictSame(
    await idsOf(db, { clientId: 'gone', livingAt: now }),
    [],
    'a client of the same id revives no session',
  )
})

await forEachEngine(t, 'sessions are read in pages and revoked in batches, each once', async (t, env) => {
  const db = await emptyDatabase(t, env)
  await insertClient(db, clientRow('web'))
  const user = await addUser(db, 'alice')
  const ids: Buffer[] = []
  t.equal(await latestSessionId(db), undefined)
  await db.sql.transaction().execute(async sql => {
    const transactAtOnce: typeof db.transactAtOnce = work => take(sql, work(sql))
    const inOne = { ...db, sql, transactAtOnce }
    for (let i = 0; i < 1101; i++) {
      ids.push((await addSession(inOne, user, 'web', { id: newUuid(now + i), status_position: i })).id)
    }
  })
  const inOrder = ids.map(id => id.toString('hex'))
  t.strictSame(await idsOf(db, {}), inOrder)
  t.same(await latestSessionId(db), ids.at(-1))

  const half = ids.slice(0, 500)
  t.same((await revokeSessions(db, half, end)).length, 500)
  t.strictSame(await revokeSessions(db, half, end), [], 'the second time there is nothing to revoke')
  t.strictSame(await idsOf(db, { livingAt: now }), inOrder.slice(500))
  const feed = await db.sql
    .selectFrom('revocations')
    .select(['session_id', 'status_position', 'revoked_at'])
    .execute()
  t.equal(feed.length, 500)
  t.match(
    feed.find(row => row.session_id.equals(ids[7] ?? Buffer.alloc(0))),
    { status_position: 7, revoked_at: now },
  )
})

await forEachEngine(
  t,
  'a client has one machine session in each epoch, and none from before is in the way',
  async (t, env) => {
    const db = await emptyDatabase(t, env)
    await insertClient(db, clientRow('job'))
    t.match(await addSession(db, null, 'job'), { isStarted: true })
    t.match(await addSession(db, null, 'job'), { isStarted: false })
    await disableClient(db, 'job', now)
    t.match(await addSession(db, null, 'job'), { isStarted: false })
    await enableClient(db, 'job')
    t.match(await addSession(db, null, 'job'), { isStarted: true })
  },
)

await forEachEngine(
  t,
  'a resource in use is deleted only by force, which takes it from its clients',
  async (t, env) => {
    const db = await emptyDatabase(t, env)
    const [uri, other] = ['https://a.example', 'https://a.example/b']
    await insertResource(db, resourceRow(uri))
    await insertClient(db, clientRow('asks', { resources: `${other} ${uri}` }))
    await insertClient(db, clientRow('serves', { introspects: uri }))
    await insertClient(db, clientRow('neither', { resources: other }))
    const revision = await readRevision(db)
    t.strictSame(await deleteResource(db, uri, { force: false }), {
      kind: 'used',
      clients: ['asks', 'serves'],
    })
    t.ok(await findResource(db, uri))
    t.equal(await readRevision(db), revision)
    t.strictSame(await deleteResource(db, uri, { force: true }), {
      kind: 'deleted',
      clients: ['asks', 'serves'],
    })
    t.strictSame(await deleteResource(db, uri, { force: true }), { kind: 'unknown', clients: [] })
    t.match(await findClient(db, 'asks'), { resources: other })
    t.match(await findClient(db, 'serves'), { introspects: '' })
    t.match(await findClient(db, 'neither'), { resources: other })
  },
)

await forEachEngine(t, 'changes are applied together or not at all', async (t, env) => {
  const db = await emptyDatabase(t, env)
  await insertClient(db, clientRow('old'))
  await insertResource(db, resourceRow('https://old.example'))
  const change = (seen: object = {}) => ({ seen, settings: { scope: 'changed' } })
  const changes = (more: Partial<Changes>): Changes => ({
    newResources: [resourceRow('https://new.example')],
    newClients: [clientRow('new')],
    resources: new Map([['https://old.example', change()]]),
    clients: new Map([['old', change()]]),
    ...more,
  })
  const lost: readonly Partial<Changes>[] = [
    { newResources: [resourceRow('https://new.example'), resourceRow('https://old.example')] },
    { newClients: [clientRow('new'), clientRow('old')] },
    { resources: new Map([['https://missing.example', change()]]) },
    { clients: new Map([['missing', change()]]) },
    { resources: new Map([['https://old.example', change({ scope: 'another' })]]) },
    { clients: new Map([['old', change({ client_name: 'another' })]]) },
  ]
  const revision = await readRevision(db)
  for (const more of lost) {
    t.equal(await applyChanges(db, changes(more)), false)
    t.equal(await findClient(db, 'new'), undefined)
    t.equal(await findResource(db, 'https://new.example'), undefined)
    t.match(await findClient(db, 'old'), { scope: '' })
    t.match(await findResource(db, 'https://old.example'), { scope: 'read' })
    t.equal(await readRevision(db), revision)
  }
  t.equal(await applyChanges(db, changes({})), true)
  t.ok(await findClient(db, 'new'))
  t.match(await findClient(db, 'old'), { scope: 'changed' })
  t.match(await findResource(db, 'https://old.example'), { scope: 'changed' })
  t.equal(await readRevision(db), revision + 1)
})

await forEachEngine(t, 'trying to write leaves nothing', async (t, env) => {
  const db = await emptyDatabase(t, env)
  const revision = await readRevision(db)
  await tryWriting(db)
  t.equal(await readRevision(db), revision)
})

t.test('a backup is one moment of a database that goes on changing, and comes to its end', async t => {
  const db = await emptyDatabase(t)
  // Several steps' worth of pages, which stay as they are.
  for (let i = 0; i < 60; i++)
    await insertResource(db, resourceRow(`https://${i}.example`, 'x'.repeat(600_000)))
  await insertClient(db, clientRow('web'))
  // Two things that always change together.
  const differenceIn = async (database: Database) =>
    (await readRevision(database)) - Number((await findClient(database, 'web'))?.refresh_idle_seconds)
  let count = await readRevision(db)
  await changeClient(db, 'web', { refresh_idle_seconds: ++count })
  const difference = await differenceIn(db)

  const target = join(dirname(db.file), 'backup.sqlite')
  let isOver = false
  const parts: number[] = []
  const backup = backupDatabase(db.file, target, now, ({ part }) => parts.push(part)).finally(() => {
    isOver = true
  })
  let writes = 0
  for (; !isOver && writes < 500; writes++) {
    await changeClient(db, 'web', { refresh_idle_seconds: ++count })
    await setImmediate()
  }
  t.ok(writes < 500, 'it does not wait for the writing to end')
  t.equal(await backup, statSync(target).size)
  t.ok(parts.length > 2, 'it was copied in steps')
  t.ok(writes > 2, 'and written meanwhile')

  t.equal(readFileSync(target)[18], 1, 'it is one file, which needs no log beside it')
  const copy = openDatabase({ engine: 'sqlite', file: target })
  t.equal(await differenceIn(copy), difference)
  t.ok((await readRevision(copy)) < (await readRevision(db)), 'what came after its beginning is not in it')
  await copy.close()
})

t.test('what one process reads before it writes, no other changes in between', async t => {
  const first = await emptyDatabase(t)
  const second = openDatabase({ engine: 'sqlite', file: first.file })
  t.teardown(() => second.close())
  const before = await readRevision(first)
  const raise = (db: Database, between: () => Promise<unknown>) =>
    db.transact(async transaction => {
      const { revision } = await transaction
        .selectFrom('installation')
        .select('revision')
        .executeTakeFirstOrThrow()
      await between()
      await transaction
        .updateTable('installation')
        .set({ revision: revision + 1 })
        .execute()
    })
  let other: Promise<void> | undefined
  // A transaction that begins as a reader lets the other one commit, and can never write after that.
  await t.resolves(
    raise(first, async () => {
      other = raise(second, async () => {})
      await Promise.race([other, sleep(100)])
    }),
  )
  await other
  t.equal(await readRevision(first), before + 2, 'both have counted')
})

t.test('a backup that fails leaves nothing, and one never replaces another', async t => {
  const db = await emptyDatabase(t)
  const dir = dirname(db.file)
  const names = () => readdirSync(dir).filter(name => !name.startsWith('test.sqlite'))
  const target = join(dir, 'backup.sqlite')
  await t.rejects(backupDatabase(join(dir, 'missing.sqlite'), target, now, () => {}))
  const garbage = join(dir, 'test.sqlite.garbage')
  writeFileSync(garbage, 'no database '.repeat(1000))
  await t.rejects(
    backupDatabase(garbage, target, now, () => {}),
    { code: 'SQLITE_NOTADB' },
  )
  t.strictSame(names(), [])
  await backupDatabase(db.file, target, now, () => {})
  t.strictSame(names(), ['backup.sqlite'])
  await t.rejects(
    backupDatabase(db.file, target, now, () => {}),
    { code: 'EEXIST' },
  )
  t.strictSame(names(), ['backup.sqlite'])
})

/** More than either engine takes in one statement, with one value for each. */
const many = 66_000

await forEachEngine(t, 'nothing grows beyond what one statement takes', async (t, env) => {
  const db = await emptyDatabase(t, env)
  const names = Array.from({ length: 7000 }, (_, i) => `c${i}`)
  const entries = names.map((name): NewAuditEntry => ({
    at: now,
    event: 'client_created',
    actor: 'test',
    client_id: name,
    count: 1,
  }))
  const changes: Changes = {
    newResources: names.map(name => resourceRow(`https://${name}.example`)),
    newClients: names.map(name => clientRow(name)),
    resources: new Map(),
    clients: new Map(),
  }
  const told: number[] = []
  const apply = (what: Changes) =>
    applyChanges(
      withTold(db, () => ({ entries })),
      what,
      made => told.push(made),
    )
  const counts = async () => {
    const count = async (table: 'clients' | 'resources' | 'audit') => {
      const query = db.sql.selectFrom(table).select(({ fn }) => fn.countAll<number>().as('rows'))
      return Number((await query.executeTakeFirstOrThrow()).rows)
    }
    return [await count('clients'), await count('resources'), await count('audit')]
  }
  t.equal(await apply(changes), true)
  t.strictSame(await counts(), [7000, 7000, 7000])
  t.equal(told.at(-1), 14_000, 'the progress is told')
  t.ok(told.length >= 14 && told.every((made, i) => i === 0 || made > (told[i - 1] ?? 0)), 'as it goes on')

  const more = ['d0', 'd1', 'c6999'].map(name => clientRow(name))
  t.equal(await apply({ ...changes, newResources: [], newClients: more }), false, 'one id is taken')
  t.strictSame(
    await counts(),
    [7000, 7000, 7000],
    'so there is nothing of the others, and nothing on the trail',
  )

  const ids = Array.from({ length: many }, () => newUuid(now))
  t.strictSame(await revokeSessions(db, ids, end), [], 'sessions that a log names')
  const [table] = largeTables
  const keys = ids.map(id => id.toString('hex'))
  if (!table) throw new Error('unreachable: there are large tables')
  await db.sql
    .insertInto('copy_changes')
    .values({ table_name: table.name, key_text: keys[0] ?? '' })
    .execute()
  await t.rejects(requireNotes(db, table, keys), {
    message: new RegExp(`^${many - 1} rows of ${table.name} differ`),
  })
})
