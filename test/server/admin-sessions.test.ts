import t from 'tap'
import type { Database } from '../../db/database.ts'
import { claimJob, findJob } from '../../db/sessions/jobs.ts'
import { pageOfSessions } from '../../db/sessions/pages.ts'
import { pageOfSignIns } from '../../db/users/sign-in-pages.ts'
import { takeStep } from '../../src/endings/session-jobs.ts'
import { formatUuid, newUuid, parseUuid } from '../../src/protocol/secrets.ts'
import { adminClient, adminPerson, type Ask } from '../helpers/admin-api.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { plansOf } from '../helpers/plans.ts'
import { addSessions, beginSession, openSeeded } from '../helpers/records.ts'
import { runJob } from '../helpers/run-job.ts'
import { startServer, type TestServer } from '../helpers/server.ts'
import { beginSignIn } from '../helpers/sign-ins.ts'

const idOf = (text: string) => parseUuid(text) ?? Buffer.alloc(16)

/** A server with a client, a user, and so many more sessions of both. */
async function world(t: Parameters<typeof startServer>[0], env: Record<string, string>, more: number) {
  const server = await startServer(t, env)
  const client = await server.client('web')
  const ada = await server.user('ada')
  const tokens = await server.logIn(client, ada)
  const { id } = await server.ctx.db.sql
    .selectFrom('sessions')
    .select('id')
    .where('client_id', '=', 'web')
    .executeTakeFirstOrThrow()
  await addSessions(server.ctx.db, id, more)
  return { server, client, ada, tokens, sid: formatUuid(id), ask: await adminClient(server) }
}

async function all(ask: Ask, path: string): Promise<Record<string, unknown>[]> {
  const found: Record<string, unknown>[] = []
  for (let after = ''; ;) {
    const page = await ask('GET', `${path}${after}`)
    if (page.statusCode !== 200) throw new Error(page.body)
    const { items, next } = page.json()
    found.push(...items)
    if (next === null) return found
    after = `&after=${next}`
  }
}

const feedOf = async ({ ctx }: TestServer) => {
  const rows = await ctx.db.sql.selectFrom('revocations').select('session_id').execute()
  return rows.map(({ session_id }) => session_id.toString('hex'))
}

await forEachEngine(t, 'sessions are read in pages, and end one by one', async (t, env) => {
  const { server, client, ada, tokens, sid, ask } = await world(t, env, 30)
  await server.client('other')
  const bob = await server.user('bob')
  await server.logIn(client, bob)
  t.equal((await all(ask, '/sessions?limit=7')).length, 33, 'that of the administrator too')
  t.equal((await all(ask, `/sessions?limit=7&sub=${ada.sub}`)).length, 31)
  t.match(await all(ask, `/sessions?sub=${bob.sub}&client_id=web`), [
    {
      sub: bob.sub,
      username: 'bob',
      client_id: 'web',
      state: 'living',
      auth_time: /^\d{4}-\d\d-\d\dT/,
      revoked_at: null,
    },
  ])
  t.equal((await all(ask, `/sessions?sub=${bob.sub}&client_id=other`)).length, 0)
  t.equal((await all(ask, `/sessions?sub=${bob.sub}&older_than=60`)).length, 0)
  server.tick(60)
  t.equal((await all(ask, `/sessions?sub=${bob.sub}&older_than=60&idle_for=60`)).length, 1)
  t.match((await ask('GET', '/sessions?idle_for=60')).json(), {
    status: 400,
    field: 'idle_for',
    detail: /no index serves idle_for alone: it narrows sub, client_id, resource, older_than or before/,
  })
  t.equal((await ask('GET', '/sessions?sub=0a1b2c3d-0000-4000-8000-000000000001')).statusCode, 404)

  const read = await ask('GET', `/sessions/${sid}`)
  t.match(read.json(), { sid, sub: ada.sub, state: 'living' })
  t.notMatch(read.body, /secret|hash|thumbprint/)
  t.equal((await ask('DELETE', `/sessions/${sid}`)).statusCode, 204)
  const refresh = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token, ...client.form }
  t.equal((await server.post('/token', refresh)).statusCode, 400)
  t.match((await ask('GET', `/sessions/${sid}`)).json(), { state: 'revoked (command)' })
  t.equal((await ask('DELETE', `/sessions/${sid}`)).statusCode, 404, 'it lives no more')
  t.equal((await all(ask, `/sessions?sub=${ada.sub}`)).length, 30)
  t.equal((await all(ask, `/sessions?sub=${ada.sub}&ended=true&limit=4`)).length, 31)
  const { next } = (await ask('GET', `/sessions?sub=${ada.sub}&limit=4`)).json()
  t.match((await ask('GET', `/sessions?limit=4&after=${next}`)).json(), { status: 400, field: 'after' })
})

await forEachEngine(t, 'sign-ins are read in pages, and end with their sessions', async (t, env) => {
  const { server, ada, ask } = await world(t, env, 0)
  const { db } = server.ctx
  const bob = await server.user('bob')
  const ids: string[] = []
  for (const { sub } of [ada, ada, ada, bob]) ids.push(formatUuid((await beginSignIn(db, idOf(sub))).id))
  t.equal((await all(ask, '/sign-ins?limit=1')).length, 4)
  const hers = await all(ask, `/sign-ins?limit=2&sub=${ada.sub}`)
  t.strictSame(hers.map(({ sign_in }) => sign_in).toSorted(), ids.slice(0, 3).toSorted())
  t.match(hers[0], { username: 'ada', amr: ['pwd'], persistent: false, used_at: /T/ })
  t.notMatch(JSON.stringify(hers), /secret|hash|browser/)
  t.equal((await ask('DELETE', `/sign-ins/${ids[0]}`)).statusCode, 204)
  t.equal((await ask('DELETE', `/sign-ins/${ids[0]}`)).statusCode, 404)
  t.strictSame((await ask('POST', `/users/${ada.sub}/end-sign-ins`)).json(), { sign_ins_revoked: 2 })
  t.strictSame(
    (await all(ask, '/sign-ins?limit=2')).map(({ sign_in }) => sign_in),
    ids.slice(3),
  )
})

await forEachEngine(
  t,
  'all sessions of a user end with the answer, and a job tells of the rest',
  async (t, env) => {
    const { server, client, ada, tokens, ask } = await world(t, env, 1200)
    const ended = await ask('POST', `/users/${ada.sub}/end-sessions`)
    t.equal(ended.statusCode, 202, ended.body)
    const { id } = ended.json()
    t.equal(ended.headers.location, `/admin/v1/jobs/${id}`)
    t.match(ended.json(), {
      act: 'end_sessions',
      choice: { sub: ada.sub },
      actor: /^client ops-/,
      state: 'running',
      done: 1000,
      total: null,
      result: null,
      ended_at: null,
    })
    const refresh = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token, ...client.form }
    t.equal((await server.post('/token', refresh)).statusCode, 400, 'each has ended')
    t.match((await ask('DELETE', `/jobs/${id}`)).json(), { status: 409, detail: /have ended already/ })
    await runJob(server, 'ending sessions that were chosen')
    t.match((await ask('GET', `/jobs/${id}`)).json(), { state: 'running' }, 'that is not its work')
    await runJob(server, 'writing the end of sessions')
    t.match((await ask('GET', `/jobs/${id}`)).json(), { state: 'done', result: { sessions_revoked: 1201 } })
    t.equal(new Set(await feedOf(server)).size, 1201)
    const again = (await ask('POST', '/sessions/end', { sub: ada.sub })).json()
    t.match(again, { state: 'done', result: { sessions_revoked: 0 } })
    const listed = await all(ask, '/jobs?limit=1')
    t.equal(listed.length, 2)
    t.ok(listed.some(job => job['id'] === id))
    const entries = await server.ctx.db.sql
      .selectFrom('audit')
      .select(['actor', 'request_id'])
      .where('event', '=', 'user_revoked')
      .execute()
    t.equal(entries.length, 2)
    t.equal(entries[0]?.request_id, ended.headers['x-request-id'])
    server.tick(7 * 86_400 + 1)
    await runJob(server, 'forgetting old jobs')
    const later = await adminClient(server)
    t.equal((await later('GET', `/jobs/${id}`)).statusCode, 404, 'it is kept for 7 days')
  },
)

await forEachEngine(
  t,
  'sessions that are chosen end step by step, whatever befalls a server',
  async (t, env) => {
    const { server, ada, sid, ask } = await world(t, env, 500)
    const { ctx } = server
    server.tick(60)
    const started = await ask('POST', '/sessions/end', { client_id: 'web', sub: ada.sub })
    t.match(started.json(), { state: 'running', done: 0, choice: { client_id: 'web', sub: ada.sub } })
    const { id } = started.json()
    const late = newUuid(ctx.clock.now() + 1)
    await addSessions(ctx.db, idOf(sid), 1, { id: late })
    server.tick(60)
    const read = async () => {
      const job = await findJob(ctx.db, idOf(id))
      if (!job) throw new Error('the job is gone')
      return job
    }
    const claims = await Promise.all([1, 2, 3].map(() => claimJob(ctx.db, 'end_sessions', ctx.clock.now())))
    t.equal(claims.filter(job => job?.id.equals(idOf(id))).length, 1, 'of several one has it')
    const first = await read()
    const both = await Promise.all([takeStep(ctx, first), takeStep(ctx, first)])
    t.equal(both.filter(job => job === undefined).length, 1, 'of two with the same step one makes it')
    t.match(await read(), { done: 200, state: 'running' })
    await runJob(server, 'ending sessions that were chosen')
    t.match(await read(), { done: 200 }, 'a process at work keeps it')
    // That process is gone.
    server.tick(11)
    await runJob(server, 'ending sessions that were chosen')
    t.match((await ask('GET', `/jobs/${id}`)).json(), { state: 'done', result: { sessions_revoked: 501 } })
    const told = await feedOf(server)
    t.equal(told.length, 501)
    t.equal(new Set(told).size, 501, 'nothing is told twice')
    t.match(
      (await ask('GET', `/sessions/${formatUuid(late)}`)).json(),
      { state: 'living' },
      'a later one is not meant',
    )
    const entries = await ctx.db.sql
      .selectFrom('audit')
      .select(['event', 'actor', 'request_id'])
      .where('event', 'in', ['job_created', 'session_revoked'])
      .execute()
    t.equal(entries.length, 502)
    t.ok(
      entries.every(entry => entry.request_id === started.headers['x-request-id']),
      'each has its entry, by who has asked',
    )
    t.match((await ask('DELETE', `/jobs/${id}`)).json(), { status: 409, detail: 'the job has ended' })
  },
)

await forEachEngine(t, 'a job stops after the step that is under way', async (t, env) => {
  const { server, ask } = await world(t, env, 500)
  const { ctx } = server
  server.tick(60)
  const { id } = (await ask('POST', '/sessions/end', { client_id: 'web', older_than: 60 })).json()
  const job = await findJob(ctx.db, idOf(id))
  const stepped = job && (await takeStep(ctx, job))
  t.match(stepped, { done: 200 })
  t.match((await ask('DELETE', `/jobs/${id}`)).json(), {
    state: 'stopped',
    result: { sessions_revoked: 200 },
  })
  t.equal(stepped && (await takeStep(ctx, stepped)), undefined)
  server.tick(60)
  await runJob(server, 'ending sessions that were chosen')
  t.match((await ask('GET', `/jobs/${id}`)).json(), { state: 'stopped', done: 200 })
  t.equal((await feedOf(server)).length, 200, 'nothing more has ended')
  const stops = await ctx.db.sql.selectFrom('audit').where('event', '=', 'job_stopped').selectAll().execute()
  t.equal(stops.length, 1)
})

await forEachEngine(
  t,
  'sessions are listed, counted and ended by client, by API and by age',
  async (t, env) => {
    const { server, ada, sid, ask } = await world(t, env, 0)
    const { db } = server.ctx
    await server.client('other')
    for (const uri of ['https://api.example', 'https://unused.example']) await server.resource(uri)
    await db.sql
      .updateTable('clients')
      .set({ resources: 'https://api.example' })
      .where('id', '=', 'web')
      .execute()
    const began = server.ctx.clock.now()
    const bound = { resource: 'https://api.example' }
    await addSessions(db, idOf(sid), 12, { ...bound, auth_time: began - 7200 })
    await addSessions(db, idOf(sid), 5, { auth_time: began - 7200, started_at: began - 60 })
    await runJob(server, 'filling the index of sessions')
    const before = (seconds: number) => new Date((began - seconds) * 1000).toISOString()
    const expected = [
      ['client_id=web', 18],
      ['client_id=other', 0],
      ['resource=https://api.example', 18],
      ['resource=https://api.example&client_id=other', 0],
      ['resource=https://unused.example', 0],
      ['client_id=web&older_than=60', 17],
      ['older_than=61', 12],
      [`before=${before(60)}`, 12],
      [`before=${before(59)}&client_id=web`, 17],
      [`resource=https://api.example&before=${before(7200)}`, 0],
      ['client_id=web&idle_for=60', 0],
      ['idle_for=60&before=9999-12-31T23:59:59Z', 0],
      ['before=0001-01-01T00:00:00Z', 0],
    ] as const
    for (const [filter, count] of expected) {
      const listed = await all(ask, `/sessions?limit=5&${filter}`)
      t.equal(listed.length, count, filter)
      t.strictSame(
        listed,
        listed.toSorted((x, y) => (String(x['sid']) < String(y['sid']) ? -1 : 1)),
        filter,
      )
      t.strictSame((await ask('GET', `/sessions/count?${filter}`)).json(), { count, more: false }, filter)
    }
    t.strictSame((await ask('GET', '/sessions/count?idle_for=60')).json(), { count: 0, more: false })
    for (const path of ['/sessions?', '/sessions/count?']) {
      t.match((await ask('GET', `${path}before=2030-02-30T00:00:00Z`)).json(), { status: 400 })
      t.equal((await ask('GET', `${path}client_id=nobody`)).statusCode, 404)
      t.equal((await ask('GET', `${path}resource=https://nothing.example`)).statusCode, 404)
    }
    const ended = await ask('POST', '/sessions/end', { ...bound, before: before(60) })
    t.match(ended.json(), { choice: { ...bound, before: /^2030-.*\d\dZ$/ } })
    await runJob(server, 'ending sessions that were chosen')
    t.match((await ask('GET', `/jobs/${ended.json().id}`)).json(), { result: { sessions_revoked: 12 } })
    t.equal((await all(ask, `/sessions?sub=${ada.sub}`)).length, 6)
  },
)

t.test('a job of the version before ends what was chosen then, and no more', async t => {
  const { server, sid, ask } = await world(t, {}, 0)
  const { ctx } = server
  const began = ctx.clock.now()
  await addSessions(ctx.db, idOf(sid), 3, { auth_time: began - 7200 })
  const { id } = (await ask('POST', '/sessions/end', { client_id: 'web', idle_for: 1 })).json()
  const filter = JSON.stringify({ clientId: 'web', beganBy: began - 60, upTo: 'ff'.repeat(16) })
  await ctx.db.sql.updateTable('jobs').set({ filter }).where('id', '=', idOf(id)).execute()
  await runJob(server, 'ending sessions that were chosen')
  t.match((await ask('GET', `/jobs/${id}`)).json(), { result: { sessions_revoked: 3 } })
})

t.test('how many will end is counted up to ten thousand', async t => {
  const { server, sid, ask } = await world(t, {}, 0)
  await addSessions(server.ctx.db, idOf(sid), 9_999)
  const count = async () => (await ask('GET', '/sessions/count?client_id=web')).json()
  t.strictSame(await count(), { count: 10_000, more: false })
  await addSessions(server.ctx.db, idOf(sid), 1)
  t.strictSame(await count(), { count: 10_000, more: true })
})

t.test('who may end sessions, and what has to be said', async t => {
  const { server, ada, sid, ask } = await world(t, {}, 0)
  for (const body of [{}, { all: true, sub: ada.sub }, { all: false }, { user: 'ada' }])
    t.equal((await ask('POST', '/sessions/end', body)).statusCode, 400, JSON.stringify(body))
  const reader = await adminClient(server, 'admin:sessions:read')
  const users = await adminClient(server, 'admin:users')
  t.equal((await reader('GET', '/sessions/count?client_id=web')).statusCode, 200)
  t.equal((await users('GET', '/sessions/count?client_id=nobody')).statusCode, 403)
  t.equal((await reader('GET', `/sessions/${sid}`)).statusCode, 200)
  for (const [method, path] of [
    ['DELETE', `/sessions/${sid}`],
    ['POST', '/sessions/end'],
    ['POST', `/users/${ada.sub}/end-sessions`],
    ['POST', `/users/${ada.sub}/end-sign-ins`],
    ['DELETE', '/sign-ins/x'],
  ] as const) {
    t.equal((await reader(method, path)).statusCode, 403, path)
    t.equal((await users(method, path)).statusCode, 403, path)
  }
  t.equal((await reader('DELETE', '/jobs/x')).statusCode, 403)
  const support = await adminPerson(server, await server.user('eve', 'mintmark:support'))
  t.equal((await support('DELETE', `/sessions/${sid}`)).statusCode, 204)
  t.equal((await support('POST', `/users/${ada.sub}/end-sessions`)).statusCode, 202)
  const { id } = (await ask('POST', '/sessions/end', { all: true })).json()
  t.equal((await ask('GET', `/jobs/${id}`)).statusCode, 401, 'it has ended its own session as well')
})

t.test('a page costs the same wherever it begins: it is read along an index, and is bounded', async t => {
  const { db, userId } = await openSeeded(t, {})
  const first = await beginSession(db, userId)
  await addSessions(db, first, 2500)
  const page = { after: first, limit: 50 }
  const reads: ((db: Database) => Promise<unknown>)[] = [
    db => pageOfSessions(db, {}, page),
    db => pageOfSessions(db, { livingAt: 1 }, page),
    db => pageOfSessions(db, { userId, livingAt: 1, clientId: 'web', unusedSince: 1 }, page),
    db => pageOfSignIns(db, { livingAt: 1 }, page),
    db => pageOfSignIns(db, { userId, livingAt: 1 }, page),
  ]
  for (const read of reads) {
    for (const plan of await plansOf(db, read)) {
      t.match(
        plan,
        /SEARCH (?:sessions|sign_ins) USING (?:(?:COVERING )?INDEX \S+|PRIMARY KEY) \([^)]*id[>=]\?/,
        plan,
      )
      t.notMatch(plan, /TEMP B-TREE|SCAN (?:sessions|sign_ins|users|clients)/)
    }
  }
  await db.sql.updateTable('sessions').set({ revoked_at: 1 }).execute()
  const lengths: number[] = []
  let after: Buffer | undefined
  do {
    const { sessions, next } = await pageOfSessions(db, { livingAt: 1 }, { after, limit: 50 })
    lengths.push(sessions.length)
    after = next
  } while (after)
  t.strictSame(lengths, [0, 0, 0], 'a page of few that live is a short one, and looks at 1000 rows')
})
