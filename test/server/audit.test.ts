import t from 'tap'
import type { Database } from '../../db/database.ts'
import { insertAuditEntries, listAuditEntries, type AuditFilter } from '../../db/installation/audit.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import type { NewAuditEntry } from '../../db/writer.ts'
import type { Clock } from '../../src/clock.ts'
import { openRefreshToken } from '../../src/protocol/refresh-token.ts'
import { openAuditTrail } from '../../src/record/audit-trail.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { handClock } from '../helpers/hand-clock.ts'
import { auditRow } from '../helpers/records.ts'
import { runJob, runLast } from '../helpers/run-job.ts'
import { startServer, testClient, type TestClient, type TestServer } from '../helpers/server.ts'

async function entriesOf(db: Database, filter: AuditFilter = {}) {
  const entries = []
  for await (const { detail, ...entry } of listAuditEntries(db, filter)) {
    entries.push({ ...entry, detail: detail === null ? null : JSON.parse(detail) })
  }
  return entries
}

/** A request from an address, as the helper's but for that. */
function postFrom(server: TestServer, address: string, form: Record<string, string>, path = '/token') {
  return server.request({
    method: 'POST',
    url: path,
    payload: new URLSearchParams(form).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    remoteAddress: address,
  })
}

const sidOf = (server: TestServer, refreshToken: string) => {
  const opened = openRefreshToken(server.ctx.rootKeys.macKeyOf, refreshToken)
  if (opened.kind !== 'genuine') throw new Error('the token is not genuine')
  return opened.token.sessionId
}

await forEachEngine(
  t,
  'what happens to sessions is in the audit trail, but for refreshes',
  async (t, env) => {
    const server = await startServer(t, env)
    const { ctx } = server
    const web = await server.client('web')
    const ops = await server.client('ops', { is_admin: 1 })
    const ada = await server.user()
    const refresh = (address: string, refresh_token: string) =>
      postFrom(server, address, { grant_type: 'refresh_token', refresh_token, ...web.form })

    const first = await server.logIn(web, ada)
    for (let i = 0, token = first.refresh_token; i < 5; i++) {
      server.tick(60)
      token = (await server.refresh(web, token)).refresh_token
    }
    const begun = await entriesOf(ctx.db)
    t.match(
      begun,
      [
        {
          event: 'log_in',
          actor: 'client web',
          user_id: ada.id,
          username: 'ada',
          client_id: 'web',
          session_id: sidOf(server, first.refresh_token),
          address: '127.0.0.1',
          request_id: /^[\w-]+$/,
          count: 1,
        },
      ],
      'five refreshes leave nothing',
    )
    t.equal(begun.length, 1)

    const login = await server.logIn(web, ada)
    const one = (await refresh('192.0.2.1', login.refresh_token)).json().refresh_token
    server.tick(60)
    t.equal((await refresh('198.51.100.9', login.refresh_token)).statusCode, 200)
    const two = (await refresh('192.0.2.1', one)).json().refresh_token
    server.tick(60)
    await refresh('192.0.2.2', two)
    server.tick(60)
    t.equal((await refresh('198.51.100.9', one)).statusCode, 400)
    const sid = sidOf(server, login.refresh_token)
    t.match(
      await entriesOf(ctx.db, { sessionId: sid }),
      [
        { event: 'log_in' },
        { event: 'session_late', address: '198.51.100.9', detail: { presented: 0, current: 1 } },
        {
          event: 'session_theft',
          actor: 'client web',
          user_id: ada.id,
          client_id: 'web',
          address: '198.51.100.9',
          request_id: /./,
          detail: { presented: 1, current: 3, last_address: '192.0.2.2' },
        },
      ],
      'a theft: both generations, and the addresses of both holders',
    )

    const restored = await server.logIn(web, ada)
    const ahead = await server.refresh(web, (await server.refresh(web, restored.refresh_token)).refresh_token)
    await ctx.db.sql
      .updateTable('sessions')
      .set({ generation: 0 })
      .where('id', '=', sidOf(server, ahead.refresh_token))
      .execute()
    await server.refresh(web, ahead.refresh_token)
    t.match(await entriesOf(ctx.db, { events: ['session_healed'] }), [
      { session_id: sidOf(server, restored.refresh_token), detail: { presented: 2, current: 0 } },
    ])

    const mine = await server.logIn(web, ada)
    await server.revoke(web, mine.refresh_token)
    await server.revoke(web, mine.refresh_token)
    const theirs = await server.logIn(web, ada)
    await server.revoke(ops, theirs.refresh_token)
    t.match(await entriesOf(ctx.db, { events: ['session_revoked'] }), [
      { actor: 'client web', client_id: 'web', user_id: ada.id, detail: { reason: 'client' } },
      { actor: 'client ops', client_id: 'web', user_id: ada.id, detail: { reason: 'admin' } },
    ])
    t.equal((await entriesOf(ctx.db, { events: ['session_revoked'] })).length, 2, 'each once')

    const { access_token } = (
      await server.post('/token', { grant_type: 'client_credentials', ...ops.form })
    ).json()
    await server.post('/token', { grant_type: 'client_credentials', ...ops.form })
    await server.request({
      method: 'POST',
      url: '/global-token-revocation',
      headers: { authorization: `Bearer ${access_token}` },
      payload: { sub_id: { format: 'opaque', id: ada.sub } },
    })
    t.match(await entriesOf(ctx.db, { events: ['machine_session_started', 'user_revoked'] }), [
      { event: 'machine_session_started', actor: 'client ops', client_id: 'ops', user_id: null },
      { event: 'user_revoked', actor: 'client ops', client_id: null, user_id: ada.id },
    ])
  },
)

await forEachEngine(t, 'what cannot be written down does not happen', async (t, env) => {
  const server = await startServer(t, env)
  const { db } = server.ctx
  const web = await server.client('web')
  const ada = await server.user()
  const { refresh_token } = await server.logIn(web, ada)
  await db.sql.schema.alterTable('audit').renameTo('elsewhere').execute()
  const form = { grant_type: 'password', username: 'ada', password: ada.password, ...web.form }
  t.equal((await server.post('/token', form)).statusCode, 503)
  t.equal((await db.sql.selectFrom('sessions').select('id').execute()).length, 1, 'a log-in')
  t.equal((await server.revoke(web, refresh_token)).statusCode, 503)
  t.match(await findSession(db, sidOf(server, refresh_token)), { revoked_at: null }, 'a revocation')
  t.ok((await server.refresh(web, refresh_token)).access_token, 'but refreshes need nothing written down')
})

t.test('wrong passwords and secrets are written down within a second, without what was typed', async t => {
  const server = await startServer(t)
  const { ctx } = server
  const web = await server.client('web')
  const app = await server.client('app', { isPublic: true })
  const ada = await server.user()
  const attempt = (client: TestClient, username: string, password: string) =>
    postFrom(server, '192.0.2.1', { grant_type: 'password', username, password, ...client.form })
  await attempt(web, 'ada', 'typed-password')
  await attempt(web, 'ada', 'typed-password')
  await attempt(app, 'typed-in-the-wrong-field', 'x')
  await ctx.db.sql.updateTable('users').set({ disabled_at: 1 }).execute()
  await attempt(web, 'ada', ada.password)
  await postFrom(server, '192.0.2.2', { grant_type: 'password', ...testClient('web', 'typed-secret').form })
  await postFrom(server, '192.0.2.2', { grant_type: 'password', ...testClient('typed-client', 'x').form })
  for (let i = 0; i < 60; i++) server.ctx.users.throttle.countWrongCredentials('web')
  await postFrom(server, '192.0.2.3', { grant_type: 'password', ...testClient('web', 'typed-secret').form })
  for (let i = 0; i < 30; i++) {
    const taken = await ctx.users.throttle.take(
      { username: 'ada', source: undefined, device: undefined },
      async () => false,
    )
    if (taken.kind === 'taken') taken.fail()
  }
  await attempt(web, 'ada', 'typed-password')
  t.strictSame(await entriesOf(ctx.db), [], 'nothing is written for a guess')
  t.equal(ctx.audit.waiting(), 7)
  await runJob(server, 'writing the audit trail')
  const about = { actor: 'client web', client_id: 'web', address: '192.0.2.1', request_id: /./ }
  const wrong = (reason: string) => ({ event: 'log_in_failed', detail: { reason } })
  const entries = await entriesOf(ctx.db)
  t.match(entries, [
    { ...about, ...wrong('the password is wrong'), user_id: ada.id, count: 2 },
    { ...wrong('there is no such user'), actor: 'client app', user_id: null },
    { ...about, ...wrong('the user is disabled'), user_id: ada.id },
    {
      event: 'client_refused',
      actor: 'nobody',
      client_id: 'web',
      detail: { reason: 'the client secret is wrong' },
    },
    {
      event: 'client_refused',
      actor: 'nobody',
      client_id: null,
      detail: { reason: 'the client is unknown' },
    },
    { event: 'client_throttled', actor: 'nobody', client_id: 'web', address: '192.0.2.3' },
    { event: 'log_in_throttled', ...about, detail: { limit: 'account' } },
  ])
  t.notMatch(JSON.stringify(entries), /typed/)
  t.equal(ctx.audit.waiting(), 0)
})

/** The trail, and what its job does. */
function openTrail(db: Database, clock: Clock) {
  const { audit, jobs } = openAuditTrail({ db, clock, auditSeconds: 86_400 })
  const name = 'writing the audit trail'
  return { ...audit, flush: () => runJob({ jobs }, name), close: () => runLast({ jobs }, name) }
}

t.test('who makes a noise from one network leaves others their entries', async t => {
  const { db } = (await startServer(t)).ctx
  const clock = handClock()
  const trail = openTrail(db, clock)
  const note = (address: string, source: string) =>
    trail.note(auditRow({ at: clock.now(), event: 'log_in_failed', actor: 'client web', address }), source)
  const addresses = async () => {
    await trail.flush()
    return (await entriesOf(db)).flatMap(({ address }) => address ?? [])
  }
  for (let i = 0; i < 1000; i++) note(`2001:db8::${i}`, '2001:db8:0:0::/64')
  note('192.0.2.1', '192.0.2.1')
  const first = await addresses()
  t.equal(first.length, 50 + 1, 'a quarter of a burst')
  t.ok(first.includes('192.0.2.1'))
  clock.tick(20)
  for (let i = 0; i < 1000; i++) note(`2001:db8::1:${i}`, '2001:db8:0:0::/64')
  t.equal((await addresses()).length, 51 + 10, 'and of what may be written in a second')
  await trail.close()
  const all = await entriesOf(db)
  t.equal(
    all.reduce((sum, { count }) => sum + count, 0),
    2001,
    'the others are counted',
  )
})

t.test('in a flood entries are counted instead of written, and none is lost', async t => {
  const server = await startServer(t)
  const { db } = server.ctx
  let now = server.ctx.clock.now()
  let isAway = false
  const trail = openTrail(
    { ...db, transact: work => (isAway ? Promise.reject(new Error('away')) : db.transact(work)) },
    { ...server.ctx.clock, now: () => now },
  )
  const note = (i: number, more: Partial<NewAuditEntry> = {}) => {
    const entry = auditRow({
      at: now,
      event: 'log_in_failed',
      actor: 'client web',
      clientId: 'web',
      address: `a${i}`,
    })
    trail.note({ ...entry, ...more }, undefined)
  }
  const total = async () => (await entriesOf(db)).reduce((sum, { count }) => sum + count, 0)
  for (let i = 0; i < 3000; i++) note(i)
  await trail.flush()
  t.equal((await entriesOf(db)).length, 200, 'a burst')
  for (let second = 0; second < 100; second++) {
    now++
    for (let i = 0; i < 50; i++) note(1000 * second + i)
    await trail.flush()
  }
  const written = await entriesOf(db)
  t.ok(written.length <= 200 + 2 * 100 + 2, `${written.length} rows for 8000 entries`)
  await trail.close()
  t.equal(await total(), 8000)
  t.match(
    (await entriesOf(db)).filter(({ count }) => count > 1000),
    [{ event: 'log_in_failed', client_id: 'web', address: null, detail: { counted_since: /\d/ } }],
  )

  for (let i = 0; i < 300; i++) note(i)
  now -= 86_400
  await trail.flush()
  t.equal(await total(), 8300, 'a clock that is set back holds up no count')

  now += 86_400 + 1000
  isAway = true
  for (let i = 0; i < 5000; i++) note(i)
  await t.rejects(trail.flush(), { message: 'away' })
  for (let i = 0; i < 5; i++) note(i)
  t.ok(trail.waiting() <= 2001, 'what waits is bounded')
  isAway = false
  // One that is noted while the write is under way is of the next.
  const flushing = trail.flush()
  note(1)
  await flushing
  await trail.close()
  t.equal(await total(), 8300 + 5006)
  t.equal(trail.waiting(), 0)
})

await forEachEngine(t, 'entries are deleted when their time is up', async (t, env) => {
  const server = await startServer(t, { MINTMARK_AUDIT_RETENTION: '1d', ...env })
  const { ctx } = server
  const start = ctx.clock.now()
  const entries = Array.from({ length: 1201 }, (_, i) =>
    auditRow({ at: start + i, event: 'log_in', actor: 'x' }),
  )
  await insertAuditEntries(ctx.db, entries)
  const forget = () => runJob(server, 'forgetting old entries of the audit trail')
  await forget()
  t.equal((await entriesOf(ctx.db)).length, 1201)
  server.tick(86_400 + 1100)
  await forget()
  const left = await entriesOf(ctx.db)
  t.equal(left.length, 101)
  t.equal(left[0]?.at, start + 1100)
})

t.test('what administrators do is in the audit trail, and found there', async t => {
  const { call } = commandLine(t)
  const must = async (args: string, input = '') => {
    const outcome = await call(args, { input })
    if (outcome.code !== 0) throw new Error(`${args}: ${outcome.stderr}`)
    return outcome
  }
  await must('db migrate')
  const password = 'correct horse battery staple'
  const commands: [args: string, events: readonly object[], input?: string][] = [
    [
      'resource create https://api.example --scope read',
      [{ event: 'resource_created', detail: { uri: 'https://api.example' } }],
    ],
    [
      'client create --id web --public --grant password --cors-origin https://app.example',
      [{ event: 'client_created', client_id: 'web', detail: { cors_origins: ['https://app.example'] } }],
    ],
    ['client create --id job --grant client_credentials', [{ event: 'client_created', client_id: 'job' }]],
    [
      'client rotate-secret job --keep-old 1h',
      [{ event: 'client_secret_rotated', client_id: 'job', detail: { old_secret_expires_at: Number } }],
    ],
    ['client disable job', [{ event: 'client_disabled', client_id: 'job' }]],
    ['client enable job', [{ event: 'client_enabled', client_id: 'job' }]],
    ['user create ada --password-stdin', [{ event: 'user_created', username: 'ada' }], password],
    [
      'user passwd ada --password-stdin',
      [{ event: 'user_password_changed', username: 'ada' }],
      `${password}!`,
    ],
    ['user disable ada', [{ event: 'user_disabled', username: 'ada' }]],
    ['user enable ada', [{ event: 'user_enabled', username: 'ada' }]],
    [
      'key policy --rotation-interval 20d --yes',
      [{ event: 'key_policy_changed', detail: { to: { key_rotation_seconds: 20 * 86_400 } } }],
    ],
    [
      'key rotate-root',
      [
        {
          event: 'root_key_rotated',
          detail: { root_key_from: /^[0-9a-f]{8}$/, root_key_to: /^[0-9a-f]{8}$/ },
        },
      ],
    ],
    ['client list', []],
    ['user list', []],
    ['client delete job', [{ event: 'client_deleted', client_id: 'job' }]],
    ['user delete ada', [{ event: 'user_deleted', username: null, sub: /-/, detail: { username: 'ada' } }]],
    [
      'resource delete https://api.example',
      [{ event: 'resource_deleted', detail: { uri: 'https://api.example' } }],
    ],
  ]
  let before = 0
  for (const [args, events, input] of commands) {
    await must(args, input)
    const entries = (await must('audit list --json')).json()
    t.match(entries.slice(before), events, args)
    t.equal(entries.length, before + events.length, `${args}: and nothing else`)
    before = entries.length
    for (const entry of entries) {
      t.match(entry, { actor: /^command ./, at: Number, count: 1, address: null }, 'by whom')
    }
  }
  for (const args of [
    'client delete nobody',
    'user disable nobody',
    'resource delete https://no.example',
    'client create --id web --grant password',
  ]) {
    t.equal((await call(args)).code, 1, args)
    t.equal(
      (await must('audit list --json')).json().length,
      before,
      `${args}: what was refused has not happened`,
    )
  }
  const all = (await must('audit list --json')).json()
  t.strictSame(
    (await must('audit list --json --client web')).json(),
    all.filter((entry: { client_id: string }) => entry.client_id === 'web'),
  )
  t.equal(
    (await must(`audit list --json --user ${all.at(-2).sub}`)).json().length,
    5,
    'about one who is gone',
  )
  t.equal((await must('audit list --json --since 1h')).json().length, before)
  t.equal((await must('audit list --json --until 1h')).json().length, 0)
  t.equal(
    (await must('audit list --json --since 2020-01-01 --event user_created user_deleted')).json().length,
    2,
  )
  t.match(
    (await must('audit list')).stdout,
    /TIME +EVENT .*\n.*resource_created .* uri: https:\/\/api\.example/,
  )
  for (const [args, message] of [
    ['audit list --since yesterday', /takes an age like/],
    ['audit list --since 2026-13-45', /takes an age like/],
    ['audit list --event unknown', /An event is one of log_in/],
    ['audit tail --lines x', /whole number/],
  ] as const) {
    const outcome = await call(args)
    t.equal(outcome.code, 2, args)
    t.match(outcome.stderr, message)
  }
  t.match(await call('audit list --user nobody'), { code: 1, stderr: /there is no user nobody/ })
})
