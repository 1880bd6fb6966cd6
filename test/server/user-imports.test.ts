import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { claimJob, findJob } from '../../db/sessions/jobs.ts'
import { restartDryRun, stepDryRun, stepImportJob } from '../../db/users/import-jobs.ts'
import { beginImport, findImport, importPart } from '../../db/users/imports.ts'
import { findUser } from '../../db/users/users.ts'
import { buildApp } from '../../src/app.ts'
import { formatUuid, ownUuid } from '../../src/protocol/secrets.ts'
import { readUser } from '../../src/users/imported-user.ts'
import { adminClient, adminPerson, type Ask } from '../helpers/admin-api.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'

const password = 'correct horse bätt€ry'
const data = join(import.meta.dirname, '../data')
const hashes: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(join(data, 'password-hashes.json'), 'utf8'),
)
const hash = hashes['passlib pbkdf2_sha256'] ?? ''

const lines = (...entries: readonly (object | string)[]) =>
  entries.map(entry => `${typeof entry === 'string' ? entry : JSON.stringify(entry)}\n`).join('')

const send = (ask: Ask, file: string, type = 'application/jsonl', headers = {}) =>
  ask('POST', '/users/imports', file, { 'content-type': type, ...headers })

const importing = 'importing users'
const piecesOf = ({ ctx }: TestServer) => ctx.db.sql.selectFrom('job_pieces').selectAll().execute()

async function usersOf({ ctx }: TestServer) {
  const users = await ctx.db.sql.selectFrom('users').selectAll().orderBy('username').execute()
  return new Map(users.map(user => [user.username, user]))
}

await forEachEngine(t, 'a file of users that is sent is imported by a job', async (t, env) => {
  const server = await startServer(t, env)
  const client = await server.client('web')
  await server.user('Alice')
  const ask = await adminClient(server, 'admin:users')
  const file = lines(
    { username: 'bob', password_hash: hash, roles: ['reader'] },
    { username: 'ALICE' },
    '{"username": "carol",',
    { username: 'dora', roles: ['reader', 'mintmark:admin'] },
    { username: 'erin', password_hash: 'hunter2-is-no-hash' },
  )
  const sent = await send(ask, file)
  t.equal(sent.statusCode, 202, sent.body)
  const { id } = sent.json()
  t.equal(sent.headers.location, `/admin/v1/jobs/${id}`)
  t.match(sent.json(), { act: 'import_users', state: 'running', done: 0, refused: 0, total: 5, result: null })
  const waiting = await piecesOf(server)
  t.equal(waiting.length, 1)
  for (const part of [hash, '"bob"', 'hunter2'])
    t.notOk(waiting[0]?.sealed.includes(part), 'nothing of the file is bare in the database')
  await runJob(server, 'ending sessions that were chosen')
  t.match((await ask('GET', `/jobs/${id}`)).json(), { state: 'running' }, 'that is not its work')
  await runJob(server, importing)
  t.match((await ask('GET', `/jobs/${id}`)).json(), {
    state: 'done',
    done: 5,
    refused: 4,
    result: { users_created: 1, entries_refused: 4 },
    problem: null,
    ended_at: /T/,
  })
  await server.logIn(client, { username: 'bob', password })
  t.match(
    (await piecesOf(server)).map(({ kind }) => kind),
    ['refused'],
    'its file is gone',
  )

  const refused = async (query: string) => (await ask('GET', `/users/imports/${id}/refused?${query}`)).json()
  const whole = await refused('')
  t.strictSame(whole, {
    items: [
      { entry: 2, username: 'ALICE', problem: 'there is a user of this name already' },
      { entry: 3, problem: 'the line is no JSON' },
      {
        entry: 4,
        username: 'dora',
        problem: 'who administers is added with the scope admin:write alone',
      },
      { entry: 5, username: 'erin', problem: whole.items[3].problem },
    ],
    next: null,
  })
  t.notMatch(JSON.stringify(whole), 'hunter2')
  const first = await refused('limit=3')
  t.strictSame(first.items, whole.items.slice(0, 3))
  t.strictSame(await refused(`limit=3&after=${first.next}`), { items: whole.items.slice(3), next: null })
  t.equal((await ask('GET', `/users/imports/${id}/refused?after=x`)).statusCode, 400)

  const entries = await server.ctx.db.sql
    .selectFrom('audit')
    .select(['event', 'actor', 'request_id', 'detail'])
    .where('event', 'in', ['job_created', 'users_imported'])
    .execute()
  t.match(entries, [
    { event: 'job_created', request_id: sent.headers['x-request-id'] },
    { event: 'users_imported', actor: /^client ops-/, request_id: sent.headers['x-request-id'] },
  ])
  t.match(entries[1]?.detail, `"file":"${sent.json().choice.file}"`)

  server.tick(7 * 86_400 + 1)
  await runJob(server, 'forgetting old jobs')
  await runJob(server, 'deleting files that were imported')
  t.strictSame(await piecesOf(server), [], 'what was refused goes with its job')
})

t.test('with admin:write a file may have administrators; CSV and documents', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  await send(ask, 'username,roles\nzoe,mintmark:admin\nbob,\n', 'text/csv; charset=utf-8')
  await runJob(server, importing)
  const realm = readFileSync(join(data, 'keycloak-realm.json'), 'utf8')
  const second = (await send(ask, realm, 'application/json')).json()
  t.equal(second.total, null)
  await runJob(server, importing)
  t.match((await ask('GET', `/jobs/${second.id}`)).json(), {
    result: { users_created: 3, entries_refused: 1 },
  })
  const users = await usersOf(server)
  t.strictSame([...users.keys()].length, 5)
  t.equal(users.get('zoe')?.roles, 'mintmark:admin')

  for (const [file, type, problem] of [
    ['username\n"bob', 'text/csv', /the file, line 2: a quote is not closed/],
    ['username\nb"o"b', 'text/csv', /the file, line 2: it is no CSV \(RFC 4180\)/],
    ['{"realm":"x"}', 'application/json', /neither an array of users/],
    ['[{"password_hash": "secret"', 'application/json', /no JSON document/],
    [`["${'x'.repeat(8 * 1024 * 1024)}"]`, 'application/json', /more than 8 MiB.*one user in each line/],
  ] as const) {
    const { id } = (await send(ask, file, type)).json()
    await runJob(server, importing)
    const job = await ask('GET', `/jobs/${id}`)
    t.match(job.json(), { state: 'failed', problem })
    t.notMatch(job.body, 'secret"')
  }
  t.strictSame(
    (await piecesOf(server)).filter(({ kind }) => kind === 'upload'),
    [],
  )
})

await forEachEngine(t, 'an import goes on at another server, and adds nobody twice', async (t, env) => {
  const first = await startServer(t, env)
  const second = await startServer(t, besideEnv(first))
  const ask = await adminClient(first)
  const names = Array.from({ length: 5000 }, (_, i) => `user-${i}`)
  const file = lines(
    ...names.map((username, i) => (i % 1000 === 7 ? 'broken' : { username, nickname: 'x'.repeat(20) })),
  )
  const { id } = (await send(ask, file)).json()
  t.ok((await piecesOf(first)).length > 1)
  const jobOf = async () => (await ask('GET', `/jobs/${id}`)).json()
  const stopping = new AbortController()
  const work = ({ jobs }: TestServer, signal = new AbortController().signal) =>
    jobs.find(({ name }) => name === importing)?.run(signal)
  // As a SIGTERM would, in the middle of it.
  const whole = work(first, stopping.signal)
  while ((await jobOf()).done === 0) await new Promise(setImmediate)
  stopping.abort()
  await whole
  const { done } = await jobOf()
  t.ok(done > 0 && done < 5000, String(done))
  // As a SIGKILL would: its claim is left.
  const claimed = await claimJob(first.ctx.db, 'import_users', first.ctx.clock.now())
  t.equal(claimed && formatUuid(claimed.id), id)
  await work(second)
  t.match(await jobOf(), { done, state: 'running' }, 'it is another’s for ten seconds')
  second.tick(11)
  first.tick(11)
  await Promise.all([work(second), work(first)])
  t.match(await jobOf(), { state: 'done', result: { users_created: 4995, entries_refused: 5 } })
  const { items } = (await ask('GET', `/users/imports/${id}/refused?limit=2`)).json()
  t.match(items, [{ entry: 8 }, { entry: 1008 }])
  t.equal((await usersOf(first)).size, 4995)
})

await forEachEngine(
  t,
  'a dry run of an import says what it would refuse, also where it goes on elsewhere, and adds nobody',
  async (t, env) => {
    const first = await startServer(t, env)
    const second = await startServer(t, besideEnv(first))
    await first.user('Alice')
    const before = (await usersOf(first)).size
    const ask = await adminClient(first)
    const names = Array.from({ length: 2000 }, (_, i) => `user-${i}`)
    // One that is here, one whose name an earlier entry has, and one that is none.
    const users = ['ALICE', ...names, 'USER-0'].map(username => ({ username }))
    const file = lines(...users, '{')
    const sent = await ask('POST', '/users/imports?dry_run=true', file, {
      'content-type': 'application/jsonl',
    })
    t.match(sent.json(), { choice: { dry_run: true, bytes: file.length }, total: 2003 })
    const { id } = sent.json()
    const jobOf = async () => (await ask('GET', `/jobs/${id}`)).json()
    const stopping = new AbortController()
    const work = ({ jobs }: TestServer, signal = new AbortController().signal) =>
      jobs.find(({ name }) => name === importing)?.run(signal)
    const whole = work(first, stopping.signal)
    while ((await jobOf()).done === 0) await new Promise(setImmediate)
    stopping.abort()
    await whole
    const { done, refused } = await jobOf()
    t.ok(done > 0 && done < 2003 && refused === 1, `it was interrupted after ${done}`)
    await work(second)
    t.match(await jobOf(), {
      state: 'done',
      done: 2003,
      refused: 3,
      result: { users_to_create: 2000, entries_refused: 3 },
    })
    const { items } = (await ask('GET', `/users/imports/${id}/refused`)).json()
    t.match(items, [
      { entry: 1, username: 'ALICE', problem: 'there is a user of this name already' },
      { entry: 2002, username: 'USER-0', problem: 'there is a user of this name already' },
      { entry: 2003, problem: 'the line is no JSON' },
    ])
    t.equal(items.length, 3)
    t.equal((await usersOf(first)).size, before)
    const imported = await first.ctx.db.sql
      .selectFrom('audit')
      .selectAll()
      .where('event', '=', 'users_imported')
      .execute()
    t.strictSame(imported, [])
    t.strictSame(
      (await piecesOf(first)).map(({ kind }) => kind),
      ['refused', 'refused'],
    )
  },
)

await forEachEngine(t, 'of two with the same step of a dry run one makes it', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await adminClient(server)
  const file = lines({ username: 'bob' })
  const type = { 'content-type': 'application/jsonl' }
  const { id } = (await ask('POST', '/users/imports?dry_run=true', file, type)).json()
  const { db, clock } = server.ctx
  const job = await findJob(db, ownUuid(id))
  if (!job) throw new Error('unreachable: it was made')
  const step = () => stepDryRun(db, job, { from: 0, to: 1 }, { count: 1, piece: undefined }, clock.now())
  t.strictSame((await Promise.all([step(), step()])).toSorted(), [false, true])
  t.match((await ask('GET', `/jobs/${id}`)).json(), { done: 1, refused: 1 })
  t.equal((await ask('DELETE', `/jobs/${id}`)).statusCode, 200)
  await restartDryRun(db, job.id)
  t.match((await ask('GET', `/jobs/${id}`)).json(), { done: 1 }, 'one that was stopped stays so')
})

t.test('a dry run of a large file is refused, and says what takes it', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  const file = `{"username":"bob","nickname":"${'x'.repeat(32 * 1024 * 1024)}"}\n`
  const type = { 'content-type': 'application/jsonl' }
  const sent = await ask('POST', '/users/imports?dry_run=true', file, type)
  t.match(sent.json(), {
    status: 413,
    code: 'too_large',
    detail: /up to 32 MiB: `mintmark user import FILE --dry-run`/,
  })
  t.strictSame((await ask('GET', '/jobs')).json().items, [], 'and the file is not kept')
})

await forEachEngine(t, 'a part whose names count as free is added whole, or not at all', async (t, env) => {
  const { ctx } = await startServer(t, env)
  const { db, users, clock } = ctx
  const add = async (digest: string, mayBeTaken: boolean, entries: readonly Record<string, string>[]) => {
    await beginImport(db, digest, clock.now())
    const rows = entries.map((members, i) => {
      const read = readUser(members, { passwords: users.passwords, now: clock.now() })
      if ('problem' in read) throw new Error(read.problem)
      return { entry: i + 1, row: read.row }
    })
    return importPart(db, { digest, from: 0, to: rows.length, users: rows, refused: 0, mayBeTaken })
  }
  const many = Array.from({ length: 600 }, (_, i) => ({ username: `user-${i}` }))
  t.strictSame(await add('first', false, many), { created: 600, taken: [] })
  const bob = { username: 'bob' }
  const sub = formatUuid((await findUser(db, 'user-599'))?.id ?? Buffer.alloc(0))
  const inTheWay = {
    theirs: { username: 'USER-599' },
    twice: { username: 'Bob' },
    sub: { sub, username: 'carol' },
    older: { username: 'user-598' },
  }
  // As an older program beside this one leaves it.
  await db.sql.deleteFrom('user_names').where('name', '=', 'user-598').execute()
  for (const [digest, other] of Object.entries(inTheWay)) {
    await t.rejects(add(digest, false, [bob, other]), { name: 'NameTakenError' }, digest)
    t.match(await findImport(db, digest), { lines: 0, created: 0 })
    t.equal(await findUser(db, 'bob'), undefined)
  }
  t.strictSame(await add('second', true, [bob, ...Object.values(inTheWay)]), {
    created: 1,
    taken: [
      { entry: 2, what: 'username' },
      { entry: 3, what: 'username' },
      { entry: 4, what: 'sub' },
      { entry: 5, what: 'username' },
    ],
  })
})

await forEachEngine(t, 'of two with the same step of an import one makes it', async (t, env) => {
  const server = await startServer(t, env)
  const { db, clock } = server.ctx
  await send(await adminClient(server), lines({ username: 'bob' }))
  const job = await claimJob(db, 'import_users', clock.now())
  if (!job) throw new Error('there is no job')
  const part = {
    digest: `job ${formatUuid(job.id)}`,
    from: 0,
    to: 1,
    users: [],
    refused: 1,
    mayBeTaken: true,
  }
  const step = () => stepImportJob(db, job, part, () => ({ count: 1, piece: undefined }), clock.now())
  const both = await Promise.all([step(), step()])
  t.strictSame(
    both.filter(made => made !== undefined),
    [{ created: 0, taken: [] }],
  )
  t.match(await findJob(db, job.id), { done: 1, refused: 1 })
})

await forEachEngine(t, 'a file is imported once, however often it is sent with a key', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await adminClient(server)
  const file = lines({ username: 'bob' })
  const key = { 'idempotency-key': 'k-1' }
  const first = await send(ask, file, 'application/jsonl', key)
  const again = await send(ask, file, 'application/jsonl', key)
  t.equal(again.statusCode, 202)
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.strictSame(again.json(), first.json())
  t.match((await send(ask, lines({ username: 'eve' }), 'application/jsonl', key)).json(), { status: 422 })
  t.match((await send(ask, file, 'text/csv', key)).json(), { status: 422 }, 'the same bytes read otherwise')
  t.equal((await ask('GET', '/jobs')).json().items.length, 1, 'nothing is left of the others')
  await runJob(server, 'deleting files that were imported')
  t.equal((await piecesOf(server)).length, 1)
  await send(ask, file)
  await runJob(server, importing)
  const { items } = (await ask('GET', '/jobs')).json()
  t.match(items, [{ result: { users_created: 0, entries_refused: 1 } }, { result: { users_created: 1 } }])
})

await forEachEngine(
  t,
  'a file that does not arrive is given up, and a job can be stopped',
  async (t, env) => {
    const server = await startServer(t, env)
    const ask = await adminClient(server)
    /** Begins to send a file, and goes on with the rest. */
    const begin = (more: () => AsyncGenerator<string>) => {
      const whole = async function* () {
        yield 'x'.repeat(70_000)
        yield* more()
      }
      return ask('POST', '/users/imports', Readable.from(whole()), { 'content-type': 'application/jsonl' })
    }
    let go = () => {}
    const held = new Promise<void>(resolve => (go = resolve))
    const slow = begin(async function* () {
      await held
      yield 'x'.repeat(70_000)
    })
    while ((await piecesOf(server)).length === 0) await new Promise(setImmediate)
    const [job] = (await ask('GET', '/jobs')).json().items
    t.match(job, { state: 'receiving', done: 0, total: null })
    await runJob(server, importing)
    t.match((await ask('GET', `/jobs/${job.id}`)).json(), { state: 'receiving' }, 'it is not begun before')
    t.match((await ask('DELETE', `/jobs/${job.id}`)).json(), { state: 'stopped' })
    go()
    t.match((await slow).json(), { status: 409, detail: /was stopped/ })

    server.tick(1)
    let give = () => {}
    const given = new Promise<void>(resolve => (give = resolve))
    const lost = begin(async function* () {
      await given
      yield 'x'.repeat(70_000)
    })
    while ((await piecesOf(server)).length < 2) await new Promise(setImmediate)
    await runJob(server, 'deleting files that were imported')
    t.equal((await piecesOf(server)).length, 1, 'that of the stopped one is gone')
    server.tick(61)
    await runJob(server, 'deleting files that were imported')
    t.match((await ask('GET', '/jobs')).json().items[0], { state: 'failed', problem: /did not arrive/ })
    t.strictSame(await piecesOf(server), [])
    give()
    t.match((await lost).json(), { status: 409 })

    const { id } = (await send(ask, lines({ username: 'bob' }))).json()
    t.match((await ask('DELETE', `/jobs/${id}`)).json(), { state: 'stopped', result: { users_created: 0 } })
    await runJob(server, importing)
    t.equal((await usersOf(server)).size, 0)
  },
)

await forEachEngine(t, 'of many files that are sent at once no more are kept than may be', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await adminClient(server, 'admin:users')
  const files = Array.from({ length: 12 }, (_, i) => lines({ username: `user-${i}` }))
  const answers = await Promise.all(files.map(file => send(ask, file)))
  t.equal(answers.filter(({ statusCode }) => statusCode === 202).length, 3)
  for (const answer of answers.filter(({ statusCode }) => statusCode !== 202))
    t.match(answer.json(), { status: 409, detail: /3 imports are under way/ })
})

t.test('who may import, and what is refused as a whole', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  const file = lines({ username: 'bob' })
  const { id } = (await send(ask, file)).json()
  const { id: ending } = (await ask('POST', '/sessions/end', { older_than: 60 })).json()
  const reader = await adminClient(server, 'admin:users:read')
  const sessions = await adminClient(server, 'admin:sessions')
  t.equal((await send(reader, file)).statusCode, 403)
  t.equal((await send(sessions, file)).statusCode, 403)
  t.equal((await reader('DELETE', `/jobs/${id}`)).statusCode, 403)
  t.equal((await reader('GET', `/jobs/${id}`)).statusCode, 200)
  t.equal((await reader('GET', `/jobs/${ending}`)).statusCode, 404, 'it is of sessions')
  t.equal((await sessions('GET', `/jobs/${id}`)).statusCode, 404, 'it is of users')
  t.equal((await sessions('DELETE', `/jobs/${id}`)).statusCode, 404)
  t.equal((await sessions('GET', `/users/imports/${id}/refused`)).statusCode, 403)
  t.equal((await reader('GET', `/users/imports/${ending}/refused`)).statusCode, 404)
  t.strictSame(
    (await reader('GET', '/jobs')).json().items.map((job: { id: string }) => job.id),
    [id],
  )
  t.strictSame(
    (await sessions('GET', '/jobs')).json().items.map((job: { id: string }) => job.id),
    [ending],
  )
  t.equal((await ask('GET', '/jobs')).json().items.length, 2)
  const support = await adminPerson(server, await server.user('eve', 'mintmark:support'))
  t.equal((await support('GET', `/jobs/${id}`)).statusCode, 200)
  t.equal((await support('DELETE', `/jobs/${id}`)).statusCode, 404)

  t.match((await send(ask, file, 'application/xml')).json(), {
    status: 415,
    code: 'unsupported_media_type',
    detail: /application\/jsonl.*text\/csv/,
  })
  t.match((await send(ask, '')).json(), { status: 400, detail: /empty/ })
  await send(ask, file)
  await send(ask, file)
  t.match((await send(ask, file)).json(), { status: 409, detail: /3 imports are under way/ })
  t.equal((await ask('GET', '/jobs')).json().items.length, 4, 'what is refused leaves nothing')
})

t.test('a file may take longer to arrive than another request, and that alone', async t => {
  const server = await startServer(t)
  const app = buildApp(server.ctx, {
    requestTimeout: 1000,
    http: { headersTimeout: 1000, connectionsCheckingInterval: 10 },
  })
  t.teardown(() => app.close())
  const { port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
  const { form } = await server.client('ops', {
    is_admin: 1,
    scope: 'admin:users',
    grant_types: 'client_credentials',
  })
  const token = (await server.post('/token', { grant_type: 'client_credentials', ...form })).json()
  // The admin API is loaded by then.
  await app.inject('/admin/v1/openapi.json')
  const file = lines({ username: 'bob' })
  const socket = connect(Number(port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  const answer = async () => String((await Promise.race([once(socket, 'data'), once(socket, 'close')]))[0])
  socket.write(
    `POST /admin/v1/users/imports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token.access_token}\r\n` +
      `Content-Type: application/jsonl\r\nContent-Length: ${file.length}\r\n\r\n${file.slice(0, 5)}`,
  )
  await sleep(1300)
  socket.write(file.slice(5))
  t.match(await answer(), /^HTTP\/1\.1 202 /)
  const type = 'Content-Type: application/x-www-form-urlencoded'
  socket.write(`POST /token HTTP/1.1\r\nHost: x\r\n${type}\r\nContent-Length: 10\r\n\r\ntoken`)
  t.match(await answer(), /^HTTP\/1\.1 408 /, 'the next one as every other')
})

t.test('a file that is too large is refused as it begins, and its sender has the answer', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  const length = String(600 * 1024 * 1024)
  const sent = await send(ask, lines({ username: 'bob' }), 'application/jsonl', { 'content-length': length })
  t.match(sent.json(), { status: 413, code: 'too_large', detail: /larger than 512 MiB: send it in several/ })
  t.strictSame((await ask('GET', '/jobs')).json().items, [])
})
