import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { latestAuditEntries } from '../../db/installation/audit.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { insertLogIn } from '../../db/sessions/starts.ts'
import { newUuid, parseUuid } from '../../src/protocol/secrets.ts'
import { readRevocationLog } from '../../src/record/restore-log.ts'
import { forEachEngine } from '../helpers/engines.ts'
import {
  besideEnv,
  isOAuthError,
  startServer,
  type TestServer,
  type TokenResponse,
} from '../helpers/server.ts'

const limit = { MINTMARK_SESSIONS_PER_USER: '3' }

/** How many sessions of the user are not revoked. */
async function countLiving({ ctx }: TestServer, userId: Buffer): Promise<number> {
  const rows = await ctx.db.sql
    .selectFrom('sessions')
    .select('id')
    .where('user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .execute()
  return rows.length
}

await forEachEngine(
  t,
  'a log-in beyond the bound of user and client ends the session unused for longest, as any other end',
  async (t, env) => {
    const server = await startServer(t, { ...env, ...limit })
    const other = await startServer(t, { ...besideEnv(server), ...limit })
    const web = await server.client('web')
    const app = await server.client('app', { isPublic: true })
    const [ada, bob] = [await server.user(), await server.user('bob')]
    await other.follow()
    const logIn = async (client = web, user = ada) => {
      server.tick(20)
      other.tick(20)
      return server.logIn(client, user)
    }
    const isAlive = async ({ access_token }: TokenResponse) =>
      (await other.introspect(web, access_token))['active'] === true
    const [oldest, unused, third] = [await logIn(), await logIn(), await logIn()]
    const [ofApp, ofBob] = [await logIn(app), await logIn(web, bob)]
    server.tick(20)
    await server.refresh(web, oldest.refresh_token)
    t.equal(await countLiving(server, ada.id), 4, 'as many as there may be, and one of another client')

    const newest = await logIn()
    for (const [title, session, alive] of [
      ['the oldest, which was in use', oldest, true],
      ['the one unused for longest', unused, false],
      ['the third', third, true],
      ['the newest', newest, true],
      ["another user's", ofBob, true],
    ] as const)
      t.equal(await isAlive(session), alive, `${title}, at another instance`)
    await server.refresh(app, ofApp.refresh_token)
    const form = { grant_type: 'refresh_token', refresh_token: unused.refresh_token, ...web.form }
    isOAuthError(t, await other.post('/token', form), 400, 'invalid_grant', 'the one unused for longest')

    const claims = server.ctx.keys.verify(unused.access_token, 'at+jwt')
    const sid = String(claims?.['sid'])
    const sessionId = parseUuid(sid) ?? Buffer.alloc(0)
    t.match(await findSession(server.ctx.db, sessionId), {
      revoked_at: server.ctx.clock.now(),
      revoke_reason: 'limit',
    })
    const entries = await latestAuditEntries(server.ctx.db, { events: ['session_revoked'] }, 10)
    t.match(
      entries,
      [{ user_id: ada.id, client_id: 'web', session_id: sessionId, actor: 'client web' }],
      'audit',
    )
    t.equal(entries[0]?.detail, '{"reason":"limit"}')
    const file = join(server.ctx.config.home, 'log')
    writeFileSync(file, server.log.map(line => `${JSON.stringify(line)}\n`).join(''))
    t.match(
      (await readRevocationLog(file)).revocations,
      [{ event: 'session_revoked', sid: sessionId, reason: 'limit' }],
      'what a restored backup learns from the log',
    )
    const revocations = await server.ctx.db.sql.selectFrom('revocations').selectAll().execute()
    t.match(revocations, [{ session_id: sessionId }], 'the status lists learn of it')
    t.equal(server.ctx.counts.revocations.limit, 1)
    await other.follow()
    t.equal(other.ctx.counts.revocations.command, 0, 'and it is counted once')
  },
)

await forEachEngine(t, 'log-ins at the same moment keep to the bound together', async (t, env) => {
  const server = await startServer(t, { ...env, ...limit })
  const web = await server.client('web')
  const user = await server.user()
  await Promise.all(Array.from({ length: 12 }, () => server.logIn(web, user)))
  t.ok((await countLiving(server, user.id)) <= 3 + 11, 'at the most as many more as were under way')
  await server.logIn(web, user)
  t.equal(await countLiving(server, user.id), 3, 'until the next one')
})

await forEachEngine(
  t,
  'what has ended otherwise does not count, nor does a log-in that came too late',
  async (t, env) => {
    const server = await startServer(t, { ...env, ...limit })
    const web = await server.client('web')
    const user = await server.user()
    await server.logIn(web, user)
    const { db } = server.ctx
    const model = await db.sql.selectFrom('sessions').selectAll().executeTakeFirstOrThrow()
    const copies = [{ expires_at: model.auth_time }, {}].map(changes => ({
      ...model,
      id: newUuid(model.auth_time),
      rotated_at: model.auth_time - 10,
      ...changes,
    }))
    await db.sql.insertInto('sessions').values(copies).execute()
    await server.logIn(web, user)
    t.equal(await countLiving(server, user.id), 4, 'three that live, and one that has expired')

    await db.sql.updateTable('users').set({ epoch: 1 }).execute()
    await server.logIn(web, user)
    t.equal(await countLiving(server, user.id), 5, 'and those of an earlier epoch')

    const late = { ...model, user_id: user.id, id: newUuid(model.auth_time), started_at: model.auth_time }
    const bound = { sessionsMax: 1, reason: 'limit' } as const
    const logIn = { session: late, knownSources: undefined, bound }
    t.equal(await insertLogIn(db, logIn), undefined)
    t.equal(await countLiving(server, user.id), 5, 'which neither begins a session nor ends one')
  },
)

await forEachEngine(
  t,
  'where there were thousands before there was a bound, each log-in ends some',
  async (t, env) => {
    const server = await startServer(t, env)
    const web = await server.client('web')
    const user = await server.user()
    await server.logIn(web, user)
    const { db } = server.ctx
    const model = await db.sql.selectFrom('sessions').selectAll().executeTakeFirstOrThrow()
    const copies = Array.from({ length: 450 }, () => ({ ...model, id: newUuid(model.auth_time - 100) }))
    for (let i = 0; i < 450; i += 50)
      await db.sql
        .insertInto('sessions')
        .values(copies.slice(i, i + 50))
        .execute()
    const counts: number[] = []
    for (let i = 0; i < 5; i++) {
      await server.logIn(web, user)
      counts.push(await countLiving(server, user.id))
    }
    t.strictSame(counts, [352, 253, 154, 100, 100])
  },
)
