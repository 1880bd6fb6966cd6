import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify, type JSONWebKeySet } from 'jose'
import t, { type Test } from 'tap'
import { beginCopy } from '../../db/copy/copy.ts'
import { drainChanges } from '../../db/copy/drain.ts'
import { moveInstallation, openMoved } from '../../db/copy/finish.ts'
import { copyLarge } from '../../db/copy/walk.ts'
import { migrate } from '../../db/installation/migrate.ts'
import { requestRotation, listSigningKeys } from '../../db/keys/signing-keys.ts'
import { openDatabase } from '../../db/open-database.ts'
import { loadConfig } from '../../src/config/load.ts'
import { phaseOf } from '../../src/keys/ring/key-life.ts'
import { postgresEnv, type EngineEnv } from '../helpers/engines.ts'
import { runJob } from '../helpers/run-job.ts'
import { isOAuthError, startServer, type TestServer } from '../helpers/server.ts'

const jwksPath = '/.well-known/jwks.json'
/** Twice the max-age, and the bound within which instances follow each other. */
const lead = 2 * 300 + 10

async function live(
  servers: readonly TestServer[],
  seconds: number,
  each: () => Promise<void> = async () => {},
) {
  for (let passed = 0; passed < seconds; passed += 10) {
    for (const server of servers) server.tick(10)
    // A server that was moved away follows its database too, though it can write nothing there.
    for (const server of servers) await server.follow().catch(() => {})
    await each()
  }
}

function sqliteEnv(t: Test): EngineEnv {
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return { MINTMARK_DATABASE_URL: `sqlite:${join(folder, 'moved.sqlite')}` }
}

for (const [title, envs] of [
  ['SQLite to PostgreSQL', async (t: Test) => [sqliteEnv(t), await postgresEnv()]],
  ['PostgreSQL to SQLite', async (t: Test) => [await postgresEnv(), sqliteEnv(t)]],
] as const) {
  await t.test(
    `invariant 6: a server that was moved away publishes its keys until its last token has expired (${title})`,
    async t => {
      const [from = {}, target = {}] = await envs(t)
      const old = await startServer(t, from)
      const client = await old.client('web')
      const user = await old.user()
      // The next keys may sign by now.
      await live([old], lead)
      const { access_token } = await old.logIn(client, user)

      const to = openDatabase(loadConfig({ ...target }, '/').databaseUrl, { isPatient: true })
      await migrate(to, old.ctx.clock.now())
      const copy = await beginCopy(old.ctx.db, to, old.ctx.clock.now())
      await copyLarge(copy, () => {})
      await drainChanges(copy)
      const movedAt = old.ctx.clock.now()
      await moveInstallation(copy, movedAt)
      await openMoved({ to })
      await to.close()
      await runJob(old, 'asking the database')
      const served = [
        jwksPath,
        '/.well-known/oauth-authorization-server',
        '/.well-known/openid-configuration',
      ]
      for (const url of served) {
        const { statusCode, headers } = await old.request({ url })
        t.strictSame(
          [statusCode, headers['cache-control']],
          [200, 'no-cache'],
          `${url}: for this moment alone`,
        )
      }
      const { etag = '' } = (await old.request({ url: jwksPath })).headers
      const unchanged = await old.request({ url: jwksPath, headers: { 'if-none-match': etag } })
      t.strictSame([unchanged.statusCode, unchanged.headers['cache-control']], [304, 'no-cache'])
      for (const [method, url] of [
        ['POST', '/token'],
        ['POST', '/introspect'],
        ['POST', '/revoke'],
        ['POST', '/global-token-revocation'],
        ['GET', '/status-lists'],
        ['GET', '/health/ready'],
      ] as const) {
        isOAuthError(t, await old.request({ method, url }), 503, 'temporarily_unavailable', url)
      }
      t.equal((await old.request({ url: '/health/live' })).statusCode, 200)
      t.match(
        old.log.find(({ level }) => level === 60)?.['msg'],
        /moved to another database: every request is refused from now on, but for the key set/,
      )

      // What the database that it was moved to signs with, the old server knows too.
      const keyFile = { MINTMARK_ROOT_KEY_FILE: old.ctx.config.rootKeyFile }
      const fresh = await startServer(t, { ...target, ...keyFile }, movedAt)
      const keysOf = async (server: TestServer): Promise<JSONWebKeySet> =>
        (await server.request({ url: jwksPath })).json()
      t.strictSame(await keysOf(fresh), await keysOf(old))
      const rows = await listSigningKeys(fresh.ctx.db)
      t.ok(rows.length >= 4)
      for (const row of rows) {
        if (phaseOf(row) === 'active') await requestRotation(fresh.ctx.db, row.kid, fresh.ctx.clock.now())
      }
      const kids = new Set<string | undefined>()
      await live([old, fresh], lead - 10, async () => {
        const token = await fresh.post('/token', { grant_type: 'client_credentials', ...client.form })
        const jwt: string = token.json().access_token
        kids.add(decodeProtectedHeader(jwt).kid)
        const currentDate = new Date(fresh.ctx.clock.now() * 1000)
        await jwtVerify(jwt, createLocalJWKSet(await keysOf(old)), { currentDate })
      })
      t.equal(kids.size, 1, 'the next key of before')
      t.notOk(kids.has(decodeProtectedHeader(access_token).kid), 'and not the one that signed before')

      const until = old.ctx.standing.keysNeededUntil() ?? 0
      t.ok(until >= movedAt + 300, 'as long as a token of the last moment lives')
      // Its clock is the one that counts then, and not ours to move.
      if (old.ctx.db.engine === 'postgres') return
      await live([old], until - old.ctx.clock.now() - 10)
      while (old.ctx.clock.now() < until - 1) old.tick(1)
      for (const url of served) t.equal((await old.request({ url })).statusCode, 200, `${url}: still`)
      old.tick(1)
      for (const url of served)
        isOAuthError(t, await old.request({ url }), 503, 'temporarily_unavailable', `${url}: not any more`)
    },
  )
}
