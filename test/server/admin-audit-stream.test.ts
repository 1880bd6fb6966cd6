import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { KyselyPlugin } from 'kysely'
import t, { type Test } from 'tap'
import type { Database } from '../../db/database.ts'
import { insertAuditEntries } from '../../db/installation/audit.ts'
import type { Admin } from '../../src/admin/admin.ts'
import { followAudit } from '../../src/admin/audit.ts'
import type { Clock } from '../../src/clock.ts'
import { openDrain } from '../../src/load/drain.ts'
import type { EventStream } from '../../src/protocol/event-stream.ts'
import { openAuditFeed, type Listener } from '../../src/record/audit-feed.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { followAuditTrail } from '../../src/record/audit-follower.ts'
import { adminClient, adminPerson, type Ask } from '../helpers/admin-api.ts'
import { forEachEngine, onPostgres } from '../helpers/engines.ts'
import { openEventStream, type ReadStream } from '../helpers/event-stream.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { auditRow } from '../helpers/records.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, startServer, until, type TestServer } from '../helpers/server.ts'

const follow = (server: Pick<TestServer, 'jobs'>) => runJob(server, 'following the audit trail')

/** Adds entries, each with another request id. */
async function add(db: Database, ...names: readonly string[]): Promise<void> {
  for (const name of names)
    await insertAuditEntries(db, [
      auditRow({
        at: 1_900_000_000,
        event: 'session_late',
        actor: 'server',
        clientId: 'web',
        requestId: name,
      }),
    ])
}

const namesOf = (stream: ReadStream) => stream.events().map(({ request_id }) => request_id)

async function open(
  t: Test,
  origin: string,
  ask: Ask,
  query = '',
  headers: Record<string, string> = {},
): Promise<ReadStream> {
  const path = `/audit/stream${query}`
  return openEventStream(t, `${origin}/admin/v1${path}`, {
    ...(await ask.credentials('GET', path)),
    ...headers,
  })
}

await forEachEngine(t, 'new entries come as they are written, at every instance', async (t, env) => {
  const one = await startServer(t, env)
  const two = await startServer(t, { ...env, ...besideEnv(one) })
  const { db } = one.ctx
  const ask = await adminClient(one, 'admin:read')
  const origins = [await one.listen(), await two.listen()]
  const [at = '', elsewhere = ''] = origins
  await add(db, 'before')
  const streams = await Promise.all(
    [...origins, ...origins].map((origin, i) => open(t, origin, ask, i > 1 ? '?event=user_created' : '')),
  )
  const [first, second, ...others] = streams
  if (!first || !second) throw new Error('unreachable')
  t.equal(first.status, 200)
  t.match(first.headers, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    'x-request-id': /./,
  })
  await add(db, 'a', 'b')
  await one.user()
  for (const server of [one, two]) await follow(server)
  await add(db, 'c')
  for (const server of [one, two, one]) await follow(server)
  for (const stream of [first, second]) {
    await until(() => stream.events().length === 3)
    t.strictSame(namesOf(stream), ['a', 'b', 'c'])
  }
  const { items } = (await ask('GET', '/audit?limit=3')).json()
  t.strictSame(first.events(), items.toReversed(), 'each is as the list has it')
  t.match(first.text(), /^:\nretry: 2000\n\nid: /)
  for (const other of others) t.strictSame(other.events(), [], 'the filter leaves none')

  // A second client goes on where the first one was, at either instance.
  const [a] = first.events()
  const told = ['b', 'c']
  for (const [origin, query, headers] of [
    [at, `?after=${a?.id}`, {}],
    [elsewhere, '', { 'last-event-id': String(a?.id) }],
    [elsewhere, `?after=${a?.id}&client_id=web&actor=server&event=log_in,session_late`, {}],
  ] as const) {
    const resumed = await open(t, origin, ask, query, headers)
    await until(() => resumed.events().length === told.length)
    told.push(`more-${told.length}`)
    await add(db, told.at(-1) ?? '')
    // Every fourth time who listens is looked at, and not the trail.
    for (const server of [one, two, one, two]) await follow(server)
    await until(() => resumed.events().length === told.length)
    t.strictSame(namesOf(resumed), told)
  }
  for (const query of ['?after=x', '?after=1', '?event=x', '?limit=3'])
    t.match((await ask('GET', `/audit/stream${query}`)).json(), { status: 400 }, query)
  t.equal((await ask('HEAD', '/audit/stream')).statusCode, 405)
  t.equal(
    (await (await adminClient(one, 'admin:users admin:sessions'))('GET', '/audit/stream')).statusCode,
    403,
  )
})

await forEachEngine(t, 'who may listen no more is cut off within seconds', async (t, env) => {
  const server = await startServer(t, env)
  const origin = await server.listen()
  const { db } = server.ctx
  const seconds = async (count: number) => {
    for (let i = 0; i < count; i++) {
      server.tick(1)
      await follow(server)
    }
  }
  const ended = async (
    change: () => Promise<unknown>,
    person: boolean,
    title: string,
    why: RegExp,
    group?: string,
  ) => {
    const ada = await server.user(`user-${title}`, group === undefined ? 'mintmark:admin' : '')
    if (group !== undefined)
      await db.sql.updateTable('users').set({ group_names: group }).where('id', '=', ada.id).execute()
    const stream = await open(t, origin, person ? await adminPerson(server, ada) : await adminClient(server))
    await seconds(5)
    await add(db, 'x')
    await seconds(2)
    await until(() => stream.events().length === 1)
    await change()
    await seconds(4)
    await stream.ended
    t.match(stream.text(), why, title)
  }
  const noMore = /: it may not be read any more\n\n$/
  const roles = () => db.sql.updateTable('users').set({ roles: 'mintmark:support' }).execute()
  await ended(roles, true, 'a role that is taken away', noMore)
  const group = { id: newUuid(0), name: 'bosses', roles: 'mintmark:admin', created_at: 0 }
  await db.sql.insertInto('groups').values(group).execute()
  const viaGroup = async () => {
    await db.sql.updateTable('groups').set({ roles: '' }).execute()
  }
  await ended(viaGroup, true, 'a role that a group loses', noMore, 'bosses')
  const revoke = () => db.sql.updateTable('sessions').set({ revoked_at: 1 }).execute()
  await ended(revoke, true, 'a session that is revoked', noMore)
  await ended(revoke, false, 'one of a program', noMore)
  const disable = () => db.sql.updateTable('users').set({ epoch: 7 }).execute()
  await ended(disable, true, 'a user who is disabled', noMore)
  const forget = () => db.sql.deleteFrom('sessions').execute()
  await ended(forget, true, 'a session that is gone', noMore)
  const expire = async () => server.tick(300)
  await ended(expire, false, 'a token that expires', /: the access token has expired\n\n$/)
  const drain = async () => server.ctx.load.drain.begin()
  await ended(drain, false, 'a server that ends', /: this server is about to end: come back\n\n$/)
  const late = await open(t, origin, await adminClient(server))
  await late.ended
  t.match(
    late.text(),
    /^:\nretry: 2000\n\n: this server is about to end/,
    'and is not begun: a browser comes back',
  )
})

t.test('a reader that takes nothing is cut off, and nothing is kept for it', async t => {
  const server = await startServer(t)
  const origin = await server.listen()
  const ask = await adminClient(server)
  const [slow, fast] = [await open(t, origin, ask), await open(t, origin, ask)]
  slow.pause()
  const { db, clock } = server.ctx
  const large = 'x'.repeat(100_000)
  const entry = auditRow({ at: clock.now(), event: 'session_late', actor: 'server', detail: { large } })
  // More than the buffers of the system take.
  for (let i = 0; i < 20; i++) {
    await insertAuditEntries(
      db,
      Array.from({ length: 10 }, () => entry),
    )
    await follow(server)
  }
  await follow(server)
  await until(() => fast.events().length === 200)
  server.tick(10)
  await follow(server)
  slow.resume()
  await slow.ended
  t.ok(slow.text().length < 150 * 100_000, `it was told ${slow.text().length} bytes of 20 million`)
  const dropped = server.metrics.find(({ name }) => name === 'mintmark_audit_streams_dropped_total')
  t.strictSame(dropped && 'samples' in dropped && [...dropped.samples()], [[{}, 1]])
  const open_ = server.metrics.find(({ name }) => name === 'mintmark_audit_streams')
  t.strictSame(open_ && 'samples' in open_ && [...open_.samples()], [[{}, 1]])
  await add(db, 'last')
  server.tick(1)
  await follow(server)
  await follow(server)
  await until(() => fast.events().length === 201)
})

t.test('one caller has ten streams at the most, and a quiet one shows that it goes on', async t => {
  const server = await startServer(t)
  const origin = await server.listen()
  const ask = await adminClient(server)
  const streams = []
  for (let i = 0; i < 10; i++) streams.push(await open(t, origin, ask))
  t.match((await ask('GET', '/audit/stream')).json(), {
    status: 503,
    code: 'unavailable',
    detail: /too many streams/,
  })
  const other = await open(t, origin, await adminClient(server))
  t.equal(other.status, 200, 'another one has its own')
  streams[0]?.close()
  const again = async (): Promise<ReadStream> => {
    const stream = await open(t, origin, ask)
    if (stream.status === 200) return stream
    await sleep(10)
    return again()
  }
  const stream = await again()
  await add(server.ctx.db, 'x')
  await follow(server)
  await until(() => namesOf(stream).at(-1) === 'x')
  const { id } = stream.events().at(-1) ?? { id: '' }
  server.tick(10)
  await follow(server)
  await until(() => stream.text().endsWith(`:\nid: ${id}\n\n`))
  const before = stream.text()
  server.tick(9)
  await follow(server)
  await add(server.ctx.db, 'y')
  await follow(server)
  await follow(server)
  await until(() => namesOf(stream).at(-1) === 'y')
  t.equal(
    stream
      .text()
      .slice(before.length)
      .split('\n')
      .filter(line => line === ':').length,
    0,
    'no sooner',
  )
})

/** The same database, whose queries are counted; before each something is done. */
function counted(db: Database, act: () => void) {
  const queries: unknown[] = []
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => {
      queries.push(node)
      act()
      return node
    },
    transformResult: async ({ result }) => result,
  }
  return { db: { ...db, sql: db.sql.withPlugin(plugin) }, queries }
}

/** A feed by itself, with listeners whose sessions are there. */
async function openFeed(t: Test, beforeQueries = () => {}, clock: Clock = handClock()) {
  const server = await startServer(t)
  await adminClient(server)
  const { id: sessionId } = await server.ctx.db.sql
    .selectFrom('sessions')
    .select('id')
    .executeTakeFirstOrThrow()
  const { db, queries } = counted(server.ctx.db, beforeQueries)
  const feed = openAuditFeed({ db, clock, drain: openDrain() })
  const told: string[] = []
  const listener = (source: string, after?: Listener['after']): Listener => ({
    source,
    after,
    isWanted: () => true,
    textOf: entry => String(entry.request_id),
    heartbeatAt: () => '',
    sessionId,
    expiresAt: Infinity,
    mayGoOn: async () => true,
  })
  const stream: EventStream = {
    send: text => void told.push(text),
    isBehind: () => false,
    end: () => t.fail('it has ended'),
    onClose: () => {},
    onDrain: () => {},
  }
  return { db: server.ctx.db, queries, feed, told, listener, stream }
}

t.test('however many listen, a server reads once a second, and not at all for none', async t => {
  const { db, queries, feed, told, listener, stream } = await openFeed(t)
  await follow(feed)
  t.equal(queries.length, 0)
  const listening = []
  for (let i = 0; i < 50; i++) listening.push(await feed.auditFeed.listen(listener(`client ${i % 5}`)))
  await t.rejects(feed.auditFeed.listen(listener('client 9')), { code: 'unavailable' }, 'fifty at the most')
  for (const { start } of listening) start(stream)
  queries.length = 0
  for (let i = 0; i < 20; i++) {
    await add(db, `r${i}`)
    await follow(feed)
  }
  t.equal(queries.length, 20)
  await follow(feed)
  await until(() => told.length === 50 * 20)
  for (const { stop } of listening) stop()
  queries.length = 0
  for (let i = 0; i < 5; i++) await follow(feed)
  t.equal(queries.length, 0)
})

t.test('one whose place cannot be found now disturbs no others', async t => {
  let isAway = false
  const { db, feed, told, listener, stream } = await openFeed(t, () => {
    if (isAway) throw new Error('the database is away')
  })
  isAway = true
  await t.rejects(feed.auditFeed.listen(listener('none')), { message: /away/ })
  isAway = false
  const { start } = await feed.auditFeed.listen(listener('one'))
  start(stream)
  isAway = true
  await t.rejects(feed.auditFeed.listen(listener('other', { at: 1, id: 1 })), { message: /away/ })
  isAway = false
  await add(db, 'news')
  for (let i = 0; i < 2; i++) await follow(feed)
  await until(() => told.length > 0)
  t.strictSame(told, ['news'])
})

t.test('those who are far behind are told one after the other, with rests', async t => {
  const clock = handClock()
  let sinceRest = 0
  const rests: number[] = []
  const query = () => {
    sinceRest++
    clock.tick(1)
  }
  const pause = async (seconds: number) => {
    rests.push(seconds - sinceRest)
    sinceRest = 0
    await clock.pause(seconds)
  }
  const { db, feed, told, listener, stream } = await openFeed(t, query, { ...clock, pause })
  const row = auditRow({ at: 1_900_000_000, event: 'session_late', actor: 'server', requestId: 'old' })
  await insertAuditEntries(db, Array<typeof row>(900).fill(row))
  const places = []
  for (let i = 0; i < 5; i++) places.push(await feed.auditFeed.listen(listener('one', { at: 1, id: 1 })))
  sinceRest = 0
  for (const { start } of places) start(stream)
  await until(() => told.filter(text => text === 'old').length === 5 * 900)
  await until(() => rests.length >= 25)
  const others = rests.filter(rest => rest !== 0)
  t.strictSame(others, [], 'after each page, and for as long as it took')
})

t.test('a reader is told no more at once than it takes, and all in the end', async t => {
  const { db, queries, feed, told, listener, stream } = await openFeed(t)
  let room = 3
  let drained = () => {}
  const narrow: EventStream = {
    ...stream,
    send: text => void (told.push(text), room--),
    isBehind: () => room <= 0,
    onDrain: tell => (drained = tell),
  }
  const { start } = await feed.auditFeed.listen(listener('client'))
  start(narrow)
  const names = Array.from({ length: 8 }, (_, i) => `r${i}`)
  await add(db, ...names)
  await follow(feed)
  await setImmediate()
  t.strictSame(told, names.slice(0, 3))
  await follow(feed)
  await setImmediate()
  t.equal(told.length, 3, 'it has no room')
  queries.length = 0
  for (const count of [6, 8]) {
    room = 3
    drained()
    await until(() => told.length === count)
  }
  t.strictSame(told, names)
  t.equal(queries.length, 0, 'what it has not taken is in memory once for all')
})

await onPostgres(t, 'an entry that is committed after later ones is told before them', async (t, env) => {
  const { db } = (await startServer(t, env)).ctx
  await add(db, 'before')
  const clock = handClock()
  const follower = await followAuditTrail(db, clock)
  const names = async () => (await follower.read()).map(({ request_id }) => request_id)
  const transaction = async (name: string, end: 'commit' | 'rollback') => {
    let finish = () => {}
    const held = new Promise<void>(resolve => (finish = resolve))
    let begun = () => {}
    const isBegun = new Promise<void>(resolve => (begun = resolve))
    const done = db
      .transact(async sql => {
        const row = auditRow({ at: 1_900_000_000, event: 'session_late', actor: 'server', requestId: name })
        await sql.insertInto('audit').values(row).execute()
        begun()
        await held
        if (end === 'rollback') throw new Error('rolled back')
      })
      .catch(() => {})
    await isBegun
    return async () => {
      finish()
      await done
    }
  }
  await add(db, 'a')
  const commit = await transaction('b', 'commit')
  await add(db, 'c')
  t.strictSame(await names(), ['a'])
  for (let i = 0; i < 5; i++) t.strictSame(await names(), [], 'c waits')
  await commit()
  t.strictSame(await names(), ['b', 'c'])

  const rollBack = await transaction('d', 'rollback')
  await add(db, 'e')
  for (let i = 0; i < 5; i++) t.strictSame(await names(), [], 'e waits')
  await rollBack()
  // Transactions of other tests, in databases of their own, count as under way too.
  let after: unknown[]
  do after = await names()
  while (after.length === 0)
  t.strictSame(after, ['e'], 'nothing is waited for that will never come')

  const long = await transaction('f', 'commit')
  await add(db, 'g')
  t.strictSame([...(await names()), ...(await names()), ...(await names())], [])
  clock.tick(61)
  t.strictSame(await names(), ['g'], 'nor for longer than a minute')
  await long()

  const commitLater = await transaction('h', 'commit')
  await add(db, 'i')
  const admin = { db, clock: { ...clock, pause: () => sleep(5) } } as unknown as Admin
  const followed = (await followAudit(admin, {}, { last: 2 }))[Symbol.asyncIterator]()
  const first = followed.next()
  await sleep(20)
  await commitLater()
  t.match(await first, { value: { request_id: 'h' } }, 'who begins waits for those under way')
  t.match(await followed.next(), { value: { request_id: 'i' } })
  await add(db, 'j')
  t.match(await followed.next(), { value: { request_id: 'j' } })
  await followed.return?.()
})

await forEachEngine(t, 'a trail that has gone back in time is followed from there', async (t, env) => {
  const { db } = (await startServer(t, env)).ctx
  await insertAuditEntries(db, [auditRow({ at: 1, event: 'session_late', actor: 'server' })])
  await add(db, 'b', 'c')
  const follower = await followAuditTrail(db, handClock())
  const { id } = follower.place()
  await db.sql
    .deleteFrom('audit')
    .where('id', '>=', id - 1)
    .execute()
  const row = (name: string, n: number) => ({
    ...auditRow({ at: 1_900_000_001, event: 'session_late', actor: 'server', requestId: name }),
    id: n,
  })
  await db.sql
    .insertInto('audit')
    .values([row('d', id - 1), row('e', id)])
    .execute()
  const names = []
  for (let i = 0; i < 2; i++) names.push(...(await follower.read()).map(({ request_id }) => request_id))
  t.strictSame(names, ['d', 'e'])
  // Retention has deleted all of it.
  await db.sql.deleteFrom('audit').execute()
  t.strictSame(await follower.read(), [])
  await db.sql.insertInto('audit').values(row('f', 1)).execute()
  for (let i = 0; i < 4; i++) names.push(...(await follower.read()).map(({ request_id }) => request_id))
  t.strictSame(names, ['d', 'e', 'f'])
})
