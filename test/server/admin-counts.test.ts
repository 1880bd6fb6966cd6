import t from 'tap'
import type { Database } from '../../db/database.ts'
import { readCounts } from '../../db/installation/counts.ts'
import { openCountRows } from '../../src/record/count-rows.ts'
import { openCounts } from '../../src/record/counts.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { asDescribed } from '../helpers/described.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { runJob, runLast } from '../helpers/run-job.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'

const write = (server: Pick<TestServer, 'jobs'>) => runJob(server, 'writing the counts')
const rollUp = (server: Pick<TestServer, 'jobs'>) => runJob(server, 'rolling up the counts')
const rowsOf = (db: Database, seconds = 60) => readCounts(db, seconds, { since: 0, until: 1e10 })
const sum = (numbers: readonly number[]) => numbers.reduce((all, number) => all + number, 0)

interface Refusals {
  readonly of: string
  readonly reason: string
  readonly counts: readonly number[]
}

await forEachEngine(t, 'two servers count, and each shows what both have counted', async (t, env) => {
  const one = await startServer(t, { MINTMARK_ACCESS_TOKEN_TTL: '12h', ...env })
  const two = await startServer(t, { ...env, ...besideEnv(one) })
  const tick = (seconds: number) => [one, two].forEach(server => server.tick(seconds))
  const web = await one.client('web')
  await two.follow()
  const ada = await one.user()
  const beginning = one.ctx.clock.now()
  t.equal(beginning % 60, 40, 'the test begins within a minute')
  const first = await one.logIn(web, ada)
  const second = await two.logIn(web, ada)
  let token = first.refresh_token
  for (let i = 0; i < 3; i++) token = (await one.refresh(web, token)).refresh_token
  for (const server of [one, two]) await write(server)
  const rows = () => rowsOf(one.ctx.db)
  t.strictSame(await rows(), [], 'nothing is written before the minute is over')
  tick(20)
  for (const server of [one, two, one]) await write(server)
  t.strictSame(
    (await rows())
      .map(({ at, counted }) => [at, counted])
      .toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? 1 : -1)),
    [
      [beginning - 40, { log_ins: 1 }],
      [beginning - 40, { log_ins: 1, refreshes: 3 }],
    ],
    'each server has a row of what is not zero',
  )

  const wrong = { grant_type: 'password', username: 'ada', password: 'x', ...web.form }
  await two.post('/token', wrong)
  await two.post('/token', { ...wrong, client_secret: 'x' })
  await two.post('/token', { grant_type: 'refresh_token', refresh_token: 'x', ...web.form })
  await two.post('/token', { grant_type: 'x', ...web.form })
  two.ctx.counts.signIns.failed += 4
  // One generation late, and then one that is older.
  tick(60)
  const next = await two.refresh(web, second.refresh_token)
  tick(60)
  await two.refresh(web, second.refresh_token)
  await two.refresh(web, next.refresh_token)
  tick(60)
  await two.post('/token', { grant_type: 'refresh_token', refresh_token: second.refresh_token, ...web.form })
  tick(60)
  await write(two)
  await write(one)
  await write(two)
  tick(5)

  const ask = await asDescribed(t, await adminClient(one, 'admin:read'))
  const answer = await ask('GET', '/counts')
  const chart = answer.json()
  const until = Math.floor(one.ctx.clock.now() / 60) * 60
  const text = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000', '')
  t.match(chart, { period: 'hour', step_seconds: 60, from: text(until - 3600), until: text(until) })
  for (const name of ['log_ins', 'refreshes', 'late_retries', 'thefts', 'sessions'])
    t.equal(chart[name].length, 60, name)
  t.equal(chart.log_ins.at(-5), 2, 'of both, in the minute in which they were')
  t.equal(sum(chart.log_ins), 2)
  t.equal(chart.refreshes.at(-5), 3)
  t.equal(sum(chart.refreshes), 6)
  t.equal(sum(chart.late_retries), 1)
  t.equal(sum(chart.thefts), 1)
  t.strictSame(
    chart.refusals
      .map(({ of, reason, counts }: Refusals) => [of, reason, counts.length, sum(counts)])
      .toSorted(),
    [
      ['log_in', 'invalid_grant', 60, 1],
      ['other', 'invalid_client', 60, 1],
      ['other', 'unsupported_grant_type', 60, 1],
      ['page', 'failed', 60, 4],
      ['refresh', 'invalid_grant', 60, 2],
    ],
  )
  t.equal(chart.refusals[0].of, 'page', 'most first')
  const etag = String(answer.headers.etag)
  t.equal((await ask('GET', '/counts', undefined, { 'if-none-match': etag })).statusCode, 304)
  t.match(answer.headers, { 'cache-control': 'no-store' })

  await two.logIn(web, ada)
  tick(1)
  await runLast(two, 'writing the counts')
  tick(60)
  t.equal(sum((await ask('GET', '/counts')).json().log_ins), 3, 'a server that ends tells the rest')
  for (const [period, steps] of [
    ['day', 144],
    ['month', 720],
  ] as const) {
    tick(3600)
    const longer = (await ask('GET', `/counts?period=${period}`)).json()
    t.equal(longer.refreshes.length, steps)
    t.equal(sum(longer.refreshes), 6, period)
  }
  t.match((await ask('GET', '/counts?period=year')).json(), { status: 400, field: 'period' })
  t.equal((await (await adminClient(one, 'admin:users'))('GET', '/counts')).statusCode, 403)
})

await forEachEngine(t, 'rows become longer spans, and nothing is counted twice', async (t, env) => {
  const one = await startServer(t, env)
  const two = await startServer(t, { ...env, ...besideEnv(one) })
  const { db, counts } = one.ctx
  const all = async () => {
    const found = []
    for (const seconds of [60, 600, 3600]) found.push(await rowsOf(db, seconds))
    return found
  }
  const total = async () =>
    (await all()).flat().reduce((sum, { counted }) => sum + (counted['thefts'] ?? 0), 0)
  for (let minute = 0; minute < 180; minute++) {
    counts.verdicts.theft++
    two.ctx.counts.verdicts.theft++
    for (const server of [one, two]) server.tick(60)
    await Promise.all([write(one), write(two)])
    if (minute % 20 === 0) await Promise.all([rollUp(one), rollUp(two)])
  }
  for (let i = 0; i < 3; i++) await Promise.all([rollUp(one), rollUp(two)])
  t.equal(await total(), 360)
  const [minutes = [], tens = [], hours = []] = await all()
  t.ok(minutes.length >= 240 && minutes.length <= 2 * 131, `${minutes.length} rows of minutes`)
  t.ok(tens.length >= 5 && tens.length <= 7, `${tens.length} rows of ten minutes`)
  t.strictSame(hours, [])
  const ask = await adminClient(one)
  const chart = (await ask('GET', '/counts?period=day')).json()
  t.ok(Math.max(...chart.thefts) === 20 && sum(chart.thefts) >= 340, 'a chart reads both')

  // A row that was written late.
  await db.sql
    .insertInto('counts')
    .values({ seconds: 60, at: tens[0]?.at ?? 0, id: Buffer.alloc(8), counted: '{"thefts":1}' })
    .execute()
  await rollUp(one)
  t.equal(await total(), 361)
  t.equal((await all())[1]?.length, tens.length, 'it goes into the row that is there')
  for (const server of [one, two]) server.tick(27 * 3600)
  for (let i = 0; i < 3; i++) await rollUp(two)
  t.equal(await total(), 361)
  t.strictSame(
    (await all()).map(({ length }) => length),
    [0, 0, 4],
  )
  one.tick(32 * 86_400)
  await rollUp(one)
  t.equal(await total(), 0, 'and a month later they are forgotten')
})

t.test('a database that is away loses no counts, and an answer that is lost doubles none', async t => {
  const { db } = (await startServer(t)).ctx
  const clock = handClock()
  const counts = openCounts()
  let fault: 'away' | 'lost' | undefined
  const transact: typeof db.transact = async work => {
    if (fault === 'away') throw new Error('away')
    const done = await db.transact(work)
    if (fault === 'lost') throw new Error('lost')
    return done
  }
  const { jobs } = openCountRows({ db: { ...db, transact }, clock, counts })
  const total = async () => sum((await rowsOf(db)).map(({ counted }) => counted['late'] ?? 0))
  const minute = () => {
    counts.verdicts.late++
    clock.tick(60)
    return write({ jobs })
  }
  fault = 'away'
  for (let i = 0; i < 200; i++) await t.rejects(minute(), /away/)
  fault = 'lost'
  await t.rejects(write({ jobs }), /lost/)
  await t.rejects(write({ jobs }), /lost/)
  fault = undefined
  await write({ jobs })
  t.equal(await total(), 60, 'sixty minutes wait, each for itself, and are written once')
  t.equal((await rowsOf(db)).length, 60)
  await minute()
  t.equal(await total(), 201, 'and the rest together')
})

await forEachEngine(t, 'living sessions are counted by the sweeper as it passes', async (t, env) => {
  const server = await startServer(t, { MINTMARK_ACCESS_TOKEN_TTL: '2h', ...env })
  const { db } = server.ctx
  const ask = await asDescribed(t, await adminClient(server))
  const none = (await ask('GET', '/counts')).json()
  t.strictSame([...new Set(none.sessions)], [null])
  t.equal(none.sessions_counted_at, null)
  const web = await server.client('web')
  const ada = await server.user()
  const tokens = []
  for (let i = 0; i < 5; i++) tokens.push(await server.logIn(web, ada))
  await server.revoke(web, tokens[0]?.refresh_token ?? '')
  await db.sql
    .updateTable('sessions')
    .set({ expires_at: 1 })
    .where('id', '=', ({ selectFrom }) =>
      selectFrom('sessions')
        .select('id')
        .where('revoked_at', 'is', null)
        .where('user_id', 'is not', null)
        .limit(1),
    )
    .execute()
  const sweep = () => runJob(server, 'sweeping ended sessions')
  await sweep()
  server.tick(3600)
  await server.logIn(web, ada)
  await sweep()
  server.tick(66)
  const { sessions, sessions_counted_at } = (await ask('GET', '/counts')).json()
  t.equal(sessions.at(-1), 4, 'the machine session of the administrator is none of a person')
  t.equal(sessions.at(-3), 3, 'until it is counted again, it is as it was')
  t.equal(sessions.at(0), 3, 'also from before the chart begins')
  t.equal(Date.parse(sessions_counted_at) / 1000, server.ctx.clock.now() - 66)
})
