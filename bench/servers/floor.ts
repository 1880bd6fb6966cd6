import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  randomBytes,
  randomUUID,
  sign,
  verify,
} from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import formbody from '@fastify/formbody'
import { CompiledQuery } from 'kysely'
import { fastify, type FastifyReply } from 'fastify'
import { batcher } from '../../db/engines/batcher.ts'
import { openPostgres } from '../../db/engines/postgres.ts'
import { openSqlite } from '../../db/engines/sqlite.ts'
import { inStep } from '../../src/http/in-step.ts'
import { derOfRaw, rawOfDer } from '../../src/keys/algorithms.ts'
import { pageHeaders } from '../../src/pages/page-headers.ts'
import { deviceGrant, jwtBearer, tokenExchange } from '../../src/protocol/grant-types.ts'
import { sha256 } from '../../src/values/sha256.ts'

/*
 * node bench/servers/floor.ts SESSIONS PAGE-BYTES [DATABASE-URL]
 *
 * The floor: the signatures, the rows and the bytes that no server of this kind can do without, on the same
 * framework, driver and commits as ours, and nothing else. It obeys no rule: any client gets what it asks
 * for. It says its port and its refresh tokens. Its rows are in SQLite; with a URL, those of refreshes are in
 * PostgreSQL. ISSUER_JWKS are the keys of the outside issuer.
 */
const [sessionCount = '0', pageBytes = '0', databaseUrl] = process.argv.slice(2)

const issuer = 'http://127.0.0.1:0'
const apiScope = 'orders:read orders:write'
const accessSeconds = 300
const sessionSeconds = 2_592_000
const now = () => Math.floor(Date.now() / 1000)

interface Session {
  readonly id: string
  readonly user_id: string
  readonly client_id: string
  readonly scope: string
  readonly auth_time: number
  readonly status_position: number
}

const directory = mkdtempSync(join(tmpdir(), 'floor-'))
const sqlite = openSqlite(join(directory, 'floor.sqlite'), false)
const postgres = databaseUrl
  ? openPostgres(databaseUrl, { poolSize: 8, isPooled: false, isPatient: false })
  : undefined

const sessions = `create table sessions (id text primary key, user_id text not null, client_id text not null,
  scope text not null, auth_time bigint not null, status_position bigint not null, secret_hash bytea not null,
  rotated_at bigint not null, expires_at bigint not null, revoked_at bigint)`
const tables = [
  `${sessions} without rowid`,
  'create table spent_codes (hash blob primary key, expires_at bigint not null) without rowid',
  'create table clients (id text primary key, name text not null) without rowid',
  'create table sign_ins (id text primary key, user_id text not null, expires_at bigint not null) without rowid',
  'create table devices (code text primary key, scope text not null, polled_at bigint) without rowid',
]
const told = 'sessions.id, user_id, client_id, scope, auth_time, status_position'
const addSession = 'insert into sessions values (?, ?, ?, ?, ?, ?, ?, ?, ?, null)'
const spendCode = 'insert or ignore into spent_codes values (?, ?)'
const addDevice = 'insert or replace into devices values (?, ?, ?)'
const rotate = `update sessions set secret_hash = ?, rotated_at = ?, expires_at = ?
  where id = ? and secret_hash = ? and revoked_at is null and expires_at > ? returning ${told}`
const rotateMany = `update sessions set secret_hash = given.next, rotated_at = $4, expires_at = $5
  from unnest($1::text[], $2::bytea[], $3::bytea[]) as given(id, hash, next)
  where sessions.id = given.id and secret_hash = given.hash and revoked_at is null and expires_at > $4
  returning ${told}`

/** As ours: what arrives together shares a commit. */
const sharing = <Entry extends { readonly id: string }, Result>(
  commit: (take: () => readonly Entry[]) => Promise<readonly Result[]>,
) =>
  batcher<Entry, Result>({
    keyOf: ({ id }) => id,
    isSame: () => false,
    commit,
    mayBeOneEntry: () => false,
    limit: 128,
    patienceMs: 5000,
    gatherMs: 2,
  })

type Rotation = { readonly id: string; readonly hash: Buffer; readonly next: Buffer }

/** The session, if the secret was its newest one. */
const rotateSession = sharing<Rotation, Session | undefined>(async take => {
  const [at, expiresAt] = [now(), now() + sessionSeconds]
  if (postgres) {
    const entries = take()
    const given = [entries.map(e => e.id), entries.map(e => e.hash), entries.map(e => e.next)]
    const rows = await postgres.query<Session>(rotateMany, [...given, at, expiresAt])
    const rowById = new Map(rows.map(row => [row.id, row]))
    return entries.map(({ id }) => rowById.get(id))
  }
  return sqlite.transact(prepare =>
    take().map(
      ({ id, hash, next }) => prepare(rotate).get(next, at, expiresAt, id, hash, at) as Session | undefined,
    ),
  )
})

type Redemption = Session & { readonly code: Buffer; readonly hash: Buffer }

/** Whether a code was not spent before: then its session is there. */
const redeemCode = sharing<Redemption, boolean>(take =>
  sqlite.transact(prepare =>
    take().map(entry => {
      const isFirst = prepare(spendCode).run(entry.code, now() + 60).changes === 1
      if (isFirst) prepare(addSession).run(...valuesOf(entry, entry.hash))
      return isFirst
    }),
  ),
)

type Polling = { readonly id: string; readonly polledAt: number | null }

/** Keeps the request of a device, or when it has asked. */
const keepDevice = sharing<Polling, void>(take =>
  sqlite.transact(prepare =>
    take().map(({ id, polledAt }) => void prepare(addDevice).run(id, apiScope, polledAt)),
  ),
)

/** Whether an assertion was not used before. */
const spendOnce = sharing<{ readonly id: string }, boolean>(take =>
  sqlite.transact(prepare =>
    take().map(({ id }) => prepare(spendCode).run(sha256(id), now() + 60).changes === 1),
  ),
)

/** Makes a read of one row. */
function reading<Row>(sql: string): (...parameters: unknown[]) => Row | undefined {
  const compiled = CompiledQuery.raw(sql)
  return (...parameters) => sqlite.readAtOnce({ ...compiled, parameters } as CompiledQuery<Row>)?.[0]
}

const sessionOf = reading<{ revoked_at: number | null }>('select revoked_at from sessions where id = ?')
const deviceOf = reading<{ scope: string }>('select scope, polled_at from devices where code = ?')
const clientAndSignInOf = reading<{ name: string; user_id: string }>(
  'select name, user_id from clients left join sign_ins on sign_ins.id = +? where clients.id = +?',
)

const valuesOf = (s: Session, hash: Buffer) => [
  ...[s.id, s.user_id, s.client_id, s.scope, s.auth_time, s.status_position],
  ...[hash, now(), now() + sessionSeconds],
]

const newSession = (client_id: string, scope: string): Session => ({
  id: randomUUID(),
  user_id: randomUUID(),
  client_id,
  scope,
  auth_time: now(),
  status_position: 944_805,
})

/** A refresh token is the id of its session and a secret, which together are as long as one of ours. */
const newSecret = () => randomBytes(39).toString('base64url')

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const issuerKeys = new Map(
  (JSON.parse(process.env['ISSUER_JWKS'] ?? '[]') as { alg?: string }[]).map(jwk => [
    jwk.alg ?? 'ES256',
    createPublicKey({ key: jwk, format: 'jwk' }),
  ]),
)
const kid = sha256('floor').toString('base64url')
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
const heads = {
  'at+jwt': `${encode({ alg: 'ES256', typ: 'at+jwt', kid })}.`,
  JWT: `${encode({ alg: 'ES256', typ: 'JWT', kid })}.`,
}

function jwt(typ: keyof typeof heads, claims: object): string {
  const text = heads[typ] + encode(claims)
  return `${text}.${rawOfDer(sign('sha256', Buffer.from(text), privateKey)).toString('base64url')}`
}

/** The claims of RFC 9068, and those that say where its status is. */
function accessToken(session: Session): string {
  const { id: sid, user_id, client_id, scope, auth_time } = session
  const iat = now()
  return jwt('at+jwt', {
    iss: issuer,
    sub: user_id,
    aud: 'https://api.example',
    exp: iat + accessSeconds,
    iat,
    jti: randomUUID(),
    client_id,
    scope,
    sid,
    auth_time,
    ...(user_id !== client_id && { acr: 'pwd', amr: ['pwd'] }),
    status: { status_list: { idx: session.status_position, uri: `${issuer}/status-lists/0` } },
  })
}

function idToken({ id: sid, user_id, client_id, auth_time }: Session, access: string): string {
  const iat = now()
  const at_hash = sha256(access).toString('base64url', 0, 16)
  const whatFor = { iss: issuer, sub: user_id, aud: client_id, exp: iat + accessSeconds, iat }
  return jwt('JWT', { ...whatFor, auth_time, nonce: 'n-0S6_WzA2Mj', acr: 'pwd', amr: ['pwd'], sid, at_hash })
}

const common = ({ scope }: Session) => ({ token_type: 'Bearer', expires_in: accessSeconds, scope })
const refreshed = (refresh_token: string) => ({
  refresh_token,
  refresh_token_timeout: sessionSeconds,
  authorization_expires_in: 6 * sessionSeconds,
})

const key = createSecretKey(randomBytes(32))

function seal(content: object): string {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  const sealed = [nonce, cipher.update(JSON.stringify(content)), cipher.final(), cipher.getAuthTag()]
  return `mm_ar_${Buffer.concat(sealed).toString('base64url')}`
}

function open(text: string): Record<string, string> {
  const bytes = Buffer.from(text.slice('mm_ar_'.length), 'base64url')
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12)).setAuthTag(bytes.subarray(-16))
  const content = decipher.update(bytes.subarray(12, -16))
  decipher.final()
  return JSON.parse(content.toString())
}

/** The claims of an assertion that the outside issuer has signed. */
function verified(assertion: string): { readonly jti: string } {
  const [head = '', payload = '', signature = ''] = assertion.split('.')
  const { alg } = JSON.parse(Buffer.from(head, 'base64url').toString())
  const publicKey = issuerKeys.get(alg)
  const raw = Buffer.from(signature, 'base64url')
  const text = Buffer.from(`${head}.${payload}`)
  if (!publicKey || !verify('sha256', text, publicKey, alg === 'ES256' ? derOfRaw(raw) : raw))
    throw new Error('the assertion is of another')
  return JSON.parse(Buffer.from(payload, 'base64url').toString())
}

/** What a token says. */
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

type Form = Readonly<Record<string, string>>

const machine = { ...newSession('bench', apiScope), user_id: 'bench' }
const signIn = randomUUID()

const grants: Readonly<Record<string, (form: Form) => Promise<object> | object>> = {
  refresh_token: async ({ refresh_token: token = '' }) => {
    const secret = newSecret()
    const rotation = { id: token.slice(0, 36), hash: sha256(token.slice(36)), next: sha256(secret) }
    const session = await rotateSession(rotation)
    if (!session) throw new Error('the refresh token is not the newest one')
    return { access_token: accessToken(session), ...common(session), ...refreshed(session.id + secret) }
  },
  client_credentials: () => ({ access_token: accessToken(machine), ...common(machine) }),
  authorization_code: async ({ code = '' }) => {
    const session = newSession('bench-web', `openid profile email ${apiScope}`)
    const secret = newSecret()
    if (!(await redeemCode({ ...session, code: sha256(code), hash: sha256(secret) })))
      throw new Error('the code was used before')
    const access_token = accessToken(session)
    const id_token = idToken(session, access_token)
    return { access_token, ...common(session), id_token, ...refreshed(session.id + secret) }
  },
  [jwtBearer]: async ({ assertion = '' }) => {
    if (!(await spendOnce({ id: verified(assertion).jti }))) throw new Error('it was used before')
    return { access_token: accessToken(machine), ...common(machine) }
  },
  [tokenExchange]: ({ subject_token = '' }) => {
    // That of the user, and that of the client.
    const claims = claimsOf(subject_token)
    for (const { id } of [{ id: claims.sid }, machine]) sessionOf(id)
    const exchanged = { ...machine, id: claims.sid, user_id: claims.sub, auth_time: claims.auth_time }
    return { access_token: accessToken(exchanged), ...common(machine), issued_token_type: 'access_token' }
  },
  [deviceGrant]: async ({ device_code: code = '' }) => {
    if (code.startsWith('waiting')) {
      deviceOf(code)
      await keepDevice({ id: code, polledAt: now() })
      throw Object.assign(new Error('authorization_pending'), { statusCode: 400 })
    }
    const session = newSession('bench-device', apiScope)
    const secret = newSecret()
    deviceOf(code)
    if (!(await redeemCode({ ...session, code: sha256(code), hash: sha256(secret) })))
      throw new Error('the code was used before')
    return { access_token: accessToken(session), ...common(session), ...refreshed(session.id + secret) }
  },
}

const app = fastify()
app.removeAllContentTypeParsers()
app.register(formbody)
app.addHook('preHandler', inStep())

/** RFC 6749 §5.1 */
const unstored = (reply: FastifyReply) => reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' })

app.post<{ Body: Form }>('/token', async ({ body }, reply) => {
  unstored(reply)
  return grants[body['grant_type'] ?? '']?.(body)
})

app.post<{ Body: Form }>('/device_authorization', async (_request, reply) => {
  unstored(reply)
  const device_code = `mm_dc_${newSecret()}${newSecret().slice(0, 25)}`
  await keepDevice({ id: device_code, polledAt: null })
  const verification_uri = `${issuer}/device`
  const common = { device_code, user_code: 'BCD-FGH-JKL', verification_uri, expires_in: 600, interval: 5 }
  return { ...common, verification_uri_complete: `${verification_uri}?user_code=BCD-FGH-JKL` }
})

app.post<{ Body: Form }>('/introspect', async ({ body: { token = '' } }, reply) => {
  unstored(reply)
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  const { status, acr, amr, ...claims } = JSON.parse(payload)
  const session = sessionOf(claims.sid)
  return { active: session?.revoked_at === null, token_type: 'Bearer', ...claims }
})

app.get<{ Querystring: Form }>('/authorize', async ({ query }, reply) => {
  const request = seal({ ...query, signIn, browser: sha256(signIn).toString('base64url'), madeAt: now() })
  return reply.header('set-cookie', `browser=${signIn}`).redirect(`${issuer}/log-in?request=${request}`, 303)
})

const headers = pageHeaders({ styleSource: `'sha256-${sha256('').toString('base64')}'` }, issuer)
const filler = 'z'.repeat(Number(pageBytes))

app.get<{ Querystring: Form }>('/log-in', async ({ query: { request = '' } }, reply) => {
  const { client_id, signIn } = open(request)
  const row = clientAndSignInOf(signIn, client_id)
  const text = `${row?.name} ${row?.user_id} ${request}`
  return reply
    .headers(headers)
    .type('text/html; charset=utf-8')
    .send(text + filler.slice(text.length))
})

const refreshTokens: string[] = []
await sqlite.transact(prepare => {
  for (const table of tables) prepare(table).run()
  prepare('insert into clients values (?, ?)').run('bench-web', 'bench-web')
  prepare('insert into sign_ins values (?, ?, ?)').run(signIn, randomUUID(), now() + sessionSeconds)
  prepare(addSession).run(...valuesOf(machine, sha256('none')))
})
await postgres?.query(sessions, [])
for (let i = 0; i < Number(sessionCount); i++) {
  const secret = newSecret()
  const session = newSession('bench', apiScope)
  const values = valuesOf(session, sha256(secret))
  const places = values.map((_, i) => `$${i + 1}`)
  await postgres?.query(`insert into sessions values (${places}, null)`, values)
  await sqlite.transact(prepare => prepare(addSession).run(...values))
  refreshTokens.push(session.id + secret)
}
process.once('SIGTERM', () => {
  rmSync(directory, { recursive: true })
  process.exit()
})
await app.listen({ port: 0 })
process.stdout.write(`${JSON.stringify({ refreshTokens })}\n${JSON.stringify(app.server.address())}\n`)
