import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { findInstallation } from '../../db/installation/installation.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { besideEnv, isOAuthError, startServer, type TestClient, type TestServer } from '../helpers/server.ts'

/** What a dump holds, or most of it. */
const tables = ['users', 'clients', 'sessions', 'revocations', 'installation'] as const

/**
 * Takes the database as it is now; the answer puts it back, as other people's tools do: no server is told.
 */
async function saved({ ctx: { db } }: TestServer): Promise<() => Promise<void>> {
  const dump: [table: (typeof tables)[number], rows: readonly object[]][] = []
  for (const table of tables) dump.push([table, await db.sql.selectFrom(table).selectAll().execute()])
  return () =>
    db.transact(async transaction => {
      for (const [table, rows] of dump) {
        await transaction.deleteFrom(table).execute()
        for (const row of rows)
          await transaction
            .insertInto(table)
            .values(row as never)
            .execute()
      }
    })
}

async function world(t: Test, env: EngineEnv) {
  // By the clock that commands go by.
  const server = await startServer(t, env, Math.floor(Date.now() / 1000))
  const web = await server.client('web', { isPublic: true })
  const cli = commandLine(t)
  const run = (args: string) =>
    cli.call(args, { env: { ...besideEnv(server), MINTMARK_ISSUER: server.ctx.config.issuer } })
  const findings = async (): Promise<string[]> =>
    (await run('doctor --json'))
      .json()
      .findings.map(({ text, advice }: Record<string, string>) => `${text} ${advice}`)
  const told = () => server.log.filter(line => line['event'] === 'database_went_back')
  const isRefused = async (refresh_token: string, title: string, client: TestClient = web) =>
    isOAuthError(
      t,
      await server.post('/token', { grant_type: 'refresh_token', refresh_token, ...client.form }),
      400,
      'invalid_grant',
      title,
    )
  return { server, web, run, findings, told, isRefused, log: join(cli.home, 'mintmark.log') }
}

await forEachEngine(
  t,
  'a database that has gone back in time is noticed, and what was revoked since is revoked again',
  async (t, env) => {
    const { server, web, run, findings, told, isRefused, log } = await world(t, env)
    const [ada, bob] = [await server.user('ada'), await server.user('bob')]
    const [revoked, resting] = [await server.logIn(web, ada), await server.logIn(web, ada)]
    let [honest, late] = [await server.logIn(web, ada), await server.logIn(web, ada)]
    const ofBob = await server.logIn(web, bob)
    const putBack = await saved(server)
    const refreshBoth = async () => {
      server.tick(1)
      honest = await server.refresh(web, honest.refresh_token)
      late = await server.refresh(web, late.refresh_token)
    }

    await refreshBoth()
    await server.revoke(web, revoked.refresh_token)
    const disabled = await run('user disable bob')
    t.equal(disabled.code, 0)
    const begin = JSON.stringify({ time: (server.ctx.clock.now() - 100) * 1000, msg: 'serving' })
    const lines = server.log
      .filter(({ event }) => event === 'session_revoked')
      .map(line => JSON.stringify(line))
    writeFileSync(log, [begin, ...lines, disabled.stderr].join('\n'))
    await putBack()

    const again = await server.refresh(web, revoked.refresh_token)
    t.ok(again, 'what was revoked lives again')
    t.strictSame(told(), [], 'which an old token does not show')
    honest = await server.refresh(web, honest.refresh_token)
    t.match(told(), [{ level: 50, msg: /gone back in time.*`mintmark db revive --revocations LOG`/ }])
    const finding = /has gone back in time: what was revoked after .* may live again `mintmark db revive/
    t.ok(
      (await findings()).some(text => finding.test(text)),
      'doctor tells of it',
    )
    t.match(await run('db revive'), { code: 1, stderr: /lives again\. Nothing was changed\. Say what to do/ })
    t.match(await run('db revive --accept-unrevoked --end-sessions'), { code: 2 })
    t.match(await run(`db revive --revocations ${log}`), { code: 1, stderr: /users are disabled: bob\n/ })
    t.ok(
      (await findings()).some(text => finding.test(text)),
      'until somebody has decided',
    )

    const revived = await run(`db revive --revocations ${log} --yes --json`)
    t.match(revived.json().replayed, { sessions_revoked: 2, users_disabled: ['bob'] }, revived.stderr)
    await server.follow()
    await isRefused(again.refresh_token, 'what was revoked')
    await isRefused(ofBob.refresh_token, 'whose user was disabled')
    t.ok(await server.refresh(web, resting.refresh_token), 'the others go on')
    t.notOk((await findings()).some(text => finding.test(text)))
    late = await server.refresh(web, late.refresh_token)
    t.equal(told().length, 1, 'a session that comes later is of the same')
    t.equal((await findInstallation(server.ctx.db))?.lost_since, null)
    t.match((await run(`db revive --revocations ${log} --yes --json`)).json().replayed, {
      sessions_revoked: 0,
    })

    server.tick(60)
    await refreshBoth()
    const putBackAgain = await saved(server)
    await refreshBoth()
    await putBackAgain()
    await refreshBoth()
    t.equal(told().length, 2, 'another time is another one')
    t.match(await run('db revive --end-sessions'), { code: 0, stdout: /everybody has to log in again/ })
    await isRefused(honest.refresh_token, 'or everything has ended')
    t.equal((await findInstallation(server.ctx.db))?.lost_since, null)
  },
)

await forEachEngine(
  t,
  'sessions of a database that was put back get their time, once, unless they were refreshed there',
  async (t, env) => {
    const { server, web, run } = await world(t, env)
    const ada = await server.user('ada')
    const day = 86_400
    const now = server.ctx.clock.now()
    const { sql } = server.ctx.db
    for (let i = 0; i < 2; i++) await server.logIn(web, ada)
    const [resting, refreshed] = (await sql.selectFrom('sessions').select('id').orderBy('id').execute()).map(
      ({ id }) => id,
    )
    const set = (id: Buffer | undefined, rotated_at: number) =>
      sql
        .updateTable('sessions')
        .set({ rotated_at, expires_at: now - day })
        .where('id', '=', id ?? Buffer.alloc(16))
        .execute()
    await set(resting, now - 20 * day)
    await set(refreshed, now - 2 * day)
    for (const time of ['first', 'second']) {
      t.match(await run('db revive --accept-unrevoked --made-at 10d'), { code: 0 }, time)
      const left = (await sql.selectFrom('sessions').select('expires_at').orderBy('id').execute()).map(
        ({ expires_at }) => Math.round((expires_at - now) / day),
      )
      t.strictSame(left, [9, -1], time)
    }
  },
)
