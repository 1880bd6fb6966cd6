import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { newUuid } from '../../src/protocol/secrets.ts'
import { adminClient, adminPerson, type Ask } from '../helpers/admin-api.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, startServer, until, type TestServer } from '../helpers/server.ts'

/** Adds users, of so many bytes each: by far more than the system keeps for a reader, unless told. */
async function addMany({ ctx: { db, clock } }: TestServer, count: number, size = 4000): Promise<void> {
  const claims = JSON.stringify({ nickname: 'x'.repeat(size) })
  for (let from = 0; from < count; from += 500) {
    const rows = Array.from({ length: Math.min(500, count - from) }, (_, i) => {
      const name = `many-${String(from + i).padStart(5, '0')}`
      return {
        id: newUuid(clock.now()),
        username: name,
        password_hash: '',
        root_key_id: '',
        roles: '',
        group_names: '',
        claims,
        epoch: 0,
        mail_epoch: 0,
        created_at: clock.now(),
        disabled_at: null,
      }
    })
    for (let at = 0; at < rows.length; at += 50)
      await db.sql
        .insertInto('users')
        .values(rows.slice(at, at + 50))
        .execute()
  }
}

interface Reader {
  readonly answer: IncomingMessage
  text(): string
  /** Resolves with whether all has come. */
  readonly ended: Promise<boolean>
  close(): void
}

/** Reads an export over a connection of its own; paused, it takes nothing until it is resumed. */
async function read(
  t: Test,
  origin: string,
  ask: Ask,
  { query = '', isPaused = false } = {},
): Promise<Reader> {
  const path = `/users/export${query}`
  const headers = await ask.credentials('GET', path)
  const sent = request(`${origin}/admin/v1${path}`, { headers, agent: false }).end()
  t.teardown(() => sent.destroy())
  sent.on('error', () => {})
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  let text = ''
  answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  if (isPaused) answer.pause()
  answer.on('error', () => {})
  const ended = new Promise<boolean>(resolve => answer.once('close', () => resolve(answer.complete)))
  return { answer, text: () => text, ended, close: () => void sent.destroy() }
}

const exportsIn = async ({ ctx: { db } }: TestServer) =>
  (
    await db.sql
      .selectFrom('audit')
      .select(['event', 'actor', 'detail'])
      .where('event', 'in', ['users_exported', 'users_export_ended'])
      .orderBy('id')
      .execute()
  ).map(({ event, actor, detail }) => ({ event, actor, ...JSON.parse(detail ?? '{}') }))

function counted({ metrics }: TestServer, name: string) {
  const metric = metrics.find(metric => metric.name === name)
  return metric && 'samples' in metric ? [...metric.samples()] : undefined
}

await forEachEngine(t, 'users are exported by HTTP as the command exports them', async (t, env) => {
  const server = await startServer(t, env)
  const origin = await server.listen()
  const { call } = commandLine(t)
  const command = async (...args: string[]) =>
    (
      await call(['user', 'export', ...args], {
        env: { ...besideEnv(server), MINTMARK_ISSUER: 'https://as.example' },
      })
    ).stdout
  const ada = await server.user('ada', 'reader')
  await addMany(server, 1200, 100)
  await server.user('zoë')
  const ask = await adminClient(server, 'admin:users')
  const whole = await read(t, origin, ask)
  t.equal(whole.answer.statusCode, 200)
  t.match(whole.answer.headers, {
    'content-type': 'application/jsonl',
    'cache-control': 'no-store',
    trailer: 'mintmark-users',
  })
  t.ok(await whole.ended, 'it has come to its end')
  t.equal(whole.answer.trailers['mintmark-users'], '1202')
  t.ok(whole.text() === (await command()), 'the same bytes')
  t.equal(whole.text().split('\n').length, 1203)
  t.notMatch(whole.text(), /password_hash|root_key_id/)

  const all = await adminClient(server, 'admin:write')
  const hashed = await read(t, origin, all, { query: '?with_hashes=true' })
  await hashed.ended
  t.ok(hashed.text() === (await command('--with-hashes')), 'with hashes too')
  t.match(hashed.text(), /"password_hash":"\$argon2id.*"root_key_id"/)

  const rest = await read(t, origin, ask, { query: '?after=many-01198' })
  await rest.ended
  t.strictSame(
    rest
      .text()
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).username),
    ['many-01199', 'zoë'],
    'it goes on after a user',
  )
  const none = await read(t, origin, ask, { query: '?after=zz' })
  t.ok(await none.ended)
  t.equal(none.text(), '')
  t.equal(none.answer.trailers['mintmark-users'], '0')

  const [began, ended, ...others] = (await exportsIn(server)).filter(({ actor }) => /^client/.test(actor))
  t.match(began, { event: 'users_exported', actor: /^client ops-/, with_hashes: false })
  t.match(ended, { event: 'users_export_ended', with_hashes: false, users: 1202, is_whole: true })
  t.match(others, [
    { event: 'users_exported', with_hashes: true },
    { event: 'users_export_ended', with_hashes: true, users: 1202, is_whole: true },
    { event: 'users_exported', is_resumed: true },
    { event: 'users_export_ended', users: 2, is_whole: true },
    { event: 'users_exported', is_resumed: true },
    { event: 'users_export_ended', users: 0, is_whole: true },
  ])
  t.strictSame(counted(server, 'mintmark_user_exports_total'), [
    [{ end: 'whole' }, 4],
    [{ end: 'cut_off' }, 0],
  ])
  t.strictSame(counted(server, 'mintmark_users_exported_total'), [[{}, 2406]])

  await server.ctx.db.sql.deleteFrom('user_names').execute()
  await server.ctx.db.sql.deleteFrom('users').execute()
  const sent = await all('POST', '/users/imports', hashed.text(), { 'content-type': 'application/jsonl' })
  t.equal(sent.statusCode, 202, sent.body)
  await runJob(server, 'importing users')
  t.match((await all('GET', `/jobs/${sent.json().id}`)).json(), {
    state: 'done',
    result: { users_created: 1202, entries_refused: 0 },
  })
  await server.logIn(await server.client('web'), ada)
  t.ok((await command('--with-hashes')) === hashed.text(), 'an import brings all of it back')
})

t.test('who looks users up does not take all of them away, and hashes take everything', async t => {
  const server = await startServer(t)
  const { sql } = server.ctx.db
  const status = async (ask: Ask, query = '') => {
    const { statusCode, headers } = await ask('GET', `/users/export${query}`)
    return `${statusCode} ${String(headers['www-authenticate'] ?? '').replace(/^.*?error="(\w+)".*$/, '$1')}`
  }
  const hashes = '?with_hashes=true'
  const support = await adminPerson(server, await server.user('sue', 'mintmark:support'))
  t.equal(await status(support), '403 insufficient_scope')
  t.equal(await status(await adminPerson(server, await server.user('bob'))), '403 insufficient_scope')
  const reader = await adminClient(server, 'admin:read admin:users:read admin:sessions')
  t.equal(await status(reader), '403 insufficient_scope')
  const ofUsers = await adminClient(server, 'admin:users')
  t.equal(await status(ofUsers), '200 ')
  t.equal(await status(ofUsers, hashes), '403 insufficient_scope', 'administrators have hashes too')
  t.equal((await server.request({ url: '/admin/v1/users/export' })).statusCode, 401)

  const ada = await server.user('ada', 'mintmark:admin')
  const unbound = await adminPerson(server, ada, { isBound: false })
  t.equal(await status(unbound), '401 invalid_token', 'a person has a key')
  const person = await adminPerson(server, ada)
  t.equal(await status(person), '200 ')
  t.equal(await status(person, hashes), '200 ')
  await sql
    .updateTable('sessions')
    .set({ auth_time: server.ctx.clock.now() - 3601 })
    .execute()
  t.equal(await status(person), '200 ')
  t.equal(await status(person, hashes), '401 insufficient_user_authentication')
  for (const query of ['?with_hashes=yes', '?after=', `?after=${'x'.repeat(256)}`, '?limit=3'])
    t.equal(await status(ofUsers, query), '400 ', query)
  t.equal((await ofUsers('HEAD', '/users/export')).statusCode, 405)
  t.equal((await exportsIn(server)).length, 8, 'what is refused has not begun')
})

await forEachEngine(t, 'an export ends with the right to it, or when its reader is gone', async (t, env) => {
  const server = await startServer(t, env)
  const origin = await server.listen()
  const { sql } = server.ctx.db
  await addMany(server, 5000)
  const cutOff = async (title: string, person: boolean, change: (reader: Reader) => unknown) => {
    const ada = await server.user(`ada-${title}`, 'mintmark:admin')
    const ask = person ? await adminPerson(server, ada) : await adminClient(server, 'admin:users')
    const earlier = (await exportsIn(server)).length
    const reader = await read(t, origin, ask, { isPaused: true })
    await change(reader)
    const ended = async (): Promise<Record<string, unknown>> => {
      await sleep(10)
      return (await exportsIn(server))[earlier + 1] ?? ended()
    }
    const entry = await ended()
    t.match(entry, { event: 'users_export_ended', is_whole: false, with_hashes: false }, title)
    t.ok(Number(entry['users']) < 5000, `${title}: ${entry['users']} were read`)
    reader.answer.resume()
    t.notOk(await reader.ended, `${title}: it is no whole answer`)
    t.strictSame(reader.answer.trailers, {}, title)
  }
  const revoke = () => sql.updateTable('sessions').set({ revoked_at: 1 }).execute()
  await cutOff('a session of a person', true, revoke)
  await cutOff('a session of a program', false, revoke)
  await cutOff('a session that is gone', false, () => sql.deleteFrom('sessions').execute())
  await cutOff('a role', true, () =>
    sql
      .updateTable('users')
      .set({ roles: 'mintmark:support' })
      .where('roles', '=', 'mintmark:admin')
      .execute(),
  )
  await cutOff('a token', false, () => server.tick(300))
  await cutOff('a reader that stops', false, reader => reader.close())
  t.strictSame(counted(server, 'mintmark_user_exports_total')?.[1], [{ end: 'cut_off' }, 6])
  await until(() => server.log.filter(({ msg }) => msg === 'an export of users was cut off').length === 6)

  const ask = await adminClient(server, 'admin:users')
  const open = [
    await read(t, origin, ask, { isPaused: true }),
    await read(t, origin, ask, { isPaused: true }),
    await read(t, origin, ask, { isPaused: true }),
  ]
  t.match((await ask('GET', '/users/export')).json(), { status: 503, detail: /3 exports are under way/ })
  const [first] = open
  first?.answer.resume()
  t.ok(await first?.ended, 'a slow reader has all in the end')
  t.equal(first?.text().split('\n').length, 5007)
  await cutOff('a server that ends', false, () => server.ctx.load.drain.begin())
  for (const { close } of open) close()
})

t.test('a fault in the middle of an export cuts it off', async t => {
  const server = await startServer(t)
  const origin = await server.listen()
  await addMany(server, 3000)
  const ask = await adminClient(server, 'admin:users')
  const reader = await read(t, origin, ask, { isPaused: true })
  const { sql } = server.ctx.db
  await sql.schema.alterTable('users').renameTo('users_away').execute()
  reader.answer.resume()
  t.notOk(await reader.ended)
  await until(() => server.log.some(({ error }) => error === 'temporarily_unavailable'))
  await sql.schema.alterTable('users_away').renameTo('users').execute()
  const entries = await exportsIn(server)
  t.match(entries.at(-1), { event: 'users_export_ended', is_whole: false })
  const again = await read(t, origin, ask)
  t.ok(await again.ended, 'and the next one has all')
})
