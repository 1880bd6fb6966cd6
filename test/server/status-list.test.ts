import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, inflateSync } from 'node:zlib'
import { getListFromStatusListJWT } from '@sd-jwt/jwt-status-list'
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import type { Database } from '../../db/database.ts'
import { openStatusPositions, type NextStatusPosition } from '../../src/endings/status-positions.ts'
import { revokeKey } from '../../src/keys/ring/emergency.ts'
import {
  newStatusList,
  positionsOf,
  setStatus,
  statusAt,
  statusListSize,
  type StatusBits,
} from '../../src/protocol/status-list.ts'
import { byCommand } from '../helpers/by-command.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { besideEnv, isOAuthError, startServer, type TestServer } from '../helpers/server.ts'

interface Vector {
  readonly bits: StatusBits
  readonly size: number
  readonly entries: readonly (readonly [index: number, status: number])[]
  readonly lst: string
}

const vectors: readonly Vector[] = JSON.parse(
  readFileSync(join(import.meta.dirname, '../data/status-list-vectors.json'), 'utf8'),
)

t.test("TS-2 TS-8 the draft's vectors are packed and unpacked as it says", async t => {
  t.equal(vectors.length, 6)
  for (const { bits, size, entries, lst } of vectors) {
    const packed = newStatusList(size, bits)
    for (const [index, status] of entries) setStatus(packed, index, status, bits)
    const expected = new Uint8Array(inflateSync(Buffer.from(lst, 'base64url')))
    t.strictSame(Buffer.compare(packed, expected), 0, `${size} entries of ${bits} bits`)
    const read = entries.map(([index]) => [index, statusAt(expected, index, bits)])
    t.strictSame(read, entries)
    t.equal(statusAt(expected, 1, bits), new Map(entries).get(1) ?? 0)
    t.equal(statusAt(expected, Math.ceil(size / 8) * 8, bits), undefined, 'nothing is said beyond the end')
  }
})

t.test('an entry is overwritten as a whole, and its neighbours are left alone', async t => {
  for (const bits of [1, 2, 4, 8] as const) {
    const list = newStatusList(16, bits).fill(0xff)
    setStatus(list, 5, 0, bits)
    const statuses = Array.from({ length: 16 }, (_, i) => statusAt(list, i, bits))
    t.strictSame(
      statuses,
      statuses.map((_, i) => (i === 5 ? 0 : 2 ** bits - 1)),
    )
  }
})

t.test('positions are permuted within their list: none twice, and no order shows', async t => {
  const positionOf = positionsOf(Buffer.alloc(16, 7))
  for (const list of [0, 3]) {
    const count = 2 ** 14
    const positions = Array.from({ length: count }, (_, i) => positionOf(list * statusListSize + i))
    t.ok(
      positions.every(position => Math.floor(position / statusListSize) === list),
      'all stay in their list',
    )
    t.equal(new Set(positions).size, count, 'none comes twice')
    const rising = positions.filter((position, i) => position > (positions[i - 1] ?? 0)).length
    t.ok(Math.abs(rising / count - 0.5) < 0.05, 'the next one is as often before as behind')
  }
  t.not(positionOf(1), positionsOf(Buffer.alloc(16, 8))(1), 'another key, another order')
  t.not(positionOf(1), positionOf(statusListSize + 1) % statusListSize, 'each list has its own')
  t.strictSame([0, 1, 2 ** 20].map(positionOf), [644595, 392603, 1259396], 'and they stay as they are')
})

/** A server with a client and a user who has logged in through it. */
async function world(t: Test, env: Record<string, string> = {}) {
  const server = await startServer(t, env)
  await server.resource('https://api.example')
  const client = await server.client('web', { resources: 'https://api.example' })
  const user = await server.user()
  const logIn = async () => (await server.logIn(client, user)).access_token
  return { server, client, user, logIn }
}

interface Reference {
  readonly idx: number
  readonly uri: string
}

function referenceOf(token: string): Reference {
  const { status } = decodeJwt<{ status?: { status_list: Reference } }>(token)
  if (!status) throw new Error('the token has no status')
  return status.status_list
}

/** What a resource server does: fetch, verify, unpack. */
async function statusOf(server: TestServer, token: string): Promise<number> {
  const { idx, uri } = referenceOf(token)
  const response = await server.request({ url: new URL(uri).pathname })
  const jwks = (await server.request({ url: '/.well-known/jwks.json' })).json()
  await jwtVerify(response.body, createLocalJWKSet(jwks), {
    typ: 'statuslist+jwt',
    issuer: 'https://as.example',
    subject: uri,
    currentDate: new Date(server.ctx.clock.now() * 1000),
  })
  return getListFromStatusListJWT(response.body).getStatus(idx)
}

t.test('a failover that has lost what was leased gives no position to two sessions', async t => {
  const { db } = (await startServer(t)).ctx
  let timeline = 1
  const database: Database = { ...db, timeline: () => timeline }
  const first = await db.sql.selectFrom('status_positions').select('next').executeTakeFirstOrThrow()
  const servers = [openStatusPositions(database), openStatusPositions(database)]
  const logIns = async (count: number, next: NextStatusPosition) => {
    const given: number[] = []
    for (let i = 0; i < count; i++) given.push(await next(2_000_000_000))
    return given
  }
  const before = await Promise.all(servers.map(next => logIns(300, next)))
  timeline = 2
  await db.sql.updateTable('status_positions').set(first).execute()
  const ofNewServer = await logIns(600, openStatusPositions(database))
  const after = await Promise.all(servers.map(next => logIns(300, next)))
  t.equal(new Set([...ofNewServer, ...after.flat()]).size, 1200)
  t.equal(new Set([...before.flat(), ...after.flat()]).size, 1200)
})

t.test("TS-1 a token says where its session's status is listed", async t => {
  const { server, client, user } = await world(t)
  await server.resource('https://offline.example', { has_status: 0 })
  const first = await server.logIn(client, user)
  const { idx, uri } = referenceOf(first.access_token)
  t.equal(uri, 'https://as.example/status-lists/0')
  t.ok(Number.isInteger(idx) && idx >= 0 && idx < statusListSize)
  const refreshed = await server.refresh(client, first.refresh_token)
  t.strictSame(referenceOf(refreshed.access_token), { idx, uri }, 'as all tokens of the session do')
  const others = await Promise.all(Array.from({ length: 5 }, () => server.logIn(client, user)))
  const indexes = [idx, ...others.map(({ access_token }) => referenceOf(access_token).idx)]
  t.equal(new Set(indexes).size, 6, 'each session has a place of its own')
  t.notSame(
    indexes,
    indexes.toSorted((a, b) => a - b),
    'and the places show no order',
  )

  const machine = await server.post('/token', { grant_type: 'client_credentials', ...client.form })
  t.match(referenceOf(machine.json().access_token), { uri }, 'a machine session too')
  const silent = await server.client('silent', { resources: 'https://offline.example' })
  const { access_token } = await server.logIn(silent, user)
  t.notOk('status' in decodeJwt(access_token), 'unless the resource does not want to know')
})

t.test('a list that was signed by a key that is revoked is signed anew, and sessions live on', async t => {
  const { server, logIn } = await world(t)
  const token = await logIn()
  t.equal(await statusOf(server, token), 0)
  const before = await server.request({ url: '/status-lists/0' })
  const { kid: leaked = '' } = decodeProtectedHeader(before.body)
  const { rootKeys } = server.ctx
  t.ok(await revokeKey({ by: byCommand(server.ctx), rootKeys, reason: 'leaked' }, leaked))
  await server.follow()

  const after = await server.request({ url: '/status-lists/0' })
  const { keys } = (await server.request({ url: '/.well-known/jwks.json' })).json<{
    keys: { kid: string }[]
  }>()
  const published = keys.map(({ kid }) => kid)
  t.notOk(published.includes(leaked))
  t.ok(published.includes(decodeProtectedHeader(after.body).kid ?? ''), 'by a key that is in the JWKS')
  t.not(after.headers.etag, before.headers.etag)
  const asked = { 'if-none-match': String(before.headers.etag) }
  const revalidated = await server.request({ url: '/status-lists/0', headers: asked })
  t.equal(revalidated.statusCode, 200, 'whoever has the old one gets the new one')
  t.equal(await statusOf(server, token), 0, 'the session is not revoked with the key')
})

t.test('TS-3 TS-5 a list is signed, has a time to live, and is cached as long as it is good', async t => {
  const { server, client, logIn } = await world(t)
  const [revoked, kept] = [await logIn(), await logIn()]
  t.equal(await statusOf(server, revoked), 0)

  const response = await server.request({ url: '/status-lists/0' })
  t.match(response.headers, {
    'content-type': 'application/statuslist+jwt',
    'cache-control': 'public, max-age=30',
    'access-control-allow-origin': '*',
    etag: /^"[\w-]{43}"$/,
    vary: 'accept-encoding',
  })
  t.notOk('pragma' in response.headers)
  const now = server.ctx.clock.now()
  const { status_list, ...claims } = decodeJwt<{ status_list: { bits: number; lst: string } }>(response.body)
  t.strictSame(claims, {
    iss: 'https://as.example',
    sub: 'https://as.example/status-lists/0',
    iat: now,
    // After every access token that there is.
    exp: now + 300 + 30,
    ttl: 30,
  })
  t.match(status_list, { bits: 1, aggregation_uri: 'https://as.example/status-lists' })
  t.equal(inflateSync(Buffer.from(status_list.lst, 'base64url')).length, statusListSize / 8)

  t.equal((await server.revoke(client, revoked)).statusCode, 200)
  server.tick(29)
  const last = await server.request({ url: '/status-lists/0' })
  t.equal(last.body, response.body, 'until half of the promised delay is over')
  t.equal(last.headers['cache-control'], 'public, max-age=1', 'may be kept for what is left of it')
  server.tick(1)
  t.equal(await statusOf(server, revoked), 1, 'then there is another one, which tells')
  t.equal(await statusOf(server, kept), 0, 'of what was revoked alone')
})

t.test('a list of a clock that was ahead is served no longer than any other', async t => {
  const { server, client, logIn } = await world(t)
  server.setClock(server.ctx.clock.now() + 86_400)
  await statusOf(server, await logIn())
  server.setClock(server.ctx.clock.now() - 86_400)
  const revoked = await logIn()
  t.equal(await statusOf(server, revoked), 0)
  const { headers } = await server.request({ url: '/status-lists/0' })
  t.equal(headers['cache-control'], 'public, max-age=30')
  t.equal((await server.revoke(client, revoked)).statusCode, 200)
  server.tick(30)
  t.equal(await statusOf(server, revoked), 1, 'a revocation is told within its time')
})

t.test('TS-5 a list is compressed, not sent again, and found by all who may ask', async t => {
  const { server, logIn } = await world(t, { MINTMARK_CORS_ORIGINS: 'https://app.example' })
  await logIn()
  const plain = await server.request({ url: '/status-lists/0' })
  const get = (headers: Record<string, string>, method: 'GET' | 'HEAD' = 'GET') =>
    server.request({ method, url: '/status-lists/0', headers })

  const zipped = await get({ 'accept-encoding': 'br, gzip' })
  t.match(zipped.headers, { 'content-encoding': 'gzip', 'content-type': 'application/statuslist+jwt' })
  t.equal(gunzipSync(zipped.rawPayload).toString(), plain.body)
  t.not(zipped.headers.etag, plain.headers.etag, 'two representations have two strong tags')
  for (const encoding of ['identity', 'gzip;q=0', 'br']) {
    t.equal((await get({ 'accept-encoding': encoding })).body, plain.body, encoding)
  }

  const { etag } = plain.headers
  for (const named of [`${etag}`, `W/${etag}`, `"x", ${etag}`, '*']) {
    const response = await get({ 'if-none-match': named })
    t.equal(response.statusCode, 304, named)
    t.equal(response.body, '')
    t.match(response.headers, { etag, 'cache-control': /^public, max-age=/ })
  }
  t.equal((await get({ 'if-none-match': '"x"' })).statusCode, 200)
  t.equal((await get({ 'if-none-match': `${etag}`, 'accept-encoding': 'gzip' })).statusCode, 200)
  t.match(await get({}, 'HEAD'), { statusCode: 200, body: '' })
  for (const origin of ['https://app.example', 'https://elsewhere.example']) {
    t.equal((await get({ origin })).headers['access-control-allow-origin'], '*')
  }
})

t.test('TS-6 TS-7 what there is not is 404 without a look at the database, and no past is kept', async t => {
  const { server, logIn } = await world(t)
  const empty = await server.request({ url: '/status-lists' })
  t.strictSame(empty.json(), { status_lists: [] })
  isOAuthError(
    t,
    await server.request({ url: '/status-lists/0' }),
    404,
    'invalid_request',
    'before any session',
  )
  await logIn()
  await server.follow()
  t.strictSame((await server.request({ url: '/status-lists' })).json(), {
    status_lists: ['https://as.example/status-lists/0'],
  })
  for (const number of [
    '1',
    '2',
    '9999999999',
    '10000000000',
    '1e3',
    '-1',
    '00',
    '0x0',
    '0.0',
    '%30%30',
    'x',
    '٣',
  ]) {
    const response = await server.request({ url: `/status-lists/${encodeURIComponent(number)}` })
    isOAuthError(t, response, 404, 'invalid_request', number)
    t.equal(response.headers['access-control-allow-origin'], '*')
  }
  await server.ctx.db.close()
  const far = await server.request({ url: '/status-lists/12345' })
  isOAuthError(t, far, 404, 'invalid_request', 'a number that nobody can have begun, without a database')
  isOAuthError(
    t,
    await server.request({ url: '/status-lists/0' }),
    503,
    'temporarily_unavailable',
    'a list that cannot be read is our fault',
  )
  const past = await server.request({ url: '/status-lists/0?time=1686925000' })
  t.equal(past.statusCode, 501)
  isOAuthError(
    t,
    await server.request({ method: 'POST', url: '/status-lists/0' }),
    405,
    'invalid_request',
    'H-6 nothing is sent there',
  )
})

await forEachEngine(t, 'instances on one database serve the same bytes', async (t, env) => {
  const { server, client, logIn } = await world(t, env)
  const beside = await startServer(t, { ...env, ...besideEnv(server) })
  const token = await logIn()
  const bytes = async (instance: TestServer) => (await instance.request({ url: '/status-lists/0' })).body
  const [a, b] = await Promise.all([bytes(server), bytes(beside)])
  t.equal(a, b, 'though both were asked at once, and one had not heard of the list')

  await server.revoke(client, token)
  for (const instance of [server, beside]) instance.tick(30)
  const next = await bytes(beside)
  t.not(next, a)
  t.equal(await statusOf(beside, token), 1, 'one tells what another one has revoked')
  t.equal(await bytes(server), next)
})
