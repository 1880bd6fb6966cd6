import { inflateSync } from 'node:zlib'
import { decodeJwt } from 'jose'
import t, { type Test } from 'tap'
import { changeResource, deleteResource } from '../../db/clients/resources.ts'
import { disableClient, enableClient, raiseClientEpochs } from '../../db/clients/clients.ts'
import type { ResourceTable } from '../../db/schema.ts'
import { listPersonalTokens } from '../../db/sessions/personal-tokens.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { sweepSessions } from '../../db/sessions/sweeper.ts'
import {
  changePassword,
  changeUser,
  deleteUser,
  disableUser,
  enableUser,
  findUserById,
  raiseUserEpoch,
} from '../../db/users/users.ts'
import { systemClock } from '../../src/clock.ts'
import { tokensClientId } from '../../src/clients/tokens-client.ts'
import { tokenExchange } from '../../src/protocol/grant-types.ts'
import { openPersonalToken, sealPersonalToken } from '../../src/protocol/personal-token.ts'
import { openRefreshToken } from '../../src/protocol/refresh-token.ts'
import { formatUuid, hashSecret } from '../../src/protocol/secrets.ts'
import { judgePersonalToken, personalTokensMax } from '../../src/sessions/personal-tokens.ts'
import { adminClient } from '../helpers/admin-api.ts'
import { auditOf, mailsTo, verifiedMail, withMail } from '../helpers/account.ts'
import { commandLine } from '../helpers/cli.ts'
import { forEachEngine, type EngineEnv } from '../helpers/engines.ts'
import { makeToken, personalToken } from '../helpers/personal-tokens.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, startedAt, startServer, type TestServer } from '../helpers/server.ts'

const api = 'https://api.example'
const day = 86_400

async function world(t: Test, env: EngineEnv = {}, firstNow = startedAt) {
  const server = await startServer(t, env, firstNow)
  await server.resource(api, { personal_access_tokens: 1 })
  return {
    server,
    ada: await server.user('ada', 'boss'),
    gateway: await server.client('gateway', { introspects: api }),
    other: await server.client('other', { introspects: 'https://other.example' }),
  }
}

const findRow = async ({ ctx }: TestServer, id: Buffer) => {
  const row = await findUserById(ctx.db, id)
  if (!row) throw new Error('there is one')
  return row
}

t.test('a personal access token is told to its API as an access token is, and to nobody else', async t => {
  const { server, ada, gateway, other } = await world(t)
  const { text, sessionId } = await personalToken(server, ada, { amr: 'pwd otp mfa' })
  t.match(text, /^mm_pat_[\w-]{72}[0-9A-Za-z]{6}$/)
  const row = await findSession(server.ctx.db, sessionId)
  const opened = openPersonalToken(server.ctx.rootKeys.personalTokenKeyOf, text)
  if (opened.kind !== 'genuine') return t.fail(opened.kind)
  t.strictSame(row?.secret_hash, hashSecret(opened.token.secret), 'the database has its hash alone')
  const sid = formatUuid(sessionId)
  const told = {
    active: true,
    token_type: 'Bearer',
    username: 'ada',
    iss: 'https://as.example',
    sub: ada.sub,
    aud: api,
    exp: startedAt + 90 * day,
    iat: startedAt,
    jti: sid,
    client_id: tokensClientId,
    scope: 'read',
    sid,
    auth_time: startedAt,
    acr: 'mfa',
    amr: ['pwd', 'otp', 'mfa'],
    roles: ['boss'],
  }
  server.tick(100)
  t.strictSame(await server.introspect(gateway, text), told)
  t.strictSame(await server.introspect(await server.client('ops', { is_admin: 1 }), text), told)
  t.strictSame(await server.introspect(other, text), { active: false })
  const refused = server.log.filter(({ event }) => event === 'token_inactive')
  t.match(refused, [{ client_id: other.id, reason: /may not introspect/ }])

  const user = await findRow(server, ada.id)
  await changeUser(server.ctx.db, user, { roles: 'editor' })
  t.match(await server.introspect(gateway, text), { roles: ['editor'] }, 'what the user is now')
})

t.test('what is no such token is of no use, and costs no query where it is forged', async t => {
  const { server, ada, gateway } = await world(t)
  const { ctx } = server
  const { text } = await personalToken(server, ada)
  const { personalTokenKeyOf, macKeyOf, currentId: rootKeyId } = ctx.rootKeys
  const opened = openPersonalToken(personalTokenKeyOf, text)
  if (opened.kind !== 'genuine') return t.fail(opened.kind)
  const { token } = opened
  const forged = {
    'another character': `${text.slice(0, 30)}${text[30] === 'A' ? 'B' : 'A'}${text.slice(31)}`,
    'another checksum': `${text.slice(0, -1)}${text.endsWith('0') ? '1' : '0'}`,
    'another kind of MAC': sealPersonalToken(macKeyOf, token),
    'as a refresh token': text.replace('mm_pat_', 'mm_rt_'),
    'an unknown root key': sealPersonalToken(() => Buffer.alloc(32), { ...token, rootKeyId: 'ffffffff' }),
    'cut off': text.slice(0, -1),
    'two in one': text + text,
    empty: 'mm_pat_',
  }
  for (const [title, text] of Object.entries(forged))
    t.strictSame(await server.introspect(gateway, text), { active: false }, title)
  const { schema } = ctx.db.sql
  await schema.alterTable('sessions').renameTo('sessions_away').execute()
  for (const [title, text] of Object.entries(forged))
    t.strictSame(await server.introspect(gateway, text), { active: false }, `${title}, without a look`)
  const genuine = await server.post('/introspect', { token: text, ...gateway.form })
  t.equal(genuine.statusCode, 503, 'which a genuine one needs')
  await schema.alterTable('sessions_away').renameTo('sessions').execute()
  const wrongSecret = sealPersonalToken(personalTokenKeyOf, { ...token, secret: Buffer.alloc(16) })
  t.strictSame(await server.introspect(gateway, wrongSecret), { active: false }, 'another secret')
  t.ok(server.log.some(({ reason }) => reason === 'the session secret is wrong'))
  const unknown = sealPersonalToken(personalTokenKeyOf, {
    rootKeyId,
    id: ada.id,
    secret: token.secret,
  })
  t.strictSame(await server.introspect(gateway, unknown), { active: false }, 'an unknown session')

  t.equal(openRefreshToken(macKeyOf, text.replace('mm_pat_', 'mm_rt_')).kind, 'malformed')
  const bearer = { authorization: `Bearer ${text}` }
  t.equal((await server.request({ url: '/userinfo', headers: bearer })).statusCode, 401, '/userinfo')
  t.equal(
    (await server.request({ url: '/admin/v1/users', headers: bearer })).statusCode,
    401,
    'the admin API',
  )
  const revocation = { sub_id: { format: 'iss_sub', iss: 'https://as.example', sub: ada.sub } }
  const global = {
    method: 'POST',
    url: '/global-token-revocation',
    headers: bearer,
    payload: revocation,
  } as const
  t.equal((await server.request(global)).statusCode, 401, '/global-token-revocation')
  const public_ = await server.client('spa', { isPublic: true })
  for (const client of [public_, { form: { client_id: tokensClientId } }]) {
    const refresh = { grant_type: 'refresh_token', refresh_token: text, ...client.form }
    t.equal((await server.post('/token', refresh)).statusCode, 400, 'a refresh')
  }
  t.match(await server.introspect(gateway, text), { active: true }, 'and it goes on')
  t.notOk(JSON.stringify(server.log).includes(text), 'it is in no log')
})

await forEachEngine(t, 'it ends with all that ends sessions, at every instance at once', async (t, env) => {
  const { server, ada, gateway } = await world(t, env)
  const { ctx } = server
  const beside = await startServer(t, besideEnv(server))
  const { db } = ctx
  const id = ada.id
  const now = () => ctx.clock.now()
  const hash = await ctx.users.passwords.hash('correct horse battery')
  const ends: Readonly<Record<string, () => Promise<unknown>>> = {
    'the user is disabled': async () => {
      await disableUser(db, id, now())
      await enableUser(db, id)
    },
    'the password is changed': () => changePassword(db, id, hash, now()),
    'all sessions of the user end': () => raiseUserEpoch(db, id, { reason: 'admin', now: now() }),
    'all of its client end': () => raiseClientEpochs(db, tokensClientId, { reason: 'command', now: now() }),
    'all tokens are switched off': async () => {
      await disableClient(db, tokensClientId, now())
      await enableClient(db, tokensClientId)
    },
  }
  for (const [title, end] of Object.entries(ends)) {
    const { text } = await personalToken(server, ada)
    t.match(await beside.introspect(gateway, text), { active: true }, title)
    await end()
    for (const at of [server, beside])
      t.strictSame(await at.introspect(gateway, text), { active: false }, title)
  }
  const { text } = await personalToken(server, ada)
  const stale = await findRow(server, id)
  await deleteUser(db, id, now())
  t.strictSame(await beside.introspect(gateway, text), { active: false }, 'the user is deleted')
  t.equal(await makeToken(server, ada, { row: stale }), 'gone', 'and makes no more')
})

t.test('it ends with its time, and is swept with its name', async t => {
  const { server, ada, gateway } = await world(t)
  const { text } = await personalToken(server, ada, { seconds: 3600 })
  server.tick(3599)
  t.match(await server.introspect(gateway, text), { active: true })
  server.tick(1)
  t.strictSame(await server.introspect(gateway, text), { active: false })
  t.strictSame(await listPersonalTokens(server.ctx.db, ada.id, { now: server.ctx.clock.now() }), [])
  server.tick(8 * day)
  const limits = {
    rowsMax: 1000,
    deletedMax: 200,
    keepSeconds: 7 * day,
    restSeconds: 3600,
    clockSeconds: 10 * day,
  }
  const { db, clock } = server.ctx
  for (let step = 0; step < 5; step++) await sweepSessions(db, { now: clock.now(), ...limits })
  t.strictSame(await db.sql.selectFrom('personal_access_tokens').selectAll().execute(), [])
})

t.test('its scopes are checked anew each time, as is whether its API takes such tokens', async t => {
  const { server, ada, gateway } = await world(t)
  const { text } = await personalToken(server, ada, { scope: ['read', 'write'] })
  const told = async (settings: Partial<ResourceTable>) => {
    await changeResource(server.ctx.db, api, settings)
    await server.follow()
    const { active, scope } = await server.introspect(gateway, text)
    return active === true ? scope : active
  }
  t.equal(await told({ scope: 'write list' }), 'write', 'one is gone')
  t.equal(await told({ scope: 'list' }), false, 'all are gone')
  t.equal(await told({ scope: 'read write' }), 'read write')
  t.equal(await told({ personal_access_tokens: 0 }), false)
  t.equal(await told({ personal_access_tokens: 1 }), 'read write')

  const admin = { scope: ['admin:all', 'read'], amr: 'pwd otp mfa' }
  await told({ scope: 'read write admin:all' })
  const strong = await personalToken(server, ada, admin)
  t.equal((await server.introspect(gateway, strong.text))['scope'], 'admin:all read')
  const { sql } = server.ctx.db
  await sql.updateTable('sessions').set({ amr: 'pwd' }).where('id', '=', strong.sessionId).execute()
  const weak = await server.introspect(gateway, strong.text)
  t.equal(weak['scope'], 'read', 'none of administrators without a second factor')

  await deleteResource(server.ctx.db, api, { force: true })
  await server.follow()
  const ops = await server.client('ops', { is_admin: 1 })
  t.strictSame(await server.introspect(ops, text), { active: false }, 'its API is gone')
})

t.test('who has one can end it at /revoke, as any client or as none', async t => {
  const { server, ada, gateway, other } = await world(t)
  const ends = {
    'without a client': (token: string) => server.post('/revoke', { token }),
    'through a client': (token: string) => server.revoke(other, token),
  }
  for (const [title, end] of Object.entries(ends)) {
    const [one, two] = [await personalToken(server, ada), await personalToken(server, ada)]
    const response = await end(one.text)
    t.strictSame([response.statusCode, response.json()], [200, {}], title)
    t.equal((await end(one.text)).statusCode, 200, 'twice')
    t.strictSame(await server.introspect(gateway, one.text), { active: false }, title)
    t.match(await server.introspect(gateway, two.text), { active: true }, 'the other one goes on')
    const session = await findSession(server.ctx.db, one.sessionId)
    t.equal(session?.revoke_reason, 'client')
  }
  const { text } = await personalToken(server, ada)
  const none = await server.post('/revoke', { token: `${text}0` })
  t.strictSame([none.statusCode, none.json()], [200, {}], 'what is none is answered alike')
  const wrong = await server.post('/revoke', { token: text, client_id: gateway.id, client_secret: 'wrong' })
  t.equal(wrong.statusCode, 401, 'a client that is one proves it')
  const basic = { authorization: `Basic ${Buffer.from(`${gateway.id}:wrong`).toString('base64')}` }
  t.equal((await server.post('/revoke', { token: text }, basic)).statusCode, 401, 'in a header too')
  t.match(await server.introspect(gateway, text), { active: true })
  const { access_token, refresh_token } = await server.logIn(await server.client('web'), ada)
  for (const token of [access_token, refresh_token])
    t.equal((await server.post('/revoke', { token })).statusCode, 401, 'other tokens need their client')
})

t.test('the server of its API exchanges it for a token that ends with it (RFC 8693)', async t => {
  const { server, ada, gateway } = await world(t)
  await server.resource('https://orders.example')
  const exchanging = { grant_types: tokenExchange, scope: 'read write' }
  const shop = await server.client('shop', {
    ...exchanging,
    introspects: api,
    resources: `${api} https://orders.example`,
  })
  const thief = await server.client('thief', {
    ...exchanging,
    introspects: 'https://orders.example',
    resources: api,
  })
  const { text, sessionId } = await personalToken(server, ada, { seconds: 3600 })
  const exchange = (client: typeof shop, more: Record<string, string> = {}) =>
    server.post('/token', {
      grant_type: tokenExchange,
      subject_token: text,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      resource: api,
      ...more,
      ...client.form,
    })
  const answer = await exchange(shop)
  t.equal(answer.statusCode, 200, answer.body)
  const { access_token } = answer.json()
  const claims = decodeJwt(access_token)
  const sid = formatUuid(sessionId)
  t.equal(claims['scope'], 'read')
  t.match(claims, {
    aud: api,
    sub: ada.sub,
    sid,
    client_id: 'shop',
    act: { sub: 'shop' },
    acr: 'pwd',
  })
  t.type(claims['status'], 'object')
  t.equal((await exchange(shop, { resource: 'https://orders.example' })).json().scope, 'read')
  t.equal((await exchange(shop, { scope: 'write' })).json().error, 'invalid_scope', 'never wider')
  t.equal((await exchange(thief)).json().error, 'invalid_request', 'who does not serve its API')
  const eves = await personalToken(server, await server.user('eve'))
  const acting = { actor_token: eves.text, actor_token_type: 'urn:ietf:params:oauth:token-type:access_token' }
  t.equal((await exchange(shop, acting)).json().error, 'invalid_request', 'it does not act')
  server.tick(3500)
  const late = decodeJwt((await exchange(shop)).json().access_token)
  t.equal(late.exp, startedAt + 3600, 'no longer than itself')
  const last = (await exchange(shop)).json().access_token
  t.match(await server.introspect(gateway, last), { active: true })
  await server.post('/revoke', { token: text })
  t.strictSame(await server.introspect(gateway, last), { active: false }, 'it ends with it')
  t.equal((await exchange(shop)).json().error, 'invalid_request')
  t.equal(await isRevoked(server, last), true, 'as the status list tells')
})

/** What the status list that a token names says of it. */
async function isRevoked(server: TestServer, token: string): Promise<boolean> {
  await server.follow()
  const { status } = decodeJwt<{ status: { status_list: { uri: string; idx: number } } }>(token)
  const { uri, idx } = status.status_list
  const list = await server.request({ url: new URL(uri).pathname })
  const { status_list } = decodeJwt<{ status_list: { lst: string } }>(list.body)
  const bits = inflateSync(Buffer.from(status_list.lst, 'base64url'))
  return (((bits[idx >> 3] ?? 0) >> (idx & 7)) & 1) === 1
}

t.test('what cannot be made says why', t => {
  const wish = { name: 'nightly report', scope: ['read'], seconds: day }
  const resource = { scope: 'read write admin:all', personal_access_tokens: 1 }
  t.equal(judgePersonalToken(wish, resource, 'pwd'), undefined)
  for (const name of ['', '  ', 'a\nb', 'a\u0000', '\u2028', 'x'.repeat(101)])
    t.equal(judgePersonalToken({ ...wish, name }, resource, 'pwd'), 'name', encodeURIComponent(name))
  t.equal(judgePersonalToken(wish, undefined, 'pwd'), 'resource')
  t.equal(judgePersonalToken(wish, { ...resource, personal_access_tokens: 0 }, 'pwd'), 'resource')
  for (const scope of [[], ['openid'], ['read', 'delete']])
    t.equal(judgePersonalToken({ ...wish, scope }, resource, 'pwd'), 'scope', String(scope))
  t.equal(judgePersonalToken({ ...wish, scope: [] }, { ...resource, scope: '' }, 'pwd'), undefined)
  for (const scope of ['admin', 'admin:all', 'admin.users']) {
    const known = { ...resource, scope }
    for (const amr of ['', 'pwd'])
      t.equal(judgePersonalToken({ ...wish, scope: [scope] }, known, amr), 'second_factor', `${scope} ${amr}`)
    t.equal(judgePersonalToken({ ...wish, scope: [scope] }, known, 'pwd otp mfa'), undefined, scope)
  }
  t.equal(
    judgePersonalToken({ ...wish, scope: ['administer'] }, { ...resource, scope: 'administer' }, 'pwd'),
    undefined,
  )
  for (const [seconds, problem] of [
    [3599, 'end'],
    [3600, undefined],
    [365 * day, undefined],
    [365 * day + 1, 'end'],
    [NaN, 'end'],
    [7 * day + 0.5, 'end'],
  ] as const)
    t.equal(judgePersonalToken({ ...wish, seconds }, resource, 'pwd'), problem, String(seconds))
  t.end()
})

await forEachEngine(
  t,
  'a user has so many and no more, also of those that are made at once',
  async (t, env) => {
    const { server, ada } = await world(t, env)
    const { db, clock } = server.ctx
    const first = await personalToken(server, ada)
    const made = await Promise.all(
      Array.from({ length: personalTokensMax + 4 }, () => makeToken(server, ada)),
    )
    t.equal(made.filter(one => typeof one === 'object').length, personalTokensMax - 1)
    t.equal(made.filter(one => one === 'too_many').length, 5)
    await server.post('/revoke', { token: first.text })
    t.type(await makeToken(server, ada), 'object', 'one that was ended has left its place')
    t.equal(await makeToken(server, ada), 'too_many', 'and no other')
    await raiseUserEpoch(db, ada.id, { reason: 'admin', now: clock.now() })
    t.strictSame(await listPersonalTokens(db, ada.id, { now: clock.now() }), [], 'all have ended')
    t.type(await makeToken(server, ada), 'object', 'and left their places')
    const eve = await server.user('eve')
    const named = await Promise.all(Array.from({ length: 6 }, () => makeToken(server, eve, { name: 'ci' })))
    t.equal(named.filter(one => typeof one === 'object').length, 1, 'each user has its own, of one name one')
    t.equal(named.filter(one => one === 'name_taken').length, 5)
    await disableClient(db, tokensClientId, clock.now())
    t.equal(await makeToken(server, eve), 'off')
  },
)

t.test('that it is used is noted once an hour, together with others', async t => {
  const { server, ada, gateway } = await world(t)
  const { db, clock } = server.ctx
  const [one, two] = [await personalToken(server, ada), await personalToken(server, ada)]
  const lastUses = async () => {
    await runJob(server, 'noting when tokens were used')
    const tokens = await listPersonalTokens(db, ada.id, { now: clock.now() })
    return [one, two].map(({ sessionId }) => {
      const token = tokens.find(({ id }) => id.equals(sessionId))
      return token?.rotated_at === token?.started_at ? null : token?.rotated_at
    })
  }
  server.tick(5)
  t.strictSame(await lastUses(), [null, null])
  await server.introspect(gateway, one.text)
  await server.introspect(gateway, two.text.slice(0, -1))
  await server.introspect(await server.client('ops', { is_admin: 1 }), `${two.text}x`)
  const thief = await server.client('thief', { grant_types: tokenExchange, scope: 'read', resources: api })
  const refused = await server.post('/token', {
    grant_type: tokenExchange,
    subject_token: two.text,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    ...thief.form,
  })
  t.equal(refused.json().error, 'invalid_request')
  t.strictSame(await lastUses(), [startedAt + 5, null])
  server.tick(3599)
  await server.introspect(gateway, one.text)
  t.strictSame(await lastUses(), [startedAt + 5, null], 'not each use')
  server.tick(1)
  await Promise.all([one, one, two].map(({ text }) => server.introspect(gateway, text)))
  t.strictSame(await lastUses(), [startedAt + 3605, startedAt + 3605])
})

t.test('it is counted what those come to that are shown', async t => {
  const { server, ada, gateway, other } = await world(t)
  const { counts } = server.ctx
  const { text } = await personalToken(server, ada)
  const thief = await server.client('thief', { grant_types: tokenExchange, scope: 'read', resources: api })
  const shop = await server.client('shop', {
    grant_types: tokenExchange,
    scope: 'read',
    introspects: api,
    resources: api,
  })
  const exchange = (client: typeof shop) =>
    server.post('/token', {
      grant_type: tokenExchange,
      subject_token: text,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      ...client.form,
    })
  await server.introspect(gateway, 'no such token')
  for (const client of [gateway, other]) await server.introspect(client, text)
  for (const client of [shop, thief]) await exchange(client)
  await server.introspect(gateway, `${text}x`)
  await server.post('/revoke', { token: text })
  await server.introspect(gateway, text)
  await exchange(shop)
  const none = { made: 0, introspected: 1, exchanged: 1, refused: 2, unknown: 1, ended: 2 }
  t.strictSame(counts.personalTokens, none)
  const metric = server.metrics.find(({ name }) => name === 'mintmark_personal_access_tokens_total')
  if (metric?.kind !== 'counter') return t.fail('it is one')
  t.strictSame(
    [...metric.samples()].map(([labels, count]) => [labels['outcome'], count]).toSorted(),
    Object.entries(none).toSorted(),
  )
})

t.test('administrators list and end the tokens of a user, by HTTP and by command', async t => {
  // That of the commands.
  const { server, ada, gateway } = await world(t, withMail, systemClock().now())
  await verifiedMail(server, ada)
  const eve = await server.user('eve')
  const others = await personalToken(server, eve)
  const { call } = commandLine(t)
  const { ctx } = server
  const env = { ...besideEnv(server), MINTMARK_ISSUER: ctx.config.issuer, ...withMail }
  const create = [
    'token',
    'create',
    '--user',
    'ada',
    '--name',
    'nightly report',
    '--resource',
    api,
    '--scope',
    'read',
  ]
  const created = (await call([...create, '--expires-in', '7d', '--json'], { env })).json()
  t.match(created, { name: 'nightly report', resource: api, scope: ['read'], last_used_at: null, amr: [] })
  t.match(await server.introspect(gateway, created.token), { active: true, sub: ada.sub })
  t.notHas(await server.introspect(gateway, created.token), 'acr')
  t.strictSame(await mailsTo(server, ada), ['personal_access_token_created'])
  t.match((await auditOf(server, ada)).at(-1), {
    event: 'personal_access_token_created',
    actor: /^command /,
    detail: { resource: api, scope: ['read'], amr: '' },
  })

  const ask = await adminClient(server)
  const listed = (await ask('GET', `/users/${ada.sub}/personal-access-tokens`)).json()
  t.match(listed, { items: [{ id: created.id, name: 'nightly report', last_used_at: null }] })
  t.notOk(JSON.stringify(listed).includes('mm_pat_'))
  const list = await call('token list --user ada', { env })
  t.match(list.stdout, /nightly report.*https:\/\/api\.example.*never/)

  for (const refused of [
    `--user ada --name x --resource ${api} --scope no`,
    `--user ada --name x --resource https://no.example --scope read`,
    `--user nobody --name x --resource ${api} --scope read`,
    `--user ada --name x --resource ${api} --scope read --expires-in 1y`,
    `--user ada --name x --resource ${api} --scope read --expires-in 366d`,
  ]) {
    const { code, stdout } = await call(`token create ${refused}`, { env })
    t.ok(code !== 0 && stdout === '', refused)
  }
  t.equal((await call(`token revoke --user ada`, { env })).code, 2)
  const wrong = await call(`token revoke --user ada --id ${formatUuid(others.sessionId)}`, { env })
  t.match(wrong, { code: 1, stderr: /ada has no such token/ }, "another's")
  t.equal(
    (await ask('DELETE', `/users/${ada.sub}/personal-access-tokens/${formatUuid(others.sessionId)}`))
      .statusCode,
    404,
  )
  t.equal((await ask('DELETE', `/users/${ada.sub}/personal-access-tokens/${created.id}`)).statusCode, 204)
  t.strictSame(await server.introspect(gateway, created.token), { active: false })

  const [one, two, three] = [
    await personalToken(server, ada),
    await personalToken(server, ada),
    await personalToken(server, ada),
  ]
  t.equal((await call(`token revoke --user ada --id ${formatUuid(one.sessionId)}`, { env })).code, 0)
  t.strictSame(await server.introspect(gateway, one.text), { active: false })
  t.strictSame((await ask('POST', `/users/${ada.sub}/end-personal-access-tokens`)).json(), {
    tokens_revoked: 2,
  })
  for (const { text } of [two, three]) t.strictSame(await server.introspect(gateway, text), { active: false })
  t.match((await call('token revoke --user ada --all', { env })).stdout, /Ended 0 tokens/)
  t.match(await server.introspect(gateway, others.text), { active: true }, "another user's goes on")
  const reader = await adminClient(server, 'admin:sessions:read')
  t.equal((await reader('GET', `/users/${ada.sub}/personal-access-tokens`)).statusCode, 200)
  t.equal((await reader('POST', `/users/${ada.sub}/end-personal-access-tokens`)).statusCode, 403)
  const client = await ask('PATCH', `/clients/${tokensClientId}`, { client_name: 'mine' })
  t.match(client.json(), { detail: /sees to it itself/ })
})
