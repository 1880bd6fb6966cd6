import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { insertClient } from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import type { SessionTable } from '../../db/schema.ts'
import { countSessions, listSessions, pageOfSessions, type SessionFilter } from '../../db/sessions/pages.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import { fillIndex, readFill } from '../../db/sessions/session-index.ts'
import { extendSession, markLate, revokeSession } from '../../db/sessions/sessions.ts'
import { insertSession } from '../../db/sessions/starts.ts'
import { sweepSessions } from '../../db/sessions/sweeper.ts'
import { checkSessionIndex } from '../../src/admin/doctor/session-index.ts'
import { plainClientRow } from '../../src/clients/registration.ts'
import { lastUuidOf, newUuid } from '../../src/protocol/secrets.ts'
import { sessionIndex } from '../../src/sessions/session-index.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { plansOf } from '../helpers/plans.ts'
import { addSessions, beginSession, madeAt, openSeeded, rotationOf } from '../helpers/records.ts'
import { runJob } from '../helpers/run-job.ts'

const [a, b] = ['https://a.example', 'https://b.example']

/** Clients `web` and `app`, and a session of `web` that none of these tests looks for. */
async function open(t: Test, env: EngineEnv) {
  const { db, userId } = await openSeeded(t, env)
  await insertClient(db, plainClientRow({ id: 'app', secret_hash: null, scope: 'read', created_at: madeAt }))
  const { epoch } = await db.sql
    .selectFrom('clients')
    .select('epoch')
    .where('id', '=', 'app')
    .executeTakeFirstOrThrow()
  const model = await beginSession(db, userId)
  /** Adds sessions as servers of an earlier version did. */
  const add = (count: number, changes: Partial<SessionTable> = {}) =>
    addSessions(db, model, count, {
      ...(changes.client_id === 'app' && { client_epoch: epoch }),
      ...changes,
    })
  return { db, userId, model, add }
}

const allRows = ({ sql }: Database) => sql.selectFrom('sessions').selectAll().orderBy('id').execute()
const indexed = async ({ sql }: Database) => {
  const rows = await sql.selectFrom('session_index').selectAll().orderBy('session_id').execute()
  return rows.map(({ session_id, client_id, resource }) => [session_id.toString('hex'), client_id, resource])
}
const wantedOf = async (db: Database) =>
  (await allRows(db)).map(({ id, client_id, resource }) => [id.toString('hex'), client_id, resource])

const fill = (db: Database) => runJob(sessionIndex(db, handClock(madeAt)), 'filling the index of sessions')

/** The ids that pages of a few sessions have, one after the other. */
async function idsOf(db: Database, filter: SessionFilter): Promise<string[]> {
  const ids: string[] = []
  let after: Buffer | undefined
  do {
    const { sessions, next } = await pageOfSessions(db, filter, { after, limit: 3 }, 'index')
    if (sessions.length > 3) throw new Error('a page is longer than its limit')
    ids.push(...sessions.map(({ id }) => id.toString('hex')))
    after = next
  } while (after)
  return ids
}

await forEachEngine(
  t,
  'a list is whole and in order, however far the index has been filled',
  async (t, env) => {
    const { db, userId, add } = await open(t, env)
    for (let hour = 0; hour < 4; hour++) {
      const auth_time = madeAt + hour * 3600
      for (const client_id of ['web', 'app'])
        for (const resource of [null, a, b]) await add(2, { client_id, resource, auth_time })
      await add(1, { client_id: 'app', resource: a, auth_time, revoked_at: auth_time })
    }
    const rows = await allRows(db)
    const anyOf = (uri: string, clientIds: readonly string[]) => ({ uri, clientIds })
    const filters: SessionFilter[] = [
      { clientId: 'web' },
      { clientId: 'app', livingAt: madeAt },
      { clientId: 'nobody' },
      { resource: anyOf(a, []) },
      { resource: anyOf(a, ['app']) },
      { resource: anyOf(b, ['app', 'web']), livingAt: madeAt },
      {
        resource: anyOf(
          a,
          Array.from({ length: 250 }, (_, i) => (i === 249 ? 'web' : `none-${i}`)),
        ),
      },
      { clientId: 'app', resource: anyOf(a, ['app']) },
      { clientId: 'web', resource: anyOf(a, ['app']) },
      { upTo: lastUuidOf(madeAt + 3600) },
      { clientId: 'app', upTo: lastUuidOf(madeAt + 3600), livingAt: madeAt },
      { resource: anyOf(a, ['web']), upTo: lastUuidOf(madeAt + 7199), unusedSince: madeAt },
      { clientId: 'web', userId },
      {},
    ]
    const isWanted =
      ({ clientId, resource, upTo, livingAt }: SessionFilter) =>
      (row: SessionTable) =>
        (clientId === undefined || row.client_id === clientId) &&
        (resource === undefined ||
          row.resource === resource.uri ||
          (row.resource === null && resource.clientIds.includes(row.client_id))) &&
        (upTo === undefined || row.id.compare(upTo) <= 0) &&
        (livingAt === undefined || row.revoked_at === null)
    const check = async (state: string) => {
      for (const filter of filters) {
        const wanted = rows.filter(isWanted(filter)).map(({ id }) => id.toString('hex'))
        const title = `${state}: ${JSON.stringify(filter).slice(0, 90)}`
        t.strictSame(await idsOf(db, filter), wanted, title)
        t.strictSame(await countSessions(db, filter), { count: wanted.length, isMore: false }, title)
      }
    }
    await check('nothing but what began since the upgrade')
    t.match(await checkSessionIndex({ db }), [{ verdict: 'ok', text: /has none of them so far/ }])
    t.equal(await fillIndex(db, 7), false)
    await check('a step')
    t.match(await checkSessionIndex({ db }), [{ text: /those that began by 2030-03-17 \d\d:46:40Z so far/ }])
    await fill(db)
    await check('all')
    t.match(await checkSessionIndex({ db }), [{ verdict: 'ok' }])
    t.strictSame(await indexed(db), await wantedOf(db))
    await add(1, { client_id: 'web' })
    t.equal((await idsOf(db, { clientId: 'web' })).length, rows.filter(isWanted({ clientId: 'web' })).length)
    let walked = 0
    for await (const _ of listSessions(db, { clientId: 'web' })) walked++
    t.equal(
      walked,
      rows.filter(isWanted({ clientId: 'web' })).length + 1,
      'what ends sessions passes none over, also one that a server of an earlier version has started',
    )
  },
)

await forEachEngine(t, 'many servers fill the index while sessions begin and go', async (t, env) => {
  const { db, userId, add } = await open(t, env)
  await add(40, { client_id: 'app', resource: a })
  const doneBy: boolean[] = []
  const filling = Array.from({ length: 4 }, async () => {
    for (let done = false; !done;) doneBy.push((done = await fillIndex(db, 5)))
  })
  const beginning = Array.from({ length: 10 }, () => beginSession(db, userId))
  await Promise.all([...filling, ...beginning])
  const steps = doneBy.filter(done => !done).length
  t.ok(steps <= (await allRows(db)).length / 5, `no step is made twice: ${steps}`)
  t.match(await readFill(db), { is_filled: 1 })
  t.strictSame(await indexed(db), await wantedOf(db))
  t.equal(await fillIndex(db, 5), true, 'and then there is nothing to do')
})

await forEachEngine(
  t,
  'a session is in the index with its start, and a refresh writes nothing to it',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const id = await beginSession(db, userId)
    t.strictSame(await indexed(db), [[id.toString('hex'), 'web', null]])
    const session = await db.sql.selectFrom('sessions').selectAll().executeTakeFirstOrThrow()
    const refused = await insertSession(db, { ...session, id: newUuid(madeAt), user_epoch: 7 })
    t.equal(refused, false)
    t.equal((await indexed(db)).length, 1, 'what does not start is not in it')

    await forbidWrites(db)
    await t.rejects(beginSession(db, userId), /not written/)
    t.equal((await allRows(db)).length, 1, 'neither starts without the other')
    t.ok(await rotateSession(db, rotationOf(id)))
    const judged = { id, generation: 1, late_history: 0 }
    t.ok(await markLate(db, judged, 1))
    t.ok(await extendSession(db, judged, { now: madeAt + 20, expiresAt: madeAt + 900, address: '192.0.2.1' }))
    t.ok(await revokeSession(db, id, madeAt + 30, 'command'))
  },
)

/** From now on each write to the index fails. */
async function forbidWrites({ sql: db, engine }: Database): Promise<void> {
  if (engine === 'postgres') {
    await sql`create function forbid() returns trigger language plpgsql as
      $$ begin raise exception 'not written'; end $$`.execute(db)
    await sql`create trigger forbidden before insert or update or delete on session_index
      for each statement execute function forbid()`.execute(db)
    return
  }
  for (const event of ['insert', 'update', 'delete'])
    await sql
      .raw(
        `create trigger no_${event} before ${event} on session_index begin select raise(abort, 'not written'); end`,
      )
      .execute(db)
}

await forEachEngine(t, 'the sweeper keeps the index in step with the sessions', async (t, env) => {
  const { db, userId, add } = await open(t, env)
  await fill(db)
  await add(25, { client_id: 'app', auth_time: madeAt + 5 })
  const [kept, gone, dead] = [
    await beginSession(db, userId),
    await beginSession(db, userId),
    await beginSession(db, userId),
  ]
  t.equal((await indexed(db)).length, 4, 'a server of an earlier version has not told the index')
  await db.sql.deleteFrom('sessions').where('id', '=', gone).execute()
  await db.sql
    .updateTable('sessions')
    .set({ expires_at: madeAt - 10 })
    .where('id', '=', dead)
    .execute()
  const limits = { rowsMax: 10, deletedMax: 10, keepSeconds: 0, restSeconds: 60, clockSeconds: 60 }
  for (let second = 0, isPassed = false; !isPassed; second++)
    isPassed = (await sweepSessions(db, { now: madeAt + second, ...limits }))?.isPassed ?? false
  const ids = (await indexed(db)).map(([id]) => id)
  t.notOk(ids.includes(gone.toString('hex')), 'nor that it has deleted one')
  t.notOk(ids.includes(dead.toString('hex')), 'one that is swept goes with its row')
  t.ok(ids.includes(kept.toString('hex')))
  t.strictSame(await indexed(db), await wantedOf(db))
})

await forEachEngine(t, 'each list is read along its index, and no further than a page', async (t, env) => {
  const { db, add } = await open(t, env)
  await add(3000, { client_id: 'app', resource: a })
  await add(3000, { client_id: 'web' })
  await fill(db)
  if (db.engine === 'postgres') await sql`analyze`.execute(db.sql)
  const page = { after: newUuid(madeAt), limit: 20 }
  const resource = { uri: a, clientIds: ['web', 'app'] }
  const filters: readonly [filter: SessionFilter, indexes: readonly string[]][] = [
    [{ clientId: 'app' }, ['session_index_by_client']],
    [{ clientId: 'app', resource }, ['session_index_by_client']],
    [{ resource }, ['session_index_by_resource', 'session_index_of_any_resource']],
    [{ resource, upTo: lastUuidOf(madeAt + 60) }, ['session_index_by_resource']],
  ]
  for (const [filter, indexes] of filters) {
    const [readFill, ids = '', rows = '', ...more] = await plansOf(db, db =>
      pageOfSessions(db, { ...filter, livingAt: 1 }, page, 'index'),
    )
    t.match(readFill, 'session_index_fill')
    for (const index of indexes) t.match(ids, index)
    t.notMatch(ids, /TEMP B-TREE|Sort |SCAN session|Seq Scan|Bitmap/, ids)
    if (db.engine === 'sqlite')
      for (const [, bounds] of ids.matchAll(/SEARCH session_index .*?\((.*?)\)/g))
        t.match(bounds, /=\? AND session_id>\? AND session_id<\?/, ids)
    t.match(rows, db.engine === 'sqlite' ? /SEARCH sessions .*\(id=\?\)/ : /sessions_pkey/, rows)
    t.strictSame(more, [])
  }
})
