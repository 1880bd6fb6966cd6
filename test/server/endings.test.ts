import { setTimeout as sleep } from 'node:timers/promises'
import SqliteFile from 'better-sqlite3'
import type { KyselyPlugin } from 'kysely'
import pg from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import {
  deleteClient,
  disableClient,
  enableClient,
  insertClient,
  raiseClientEpochs,
} from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import {
  deleteStatusLists,
  keepStatusList,
  listStatusListNumbers,
} from '../../db/installation/status-lists.ts'
import { openDatabase } from '../../db/open-database.ts'
import { claimEnding, endNextSessions, releaseEnding, type Ending } from '../../db/sessions/endings.ts'
import { deleteRevocations, listRevocations } from '../../db/sessions/revocations.ts'
import { revokeSession } from '../../db/sessions/sessions.ts'
import { changePassword, deleteUser, disableUser, insertUser, raiseUserEpoch } from '../../db/users/users.ts'
import { loadConfig } from '../../src/config/load.ts'
import { finishEnding, finishOldEndings } from '../../src/endings/finish.ts'
import { openFeed } from '../../src/endings/feed.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { forEachEngine, onPostgres, type EngineEnv } from '../helpers/engines.ts'
import { waitingHere } from '../helpers/postgres.ts'
import { addSessions, beginSession, madeAt, seed } from '../helpers/records.ts'
import { scratchFolder } from '../helpers/scratch.ts'

const longestTokenSeconds = 86_400

/** Waits for what must happen sooner or later. */
async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await sleep(5)
}
const end = { now: madeAt + 10, reason: 'command' } as const

async function world(t: Test, env: EngineEnv) {
  const folder = scratchFolder(t)
  const { databaseUrl } = loadConfig(env, folder)
  const file = `${folder}/test.sqlite`
  const db = openDatabase(databaseUrl.engine === 'sqlite' ? { engine: 'sqlite', file } : databaseUrl)
  t.teardown(() => db.close())
  return { db, file, ada: await seed(db), bob: await addUser(db, 'bob') }
}

async function addUser(db: Database, username: string): Promise<Buffer> {
  const id = newUuid(madeAt)
  const user = { id, username, password_hash: 'x', root_key_id: 'x', roles: '', epoch: 0, created_at: madeAt }
  await insertUser(db, { ...user, disabled_at: null })
  return id
}

const ended = async (db: Database) => {
  const rows = await db.sql
    .selectFrom('sessions')
    .select(['user_id', 'client_id', 'revoke_reason', 'revoked_at'])
    .where('revoked_at', 'is not', null)
    .execute()
  return rows
}

const feedLength = async (db: Database) => (await listRevocations(db, { from: 0, limit: 100_000 })).length

await forEachEngine(t, 'what raises an epoch leaves the rows to be written, and says why', async (t, env) => {
  const { db } = await world(t, env)
  const hash = { password_hash: 'y', root_key_id: 'y' }
  const verbs: [reason: string, raise: (user: Buffer) => Promise<Ending | undefined>][] = [
    ['password changed', user => changePassword(db, user, hash, end.now)],
    ['user disabled', user => disableUser(db, user, end.now)],
    ['command', user => raiseUserEpoch(db, user, end)],
    ['user deleted', user => deleteUser(db, user, end.now)],
    ['command', async () => (await raiseClientEpochs(db, 'web', end)).ending],
    ['command', async () => (await raiseClientEpochs(db, undefined, end)).ending],
    ['client disabled', () => disableClient(db, 'web', end.now)],
    ['client deleted', () => deleteClient(db, 'web', end.now)],
  ]
  for (const [i, [reason, raise]] of verbs.entries()) {
    const user = await addUser(db, `user-${i}`)
    await enableClient(db, 'web')
    await beginSession(db, user)
    const ending = await raise(user)
    t.match(ending, { reason, ended_at: end.now, cursor: null }, `${i} ${reason}`)
    t.equal(await feedLength(db), i, 'nothing is written yet')
    if (!ending) continue
    const step = await endNextSessions(db, ending, { now: end.now, longestTokenSeconds })
    t.strictSame(step, { ended: 1, rest: undefined })
    t.equal(await feedLength(db), i + 1, 'each is told')
    const row = (await ended(db)).find(session => session.user_id?.equals(user))
    t.match(row, { revoked_at: end.now, revoke_reason: reason })
    t.strictSame(await db.sql.selectFrom('endings').selectAll().execute(), [], 'and no work is left')
  }
  const nobody = newUuid(madeAt)
  for (const [reason, raise] of verbs.filter(([reason]) => reason !== 'command'))
    t.equal(await raise(nobody), undefined, `${reason}: of nobody, nothing ends`)
})

await forEachEngine(
  t,
  'the end of many sessions is written in steps, of those that have ended alone',
  async (t, env) => {
    const { db, ada, bob } = await world(t, env)
    const [hers, his] = [await beginSession(db, ada), await beginSession(db, bob)]
    await addSessions(db, his, 700)
    await addSessions(db, hers, 449)
    await addSessions(db, hers, 3, { expires_at: end.now - longestTokenSeconds })
    await addSessions(db, hers, 2, { revoked_at: madeAt, revoke_reason: 'before' })
    const ending = await raiseUserEpoch(db, ada, end)
    const epoch = { user_epoch: 1 }
    await addSessions(db, hers, 5, epoch)

    const steps: number[] = []
    for (let rest: Ending | undefined = ending; rest;) {
      const step = await endNextSessions(db, rest, { now: end.now, longestTokenSeconds })
      steps.push(step.ended)
      rest = step.rest
    }
    t.strictSame(steps, [200, 200, 50], 'a step is small')
    const rows = await ended(db)
    t.equal(rows.filter(row => row.revoke_reason === 'command').length, 450)
    t.ok(
      rows.every(row => row.user_id?.equals(ada)),
      'those of others live on',
    )
    t.equal(await feedLength(db), 450, 'and each is told once')

    await insertClient(db, { ...(await clientRow(db)), id: 'app' })
    await addSessions(db, his, 3, { client_id: 'app', client_epoch: (await clientRow(db, 'app')).epoch })
    const { ending: all } = await raiseClientEpochs(db, 'app', end)
    const seen: number[] = []
    t.strictSame(await finishEnding(db, all, { clock: handClock(end.now), onProgress: n => seen.push(n) }), {
      ended: 3,
      isDone: true,
    })
    t.strictSame(seen, [3], 'a thousand rows that do not count are one look')
    t.equal((await ended(db)).filter(row => row.client_id === 'app').length, 3)
    const { ending: everybody } = await raiseClientEpochs(db, undefined, end)
    // 701 of his and the 5 new ones of hers.
    t.strictSame(await finishEnding(db, everybody, { clock: handClock(end.now) }), {
      ended: 706,
      isDone: true,
    })
  },
)

async function clientRow(db: Database, id = 'web') {
  return db.sql.selectFrom('clients').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
}

await forEachEngine(
  t,
  'whoever dies over it is followed by another, and nothing is done twice',
  async (t, env) => {
    const { db, ada } = await world(t, env)
    await addSessions(db, await beginSession(db, ada), 499)
    const ending = await raiseUserEpoch(db, ada, end)
    if (!ending) throw new Error('unreachable')
    t.equal((await endNextSessions(db, ending, { now: end.now, longestTokenSeconds })).ended, 200)
    t.equal(await claimEnding(db, end.now + 9), undefined, 'so long it is believed to be alive')
    const inFuture = (claimed_until: number) => db.sql.updateTable('endings').set({ claimed_until }).execute()
    await inFuture(end.now + 86_400)
    t.ok(await claimEnding(db, end.now), 'nobody claims it for a day: a clock was ahead')
    await inFuture(end.now + 10)
    const claims = await Promise.all([claimEnding(db, end.now + 10), claimEnding(db, end.now + 10)])
    t.equal(claims.filter(claim => claim).length, 1, 'one of two gets it')
    const claimed = claims.find(claim => claim)
    if (!claimed) throw new Error('unreachable')

    t.ok(claimed.cursor, 'and begins where the other one had got to')

    // The first one was not dead, only slow.
    const [slow, taken] = await Promise.all(
      [ending, claimed].map(mine => endNextSessions(db, mine, { now: end.now + 10, longestTokenSeconds })),
    )
    t.equal(200 + (slow?.ended ?? 0) + (taken?.ended ?? 0), 400, 'each session ends once')
    await releaseEnding(db, ending)
    await finishOldEndings(db, { clock: handClock(end.now + 10) })
    t.equal((await ended(db)).length, 500)
    t.equal(await feedLength(db), 500)
    t.strictSame(await db.sql.selectFrom('endings').selectAll().execute(), [])
  },
)

await forEachEngine(t, 'an epoch is raised with the note of the work, or not at all', async (t, env) => {
  const { db, ada } = await world(t, env)
  await db.sql.schema.alterTable('endings').renameTo('elsewhere').execute()
  const epochs = async () => [
    (await db.sql.selectFrom('users').select('epoch').where('id', '=', ada).executeTakeFirst())?.epoch,
    (await clientRow(db)).epoch,
  ]
  const before = await epochs()
  await t.rejects(raiseUserEpoch(db, ada, end))
  await t.rejects(deleteUser(db, ada, end.now))
  await t.rejects(disableClient(db, 'web', end.now))
  await t.rejects(raiseClientEpochs(db, undefined, end))
  await t.rejects(deleteClient(db, 'web', end.now))
  t.strictSame(await epochs(), before)
})

await forEachEngine(t, 'the work stops when it is asked to, and goes on where it was', async (t, env) => {
  const { db, ada } = await world(t, env)
  await addSessions(db, await beginSession(db, ada), 799)
  const ending = await raiseUserEpoch(db, ada, end)
  if (!ending) throw new Error('unreachable')
  const stopping = new AbortController()
  const clock = handClock(end.now)
  const done = await finishEnding(db, ending, {
    clock,
    signal: stopping.signal,
    onProgress: () => stopping.abort(),
  })
  t.strictSame(done, { ended: 200, isDone: false })
  await finishOldEndings(db, { clock, signal: stopping.signal })
  t.equal((await ended(db)).length, 200, 'nothing is begun after that')
  t.strictSame(await finishEnding(db, (await claimEnding(db, end.now)) ?? ending, { clock, stepsMax: 1 }), {
    ended: 200,
    isDone: false,
  })
  await finishOldEndings(db, { clock })
  t.equal((await ended(db)).length, 800, 'another one need not wait')
})

function follow(db: Database) {
  const seen: number[] = []
  let restarts = 0
  const feed = openFeed({
    list: page => listRevocations(db, page),
    isSame: (one, other) => one.session_id.equals(other.session_id),
    onEntry: ({ status_position }) => seen.push(status_position),
    onRestart: () => {
      restarts++
      seen.length = 0
    },
  })
  return { seen, restarts: () => restarts, read: feed.read }
}

await forEachEngine(t, 'the feed tells of each revocation once, in pages', async (t, env) => {
  const { db, ada } = await world(t, env)
  const feed = follow(db)
  await feed.read()
  t.strictSame(feed.seen, [])
  const revoke = async (position: number) => {
    const id = await beginSession(db, ada, position)
    t.equal(await revokeSession(db, id, end.now, 'command'), true)
    t.equal(await revokeSession(db, id, end.now, 'command'), false)
  }
  await revoke(1)
  await Promise.all([feed.read(), feed.read()])
  await revoke(2)
  await Promise.all([feed.read(), revoke(3), feed.read()])
  await feed.read()
  t.strictSame(feed.seen, [1, 2, 3])
  const rows = Array.from({ length: 2500 }, (_, i) => ({
    session_id: newUuid(madeAt),
    status_position: i,
    revoked_at: end.now,
  }))
  await db.sql.insertInto('revocations').values(rows).execute()
  await feed.read()
  t.equal(feed.seen.length, 2503)
  t.equal(feed.restarts(), 0)
  const late = follow(db)
  await late.read()
  t.strictSame(late.seen, feed.seen, 'one that starts later reads the same')
})

await forEachEngine(t, 'a feed whose past has changed is read again', async (t, env) => {
  const { db } = await world(t, env)
  const entry = (seq: number, position: number) =>
    db.sql
      .insertInto('revocations')
      .values({ seq, session_id: newUuid(madeAt), status_position: position, revoked_at: end.now })
      .execute()
  const feed = follow(db)
  await entry(1, 10)
  await entry(2, 20)
  await feed.read()
  t.strictSame(feed.seen, [10, 20])
  // The primary that had number 2 is gone; the standby gives it, and one more, to other sessions.
  await db.sql.deleteFrom('revocations').where('seq', '=', 2).execute()
  await entry(2, 21)
  await entry(3, 30)
  await feed.read()
  t.strictSame(feed.seen, [10, 21, 30])
  t.equal(feed.restarts(), 1)
  await db.sql.deleteFrom('revocations').execute()
  await entry(1, 11)
  await feed.read()
  t.strictSame(feed.seen, [11], 'also when it has fewer entries than before')
})

await onPostgres(t, 'of all who claim a work at the same moment one gets it', async (t, env) => {
  const { db, ada } = await world(t, env)
  await raiseUserEpoch(db, ada, end)
  const other = await connect(t, env)
  await other.query('begin')
  await other.query('select id from endings for update')
  const claims = Array.from({ length: 4 }, () => claimEnding(db, end.now + 10))
  await until(async () => (await other.query(waitingHere)).rows.length === claims.length)
  await other.query('commit')
  const claimed = await Promise.all(claims)
  t.equal(claimed.filter(ending => ending).length, 1)
})

/** A connection that does not go through our code. */
async function connect(t: Test, env: EngineEnv): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: env['MINTMARK_DATABASE_URL'] })
  await client.connect()
  t.teardown(() => client.end())
  return client
}

await onPostgres(t, 'transactions that commit out of order: the feed passes none over', async (t, env) => {
  const { db, ada } = await world(t, env)
  const feed = follow(db)
  await feed.read()
  const [slow, quick] = [await beginSession(db, ada, 1), await beginSession(db, ada, 2)]
  const other = await connect(t, env)
  await other.query('begin')
  await other.query('insert into revocations (session_id, status_position, revoked_at) values ($1, 1, $2)', [
    slow,
    end.now,
  ])
  let isRevoked = false
  const revoked = revokeSession(db, quick, end.now, 'command').then(() => (isRevoked = true))
  await feed.read()
  t.strictSame(feed.seen, [], 'nothing is committed yet')
  t.equal(isRevoked, false, 'a later number waits for the earlier one')
  await other.query('commit')
  await revoked
  await feed.read()
  t.strictSame(feed.seen, [1, 2])
})

await onPostgres(t, 'whoever reads the feed has read all that was committed before', async (t, env) => {
  const { db, ada } = await world(t, env)
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  // The first answer is on its way for a long time.
  let answers = 0
  const slow: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      if (++answers === 1) await gate
      return result
    },
  }
  const feed = follow({ ...db, sql: db.sql.withPlugin(slow) })
  const first = feed.read()
  await until(() => answers === 1)
  await revokeSession(db, await beginSession(db, ada, 7), end.now, 'command')
  const second = feed.read()
  open()
  await first
  t.strictSame(feed.seen, [])
  await second
  t.strictSame(feed.seen, [7])
})

await forEachEngine(t, 'what no living token can be asked about is forgotten', async (t, env) => {
  const { db } = await world(t, env)
  const values = [1, 2, 3, 4].map(i => ({
    session_id: newUuid(madeAt),
    status_position: i,
    revoked_at: madeAt + i,
  }))
  await db.sql.insertInto('revocations').values(values).execute()
  t.equal(await deleteRevocations(db, { before: madeAt + 3, limit: 1 }), 1, 'so many at once')
  t.equal(await deleteRevocations(db, { before: madeAt + 3, limit: 10 }), 1)
  const left = await listRevocations(db, { from: 0, limit: 10 })
  t.strictSame(
    left.map(row => row.status_position),
    [3, 4],
  )

  await keepStatusList(db, 0, madeAt)
  await keepStatusList(db, 1, madeAt + 100)
  await keepStatusList(db, 1, madeAt + 50)
  await keepStatusList(db, 2, madeAt)
  await keepStatusList(db, 2, madeAt + 100)
  t.strictSame(await deleteStatusLists(db, madeAt + 99), [0], 'a list lives as long as one of its sessions')
  t.strictSame(await listStatusListNumbers(db), [1, 2])
  t.strictSame((await deleteStatusLists(db, madeAt + 100)).toSorted(), [1, 2])
})

t.test('a command waits longer than a request for a lock that another process holds', async t => {
  const { db, file } = await world(t, {})
  const patient = openDatabase({ engine: 'sqlite', file }, { isPatient: true })
  t.teardown(() => patient.close())
  const holder = new SqliteFile(file)
  holder.exec('begin immediate')
  const write = ({ sql }: Database) => sql.updateTable('users').set({ roles: 'x' }).execute()
  const waiting = write(patient)
  await t.rejects(write(db), { code: 'SQLITE_BUSY' }, 'a request is told to come back')
  await sleep(200)
  holder.exec('commit')
  holder.close()
  await t.resolves(waiting, 'a command does its work after all')
})
