import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import { stopWrites } from '../../db/copy/changes.ts'
import { beginCopy, cancelCopy, findCopy, type Copy } from '../../db/copy/copy.ts'
import { drainChanges } from '../../db/copy/drain.ts'
import { moveInstallation } from '../../db/copy/finish.ts'
import { copiedTables, copyPlan, rowDigest, type Row } from '../../db/copy/tables.ts'
import { copyLarge, verifyLarge } from '../../db/copy/walk.ts'
import type { Database } from '../../db/database.ts'
import { findPasskey, insertPasskey, notePasskeyUse } from '../../db/factors/passkeys.ts'
import {
  listRecoveryCodes,
  replaceRecoveryCodes,
  spendRecoveryCode,
} from '../../db/factors/recovery-codes.ts'
import { removeFactors } from '../../db/factors/removals.ts'
import { findTotp, insertTotp, spendStep } from '../../db/factors/totps.ts'
import { latestAuditEntries } from '../../db/installation/audit.ts'
import { migrate } from '../../db/installation/migrate.ts'
import { openDatabase, type DatabaseLocation } from '../../db/open-database.ts'
import type { PasskeyTable } from '../../db/schema.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import { findSession, revokeSession } from '../../db/sessions/sessions.ts'
import { findConsent, rememberConsent } from '../../db/users/consents.ts'
import { endSignIns } from '../../db/users/sign-in-ends.ts'
import { findSignIn, renewSignIn, touchSignIn } from '../../db/users/sign-ins.ts'
import { deleteUser, insertUser } from '../../db/users/users.ts'
import { hashSecret, newUuid } from '../../src/protocol/secrets.ts'
import { commandLine } from '../helpers/cli.ts'
import { scratchFolder } from '../helpers/scratch.ts'
import { sharedPostgres } from '../helpers/shared-postgres.ts'
import { refresh, startFleet } from '../helpers/fleet.ts'
import { beginSession, madeAt, rotationOf, seed } from '../helpers/records.ts'
import { beginSignIn, renewalOf } from '../helpers/sign-ins.ts'

/** Adds so many sessions of the one that is there, quickly. */
async function multiply(db: Database, count: number): Promise<void> {
  const session = await db.sql.selectFrom('sessions').selectAll().limit(1).executeTakeFirstOrThrow()
  for (let i = 0; i < count; i += 500) {
    const rows = Array.from({ length: Math.min(500, count - i) }, (_, j) => ({
      ...session,
      id: newUuid(madeAt),
      status_position: i + j,
    }))
    await db.sql.insertInto('sessions').values(rows).execute()
  }
}

async function keysOf(url: string): Promise<string[]> {
  const response = await fetch(`${url}/.well-known/jwks.json`)
  const { keys } = (await response.json()) as { keys: { kid: string }[] }
  return keys.map(({ kid }) => kid).sort()
}

t.test(
  'an installation moves from SQLite to PostgreSQL under load: nobody is logged out, and no verifier sees a difference',
  async t => {
    const cluster = await sharedPostgres()
    const url = cluster.url(await cluster.createDatabase())
    const fleet = await startFleet(t, {})
    const cli = commandLine(t, fleet.home)
    const old = await fleet.start()
    const clients = await fleet.logIn(5)
    const file = join(fleet.home, 'db/mintmark.sqlite')
    const db = openDatabase({ engine: 'sqlite', file })
    await multiply(db, 1500)
    await db.close()
    const load = fleet.load(clients)
    await load.progress()
    const keys = await keysOf(old.url)

    writeFileSync(join(fleet.home, 'url'), `${url}\n`)
    const args = ['db', 'copy', '--to-file', join(fleet.home, 'url'), '--yes', '--json']
    const { stderr, json } = await cli.call(args)
    const report = json()
    t.match(report, { moved: true, rows: { users: 1, clients: 1 } })
    t.equal(report.rows.sessions, 1500 + clients.length)
    t.match(stderr, /servers go on/)
    const moved = openDatabase({ engine: 'postgres', url })
    t.match(await latestAuditEntries(moved, { events: ['database_moved'] }, 2), [
      { detail: '{"from":"sqlite"}' },
    ])
    await moved.close()

    t.match(
      await refresh(old.url, clients[0]?.refreshToken ?? ''),
      { kind: 'later' },
      'the old server answers 503',
    )
    t.strictSame(
      await keysOf(old.url),
      keys,
      'but for the keys, which verifiers need until its tokens have expired',
    )
    t.equal((await fetch(`${old.url}/health/ready`)).status, 503)
    t.equal((await fetch(`${old.url}/health/live`)).status, 200)
    t.ok(old.log.some(line => /has been moved to another database/.test(String(line['msg']))))
    const delayed = load.delayed()

    const fresh = await fleet.start({ MINTMARK_DATABASE_URL: url })
    await old.kill()
    await load.progress()
    t.strictSame(await load.stop(), [], 'no client was refused')
    t.ok(load.delayed() >= delayed)
    t.strictSame(await keysOf(fresh.url), keys, 'the same keys')
    t.equal((await fleet.logIn(1)).length, 1, 'the same users and clients')
    t.strictSame(
      fresh.log.filter(line => line['event'] === 'session_healed'),
      [],
      'every refresh had come along',
    )

    const again = await cli.call('serve')
    t.match([again.code, again.stderr], [1, /this database was moved to another one, and serves no more/])
    const given = await cli.call('db copy --cancel')
    t.match([given.code, given.stderr], [1, /has been moved to the other database already.*keep that one/])
    const twice = await cli.call(args)
    t.match([twice.code, twice.stderr], [1, /this database was moved to another one/])
  },
)

t.test('a copy that is interrupted goes on, and until it is done nobody can serve from it', async t => {
  const cluster = await sharedPostgres()
  const url = cluster.url(await cluster.createDatabase())
  const cli = commandLine(t)
  const file = join(cli.home, 'db/mintmark.sqlite')
  await cli.call('db migrate')
  const from = openDatabase({ engine: 'sqlite', file })
  t.teardown(() => from.close())
  await addRecords(from)
  await multiply(from, 3000)

  const to = openDatabase({ engine: 'postgres', url })
  t.teardown(() => to.close())
  await migrate(to, madeAt)
  const rowsThere = async () => (await rowsOf(to, 'sessions')).length
  const obstacle = await obstruct(t, to, 'sessions', 1000)
  const args = ['db', 'copy', '--to', url, '--yes']
  const child = cli.start(args)
  await obstacle.isMet()
  child.kill('SIGKILL')
  await once(child, 'close')
  await obstacle.remove()
  const copied = await rowsThere()
  t.ok(copied >= 1000 && copied < 3000, `it was killed after ${copied} rows`)

  const env = { MINTMARK_DATABASE_URL: url }
  const early = await cli.call('serve', { env })
  t.match([early.code, early.stderr], [1, /was not copied to the end: `mintmark db copy` .* goes on with it/])
  const { findings } = (await cli.call('doctor --json')).json()
  t.ok(
    findings.some(({ text }: { text: string }) => /a copy to another database was begun/.test(text)),
    'doctor knows of it',
  )
  const elsewhere = cluster.url(await cluster.createDatabase())
  const other = await cli.call(['db', 'copy', '--to', elsewhere, '--yes'])
  t.match([other.code, other.stderr], [1, /a copy of this database to another one is not finished/])

  // What changed while no copy ran.
  const [first] = await from.sql.selectFrom('sessions').select('id').orderBy('id').limit(1).execute()
  const id = first?.id ?? Buffer.alloc(0)
  await revokeSession(from, id, madeAt, 'admin')
  const { json } = await cli.call([...args, '--json'])
  t.equal(json().rows.sessions, 3001)
  t.equal((await findSession(to, id))?.revoke_reason, 'admin')
  t.equal((await cli.call('db status', { env })).code, 0)
})

t.test(
  'a move that fails or is given up leaves everything as it was, and one that was made is finished',
  async t => {
    const cluster = await sharedPostgres()
    const url = cluster.url(await cluster.createDatabase())
    const cli = commandLine(t)
    await cli.call('db migrate')
    const from = openDatabase({ engine: 'sqlite', file: join(cli.home, 'db/mintmark.sqlite') })
    t.teardown(() => from.close())
    const id = await beginSession(from, await addRecords(from))
    const to = openDatabase({ engine: 'postgres', url })
    t.teardown(() => to.close())
    await migrate(to, madeAt)
    const args = ['db', 'copy', '--to', url, '--yes']

    t.comment('the other database fails while writes are stopped')
    await sql`create function fail() returns trigger language plpgsql as $$ begin raise 'no'; end $$`.execute(
      to.sql,
    )
    await sql`create trigger fail before insert on clients execute function fail()`.execute(to.sql)
    const failed = await cli.call(args)
    t.match([failed.code, failed.stderr], [1, /unexpected: no /])
    t.ok(await rotateSession(from, rotationOf(id)), 'the source takes writes again')
    t.equal((await from.sql.selectFrom('installation').select('moved_at').execute())[0]?.moved_at, null)
    await sql`drop trigger fail on clients`.execute(to.sql)

    t.comment('the command is killed while writes are stopped')
    const obstacle = await obstruct(t, to, 'clients', 0)
    const child = cli.start(args)
    await obstacle.isMet()
    child.kill('SIGKILL')
    await once(child, 'close')
    await obstacle.remove()
    t.ok(await rotateSession(from, rotationOf(id, { generation: 1 })), 'the source takes writes again')

    t.comment('it is given up')
    t.match((await cli.call('db copy --cancel --json')).json(), { cancelled: true })
    t.match((await cli.call('db copy --cancel --json')).json(), { cancelled: false })
    t.ok(await rotateSession(from, rotationOf(id, { generation: 2 })))
    t.strictSame(await rowsOf(from, 'copy_changes'), [], 'and nothing is noted any more')
    const { stderr } = await cli.call(args)
    t.match(stderr, /has the part of a copy from another one: empty it/, 'a part is not taken for the whole')

    t.comment('the other database is taken')
    const taken = openDatabase({ engine: 'postgres', url: cluster.url(await cluster.createDatabase()) })
    t.teardown(() => taken.close())
    await seed(taken)
    await t.rejects(beginCopy(from, taken, madeAt), /has an installation already: name an empty one/)
    t.equal((await rowsOf(from, 'copies')).length, 0, 'and nothing has begun')

    t.comment('it was made, but the command ended before it had said so to the other database')
    const fresh = cluster.url(await cluster.createDatabase())
    const target = openDatabase({ engine: 'postgres', url: fresh })
    t.teardown(() => target.close())
    await migrate(target, madeAt)
    const copy = await beginCopy(from, target, madeAt)
    await copyAll(copy)
    await moveInstallation(copy, madeAt)
    const env = { MINTMARK_DATABASE_URL: fresh }
    t.match(await cli.call('serve', { env }), { code: 1, stderr: /was not copied to the end/ })
    const there = ['db', 'copy', '--to', fresh, '--yes']
    t.match(await cli.call(there), { code: 0, stdout: /has everything, and may be served now/ })
    t.equal((await cli.call('db status', { env })).code, 0)
    t.match(await cli.call(there), { code: 1, stderr: /this database was moved to another one/ })
  },
)

interface Obstacle {
  /** Resolves when somebody waits for it. */
  isMet(): Promise<void>
  /** Lets everybody pass. */
  open(): Promise<void>
  /** Ends who waits, and is no more. */
  remove(): Promise<void>
}

/** To add rows to a table of PostgreSQL that has so many already has to wait. */
async function obstruct(t: Test, db: Database, table: string, count: number): Promise<Obstacle> {
  await sql
    .raw(
      `create function obstruct() returns trigger language plpgsql as $$ begin
      if (select count(*) from ${table}) >= ${count} then perform pg_advisory_xact_lock_shared(1); end if;
      return null; end $$;
    create trigger obstruct before insert on ${table} for each statement execute function obstruct()`,
    )
    .execute(db.sql)
  let free = () => {}
  const isFree = new Promise<void>(resolve => (free = resolve))
  const holding = db.transact(async transaction => {
    await sql`select pg_advisory_xact_lock(1)`.execute(transaction)
    await isFree
  })
  t.teardown(() => free())
  const waiting = sql<{ pid: number }>`select pid from pg_locks where locktype = 'advisory' and not granted
    and database = (select oid from pg_database where datname = current_database())`
  return {
    isMet: async () => {
      while ((await waiting.execute(db.sql)).rows.length === 0) await sleep(10)
    },
    open: async () => {
      free()
      await holding
    },
    remove: async () => {
      for (const { pid } of (await waiting.execute(db.sql)).rows) {
        await sql`select pg_terminate_backend(${pid})`.execute(db.sql)
      }
      free()
      await holding
      await sql.raw(`drop trigger obstruct on ${table}; drop function obstruct`).execute(db.sql)
    },
  }
}

/** The records of records.ts in an installation that is there already. */
async function addRecords(db: Database): Promise<Buffer> {
  const { issuer: own } = await db.sql.selectFrom('installation').select('issuer').executeTakeFirstOrThrow()
  const userId = await seed(db)
  await db.sql.updateTable('installation').set({ issuer: own }).execute()
  await beginSession(db, userId)
  return userId
}

async function openPair(t: Test, from: DatabaseLocation, to: DatabaseLocation) {
  const [source, target] = [openDatabase(from), openDatabase(to)]
  t.teardown(() => Promise.all([source.close(), target.close()]))
  const userId = await seed(source)
  await migrate(target, madeAt)
  return { source, target, userId }
}

/** The rows of any table, which comes by name. */
function rowsOf({ sql: on }: Database, name: string): Promise<Row[]> {
  return on
    .selectFrom(name as 'users')
    .selectAll()
    .execute()
}

/** Gives every table at least one row, whatever its columns are: also those that were not thought of here. */
async function fillEmptyTables({ sql: on }: Database): Promise<void> {
  for (const { name, columns } of await on.introspection.getTables()) {
    if (!copiedTables.some(copied => copied.name === name)) continue
    const { rows } = await sql`select 1 from ${sql.table(name)} limit 1`.execute(on)
    if (rows.length > 0) continue
    const values = columns.map(column => {
      if (/int/i.test(column.dataType)) return 1000
      return /text/i.test(column.dataType) ? 'some text' : newUuid(madeAt)
    })
    const names = columns.map(column => sql.ref(column.name))
    await sql`insert into ${sql.table(name)} (${sql.join(names)}) values (${sql.join(values)})`.execute(on)
  }
}

const passkeyOf = (userId: Buffer): PasskeyTable => ({
  id: newUuid(madeAt),
  user_id: userId,
  credential_id: newUuid(madeAt),
  public_key: Buffer.alloc(77),
  counter: 1,
  transports: 'internal',
  rp_id: 'as.example',
  aaguid: '',
  is_synced: 0,
  name: 'Phone',
  spent: '',
  created_at: madeAt,
  used_at: null,
})

async function copyAll(copy: Copy): Promise<void> {
  await copyLarge(copy, () => {})
  await verifyLarge(copy, () => {})
}

for (const engine of ['sqlite', 'postgres'] as const) {
  t.test(`what changes while a copy is under way comes along, row by row (from ${engine})`, async t => {
    const cluster = await sharedPostgres()
    const there = { engine: 'postgres', url: cluster.url(await cluster.createDatabase()) } as const
    const here = { engine: 'sqlite', file: join(scratchFolder(t), 'x.sqlite') } as const
    const { source, target, userId } = await openPair(
      t,
      engine === 'sqlite' ? here : there,
      engine === 'sqlite' ? there : here,
    )
    const ids: Buffer[] = []
    for (let i = 0; i < 30; i++) ids.push(await beginSession(source, userId, i))
    const [kept, rotated, revoked, deleted] = ids as [Buffer, Buffer, Buffer, Buffer]
    await revokeSession(source, kept, madeAt, 'client')

    const ada = await source.sql
      .selectFrom('users')
      .selectAll()
      .where('id', '=', userId)
      .executeTakeFirstOrThrow()
    const [carol, successor] = [newUuid(madeAt), newUuid(madeAt)]
    await insertUser(source, { ...ada, id: carol, username: 'carol' })

    const tables = await source.sql.introspection.getTables()
    t.strictSame(
      tables.map(({ name }) => name).sort(),
      [...Object.keys(copyPlan), 'migrations'].sort(),
      'for each table it is said how it is copied, or why it is not',
    )
    const signIns: Buffer[] = []
    for (let i = 0; i < 4; i++) signIns.push((await beginSignIn(source, userId)).id)
    const [renewed, ended, touched] = signIns as [Buffer, Buffer, Buffer]
    const [used, removed] = [passkeyOf(userId), passkeyOf(userId)]
    for (const passkey of [used, removed])
      t.equal(await insertPasskey(source, passkey, { user: ada, passkeysMax: 2 }), 'added')
    const totp = { user_id: userId, secret: Buffer.from('secret'), root_key_id: 'none' }
    await insertTotp(source, { ...totp, last_step: 1, created_at: madeAt, used_at: null }, ada)
    const code = { user_id: userId, salt: Buffer.alloc(16), hash: Buffer.alloc(32) }
    const codes = [1, 2].map(() => ({ ...code, id: newUuid(madeAt), created_at: madeAt, used_at: null }))
    await replaceRecoveryCodes(source, codes, ada)
    await fillEmptyTables(source)

    const copy = await beginCopy(source, target, madeAt)
    await copyAll(copy)
    // More than is copied at once.
    await multiply(source, 1100)
    await rotateSession(source, rotationOf(rotated))
    await revokeSession(source, revoked, madeAt, 'admin')
    await source.sql.deleteFrom('sessions').where('id', '=', deleted).execute()
    const seen = { id: renewed, secret_hash: hashSecret('first') }
    const user = { user: ada, knownSources: undefined }
    t.ok(await renewSignIn(source, seen, renewalOf('second'), user))
    await endSignIns(source, [ended], { now: madeAt, reason: 'log-out' })
    const untouched = { id: touched, secret_hash: hashSecret('first'), used_at: madeAt + 1 }
    t.ok(await touchSignIn(source, untouched, { now: madeAt + 60, address: '192.0.2.9' }))
    const { id: client = '', epoch = 0 } = (await findClient(source, 'web')) ?? {}
    const consent = { user: ada, client: { id: client, epoch }, resource: null, scope: ['read'], now: madeAt }
    await rememberConsent(source, { ...consent, id: newUuid(madeAt) })
    await rememberConsent(source, { ...consent, id: newUuid(madeAt), scope: ['write'] })
    t.ok(await notePasskeyUse(source, used, { spent: 'x', counter: 7, used_at: madeAt + 1 }))
    const choice = { totp: false, passkeys: removed.id, recoveryCodes: false }
    t.match(await removeFactors(source, userId, choice), { passkeys: [{ id: removed.id }] })
    t.ok(await spendStep(source, totp, { ...totp, last_step: 2, used_at: madeAt + 1 }))
    t.ok(await spendRecoveryCode(source, codes[0]?.id ?? carol, madeAt + 1))
    // Another user takes the name of one that is gone.
    await deleteUser(source, carol, madeAt)
    await insertUser(source, { ...ada, id: successor, username: 'carol' })
    const late = newUuid(madeAt)
    await source.sql
      .insertInto('sessions')
      .values({
        ...(await source.sql
          .selectFrom('sessions')
          .selectAll()
          .where('id', '=', kept)
          .executeTakeFirstOrThrow()),
        id: late,
      })
      .execute()

    const rows = await moveInstallation(copy, madeAt)
    t.match(rows, { sessions: 1130, users: 2, clients: 1 })
    for (const { name } of copiedTables) {
      const [here, there] = [await rowsOf(source, name), await rowsOf(target, name)]
      t.ok(here.length > 0, `${name} has rows`)
      // It alone is marked, and what it says to servers is for those of the first database.
      const unmarked = (row: Row) =>
        rowDigest(name === 'installation' ? { ...row, moved_at: null, revision: 0 } : row)
      t.strictSame(there.map(unmarked).sort(), here.map(unmarked).sort(), `${name} is the same`)
    }
    t.equal((await findSession(target, rotated))?.generation, 1)
    t.equal((await findSession(target, revoked))?.revoke_reason, 'admin')
    t.equal(await findSession(target, deleted), undefined)
    t.ok(await findSession(target, late))
    t.match(await findSignIn(target, renewed), { secret_hash: hashSecret('second') })
    t.equal(await findSignIn(target, ended), undefined)
    t.match(await findSignIn(target, touched), { last_address: '192.0.2.9' })
    const consented = { userId, clientId: 'web', resource: null }
    t.match(await findConsent(target, consented), { scope: 'read write' })
    t.match(await findPasskey(target, used.credential_id), { counter: 7, spent: 'x' })
    t.equal(await findPasskey(target, removed.credential_id), undefined)
    t.match(await findTotp(target, userId), { last_step: 2, secret: totp.secret })
    t.equal((await listRecoveryCodes(target, userId)).length, 1)
    const found = await target.sql.selectFrom('users').select('id').where('username', '=', 'carol').execute()
    t.strictSame(found, [{ id: successor }])
    const seqs = (db: Database) => db.sql.selectFrom('revocations').selectAll().orderBy('seq').execute()
    t.strictSame(await seqs(target), await seqs(source))

    await revokeSession(target, rotated, madeAt, 'command')
    t.equal((await seqs(target)).length, (await seqs(source)).length + 1, 'numbers go on there')
    await t.rejects(
      rotateSession(source, rotationOf(rotated, { generation: 1 })),
      'and here nobody writes any more',
    )
    await t.rejects(revokeSession(source, ids[9] ?? kept, madeAt, 'limit'))
    t.equal((await findSession(source, ids[9] ?? kept))?.revoked_at, null)
  })
}

t.test('a unique value may pass from one row to another while a copy is under way', async t => {
  const cluster = await sharedPostgres()
  const { source, target, userId } = await openPair(
    t,
    { engine: 'sqlite', file: join(scratchFolder(t), 'x.sqlite') },
    { engine: 'postgres', url: cluster.url(await cluster.createDatabase()) },
  )
  const model = await source.sql
    .selectFrom('sessions')
    .selectAll()
    .where('id', '=', await beginSession(source, userId))
    .executeTakeFirstOrThrow()
  // At most one session of a client's own lives.
  const addMachine = (first: number) =>
    source.sql
      .insertInto('sessions')
      .values({ ...model, id: Buffer.alloc(16, first), user_id: null, secret_hash: null })
      .execute()
  const endMachine = (first: number) => revokeSession(source, Buffer.alloc(16, first), madeAt, 'command')

  await multiply(source, 1000)
  await addMachine(0)
  const copy = await beginCopy(source, target, madeAt)
  const interrupted = copyLarge(copy, rows => {
    if (rows > 1000) throw new Error('interrupted')
  })
  await t.rejects(interrupted, /interrupted/)
  await endMachine(0)
  await addMachine(255)
  await copyAll(copy)
  t.pass('to one that comes later in the copying')

  await endMachine(255)
  await addMachine(1)
  await drainChanges(copy)
  t.pass('and to one that comes before it among the changes')
  const rows = await moveInstallation(copy, madeAt)
  t.equal(rows['sessions'], 1004)
})

t.test('while the last changes are copied nobody else writes, nor for longer than that', async t => {
  const cluster = await sharedPostgres()
  const location = async () =>
    ({ engine: 'postgres', url: cluster.url(await cluster.createDatabase()) }) as const
  const here = await location()
  const { source, target, userId } = await openPair(t, here, await location())
  const id = await beginSession(source, userId)

  // Somebody reads for a long time, as a dump does.
  const command = openDatabase(here, { isPatient: true })
  t.teardown(() => command.close())
  await beginCopy(source, target, madeAt)
  await source.transact(async reading => {
    await reading.selectFrom('users').select('id').execute()
    await t.rejects(cancelCopy(command), { code: '55P03' }, 'a lock that is not free is not waited for')
    t.ok(await findCopy(source), 'and nothing has happened')
  })
  t.equal(await cancelCopy(source), true)

  // What was interrupted before it had begun at both ends.
  t.match([await findCopy(source), await findCopy(target)], [undefined, { role: 'target' }])
  const copy = await beginCopy(source, target, madeAt)
  await copyAll(copy)
  await t.rejects(copyAll({ ...copy, id: 'another' }), /the other database has the progress of another copy/)
  const obstacle = await obstruct(t, target, 'clients', 0)
  const moving = moveInstallation(copy, madeAt)
  await obstacle.isMet()

  const other = openDatabase(here)
  t.teardown(() => other.close())
  let isAnswered = false
  const late = rotateSession(other, rotationOf(id)).finally(() => {
    isAnswered = true
  })
  late.catch(() => {}) // looked at below
  const isWaiting = async () => {
    const { rows } = await sql`select 1 from pg_locks where locktype = 'relation' and not granted
      and database = (select oid from pg_database where datname = current_database())`.execute(source.sql)
    return rows.length > 0
  }
  while (!isAnswered && !(await isWaiting())) await sleep(10)
  t.equal(isAnswered, false, 'a refresh waits')
  await obstacle.open()
  await moving
  await t.rejects(late, /moved to another database|lock timeout/, 'and comes too late')
  t.equal((await findSession(target, id))?.generation, 0)

  // Should the machine that copies vanish, the locks are given back all the same.
  const stopped = await target.transact(async transaction => {
    await stopWrites(transaction, 'postgres')
    const shown = await sql<{
      limit: string
    }>`select current_setting('idle_in_transaction_session_timeout') as limit`.execute(transaction)
    return shown.rows[0]?.limit
  })
  t.equal(stopped, '30s')
})

t.test('a copy that is not like the original is not moved to', async t => {
  const cluster = await sharedPostgres()
  const begin = async () => {
    const { source, target, userId } = await openPair(
      t,
      { engine: 'sqlite', file: join(scratchFolder(t), `${Math.random()}.sqlite`) },
      { engine: 'postgres', url: cluster.url(await cluster.createDatabase()) },
    )
    const id = await beginSession(source, userId)
    const copy = await beginCopy(source, target, madeAt)
    await copyLarge(copy, () => {})
    return { copy, source, target, id }
  }
  const spoilt = await begin()
  await spoilt.target.sql.updateTable('sessions').set({ generation: 7 }).execute()
  await t.rejects(
    verifyLarge(spoilt.copy, () => {}),
    /1 rows of sessions differ .* though nothing has changed them/,
  )

  const lacking = await begin()
  await verifyLarge(lacking.copy, () => {})
  await lacking.target.sql.deleteFrom('sessions').execute()
  await t.rejects(moveInstallation(lacking.copy, madeAt), /sessions has 1 rows here and 0 in the other/)
  t.ok(await rotateSession(lacking.source, rotationOf(lacking.id)), 'and the servers go on')

  const odd = await begin()
  await sql`create function spoil() returns trigger language plpgsql as $$ begin new.scope = 'x'; return new; end $$`.execute(
    odd.target.sql,
  )
  await sql`create trigger spoil before insert on clients for each row execute function spoil()`.execute(
    odd.target.sql,
  )
  await t.rejects(
    moveInstallation(odd.copy, madeAt),
    /the table clients is not the same in the other database/,
  )

  const deaf = await begin()
  await sql`create function forget() returns trigger language plpgsql as $$ begin return null; end $$`.execute(
    deaf.target.sql,
  )
  await sql`create trigger forget before update on sessions for each row execute function forget()`.execute(
    deaf.target.sql,
  )
  await rotateSession(deaf.source, rotationOf(deaf.id))
  await t.rejects(drainChanges(deaf.copy), /rows of sessions are not what was written/)
  await t.rejects(
    beginCopy(deaf.copy.to, deaf.copy.from, madeAt),
    /a copy into this database is not finished/,
  )
})
