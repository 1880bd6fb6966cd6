import t from 'tap'
import {
  findIdempotencyKey,
  keepAnswer,
  releaseIdempotencyKey,
  resealIdempotencyKey,
  reserveIdempotencyKey,
  takeIdempotencyKey,
} from '../../db/installation/idempotency-keys.ts'
import { doOnce } from '../../src/admin/kept-answers.ts'
import { adminClient, adminPerson, type Ask } from '../helpers/admin-api.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, startServer, type TestServer } from '../helpers/server.ts'

const ada = { username: 'ada', password: 'a wholly new one' }

/** Creates a user by a request that has a key. */
const create = (ask: Ask, key: string, body: object = ada) =>
  ask('POST', '/users', body, { 'idempotency-key': key })

async function usersOf({ ctx }: TestServer): Promise<number> {
  const { count } = await ctx.db.sql
    .selectFrom('users')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}

const keptOf = ({ ctx }: TestServer) => ctx.db.sql.selectFrom('idempotency_keys').selectAll().execute()

await forEachEngine(t, 'twenty of one request at two instances do it once', async (t, env) => {
  const first = await startServer(t, env)
  const second = await startServer(t, besideEnv(first))
  const client = await adminClient(first)
  await second.follow()
  const bySecond = client.at(second)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => create(i % 2 === 0 ? client : bySecond, '"k-1"')),
  )
  const made = answers.filter(({ statusCode }) => statusCode === 201)
  t.ok(made.length > 0)
  for (const answer of made) {
    t.strictSame(answer.json(), made[0]?.json())
    t.equal(answer.headers.etag, made[0]?.headers.etag)
  }
  for (const answer of answers.filter(({ statusCode }) => statusCode !== 201)) {
    t.match(answer.json(), { status: 409, code: 'under_way' }, 'while the first is under way')
    t.equal(answer.headers['retry-after'], '1')
  }
  t.equal(made.filter(({ headers }) => headers['idempotency-replayed'] === undefined).length, 1)
  t.equal(await usersOf(first), 1)
  const again = await create(bySecond, '"k-1"')
  t.equal(again.statusCode, 201)
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.equal(again.headers.etag, made[0]?.headers.etag)
  t.strictSame(again.json(), made[0]?.json(), 'whichever instance it comes to')
  t.strictSame((await create(client, 'k-1')).json(), made[0]?.json(), 'with quotes or without')
})

await forEachEngine(t, 'a key is one request of one caller, for a day', async (t, env) => {
  const server = await startServer(t, { ...env, MINTMARK_ACCESS_TOKEN_TTL: '3h' })
  const ask = await adminClient(server)
  t.equal((await create(ask, 'k')).statusCode, 201)
  const other = await create(ask, 'k', { ...ada, username: 'bob' })
  t.match(other.json(), { status: 422, code: 'another_request' })
  t.equal(
    (await ask('POST', '/users/invitations', ada, { 'idempotency-key': 'k' })).statusCode,
    400,
    'another path, refused for itself before the key counts',
  )
  const stranger = await adminClient(server)
  t.match((await create(stranger, 'k')).json(), { status: 409, code: 'conflict' }, 'it has keys of its own')
  const root = await adminPerson(server, await server.user('root', 'mintmark:admin'))
  t.match((await create(root, 'k')).json(), { code: 'conflict' })

  for (const key of ['', '"a b"', '"', 'x'.repeat(256), '"a", "b"'])
    t.match((await create(ask, key)).json(), { status: 400, field: 'idempotency-key' }, key)

  const [row] = await keptOf(server)
  t.match(row, { caller: /^client ops-/, status: 201 })
  t.notOk(row?.sealed.includes('"username"'), 'the answer is sealed')
  server.tick(86_400)
  await runJob(server, 'forgetting kept answers')
  t.strictSame(await keptOf(server), [])
})

await forEachEngine(t, 'a refusal of the act is kept, a fault is not', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await adminClient(server)
  const { sub } = await server.user()
  const first = await create(ask, 'k')
  t.equal(first.statusCode, 409)
  t.equal((await ask('DELETE', `/users/${sub}`)).statusCode, 204)
  const second = await create(ask, 'k')
  t.strictSame([second.statusCode, second.json()], [409, first.json()], 'the first answer')
  t.match(second.headers['content-type'], /^application\/problem\+json/)
  t.not(second.headers['x-request-id'], first.headers['x-request-id'])
  t.equal((await create(ask, 'k-2')).statusCode, 201)

  const declare = () =>
    ask('POST', '/resources', { uri: 'https://other.example' }, { 'idempotency-key': 'k-3' })
  const { schema } = server.ctx.db.sql
  await schema.alterTable('resources').renameTo('resources_away').execute()
  t.equal((await declare()).statusCode, 503, 'its table is away')
  t.equal((await keptOf(server)).length, 2, 'and it is free for another try')
  await schema.alterTable('resources_away').renameTo('resources').execute()
  const done = await declare()
  t.equal(done.statusCode, 201)
  t.notOk(done.headers['idempotency-replayed'])
})

await forEachEngine(t, 'what a dead process had is done again once its lease has passed', async (t, env) => {
  const server = await startServer(t, env)
  const ask = await adminClient(server)
  t.equal((await create(ask, 'k')).statusCode, 201)
  // As if its process had died before it could keep the answer.
  await server.ctx.db.sql.updateTable('idempotency_keys').set({ status: null }).execute()
  t.match((await create(ask, 'k')).json(), { status: 409, code: 'under_way' })
  t.equal((await create(ask, 'k', { ...ada, username: 'x' })).statusCode, 422)
  server.tick(61)
  const answers = await Promise.all(Array.from({ length: 20 }, () => create(ask, 'k')))
  const codes = answers.map(answer => answer.json().code)
  t.ok(
    codes.every(code => code === 'conflict' || code === 'under_way'),
    'it meets its own work',
  )
  const done = answers.filter(({ headers }) => headers['idempotency-replayed'] === undefined)
  t.equal(done.filter(answer => answer.json().code === 'conflict').length, 1, 'one of twenty does it again')
  t.equal(await usersOf(server), 1)
})

t.test('an answer is sealed anew under another root key', async t => {
  const server = await startServer(t)
  const ask = await adminClient(server)
  const first = await create(ask, 'k')
  const [before] = await keptOf(server)
  const id = server.ctx.rootKeys.draft()
  server.ctx.rootKeys.keepDrafts()
  server.ctx.rootKeys.follow(id)
  await runJob(server, 'sealing kept answers anew')
  const [after] = await keptOf(server)
  t.equal(after?.root_key_id, id)
  t.notSame(after?.sealed, before?.sealed)
  t.strictSame((await create(ask, 'k')).json(), first.json())
  await server.ctx.db.sql
    .updateTable('idempotency_keys')
    .set({ sealed: Buffer.alloc(60) })
    .execute()
  t.equal((await create(ask, 'k')).statusCode, 503, 'a row that was changed is nothing to answer with')
})

await forEachEngine(t, 'one statement decides who has a request', async (t, env) => {
  const { db } = (await startServer(t, env)).ctx
  const id = Buffer.alloc(32, 1)
  const sealed = { sealed: Buffer.from('x'), root_key_id: '00000000' }
  const row = { id, caller: 'client x', status: null, leased_until: 60, created_at: 0, ...sealed }
  const lease = { id, leased_until: 60 }
  t.equal(await reserveIdempotencyKey(db, row), true)
  t.equal(await reserveIdempotencyKey(db, row), false)
  t.equal(await takeIdempotencyKey(db, lease, 120), true)
  t.equal(await takeIdempotencyKey(db, lease, 121), false)
  const answer = { ...sealed, sealed: Buffer.from('late'), status: 201 }
  await keepAnswer(db, lease, answer)
  await releaseIdempotencyKey(db, lease)
  t.match(await findIdempotencyKey(db, id), { status: null, leased_until: 120 }, 'it is another’s since')
  const taken = { id, leased_until: 120 }
  await keepAnswer(db, taken, { ...answer, sealed: Buffer.from('first') })
  await keepAnswer(db, taken, answer)
  await releaseIdempotencyKey(db, taken)
  t.equal(await takeIdempotencyKey(db, taken, 180), false, 'it was done')
  await resealIdempotencyKey(db, row, answer)
  t.match(await findIdempotencyKey(db, id), { status: 201, sealed: Buffer.from('first') })
})

await forEachEngine(t, 'an act that takes long keeps its lease, and its answer', async (t, env) => {
  const server = await startServer(t, env)
  const { ctx } = server
  const request = { caller: 'client ops', key: 'k', content: 'x' }
  const again = () => doOnce(ctx, request, async () => ({ status: 500 }))
  const turns = async () => {
    for (let i = 0; i < 20; i++) await new Promise(resolve => setTimeout(resolve, 1))
  }
  const done = await doOnce(ctx, request, async () => {
    for (const seconds of [40, 40, 40]) {
      server.tick(seconds)
      await turns()
      await t.rejects(again(), { code: 'under_way' })
    }
    return { status: 201, text: 'made' }
  })
  t.match(done, { answer: { status: 201 }, isRepeated: false })
  t.match(await again(), { answer: { status: 201, text: 'made' }, isRepeated: true })
  const failing = { ...request, key: 'k-2' }
  const failed = doOnce(ctx, failing, async () => {
    server.tick(40)
    await turns()
    throw new Error('a fault')
  })
  await t.rejects(failed, { message: 'a fault' })
  t.match(await doOnce(ctx, failing, async () => ({ status: 200 })), { isRepeated: false })
})
