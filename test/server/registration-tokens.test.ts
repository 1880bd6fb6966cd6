import t from 'tap'
import { insertRegistrationToken, listRegistrationTokens } from '../../db/clients/registrations.ts'
import { systemClock } from '../../src/clock.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { besideEnv, startedAt, startServer, type TestServer } from '../helpers/server.ts'

const path = '/registration-tokens'
const day = 86_400
const registration = { MINTMARK_CLIENT_REGISTRATION: 'token' }

/** What happened to tokens, the newest last. */
async function trail({ ctx }: TestServer) {
  const rows = await ctx.db.sql
    .selectFrom('audit')
    .select(['event', 'actor', 'detail'])
    .where('event', 'like', 'registration_token_%')
    .orderBy('id')
    .execute()
  return rows.map(({ detail, ...row }) => ({ ...row, detail: JSON.parse(detail ?? '{}') }))
}

function register(server: TestServer, token: string) {
  return server.request({
    method: 'POST',
    url: '/register',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    payload: JSON.stringify({ redirect_uris: ['https://agent.example/callback'] }),
  })
}

t.test('registration tokens are made, shown once, listed and ended by HTTP', async t => {
  const server = await startServer(t, registration)
  const ask = await adminClient(server, 'admin:clients')
  const created = await ask('POST', path, { name: 'Notes team', clients_max: 2, life_seconds: 3600 })
  t.equal(created.statusCode, 201, created.body)
  const { token, ...shown } = created.json()
  const time = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000', '')
  t.match(shown, {
    name: 'Notes team',
    clients_max: 2,
    clients_made: 0,
    created_at: time(startedAt),
    expires_at: time(startedAt + 3600),
  })
  t.strictSame((await ask('GET', path)).json(), { items: [shown] }, 'without the token')
  const rows = JSON.stringify(await server.ctx.db.sql.selectFrom('registration_tokens').selectAll().execute())
  t.notOk(rows.includes(token), 'nothing of it is stored')
  t.equal((await register(server, token)).statusCode, 201)
  t.match((await ask('GET', path)).json(), { items: [{ clients_made: 1 }] })

  const usual = (await ask('POST', path, {})).json()
  t.match(usual, { name: null, clients_max: 10, expires_at: time(startedAt + 7 * day) })
  for (const [title, body] of Object.entries({
    'no client': { clients_max: 0 },
    'very many': { clients_max: 1001 },
    'half a client': { clients_max: 1.5 },
    'no time': { life_seconds: 59 },
    years: { life_seconds: 366 * day },
    'an unknown member': { clients: 1 },
    'a long name': { name: 'x'.repeat(101) },
    'a name on two lines': { name: 'a\nb' },
    'an empty name': { name: '' },
  }))
    t.equal((await ask('POST', path, body)).statusCode, 400, title)
  t.equal((await ask('GET', path)).json().items.length, 2, 'none of which is made')

  t.equal((await ask('DELETE', `${path}/${shown.id}`)).statusCode, 204)
  t.equal((await ask('DELETE', `${path}/${shown.id}`)).statusCode, 404)
  t.equal((await ask('DELETE', `${path}/x`)).statusCode, 400)
  t.equal((await register(server, token)).statusCode, 401)
  t.equal((await ask('GET', path)).json().items.length, 1)
  t.match(await trail(server), [
    {
      event: 'registration_token_created',
      actor: /^client ops-/,
      detail: { registration_token: shown.id, clients_max: 2, expires_at: startedAt + 3600 },
    },
    { event: 'registration_token_created', detail: { registration_token: usual.id } },
    { event: 'registration_token_deleted', detail: { registration_token: shown.id } },
  ])
  t.notOk(JSON.stringify(await trail(server)).includes(token))
  t.notOk(JSON.stringify(server.log).includes(token))

  const reader = await adminClient(server, 'admin:clients:read')
  t.equal((await reader('GET', path)).statusCode, 200)
  t.equal((await reader('POST', path, {})).statusCode, 403)
  t.equal((await reader('DELETE', `${path}/${usual.id}`)).statusCode, 403)
  const other = await adminClient(server, 'admin:users admin:sessions')
  t.equal((await other('GET', path)).statusCode, 403)
})

t.test('registration tokens by command', async t => {
  const server = await startServer(t, registration, systemClock().now())
  const { call } = commandLine(t)
  const { issuer } = server.ctx.config
  const env = { ...besideEnv(server), ...registration, MINTMARK_ISSUER: issuer }
  const command = (args: string | readonly string[], more: Record<string, string> = {}) =>
    call(['client', 'registration-token', ...(typeof args === 'string' ? args.split(' ') : args)], {
      env: { ...env, ...more },
    })
  t.match((await command('list')).stdout, /There is no registration token/)
  const created = await command(['create', '--name', 'Notes team', '--clients', '1', '--ttl', '1h', '--json'])
  t.strictSame([created.code, created.stderr], [0, ''])
  const { id, token } = created.json()
  t.match(created.json(), { name: 'Notes team', clients_max: 1, clients_made: 0 })
  t.match((await command('create')).stdout, /token +\S{40,}[^]*It is shown here alone/)
  const off = await command('create', { MINTMARK_CLIENT_REGISTRATION: 'off' })
  t.match(off, { code: 0, stderr: /where MINTMARK_CLIENT_REGISTRATION is token, which here it is not/ })

  t.equal((await register(server, token)).statusCode, 201)
  t.equal((await register(server, token)).statusCode, 401, 'it has made its one')
  const list = await command('list')
  t.match(list.stdout, new RegExp(`${id} +Notes team +1 of 1 +`))
  t.notOk(list.stdout.includes(token))
  for (const refused of [
    'create --clients 0',
    'create --clients 1001',
    'create --ttl 59s',
    'create --ttl 366d',
  ])
    t.equal((await command(refused)).code, 2, refused)
  t.match(await command(['create', '--name', 'a\nb']), { code: 1, stderr: /characters that can be seen/ })
  t.match(await command('delete x'), {
    code: 1,
    stderr: /no registration token x[^]*registration-token list/,
  })
  t.match(await command(`delete ${id}`), { code: 0, stdout: `Deleted the registration token ${id}.\n` })
  t.equal((await command(`delete ${id}`)).code, 1)
  t.equal((await listRegistrationTokens(server.ctx.db)).length, 2)
})

await forEachEngine(t, 'there are so many registration tokens and no more, also at once', async (t, env) => {
  const { ctx } = await startServer(t, env)
  const token = (created_at: number, expires_at: number) => ({
    ...{ id: newUuid(created_at), name: null, clients_max: 1, clients_made: 0 },
    ...{ created_at, expires_at },
  })
  const now = ctx.clock.now()
  const made = await Promise.all(
    Array.from({ length: 6 }, () => insertRegistrationToken(ctx.db, token(now, now + 10), 3)),
  )
  t.equal(made.filter(Boolean).length, 3)
  t.equal(await insertRegistrationToken(ctx.db, token(now + 9, now + 99), 3), false)
  t.equal(
    await insertRegistrationToken(ctx.db, token(now + 10, now + 99), 3),
    true,
    'those of before are over',
  )
  t.equal((await listRegistrationTokens(ctx.db)).length, 1)
})
