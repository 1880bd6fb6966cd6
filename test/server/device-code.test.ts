import t from 'tap'
import { disableClient, enableClient, findClient } from '../../db/clients/clients.ts'
import { raiseRevision } from '../../db/installation/installation.ts'
import {
  approveDeviceAuthorization,
  denyDeviceAuthorization,
  findDeviceAuthorization,
  insertDeviceAuthorization,
  notePoll,
  type NewDeviceAuthorization,
} from '../../db/grants/device-authorizations.ts'
import { findSession } from '../../db/sessions/sessions.ts'
import { disableUser, raiseUserEpoch } from '../../db/users/users.ts'
import { openDeviceCode, sealDeviceCode } from '../../src/protocol/device-code.ts'
import { newUuid } from '../../src/protocol/secrets.ts'
import { byCommand } from '../helpers/by-command.ts'
import { claimsOf } from '../helpers/codes.ts'
import { deviceGrant, devicesOf, deviceWorld, forDevices, type DeviceAnswer } from '../helpers/devices.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { proofClaims, proofHeader, signJwt, testKey } from '../helpers/proofs.ts'
import { runJob } from '../helpers/run-job.ts'
import { besideEnv, isOAuthError, startServer, type TestServer } from '../helpers/server.ts'

/** The parts of a device code, which its server alone can open. */
function partsOf({ ctx }: TestServer, { device_code }: DeviceAnswer) {
  const opened = openDeviceCode(ctx.rootKeys.deviceCodeKeyOf, device_code)
  if (opened.kind !== 'genuine') throw new Error('unreachable: the server has just made it')
  return opened.token
}

const rowOf = async (server: TestServer, asked: DeviceAnswer) =>
  findDeviceAuthorization(server.ctx.db, partsOf(server, asked).id)

const revokedOf = async (server: TestServer, asked: DeviceAnswer) =>
  (await findSession(server.ctx.db, partsOf(server, asked).id))?.revoke_reason

await forEachEngine(t, 'G-1 G-2 a device asks, waits, and starts one session', async (t, env) => {
  const { server, tv, ada, poll, confirm } = await deviceWorld(t, env)
  const response = await server.post('/device_authorization', { ...tv.form, scope: 'read', unknown: 'x' })
  t.match(response.headers, { 'cache-control': 'no-store', 'content-type': /^application\/json/ })
  const asked: DeviceAnswer = response.json()
  t.match(asked, { device_code: /^mm_dc_[\w-]{78}$/, expires_in: 600, interval: 5 })
  t.match(asked.user_code, /^[BCDFGHJKLMNPQRSTVWXZ]{3}(-[BCDFGHJKLMNPQRSTVWXZ]{3}){2}$/, 'G-3 no ambiguity')
  t.equal(asked.verification_uri, 'https://as.example/device')
  t.equal(asked.verification_uri_complete, `https://as.example/device?user_code=${asked.user_code}`)
  const stored = JSON.stringify(
    await server.ctx.db.sql.selectFrom('device_authorizations').selectAll().execute(),
  )
  for (const secret of [asked.device_code, asked.user_code, asked.user_code.replaceAll('-', '')])
    t.notOk(stored.includes(secret), 'neither code is stored')
  const { secret } = partsOf(server, asked)
  t.notOk(
    stored.includes(JSON.stringify(secret)) || stored.includes(secret.toString('hex')),
    'nor its secret',
  )

  isOAuthError(t, await poll(asked), 400, 'authorization_pending', 'nobody was asked')
  server.tick(100)
  await confirm(asked)
  isOAuthError(
    t,
    await poll(asked, await server.client('other', forDevices)),
    400,
    'invalid_grant',
    'another client',
  )
  const tokens = (await poll(asked)).json()
  t.match(tokens, { token_type: 'Bearer', scope: 'read', refresh_token: /^mm_rt_/ })
  t.match(claimsOf(tokens.access_token), {
    sub: ada.sub,
    aud: 'https://api.example',
    client_id: 'tv',
    scope: 'read',
    acr: 'pwd',
    roles: ['staff'],
  })
  t.match(await findSession(server.ctx.db, partsOf(server, asked).id), { scope: 'read', client_id: 'tv' })
  t.match(await server.refresh(tv, tokens.refresh_token), { scope: 'read' }, 'an ordinary session')

  server.tick(4)
  isOAuthError(t, await poll(asked), 400, 'invalid_grant', 'its own client, once more')
  t.equal(await revokedOf(server, asked), null, 'which may be a request that was sent twice')
  server.tick(600)
  isOAuthError(t, await poll(asked), 400, 'invalid_grant', 'after a while')
  t.equal(await revokedOf(server, asked), 'code used twice', 'which ends the session')

  const events = await server.ctx.db.sql.selectFrom('audit').select(['event', 'session_id']).execute()
  t.equal(events.filter(({ event }) => event === 'device_approved' || event === 'log_in').length, 2)
  t.equal(server.ctx.counts.devices.asked, 1)
  t.equal(server.ctx.counts.devices.approved, 1)
})

t.test('G-2 a device that asks too often is told to slow down, by five seconds each time', async t => {
  const { server, tv, ask, poll, enter } = await deviceWorld(t)
  const asked = await ask()
  const polls = async (after: number, code: string, title: string) => {
    server.tick(after)
    isOAuthError(t, await poll(asked), 400, code, title)
  }
  await polls(0, 'authorization_pending', 'the first one')
  await polls(3, 'slow_down', 'too soon: 10 seconds from now on')
  await polls(8, 'slow_down', 'too soon: 15')
  await polls(15, 'authorization_pending', 'in time')
  await polls(14, 'authorization_pending', 'a second early, as the one before may have been slow')
  server.setClock(server.ctx.clock.now() - 60)
  await polls(0, 'authorization_pending', 'the clock was set back')
  t.equal((await rowOf(server, asked))?.interval_seconds, 15)
  for (let i = 0; i < 200; i++) await poll(asked)
  t.equal(
    (await rowOf(server, asked))?.interval_seconds,
    600,
    'who asks without a pause costs no more writes',
  )
  await runJob(server, 'following the registry')

  t.equal((await enter(asked)).url.pathname, '/device/confirm')
  server.tick(660)
  isOAuthError(t, await poll(asked), 400, 'expired_token', 'too late')
  server.tick(3600)
  await runJob(server, 'forgetting devices that asked')
  t.equal(await rowOf(server, asked), undefined, 'swept')
  isOAuthError(t, await poll(asked), 400, 'expired_token', 'and still it is told what to do')
  const fresh = await ask()
  await runJob(server, 'forgetting devices that asked')
  isOAuthError(t, await poll(fresh), 400, 'authorization_pending', 'the others are not swept')
  t.equal(server.ctx.counts.ofGrant(tv.id, deviceGrant).refused.get('slow_down'), 202)
})

await forEachEngine(
  t,
  'one of many polls at the same moment, at several servers, starts the session',
  async (t, env) => {
    const { server, tv, ada, ask, confirm } = await deviceWorld(t, env)
    const other = await startServer(t, { ...env, ...besideEnv(server) })
    await other.follow()
    for (let round = 0; round < 3; round++) {
      const asked = await ask()
      await confirm(asked)
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, i) => devicesOf(i % 2 ? other : server, tv, ada).poll(asked)),
      )
      const [first, ...more] = answers.filter(({ statusCode }) => statusCode === 200)
      t.equal(more.length, 0, 'one answer has tokens')
      for (const { statusCode, body } of answers)
        if (statusCode !== 200) t.match(JSON.parse(body), { error: 'invalid_grant' })
      t.ok(await server.refresh(tv, first?.json().refresh_token), 'of a session that goes on')
    }
  },
)

t.test('what has changed since it was confirmed counts when the device asks', async t => {
  const { server, tv, ada, ask, poll, confirm } = await deviceWorld(t)
  const { db } = server.ctx
  const by = byCommand(server.ctx)
  const after = async (change: () => Promise<unknown>) => {
    const asked = await ask()
    await confirm(asked)
    await change()
    await server.follow()
    return { asked, response: await poll(asked) }
  }
  const update = async (columns: object) => {
    await db.sql.updateTable('clients').set(columns).where('id', '=', 'tv').execute()
    await raiseRevision(db.sql)
  }
  const late = await after(async () => server.tick(600))
  isOAuthError(t, late.response, 400, 'expired_token', 'a device that asks only after its time')
  t.equal(await findSession(db, partsOf(server, late.asked).id), undefined)
  const raised = await after(() =>
    raiseUserEpoch(by.db, ada.id, { now: server.ctx.clock.now(), reason: 'admin' }),
  )
  isOAuthError(t, raised.response, 400, 'invalid_grant', 'the epoch of the user')
  t.equal(await findSession(db, partsOf(server, raised.asked).id), undefined, 'invariant 11')

  const toggled = await after(async () => {
    await disableClient(by.db, 'tv', server.ctx.clock.now())
    await enableClient(by.db, 'tv')
  })
  isOAuthError(t, toggled.response, 400, 'invalid_grant', 'the epoch of the client')
  const without = await after(() => update({ grant_types: 'refresh_token' }))
  isOAuthError(t, without.response, 400, 'unauthorized_client', 'the grant was taken away')
  await update({ grant_types: `${deviceGrant} refresh_token` })
  await server.follow()
  const less = await after(() => update({ scope: 'read' }))
  t.equal(less.response.json().scope, 'read', 'a scope that was taken away')
  const gone = await after(() => update({ created_at: 1 }))
  isOAuthError(t, gone.response, 400, 'invalid_grant', 'a later client of the same id')
  await server.follow()
  const disabled = await after(() => disableUser(by.db, ada.id, server.ctx.clock.now()))
  isOAuthError(t, disabled.response, 400, 'invalid_grant', 'the user is disabled')
  await disableClient(by.db, 'tv', server.ctx.clock.now())
  await server.follow()
  isOAuthError(t, await poll(disabled.asked), 401, 'invalid_client', 'the client is disabled')
  isOAuthError(
    t,
    await server.post('/device_authorization', tv.form),
    401,
    'invalid_client',
    'so is its asking',
  )
})

t.test('G-1 what is refused before a code is made', async t => {
  const { server, tv } = await deviceWorld(t)
  const secret = await server.client('box', { ...forDevices, isPublic: false })
  const other = await server.client('web', { isPublic: true })
  const admin = await server.client('console', { ...forDevices, scope: 'read admin:read', resources: '' })
  const post = (form: Record<string, string>, headers = {}) =>
    server.post('/device_authorization', form, headers)
  const refused = async (title: string, code: string, form: Record<string, string>, status = 400) =>
    isOAuthError(t, await post(form), status, code, title)
  await refused('no client', 'invalid_client', {}, 401)
  await refused('an unknown one', 'invalid_client', { client_id: 'none' }, 401)
  await refused('without its secret', 'invalid_client', { client_id: 'box' }, 401)
  await refused('without the grant', 'unauthorized_client', other.form)
  await refused('a scope that it has not', 'invalid_scope', { ...tv.form, scope: 'read delete' })
  await refused('a resource that it has not', 'invalid_target', { ...tv.form, resource: 'https://x.example' })
  await refused('too much', 'invalid_request', { ...tv.form, acr_values: 'a'.repeat(5000) })
  await refused('what PostgreSQL cannot keep', 'invalid_request', { ...tv.form, acr_values: 'a\0b' })
  await refused('no thumbprint', 'invalid_request', { ...tv.form, dpop_jkt: 'x' })
  await refused('administering', 'invalid_scope', { ...admin.form, scope: 'admin:read' })
  isOAuthError(
    t,
    await server.request({
      method: 'POST',
      url: '/device_authorization',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: 'client_id=tv&scope=read&scope=write',
    }),
    400,
    'invalid_request',
    'P-3 a parameter twice',
  )
  isOAuthError(t, await server.request({ url: '/device_authorization' }), 405, 'invalid_request', 'a GET')
  isOAuthError(
    t,
    await server.request({ method: 'POST', url: '/token?device_code=x', payload: '' }),
    400,
    'invalid_request',
    'H-14 a device code in a URL',
  )
  t.equal((await server.ctx.db.sql.selectFrom('device_authorizations').select('id').execute()).length, 0)

  t.equal((await post({ scope: '' }, secret.headers)).statusCode, 200, 'P-1 an empty scope is none')
  t.equal((await post(admin.form)).statusCode, 200)
  const rows = await server.ctx.db.sql
    .selectFrom('device_authorizations')
    .select(['client_id', 'scope', 'source'])
    .execute()
  t.strictSame(
    rows.find(row => row.client_id === 'console')?.scope,
    'read',
    'left out where it was not named',
  )
  t.strictSame(
    rows.find(row => row.client_id === 'box'),
    { client_id: 'box', scope: 'read write', source: null },
  )
})

t.test('device codes that were not made here, or are of somebody else', async t => {
  const { server, tv, ask, poll, confirm } = await deviceWorld(t)
  const asked = await ask()
  const { deviceCodeKeyOf, currentId } = server.ctx.rootKeys
  const parts = partsOf(server, asked)
  const refused = async (title: string, device_code: string, cause: RegExp) => {
    isOAuthError(t, await poll({ device_code }), 400, 'invalid_grant', title)
    t.match(JSON.stringify(server.log.slice(-2)), cause, `${title}: the log says why`)
  }
  await refused('something else', 'garbage', /it is malformed/)
  await refused('cut', asked.device_code.slice(0, -1), /it is malformed/)
  await refused(
    'of another server',
    sealDeviceCode(() => Buffer.alloc(32), parts),
    /it is forged/,
  )
  await refused(
    'under a root key that nobody has',
    sealDeviceCode(() => Buffer.alloc(32), { ...parts, rootKeyId: 'ffffffff' }),
    /it is unknown root key/,
  )
  const resealed = sealDeviceCode(deviceCodeKeyOf, {
    ...parts,
    rootKeyId: currentId,
    secret: Buffer.alloc(16),
  })
  await refused('with another secret', resealed, /its secret is wrong/)
  isOAuthError(
    t,
    await server.post('/token', { grant_type: deviceGrant, ...tv.form }),
    400,
    'invalid_request',
    'none at all',
  )

  await confirm(asked)
  const approval = (await rowOf(server, asked))?.approval ?? ''
  t.match(approval, /^mm_da_/)
  const web = await server.client('web', {
    isPublic: true,
    grant_types: 'authorization_code',
    redirect_uris: 'https://web.example/',
  })
  for (const client of [tv, web]) {
    const form = { grant_type: 'authorization_code', code: approval, ...client.form }
    t.equal((await server.post('/token', form)).statusCode, 400, 'what is stored is no authorization code')
  }
  const another = await ask()
  await confirm(another)
  await server.ctx.db.sql.updateTable('device_authorizations').set({ approval }).execute()
  await refused('with the approval of another device', another.device_code, /of another device/)

  t.equal((await poll(asked)).statusCode, 200)
  const thief = await server.client('thief', forDevices)
  isOAuthError(t, await poll(asked, thief), 400, 'invalid_grant', 'a used one, by another client')
  t.equal(await revokedOf(server, asked), 'code used twice', 'which ends the session at once')
})

t.test('a device code that is bound to a DPoP key is of no use without it (RFC 9449)', async t => {
  const { server, tv, poll, confirm } = await deviceWorld(t)
  const [own, other] = [await testKey(), await testKey()]
  const bare = await server.post('/device_authorization', tv.form, { dpop: 'x' })
  const nonce = String(bare.headers['dpop-nonce'])
  const proof = async (key: typeof own, path: string) => {
    const claims = proofClaims(server.ctx.clock.now(), { htu: `https://as.example${path}`, nonce })
    return { dpop: await signJwt(key, proofHeader(key), claims) }
  }
  const response = await server.post(
    '/device_authorization',
    tv.form,
    await proof(own, '/device_authorization'),
  )
  const asked: DeviceAnswer = response.json()
  isOAuthError(t, await poll(asked), 400, 'invalid_grant', 'no key')
  isOAuthError(t, await poll(asked, tv, await proof(other, '/token')), 400, 'invalid_grant', 'another one')
  isOAuthError(t, await poll(asked, tv, await proof(own, '/token')), 400, 'authorization_pending', 'its own')
  await confirm(asked)
  isOAuthError(
    t,
    await poll(asked, tv, await proof(other, '/token')),
    400,
    'invalid_grant',
    'still another one',
  )
  const tokens = (await poll(asked, tv, await proof(own, '/token'))).json()
  t.equal(tokens.token_type, 'DPoP')
  t.strictSame(claimsOf(tokens.access_token)['cnf'], { jkt: own.jkt })
})

t.test('openid gives an ID token, and a level that was asked for is reached', async t => {
  const { ada, ask, poll, confirm, enter } = await deviceWorld(t)
  const asked = await ask({ scope: 'openid read' })
  await confirm(asked)
  const tokens = (await poll(asked)).json()
  t.match(claimsOf(tokens.id_token), { sub: ada.sub, aud: 'tv', acr: 'pwd' })
  const higher = await ask({ scope: 'openid', acr_values: 'mfa' })
  t.equal((await enter(higher)).url.pathname, '/account/second-factor', 'one more factor is set up first')
})

function newRow(server: TestServer, changes: Partial<NewDeviceAuthorization> = {}): NewDeviceAuthorization {
  const now = server.ctx.clock.now()
  const id = newUuid(now)
  return {
    id,
    client_id: 'tv',
    client_made_at: now,
    secret_hash: Buffer.alloc(32),
    user_code_hash: id,
    scope: '',
    resource: null,
    authorization_details: null,
    acr_values: '',
    dpop_jkt: null,
    address: '192.0.2.1',
    source: '192.0.2.1',
    created_at: now,
    expires_at: now + 600,
    interval_seconds: 5,
    ...changes,
  }
}

await forEachEngine(t, 'each verb changes a row once, and so many rows there may be', async (t, env) => {
  const server = await startServer(t, env)
  const { db, clock } = server.ctx
  const bounds = { ofClientMax: 3, ofSourceMax: 2 }
  const insert = (changes: Partial<NewDeviceAuthorization> = {}) =>
    insertDeviceAuthorization(db, newRow(server, changes), bounds)
  const first = newRow(server)
  t.equal(await insertDeviceAuthorization(db, first, bounds), 'inserted')
  t.equal(await insert({ user_code_hash: first.user_code_hash }), 'taken')
  t.equal(await insert(), 'inserted')
  t.equal(await insert(), 'full', 'of one source')
  t.equal(await insert({ source: '192.0.2.2' }), 'inserted')
  t.equal(await insert({ source: null }), 'full', 'of one client')
  t.equal(
    await insert({ source: null, client_id: 'box' }),
    'inserted',
    'another client, whose source is not told',
  )

  const poll = { id: first.id, now: clock.now(), earlySeconds: 1, slowerSeconds: 5, intervalMax: 600 }
  const polls = await Promise.all([notePoll(db, poll), notePoll(db, poll), notePoll(db, poll)])
  t.equal(polls.filter(Boolean).length, 1, 'of polls at the same moment one is in time')
  t.equal((await findDeviceAuthorization(db, first.id))?.interval_seconds, 15)

  const writer = byCommand(server.ctx).db
  const deny = () => denyDeviceAuthorization(writer, { id: first.id, now: clock.now() })
  await server.client('tv', forDevices)
  const client = await findClient(db, 'tv')
  if (!client) throw new Error('unreachable: it was just made')
  const approve = async (username: string, { id = first.id, epoch = 0 } = {}) => {
    const now = clock.now()
    const user = { ...(await server.user(username)), epoch }
    const consent = { id: newUuid(now), user, client, resource: null, scope: ['read'], now }
    const seal = (consentId: Buffer | null) => `mm_da_${consentId?.toString('hex')}`
    return approveDeviceAuthorization(writer, { id, now, consent, seal })
  }
  const consents = () => db.sql.selectFrom('consents').select('id').execute()
  t.equal(await approve('old', { epoch: 1 }), undefined, 'by one who was logged out since')
  t.strictSame([await deny(), await deny()], [true, false], 'it is denied once')
  t.equal(await approve('afterwards'), false)
  t.strictSame(await consents(), [], 'and nothing is remembered of what did not count')
  const second = newRow(server, { source: null, client_id: 'box' })
  await insertDeviceAuthorization(db, second, bounds)
  const decided = await Promise.all(['ada', 'eve', 'max'].map(name => approve(name, second)))
  t.strictSame(decided.sort(), [false, false, true], 'it is approved once')
  const [remembered, ...others] = await consents()
  t.strictSame(others, [], 'and what that one has allowed is remembered')
  const { approval } = (await findDeviceAuthorization(db, second.id)) ?? {}
  t.equal(approval, `mm_da_${remembered?.id.toString('hex')}`, 'with the id that was sealed')
  server.tick(600)
  t.equal(await insert(), 'inserted', 'those that have expired do not count')
  const late = newRow(server, { expires_at: clock.now() })
  await insertDeviceAuthorization(db, late, { ofClientMax: 100, ofSourceMax: 100 })
  t.equal(await approve('late', late), false, 'too late')
})

t.test('who asks for a million codes gets a hundred, and is told when to come back', async t => {
  const { server, tv } = await deviceWorld(t)
  const ask = (remoteAddress: string) =>
    server.request({
      method: 'POST',
      url: '/device_authorization',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams(tv.form).toString(),
      remoteAddress,
    })
  for (let i = 0; i < 100; i++) t.equal((await ask('198.51.100.1')).statusCode, 200)
  isOAuthError(t, await ask('198.51.100.1'), 429, 'temporarily_unavailable', 'one more')
  t.equal((await ask('198.51.100.2')).statusCode, 200, 'others may')
  t.equal(server.ctx.counts.devices.withheld, 1)
})

t.test('metadata names the endpoint and the grant (RFC 8628 §4)', async t => {
  const server = await startServer(t)
  const metadata = (await server.request({ url: '/.well-known/oauth-authorization-server' })).json()
  t.equal(metadata.device_authorization_endpoint, 'https://as.example/device_authorization')
  t.ok(metadata.grant_types_supported.includes(deviceGrant))
})
