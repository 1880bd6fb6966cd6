import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { findClient } from '../../db/clients/clients.ts'
import type { Database } from '../../db/database.ts'
import { openDatabase } from '../../db/open-database.ts'
import type { SessionTable } from '../../db/schema.ts'
import { rotateSession } from '../../db/sessions/rotations.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { insertSession, type NewSession } from '../../db/sessions/starts.ts'
import {
  countPages,
  giveBackPages,
  readSweeper,
  sweepSessions,
  type SweepLimits,
} from '../../db/sessions/sweeper.ts'
import { findUser } from '../../db/users/users.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { keepSeconds } from '../../src/sessions/retention.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine, onPostgres } from '../helpers/engines.ts'
import { waitingHere } from '../helpers/postgres.ts'
import { runJob } from '../helpers/run-job.ts'
import { beginSession, madeAt, openSeeded, rotationOf, secretHash } from '../helpers/records.ts'
import { startServer } from '../helpers/server.ts'

const day = 86_400
const limits: SweepLimits = { rowsMax: 10, deletedMax: 10, keepSeconds: 7 * day, restSeconds: 3600 }
/** So far may the sweeper's clock move in one step, where it is not what the test is about. */
const atOnce = 10_000 * day

async function begin(db: Database, userId: Buffer, changes: Partial<SessionTable>): Promise<Buffer> {
  const id = await beginSession(db, userId)
  await db.sql
    .updateTable('sessions')
    .set({ late_history: 0, ...changes })
    .where('id', '=', id)
    .execute()
  return id
}

/** Steps, one a second, until all rows have been looked at. */
async function sweepAll(db: Database, now: number, more: Partial<SweepLimits> = {}): Promise<number[]> {
  const examined: number[] = []
  for (let second = now; ; second++) {
    const step = await sweepSessions(db, { now: second, clockSeconds: atOnce, ...limits, ...more })
    if (!step) throw new Error(`there was no step at ${second}`)
    examined.push(step.examined - examined.reduce((sum, count) => sum + count, 0))
    if (step.isPassed) return examined
  }
}

const countSessions = async ({ sql }: Database) =>
  (await sql.selectFrom('sessions').select('id').execute()).length

await forEachEngine(t, 'a session is deleted seven days after its end, and not before', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const never = 253_402_300_799
  const longAgo = madeAt - 7 * day
  const rows: [name: string, changes: Partial<SessionTable>, isDeleted: boolean][] = [
    ['a living one', {}, false],
    ['one that expired seven days ago', { expires_at: longAgo }, true],
    ['one that expired a second later', { expires_at: longAgo + 1 }, false],
    ['one that was revoked seven days ago', { revoked_at: longAgo }, true],
    ['one that was revoked a second later', { revoked_at: longAgo + 1 }, false],
    ['one that was revoked after it had expired', { expires_at: longAgo, revoked_at: madeAt }, true],
  ]
  const ids: Buffer[] = []
  for (const [, changes] of rows) ids.push(await begin(db, userId, changes))
  const machine: Partial<SessionTable> = { user_id: null, secret_hash: null, expires_at: never }
  const ended = await begin(db, userId, { ...machine, revoked_at: longAgo })
  const living = await begin(db, userId, machine)

  await sweepAll(db, madeAt)
  for (const [i, [name, , isDeleted]] of rows.entries()) {
    t.equal((await findSession(db, ids[i] ?? ended)) === undefined, isDeleted, name)
  }
  t.equal(await findSession(db, ended), undefined, 'a machine session that was revoked')
  t.ok(await findSession(db, living), 'a living machine session never expires')
  t.match(await readSweeper(db), { examined: 8, swept: 4, swept_ever: 4, passed_at: madeAt, cursor: null })
})

await forEachEngine(
  t,
  'the sweeper walks all rows with bounded steps, one a second, and rests after that',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    for (let i = 0; i < 25; i++)
      await begin(db, userId, i % 5 === 0 ? {} : { expires_at: madeAt - 8 * day, revoked_at: null })
    const step = (now: number) => sweepSessions(db, { now, clockSeconds: atOnce, ...limits })

    t.match(await step(madeAt), { examined: 10, isPassed: false })
    t.equal(await step(madeAt), undefined, 'another instance, in the same second')
    t.match(await step(madeAt + 1), { examined: 20, isPassed: false })
    t.match(
      await step(madeAt - 100),
      { examined: 25, swept: 20, isPassed: true },
      'also by a clock that was set back',
    )
    t.equal(await countSessions(db), 5)
    t.equal(await step(madeAt - 99), undefined, 'then it rests')
    t.equal(await step(madeAt - 100 + 3599), undefined)
    t.match(await step(madeAt - 100 + 3600), { examined: 5, swept: 0, isPassed: true })
    t.match(
      await step(madeAt - 100_000),
      { isPassed: true },
      'a clock that is set back does not make it rest for long',
    )

    for (let i = 0; i < 12; i++) await begin(db, userId, { expires_at: madeAt - 8 * day })
    const steps = await sweepAll(db, madeAt + day, { rowsMax: 100, deletedMax: 5 })
    t.equal(steps.length, 3, 'no step deletes more than it may')
    t.equal(await countSessions(db), 5, 'and what one leaves is for the next')
  },
)

await forEachEngine(
  t,
  'a clock that goes wrong for an hour deletes nothing before its time',
  async (t, env) => {
    const { db, userId } = await openSeeded(t, env)
    const living = await begin(db, userId, {})
    const ended = await begin(db, userId, { expires_at: madeAt - 5.5 * day })
    const step = (now: number) => sweepSessions(db, { now, clockSeconds: day, ...limits })
    t.match(await step(madeAt), { swept: 0 })
    t.match(await step(madeAt + 1000 * day), { swept: 0 }, 'its own clock is one day further, not a thousand')
    t.match(await step(madeAt + 1001 * day), { swept: 1 }, 'another day later it is time for one')
    t.equal(await findSession(db, ended), undefined)
    t.match(await step(madeAt + 3600), { swept: 0 }, 'back at the right time')
    t.equal((await readSweeper(db)).clock, madeAt + 3600)
    t.ok(await findSession(db, living))
  },
)

await onPostgres(t, 'a session that is refreshed while the sweeper looks at it stays', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  const id = await begin(db, userId, { expires_at: madeAt - 8 * day })
  const other = new pg.Client(env['MINTMARK_DATABASE_URL'])
  await other.connect()
  t.teardown(() => other.end())
  await other.query('begin')
  await other.query('update sessions set expires_at = $1', [madeAt + 100])
  const sweeping = sweepSessions(db, { now: madeAt, clockSeconds: atOnce, ...limits })
  for (let isWaiting = false; !isWaiting;) {
    const { rows } = await other.query(waitingHere)
    isWaiting = rows.length > 0
  }
  await other.query('commit')
  t.match(await sweeping, { examined: 1, swept: 0 })
  t.ok(await findSession(db, id))
})

await forEachEngine(t, 'two sweepers share the work and do nothing twice', async (t, env) => {
  const { db, userId } = await openSeeded(t, env)
  for (let i = 0; i < 40; i++) await begin(db, userId, { expires_at: madeAt - 8 * day })
  let now = madeAt
  let steps = 0
  while ((await readSweeper(db)).passed_at === null) {
    now++
    const both = await Promise.all(
      [1, 2].map(() => sweepSessions(db, { now, clockSeconds: atOnce, ...limits })),
    )
    steps += both.filter(step => step !== undefined).length
  }
  t.equal(steps, 5, 'four full ones, and one that finds the end')
  t.match(await readSweeper(db), { examined: 40, swept: 40 })
})

t.test(
  'a steady state of log-ins and expiries keeps the size of the file, and a peak is given back',
  async t => {
    const { db, userId } = await openSeeded(t, {})
    const { epoch } = await db.sql.selectFrom('clients').select('epoch').executeTakeFirstOrThrow()
    let now = madeAt

    /** A day of log-ins, of which some live for long; every tenth of all sessions is refreshed. */
    const liveADay = async (logIns: number) => {
      const sessions: NewSession[] = Array.from({ length: logIns }, (_, i) => ({
        id: newUuid(now + i),
        user_id: userId,
        client_id: 'web',
        user_epoch: 0,
        client_epoch: epoch,
        secret_hash: secretHash,
        scope: 'read',
        resource: null,
        auth_time: now,
        amr: 'pwd',
        expires_at: now + (i % 20 === 0 ? 20 : 3) * day,
        absolute_expires_at: now + 90 * day,
        status_position: i,
        last_address: null,
      }))
      await Promise.all(sessions.map(session => insertSession(db, session)))
      const refreshed = sessions.filter((_, i) => i % 10 === 0)
      await Promise.all(
        refreshed.map(({ id, expires_at }) =>
          rotateSession(db, rotationOf(id, { now, idleExpiresAt: expires_at })),
        ),
      )
      now += day
      const steps = { rowsMax: 500, deletedMax: 500, restSeconds: 0 }
      await sweepAll(db, now, steps)
      while ((await giveBackPages(db, 128)) > 0);
      return (await countPages(db)).pages
    }
    const days = async (count: number, logIns: number) => {
      const sizes: number[] = []
      for (let i = 0; i < count; i++) sizes.push(await liveADay(logIns))
      return sizes
    }

    await days(30, 40) // until the longest-lived have come to their end
    const sizes = await days(20, 40)
    const [least, most] = [Math.min(...sizes), Math.max(...sizes)]
    t.ok(most <= least * 1.2, `the file is within a fifth: ${least} to ${most} pages`)

    const peak = await days(3, 500)
    t.ok((peak.at(-1) ?? 0) > 1.5 * most, `a peak: ${peak.at(-1)} pages`)
    const after = await days(30, 40)
    t.ok((after.at(-1) ?? 0) <= most * 1.2, `given back: ${after.at(-1)} pages`)
    const { pages, free } = await countPages(db)
    t.ok(free <= pages / 5, `${free} of ${pages} pages are free`)
  },
)

t.test('a server sweeps by itself, and says so', async t => {
  const server = await startServer(t)
  const client = await server.client('app')
  const user = await server.user()
  const setAhead = (seconds: number) => server.setClock(server.ctx.clock.now() + seconds)
  await server.logIn(client, user)
  const sweep = () => runJob(server, 'sweeping ended sessions')
  await sweep()
  setAhead(40 * day)
  await server.logIn(client, user)
  for (let i = 0; i < 41 && !server.log.some(line => line['event'] === 'swept'); i++) {
    setAhead(3600)
    await sweep()
  }
  t.equal(await countSessions(server.ctx.db), 2, 'its clock follows slowly')
  t.equal(keepSeconds, 7 * day)

  await server.ctx.db.sql.updateTable('sweeper').set({ clock: server.ctx.clock.now() }).execute()
  server.tick(3600)
  await sweep()
  t.equal(await countSessions(server.ctx.db), 1)
  t.match(
    server.log.find(line => line['event'] === 'swept'),
    { examined: 2, swept: 1, seconds: 0 },
  )
})

t.test(
  'session list --summary and doctor say how many sessions there are, and what the sweeper has done',
  async t => {
    const cli = commandLine(t)
    const must = async (args: string, input = '') => {
      const outcome = await cli.call(args, { input })
      t.equal(outcome.code, 0, `${args}: ${outcome.stderr}`)
      return outcome
    }
    await must('db migrate')
    await must('client create --id app --public --grant password refresh_token')
    await must('user create ada --password-stdin', 'correct horse battery staple')
    const db = openDatabase({ engine: 'sqlite', file: join(cli.home, 'db/mintmark.sqlite') })
    t.teardown(() => db.close())
    const user = await findUser(db, 'ada')
    const client = await findClient(db, 'app')
    if (!user || !client) throw new Error('unreachable: they were made just now')
    const now = Math.floor(Date.now() / 1000)
    const end = [now + day, now + day, now - day, now - 8 * day]
    for (const [i, expires_at] of end.entries()) {
      await insertSession(db, {
        id: newUuid(now),
        user_id: user.id,
        client_id: 'app',
        user_epoch: user.epoch,
        client_epoch: client.epoch,
        secret_hash: secretHash,
        scope: '',
        resource: null,
        auth_time: now,
        amr: 'pwd',
        expires_at,
        absolute_expires_at: now + day,
        status_position: i,
        last_address: null,
      })
    }
    t.match((await must('session list --summary --json')).json(), {
      sessions: { living: 2, expired: 2, revoked: 0, waiting: 1 },
      clients: [{ client_id: 'app', living: 2, expired: 2 }],
      sweeper: { passed_at: null },
    })
    t.match((await must('session list --summary')).stdout, /No server has looked/)

    await must('user disable ada')
    await sweepSessions(db, { now, clockSeconds: 1, ...limits })
    t.match((await must('session list --summary --json')).json(), {
      sessions: { living: 0, expired: 0, revoked: 3, waiting: 0 },
      sweeper: { passed_at: now, examined: 4, swept: 1, swept_ever: 1 },
    })
    t.match((await must('session list --summary')).stdout, /4 sessions looked at and 1 deleted/)
    const finding = async () =>
      (await cli.call('doctor --json'))
        .json()
        .findings.find((one: { check: string }) => one.check === 'sweeper')
    t.match(await finding(), { verdict: 'ok', text: /1 session deleted so far/ })
    await db.sql
      .updateTable('sweeper')
      .set({ passed_at: now - 3 * day })
      .execute()
    t.match(await finding(), { verdict: 'warning', advice: /start a server/ })
    t.match(await cli.call('session list --summary --user ada'), {
      code: 2,
      stderr: /leave the other options out/,
    })
  },
)
