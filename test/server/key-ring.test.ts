import { randomBytes } from 'node:crypto'
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import t from 'tap'
import { changeResource, deleteResource, insertResource } from '../../db/clients/resources.ts'
import type { Database } from '../../db/database.ts'
import { latestAuditEntries } from '../../db/installation/audit.ts'
import { changeKeyPolicy, findInstallation, raiseRevision } from '../../db/installation/installation.ts'
import {
  deleteSigningKey,
  insertFirstSigningKeys,
  insertSigningKey,
  listSigningKeys,
  promoteSigningKey,
  requestRotation,
  resealSigningKey,
  retireSigningKey,
  revokeSigningKey,
  witnessSigningKey,
} from '../../db/keys/signing-keys.ts'
import { countPromised, promiseTokens } from '../../db/keys/token-promises.ts'
import type { SigningKeyTable } from '../../db/schema.ts'
import { derOfRaw, rawOfDer } from '../../src/keys/algorithms.ts'
import { phaseOf } from '../../src/keys/ring/key-life.ts'
import { forEachEngine } from '../helpers/engines.ts'
import { besideEnv, isOAuthError, startedAt as at, startServer, type TestServer } from '../helpers/server.ts'
import { publishedOnly } from '../helpers/key-rows.ts'

const day = 86_400
const lead = 610

const row = (kid: string, alg: string, state: Partial<SigningKeyTable> = {}): SigningKeyTable => ({
  kid,
  alg,
  sealed_private_key: Buffer.alloc(1),
  root_key_id: 'none',
  published_at: at,
  ...publishedOnly,
  revoke_reason: null,
  ...state,
})

/** Lets time pass as it does for a server that runs: it looks at its keys again and again. */
async function live(servers: TestServer | readonly TestServer[], seconds: number, every = 10): Promise<void> {
  const all = [servers].flat()
  for (let passed = 0; passed < seconds; passed += every) {
    for (const server of all) server.tick(Math.min(every, seconds - passed))
    for (const server of all) await server.follow()
  }
}

/** Asks for a rotation of this algorithm, and lives until it has happened. */
async function rotate(servers: TestServer | readonly TestServer[], alg = 'ES256'): Promise<void> {
  const [{ ctx }] = [servers].flat() as [TestServer]
  const before = kidOf(await listSigningKeys(ctx.db), 'active', alg)
  await requestRotation(ctx.db, before, ctx.clock.now())
  await live(servers, lead, 70)
  await live(servers, 20)
  const after = kidOf(await listSigningKeys(ctx.db), 'active', alg)
  if (after === before) throw new Error('nothing has rotated')
  const [last] = await latestAuditEntries(ctx.db, { events: ['key_rotated'] }, 1)
  if (last?.detail !== JSON.stringify({ alg, from: before, to: after }))
    throw new Error('and it is not recorded')
}

const kidOf = (rows: readonly SigningKeyTable[], phase: string, alg = 'ES256') =>
  rows.find(row => row.alg === alg && phaseOf(row) === phase)?.kid ?? `no ${phase} key`

const sign = ({ ctx }: TestServer, alg = 'ES256', life = 300) =>
  ctx.keys.sign('at+jwt', alg, { iss: ctx.config.issuer, exp: ctx.clock.now() + life })

const published = async (server: TestServer): Promise<string[]> => {
  const { keys } = (await server.request({ url: '/.well-known/jwks.json' })).json()
  return keys.map(({ kid }: { kid: string }) => kid)
}

await forEachEngine(t, 'each step of a ring is taken by one instance: true, then false', async (t, env) => {
  const { ctx } = await startServer(t, env)
  const { db } = ctx
  const start = ['A', 'B'].map(alg => row(`${alg}1`, alg, { activated_at: at })).concat(row('A2', 'A'))
  t.notOk(await insertFirstSigningKeys(db, start, 'A'), 'there are first keys already')
  await db.sql.deleteFrom('signing_keys').execute()
  t.ok(await insertFirstSigningKeys(db, start, 'A'))
  t.notOk(await insertFirstSigningKeys(db, start, 'A'))
  t.notOk(await insertFirstSigningKeys(db, [row('C1', 'C'), row('A3', 'A')], 'A'))
  t.notOk(
    (await listSigningKeys(db)).some(({ alg }) => alg === 'C'),
    'all of them, or none',
  )

  const once = async (title: string, step: () => Promise<boolean>) => {
    const { revision: before } = (await findInstallation(db)) ?? {}
    t.ok(await step(), title)
    const { revision: between } = (await findInstallation(db)) ?? {}
    t.notOk(await step(), `${title}: not twice`)
    const { revision: after } = (await findInstallation(db)) ?? {}
    t.not(between, before, `${title}: others hear of it`)
    t.equal(after, between, `${title}: what was not done is not told`)
  }
  await once('a next key is published', () => insertSigningKey(db, row('B2', 'B')))
  t.notOk(await insertSigningKey(db, row('B3', 'B')), 'the place of the next key is taken')
  await once('a rotation is asked for', async () => {
    const isAsked = await requestRotation(db, 'A1', at)
    return (
      isAsked && (await promoteSigningKey(db, { from: 'A1', to: 'A2', successor: row('A3', 'A'), now: at }))
    )
  })
  const phases = async () =>
    Object.fromEntries((await listSigningKeys(db)).map(key => [key.kid, phaseOf(key)]))
  t.strictSame(await phases(), { A1: 'retiring', A2: 'active', A3: 'next', B1: 'active', B2: 'next' })
  await insertSigningKey(db, row('C1', 'C', { activated_at: at }))
  for (const [title, promotion] of [
    ['the active key is another', { from: 'A1', to: 'A3', successor: row('A4', 'A') }],
    ['the next key is another', { from: 'A2', to: 'B1', successor: row('A4', 'A') }],
    ['there is no next key', { from: 'C1', to: 'C2', successor: row('C3', 'C') }],
    ['the place of the active key is taken', { from: undefined, to: 'A3', successor: row('A4', 'A') }],
    ['the place of the next key is taken', { from: 'C1', to: 'A3', successor: row('B4', 'B') }],
  ] as const) {
    t.notOk(await promoteSigningKey(db, { ...promotion, now: at }), title)
  }
  const rest = { A1: 'retiring', A2: 'active', A3: 'next', B1: 'active', B2: 'next', C1: 'active' }
  t.strictSame(await phases(), rest, 'nothing is half done')

  const promise = { kid: 'A2', now: at, expiresAt: at + 400, tokens: 5 }
  t.ok(await promiseTokens(db, promise))
  t.ok(await promiseTokens(db, promise))
  // Takes nothing back that was promised before.
  t.ok(await promiseTokens(db, { ...promise, expiresAt: at + 300, tokens: 2 }))
  t.notOk(await promiseTokens(db, { ...promise, kid: 'A1' }), 'a retired key promises nothing')
  t.notOk(await promiseTokens(db, { ...promise, kid: 'A3' }), 'nor does a next key')
  t.match(
    (await listSigningKeys(db)).find(({ kid }) => kid === 'A2'),
    {
      verify_until: at + 400 + 60 + 300,
      verify_seconds: 760,
    },
  )
  t.strictSame([...(await countPromised(db, at + 300))], [['A2', 10]], 'so many tokens live at the most')
  t.strictSame([...(await countPromised(db, at + 299))], [['A2', 12]])

  const api = {
    uri: 'https://a.example',
    scope: '',
    scope_words: '{}',
    access_token_seconds: null,
    has_status: 1,
    created_at: at,
  }
  await insertResource(db, { ...api, alg: 'A', previous_alg: 'A' })
  t.notOk(await retireSigningKey(db, { kid: 'A2', alg: 'A', now: at }), 'a ring that a resource uses goes on')
  await changeResource(db, api.uri, { alg: 'Z' })
  t.notOk(await retireSigningKey(db, { kid: 'A2', alg: 'A', now: at }), 'also until its next algorithm signs')
  await deleteResource(db, api.uri, { force: false })
  await once('a ring without a use ends', () => retireSigningKey(db, { kid: 'A2', alg: 'A', now: at }))
  const a2 = { kid: 'A2', activated_at: at, retired_at: at }
  t.notOk(await deleteSigningKey(db, 'A2', at + day), 'a key that was not seen long enough stays')
  await db.sql.updateTable('signing_keys').set({ witnessed_seconds: 3 }).where('kid', '=', 'A2').execute()
  t.notOk(
    await witnessSigningKey(db, { ...a2, retired_at: null }, { from: 3, to: 10 }),
    'another phase is not counted',
  )
  t.notOk(await witnessSigningKey(db, { ...a2, activated_at: null }, { from: 3, to: 10 }))
  t.ok(await witnessSigningKey(db, a2, { from: 3, to: 760 }))
  t.notOk(await witnessSigningKey(db, a2, { from: 3, to: 760 }), 'nothing is counted twice')
  t.notOk(await deleteSigningKey(db, 'A2', at + 759), 'nor does it leave before its time')
  await once('a key leaves', () => deleteSigningKey(db, 'A2', at + 760))
  t.equal((await countPromised(db, at)).size, 0, 'with its promises')
  t.notOk(await deleteSigningKey(db, 'B1', at + 9 * day), 'a key that signs never leaves')

  const phase = { kid: 'B1', activated_at: at, retired_at: null }
  const revocation = { now: at, reason: 'leaked', promoted: 'B2', published: [row('B4', 'B')] }
  t.notOk(await revokeSigningKey(db, { ...phase, retired_at: at }, revocation), 'it is in another phase')
  t.notOk(
    await revokeSigningKey(db, phase, {
      ...revocation,
      promoted: 'A3',
      published: [row('A5', 'A'), row('A6', 'A')],
    }),
  )
  t.match(await phases(), { B1: 'active', B2: 'next', A3: 'next' }, 'nothing is half done')
  await once('a key is revoked', () => revokeSigningKey(db, phase, revocation))
  t.match(await phases(), { B1: 'revoked', B2: 'active', B4: 'next' })
  t.notOk(await promiseTokens(db, { ...promise, kid: 'B1' }))

  await once('a key that has retired is revoked', () =>
    revokeSigningKey(
      db,
      { kid: 'A1', activated_at: at, retired_at: at },
      { ...revocation, promoted: undefined, published: [] },
    ),
  )

  const sealed = { sealed_private_key: Buffer.from('x'), root_key_id: 'new' }
  await once('a key is sealed anew', () => resealSigningKey(db, { kid: 'B2', root_key_id: 'none' }, sealed))
})

await forEachEngine(
  t,
  'K-4 what a key has signed can be verified to its end, with the key sets of then',
  async (t, env) => {
    const one = await startServer(t, env)
    const two = await startServer(t, besideEnv(one))
    const both = [one, two]
    t.strictSame(await published(two), await published(one))

    const token = await sign(one)
    const { kid = '' } = decodeProtectedHeader(token)
    const stored = (await listSigningKeys(one.ctx.db)).find(key => key.kid === kid)
    t.ok(
      (stored?.verify_until ?? 0) >= at + 300 + 60 + 300,
      'invariant 5: the promise is stored before the token is out',
    )

    const before = await one.request({ url: '/.well-known/jwks.json' })
    await rotate(both)
    const later = await sign(two)
    t.not(decodeProtectedHeader(later).kid, kid, 'another key signs')
    t.ok(
      (await jwtVerify(later, createLocalJWKSet(before.json()), { currentDate: new Date(0) })).payload,
      'which was known before',
    )
    t.ok(one.ctx.keys.verify(later, 'at+jwt'))
    t.ok((await published(one)).includes(kid), 'the key before is still published')
    await live(both, 800)
    t.notOk((await published(one)).includes(kid), 'until its last token has run out')
    t.equal((await published(one)).length, 4)
  },
)

t.test('an instance that has not heard of a rotation goes on, and its tokens are good', async t => {
  const one = await startServer(t)
  const deaf = await startServer(t, besideEnv(one))
  await live([one, deaf], lead)
  const { kid = '' } = decodeProtectedHeader(await sign(deaf))
  await requestRotation(one.ctx.db, kid, one.ctx.clock.now())
  await one.follow()
  for (const server of [one, deaf]) server.tick(30)
  const token = await sign(deaf)
  t.equal(decodeProtectedHeader(token).kid, kid, 'it has a promise')
  t.ok(one.ctx.keys.verify(token, 'at+jwt'))
  deaf.tick(100)
  t.not(
    decodeProtectedHeader(await sign(deaf)).kid,
    kid,
    'when that is used up, it hears that the key has retired',
  )
})

t.test('many who wait for one promise all get their token, and none is written for each', async t => {
  const server = await startServer(t)
  const tokens = await Promise.all(Array.from({ length: 500 }, () => sign(server)))
  t.equal(new Set(tokens.map(token => decodeProtectedHeader(token).kid)).size, 1)
  const [[kid = '', promised = 0] = []] = await countPromised(server.ctx.db, at)
  t.ok(promised >= 500, `${promised} are promised`)
  t.equal(kid, decodeProtectedHeader(tokens[0] ?? '').kid)
  await server.follow()
  t.ok(((await countPromised(server.ctx.db, at)).get(kid) ?? 0) < 5000, 'but not many times as many')

  // A token that lives longer, then the clock set back and forward: each gets its own promise.
  for (const [clock, life] of [
    [at + 7200, 300],
    [at - 3600, 300],
    [at, day],
  ] as const) {
    server.setClock(clock)
    const { exp = 0 } = decodeJwt(await sign(server, 'ES256', life))
    const row = (await listSigningKeys(server.ctx.db)).find(key => key.kid === kid)
    t.ok((row?.verify_until ?? 0) >= exp + 360)
    t.ok((row?.verify_seconds ?? 0) >= life + 360)
  }
})

t.test('a server without its database signs what it has promised, and then answers 503', async t => {
  const server = await startServer(t)
  await sign(server)
  await server.ctx.db.close()
  t.ok(await sign(server))
  server.tick(300)
  await t.rejects(sign(server))
  t.equal((await published(server)).length, 4, 'the key set is there all the time')
})

t.test('a clock that is set moves no key, and the log says so', async t => {
  const server = await startServer(t)
  const { ctx } = server
  await live(server, 600, 100)
  const { kid = '' } = decodeProtectedHeader(await sign(server, 'RS256'))
  await rotate(server, 'RS256')
  const activeBefore = kidOf(await listSigningKeys(ctx.db), 'active', 'RS256')
  t.not(activeBefore, kid)
  for (const clock of [at + 400 * day, at - 3600, ctx.clock.now()]) {
    server.setClock(clock)
    await server.follow()
    t.ok((await published(server)).includes(kid), 'nothing has left whose tokens live')
    const active = kidOf(await listSigningKeys(ctx.db), 'active', 'RS256')
    t.equal(active, activeBefore, 'no key signs that verifiers may not know')
  }
  const events = server.log.map(line => line['event'])
  t.equal(events.filter(event => event === 'clock_set').length, 3)
  t.ok(events.includes('clock_behind'))
  server.setClock(at + 400 * day)
  await live(server, lead)
  const active = kidOf(await listSigningKeys(ctx.db), 'active', 'RS256')
  t.not(active, activeBefore, 'what is overdue comes when it is safe')
})

const algs = ['ES256', 'RS256', 'PS256', 'Ed25519', 'EdDSA']

t.test('J-1 J-8 J-9 each algorithm signs what others verify', async t => {
  const server = await startServer(t)
  const uriOf = (alg: string) => `https://${alg.toLowerCase()}.example`
  for (const alg of algs) await server.resource(uriOf(alg))
  const forms = new Map<string, Readonly<Record<string, string>>>()
  for (const alg of algs) forms.set(alg, (await server.client(alg, { resources: uriOf(alg) })).form)
  const issued = async (alg: string) => {
    const response = await server.post('/token', { grant_type: 'client_credentials', ...forms.get(alg) })
    return decodeProtectedHeader(response.json().access_token).alg
  }
  for (const alg of algs) await changeResource(server.ctx.db, uriOf(alg), { alg })
  await server.follow()
  const offered = (await server.request({ url: '/.well-known/jwks.json' })).json().keys
  for (const alg of algs) {
    t.ok(
      offered.some((key: { alg: string }) => key.alg === alg),
      `${alg} is published`,
    )
    t.equal(await issued(alg), alg === 'RS256' ? alg : 'ES256', `${alg} signs later, unless it was there`)
  }
  await live(server, lead, 70)
  for (const alg of algs) t.equal(await issued(alg), alg, `${alg} signs for its resource`)
  t.strictSame([...server.ctx.keys.algs()].sort(), [...algs].sort())
  const jwks = (await server.request({ url: '/.well-known/jwks.json' })).json()
  for (const alg of algs) {
    const token = await sign(server, alg)
    const { protectedHeader } = await jwtVerify(token, createLocalJWKSet(jwks), {
      algorithms: [alg],
      currentDate: new Date(server.ctx.clock.now() * 1000),
    })
    t.match(protectedHeader, { alg, typ: 'at+jwt', kid: /^[\w-]{43}$/ })
    t.ok(server.ctx.keys.verify(token, 'at+jwt'), alg)
    t.notOk(server.ctx.keys.verify(token, 'JWT'), `J-11 ${alg}, of another typ`)
    const [head = '', claims = '', signature = ''] = token.split('.')
    for (const [title, forged] of [
      ['without a signature', `${head}.${claims}.`],
      [
        'with claims of its own',
        `${head}.${Buffer.from('{"iss":"https://as.example","exp":9999999999}').toString('base64url')}.${signature}`,
      ],
      ['signed by none', `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${claims}.`],
      [
        'of an unknown kid',
        `${Buffer.from(JSON.stringify({ alg, typ: 'at+jwt', kid: `'"\n\u0000../` })).toString('base64url')}.${claims}.${signature}`,
      ],
      ['with a part too many', `${token}.${signature}`],
    ] as const)
      t.notOk(server.ctx.keys.verify(forged, 'at+jwt'), `J-10 ${alg} ${title}`)
  }
  for (const { kty, n } of jwks.keys)
    if (kty === 'RSA') t.equal(Buffer.from(n, 'base64url').length, 256, 'J-9 2048 bits')
  t.equal(new Set(jwks.keys.map(({ alg, kid }: { alg: string; kid: string }) => `${alg} ${kid}`)).size, 10)
})

t.test('J-8 a signature has 64 bytes, however short its integers are', async t => {
  const integer = (bytes: readonly number[]) => [2, bytes.length, ...bytes]
  for (const [r, s] of [
    [[...randomBytes(32)].map((byte, i) => (i === 0 ? 1 : byte)), [5]],
    [
      [0, ...[...randomBytes(32)].map((byte, i) => (i === 0 ? 200 : byte))],
      [1, 2, 3],
    ],
  ] as const) {
    const der = Buffer.from([48, r.length + s.length + 4, ...integer(r), ...integer(s)])
    const padded = (bytes: readonly number[]) => [...Array<number>(32).fill(0), ...bytes].slice(-32)
    t.strictSame([...rawOfDer(der)], [...padded(r), ...padded(s)])
    t.ok(derOfRaw(rawOfDer(der)).equals(der), 'and back')
  }
})

await forEachEngine(
  t,
  'a resource gets another algorithm when its verifiers know the keys',
  async (t, env) => {
    const server = await startServer(t, env)
    const other = await startServer(t, besideEnv(server))
    const both = [server, other]
    const { ctx } = server
    const api = 'https://api.example'
    await server.resource(api)
    const client = await server.client('web', { resources: api })
    const algOf = async (from = server) => {
      await from.follow()
      const { access_token } = (
        await from.post('/token', { grant_type: 'client_credentials', ...client.form })
      ).json()
      return decodeProtectedHeader(access_token).alg
    }
    t.equal(await algOf(), 'ES256')
    await changeResource(ctx.db, api, { alg: 'RS256' })
    t.equal(await algOf(), 'RS256', 'one that is published already signs at once')

    await changeResource(ctx.db, api, { alg: 'Ed25519' })
    t.equal(await algOf(), 'RS256', 'publish first')
    t.equal((await published(server)).length, 5, 'it is published, and does not sign')
    await changeResource(ctx.db, api, { alg: 'EdDSA' })
    t.equal(await algOf(), 'RS256', 'of two changes, the last one counts')
    await live(both, lead - 20)
    t.equal(await algOf(), 'RS256')
    await live(both, 20)
    t.equal(await algOf(), 'EdDSA', 'sign later')
    t.equal(await algOf(other), 'EdDSA')
    const algsOf = (rows: readonly SigningKeyTable[]) => [...new Set(rows.map(key => key.alg))].sort()
    await live(both, 60)
    t.strictSame(
      algsOf(await listSigningKeys(ctx.db)),
      ['ES256', 'EdDSA', 'RS256'],
      'what is not used any more is gone',
    )

    await changeResource(ctx.db, api, { alg: 'ES256' })
    t.equal(await algOf(), 'ES256')
    await live(both, 30)
    const phases = (await listSigningKeys(ctx.db)).filter(key => key.alg === 'EdDSA').map(phaseOf)
    t.strictSame(
      phases.sort(),
      ['active', 'next'],
      'a server that has not heard of it may sign a while longer',
    )
    await live(both, 40)
    t.strictSame(
      (await listSigningKeys(ctx.db)).filter(key => key.alg === 'EdDSA').map(phaseOf),
      ['retiring'],
      'a ring that no resource uses mints no more',
    )
    const third = await startServer(t, besideEnv(server), ctx.clock.now())
    await third.follow()
    t.strictSame(
      (await listSigningKeys(ctx.db)).filter(key => key.alg === 'EdDSA').length,
      1,
      'nor when a server starts',
    )
    await live(both, 800)
    t.strictSame(algsOf(await listSigningKeys(ctx.db)), ['ES256', 'RS256'], 'and ends with its last token')

    await server.resource('https://new.example', { alg: 'PS256' })
    const fresh = await server.client('new', { resources: 'https://new.example' })
    const token = async () =>
      decodeProtectedHeader(
        (await server.post('/token', { grant_type: 'client_credentials', ...fresh.form })).json()
          .access_token,
      ).alg
    await server.follow()
    t.equal(await token(), 'ES256', 'a new resource begins with what verifiers know')
    await live(server, lead, 70)
    await server.follow()
    t.equal(await token(), 'PS256')
  },
)

t.test(
  'a policy that promises less takes nothing back, and one that promises more counts for all',
  async t => {
    const server = await startServer(t)
    const { db } = server.ctx
    await sign(server)
    await rotate(server)
    const record = await findInstallation(db)
    if (!record) throw new Error('there is no installation')
    const { key_rotation_seconds, jwks_max_age_seconds, clock_skew_seconds } = record
    const from = { key_rotation_seconds, jwks_max_age_seconds, clock_skew_seconds }
    const times = async () =>
      (await listSigningKeys(db)).map(({ verify_until, verify_seconds }) => [verify_until, verify_seconds])
    const before = await times()

    const less = { ...from, jwks_max_age_seconds: 10, clock_skew_seconds: 0 }
    t.ok(await changeKeyPolicy(db, { from, to: less, now: server.ctx.clock.now() }))
    t.notOk(await changeKeyPolicy(db, { from, to: less, now: server.ctx.clock.now() }), 'not twice')
    t.strictSame(await times(), before)
    await server.follow()
    const { headers } = await server.request({ url: '/.well-known/jwks.json' })
    t.equal(headers['cache-control'], 'public, max-age=10')

    const kid = kidOf(await listSigningKeys(db), 'active')
    await requestRotation(db, kid, server.ctx.clock.now())
    await live(server, lead - 30)
    t.equal(kidOf(await listSigningKeys(db), 'active'), kid, 'the lead is still that of the larger max-age')

    const more = { ...less, jwks_max_age_seconds: 3600 }
    const between = await times()
    t.ok(await changeKeyPolicy(db, { from: less, to: more, now: server.ctx.clock.now() }))
    t.strictSame(
      await times(),
      between.map(([until = 0, seconds = 0]) => [until + 3590, seconds + 3590]),
    )
    const middle = { ...more, jwks_max_age_seconds: 100 }
    t.ok(await changeKeyPolicy(db, { from: more, to: middle, now: server.ctx.clock.now() }))
    const lower = { ...more, jwks_max_age_seconds: 50 }
    t.ok(await changeKeyPolicy(db, { from: middle, to: lower, now: server.ctx.clock.now() }))
    t.equal(
      (await findInstallation(db))?.largest_max_age_seconds,
      3600,
      'the largest of the last week counts',
    )
  },
)

/** Changes a row as no program of ours would. */
const damage = (db: Database, kid: string, change: Partial<SigningKeyTable>) =>
  db.sql.updateTable('signing_keys').set(change).where('kid', '=', kid).execute()

/** Has running servers read the rings anew. */
const tell = (db: Database) => db.transact(raiseRevision)

t.test('what is damaged is not used, and the rest goes on', async t => {
  const server = await startServer(t)
  const { ctx } = server
  const { db } = ctx
  const rows = await listSigningKeys(db)
  const [active, next] = [kidOf(rows, 'active'), kidOf(rows, 'next')]
  const sealOf = (kid: string) => rows.find(key => key.kid === kid)?.sealed_private_key ?? Buffer.alloc(0)
  const restart = () => startServer(t, besideEnv(server), ctx.clock.now())
  const kidsThere = async () => published(await restart())

  await damage(db, next, { sealed_private_key: Buffer.alloc(100) })
  const afterNext = await restart()
  t.notOk((await published(afterNext)).includes(next))
  t.notOk(
    (await listSigningKeys(db)).some(({ kid }) => kid === next),
    'a next key is replaced',
  )
  t.equal((await published(afterNext)).length, 4)
  t.match(
    afterNext.log.filter(({ event }) => event === 'key_unusable'),
    [{ kid: next, level: 50, reason: /was changed/ }],
    'the log says which, once',
  )

  await sign(server)
  await damage(db, active, { sealed_private_key: sealOf(next) })
  await tell(db)
  await server.follow()
  t.notOk((await published(server)).includes(active), 'not by a server either that has opened it before')
  const afterActive = await restart()
  t.notOk((await published(afterActive)).includes(active), 'a row moved to another kid does not open')
  await t.rejects(
    sign(afterActive),
    { code: 'temporarily_unavailable' },
    'nothing signs that verifiers may not know',
  )
  t.ok(await sign(afterActive, 'RS256'), 'the other ring goes on')
  await live(afterActive, lead)
  t.ok(await sign(afterActive), 'the next key signs as soon as it may')
  t.match((await listSigningKeys(db)).filter(({ kid }) => kid === active).map(phaseOf), ['retiring'])

  const strange = `"},{"kid":"x'; drop table users; --\u001b[31m`
  await db.sql
    .insertInto('signing_keys')
    .values(
      row(strange, 'ES256', {
        retired_at: at,
        activated_at: at,
        root_key_id: ctx.rootKeys.currentId,
        sealed_private_key: sealOf(next),
      }),
    )
    .execute()
  await db.sql
    .insertInto('signing_keys')
    .values(row('unknown', 'ES999', { root_key_id: ctx.rootKeys.currentId }))
    .execute()
  const relabelled = kidOf(rows, 'next', 'RS256')
  await damage(db, relabelled, { alg: 'PS256' })
  const kids = await kidsThere()
  t.notOk(kids.includes(relabelled), 'J-12 a key has one algorithm for its life')
  t.ok(
    kids.every(kid => /^[\w-]{43}$/.test(kid)),
    'an odd kid is not published',
  )
  t.ok(
    (await listSigningKeys(db)).some(({ kid }) => kid === 'unknown'),
    'what a newer program made is left alone',
  )

  await db.sql
    .updateTable('signing_keys')
    .set({ sealed_private_key: Buffer.alloc(50) })
    .execute()
  await damage(db, 'unknown', { activated_at: at })
  const last = await restart()
  t.ok((await published(last)).length > 0, 'a ring that is lost altogether begins anew')
  await live(last, lead, 70)
  t.ok(await sign(last))
})

t.test('invariant 9: no key set is better than an empty one', async t => {
  const server = await startServer(t)
  const { ctx } = server
  await ctx.db.sql.updateTable('signing_keys').set({ root_key_id: '00000000' }).execute()
  const response = await (
    await startServer(t, besideEnv(server), ctx.clock.now())
  ).request({ url: '/.well-known/jwks.json' })
  isOAuthError(t, response, 503, 'temporarily_unavailable', 'no key opens')
  t.equal((await listSigningKeys(ctx.db)).length, 4, 'what others may open is left alone')
  await tell(ctx.db)
  await server.follow()
  t.equal((await published(server)).length, 4)
  t.ok(await sign(server), 'a server that has opened them goes on')
})

t.test('the claims of tokens are remembered, and not those of what is as long as a status list', async t => {
  const { keys, clock, config } = (await startServer(t)).ctx
  const { now } = clock
  const verified = async (note: string) => {
    const jwt = await keys.sign('at+jwt', 'ES256', { iss: config.issuer, exp: now() + 300, note })
    return [keys.verify(jwt, 'at+jwt'), keys.verify(jwt, 'at+jwt')]
  }
  const [first, second] = await verified('short')
  t.ok(first)
  t.equal(first, second, 'the same object')
  const [long, again] = await verified('x'.repeat(10_000))
  t.strictSame(long, again)
  t.not(long, again, 'read anew')
})
